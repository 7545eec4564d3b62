"""Passes of chips on a GPU: layer by layer over all rows, the products cuBLAS's, the rest kernels."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Array, Floats, Words
from noisysim.compute.behaviour import EXACT, EXACT_FLAGS, Behaviour, ReadFlags
from noisysim.compute.cuda import recurrence, specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.cell_reads import CellReader
from noisysim.compute.cuda.driving import Driving
from noisysim.compute.cuda.kernels.target import launch
from noisysim.compute.cuda.periphery import Job, Periphery
from noisysim.compute.cuda.stacks import Run, Stack, parted, runs, stacks
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import (  # fmt: skip
    ACTIVATION,
    ACTIVITIES_AT,
    DROP_STREAM,
    FIRST_TILE,
    LINES,
    N_IN,
    N_OUT,
    ON_LINE,
    ON_WEIGHTS,
    POSITIONS,
    TILE_COLUMNS,
    TILES,
)
from noisysim.compute.noise import stream_word
from noisysim.compute.protocols import Call, Standing
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
        self._driving = Driving(net, self._of, chips, self._space, self._periphery)
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
        given: Floats | None = None
        for layer in range(self.net.depth):
            if self.net.blocks[layer].recurrence:
                self._recur(layer, x, job)
                continue
            below, given = given, self._given(layer, len(x), job)
            for stack in self._stacks(layer, len(x), call):
                driven = self._driving.drive(layer, stack, x, job, below)
                last = self._table[layer][TILES] - 1
                for k in range(last + 1):
                    self._read_tile(layer, k, driven, stack, job, given if k == last else None)
            self._repeat(layer, job)
            if call.training and self.net.norms[layer] is not None:
                call.settle(layer)
        if self.net.has_tail:
            self._finish(x, job)

    def _of(self, layer: int) -> tuple[ModuleType, Any]:
        """The kernels of a layer, and the numbers that they take."""
        return (self.exact, self.no_numbers) if self.net.digital[layer] else (self.loops, self.numbers)

    def _stacks(self, layer: int, rows: int, call: Call) -> list[Stack]:
        """The passes of a call as they go through a layer: all in turn where cells are read one by one."""
        n_in, below = self._table[layer][N_IN], self.net.lines[max(layer - 1, 0)]
        values = rows * max(int(self._geometry[layer, POSITIONS]) * n_in, self.net.lines[layer], below)
        return stacks(layer, call.fork, 0 if self._of(layer)[0].HAS_READ_CELL else values)

    def _given(self, layer: int, rows: int, job: Job) -> Floats | None:
        """Room for what a layer gives to the next, (rows of all passes that part, lines), if its lines make it."""
        if not self._periphery.gives_on(layer, job) or len(above := self._stacks(layer + 1, rows, job.call)) > 1:
            return None
        room: Floats = self._space.room("given", len(above[0].passes) * rows, self.net.lines[layer])
        return room

    def _repeat(self, layer: int, job: Job) -> None:
        """What passes observe of a layer in which they are still the first one."""
        first, *others = job.call.observed
        for observation, fork in zip(others, job.call.fork[1:], strict=True):
            if layer < fork:
                observation.activities[layer][...] = first.activities[layer]
            if 0 < layer <= fork and job.call.observed.whole:
                observation.inputs[layer][...] = first.inputs[layer]

    def _finish(self, x: Floats, job: Job) -> None:
        """The network's output in every pass, where the periphery makes it of the last lines."""
        observed, end, fork = job.call.observed, self.net.depth, job.call.fork
        for stack in stacks(end, fork, len(x) * max(map(self.net.node_size, self.net.due[end]), default=1)):
            for run in self._periphery.alike(end, stack.runs, job):
                self._periphery.compute_due(end, run, x, job)
                values = self._periphery.value(self.net.output, run, x, job)
                observed.outputs[run.first : run.first + run.length] = values.reshape(run.length, len(x), -1)
        for p in range(1, len(observed)):
            if fork[p] >= end:
                observed[p].output[...] = observed[0].output

    def _recur(self, layer: int, x: Floats, job: Job) -> None:
        """All steps of a recurrent layer's second array in every pass, and what the layer gives."""
        call, observed = job.call, job.call.observed
        apart = [p for p in range(len(observed)) if p == 0 or layer >= call.fork[p]]
        for p in apart:
            self._periphery.compute_due(layer, Run(p, 1, 0, 0), x, job)
        blocks = self._cells.blocks(layer, len(x) // self.chips, call)
        for first, last, time in call.course:
            self._age(layer, time, call)
            for block in (block for block in blocks if first <= block[0] < last):
                for p in apart:
                    for samples in self._cells.parts(layer, block):
                        self._run_steps(layer, p, samples, x, job)
        for p in range(len(observed)):
            if p not in apart:
                observed[p].activities[layer][...] = observed[0].activities[layer]
                if observed.whole:
                    observed[p].inputs[layer][...] = observed[0].inputs[layer]

    def _run_steps(self, layer: int, p: int, samples: tuple[int, int], x: Floats, job: Job) -> None:
        """All steps of some samples of each chip in one pass."""
        call, standing, rows, n = job.call, job.standing, self.chips * (samples[1] - samples[0]), self.net.fan_in[layer]

        def some(array: Floats) -> Floats:
            """Those of an array of all samples, (chips, samples, ...)."""
            whole: Floats = array.reshape(self.chips, -1, *array.shape[1:])
            return whole[:, samples[0] : samples[1]]

        lines, has_inputs = some(call.observed[p].activities[layer]), p == 0 or call.observed.whole
        first = self._periphery.value(self.net.source(layer), Run(p, 1, 0, 0), x, job)
        first = first.reshape(len(x), -1, lines.shape[-1])
        outputs = self._periphery.outputs_of(layer, p, len(x), job)
        cell = recurrence.Cell(self.net, layer, some(first), some(outputs))
        line, weights = (job.added.get((p, kind, layer)) for kind in (ON_LINE, ON_WEIGHTS))
        counted = (call.first_sample, p, call.first_pass)
        by_cell = self._of(layer)[0].HAS_READ_CELL
        states = self._cells.follow(layer, standing, samples, counted) if by_cell else []
        for t in range(self.net.positions[layer]):
            driven = self._space.room("driven by a step", rows, self._table[layer][N_IN])
            plain = driven if driven.shape[1] == n else self._space.room("inputs", rows, n)
            self._driving.turn(layer, cell.driving(t).reshape(rows, n), plain, standing)
            self._driving.convert(layer, plain, standing, driven)
            if has_inputs:
                some(call.observed[p].inputs[layer])[:, :, t] = driven.reshape(self.chips, -1, driven.shape[1])
            added = None if line is None else xp.ascontiguousarray(some(line)[:, :, t]).reshape(rows, -1)
            read = self._read_step(layer, t, p, driven, states, (added, weights), call.first_sample + samples[0], job)
            lines[:, :, t] = read.reshape(self.chips, -1, read.shape[1])
            cell.take(t, lines[:, :, t])

    def _read_step(
        self, layer: int, t: int, p: int, driven: Floats, states: Sequence[Array], added: Sequence[Floats | None],
        first_sample: int, job: Job,
    ) -> Floats:  # fmt: skip
        """The lines of a recurrent layer's second array at one read, of samples from number `first_sample` on."""
        standing, call, (perturbation, weights) = job.standing, job.call, added
        lines: Floats = self._space.room("lines of a step", len(driven), self._table[layer][N_OUT])
        step, number = (self.net.positions[layer], t), call.first_pass + p
        if weights is not None:
            perturbation = self._space.room("beside", *lines.shape)
            self._space.multiply(driven, xp.ascontiguousarray(weights, np.float32), perturbation)
        for k in range(self._table[layer][TILES]):
            product, energy = self._analog(layer, k, driven, standing, call, by_step=True)
            if self._of(layer)[0].HAS_READ_CELL:
                counted = (first_sample, *step, number)
                self._cells.read_step(layer, k, driven, product, standing, states[k], counted)
            self._read_lines(
                layer, k, 1, product, energy, False, perturbation if k == 0 else None,
                AFTER if call.digital else BEFORE, (lines.reshape(-1), 0, 0), k > 0, call.convert, standing,
                first_sample, number, step,
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
            driven, own_rows = self._driving.flat(layer, array), len(array) // self.chips
            for k in range(self._table[layer][TILES]):
                lines = xp.empty((len(array), int(self._geometry[layer, LINES])), np.float32)
                product, energy = self._analog(layer, k, driven, plain, None)
                if self._of(layer)[0].HAS_READ_CELL:
                    by_line = product.reshape(len(driven), -1)
                    self._cells.read(layer, k, {0: driven}, {0: by_line}, plain, [(0, own_rows)], 0, first_pass)
                self._read_lines(
                    layer, k, 1, product, energy, False, None, 0, (lines.reshape(-1), 0, 0), False, False, plain, 0,
                    first_pass,
                )  # fmt: skip
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

    # -- what is read --------------------------------------------------------------------------------------------

    def _read_tile(self, layer: int, k: int, driven: Floats, stack: Stack, job: Job, given: Floats | None) -> None:
        """Read the k-th tile of a layer in the passes of a stack, and give on what its lines then make."""
        standing, call, observed, passes = job.standing, job.call, job.call.observed, len(stack.passes)
        rows, by_cell = len(observed[0].activities[layer]), self._of(layer)[0].HAS_READ_CELL
        product, energy = self._analog(layer, k, driven, standing, call, passes)
        by_pass = self._read_cells(layer, k, driven, stack, job) if by_cell else {}

        def alone(p: int) -> bool:
            return by_cell or (k == 0 and any((p, kind, layer) in job.added for kind in (ON_LINE, ON_WEIGHTS)))

        step = observed.activities.shape[1]
        above = {p: place for place, p in enumerate(parted(layer + 1, call.fork))}
        for run in runs(stack.readers, alone):
            own = slice(run.block * rows, (run.block + 1 + (run.length - 1) * run.step) * rows)
            at = run.first * step + rows * self._table[layer][ACTIVITIES_AT]
            x = self._driving.flat(layer, driven.reshape(passes * rows, -1)[own])
            perturbation = self._perturbation(layer, run.first, x, job) if k == 0 else None
            to = rows * above[run.first]
            self._read_lines(
                layer, k, run.length, by_pass[run.first] if by_cell else product[own],
                energy[own] if energy is not self._space.nothing else energy, run.step == 0, perturbation,
                AFTER if call.digital else BEFORE, (observed.activities.reshape(-1), at, step), k > 0, call.convert,
                standing, call.first_sample, call.first_pass + run.first,
                given=None if given is None else given[to : to + run.length * rows],
            )  # fmt: skip

    def _read_cells(self, layer: int, k: int, driven: Floats, stack: Stack, job: Job) -> dict[int, Floats]:
        """Lines of a tile whose cells are read one by one, in each pass that reads them, (samples, lines)."""
        call, rows = job.call, len(driven) // len(stack.passes)
        inputs = {p: driven[place * rows : (place + 1) * rows] for p, place in stack.readers}
        products = {p: self._space.room(f"product {p}", rows, self._table[layer][N_OUT]) for p in inputs}
        blocks = self._cells.blocks(layer, len(call.observed[0].activities[layer]) // self.chips, call)
        for first, last, time in call.course:
            self._age(layer, time, call)
            present = [block for block in blocks if first <= block[0] < last]
            self._cells.read(layer, k, inputs, products, job.standing, present, call.first_sample, call.first_pass)
        return {p: array.reshape(-1, int(self._geometry[layer, LINES])) for p, array in products.items()}

    def _age(self, layer: int, time: float | None, call: Call | None) -> None:
        """Make the cells of a layer stand at a time of a call's course."""
        if call and time is not None and self._stands[layer] != time:
            call.age(time, (layer, layer + 1))
            self._stands[layer] = time

    def _analog(
        self, layer: int, k: int, driven: Floats, standing: Standing, call: Call | None, passes: int = 1,
        by_step: bool = False,
    ) -> tuple[Floats, Floats]:  # fmt: skip
        """What a tile's lines carry in some passes, and the variance that its cells add to a read, (samples, lines)
        each.

        Of a call the cells follow its course. Cells that are read one by one are read elsewhere. At one step of a
        recurrent layer a sample has the lines of that step alone, and its cells stand where they should.
        """
        n_out, positions = self._table[layer][N_OUT], 1 if by_step else int(self._geometry[layer, POSITIONS])
        lines = positions * n_out
        start, stop, at, _ = self._tiles[self._table[layer][FIRST_TILE] + k]
        digital, loops, shape = self.net.digital[layer], self._of(layer)[0], (n_out, stop - start)
        weights, by_cell = standing.digital if digital else standing.weights, loops.HAS_READ_CELL
        varied = loops.HAS_CELL_STD and standing.variances.size > 0
        product: Floats = self._space.room("product", len(driven), n_out)
        energy, as_driven = self._space.nothing, digital or (by_cell and not varied)
        x = driven if as_driven else self._cells.inputs(layer, k, driven, standing, passes=passes)
        products = [] if by_cell else [(x, self._space.part(weights, at, shape), product)]
        if varied:
            squares = self._space.room("squares", *x.shape)
            energy = self._space.room("energy", len(driven), n_out)
            if call is None or not self._driving.squares(layer, standing):
                xp.multiply(x, x, out=squares)
            products.append((squares, self._space.part(standing.variances, at, shape), energy))
            energy = energy.reshape(-1, lines)
        whole = (0, len(x) // (passes * self.chips * positions), None)
        for first, last, time in call.course if call and not by_step else [whole]:
            self._age(layer, time, call)
            for rows, array, out in products:
                self._space.multiply_rows(rows, array, out, (first * positions, last * positions), passes)
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
        self, layer: int, k: int, passes: int, product: Floats, energy: Floats, shared: bool,
        perturbation: Floats | None, add_at: int, lines: tuple[Floats, int, int], accumulate: bool, convert: bool,
        standing: Standing, first_sample: int, number: int, step: tuple[int, int] = (1, 0),
        given: Floats | None = None,
    ) -> None:  # fmt: skip
        """Digitise a tile's lines in some passes, or add them to what is there; give on what units make of them.

        `lines` says where they go: a flat buffer, where the first pass starts, and how far they are apart. Of a
        recurrent layer `step` says how many steps a sample has, and which this is.
        """
        tile, units = self._table[layer][FIRST_TILE] + k, self._table[layer][N_OUT]
        loops, numbers = self._of(layer)
        add = 0 if perturbation is None else add_at
        own = standing.columns_own if loops.OWN_COLUMNS else self._space.nothing
        rows = len(product) if shared else len(product) // passes
        launch(
            loops.read_lines, passes * rows * -(-product.shape[1] // 4), product, energy, shared,
            perturbation if add else self._space.nothing, add, *lines, passes, rows, accumulate, convert,
            standing.ranges, standing.gains, standing.scales if loops.SCALED else self._space.nothing[0],
            standing.peaks.view(np.int32), tile, own, self.chips * self._tiles[tile][TILE_COLUMNS],
            units, layer, k, first_sample, *step, number, standing.keys,
            self._space.nothing if given is None else given,
            -1 if given is None else int(self._geometry[layer, ACTIVATION]), numbers,
        )  # fmt: skip
