"""Phase-change memory: mushroom cells of 90 nm technology, up to 25 µS.

Programming error and drift: Joshi et al., Nat. Commun. 11:2473, 2020; 1/f read noise: Nandakumar et al., ICECS 2019,
727. Every effect is multiplied by a field of its own: 1 as measured, 0 off. Errors and noise depend on the conductance
itself, so a narrower range of it (a smaller g_max) has the larger share of them that was measured there.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field, Spread
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, device_fields
from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.physics.ageing import joshi_exponent, power_law
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import flicker_share, joshi_flicker
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import erroneous, erroneous_law, joshi_error

MEASURED = np.float32(25.0)
"""µS, to which the fits refer conductances."""


@device_fields
class Pcm(Converters, Array, Faults, Clock, Controller):
    """Phase-change memory (Joshi et al. 2020): programming error, 1/f noise that grows with age, drift."""

    read_time = 250e-9

    g_min: Annotated[float, Field("µS", 0, 25, "lowest conductance of a cell")] = 0.0
    g_max: Annotated[float, Field("µS", 0.1, 25, "highest conductance of a cell: no more was measured")] = 25.0
    program_noise: Annotated[
        float, Field("of the measured", 0, 100, "error of a write, std of 0.26 to 1.1 µS", noise="write")
    ] = 1.0
    read_noise: Annotated[  # it grows with a cell's age
        float, Field("of the measured", 0, 100, "1/f noise of a read", noise="read", hook="drift")
    ] = 1.0
    drift: Annotated[
        float, Field("of the measured", 0, 10, "exponent of the drift (t / t0)^-nu", hook="drift", condition=True)
    ] = 1.0
    drift_deviation: Annotated[
        float,
        Field(
            "std", -8, 8, "of a cell's exponent from the mean", spread=Spread("drift_spread", "absolute"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    drift_spread: Annotated[float, Field("of the measured", 0, 10, "spread of the cells' exponents")] = 1.0
    drift_start: Annotated[float, Field("s", 1e-6, 1e6, "t0: when the measurement of drift began", condition=True)] = (
        20.0
    )


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """Iterative write with its measured error."""
    return erroneous(g, d.program_noise * joshi_error(g / MEASURED), z)


def program_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `program`."""
    return erroneous_law(g, d.program_noise * each(lambda v: joshi_error(v / MEASURED), g))


def cell_std(g: Scalar, t: Scalar, target: Scalar, d: Any) -> Scalar:
    """1/f noise of the conductance as it is at the read, Q_s of the target."""
    return g * d.read_noise * flicker_share(joshi_flicker(target / MEASURED), t, d.read_time)


def drift(g: Scalar, t: Scalar, target: Scalar, d: Any) -> Scalar:
    """Structural relaxation of the amorphous phase, nu of the target."""
    if t <= d.drift_start:  # saves what the reads of a run would compute in vain
        return g
    return power_law(g, t, d.drift_start, d.drift * joshi_exponent(target / MEASURED, d.drift_deviation))
