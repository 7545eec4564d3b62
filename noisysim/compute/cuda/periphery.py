"""What the periphery makes of lines on a GPU, and keeps for later layers: the nodes of a network, pass by pass."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from noisysim.common.types import Floats
from noisysim.compute.cuda import images, operations, specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.kernels.target import launch
from noisysim.compute.cuda.stacks import Run, Stack
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import ACTIVATION, ACTIVITIES_AT, KERNEL, NORM_AT, ON_OUTPUT, POOL
from noisysim.compute.protocols import Call, Standing
from noisysim.networks.architecture import INPUT
from noisysim.networks.tiling import Network


class Job(NamedTuple):
    """One call: the chips, what is asked of them, and what its drives add, by (pass, kind, layer)."""

    standing: Standing
    call: Call
    added: dict[tuple[int, int, int], Floats]


class Periphery:
    """The nodes of a network on some chips.

    Parameters
    ----------
    net : Network
    loops : module
        The kernels of passes.
    chips : int
    space : Workspace
    """

    def __init__(self, net: Network, loops: ModuleType, chips: int, space: Workspace):
        self._net, self._loops, self._chips, self._space = net, loops, chips, space
        self._geometry, self._lines_at = net.geometry(), net.layout()[0][:, ACTIVITIES_AT].tolist()

    def value(self, node: int, run: Run, x: Floats, job: Job) -> Floats:
        """What a node gave in some passes, one below the other; of the input's node, pixel by pixel, in one."""
        if node > INPUT:
            return self._room_of(node, run, len(x), job)
        if len(self._net.input_shape) < 3:
            return x
        values: Floats = self._space.room("image of the input", *x.shape)
        images.channels_last(x, self._net.input_shape[0], values)
        return values

    def drive(self, layer: int, stack: Stack, x: Floats, job: Job, room: Floats) -> Floats:
        """What a layer's source gives in the passes of a stack, one below the other: into this room, or where it is."""
        node, rows = self._net.source(layer), len(x)
        as_it_is = node == INPUT and self._geometry[layer][KERNEL] == 0
        for run in self.alike(layer, stack.runs, job):
            self.compute_due(layer, run, x, job, but=node)
            out = room[run.block * rows : (run.block + run.length) * rows]
            if not self._holds(node, layer):
                self.compute(node, run, x, job, out)
                continue
            values = x if as_it_is else self.value(node, run, x, job)
            if run.length == len(stack.passes):
                return values
            out[...] = values
        return room

    def gives_on(self, layer: int, job: Job) -> bool:
        """Whether all that comes between a layer's lines and the next layer is an activation function."""
        net, node, masks = self._net, 1 + layer, job.call.observed.layer_masks
        if node == net.depth or net.source(node) != node or net.due[node] != (node,) or node in net.kept:
            return False
        block, above = net.blocks[layer], net.blocks[node]
        if block.norm or block.pool or block.recurrence or above.recurrence:
            return False
        dropped = len(masks) > 0 and masks[layer] is not None
        return not dropped and all(kind != ON_OUTPUT or at != layer for _, kind, at in job.added)

    def alike(self, layer: int, runs: list[Run], job: Job) -> list[Run]:
        """Runs of passes as they are, if what is needed for a layer had parted in all of them; else one by one."""
        net = self._net
        operations = (net.operation(node) for node in net.due[layer] if node > net.depth)
        needed = {node for operation in operations for node in operation.sources}
        needed.add(net.source(layer) if layer < net.depth else net.output)
        passes = [p for run in runs for p in range(run.first, run.first + run.length)]
        if all(self._has_parted(node, p, job) for node in needed for p in passes):
            return runs
        return [one for run in runs for one in run.split(lambda p: True)]

    def _holds(self, node: int, layer: int) -> bool:
        """Whether a node has a room of its own when a layer is driven, or was computed before."""
        net = self._net
        return node not in net.due[layer] or node in net.kept or self._is_recurrent(node)

    def compute_due(self, layer: int, run: Run, x: Floats, job: Job, but: int = -1) -> None:
        """Compute the nodes that are due before a layer; one may be left to who asks, unless it is kept for later."""
        for node in self._net.due[layer]:
            if node != but or self._holds(node, layer):
                self.compute(node, run, x, job, self._room_of(node, run, len(x), job))

    def outputs_of(self, layer: int, p: int, rows: int, job: Job) -> Floats:
        """Room for what a recurrent layer gives in one pass, (rows, steps units)."""
        return self._room_of(1 + layer, Run(p, 1, 0, 0), rows, job)

    def _is_recurrent(self, node: int) -> bool:
        return INPUT < node <= self._net.depth and self._net.blocks[node - 1].recurrence is not None

    def _feeds_cells(self, node: int) -> bool:
        """Whether it is what a recurrent layer's first array gives: its second is read in all passes block by block."""
        return INPUT < node < self._net.depth and self._net.blocks[node].recurrence is not None

    def _has_parted(self, node: int, p: int, job: Job) -> bool:
        """Whether a node had values of its own in a pass when it was computed; else they are the first one's."""
        of_layer = self._is_recurrent(node) or self._feeds_cells(node)
        at = node if of_layer else self._net.first_needed.get(node, 0)
        return p == 0 or at > job.call.fork[p]

    def _room_of(self, node: int, run: Run, rows: int, job: Job) -> Floats:
        """Where a node's values are: kept ones pass by pass, of one that had not parted yet the first's."""
        first, count, size = 0, run.length, self._net.node_size(node)
        if node in self._net.kept or self._is_recurrent(node) or self._feeds_cells(node):
            first, count = run.first if self._has_parted(node, run.first, job) else 0, len(job.call.fork)
        room: Floats = self._space.room(f"node {node}", count * rows, size)
        return room[first * rows : (first + run.length) * rows]

    def compute(self, node: int, run: Run, x: Floats, job: Job, out: Floats) -> None:
        """What a node gives in some passes, whose sources are there."""
        if self._is_recurrent(node):  # its layer wrote it
            for p in range(run.length):
                if (extra := job.added.get((run.first + p, ON_OUTPUT, node - 1))) is not None:
                    lines = out[p * len(x) : (p + 1) * len(x)]
                    lines += extra.reshape(lines.shape)
            return
        if node <= self._net.depth:
            for part in run.split(lambda p: (p, ON_OUTPUT, node - 1) in job.added):
                at = part.first - run.first
                self._give(node - 1, part, job, out[at * len(x) : (at + part.length) * len(x)])
            return
        operation = self._net.operation(node)
        a, *others = (self.value(source, run, x, job) for source in operation.sources)
        if operation.activation is not None:
            kernel = specialised.slopes(operation.activation).activate_all
            launch(kernel, out.size, a.reshape(-1), out.reshape(-1))
            return
        operations.forward(operation, a, others[0] if others else xp.asarray(operation.constant()), out)

    def _give(self, layer: int, run: Run, job: Job, out: Floats) -> None:
        """What a layer gives to the next in some passes, in one alone where it is moved: its lines normalised, through
        the activation function, pooled, some dropped, moved; pooled first where that is the same."""
        g, units, observed = self._geometry[layer], self._net.units[layer], job.call.observed
        rows, step = len(out) // run.length, observed.activities.shape[1]
        lines = observed.activities.reshape(-1), run.first * step + rows * self._lines_at[layer], step
        mask = observed.layer_masks[layer] if len(observed.layer_masks) else None
        extra = job.added.get((run.first, ON_OUTPUT, layer))
        if self._net.blocks[layer].pools_outputs:
            activated = self._space.room("activated", len(out), self._net.lines[layer])
            self._activate(layer, run, lines, None, None, job, activated)
            images.pool(activated, units, g, out)
            if mask is not None:
                of_passes = out.reshape(run.length, rows, -1)
                xp.multiply(of_passes, mask.reshape(rows, -1), out=of_passes)
            if extra is not None:
                xp.add(out, extra.reshape(out.shape), out=out)
            return
        if g[POOL] > 0:
            pooled = self._space.room("pooled", *out.shape)
            for p in range(run.length):
                values = observed[run.first + p].activities[layer].reshape(rows, -1)
                images.pool(values, units, g, pooled[p * rows : (p + 1) * rows])
            lines = pooled.reshape(-1), 0, pooled.size // run.length
        self._activate(layer, run, lines, mask, extra, job, out)

    def _activate(
        self, layer: int, run: Run, lines: tuple[Floats, int, int], mask: Floats | None, extra: Floats | None, job: Job,
        out: Floats,
    ) -> None:  # fmt: skip
        """Lines normalised, through the activation function, some dropped, moved."""
        g, as_rows = self._geometry[layer], self._space.as_rows
        shape = len(out) // run.length, out.shape[1]
        norms = job.standing.norms if g[NORM_AT] >= 0 else self._space.nothing
        launch(
            self._loops.give, out.size, *lines, run.length, norms, self._chips * int(g[NORM_AT]),
            self._net.units[layer], int(g[ACTIVATION]), as_rows(mask, shape), mask is not None, as_rows(extra, shape),
            extra is not None, self._chips, out,
        )  # fmt: skip
