"""A crossbar whose cells are changed by pulses, a generic one: one cell a weight beside an exact reference.

Constant step to soft bounds (Fusi & Abbott, Nat. Neurosci. 10:485, 2007), noise from pulse to pulse, and cells that
differ in step, asymmetry and bounds (Gokmen & Vlasov, Front. Neurosci. 10:333, 2016). Conductances are nominal: the
models are stated in weights; g_min = (g_max - g_min) / 2 leaves the cells' own bounds room to twice the nominal ones.

The reference is exact, or a cell of its own, which stays where it was set: ``reference`` says where that is, and with
``zero_shift`` it is the cell's symmetry point. A conductance is then that of a cell beside a reference in the middle;
noise of the reference's reads is part of the line's.
"""

from typing import Annotated, Any

import numpy as np

from noisysim.common.fields import Field, Spread
from noisysim.devices.field_groups import (
    Array,
    Clock,
    Controller,
    Converters,
    Faults,
    LinearSteps,
    Pulses,
    ReadNoise,
    Steps,
    StepScale,
    check_span,
    device_fields,
)
from noisysim.devices.physics.ageing import relax
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.scalars import Scalar
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.physics.writes import linear_program as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import linear_program_law as program_law  # noqa: F401
from noisysim.devices.physics.writes import linear_pulse as pulse  # noqa: F401  (hook)
from noisysim.devices.physics.writes import linear_pulse_law as pulse_law  # noqa: F401
from noisysim.devices.transfer_fields import Transfers


@device_fields
class Pulsed(Converters, Array, Faults, Clock, Controller, Transfers, Pulses, Steps, ReadNoise, StepScale, LinearSteps):
    """Written by pulses of constant step, with soft bounds, or between; capacitive cells leak."""

    cells_per_weight = 1

    g_min: Annotated[float, Field("µS", 0, 1e6, "nominal lowest conductance of a cell")] = 10.0
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "nominal highest conductance of a cell")] = 30.0
    gamma_up: Annotated[
        float, Field("", -1, 1, "how a step up shrinks towards the bound: 0 constant, 1 soft bound, below 0 it grows")
    ] = 0.0
    gamma_down: Annotated[float, Field("", -1, 1, "the same of a step down")] = 0.0
    leak_time: Annotated[
        float,
        Field(
            "s", 1e-9, 1e15, "time constant of the decay to leak_rest", off=0, hook="drift",
            spread=Spread("leak_time_spread", "lognormal"), condition=True,
        ),
    ] = 0.0  # fmt: skip
    leak_time_spread: Annotated[float, Field("relative", 0, 3, "of the cells' time constants, of their logarithm")] = (
        0.0
    )
    leak_rest: Annotated[float, Field("half spans", -2, 2, "position to which a cell leaks", condition=True)] = 0.0
    drift_start: Annotated[
        float, Field("s", 1e-9, 1e9, "figures show ageing from here; well below leak_time", condition=True)
    ] = 1e-3


def check(d: Pulsed) -> None:
    """What the fields must satisfy together."""
    check_span(d)
    if 0 < d.leak_time < d.drift_start:
        name = type(d).__module__.rpartition(".")[2]
        raise ValueError(
            f"{name}.leak_time ({d.leak_time:g} s) must not be below {name}.drift_start ({d.drift_start:g} s)"
        )


def drift(g: Scalar, t: Scalar, d: Any) -> Scalar:
    """Leakage of a capacitive cell: w <- b + (w - b) exp(-t / tau)."""
    half = np.float32(0.5) * (d.g_max - d.g_min)
    return relax(g, d.g_min + half + d.leak_rest * half, t, d.leak_time)
