"""Passes of chips on a GPU: layer by layer over all rows, the products cuBLAS's, the rest kernels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.source import uses
from noisysim.common.types import Floats, Words
from noisysim.compute.behaviour import Behaviour, ReadFlags
from noisysim.compute.cuda import images, operations, specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.cell_reads import CellReader
from noisysim.compute.cuda.kernels.target import launch
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import (  # fmt: skip
    ACTIVATION,
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
    TILES,
)
from noisysim.compute.noise import stream_word
from noisysim.compute.protocols import Call, Standing
from noisysim.networks.architecture import INPUT
from noisysim.networks.tiling import Network

BEFORE, AFTER = 1, 2  # where kernels add a perturbation to lines: at the line, or behind the ADC
MOST = 1 << 32
"""Values of one array below which kernels count."""


class Job(NamedTuple):
    """One call: the chips, what is asked of them, and what its drives add, by (pass, kind, layer)."""

    standing: Standing
    call: Call
    added: dict[tuple[int, int, int], Floats]


def _kernels(net: Network, behaviour: Behaviour, flags: ReadFlags) -> ModuleType:
    """The kernels of passes, with the device's hooks in them."""
    hooks, own, spreads = behaviour.hooks, behaviour.own, behaviour.spreads
    constants = {
        **{f"HAS_{h.upper()}": h in own for h in ("dac", "current", "adc", "cell_std", "read_cell", "jump")},
        "COMPENSATED": flags.compensated,
        "SCALED": flags.scaled,
        **{f"OWN_{part.upper()}S": bool(spreads[part]) for part in ("row", "column")},
        # constants that only reads cell by cell need are off elsewhere: more devices share their kernels
        "OWN_CELLS": "read_cell" in own and bool(spreads["cell"]),
        "PAIRED": flags.paired,
        "USES_NORMAL": flags.noisy and uses(hooks["readout"], "z"),
        "USES_UNIFORM": flags.noisy and uses(hooks["readout"], "u"),
        "CELL_NORMAL": flags.noisy and uses(hooks["read_cell"], "z"),
        "CELL_UNIFORM": flags.noisy and uses(hooks["read_cell"], "u"),
    }
    return specialised.for_device("passes", behaviour, constants, net.kinds)


class Passes:
    """What runs passes of chips of one device, and its work arrays.

    Parameters
    ----------
    net : Network
    behaviour : Behaviour
        The device's.
    flags : ReadFlags
    chips : int
        How many run side by side.

    Attributes
    ----------
    loops : module
        The kernels, with the device's hooks in them.
    numbers : NamedTuple
        The device's numbers that its hooks read, float32.
    """

    def __init__(self, net: Network, behaviour: Behaviour, flags: ReadFlags, chips: int):
        self.net, self.chips, self.noisy = net, chips, flags.noisy
        self.loops = loops = _kernels(net, behaviour, flags)
        self.numbers = numbers = specialised.numbers_of(loops, behaviour)
        self._geometry = net.geometry()
        table, tiles = net.layout()
        self._table, self._tiles = table.tolist(), tiles.tolist()
        self._space = Workspace(chips)
        self._cells = CellReader(net, loops, numbers, chips, self._space)
        self._stands: list[float] = []  # the time at which the cells of each layer stand, in a call

    # -- what a chip asks for ------------------------------------------------------------------------------------

    def forward(self, x: Floats, standing: Standing, call: Call) -> None:
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
        if self.net.has_tail:
            self._finish(x, job)

    def _finish(self, x: Floats, job: Job) -> None:
        """The network's output in every pass, where the periphery makes it of the last lines."""
        for p, observation in enumerate(job.call.observed):
            for node in self.net.due[self.net.depth]:
                self._compute(node, p, x, job, self._room_of(node, p, len(x), job))
            observation.output[...] = self._value(self.net.output, p, x, job)

    def tile_lines(self, inputs: Sequence[Floats], standing: Standing, first_pass: int) -> list[Floats]:
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
        tiles = []
        plain = standing._replace(gains=xp.ones_like(standing.gains), peaks=xp.zeros_like(standing.peaks))
        for layer, array in enumerate(inputs):
            driven, own_rows = self._flat(layer, array), len(array) // self.chips
            for k in range(self._table[layer][TILES]):
                if self.loops.HAS_READ_CELL:
                    self._cells.read(layer, k, {0: driven}, plain, [(0, own_rows)], 0, first_pass)
                lines = xp.empty((len(array), int(self._geometry[layer, LINES])), np.float32)
                product, energy = self._analog(layer, k, 0, driven, plain, None)
                self._read_lines(layer, k, product, energy, None, 0, lines, False, False, plain, 0, first_pass)
                tiles.append(lines)
        return tiles

    def drop(self, mask: Floats, layer: int, rate: float, first_sample: int, number: int, keys: Words) -> None:
        """Draw what the periphery drops of a layer's hidden outputs, (rows, values)."""
        draws, (rows, n) = specialised.draws(), mask.shape
        word = stream_word(DROP_STREAM, layer, 0)
        launch(draws.drops, rows * -(-n // 4), mask, np.float32(rate), first_sample, number, word, keys)

    def follow(self, ranges: Floats, peaks: Floats) -> None:
        """Let converters follow the largest values they read, (chips, tiles) each; ``peaks`` starts again at 0."""
        launch(self.loops.follow_peaks, ranges.size, ranges.reshape(-1), peaks.reshape(-1))

    def _flat(self, layer: int, array: Floats) -> Floats:
        """What drives a layer, (rows, n_in): one row per sample and position."""
        return array.reshape(-1, self._table[layer][N_IN])

    # -- what drives arrays --------------------------------------------------------------------------------------

    def _drive_passes(self, layer: int, x: Floats, job: Job) -> list[Floats]:
        """What drives a layer in each pass, (rows, n_in).

        Written to the observations; kept here where they have no room for it. Of a pass that has not parted from the
        first it is the same.
        """
        observed, driven = job.call.observed, [self._flat(layer, job.call.observed[0].inputs[layer])]
        self._drive(layer, 0, x, job, driven[0])
        for p in range(1, len(observed)):
            same = layer == 0 or layer <= job.call.fork[p]
            if layer == 0 or (same and not observed.whole):
                driven.append(driven[0])
                continue
            if observed.whole:
                driven.append(self._flat(layer, observed[p].inputs[layer]))
            else:
                driven.append(self._space.room(f"driven {p}", *driven[0].shape))
            if same:
                driven[p][...] = driven[0]
            else:
                self._drive(layer, p, x, job, driven[p])
        return driven

    def _drive(self, layer: int, p: int, x: Floats, job: Job, driven: Floats) -> None:
        """What drives a layer in one pass: hidden outputs, their patches, decorrelated, converted."""
        g, n, standing = self._geometry[layer], self.net.fan_in[layer], job.standing
        plain = driven if driven.shape[1] == n else self._space.room("inputs", len(driven), n)  # without the bias line
        turned, patched = standing.rotations.size > 0, g[KERNEL] > 0
        source = self._space.room("sources", len(driven), n) if turned else plain
        node = self.net.source(layer)
        for due in self.net.due[layer]:
            if due != node or due in self.net.kept:
                self._compute(due, p, x, job, self._room_of(due, p, len(x), job))
        if node == INPUT and not patched:
            source = x
        elif node not in self.net.due[layer] or node in self.net.kept:
            values = self._value(node, p, x, job)
            source = source if patched else values.reshape(source.shape)
        else:
            values = self._space.room("image", len(x), self.net.node_size(node)) if patched else source
            self._compute(node, p, x, job, values.reshape(len(x), -1))
        if patched:
            images.unfold(values, g, source)
        if turned:
            rotations = self._space.part(standing.rotations, self._table[layer][ROTATION_AT], (n, n))
            self._space.multiply(source, rotations, plain)
            source = plain
        if source is not driven or self.loops.HAS_DAC:
            self._convert(layer, source, standing, driven)

    def _value(self, node: int, p: int, x: Floats, job: Job) -> Floats:
        """What a node gave in one pass; of the input's node an image pixel by pixel."""
        if node > INPUT:
            return self._room_of(node, p, len(x), job)
        if len(self.net.input_shape) < 3:
            return x
        values = self._space.room("image of the input", *x.shape)
        images.channels_last(x, self.net.input_shape[0], values)
        return values

    def _room_of(self, node: int, p: int, rows: int, job: Job) -> Floats:
        """Where a node's values are: kept ones pass by pass, of one that had not parted yet the first's."""
        name = f"node {node}"
        if node in self.net.kept:
            name += f" {p if self.net.first_needed[node] > job.call.fork[p] else 0}"
        return self._space.room(name, rows, self.net.node_size(node))

    def _compute(self, node: int, p: int, x: Floats, job: Job, out: Floats) -> None:
        """What a node gives in one pass, whose sources are there."""
        if node <= self.net.depth:
            self._give(node - 1, p, job, out)
            return
        operation = self.net.operation(node)
        a, *others = (self._value(source, p, x, job) for source in operation.sources)
        if operation.activation is not None:
            kernel = specialised.slopes(operation.activation).activate_all
            launch(kernel, out.size, a.reshape(-1), out.reshape(-1))
            return
        operations.forward(operation, a, others[0] if others else xp.asarray(operation.constant()), out)

    def _convert(self, layer: int, source: Floats, standing: Standing, driven: Floats) -> None:
        """What the DAC makes of a layer's inputs, and the bias line."""
        full_scale = standing.dac_range if self.loops.HAS_DAC else np.float32(1.0)
        own = standing.rows_own if self.loops.OWN_ROWS else self._space.nothing
        launch(
            self.loops.drive, driven.size, source, *self._space.extremes(source, full_scale), full_scale, own,
            self.chips * self._table[layer][ROWS_AT], self.chips, driven, self.numbers,
        )  # fmt: skip

    def _give(self, layer: int, p: int, job: Job, out: Floats) -> None:
        """What a layer gives to the next in one pass: its lines normalised, through the activation function, pooled,
        some dropped, moved; pooled first where that is the same."""
        g, units, observed = self._geometry[layer], self._table[layer][N_OUT], job.call.observed
        values = observed[p].activities[layer].reshape(len(out), -1)
        mask = observed.layer_masks[layer] if len(observed.layer_masks) else None
        extra = job.added.get((p, ON_OUTPUT, layer))
        if self.net.blocks[layer].pools_outputs:
            activated = self._space.room("activated", *values.shape)
            self._activate(layer, values, None, None, job, activated)
            images.pool(activated, units, g, out)
            if mask is not None:
                xp.multiply(out, mask.reshape(out.shape), out=out)
            if extra is not None:
                xp.add(out, extra.reshape(out.shape), out=out)
            return
        if g[POOL] > 0:
            pooled = self._space.room("pooled", *out.shape)
            images.pool(values, units, g, pooled)
            values = pooled
        self._activate(layer, values, mask, extra, job, out)

    def _activate(
        self, layer: int, values: Floats, mask: Floats | None, extra: Floats | None, job: Job, out: Floats
    ) -> None:
        """Values normalised, through the activation function, some dropped, moved."""
        g, as_rows = self._geometry[layer], self._space.as_rows
        norms = job.standing.norms if g[NORM_AT] >= 0 else self._space.nothing
        launch(
            self.loops.give, out.size, values, norms, self.chips * int(g[NORM_AT]), self._table[layer][N_OUT],
            int(g[ACTIVATION]), as_rows(mask, out.shape), mask is not None, as_rows(extra, out.shape),
            extra is not None, self.chips, out,
        )  # fmt: skip

    # -- what is read --------------------------------------------------------------------------------------------

    def _read_tile(self, layer: int, k: int, driven: list[Floats], job: Job) -> None:
        """Read the k-th tile of a layer in every pass; in the layer in which passes part they share its product."""
        standing, call = job.standing, job.call
        if self.loops.HAS_READ_CELL:
            parted = {p: x for p, x in enumerate(driven) if p == 0 or layer >= call.fork[p]}
            blocks = self._cells.blocks(layer, len(call.observed[0].activities[layer]) // self.chips, call)
            for first, last, time in call.course:
                self._age(layer, time, call)
                present = [block for block in blocks if first <= block[0] < last]
                self._cells.read(layer, k, parted, standing, present, call.first_sample, call.first_pass)
        shared: Any = None
        for p, x in enumerate(driven):
            activities = call.observed[p].activities[layer]
            if p > 0 and layer < call.fork[p]:
                if k == self._table[layer][TILES] - 1:
                    activities[...] = call.observed[0].activities[layer]
                continue
            separate = p == 0 or layer > call.fork[p] or self.loops.HAS_READ_CELL
            product, energy = self._analog(layer, k, p, x, standing, call) if separate else shared
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

    def _analog(
        self, layer: int, k: int, p: int, driven: Floats, standing: Standing, call: Call | None
    ) -> tuple[Floats, Floats]:
        """What a tile's lines carry in a pass, and the variance that its cells add to a read, (samples, lines) each.

        Of a call the cells follow its course. Cells that are read one by one have been.
        """
        n_out, lines = self._table[layer][N_OUT], int(self._geometry[layer, LINES])
        start, stop, at, _ = self._tiles[self._table[layer][FIRST_TILE] + k]
        by_cell, shape = self.loops.HAS_READ_CELL, (n_out, stop - start)
        varied = self.loops.HAS_CELL_STD and standing.variances.size > 0
        # the first pass's stay while others share them: with noise in every read all do before one has its own
        buffer = p if by_cell else int(p > 0 and not self.noisy)
        product, energy = self._space.room(f"product {buffer}", len(driven), n_out), self._space.nothing
        x = self._cells.inputs(layer, k, driven, standing) if varied or not by_cell else driven
        products = [] if by_cell else [(x, self._space.part(standing.weights, at, shape), product)]
        if varied:
            squares = self._space.room("squares", *x.shape)
            energy = self._space.room(f"energy {buffer}", len(driven), n_out)
            xp.multiply(x, x, out=squares)
            products.append((squares, self._space.part(standing.variances, at, shape), energy))
            energy = energy.reshape(-1, lines)
        positions = int(self._geometry[layer, POSITIONS])
        for first, last, time in call.course if call else [(0, len(x) // (self.chips * positions), None)]:
            self._age(layer, time, call)
            for rows, array, out in products:
                self._space.multiply_rows(rows, array, out, (first * positions, last * positions))
        return product.reshape(-1, lines), energy

    def _perturbation(self, layer: int, p: int, driven: Floats, job: Job) -> Floats | None:
        """What a drive adds to a layer's lines, (samples, lines), or `None`."""
        lines = int(self._geometry[layer, LINES])
        weights = job.added.get((p, ON_WEIGHTS, layer))
        if weights is None:
            added = job.added.get((p, ON_LINE, layer))
            return None if added is None else self._space.as_rows(added, (-1, lines))
        beside: Floats = self._space.room("beside", len(driven), self._table[layer][N_OUT])
        self._space.multiply(driven, xp.ascontiguousarray(weights, np.float32), beside)
        return beside.reshape(-1, lines)

    def _read_lines(
        self, layer: int, k: int, product: Floats, energy: Floats, perturbation: Floats | None, add_at: int,
        activities: Floats, accumulate: bool, convert: bool, standing: Standing, first_sample: int, number: int,
    ) -> None:  # fmt: skip
        """Digitise a tile's lines in one pass into `activities`, or add them to what is there."""
        tile, units = self._table[layer][FIRST_TILE] + k, self._table[layer][N_OUT]
        add = 0 if perturbation is None else add_at
        own = standing.columns_own if self.loops.OWN_COLUMNS else self._space.nothing
        launch(
            self.loops.read_lines, len(product) * -(-product.shape[1] // 4), product, energy,
            perturbation if add else self._space.nothing, add, activities, accumulate, convert, standing.ranges,
            standing.gains, standing.scales if self.loops.SCALED else self._space.nothing[0],
            standing.peaks.view(np.int32), tile, own, self.chips * self._tiles[tile][TILE_COLUMNS],
            units, layer, k, first_sample, number, standing.keys, self.numbers,
        )  # fmt: skip
