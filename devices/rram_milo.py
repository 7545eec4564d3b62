"""RRAM written by incremental gate and drain pulses (IGVVA-100), 50 to 225 µS (Milo et al., IRPS 2021)."""

from typing import Annotated, Any

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


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """Program-and-verify with its measured error."""
    return erroneous(g, d.program_noise * milo_error(g), z)


def program_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `program`."""
    return erroneous_law(g, d.program_noise * each(milo_error, g))
