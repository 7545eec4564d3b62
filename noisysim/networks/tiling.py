"""How a network is placed on a chip: its layers' tiles, and offsets into flat buffers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from noisysim.common.types import Ints
from noisysim.networks import plan
from noisysim.networks.activations import Activation
from noisysim.networks.architecture import Architecture
from noisysim.networks.block import Block
from noisysim.networks.building import architecture

BLOCK_ROWS = 512
"""Samples of a batch after which the way it is cut begins anew: at multiples of it a batch may be taken in chunks."""
BLOCK_VALUES = 1 << 18
"""Values of patches that the samples of one task may have in convolutions; a task has one sample at least."""
LEAST_ROWS = 32
"""Rows of a product below which it costs more to cut them than a second core gains."""
LEAST_FLOPS = 8e6
"""Work of a pass below which it is left in one piece: about what handing a part of it over costs, several times."""
LINE_FLOPS = 200.0
"""Work of an output line's noise, conversion and activation (1 to 4 ns), as weighed against that of products."""


class Tiling(Protocol):
    """How arrays are cut, and weights sliced (`Network`); the numbers of a device say so."""

    @property
    def tile_rows(self) -> int: ...
    @property
    def tile_columns(self) -> int: ...
    @property
    def slices(self) -> int: ...
    @property
    def slice_bits(self) -> int: ...


class Room(NamedTuple):
    """The most that any of some layers needs: inputs of one product, and values of a sample.

    Attributes
    ----------
    columns, driven, lines, values : int
        `driven` is what drives a layer at all positions, `values` what periphery steps write.
    step : int
        What a step of a recurrent layer needs: output and state, and what drives its array.
    """

    columns: int
    driven: int
    lines: int
    values: int
    step: int = 0


class Stage(NamedTuple):
    """Layers that a block of samples goes through before the next one.

    Attributes
    ----------
    layers : (int, int)
        The first, and behind the last.
    rows : int
        Most samples of a block, at most `BLOCK_ROWS`.
    room : Room
    flops : float
        Work of one sample's pass.
    positions : int
        Fewest of any of the layers: rows that a sample has in a product.
    """

    layers: tuple[int, int]
    rows: int
    room: Room
    flops: float
    positions: int

    def spans(self, batch: int, shared: bool = True) -> list[tuple[int, int]]:
        """The blocks of samples that a batch is cut into: by shape alone, whatever the number of threads.

        Parameters
        ----------
        batch : int
            Samples of one chip.
        shared : bool
            Whether threads share the blocks: then there is an even number of them, where there is work enough.
        """
        positions = self.positions if shared else 0
        return row_spans(batch, self.flops, self.rows, positions, 1 if self.positions > 1 else 4)


@dataclass(frozen=True)
class Network(Architecture):
    """An architecture, and the tiling of its arrays.

    Parameters
    ----------
    tile_rows, tile_columns : int
        Most inputs and outputs one physical array can have; 0 is no limit.
    slices, slice_bits : int
        Arrays that share a weight's bits, and how many bits of its magnitude each holds.
    """

    tile_rows: int = 0
    tile_columns: int = 0
    slices: int = 1
    slice_bits: int = 4

    def untiled(self) -> Architecture:
        """The architecture alone."""
        return Architecture(self.input_shape, self.blocks, self.bias, self.operations, self.seen, self.end)

    def part(self, digital: bool) -> Network:
        """The layers that are digital, or those on arrays: their weights alone, and no wiring."""
        chosen = tuple(block for block in self.blocks if block.digital == digital)
        slices = 1 if digital else self.slices
        return replace(self, blocks=chosen, operations=(), seen=(), end=-1, slices=slices)

    def row_tiles(self, layer: int) -> list[tuple[int, int]]:
        """The ranges of inputs that layer's arrays hold; digital weights are in one piece."""
        return _cut(self.columns[layer], 0 if self.digital[layer] else self.tile_rows)

    def column_tiles(self, layer: int) -> list[tuple[int, int]]:
        """The ranges of outputs that a layer's arrays hold."""
        return _cut(self.units[layer], 0 if self.digital[layer] else self.tile_columns)

    def slices_of(self, layer: int) -> int:
        """How many arrays share the bits of a layer's weights."""
        return 1 if self.digital[layer] else self.slices

    def tiles(self, layer: int) -> int:
        """How many arrays' partial sums make a layer's outputs: those of every slice."""
        return self.slices_of(layer) * len(self.row_tiles(layer))

    @cached_property
    def tile_spans(self) -> list[slice]:
        """Where the tiles of each layer are among all."""
        ends = [0, *itertools.accumulate(map(self.tiles, range(self.depth)))]
        return list(itertools.starmap(slice, itertools.pairwise(ends)))

    @cached_property
    def plan(self) -> plan.Plan:
        """The order in which it is computed."""
        return plan.plan(self)

    @cached_property
    def conversions(self) -> tuple[int, int, int]:
        """Array products, DAC and ADC conversions of one sample's pass."""
        mvms = dac = adc = 0
        for layer, (n_out, n_in) in enumerate(self.shapes):
            if self.digital[layer]:
                continue
            rows, columns, p = self.tiles(layer), len(self.column_tiles(layer)), self.positions[layer]
            mvms += p * rows * columns
            dac += p * n_in * columns  # slices share their inputs' converters
            adc += p * n_out * rows
        return mvms, dac, adc

    def room(self, first: int, last: int) -> Room:
        """What the work arrays of layers first..last - 1 must hold."""
        span = slice(first, last)
        return Room(
            columns=max(self.columns[span]),
            driven=max(p * n for p, n in zip(self.positions[span], self.columns[span], strict=True)),
            lines=max(self.lines[span]),
            values=self.plan.room(first, last),
            step=max((2 * block.channels + n for block, n in zip(self.blocks[span], self.columns[span], strict=True)
                      if block.recurrence), default=0),
        )  # fmt: skip

    def stages(self, training: bool) -> list[Stage]:
        """Layers that samples go through together, all of one kind; while learning up to a normalised one."""
        ends = [
            layer + 1
            for layer, (block, above) in enumerate(itertools.pairwise(self.blocks))
            if _kind(block) != _kind(above) or (training and block.norm)
        ]
        stages = []
        for first, last in itertools.pairwise([0, *ends, self.depth]):
            room, rows = self.room(first, last), BLOCK_ROWS
            if self.blocks[first].by_position:
                rows = max(1, min(BLOCK_ROWS, BLOCK_VALUES // room.driven))
            shapes, positions = self.shapes[first:last], self.positions[first:last]
            flops = 2.0 * sum(p * n_out * n_in for p, (n_out, n_in) in zip(positions, shapes, strict=True))
            flops += LINE_FLOPS * sum(self.lines[first:last])
            stages.append(Stage((first, last), rows, room, flops, min(positions)))
        return stages

    def tail(self) -> Stage:
        """What follows the last layer, where the periphery makes the network's output."""
        values = self.plan.room(self.depth, self.depth + 1)
        steps = sum(self.node_size(node) for node in self.due[self.depth])
        return Stage((self.depth, self.depth + 1), BLOCK_ROWS, Room(1, 1, 1, values), LINE_FLOPS * steps, 1)

    def layout(self) -> tuple[Ints, Ints]:
        """The integer tables `table` and `tiles` that the loops read (columns named in `noisysim.compute.layout`).

        Weights and lines' own values are counted among those on arrays, and apart from them among digital ones.
        """
        table = np.zeros((self.depth, 9), np.int64)
        tiles: list[tuple[int, int, int, int]] = []
        inputs = activities = rotations = 0
        cells, columns, rows = [0, 0], [0, 0], [0, 0]
        for layer, (n_out, n_in) in enumerate(self.shapes):
            kind, slices = self.digital[layer], self.slices_of(layer)
            ranges = self.row_tiles(layer) * slices
            table[layer] = (
                n_in,
                n_out,
                len(tiles),
                len(ranges),
                inputs,
                activities,
                cells[kind],
                rotations,
                rows[kind],
            )
            for k, (start, stop) in enumerate(ranges):
                slice_at = cells[kind] * slices + k // (len(ranges) // slices) * n_in * n_out
                tiles.append((start, stop, slice_at + n_out * start, columns[kind]))
                columns[kind] += n_out
            inputs, activities = inputs + self.positions[layer] * n_in, activities + self.lines[layer]
            rotations += self.turned[layer] ** 2
            cells[kind], rows[kind] = cells[kind] + n_in * n_out, rows[kind] + n_in
        return table, np.array(tiles, np.int64)


def _kind(block: Block) -> tuple[bool, bool]:
    """Whether a layer is a convolution, and whether it is recurrent: others are not taken together with it."""
    return block.is_conv, block.recurrence is not None


def row_spans(
    batch: int, flops: float, most: int | None = None, positions: int = 1, unit: int = 4
) -> list[tuple[int, int]]:
    """Blocks of a batch that threads share: an even number of nearly the same size, where there is work enough.

    By shape alone, whatever the number of threads; anew from every `BLOCK_ROWS`, so that chunks of a batch are cut as
    the batch is.

    Parameters
    ----------
    batch : int
    flops : float
        Work of one sample.
    most : int, optional
        Samples of a block; default: `BLOCK_ROWS`.
    positions : int
        Rows of a product that a sample has; 0 if the blocks are not shared.
    unit : int
        Blocks have a multiple of this many samples.
    """
    spans: list[tuple[int, int]] = []
    for first in range(0, batch, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, batch - first)
        count = -(-rows // (most or BLOCK_ROWS))
        if rows > 1 and rows * positions >= 2 * LEAST_ROWS and rows * flops >= LEAST_FLOPS:
            count = max(2, count + count % 2)
        size = unit * -(-rows // (unit * count))
        spans += [(at, min(at + size, first + rows)) for at in range(first, first + rows, size)]
    return spans


def _cut(n: int, most: int) -> list[tuple[int, int]]:
    """Ranges of nearly the same size, none longer than `most`; 0 is no limit."""
    count = math.ceil(n / most) if most else 1
    return list(itertools.pairwise(round(k * n / count) for k in range(count + 1)))


def network(layers: Sequence[Any], activation: str | Activation, bias: bool, numbers: Tiling) -> Network:
    """A checked `Network` for arrays of this tiling; `layers` as in `noisysim.networks.architecture.architecture`."""
    built = architecture(layers, activation, bias)
    return Network(
        built.input_shape, built.blocks, built.bias, built.operations, built.seen, built.end, numbers.tile_rows,
        numbers.tile_columns, numbers.slices, numbers.slice_bits,
    )  # fmt: skip
