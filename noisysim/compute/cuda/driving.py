"""What drives arrays on a GPU: what the periphery gave, as patches, decorrelated, converted."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.cuda import images
from noisysim.compute.cuda.kernels.target import launch_rows
from noisysim.compute.cuda.periphery import Job, Periphery
from noisysim.compute.cuda.stacks import Run, Stack
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import INPUTS_AT, KERNEL, N_IN, ROTATION_AT, ROWS_AT, TILES
from noisysim.compute.protocols import Standing
from noisysim.networks.architecture import INPUT
from noisysim.networks.tiling import Network


class Driving:
    """Makes what drives the arrays of some chips, by what `noisysim.compute.cuda.passes.Passes` has.

    `of` gives the kernels of a layer, and the numbers that they take.
    """

    def __init__(
        self, net: Network, of: Callable[[int], tuple[ModuleType, Any]], chips: int, space: Workspace,
        periphery: Periphery,
    ):  # fmt: skip
        self._net, self._of, self._chips = net, of, chips
        self._space, self._periphery = space, periphery
        self._table, self._geometry = net.layout()[0].tolist(), net.geometry()

    def drive(self, layer: int, stack: Stack, x: Floats, job: Job, given: Floats | None) -> Floats:
        """What drives a layer in the passes of a stack, (rows of all, n_in); observations get theirs.

        `given` is what the layer below gives in these passes, where that is there and all the layer needs.
        """
        passes, n, standing = len(stack.passes), self._net.fan_in[layer], job.standing
        first = self.flat(layer, job.call.observed[0].inputs[layer])
        driven = first if stack.passes == (0,) else self._space.room("driven", passes * len(first), first.shape[1])
        plain = driven if driven.shape[1] == n else self._space.room("inputs", len(driven), n)  # without the bias line
        turned = self._turns(layer, standing)
        room = self._space.room("sources", len(driven), n) if turned else plain
        source = self._source(layer, stack, x, job, room, given)
        if turned:
            self.turn(layer, source, plain, standing, passes)
            source = plain
        self._convert_stack(layer, stack, source, job, driven)
        return driven

    def flat(self, layer: int, array: Floats) -> Floats:
        """What drives a layer, (rows, n_in): one row per sample and position."""
        return array.reshape(-1, self._table[layer][N_IN])

    def _source(self, layer: int, stack: Stack, x: Floats, job: Job, room: Floats, given: Floats | None) -> Floats:
        """Hidden outputs or their patches, (rows, n): in this room, or where they are."""
        g, node, rows = self._geometry[layer], self._net.source(layer), len(stack.passes) * len(x)
        patched = g[KERNEL] > 0
        if given is None:
            values = self._net.node_size(node) if node > INPUT else x.shape[1]
            out = self._space.room("image", rows, values) if patched else room.reshape(rows, -1)
            given = self._periphery.drive(layer, stack, x, job, out)
            if given is out and not patched:
                return room
        if not patched:
            return given.reshape(room.shape)
        images.unfold(given, g, room)
        return room

    def _turns(self, layer: int, standing: Standing) -> bool:
        """Whether what a layer is driven with is decorrelated."""
        return standing.rotations.size > 0 and not self._net.blocks[layer].is_gain

    def turn(self, layer: int, source: Floats, out: Floats, standing: Standing, passes: int = 1) -> None:
        """What a layer is driven with, decorrelated where inputs are."""
        if not self._turns(layer, standing):
            out[...] = source
            return
        n = self._net.fan_in[layer]
        rotations = self._space.part(standing.rotations, self._table[layer][ROTATION_AT], (n, n))
        self._space.multiply(source, rotations, out, passes)

    def _convert_stack(self, layer: int, stack: Stack, source: Floats, job: Job, driven: Floats) -> None:
        """`convert`, of the passes of a stack, into the observations that have room for it too."""
        observed, rows, kept = job.call.observed, len(driven) // len(stack.passes), stack.runs
        if not observed.whole:
            kept = [Run(0, 1, 0, 0)] if 0 in stack.passes else []
        if stack.passes == (0,):  # what drives it is in its observation
            kept = []
        at = len(observed[0].output) * self._table[layer][INPUTS_AT]
        places = [(observed.inputs, at + run.first * observed.step, observed.step, run.length) for run in kept]
        self.convert(layer, source, job.standing, driven, len(stack.passes), *places[:1])
        for run in kept[1:]:
            for p in range(run.length):
                block = (run.block + p) * rows
                self.flat(layer, observed[run.first + p].inputs[layer])[...] = driven[block : block + rows]

    def convert(
        self, layer: int, source: Floats, standing: Standing, driven: Floats, passes: int = 1,
        kept: tuple[Floats, int, int, int] | None = None,
    ) -> None:  # fmt: skip
        """What the DAC makes of a layer's inputs, the bias line, and squares for noise of cells.

        `kept` is where it is kept besides: a flat buffer, where the first pass starts, how far they are apart, and how
        many are.
        """
        squared, (loops, numbers) = self.squares(layer, standing), self._of(layer)
        if source is driven and not (loops.HAS_DAC or squared or kept):
            return
        full_scale = standing.dac_range if loops.HAS_DAC else np.float32(1.0)
        own = standing.rows_own if loops.OWN_ROWS else self._space.nothing
        squares = self._space.room("squares", *driven.shape) if squared else self._space.nothing
        launch_rows(
            loops.drive, *driven.shape, source, full_scale, own, self._chips * self._table[layer][ROWS_AT],
            self._chips, passes, driven, squared, squares, *(kept or (self._space.nothing[0], 0, 0, 0)), numbers,
        )  # fmt: skip

    def squares(self, layer: int, standing: Standing) -> bool:
        """Whether squares of what drives a layer are made with it: where its only tile takes these as they are."""
        loops, whole = self._of(layer)[0], self._table[layer][TILES] == 1
        varied = loops.HAS_CELL_STD and standing.variances.size > 0
        return whole and varied and not (loops.HAS_CURRENT or loops.HAS_READ_CELL)
