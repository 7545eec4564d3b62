"""Cells that are read one by one, on a GPU: what drives them, and line currents block after block, as time goes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.cuda.kernels.target import launch, launch_rows
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import CELLS_AT, FIRST_TILE, POSITIONS, TILE_FROM, TILE_TO, TILES
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

    def read(
        self, layer: int, k: int, driven: dict[int, Floats], products: dict[int, Floats], standing: Standing,
        blocks: list[tuple[int, int]], first_sample: int, first_pass: int,
    ) -> None:  # fmt: skip
        """Line currents of a tile, every cell read by itself, in some passes: block after block, as time goes."""
        cells: Any = standing.cells
        positions = int(self._geometry[layer, POSITIONS])
        between = np.float32(cells.interval / positions)
        arrays = {p: self.inputs(layer, k, x, standing, f"cells {p}") for p, x in driven.items()}
        for first, last in blocks:
            for p, x in arrays.items():
                waited = cells.waited if first_sample + first + p == 0 else between
                timing = (np.float32(waited), between, first_sample * positions, first_pass + p)
                self._read_rows(layer, k, x, standing, (first * positions, last * positions), timing, products[p])

    def _read_rows(
        self,
        layer: int,
        k: int,
        x: Floats,
        standing: Standing,
        span: tuple[int, int],
        timing: tuple[Any, ...],
        product: Floats,
    ) -> None:
        """`read`, of some rows of each chip; states of cells that have any move on before a read, some rows at once.

        `timing`: seconds before the first row and before the others, the number of a chip's row 0, and the pass's.
        """
        cells: Any = standing.cells
        loops, (n_in, n_out, tile, *_), (waited, between, sample, number) = self._loops, self._table[layer], timing
        tile += k
        start, n, total = self._tiles[tile][TILE_FROM], x.shape[1], cells.now.shape[1]
        s = k // (self._table[layer][TILES] // cells.units.shape[1])
        places = (2 * s, total, self._chips * self._table[layer][CELLS_AT] + start, n_in * n_out, n_in)
        own = cells.own.reshape(len(cells.own), -1) if loops.OWN_CELLS else self._space.nothing
        most = max(1, SEEN // (self._chips * 2 * n_out * n)) if loops.HAS_JUMP else span[1] - span[0]
        for first in range(*span, most):
            rows, seen = min(most, span[1] - first), self._space.nothing
            counted = (sample, number, layer, tile, k, standing.keys)
            if loops.HAS_JUMP:
                seen = self._space.room("seen", self._chips * rows, 2 * n_out * n, dtype=np.uint8)
                launch(
                    loops.move_states, self._chips * n_out * (2 if loops.PAIRED else 1) * ((n + 3) // 4),
                    cells.states.reshape(-1), own, standing.ranges, *places, n, n_out, rows, first,
                    waited if first == span[0] else between, between, *counted, seen, self._numbers,
                )  # fmt: skip
            launch(
                loops.read_cells, self._chips * rows * n_out, x, cells.now.reshape(-1), own, seen, standing.ranges,
                *places, cells.units[layer, s], rows, first, *counted, product, self._numbers,
            )  # fmt: skip
