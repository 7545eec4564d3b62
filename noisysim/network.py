"""The shape of a network and where its parts lie: layers, their tiles, and offsets into flat buffers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from noisysim.fields import check_choice
from noisysim.scalars.activations import ACTIVATIONS


@dataclass(frozen=True)
class Network:
    """A fully connected network: sizes, hidden activation, and the tiling of its arrays.

    Parameters
    ----------
    sizes : tuple of int
        Units, input first.
    activation : str
        Of hidden units; the last layer is linear.
    bias : bool
        Whether each array has one more row, driven with the constant 1.
    tile_rows, tile_columns : int
        Most inputs and outputs one physical array can have; 0 is no limit.
    slices, slice_bits : int
        Arrays that share a weight's bits, and how many bits of its magnitude each holds.
    """

    sizes: tuple[int, ...]
    activation: str = "leaky_relu"
    bias: bool = False
    tile_rows: int = 0
    tile_columns: int = 0
    slices: int = 1
    slice_bits: int = 4

    @property
    def depth(self) -> int:
        """Number of layers of weights."""
        return len(self.sizes) - 1

    @cached_property
    def columns(self) -> list[int]:
        """Inputs of each layer's array, the bias included."""
        return [n + self.bias for n in self.sizes[:-1]]

    @cached_property
    def units(self) -> list[int]:
        """Units of each layer."""
        return list(self.sizes[1:])

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of each layer's weights, (n_out, n_in)."""
        return list(zip(self.units, self.columns, strict=True))

    @cached_property
    def cells(self) -> int:
        """Number of weights."""
        return sum(a * b for a, b in self.shapes)

    def row_tiles(self, layer: int) -> list[tuple[int, int]]:
        """The ranges of inputs that layer's arrays hold."""
        return _cut(self.columns[layer], self.tile_rows)

    def column_tiles(self, layer: int) -> list[tuple[int, int]]:
        """The ranges of outputs that a layer's arrays hold."""
        return _cut(self.units[layer], self.tile_columns)

    def tiles(self, layer: int) -> int:
        """How many arrays' partial sums make a layer's outputs: those of every slice."""
        return self.slices * len(self.row_tiles(layer))

    @cached_property
    def conversions(self) -> tuple[int, int, int]:
        """Array products, DAC and ADC conversions of one sample's pass."""
        mvms = dac = adc = 0
        for layer, (n_out, n_in) in enumerate(self.shapes):
            rows, columns = self.tiles(layer), len(self.column_tiles(layer))
            mvms += rows * columns
            dac += n_in * columns  # slices share their inputs' converters
            adc += n_out * rows
        return mvms, dac, adc

    def layout(self) -> tuple[np.ndarray, np.ndarray]:
        """The integer tables `table` and `tiles` that the loops read (columns named in `kernels.layout`)."""
        table = np.zeros((self.depth, 8), np.int64)
        tiles: list[tuple[int, int, int, int]] = []
        inputs = activities = cells = rotations = columns = 0
        for layer, (n_out, n_in) in enumerate(self.shapes):
            ranges = self.row_tiles(layer) * self.slices
            table[layer] = (n_in, n_out, len(tiles), len(ranges), inputs, activities, cells, rotations)
            for k, (start, stop) in enumerate(ranges):
                slice_at = cells * self.slices + k // (len(ranges) // self.slices) * n_in * n_out
                tiles.append((start, stop, slice_at + n_out * start, columns))
                columns += n_out
            inputs, activities = inputs + n_in, activities + n_out
            cells, rotations = cells + n_in * n_out, rotations + self.sizes[layer] ** 2
        return table, np.array(tiles, np.int64)


def _cut(n: int, most: int) -> list[tuple[int, int]]:
    """Ranges of nearly the same size, none longer than `most`; 0 is no limit."""
    count = math.ceil(n / most) if most else 1
    return list(itertools.pairwise(round(k * n / count) for k in range(count + 1)))


def network(sizes: Sequence[int], activation: str, bias: bool, device: object) -> Network:
    """A checked `Network` for a device's arrays."""
    if isinstance(sizes, (str, bytes, Mapping)) or not isinstance(sizes, Iterable):
        raise TypeError(f"layers must be a list of units such as [784, 256, 10], not {sizes!r}")
    sizes = tuple(sizes)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in sizes)
    if len(sizes) < 2 or not whole:
        raise ValueError(f"layers must be at least two whole numbers above 0 (inputs, ..., outputs), not {sizes!r}")
    check_choice("activation", activation, ACTIVATIONS)
    defaults = {"tile_rows": 0, "tile_columns": 0, "slices": 1, "slice_bits": 4}
    given = {name: int(getattr(device, name, default)) for name, default in defaults.items()}
    return Network(tuple(int(n) for n in sizes), activation, bool(bias), **given)
