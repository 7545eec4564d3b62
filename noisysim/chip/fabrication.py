"""What chance makes of a chip when it is fabricated: parts that differ from each other, and parts that do not work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import noisysim.devices as devices
from noisysim.common.fields import declared
from noisysim.common.types import Array, Doubles, Floats, Words
from noisysim.compute import layout
from noisysim.compute.cpu.loops import draws
from noisysim.compute.noise import stream_word
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import Network

OWN_NUMBERS = {"cell": 0, "row": 1 << 12, "column": 2 << 12}  # where the numbers of draws of own values start
FAULTS, ANYWHERE, DEAD_ROWS, DEAD_COLUMNS, GAINS, CYCLES = range(
    1 << 16, (1 << 16) + 6
)  # and those of faults, above them
DEAD = -1.0  # marks cells on lines that are cut: they carry no current, and no noise
_LAWS: dict[str, Callable[[float, float, Array], Array]] = {
    "normal": lambda value, s, z: value * (1 + s * z),
    "lognormal": lambda value, s, z: value * np.exp(s * z - s * s / 2),
    "absolute": lambda value, s, z: value + s * z,
}


def own_fields(device: Device) -> dict[str, dict[str, int]]:
    """The fields of which each cell, row or column has its own value, and the numbers of their draws.

    A line that has one value of its own has all that lines can have, nominal where nothing spreads: these are few
    numbers, and devices that differ in which of them spread share their loops.
    """
    numbers: dict[str, dict[str, int]] = {"cell": {}, "row": {}, "column": {}}
    known = dict.fromkeys(numbers, 0)
    active = devices.spreads(device)
    spreading = {name: spec.spread for name, spec in declared(type(device)).items() if spec.spread}
    alive = {spread.of for name, spread in spreading.items() if name in active}
    for name, spread in spreading.items():
        if name in active or spread.of in alive - {"cell"}:
            numbers[spread.of][name] = OWN_NUMBERS[spread.of] + known[spread.of]
        known[spread.of] += 1
    return numbers


def own_value(device: Device, field: str, z: Array) -> Doubles:
    """Own values of a field for N(0, 1) draws, within the field's own range."""
    spec = declared(type(device))[field]
    assert spec.spread is not None
    values = _LAWS[spec.spread.law](float(getattr(device, field)), spec.spread.size(device), z)
    clipped: Doubles = np.clip(values, spec.low, spec.high)
    return clipped


class Fabrication:
    """The draws of some chips. What belongs to a layer of all of them is in one piece, chip after chip.

    Parameters
    ----------
    net : Network
    device : device
    keys : numpy.ndarray
        Of fabrication, (chips, 2) uint32.
    """

    def __init__(self, net: Network, device: Device, keys: Words):
        self.net, self.device, self.keys = net, device, keys
        self.spreads = own_fields(device)
        self.numbers = resolve(device)

    def _draw(self, shape: tuple[int, int], law: str, width: float, number: int, word: tuple[int, int]) -> Floats:
        """Draws at fabrication, `shape` for each chip: standard normal times width, or uniform within +-width."""
        out = np.empty((len(self.keys), *shape), np.float32)
        stream = stream_word(layout.OWN_STREAM, *word)
        fill = draws.normals if law == "normal" else draws.uniforms
        for chip, key in zip(out, self.keys, strict=True):
            fill(chip, np.float32(width), 0, number, stream, *key)
        return out

    def _each_side(self) -> list[tuple[int, int, tuple[int, int], slice]]:
        """(layer, side, shape, where its cells are) of every side of every layer."""
        chips = len(self.keys)
        ends = chips * np.cumsum([a * b for a, b in self.net.shapes])
        return [
            (layer, k, shape, slice(end - chips * shape[0] * shape[1], end))
            for layer, (shape, end) in enumerate(zip(self.net.shapes, ends, strict=True))
            for k in range(2 * self.net.slices)
        ]

    def cells(self) -> Floats:
        """Own values of cells, (fields, sides, cells)."""
        cells = len(self.keys) * self.net.cells
        own = np.zeros((len(self.spreads["cell"]), 2 * self.net.slices, cells), np.float32)
        for f, (field, draw) in enumerate(self.spreads["cell"].items()):
            for layer, k, shape, where in self._each_side():
                z = self._draw(shape, "normal", 1.0, draw, (layer, k))
                own[f, k, where] = own_value(self.device, field, z).ravel()
        return own

    def lines(self, part: str) -> Floats:
        """Own values of the lines of all layers, (fields, lines): "row" of inputs, "column" of every tile's outputs."""
        lines = [
            (layer, count, 0 if part == "row" else k)
            for layer, (n_out, n_in) in enumerate(self.net.shapes)
            for k, count in enumerate([n_in] if part == "row" else [n_out] * self.net.tiles(layer))
        ]
        fields, active = self.spreads[part], devices.spreads(self.device)
        own = np.zeros((len(fields), len(self.keys) * sum(count for _, count, _ in lines)), np.float32)
        for f, (field, draw) in enumerate(fields.items()):
            if field not in active:
                own[f] = getattr(self.device, field)
                continue
            drawn = [self._draw((1, count), "normal", 1.0, draw, (layer, k)).ravel() for layer, count, k in lines]
            own[f] = own_value(self.device, field, np.concatenate(drawn))
        return own

    def perturbation_gains(self) -> list[Floats]:
        """Gains of the DACs that add perturbations at each layer's lines, (chips, units); held within 0.5 to 1.5."""
        spread = self.numbers.perturbation_gain_error
        gains = list[Floats]()
        for layer, units in enumerate(self.net.units):
            errors = self._draw((1, units), "normal", spread, GAINS, (layer, 0))[:, 0]
            gains.append(np.clip(1 + errors, np.float32(0.5), np.float32(1.5)))
        return gains

    def endurances(self) -> Doubles:
        """How many writes each cell answers to, (sides, cells)."""
        mean, spread = self.numbers.max_cycles, self.numbers.max_cycles_spread
        cycles = np.full((2 * self.net.slices, len(self.keys) * self.net.cells), mean)
        for layer, k, shape, where in self._each_side() if spread else ():
            z = self._draw(shape, "normal", 1.0, CYCLES, (layer, k))
            cycles[k, where] = _LAWS["lognormal"](mean, spread, z.astype(np.float64)).ravel()
        return cycles

    def faults(self) -> Floats:
        """Where stuck cells are stuck, µS, and NaN for the others, (sides, cells)."""
        numbers = self.numbers
        stuck = np.full((2 * self.net.slices, len(self.keys) * self.net.cells), np.nan, np.float32)
        edges = np.cumsum(numbers.stuck)
        if edges[-1] > 1:
            raise ValueError(
                f"stuck_low, stuck_high and stuck_random are shares of the cells: {list(numbers.stuck)} exceed 1"
            )
        for layer, k, shape, where in self._each_side():
            u = (self._draw(shape, "uniform", 1.0, FAULTS, (layer, k)) + 1) / 2
            anywhere = (self._draw(shape, "uniform", 1.0, ANYWHERE, (layer, k)) + 1) / 2
            values = np.select([u < edges[0], u < edges[1], u < edges[2]], [0.0, 1.0, anywhere], np.nan)
            values = numbers.g_min + numbers.span * values if numbers.paired or k == 0 else np.full(u.shape, np.nan)
            cut_rows = (self._draw((1, shape[1]), "uniform", 1.0, DEAD_ROWS, (layer, 0)) + 1) / 2 < numbers.dead_rows
            u_columns = (self._draw((1, shape[0]), "uniform", 1.0, DEAD_COLUMNS, (layer, 0)) + 1) / 2
            cut_columns = u_columns < numbers.dead_columns
            values[cut_rows | cut_columns.transpose(0, 2, 1)] = DEAD  # of each chip its own
            stuck[k, where] = values.ravel()
        return stuck
