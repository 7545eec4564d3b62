"""Cells changed by pulses of power-law step, a generic device (Frascaroli et al., Sci. Rep. 8:7178, 2018).

A step is the cell's own, times a power of the share of its range that is left in the pulse's direction: exponent 1 are
soft bounds, above it steps shrink sooner. Conductances are nominal, as in `pulsed`.
"""

from typing import Annotated

from noisysim.common.fields import Field, Spread
from noisysim.devices.field_groups import (
    Array,
    Clock,
    Controller,
    Converters,
    Faults,
    Pulses,
    ReadNoise,
    Steps,
    StepScale,
    device_fields,
)
from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.physics.writes import power_pulse as pulse  # noqa: F401  (hook)
from noisysim.devices.physics.writes import power_pulse_law as pulse_law  # noqa: F401
from noisysim.devices.physics.writes import within_bounds as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import within_bounds_law as program_law  # noqa: F401
from noisysim.devices.transfer_fields import Transfers


@device_fields
class PulsedPower(Converters, Array, Faults, Clock, Controller, Transfers, Pulses, Steps, ReadNoise, StepScale):
    """Written by pulses whose steps are a power of the range that is left (Frascaroli et al. 2018)."""

    cells_per_weight = 1

    g_min: Annotated[float, Field("µS", 0, 1e6, "nominal lowest conductance of a cell")] = 10.0
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "nominal highest conductance of a cell")] = 30.0
    gamma_up: Annotated[float, Field("", 0, 20, "exponent of steps up", spread=Spread("gamma_spread"))] = 1.0
    gamma_down: Annotated[float, Field("", 0, 20, "exponent of steps down", spread=Spread("gamma_spread"))] = 1.0
    gamma_spread: Annotated[float, Field("relative", 0, 1, "std of the cells' exponents")] = 0.0
