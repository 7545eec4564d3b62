"""RRAM written by incremental gate and drain pulses (IGVVA-100), 50 to 225 µS (Milo et al., IRPS 2021).

``read_voltage`` bends the cells' I-V curve: I = G V + b V^2 + c V^3, with b and c as CrossSim fits them to Fig. 1 of
the paper, polynomials of log10 G that hold from 62.5 to 110 µS and are drawn to about 0 at 225 µS. All cells of an
array are driven through one curve, that of the conductance ``iv_conductance``: cells of lower conductance are bent more
than here, others less. As in `crossbar` a write is verified at the read voltage: a cell carries G V at full scale.
"""

from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, ReadNoise, device_fields
from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import erroneous, erroneous_law, milo_error


@device_fields
class RramMilo(Converters, Array, Faults, Clock, Controller, ReadNoise):
    """RRAM written and verified (Milo et al. 2021): an error that falls with the conductance."""

    g_min: Annotated[float, Field("µS", 50, 225, "lowest conductance of a cell: no less was measured")] = 50.0
    g_max: Annotated[float, Field("µS", 50, 225, "highest conductance of a cell: no more was measured")] = 225.0
    program_noise: Annotated[
        float, Field("of the measured", 0, 100, "error of a write, std of 2.7 to 4.3 µS", noise="write")
    ] = 1.0
    read_voltage: Annotated[
        float, Field("V", 0, 0.5, "full scale of the DAC at the cells; 0 is ohmic", hook="current", condition=True)
    ] = 0.0
    iv_conductance: Annotated[float, Field("µS", 50, 225, "of the cell whose I-V curve all have", condition=True)] = (
        93.9
    )


class Cell(Protocol):
    """The numbers that hooks read."""

    program_noise: Scalar
    read_voltage: Scalar
    iv_conductance: Scalar


def program(g: Scalar, z: Scalar, d: Cell) -> Scalar:
    """Program-and-verify with its measured error."""
    return erroneous(g, d.program_noise * milo_error(g), z)


def program_law(g: npt.ArrayLike, d: Cell) -> Moments:
    """Mean and standard deviation of `program`."""
    return erroneous_law(g, d.program_noise * each(milo_error, g))


def milo_bend(g: Scalar) -> tuple[Scalar, Scalar]:
    """Second and third coefficient of the current over the first, 1/V and 1/V^2, of a conductance in µS."""
    log = np.log10(g) - np.float32(6.0)
    second = np.float32(0.0001388) * log + np.float32(0.001541)
    second = (second * log + np.float32(0.005711)) * log + np.float32(0.007063)
    third = (np.float32(8.8710e-05) * log + np.float32(6.7919e-04)) * log + np.float32(1.2968e-03)
    return second * np.float32(1e6) / g, third * np.float32(1e6) / g


def current(v: Scalar, d: Cell) -> Scalar:
    """What a cell of unit conductance carries at a drive, in units of full scale: a cubic, of either sign its own."""
    second, third = milo_bend(d.iv_conductance)
    second, third = second * d.read_voltage, third * d.read_voltage * d.read_voltage
    one = np.float32(1.0)
    return v * (one + second * v + third * v * v) / (one + second + third)
