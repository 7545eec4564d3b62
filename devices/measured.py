"""Cells whose response to pulses was measured: conductance against pulse number, from a table, used as it is.

A pulse finds the cell's conductance on the curve, between two of its points, and moves it one pulse along; conductances
end where the table ends. The table is a file:

- CSV with a header that names the columns ``pulse``, ``up`` and ``down``, in any order: pulse number, and conductance
  in µS after this many potentiating (from the low end) or depressing pulses (from the high end). The shorter of the two
  curves ends in empty cells; ``pulse`` may skip numbers.
- HDF5 with datasets ``up`` and ``down``, one value per pulse, or at the numbers of a dataset ``pulse``.

Measured curves are noisy, but a cell's state is its conductance alone, so a curve must rise (or fall) with every pulse:
it is replaced by the nearest monotone one in the least-squares sense (isotonic regression), whose flat stretches are
then bridged by straight lines from middle to middle. A curve that this would change by more than a tenth of its range
(root mean square) is refused. Without a file the table is computed, not measured: see `exponential_curve`.
"""

import csv
import functools
import os
from typing import Annotated, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field, Spread
from noisysim.common.types import Doubles, Floats, Ints
from noisysim.devices.field_groups import (
    Array,
    Clock,
    Controller,
    Converters,
    Faults,
    Pulses,
    ReadNoise,
    check_span,
    device_fields,
)
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import clipped_normal, each
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.writes import along
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.tables import number
from noisysim.devices.transfer_fields import Transfers

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
Curve = tuple[Doubles, Doubles]
"""Pulse numbers, rising, and conductances."""
LONGEST = 65536
"""Pulses of a curve at most."""
ROUGHEST = 0.1
"""RMS by which a curve may miss being monotone, of its range."""


@device_fields
class Measured(Converters, Array, Faults, Clock, Controller, Transfers, Pulses, ReadNoise):
    """Any measured device: pulses move a cell along the two curves of a table, with noise from pulse to pulse."""

    cells_per_weight = 1

    table: Annotated[str, Field(doc="CSV or HDF5 of conductance against pulse number; none: a formula", file=True)] = ""
    g_min: Annotated[float, Field("µS", 1e-9, 1e6, "lowest conductance of a cell; 0: the table's", off=0)] = 0.0
    g_max: Annotated[float, Field("µS", 1e-9, 1e6, "highest conductance of a cell; 0: the table's", off=0)] = 0.0
    pulse_step: Annotated[
        float,
        Field(
            "share of g_max - g_min", 1e-9, 1, "change a pulse makes, as the controller assumes it; 0: as the table",
            off=0,
        ),
    ] = 0.0  # fmt: skip
    write_noise: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "std of a pulse's change, from pulse to pulse", noise="write")
    ] = 0.0
    write_noise_share: Annotated[
        float, Field("of the change", 0, 100, "the part of it that shrinks with the change", noise="write")
    ] = 0.0
    apparent_noise: Annotated[
        float,
        Field(
            "of pulse_step", 0, 1000, "std of what a cell shows about its state, new at each update", noise="write",
            hook="appear",
        ),
    ] = 0.0  # fmt: skip
    pulse_gain: Annotated[
        float, Field("of the table's change", 0, 10, "a cell's own change", spread=Spread("pulse_gain_spread"))
    ] = 1.0
    pulse_gain_spread: Annotated[float, Field("relative", 0, 2, "std of the cells' changes")] = 0.0
    upper: Annotated[
        float,
        Field(
            "share of g_max - g_min", 0.5, 5, "a cell's highest conductance, from g_min on",
            spread=Spread("bounds_spread", "absolute"),
        ),
    ] = 1.0  # fmt: skip
    lower: Annotated[
        float,
        Field(
            "share of g_max - g_min", -5, 0.45, "a cell's lowest", spread=Spread("bounds_spread", "absolute")
        ),
    ] = 0.0  # fmt: skip
    bounds_spread: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "std of the cells' bounds, to which their curves are stretched")
    ] = 0.0


def exponential_curve(pulses: int, curvature: float, g_min: float, g_max: float) -> Doubles:
    """A formula in place of a measurement: G(P) = B (1 - exp(-P / A)) + g_min, P = 0 .. pulses.

    Chen, Peng & Yu, IEEE TCAD 37:3067, 2018: B = (g_max - g_min) / (1 - exp(-pulses / A)), A of either sign.

    Parameters
    ----------
    pulses : int
    curvature : float
        A, in pulses.
    g_min, g_max : float
        µS.
    """
    count = np.arange(pulses + 1)
    return (g_max - g_min) * np.expm1(-count / curvature) / np.expm1(-pulses / curvature) + g_min


# computed, not measured: 100 pulses between 1 and 10 µS, A of +-50 pulses
UP = exponential_curve(100, 50.0, 1.0, 10.0).astype(np.float32)
DOWN = exponential_curve(100, -50.0, 1.0, 10.0)[::-1].astype(np.float32)


def tables(d: Measured) -> dict[str, Floats]:
    """The two curves, one value per pulse, float32."""
    return dict(zip(("UP", "DOWN"), _curves(d), strict=True))


def complete(d: Measured) -> Measured:
    """Range and step of the table, where none are set."""
    up, down = _curves(d)
    low, high = float(min(up.min(), down.min())), float(max(up.max(), down.max()))
    d = d._replace(g_min=d.g_min or low, g_max=d.g_max or high)
    mean = (np.ptp(up) + np.ptp(down)) / (len(up) + len(down) - 2)
    return d._replace(pulse_step=d.pulse_step or float(min(mean / max(d.g_max - d.g_min, 1e-9), 1.0)))


def check(d: Measured) -> None:
    """What the fields must satisfy together, and with the table."""
    full, asked = complete(d._replace(g_min=0.0, g_max=0.0)), complete(d)
    check_span(asked)
    for name in ("g_min", "g_max"):
        value = getattr(asked, name)
        if not full.g_min * (1 - 1e-6) <= value <= full.g_max * (1 + 1e-6):
            raise ValueError(
                f"measured.{name} must be within the table, {full.g_min:g} to {full.g_max:g} µS, not {value:g}"
            )


class Cell(Protocol):
    """The numbers that hooks read: the device's, or a cell's own."""

    g_min: Scalar
    g_max: Scalar
    lower: Scalar
    upper: Scalar
    bounds_spread: Scalar
    pulse_gain: Scalar
    write_noise: Scalar
    write_noise_share: Scalar


def own_bounds(d: Cell) -> tuple[Scalar, Scalar]:
    """The lowest and the highest conductance of a cell, µS."""
    span = d.g_max - d.g_min
    if d.bounds_spread > _ZERO or d.upper != _ONE or d.lower != _ZERO:
        return max(d.g_min + d.lower * span, _ZERO), max(d.g_min + d.upper * span, _ZERO)
    return d.g_min, d.g_max


def own_change(g: Scalar, up: Scalar, curve: npt.NDArray[Any], d: Cell) -> Scalar:
    """Change that a pulse makes of a cell, µS: along the curve, stretched to the cell's own bounds."""
    low, high = own_bounds(d)
    if low == d.g_min and high == d.g_max:
        return along(g, up, curve) * d.pulse_gain
    stretch = (high - low) / (d.g_max - d.g_min)
    return along(d.g_min + (g - low) / stretch, up, curve) * stretch * d.pulse_gain


def program(g: Scalar, z: Scalar, d: Cell) -> Scalar:
    """A write that leaves what was asked for, within the cell's own bounds."""
    low, high = own_bounds(d)
    return min(max(g, low), high)


def program_law(g: npt.ArrayLike, d: Cell) -> Moments:
    """Mean and standard deviation of `program`."""
    return clipped_normal(g, 0.0, *map(float, own_bounds(d)))


def pulse(g: Scalar, up: Scalar, z: Scalar, d: Cell) -> Scalar:
    """One pulse along the curve, with noise; a cell's range bounds it."""
    up = np.float32(up)
    change = own_change(g, up, UP, d) if up > 0 else own_change(g, up, DOWN, d)
    low, high = own_bounds(d)
    g = g + change + d.write_noise * (d.g_max - d.g_min) * z
    return min(max(g + up * d.write_noise_share * change * z, low), high)


def pulse_law(g: npt.ArrayLike, up: Scalar, d: Measured) -> Moments:
    """Mean and standard deviation of `pulse`."""
    curve, cell = _curves(d)[0 if up > 0 else 1].astype(float), cast("Cell", d)
    change = each(lambda v: own_change(v, up, curve, cell), g)
    std = d.write_noise * (d.g_max - d.g_min) + d.write_noise_share * np.abs(change)
    return clipped_normal(np.asarray(g, float) + change, std, *map(float, own_bounds(cell)))


# --- the table ------------------------------------------------------------------------------------------------------


def _curves(d: Measured) -> tuple[Floats, Floats]:
    """The curves up and down: of the table, as its file is now, or of the formula."""
    if not d.table:
        return UP, DOWN
    state = os.stat(d.table)
    return _read(d.table, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=16)
def _read(path: str, changed: int, size: int) -> tuple[Floats, Floats]:
    """Both curves of a table, one value a pulse; `changed` and `size` tell one state of the file from another."""
    with open(path, "rb") as file:
        hdf5 = file.read(8) == b"\x89HDF\r\n\x1a\n"
    columns = _read_hdf5(path) if hdf5 else read_csv(path)
    return monotone(path, "up", 1, *columns["up"]), monotone(path, "down", -1, *columns["down"])


def read_csv(path: str) -> dict[str, Curve]:
    """Both curves."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        header = [name.strip().lower() for name in next(rows, [])]
        for name in ("pulse", "up", "down"):
            if header.count(name) != 1:
                raise ValueError(f"{path}:1: the header must name one column {name!r}; it has {', '.join(header)}")
        columns: dict[str, tuple[list[float], list[float]]] = {"up": ([], []), "down": ([], [])}
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{path}:{rows.line_num}"
            if len(row) != len(header):
                raise ValueError(f"{where}: {len(row)} cells, not {len(header)} as in the header")
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
            for name, (numbers, values) in columns.items():
                if not cells[name]:
                    continue
                pulse = number(where, "pulse", cells["pulse"])
                if numbers and pulse <= numbers[-1]:
                    raise ValueError(f"{where}: pulse numbers must rise, but {pulse:g} comes after {numbers[-1]:g}")
                numbers.append(pulse)
                values.append(number(where, name, cells[name]))
    return {name: (np.array(numbers), np.array(values)) for name, (numbers, values) in columns.items()}


def _read_hdf5(path: str) -> dict[str, Curve]:
    """Both curves."""
    import h5py

    curves: dict[str, Curve] = {}
    with h5py.File(path, "r") as file:
        for name in ("up", "down"):
            if not isinstance(file.get(name), h5py.Dataset):
                raise ValueError(f"{path} must have a dataset {name!r}; it has {', '.join(file) or 'none'}")
            values = np.asarray(file[name])
            if values.ndim != 1 or values.dtype.kind not in "iuf":
                raise ValueError(f"{path}: {name} must be a row of numbers, not {values.dtype} of shape {values.shape}")
            if not np.isfinite(values).all() or (values < 0).any():
                wrong = int(np.argmin(np.isfinite(values) & (values >= 0)))
                raise ValueError(f"{path}: {name}[{wrong}] must be a finite number >= 0, not {values[wrong]}")
            numbers = np.asarray(file["pulse"], float)[: len(values)] if "pulse" in file else np.arange(len(values))
            if len(numbers) != len(values) or not (np.diff(numbers) > 0).all():
                raise ValueError(f"{path}: pulse must be rising numbers, one a conductance")
            curves[name] = (numbers.astype(float), values.astype(float))
    return curves


def monotone(path: str, name: str, sign: int, numbers: Doubles, values: Doubles) -> Floats:
    """A measured curve as a strictly rising (sign 1) or falling (-1) one, with a value at every pulse, float32."""
    if len(values) < 2:
        raise ValueError(f"{path}: {name} must have at least 2 rows, not {len(values)}")
    if numbers[-1] - numbers[0] > LONGEST:
        raise ValueError(f"{path}: {name} must have at most {LONGEST} pulses, not {numbers[-1] - numbers[0]:g}")
    level, first, last = _isotonic(sign * values)
    rough = np.sqrt(np.mean((np.repeat(level, last - first + 1) - sign * values) ** 2))
    span = np.ptp(level)
    if span <= 0 or rough > ROUGHEST * span:
        verb = "rise" if sign > 0 else "fall"
        raise ValueError(f"{path}: {name} must {verb} from pulse to pulse, but for noise of a tenth of its range")
    # the ends keep their places, so that the number of pulses from end to end stays
    middle = 0.5 * (numbers[first] + numbers[last])
    middle[0], middle[-1] = numbers[0], numbers[-1]
    pulses = numbers[0] + np.arange(round(numbers[-1] - numbers[0]) + 1)
    return (sign * np.interp(pulses, middle, level)).astype(np.float32)


def _isotonic(values: Doubles) -> tuple[Doubles, Ints, Ints]:
    """Isotonic regression by pooling adjacent violators: levels of the blocks, their first and last index."""
    blocks: list[tuple[float, int]] = []  # mean, count
    for value in values:
        mean, count = value, 1
        while blocks and blocks[-1][0] >= mean:
            earlier, size = blocks.pop()
            mean, count = (earlier * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    counts = np.array([count for _, count in blocks])
    last = np.cumsum(counts) - 1
    return np.array([mean for mean, _ in blocks]), last - counts + 1, last
