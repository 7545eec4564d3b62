"""Cells changed by pulses of exponential step, a generic one: the form of Gong et al., Nat. Commun. 9:2102, 2018.

Noise from pulse to pulse may have a part that does not shrink with the step, and one that grows with the conductance,
as in phase-change memory (Nandakumar et al., Front. Neurosci. 14:406, 2020). Conductances are nominal, as in `pulsed`.
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
    StepScale,
    device_fields,
)
from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.physics.writes import exponential_pulse as pulse  # noqa: F401  (hook)
from noisysim.devices.physics.writes import exponential_pulse_law as pulse_law  # noqa: F401
from noisysim.devices.physics.writes import within_bounds as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import within_bounds_law as program_law  # noqa: F401
from noisysim.devices.transfer_fields import Transfers


@device_fields
class PulsedExponential(Converters, Array, Faults, Clock, Controller, Transfers, Pulses, Steps, ReadNoise, StepScale):
    """Written by pulses whose steps depend exponentially on the conductance."""

    cells_per_weight = 1

    g_min: Annotated[float, Field("µS", 0, 1e6, "nominal lowest conductance of a cell")] = 10.0
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "nominal highest conductance of a cell")] = 30.0
    up_down: Annotated[float, Field("of pulse_step", 0, 1, "what a step down has less than a step up")] = 0.0
    a_up: Annotated[float, Field("", -100, 100, "A of steps up")] = 0.00081
    a_down: Annotated[float, Field("", -100, 100, "A of steps down")] = 0.36833
    gamma_up: Annotated[float, Field("", 0, 100, "gamma of steps up")] = 12.44625
    gamma_down: Annotated[float, Field("", 0, 100, "gamma of steps down")] = 12.78785
    scale: Annotated[float, Field("", -10, 10, "a: how fast the step changes with the position")] = 0.244
    shift: Annotated[float, Field("", -10, 10, "b: where it changes")] = 0.2425
    origin: Annotated[float, Field("half spans", -2, 2, "position from which the exponent counts; -1: g_min")] = 0.0
    write_noise_slope: Annotated[
        float,
        Field("of pulse_gain", 0, 100, "std of a pulse's change, each half span above g_min", noise="write"),
    ] = 0.0
