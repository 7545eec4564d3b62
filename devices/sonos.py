"""SONOS charge-trap memory of 40 nm, read below threshold (Agrawal et al., IEDM 2022, 21.7).

The fits are of currents, up to 3200 nA. A cell is driven fully or not at all, so its current stands for a conductance:
g = I / read_voltage, by default 16 µS for 1600 nA at 0.1 V. Error and read noise are those right after the write; every
effect is multiplied by a field of its own: 1 as measured, 0 off.

Drift of the mean current (Fig. 10b of the paper) and growth of the errors (Fig. 10a) were measured for five days.
`DRIFT` has the mean drift at each day and every 100 nA, as CrossSim's polynomials give it; above 1400 nA these leave
their trend (-246 nA at 1600 nA after a day), and the drift goes on by the slope before. Between the days it is linear
in time, after them it stays.
"""

from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field, Spread
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, check_span, device_fields
from noisysim.devices.physics.ageing import DAY, grown
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import each
from noisysim.devices.physics.reads import saturating
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import erroneous, erroneous_law

LARGEST = 3200.0
"""nA, the largest current of the fits."""
NANO = np.float32(1e3)  # nA of 1 µS at 1 V
ZERO, ONE = np.float32(0.0), np.float32(1.0)
STEP, PLACES, DAYS = np.float32(100.0), 15, 5  # nA
DRIFT = np.array(
    [
        [0.0] * PLACES,
        [0.7, -0.7, -3.8, -8.4, -13.1, -16.8, -19.4, -22.0, -24.9, -27.5, -29.5, -31.1, -33.6, -36.2, -38.9],
        [0.7, 0.1, -3.0, -8.1, -13.6, -18.2, -21.8, -25.2, -28.9, -32.5, -35.3, -37.5, -40.0, -43.1, -45.9],
        [1.2, 0.6, -2.8, -8.7, -15.4, -20.8, -24.8, -28.6, -32.8, -36.9, -40.1, -42.7, -46.0, -50.4, -54.9],
        [0.9, 1.0, -2.2, -8.8, -16.0, -21.8, -26.1, -30.4, -35.4, -40.4, -44.2, -47.0, -50.6, -55.6, -60.2],
        [1.2, 1.2, -2.4, -9.6, -17.4, -23.5, -28.2, -32.7, -37.9, -42.9, -46.7, -49.4, -52.6, -57.1, -60.3],
    ],
    np.float32,
)  # fmt: skip
"""Mean change of a current since its write, nA: day by day, every 100 nA."""
ERRORS = np.array([19.88665, 25.59102, 28.72753, 31.04318, 33.76214, 34.57909], np.float32)
SCALES = np.array([176.3115, 186.85544, 193.56834, 198.90332, 204.77023, 207.34309], np.float32)
"""Errors of currents, day by day: E (1 - exp(-I / S)), nA."""


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
    drift: Annotated[
        float,
        Field("of the measured", 0, 10, "drift of currents, up to -60 nA in five days", hook="drift", condition=True),
    ] = 1.0
    drift_deviation: Annotated[
        float,
        Field("std", -8, 8, "of what a cell's error gains", spread=Spread("drift_spread", "absolute"), condition=True),
    ] = 0.0
    drift_spread: Annotated[float, Field("of the measured", 0, 10, "spread of what errors gain")] = 1.0


def check(d: Sonos) -> None:
    """What the fields must satisfy together."""
    check_span(d)
    current = d.g_max * d.read_voltage * float(NANO)
    if current > LARGEST * (1 + 1e-9):
        raise ValueError(
            f"sonos.g_max ({d.g_max:g} µS) at sonos.read_voltage ({d.read_voltage:g} V) is {current:g} nA: "
            f"measured was up to {LARGEST:g} nA"
        )


class Cell(Protocol):
    """The numbers that hooks read: the device's, or a cell's own."""

    read_voltage: Scalar
    program_noise: Scalar
    read_noise: Scalar
    drift: Scalar
    drift_deviation: Scalar


def program_std(g: Scalar, d: Cell) -> Scalar:
    """19.88665 (1 - exp(-I / 176.3115)) nA, as a conductance in µS."""
    per_siemens = NANO * d.read_voltage
    return d.program_noise * saturating(g * per_siemens, np.float32(19.88665), np.float32(176.3115)) / per_siemens


def program(g: Scalar, z: Scalar, d: Cell) -> Scalar:
    """Program-and-verify with its measured error."""
    return erroneous(g, program_std(g, d), z)


def program_law(g: npt.ArrayLike, d: Cell) -> Moments:
    """Mean and standard deviation of `program`."""
    return erroneous_law(g, each(lambda v: program_std(v, d), g))


def cell_std(g: Scalar, t: Scalar, d: Cell) -> Scalar:
    """12.58037 (1 - exp(-I / 215.36557)) nA, as a conductance in µS."""
    per_siemens = NANO * d.read_voltage
    return d.read_noise * saturating(g * per_siemens, np.float32(12.58037), np.float32(215.36557)) / per_siemens


def current_drift(i: Scalar, day: Scalar) -> Scalar:
    """Mean change of a current, nA, after so many days, 0 to 5."""
    place = min(int(max(i, ZERO) / STEP), PLACES - 2)
    part = max(i, ZERO) / STEP - np.float32(place)
    first = min(int(day), DAYS - 1)
    share = day - np.float32(first)
    low = (ONE - part) * DRIFT[first, place] + part * DRIFT[first, place + 1]
    high = (ONE - part) * DRIFT[first + 1, place] + part * DRIFT[first + 1, place + 1]
    return (ONE - share) * low + share * high


def current_error(i: Scalar, day: Scalar) -> Scalar:
    """Error of a current, nA, after so many days, 0 to 5."""
    first = min(int(day), DAYS - 1)
    share = day - np.float32(first)
    top = (ONE - share) * ERRORS[first] + share * ERRORS[first + 1]
    return saturating(i, top, (ONE - share) * SCALES[first] + share * SCALES[first + 1])


def drift(g: Scalar, t: Scalar, target: Scalar, d: Cell) -> Scalar:
    """Loss of charge: the mean drift of the target's current, and what errors gain; a cell keeps its own deviation."""
    if t <= ONE:
        return g
    per_siemens = NANO * d.read_voltage
    i, day = target * per_siemens, min(t / DAY, np.float32(DAYS))
    mean = current_drift(i, day)
    gained = np.sqrt(grown(current_error(i + mean, day), current_error(i, ZERO)))
    return max(g + d.drift * (mean + d.drift_deviation * gained) / per_siemens, ZERO)
