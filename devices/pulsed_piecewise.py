"""Cells changed by pulses whose step is given at places of their range, with lines between; a generic device.

``steps`` is a CSV file with the columns ``up`` and ``down``: sizes of a step up and of a step down, of pulse_step, at
places evenly spaced from a cell's lowest to its highest conductance, two at least. Each cell's places follow its own
bounds. This is the form of the jump tables of Burr et al., IEEE TED 62:3498, 2015, with Gaussian noise. Conductances
are nominal, as in `pulsed`.
"""

from typing import Annotated, cast

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field
from noisysim.common.types import Floats
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
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import Stepping, noisy, noisy_law, piecewise_step
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.physics.writes import within_bounds as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import within_bounds_law as program_law  # noqa: F401
from noisysim.devices.tables import read_columns
from noisysim.devices.transfer_fields import Transfers

# of `steps`, where it names no file: steps that shrink towards the bounds by half
UP = np.array([1.0, 1.0, 0.5], np.float32)
DOWN = np.array([0.5, 1.0, 1.0], np.float32)


@device_fields
class PulsedPiecewise(Converters, Array, Faults, Clock, Controller, Transfers, Pulses, Steps, ReadNoise, StepScale):
    """Written by pulses whose steps are lines between given places of a cell's range (Burr et al. 2015)."""

    cells_per_weight = 1

    g_min: Annotated[float, Field("µS", 0, 1e6, "nominal lowest conductance of a cell")] = 10.0
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "nominal highest conductance of a cell")] = 30.0
    steps: Annotated[str, Field(doc="CSV of steps up and down, of pulse_step; none: an example", file=True)] = ""


def tables(d: PulsedPiecewise) -> dict[str, Floats]:
    """Steps up and down at the places, float32."""
    if not d.steps:
        return {"UP": UP, "DOWN": DOWN}
    columns = read_columns(d.steps, ("up", "down"))
    if len(columns["up"]) < 2:
        raise ValueError(f"{d.steps}: steps at two places at least are needed, not {len(columns['up'])}")
    return {name.upper(): values.astype(np.float32) for name, values in columns.items()}


def pulse(g: Scalar, up: Scalar, z: Scalar, d: Stepping) -> Scalar:
    """One pulse of the step that the table gives, with noise from cycle to cycle; a cell's own bounds end it."""
    up = np.float32(up)
    step = piecewise_step(g, up, UP, d) if up > 0 else piecewise_step(g, up, DOWN, d)
    return noisy(g, step, up, z, d)


def pulse_law(g: npt.ArrayLike, up: Scalar, d: PulsedPiecewise) -> Moments:
    """Mean and standard deviation of `pulse`."""
    nodes, numbers = tables(d)["UP" if up > 0 else "DOWN"].astype(float), cast("Stepping", d)
    return noisy_law(g, each(lambda v: piecewise_step(v, np.float64(up), nodes, numbers), g), up, numbers)
