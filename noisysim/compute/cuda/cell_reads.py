"""Cells that are read one by one, on a GPU: what drives them, and line currents block after block, as time goes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Array, Floats
from noisysim.compute.cuda.kernels.target import launch, launch_rows
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import CELLS_AT, FIRST_TILE, N_OUT, POSITIONS, TILE_FROM, TILE_TO, TILES
from noisysim.compute.protocols import Call, Standing
from noisysim.networks.tiling import Network

SEEN = 1 << 27
"""Most states of cells, a byte each, that are kept between the kernel that moves them on and the one that reads."""


class CellReader:
    """Reads tiles cell by cell; parameters are those of `noisysim.compute.cuda.passes.Passes`, and its work arrays."""

    def __init__(self, net: Network, loops: ModuleType, numbers: tuple[np.float32, ...], chips: int, space: Workspace):
        self._net, self._loops, self._numbers, self._chips, self._space = net, loops, numbers, chips, space
        table, tiles = net.layout()
        self._table, self._tiles, self._geometry = table.tolist(), tiles.tolist(), net.geometry()

    def inputs(
        self, layer: int, k: int, driven: Floats, standing: Standing, name: str = "cells", passes: int = 1
    ) -> Floats:
        """What drives the cells of a tile: its part of what drives the layer, bent by the cells' I-V curve."""
        tile = self._table[layer][FIRST_TILE] + k
        start, stop = self._tiles[tile][TILE_FROM], self._tiles[tile][TILE_TO]
        if not self._loops.HAS_CURRENT and stop - start == driven.shape[1]:
            return driven
        full_scale = standing.dac_range if self._loops.HAS_CURRENT else np.float32(1.0)
        x: Floats = self._space.room(name, len(driven), stop - start)
        launch_rows(
            self._loops.cell_inputs, *x.shape, driven, start, full_scale, standing.ranges, tile, passes, x,
            self._numbers,
        )  # fmt: skip
        return x

    def blocks(self, layer: int, samples: int, call: Call) -> list[tuple[int, int]]:
        """Samples of a chip that go through a layer in all passes before the next ones do.

        It matters to cells with a past alone; theirs is then the same on every backend, and in chunks of a batch.
        """
        if not self._loops.HAS_JUMP:
            return [(first, last) for first, last, _ in call.course]
        stage = next(s for s in self._net.stages(call.training) if s.layers[0] <= layer < s.layers[1])
        return stage.spans(samples, shared=False)

    def parts(self, layer: int, block: tuple[int, int]) -> list[tuple[int, int]]:
        """Samples of a block that go through all steps of a recurrent layer before the next ones do.

        As many as the states that their reads find may be kept of, and one at least.
        """
        if not self._loops.HAS_JUMP:
            return [block]
        row, positions = self._table[layer], int(self._geometry[layer, POSITIONS])
        tiles = self._tiles[row[FIRST_TILE] : row[FIRST_TILE] + row[TILES]]
        states = 2 * row[N_OUT] * sum(tile[TILE_TO] - tile[TILE_FROM] for tile in tiles)
        most = max(1, SEEN // (self._chips * positions * states))
        return [(first, min(first + most, block[1])) for first in range(*block, most)]

    def read(
        self, layer: int, k: int, driven: dict[int, Floats], products: dict[int, Floats], standing: Standing,
        blocks: list[tuple[int, int]], first_sample: int, first_pass: int,
    ) -> None:  # fmt: skip
        """Line currents of a tile, every cell read by itself, in some passes: block after block, as time goes."""
        arrays = {p: self.inputs(layer, k, x, standing, f"cells {p}") for p, x in driven.items()}
        positions, states = int(self._geometry[layer, POSITIONS]), self._chips * 2 * self._table[layer][N_OUT]
        for block in blocks:
            for p, x in arrays.items():
                rows = range(block[0] * positions, block[1] * positions)
                most = max(1, SEEN // (states * x.shape[1])) if self._loops.HAS_JUMP else len(rows)
                for first in rows[::most]:
                    some = first, min(first + most, rows.stop)
                    seen = self._move(layer, k, standing, some, (first_sample, p, first_pass))
                    counted = (first_sample * positions, 1, 0, first_pass + p)
                    self._carry(layer, k, x, products[p], standing, some, seen, counted)

    def follow(
        self, layer: int, standing: Standing, samples: tuple[int, int], counted: tuple[int, int, int]
    ) -> list[Array]:
        """The states that all reads of a recurrent layer's second array find, of each tile, as time goes.

        `counted`: the call's first sample, the pass, and the number of the call's first pass.
        """
        positions = int(self._geometry[layer, POSITIONS])
        rows, tiles = (samples[0] * positions, samples[1] * positions), range(self._table[layer][TILES])
        return [self._move(layer, k, standing, rows, counted, f"seen {k}") for k in tiles]

    def read_step(
        self, layer: int, k: int, driven: Floats, product: Floats, standing: Standing, seen: Array,
        counted: tuple[int, int, int, int],
    ) -> None:  # fmt: skip
        """Line currents of a recurrent layer's second array at one read, of some samples of each chip.

        `counted`: the number of a chip's first one, the layer's steps, which this is, and the number of the pass.
        """
        x = self.inputs(layer, k, driven, standing)
        self._carry(layer, k, x, product, standing, (0, len(x) // self._chips), seen, counted)

    def _move(
        self, layer: int, k: int, standing: Standing, rows: tuple[int, int], counted: tuple[int, int, int],
        name: str = "seen",
    ) -> Array:  # fmt: skip
        """States of a tile's cells at some rows of each chip, (chips rows, sides lines cells), if they have any.

        They waited before the call's first row in the first pass; `counted` as in `follow`.
        """
        if not self._loops.HAS_JUMP:
            return self._space.nothing
        cells: Any = standing.cells
        loops, (first, last), (first_sample, p, first_pass) = self._loops, rows, counted
        n_out, positions = self._table[layer][N_OUT], int(self._geometry[layer, POSITIONS])
        tile, n, own, places = self._place(layer, k, standing)
        between = np.float32(cells.interval / positions)
        waited = cells.waited if first_sample + p + first == 0 else between
        seen: Array = self._space.room(name, self._chips * (last - first), 2 * n_out * n, dtype=np.uint8)
        launch(
            loops.move_states, self._chips * n_out * (2 if loops.PAIRED else 1) * ((n + 3) // 4),
            cells.states.reshape(-1), own, standing.ranges, *places, n, n_out, last - first, first,
            np.float32(waited), between, first_sample * positions, first_pass + p, layer, tile, k, standing.keys, seen,
            self._numbers,
        )  # fmt: skip
        return seen

    def _carry(
        self, layer: int, k: int, x: Floats, product: Floats, standing: Standing, rows: tuple[int, int], seen: Array,
        counted: tuple[int, int, int, int],
    ) -> None:  # fmt: skip
        """Line currents of a tile in some rows of each chip; `counted` as in `read_step`, where rows are samples."""
        cells: Any = standing.cells
        n_out, (tile, _, own, places) = self._table[layer][N_OUT], self._place(layer, k, standing)
        unit = cells.units[layer, places[0] // 2]
        launch(
            self._loops.read_cells, self._chips * (rows[1] - rows[0]) * n_out, x, cells.now.reshape(-1), own, seen,
            standing.ranges, *places, unit, rows[1] - rows[0], rows[0], *counted, layer, tile, k, standing.keys,
            product, self._numbers,
        )  # fmt: skip

    def _place(self, layer: int, k: int, standing: Standing) -> tuple[int, int, Floats, tuple[int, ...]]:
        """A tile's number, its inputs, own values of cells, and where its cells are, as kernels take it."""
        cells: Any = standing.cells
        n_in, n_out, first, tiles, *_ = row = self._table[layer]
        start, stop = self._tiles[first + k][TILE_FROM], self._tiles[first + k][TILE_TO]
        own = cells.own.reshape(len(cells.own), -1) if self._loops.OWN_CELLS else self._space.nothing
        side, at = 2 * (k // (tiles // cells.units.shape[1])), self._chips * row[CELLS_AT] + start
        return first + k, stop - start, own, (side, cells.now.shape[1], at, n_in * n_out, n_in)
