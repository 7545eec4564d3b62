"""SONOS charge-trap memory of 40 nm, read below threshold (Agrawal et al., IEDM 2022, 21.7).

The fits are of currents, up to 3200 nA. A cell is driven fully or not at all, so its current stands for a conductance:
g = I / read_voltage, by default 16 µS for 1600 nA at 0.1 V. Error and read noise are those right after the write; every
effect is multiplied by a field of its own: 1 as measured, 0 off.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, check_span, device_fields
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import saturating
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import erroneous, erroneous_law

LARGEST = 3200.0
"""nA, the largest current of the fits."""
NANO = np.float32(1e3)  # nA of 1 µS at 1 V


@device_fields
class Sonos(Converters, Array, Faults, Clock, Controller):
    """SONOS flash (Agrawal et al. 2022): errors of writes and reads that saturate with the current."""

    g_min: Annotated[float, Field("µS", 0, 1e6, "lowest current of a cell over read_voltage")] = 0.0
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "highest current of a cell over read_voltage")] = 16.0
    read_voltage: Annotated[float, Field("V", 1e-3, 10, "across a cell that is read")] = 0.1
    program_noise: Annotated[
        float, Field("of the measured", 0, 100, "error of a write, std of up to 19.9 nA", noise="write")
    ] = 1.0
    read_noise: Annotated[
        float, Field("of the measured", 0, 100, "noise of a read, std of up to 12.6 nA", noise="read")
    ] = 1.0


def check(d: Sonos) -> None:
    """What the fields must satisfy together."""
    check_span(d)
    current = d.g_max * d.read_voltage * float(NANO)
    if current > LARGEST * (1 + 1e-9):
        raise ValueError(
            f"sonos.g_max ({d.g_max:g} µS) at sonos.read_voltage ({d.read_voltage:g} V) is {current:g} nA: "
            f"measured was up to {LARGEST:g} nA"
        )


def program_std(g: Scalar, d: Any) -> Scalar:
    """19.88665 (1 - exp(-I / 176.3115)) nA, as a conductance in µS."""
    per_siemens = NANO * d.read_voltage
    return d.program_noise * saturating(g * per_siemens, np.float32(19.88665), np.float32(176.3115)) / per_siemens


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """Program-and-verify with its measured error."""
    return erroneous(g, program_std(g, d), z)


def program_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `program`."""
    return erroneous_law(g, each(lambda v: program_std(v, d), g))


def cell_std(g: Scalar, t: Scalar, d: Any) -> Scalar:
    """12.58037 (1 - exp(-I / 215.36557)) nA, as a conductance in µS."""
    per_siemens = NANO * d.read_voltage
    return d.read_noise * saturating(g * per_siemens, np.float32(12.58037), np.float32(215.36557)) / per_siemens
