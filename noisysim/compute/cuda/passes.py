"""Passes of chips on a GPU: layer by layer over all rows, the products cuBLAS's, the rest kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from noisysim.compute import execution
from noisysim.compute.cuda import images
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.kernels.target import launch
from noisysim.compute.jit import specialised
from noisysim.compute.layout import (  # fmt: skip
    ACTIVATION,
    CELLS_AT,
    CHANNELS,
    DROP_STREAM,
    FIRST_TILE,
    KERNEL,
    LINES,
    N_IN,
    N_OUT,
    NORM_AT,
    ON_LINE,
    ON_OUTPUT,
    ON_WEIGHTS,
    POOL,
    POSITIONS,
    ROTATION_AT,
    ROWS_AT,
    TILE_COLUMNS,
    TILE_FROM,
    TILE_TO,
    TILES,
)
from noisysim.compute.protocols import Call, Standing
from noisysim.networks.tiling import Network

BEFORE, AFTER = 1, 2  # where kernels add a perturbation to lines: at the line, or behind the ADC
SEEN = 1 << 27
"""Most states of cells, a byte each, that are kept between the kernel that moves them on and the one that reads."""
MOST = 1 << 32
"""Values of one array below which kernels count."""


class Job(NamedTuple):
    """One call: the chips, what is asked of them, and what its drives add, by (pass, kind, layer)."""

    standing: Standing
    call: Call
    added: dict[tuple[int, int, int], Any]


class Passes:
    """What runs passes of chips of one device, and its work arrays.

    Parameters
    ----------
    net : Network
    loops : module
        The kernels, from ``specialised.for_device("passes", ..., backend="cuda")``.
    numbers : NamedTuple
        The device's, float32.
    chips : int
        How many run side by side.
    noisy : bool
        Whether two passes of the same input can differ.
    """

    def __init__(self, net: Network, loops: Any, numbers: Any, chips: int, noisy: bool):
        self.net, self.loops, self.numbers, self.chips, self.noisy = net, loops, numbers, chips, noisy
        self._geometry = net.geometry()
        table, tiles = net.layout()
        self._table, self._tiles = table.tolist(), tiles.tolist()
        self._rooms: dict[str, Any] = {}
        self._nothing = xp.zeros((1, 1), np.float32)  # stands for what a device or a call does not have
        self._stands: list[float] = []  # the time at which the cells of each layer stand, in a call

    # -- what a chip asks for ------------------------------------------------------------------------------------

    def forward(self, x: Any, standing: Standing, call: Call) -> None:
        """All passes of a call.

        Parameters
        ----------
        x : array
            Inputs of the rows of all chips, (rows, n_in) float32.
        standing : Standing
            Its ``peaks`` are raised, and states of its cells move on.
        call : Call
            Its ``observed`` is written to.

        Raises
        ------
        ValueError
            For more samples than kernels can count the values of.
        """
        if max(array.size for array in (*call.observed[0].inputs, *call.observed[0].activities)) >= MOST:
            raise ValueError(f"{len(x)} samples are too many for one call: hand them over in chunks (first_sample)")
        job = Job(standing, call, {(p, kind, layer): array for p, kind, layer, array in call.parts})
        self._stands = [call.stands] * self.net.depth
        for layer in range(self.net.depth):
            driven = self._drive_passes(layer, x, job)
            for k in range(self._table[layer][TILES]):
                self._read_tile(layer, k, driven, job)
            if call.training and self.net.norms[layer] is not None:
                call.settle(layer)

    def tile_lines(self, inputs: Sequence[Any], standing: Standing, first_pass: int) -> list[Any]:
        """Lines of every tile when its layer is driven with these, read with noise and not converted.

        Parameters
        ----------
        inputs : sequence of array
            What drives each layer, rows of all chips, as an observation has it.
        standing : Standing
            States of its cells move on.
        first_pass : int
            Number of the pass, which noise is counted by.

        Returns
        -------
        list of array
            (rows of all chips, lines) float32, tile by tile.
        """
        found = []
        plain = standing._replace(gains=xp.ones_like(standing.gains), peaks=xp.zeros_like(standing.peaks))
        for layer, array in enumerate(inputs):
            driven, own_rows = self._flat(layer, array), len(array) // self.chips
            for k in range(self._table[layer][TILES]):
                if self.loops.HAS_READ_CELL:
                    self._read_cells(layer, k, {0: driven}, plain, [(0, own_rows)], 0, first_pass)
                lines = xp.empty((len(array), int(self._geometry[layer, LINES])), np.float32)
                product, energy = self._analog(layer, k, 0, driven, plain, None)
                self._read_lines(layer, k, product, energy, None, 0, lines, False, False, plain, 0, first_pass)
                found.append(lines)
        return found

    def drop(self, mask: Any, layer: int, rate: float, first_sample: int, number: int, keys: Any) -> None:
        """Draw what the periphery drops of a layer's hidden outputs, (rows, values)."""
        draws, (rows, n) = specialised.draws("cuda"), mask.shape
        word = np.uint32(specialised.draws().stream_word(DROP_STREAM, layer, 0))
        launch(draws.drops, rows * -(-n // 4), mask, np.float32(rate), first_sample, number, word, keys)

    def follow(self, ranges: Any, peaks: Any) -> None:
        """Let converters follow the largest values they read, (chips, tiles) each; ``peaks`` starts again at 0."""
        launch(self.loops.follow_peaks, ranges.size, ranges.reshape(-1), peaks.reshape(-1))

    # -- work arrays and products --------------------------------------------------------------------------------

    def _room(self, name: str, *shape: int, dtype: Any = np.float32) -> Any:
        """A work array of this shape; its contents are anything. The memory of a name grows with need."""
        size = math.prod(shape)
        if name not in self._rooms or self._rooms[name].size < size:
            self._rooms[name] = xp.empty(size, dtype)
        return self._rooms[name][:size].reshape(shape)

    def _flat(self, layer: int, array: Any) -> Any:
        """What drives a layer, (rows, n_in): a row a sample and position."""
        return array.reshape(-1, self._table[layer][N_IN])

    def _part(self, flat: Any, at: int, shape: tuple[int, int]) -> Any:
        """A matrix of every chip, one below the other, from a flat buffer; `at` is where one chip alone has it."""
        first = self.chips * at
        return flat[first : first + self.chips * shape[0] * shape[1]].reshape(-1, shape[1])

    def _multiply(self, x: Any, weights: Any, out: Any) -> None:
        """out = x weights^T, chip by chip: weights (chips n_out, n_in), rows of x those of all chips."""
        if self.chips == 1:
            xp.matmul(x, weights.T, out=out)
            return
        each = weights.reshape(self.chips, -1, x.shape[1]).swapaxes(1, 2)
        x, out = x.reshape(self.chips, -1, x.shape[1]), out.reshape(self.chips, -1, each.shape[2])
        xp.matmul(x, each, out=out)

    def _multiply_some(self, x: Any, weights: Any, out: Any, span: tuple[int, int]) -> None:
        """The same of some rows of every chip."""
        first, last = span
        if self.chips * (last - first) == len(x):
            self._multiply(x, weights, out)
            return
        for chip, own in enumerate(weights.reshape(self.chips, -1, x.shape[1])):
            at = chip * (len(x) // self.chips)
            xp.matmul(x[at + first : at + last], own.T, out=out[at + first : at + last])

    def _extremes(self, rows: Any, full_scale: Any) -> tuple[Any, Any]:
        """Each row's largest and lowest value; where a full scale is given nobody asks for them."""
        if full_scale > 0:
            return self._nothing[0], self._nothing[0]
        top, low = self._room("largest", len(rows)), self._room("lowest", len(rows))
        xp.max(rows, axis=1, out=top)
        xp.min(rows, axis=1, out=low)
        return top, low

    def _as_rows(self, array: Any, shape: tuple[int, ...]) -> Any:
        """An array of values as rows of this shape; `None` as what no kernel reads."""
        return self._nothing if array is None else xp.ascontiguousarray(array, np.float32).reshape(shape)

    # -- what drives arrays --------------------------------------------------------------------------------------

    def _drive_passes(self, layer: int, x: Any, job: Job) -> list[Any]:
        """What drives a layer in each pass, (rows, n_in).

        Written to the observations; kept here where they have no room for it. Of a pass that has not parted from the
        first it is the same.
        """
        observed, found = job.call.observed, [self._flat(layer, job.call.observed[0].inputs[layer])]
        self._drive(layer, 0, x, job, found[0])
        for p in range(1, len(observed)):
            same = layer == 0 or layer <= job.call.fork[p]
            if layer == 0 or (same and not observed.whole):
                found.append(found[0])
                continue
            if observed.whole:
                found.append(self._flat(layer, observed[p].inputs[layer]))
            else:
                found.append(self._room(f"driven {p}", *found[0].shape))
            if same:
                found[p][...] = found[0]
            else:
                self._drive(layer, p, x, job, found[p])
        return found

    def _drive(self, layer: int, p: int, x: Any, job: Job, driven: Any) -> None:
        """What drives a layer in one pass: hidden outputs, their patches, decorrelated, converted."""
        g, n, standing = self._geometry[layer], self.net.fan_in[layer], job.standing
        plain = driven if driven.shape[1] == n else self._room("inputs", len(driven), n)  # without the bias line
        turned, patched = standing.rotations.size > 0, g[KERNEL] > 0
        source = self._room("sources", len(driven), n) if turned else plain
        values = self._room("image", len(x), self.net.sizes[layer]) if patched else source
        if layer > 0:
            self._give(layer - 1, p, job, values.reshape(len(x), -1))
        elif patched:
            images.channels_last(x, int(g[CHANNELS]), values)
        else:
            source = x
        if patched:
            images.unfold(values, g, source)
        if turned:
            self._multiply(source, self._part(standing.rotations, self._table[layer][ROTATION_AT], (n, n)), plain)
            source = plain
        if source is not driven or self.loops.HAS_DAC:
            self._convert(layer, source, standing, driven)

    def _convert(self, layer: int, source: Any, standing: Standing, driven: Any) -> None:
        """What the DAC makes of a layer's inputs, and the bias line."""
        full_scale = standing.dac_range if self.loops.HAS_DAC else np.float32(1.0)
        own = standing.rows_own if self.loops.OWN_ROWS else self._nothing
        launch(
            self.loops.drive, driven.size, source, *self._extremes(source, full_scale), full_scale, own,
            self.chips * self._table[layer][ROWS_AT], self.chips, driven, self.numbers,
        )  # fmt: skip

    def _give(self, layer: int, p: int, job: Job, out: Any) -> None:
        """What a layer gives to the next in one pass: its lines pooled, normalised, through the activation function,
        some dropped, moved."""
        g, units, observed = self._geometry[layer], self._table[layer][N_OUT], job.call.observed
        values = observed[p].activities[layer].reshape(len(out), -1)
        if g[POOL] > 0:
            pooled = self._room("pooled", *out.shape)
            images.pool(values, units, g, pooled)
            values = pooled
        norms = job.standing.norms if g[NORM_AT] >= 0 else self._nothing
        mask = observed.layer_masks[layer] if len(observed.layer_masks) else None
        extra = job.added.get((p, ON_OUTPUT, layer))
        launch(
            self.loops.give, out.size, values, norms, self.chips * int(g[NORM_AT]), units,
            int(g[ACTIVATION]), self._as_rows(mask, out.shape), mask is not None, self._as_rows(extra, out.shape),
            extra is not None, self.chips, out,
        )  # fmt: skip

    # -- what is read --------------------------------------------------------------------------------------------

    def _read_tile(self, layer: int, k: int, driven: list[Any], job: Job) -> None:
        """Read the k-th tile of a layer in every pass; in the layer in which passes part they share its product."""
        standing, call = job.standing, job.call
        if self.loops.HAS_READ_CELL:
            parted = {p: x for p, x in enumerate(driven) if p == 0 or layer >= call.fork[p]}
            blocks = self._blocks(layer, len(call.observed[0].activities[layer]) // self.chips, call)
            for first, last, time in call.course:
                self._age(layer, time, call)
                here = [block for block in blocks if first <= block[0] < last]
                self._read_cells(layer, k, parted, standing, here, call.first_sample, call.first_pass)
        shared: Any = None
        for p, x in enumerate(driven):
            activities = call.observed[p].activities[layer]
            if p > 0 and layer < call.fork[p]:
                if k == self._table[layer][TILES] - 1:
                    activities[...] = call.observed[0].activities[layer]
                continue
            apart = p == 0 or layer > call.fork[p] or self.loops.HAS_READ_CELL
            product, energy = self._analog(layer, k, p, x, standing, call) if apart else shared
            shared = shared or (product, energy)
            perturbation = self._perturbation(layer, p, x, job) if k == 0 else None
            self._read_lines(
                layer, k, product, energy, perturbation, AFTER if call.digital else BEFORE,
                activities.reshape(product.shape), k > 0, call.convert, standing, call.first_sample,
                call.first_pass + p,
            )  # fmt: skip

    def _age(self, layer: int, time: float | None, call: Call | None) -> None:
        """Make the cells of a layer stand at a time of a call's course."""
        if call and time is not None and self._stands[layer] != time:
            call.age(time, (layer, layer + 1))
            self._stands[layer] = time

    def _cell_inputs(self, layer: int, k: int, driven: Any, standing: Standing, name: str = "cells") -> Any:
        """What drives the cells of a tile: its part of what drives the layer, bent by the cells' I-V curve."""
        tile = self._table[layer][FIRST_TILE] + k
        start, stop = self._tiles[tile][TILE_FROM], self._tiles[tile][TILE_TO]
        if not self.loops.HAS_CURRENT and stop - start == driven.shape[1]:
            return driven
        full_scale = standing.dac_range if self.loops.HAS_CURRENT else np.float32(1.0)
        x = self._room(name, len(driven), stop - start)
        launch(
            self.loops.cell_inputs, x.size, driven, start, *self._extremes(driven, full_scale), full_scale,
            standing.ranges, tile, x, self.numbers,
        )  # fmt: skip
        return x

    def _analog(
        self, layer: int, k: int, p: int, driven: Any, standing: Standing, call: Call | None
    ) -> tuple[Any, Any]:
        """What a tile's lines carry in a pass, and the variance that its cells add to a read, (samples, lines) each.

        Of a call the cells follow its course. Cells that are read one by one have been.
        """
        n_out, lines = self._table[layer][N_OUT], int(self._geometry[layer, LINES])
        start, stop, at, _ = self._tiles[self._table[layer][FIRST_TILE] + k]
        by_cell, shape = self.loops.HAS_READ_CELL, (n_out, stop - start)
        varied = self.loops.HAS_CELL_STD and standing.variances.size > 0
        # the first pass's stay while others share them: with noise in every read all do before one has its own
        which = p if by_cell else int(p > 0 and not self.noisy)
        product, energy = self._room(f"product {which}", len(driven), n_out), self._nothing
        x = self._cell_inputs(layer, k, driven, standing) if varied or not by_cell else driven
        products = [] if by_cell else [(x, self._part(standing.weights, at, shape), product)]
        if varied:
            squares, energy = self._room("squares", *x.shape), self._room(f"energy {which}", len(driven), n_out)
            xp.multiply(x, x, out=squares)
            products.append((squares, self._part(standing.variances, at, shape), energy))
            energy = energy.reshape(-1, lines)
        positions = int(self._geometry[layer, POSITIONS])
        for first, last, time in call.course if call else [(0, len(x) // (self.chips * positions), None)]:
            self._age(layer, time, call)
            for rows, array, out in products:
                self._multiply_some(rows, array, out, (first * positions, last * positions))
        return product.reshape(-1, lines), energy

    def _perturbation(self, layer: int, p: int, driven: Any, job: Job) -> Any:
        """What a drive adds to a layer's lines, (samples, lines), or `None`."""
        lines = int(self._geometry[layer, LINES])
        weights = job.added.get((p, ON_WEIGHTS, layer))
        if weights is None:
            given = job.added.get((p, ON_LINE, layer))
            return None if given is None else self._as_rows(given, (-1, lines))
        beside = self._room("beside", len(driven), self._table[layer][N_OUT])
        self._multiply(driven, xp.ascontiguousarray(weights, np.float32), beside)
        return beside.reshape(-1, lines)

    def _read_lines(
        self, layer: int, k: int, product: Any, energy: Any, perturbation: Any, where: int, activities: Any,
        accumulate: bool, convert: bool, standing: Standing, first_sample: int, number: int,
    ) -> None:  # fmt: skip
        """Digitise a tile's lines in one pass into `activities`, or add them to what is there."""
        tile, units = self._table[layer][FIRST_TILE] + k, self._table[layer][N_OUT]
        add = 0 if perturbation is None else where
        own = standing.columns_own if self.loops.OWN_COLUMNS else self._nothing
        launch(
            self.loops.read_lines, len(product) * -(-product.shape[1] // 4), product, energy,
            perturbation if add else self._nothing, add, activities, accumulate, convert, standing.ranges,
            standing.gains, standing.peaks.view(np.int32), tile, own, self.chips * self._tiles[tile][TILE_COLUMNS],
            units, layer, k, first_sample, number, standing.keys, self.numbers,
        )  # fmt: skip

    # -- cells that are read one by one --------------------------------------------------------------------------

    def _blocks(self, layer: int, samples: int, call: Call) -> list[tuple[int, int]]:
        """Samples of a chip that go through a layer in all passes before the next ones do.

        It matters to cells with a past alone; theirs is then the same on every backend, and in chunks of a batch.
        """
        if not self.loops.HAS_JUMP:
            return [(first, last) for first, last, _ in call.course]
        rows = next(s.rows for s in self.net.stages(call.training) if s.layers[0] <= layer < s.layers[1])
        return execution.spans(samples, rows)

    def _read_cells(
        self, layer: int, k: int, driven: dict[int, Any], standing: Standing, blocks: list[tuple[int, int]],
        first_sample: int, first_pass: int,
    ) -> None:  # fmt: skip
        """Line currents of a tile, every cell read by itself, in some passes: block after block, as time goes."""
        cells: Any = standing.cells
        positions = int(self._geometry[layer, POSITIONS])
        between = np.float32(cells.interval / positions)
        arrays = {p: self._cell_inputs(layer, k, x, standing, f"cells {p}") for p, x in driven.items()}
        for first, last in blocks:
            for p, x in arrays.items():
                product = self._room(f"product {p}", len(x), self._table[layer][N_OUT])
                waited = cells.waited if first_sample + first + p == 0 else between
                when = (np.float32(waited), between, first_sample * positions, first_pass + p)
                self._read_cells_of(layer, k, x, standing, (first * positions, last * positions), when, product)

    def _read_cells_of(
        self, layer: int, k: int, x: Any, standing: Standing, span: tuple[int, int], when: tuple, product: Any
    ) -> None:
        """The same of some rows of each chip; states of cells that have any move on before a read, some rows at once.

        `when` is the seconds before the first row and before the others, the number of a chip's row 0, and the pass's.
        """
        cells: Any = standing.cells
        loops, (n_in, n_out, tile, *_), (waited, between, sample, number) = self.loops, self._table[layer], when
        tile += k
        start, n, total = self._tiles[tile][TILE_FROM], x.shape[1], cells.now.shape[1]
        s = k // (self._table[layer][TILES] // cells.units.shape[1])
        lie = (2 * s, total, self.chips * self._table[layer][CELLS_AT] + start, n_in * n_out, n_in)
        own = cells.own.reshape(len(cells.own), -1) if loops.OWN_CELLS else self._nothing
        most = max(1, SEEN // (self.chips * 2 * n_out * n)) if loops.HAS_JUMP else span[1] - span[0]
        for first in range(*span, most):
            rows, seen = min(most, span[1] - first), self._nothing
            counted = (sample, number, layer, tile, k, standing.keys)
            if loops.HAS_JUMP:
                seen = self._room("seen", self.chips * rows, 2 * n_out * n, dtype=np.uint8)
                launch(
                    loops.move_states, self.chips * n_out * (2 if loops.PAIRED else 1) * ((n + 3) // 4),
                    cells.states.reshape(-1), own, standing.ranges, *lie, n, n_out, rows, first,
                    waited if first == span[0] else between, between, *counted, seen, self.numbers,
                )  # fmt: skip
            launch(
                loops.read_cells, self.chips * rows * n_out, x, cells.now.reshape(-1), own, seen, standing.ranges, *lie,
                cells.units[layer, s], rows, first, *counted, product, self.numbers,
            )  # fmt: skip
