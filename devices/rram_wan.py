"""RRAM of the NeuRRAM chip: error of a cell 1 s after its write, up to 39.26 µS (Wan et al., Nature 608:504, 2022)."""

from typing import Annotated, Any

import numpy.typing as npt

from noisysim.common.fields import Field
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, ReadNoise, device_fields
from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import erroneous, erroneous_law, wan_error


@device_fields
class RramWan(Converters, Array, Faults, Clock, Controller, ReadNoise):
    """RRAM written and verified (Wan et al. 2022): an error that is a cubic of the conductance."""

    g_min: Annotated[float, Field("µS", 0, 39.26, "lowest conductance of a cell")] = 0.0
    g_max: Annotated[float, Field("µS", 0.1, 39.26, "highest conductance of a cell: no more was measured")] = 39.26
    program_noise: Annotated[
        float, Field("of the measured", 0, 100, "error of a write, std of 1.05 to 2.5 µS", noise="write")
    ] = 1.0


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """Incremental write-and-verify, and 1 s of relaxation, with the measured error."""
    return erroneous(g, d.program_noise * wan_error(g), z)


def program_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `program`."""
    return erroneous_law(g, d.program_noise * each(wan_error, g))
