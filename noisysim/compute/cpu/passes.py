"""Passes on the CPU: blocks of samples through the compiled loops, shared out among threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from noisysim.common.types import Floats, Ints, Words
from noisysim.compute import execution
from noisysim.compute.cpu.loop_types import Chips, Numbers, Pair, PassLoops
from noisysim.compute.jit import specialised
from noisysim.compute.layout import DROP_STREAM, FIRST_TILE, ON_LINE, ON_WEIGHTS, TILES
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Addition, Call, Standing
from noisysim.networks.tiling import Network, Room, Stage

NOTHING = np.zeros(0, np.float32)
MEMBERS = 16
"""Most chips that one task takes a block of samples through."""


class Passes:
    """Runs the passes of some chips of one device.

    Parameters
    ----------
    net : Network
    loops : PassLoops
        Of `noisysim.compute.jit.specialised.for_device`.
    numbers : NamedTuple
        The device's numbers that its hooks read.
    chips : int
    noisy : bool
        Whether every read has noise.
    """

    def __init__(self, net: Network, loops: PassLoops, numbers: Numbers, chips: int, noisy: bool):
        self.net, self._loops, self._numbers, self._chips, self._noisy = net, loops, numbers, chips, noisy
        self._table, self._tiles = net.layout()
        self._geometry = net.geometry()
        self._stages = {training: net.stages(training) for training in (False, True)}
        self._undriven: dict[int, Ints] = {}
        self._cuts: dict[tuple[int, Pair], list[tuple[Pair, Pair]]] = {}

    def forward(self, x: Floats, standing: Standing, call: Call) -> None:
        """Passes of the inputs (chips batch, n_in): into ``call.observed``, and ``standing.peaks`` raised.

        Parameters
        ----------
        x : numpy.ndarray
            Samples of the first chip, then of the second.
        standing : Standing
        call : Call
        """
        net, observed, count = self.net, call.observed, len(call.observed)
        batch = len(x) // self._chips
        perturbations, places = self._lay_out(call.parts, count, len(x))
        # with noise in every read passes share the first layer's product only, and its side is free again after it
        sides, spare = 1 if self._noisy else 2, 0 if observed.whole else count - 1
        chips, noise = self._chip(standing), (call.first_sample, call.first_pass, standing.keys)

        def block(stage: Stage, span: Pair, members: Pair, peaks: Floats) -> None:
            passes = (
                observed.inputs, observed.activities, perturbations, places, call.fork, observed.masks, call.digital,
                call.convert, peaks,
            )  # fmt: skip
            work = scratch(stage.room, span[1] - span[0], sides, spare)
            self._loops.forward(x, span, members, stage.layers, chips, passes, noise, work, self._numbers)

        for stage in self._stages[call.training]:
            parts = self._parts(batch, stage)
            alone = len(parts) == 1  # then it may raise the peaks themselves
            peaks = standing.peaks[None] if alone else np.zeros((len(parts), *standing.peaks.shape), np.float32)
            tasks = [partial(block, stage, *part, part_peaks) for part, part_peaks in zip(parts, peaks, strict=True)]
            stands, flops = call.stands, 2.0 * len(x) * count * net.products
            for first, last, time in call.course:
                if time != stands:
                    call.age(time, stage.layers)
                    stands = time
                now = [task for task, (span, _) in zip(tasks, parts, strict=True) if first <= span[0] < last]
                if self._loops.HAS_JUMP:  # cells with a past: what they did before decides what they do
                    for task in now:
                        task()
                else:
                    execution.run(now, flops * len(now) / len(tasks))
            if not alone:
                np.maximum(standing.peaks, peaks.max(axis=0), out=standing.peaks)
            last = stage.layers[1] - 1
            if call.training and net.norms[last] is not None:
                call.settle(last)

    def tile_lines(self, inputs: Sequence[Floats], standing: Standing, first_pass: int) -> list[Floats]:
        """Lines of every tile, (rows of all chips, lines), for values that drive each layer, read and not converted."""
        net, chips = self.net, self._chips
        rows = len(inputs[0])
        tiles = [np.empty((rows, net.lines[k]), np.float32) for k in range(net.depth) for _ in range(net.tiles(k))]
        observed, (perturbations, places) = Observed(net, rows, 1), self._lay_out((), 1, rows)
        for driven, source in zip(observed[0].inputs, inputs, strict=True):
            driven[...] = source
        fork, peaks, batch = np.zeros(1, np.int64), np.zeros_like(standing.peaks), rows // chips
        passes = (observed.inputs, observed.activities, perturbations, places, fork, NOTHING, False, False, peaks)
        work = scratch(net.room(0, net.depth), batch, 1 if self._noisy else 2, 0)
        for m, key in enumerate(standing.keys):
            chip, noise = self._chip(standing), (-m * batch, first_pass, *key)
            samples = slice(m * batch, (m + 1) * batch)
            for layer, lines in enumerate(observed[0].activities):
                before = np.zeros_like(lines[samples])
                for k in range(self._table[layer, TILES]):
                    self._loops.read_tile(
                        layer,
                        k,
                        rows,
                        (samples.start, samples.stop),
                        (m, chips),
                        chip,
                        passes,
                        noise,
                        work,
                        self._numbers,
                    )
                    tile = tiles[self._table[layer, FIRST_TILE] + k]
                    tile[samples] = (lines[samples] - before).reshape(batch, -1)
                    before[...] = lines[samples]
        return tiles

    def drop(self, mask: Floats, layer: int, rate: float, first_sample: int, number: int, keys: Words) -> None:
        """Draw what the periphery drops of a layer's hidden outputs, (chips batch, values)."""
        draws, batch = specialised.draws(), len(mask) // len(keys)
        word = draws.stream_word(DROP_STREAM, layer, 0)
        for m, key in enumerate(keys):
            draws.drops(mask[m * batch : (m + 1) * batch], np.float32(rate), first_sample, number, word, *key)

    def follow(self, ranges: Floats, peaks: Floats) -> None:
        """Move the ranges of converters towards the largest values that they met, (chips, tiles), and forget these."""
        self._loops.follow_peaks(ranges, peaks)

    def _parts(self, batch: int, stage: Stage) -> list[tuple[Pair, Pair]]:
        """Samples of each chip, and chips, that one task does: several chips where batches are small."""
        key = (batch, stage.layers)
        if key not in self._cuts:
            at_once = 1 if batch >= execution.BLOCK_ROWS else min(MEMBERS, -(-execution.BLOCK_ROWS // batch))
            members = execution.spans(self._chips, at_once)
            spans = stage.spans(batch, shared=not self._loops.HAS_JUMP)
            self._cuts[key] = [(span, some) for some in members for span in spans]
        return self._cuts[key]

    def _chip(self, standing: Standing) -> Chips:
        """What the loops read of the chips."""
        return (
            self._table, self._geometry, standing.norms, self._tiles, standing.weights, standing.variances,
            standing.rotations, standing.ranges, standing.dac_range, standing.gains, standing.rows_own,
            standing.columns_own, () if standing.cells is None else tuple(standing.cells), standing.scales,
        )  # fmt: skip

    def _lay_out(self, parts: Sequence[Addition], count: int, rows: int) -> tuple[Floats, Ints]:
        """What the drives add in one buffer, and where each part is in it, (passes, layers, 3)."""
        if not parts:
            if count not in self._undriven:
                self._undriven[count] = np.full((count, self.net.depth, 3), -1, np.int64)
            return NOTHING, self._undriven[count]
        places, size, pieces = np.full((count, self.net.depth, 3), -1, np.int64), 0, list[tuple[int, Floats]]()
        for p, kind, layer, piece in parts:
            places[p, layer, kind] = size
            pieces.append((size, piece))
            size += piece.size
            if kind == ON_WEIGHTS:
                places[p, layer, ON_LINE] = size
                size += rows * self.net.lines[layer]
        buffer = execution.scratch("perturbations", size)
        for at, piece in pieces:
            buffer[at : at + piece.size].reshape(piece.shape)[...] = piece
        return buffer[:size], places


def scratch(room: Room, rows: int, sides: int, spare: int) -> tuple[Any, ...]:
    """Work arrays of this thread for one block of samples.

    Products of two sides where passes can share one; what `spare` passes are driven with that no observation keeps.
    """
    return execution.scratch_set((room, rows, sides, spare), partial(_cut, room, rows, sides, spare))


def _cut(room: Room, rows: int, sides: int, spare: int) -> tuple[Any, ...]:
    take, padded = execution.scratch, 4 * -(-max(room.lines, room.columns) // 4)
    product = rows * max(room.driven, room.lines)  # a product's, or before it that of its decorrelated inputs
    return (
        take("work", rows * max(room.driven, room.outputs)),
        take("product", sides * product)[: sides * product].reshape(sides, -1),
        take("energy", sides * rows * room.lines)[: sides * rows * room.lines].reshape(sides, -1),
        (take("z", padded), take("u", padded), take("bits", padded, np.uint32)),
        take("line", 2 * room.lines),
        take("patches", rows * room.patches),
        take("driven", spare * rows * room.driven)[: spare * rows * room.driven],
    )
