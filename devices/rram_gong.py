"""RRAM changed by pulses: an exponential step, fitted to Gong et al., Nat. Commun. 9:2102, 2018.

Noise from pulse to pulse is five times the step. The fit is in weights, bounds +-1: conductances are nominal, and
g_min = (g_max - g_min) / 2 leaves the cells' own bounds room to twice the nominal ones.
"""

from typing import Annotated

from noisysim.common.fields import Field
from noisysim.devices.field_groups import (
    Array,
    Clock,
    Controller,
    Converters,
    Faults,
    Pulses,
    ReadNoise,
    Steps,
    device_fields,
)
from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.writes import exponential_pulse as pulse  # noqa: F401  (hook)
from noisysim.devices.physics.writes import exponential_pulse_law as pulse_law  # noqa: F401
from noisysim.devices.physics.writes import within_bounds as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import within_bounds_law as program_law  # noqa: F401


@device_fields
class RramGong(Converters, Array, Faults, Clock, Controller, Pulses, Steps, ReadNoise):
    """RRAM written by pulses of exponential step (Gong et al. 2018)."""

    cells_per_weight = 1
    weight_bound = 1.0
    pulse_step = 0.00135 / 2
    pulse_gain_spread = 0.2
    asymmetry_spread = 0.05
    bounds_spread = 0.3
    write_noise = 5.0

    g_min: Annotated[float, Field("µS", 0, 1e6, "nominal lowest conductance of a cell")] = 10.0
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "nominal highest conductance of a cell")] = 30.0
    up_down: Annotated[float, Field("of pulse_step", 0, 1, "what a step down has less than a step up")] = 0.259359
    a_up: Annotated[float, Field("", -10, 10, "A of steps up")] = -1.18445
    a_down: Annotated[float, Field("", -10, 10, "A of steps down")] = -0.081404
    gamma_up: Annotated[float, Field("", 0, 10, "gamma of steps up")] = 5.0
    gamma_down: Annotated[float, Field("", 0, 10, "gamma of steps down")] = 5.0
    scale: Annotated[float, Field("", -10, 10, "a: how fast the step changes with the position")] = -0.5
    shift: Annotated[float, Field("", -10, 10, "b: where it changes")] = -0.5
