"""Phase-change memory of the HERMES chip, 14 nm: unit cells of one device (10.35 µS) or two (20.7 µS).

Programming error, 1/f read noise and drift as fitted to the chip (Le Gallo et al., Nat. Electron. 6:680, 2023). Every
effect is multiplied by a field of its own: 1 as measured, 0 off.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field
from noisysim.devices.field_groups import check_span, device_fields
from noisysim.devices.models.pcm import Pcm
from noisysim.devices.physics.ageing import hermes_exponent_one, hermes_exponent_two, power_law
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import flicker_share, hermes_flicker_one, hermes_flicker_two
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import erroneous, erroneous_law, hermes_error_one, hermes_error_two

MEASURED = np.float32(10.35)
"""µS a device, to which the fits refer conductances."""
TWO = np.float32(2.0)


@device_fields
class PcmHermes(Pcm):
    """Phase-change memory of the HERMES chip (Le Gallo et al. 2023): the effects of `pcm`, with its numbers."""

    read_time = 512e-9

    devices: Annotated[int, Field("", 1, 2, "phase-change devices of a unit cell", whole=True)] = 1
    g_max: Annotated[
        float,
        Field("µS", 0.1, 20.7, "highest conductance of a cell; 0: 10.35 µS a device, all that was measured", off=0),
    ] = 0.0
    program_noise: Annotated[
        float, Field("of the measured", 0, 100, "error of a write, std of 0.16 to 1.1 µS", noise="write")
    ] = 1.0
    drift_start: Annotated[
        float,
        Field(
            "s", 1e-6, 1e6, "t0: when the measurement of drift began; 0: 200 s (one device) or 300 s", off=0,
            condition=True,
        ),
    ] = 0.0  # fmt: skip


def complete(d: PcmHermes) -> PcmHermes:
    """What was measured of this number of devices, where nothing else is set."""
    return d._replace(g_max=d.g_max or 10.35 * d.devices, drift_start=d.drift_start or 100.0 + 100.0 * d.devices)


def check(d: PcmHermes) -> None:
    """What the fields must satisfy together."""
    d = complete(d)
    check_span(d)
    if d.g_max > 10.35 * d.devices:
        raise ValueError(
            f"pcm_hermes.g_max must be a number up to {10.35 * d.devices:g}, µS, what was measured of a unit cell of "
            f"{d.devices:g} device(s), not {d.g_max:g}"
        )


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """Iterative write with its measured error."""
    share = g / (MEASURED * d.devices)
    return erroneous(g, d.program_noise * (hermes_error_two(share) if d.devices >= TWO else hermes_error_one(share)), z)


def program_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `program`."""
    error = hermes_error_two if d.devices == 2 else hermes_error_one
    return erroneous_law(g, d.program_noise * each(lambda v: error(v / (MEASURED * d.devices)), g))


def cell_std(g: Scalar, t: Scalar, target: Scalar, d: Any) -> Scalar:
    """1/f noise of the conductance as it is at the read, Q_s of the target."""
    share = target / (MEASURED * d.devices)
    strength = hermes_flicker_two(share) if d.devices >= TWO else hermes_flicker_one(share)
    return g * d.read_noise * flicker_share(strength, t, d.read_time)


def drift(g: Scalar, t: Scalar, target: Scalar, d: Any) -> Scalar:
    """Structural relaxation of the amorphous phase, nu of the target."""
    if t <= d.drift_start:  # saves what the reads of a run would compute in vain
        return g
    share, xi = target / (MEASURED * d.devices), d.drift_deviation
    exponent = hermes_exponent_two(share, xi) if d.devices >= TWO else hermes_exponent_one(share, xi)
    return power_law(g, t, d.drift_start, d.drift * exponent)
