"""Passes of chips on a GPU: layer by layer over all rows, the products cuBLAS's, the rest kernels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Floats, Words
from noisysim.compute.behaviour import EXACT, EXACT_FLAGS, Behaviour, ReadFlags
from noisysim.compute.cuda import images, recurrence, specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.cell_reads import CellReader
from noisysim.compute.cuda.kernels.target import launch, launch_rows
from noisysim.compute.cuda.periphery import Job, Periphery
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import (  # fmt: skip
    DROP_STREAM,
    FIRST_TILE,
    KERNEL,
    LINES,
    N_IN,
    N_OUT,
    ON_LINE,
    ON_WEIGHTS,
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
    exact, no_numbers : module, NamedTuple
        The same of digital layers, which no hook does anything to.
    """

    def __init__(self, net: Network, behaviour: Behaviour, flags: ReadFlags, chips: int):
        self.net, self.chips, self.noisy = net, chips, flags.noisy
        self.loops = loops = specialised.for_passes(behaviour, flags, net.kinds)
        self.numbers = numbers = specialised.numbers_of(loops, behaviour)
        self.exact = specialised.for_passes(EXACT, EXACT_FLAGS, net.kinds) if any(net.digital) else loops
        self.no_numbers = specialised.numbers_of(self.exact, EXACT)
        self._geometry = net.geometry()
        table, tiles = net.layout()
        self._table, self._tiles = table.tolist(), tiles.tolist()
        self._space = Workspace(chips)
        self._periphery = Periphery(net, loops, chips, self._space)
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
            if self.net.blocks[layer].recurrence:
                self._recur(layer, x, job)
                continue
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
            self._periphery.compute_due(self.net.depth, p, x, job)
            observation.output[...] = self._periphery.value(self.net.output, p, x, job)

    def _recur(self, layer: int, x: Floats, job: Job) -> None:
        """All steps of a recurrent layer's second array in every pass, and what the layer gives."""
        call, n = job.call, self.net.fan_in[layer]
        for p, observation in enumerate(call.observed):
            lines = observation.activities[layer]
            if p > 0 and layer < call.fork[p]:
                lines[...] = call.observed[0].activities[layer]
                if call.observed.whole:
                    observation.inputs[layer][...] = call.observed[0].inputs[layer]
                continue
            self._periphery.compute_due(layer, p, x, job)
            first = self._periphery.value(self.net.source(layer), p, x, job)
            first = first.reshape(len(x), -1, lines.shape[-1])
            cell = recurrence.Cell(self.net, layer, first, self._periphery.outputs_of(layer, p, len(x), job))
            added = [job.added.get((p, kind, layer)) for kind in (ON_LINE, ON_WEIGHTS)]
            for t in range(self.net.positions[layer]):
                driven = self._space.room("driven by a step", len(x), self._table[layer][N_IN])
                plain = driven if driven.shape[1] == n else self._space.room("inputs", len(x), n)
                self._turn(layer, cell.driving(t), plain, job.standing)
                self._convert(layer, p, plain, job.standing, driven)
                if p == 0 or call.observed.whole:
                    observation.inputs[layer][:, t] = driven
                cell.take(t, self._read_step(layer, t, p, driven, added, job))
                lines[:, t] = cell.lines

    def _read_step(
        self, layer: int, t: int, p: int, driven: Floats, added: Sequence[Floats | None], job: Job
    ) -> Floats:
        """The lines of a recurrent layer's second array at one step."""
        standing, call = job.standing, job.call
        lines: Floats = self._space.room("lines of a step", len(driven), self._table[layer][N_OUT])
        line, weights = added
        perturbation = None if line is None else xp.ascontiguousarray(line[:, t])
        if weights is not None:
            perturbation = self._space.room("beside", *lines.shape)
            self._space.multiply(driven, xp.ascontiguousarray(weights, np.float32), perturbation)
        for k in range(self._table[layer][TILES]):
            product, energy = self._analog(layer, k, p, driven, standing, call, by_step=True)
            self._read_lines(
                layer, k, product, energy, perturbation if k == 0 else None, AFTER if call.digital else BEFORE, lines,
                k > 0, call.convert, standing, call.first_sample, call.first_pass + p, (self.net.positions[layer], t),
            )  # fmt: skip
        return lines

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
                if self._of(layer)[0].HAS_READ_CELL:
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

    def _of(self, layer: int) -> tuple[ModuleType, Any]:
        """The kernels of a layer, and the numbers that they take."""
        return (self.exact, self.no_numbers) if self.net.digital[layer] else (self.loops, self.numbers)

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
        turned, patched = self._turns(layer, standing), g[KERNEL] > 0
        source = self._space.room("sources", len(driven), n) if turned else plain
        node = self.net.source(layer)
        self._periphery.compute_due(layer, p, x, job, but=node)
        if node == INPUT and not patched:
            source = x
        elif self._periphery.holds(node, layer):
            values = self._periphery.value(node, p, x, job)
            source = source if patched else values.reshape(source.shape)
        else:
            values = self._space.room("image", len(x), self.net.node_size(node)) if patched else source
            self._periphery.compute(node, p, x, job, values.reshape(len(x), -1))
        if patched:
            images.unfold(values, g, source)
        if turned:
            self._turn(layer, source, plain, standing)
            source = plain
        self._convert(layer, p, source, standing, driven)

    def _turns(self, layer: int, standing: Standing) -> bool:
        """Whether what a layer is driven with is decorrelated."""
        return standing.rotations.size > 0 and not self.net.blocks[layer].is_gain

    def _turn(self, layer: int, source: Floats, out: Floats, standing: Standing) -> None:
        """What a layer is driven with, decorrelated where inputs are."""
        if not self._turns(layer, standing):
            out[...] = source
            return
        n = self.net.fan_in[layer]
        rotations = self._space.part(standing.rotations, self._table[layer][ROTATION_AT], (n, n))
        self._space.multiply(source, rotations, out)

    def _convert(self, layer: int, p: int, source: Floats, standing: Standing, driven: Floats) -> None:
        """What the DAC makes of a layer's inputs in a pass, the bias line, and squares for noise of cells."""
        squared, (loops, numbers) = self._squares_driven(layer, standing), self._of(layer)
        if source is driven and not (loops.HAS_DAC or squared):
            return
        full_scale = standing.dac_range if loops.HAS_DAC else np.float32(1.0)
        own = standing.rows_own if loops.OWN_ROWS else self._space.nothing
        squares = self._space.room(f"squares {p}", *driven.shape) if squared else self._space.nothing
        launch_rows(
            loops.drive, *driven.shape, source, full_scale, own, self.chips * self._table[layer][ROWS_AT],
            self.chips, driven, squared, squares, numbers,
        )  # fmt: skip

    def _squares_driven(self, layer: int, standing: Standing) -> bool:
        """Whether squares of what drives a layer are made with it: where its only tile takes these as they are."""
        loops, whole = self._of(layer)[0], self._table[layer][TILES] == 1
        varied = loops.HAS_CELL_STD and standing.variances.size > 0
        return whole and varied and not (loops.HAS_CURRENT or loops.HAS_READ_CELL)

    # -- what is read --------------------------------------------------------------------------------------------

    def _read_tile(self, layer: int, k: int, driven: list[Floats], job: Job) -> None:
        """Read the k-th tile of a layer in every pass; in the layer in which passes part they share its product."""
        standing, call, by_cell = job.standing, job.call, self._of(layer)[0].HAS_READ_CELL
        if by_cell:
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
            separate = p == 0 or layer > call.fork[p] or by_cell
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
        self, layer: int, k: int, p: int, driven: Floats, standing: Standing, call: Call | None, by_step: bool = False
    ) -> tuple[Floats, Floats]:
        """What a tile's lines carry in a pass, and the variance that its cells add to a read, (samples, lines) each.

        Of a call the cells follow its course. Cells that are read one by one have been. At one step of a recurrent
        layer a sample has the lines of that step alone.
        """
        n_out, positions = self._table[layer][N_OUT], 1 if by_step else int(self._geometry[layer, POSITIONS])
        lines = positions * n_out
        start, stop, at, _ = self._tiles[self._table[layer][FIRST_TILE] + k]
        digital, loops, shape = self.net.digital[layer], self._of(layer)[0], (n_out, stop - start)
        weights, by_cell = standing.digital if digital else standing.weights, loops.HAS_READ_CELL
        varied = loops.HAS_CELL_STD and standing.variances.size > 0
        # the first pass's stay while others share them: with noise in every read all do before one has its own
        buffer = p if by_cell else int(p > 0 and not self.noisy)
        product, energy = self._space.room(f"product {buffer}", len(driven), n_out), self._space.nothing
        x = driven if digital or (by_cell and not varied) else self._cells.inputs(layer, k, driven, standing)
        products = [] if by_cell else [(x, self._space.part(weights, at, shape), product)]
        if varied:
            squares = self._space.room(f"squares {p}", *x.shape)
            energy = self._space.room(f"energy {buffer}", len(driven), n_out)
            if call is None or not self._squares_driven(layer, standing):
                xp.multiply(x, x, out=squares)
            products.append((squares, self._space.part(standing.variances, at, shape), energy))
            energy = energy.reshape(-1, lines)
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
        step: tuple[int, int] = (1, 0),
    ) -> None:  # fmt: skip
        """Digitise a tile's lines in one pass into `activities`, or add them to what is there.

        Of a recurrent layer `step` says how many steps a sample has, and which this is.
        """
        tile, units = self._table[layer][FIRST_TILE] + k, self._table[layer][N_OUT]
        loops, numbers = self._of(layer)
        add = 0 if perturbation is None else add_at
        own = standing.columns_own if loops.OWN_COLUMNS else self._space.nothing
        launch(
            loops.read_lines, len(product) * -(-product.shape[1] // 4), product, energy,
            perturbation if add else self._space.nothing, add, activities, accumulate, convert, standing.ranges,
            standing.gains, standing.scales if loops.SCALED else self._space.nothing[0],
            standing.peaks.view(np.int32), tile, own, self.chips * self._tiles[tile][TILE_COLUMNS],
            units, layer, k, first_sample, *step, number, standing.keys, numbers,
        )  # fmt: skip
