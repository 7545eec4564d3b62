"""What the periphery makes of lines on a GPU, and keeps for later layers: the nodes of a network, pass by pass."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

from noisysim.common.types import Floats
from noisysim.compute.cuda import images, operations, specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.kernels.target import launch
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import ACTIVATION, NORM_AT, ON_OUTPUT, POOL
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
        self._geometry = net.geometry()

    def value(self, node: int, p: int, x: Floats, job: Job) -> Floats:
        """What a node gave in one pass; of the input's node an image pixel by pixel."""
        if node > INPUT:
            return self._room_of(node, p, len(x), job)
        if len(self._net.input_shape) < 3:
            return x
        values: Floats = self._space.room("image of the input", *x.shape)
        images.channels_last(x, self._net.input_shape[0], values)
        return values

    def holds(self, node: int, layer: int) -> bool:
        """Whether a node has a room of its own when a layer is driven, or was computed before."""
        net = self._net
        return node not in net.due[layer] or node in net.kept or self._is_recurrent(node)

    def compute_due(self, layer: int, p: int, x: Floats, job: Job, but: int = -1) -> None:
        """Compute the nodes that are due before a layer; one may be left to who asks, unless it is kept for later."""
        for node in self._net.due[layer]:
            if node != but or self.holds(node, layer):
                self.compute(node, p, x, job, self._room_of(node, p, len(x), job))

    def outputs_of(self, layer: int, p: int, rows: int, job: Job) -> Floats:
        """Room for what a recurrent layer gives in one pass, (rows, steps units)."""
        return self._room_of(1 + layer, p, rows, job)

    def _is_recurrent(self, node: int) -> bool:
        return INPUT < node <= self._net.depth and self._net.blocks[node - 1].recurrence is not None

    def _feeds_cells(self, node: int) -> bool:
        """Whether it is what a recurrent layer's first array gives: its second is read in all passes block by block."""
        return INPUT < node < self._net.depth and self._net.blocks[node].recurrence is not None

    def _room_of(self, node: int, p: int, rows: int, job: Job) -> Floats:
        """Where a node's values are: kept ones pass by pass, of one that had not parted yet the first's."""
        name, net = f"node {node}", self._net
        if self._is_recurrent(node) or self._feeds_cells(node):
            name += f" {p if node > job.call.fork[p] else 0}"
        elif node in net.kept:
            name += f" {p if net.first_needed[node] > job.call.fork[p] else 0}"
        room: Floats = self._space.room(name, rows, net.node_size(node))
        return room

    def compute(self, node: int, p: int, x: Floats, job: Job, out: Floats) -> None:
        """What a node gives in one pass, whose sources are there."""
        if self._is_recurrent(node):  # its layer wrote it
            if (extra := job.added.get((p, ON_OUTPUT, node - 1))) is not None:
                out += extra.reshape(out.shape)
            return
        if node <= self._net.depth:
            self._give(node - 1, p, job, out)
            return
        operation = self._net.operation(node)
        a, *others = (self.value(source, p, x, job) for source in operation.sources)
        if operation.activation is not None:
            kernel = specialised.slopes(operation.activation).activate_all
            launch(kernel, out.size, a.reshape(-1), out.reshape(-1))
            return
        operations.forward(operation, a, others[0] if others else xp.asarray(operation.constant()), out)

    def _give(self, layer: int, p: int, job: Job, out: Floats) -> None:
        """What a layer gives to the next in one pass: its lines normalised, through the activation function, pooled,
        some dropped, moved; pooled first where that is the same."""
        g, units, observed = self._geometry[layer], self._net.units[layer], job.call.observed
        values = observed[p].activities[layer].reshape(len(out), -1)
        mask = observed.layer_masks[layer] if len(observed.layer_masks) else None
        extra = job.added.get((p, ON_OUTPUT, layer))
        if self._net.blocks[layer].pools_outputs:
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
            self._loops.give, out.size, values, norms, self._chips * int(g[NORM_AT]), self._net.units[layer],
            int(g[ACTIVATION]), as_rows(mask, out.shape), mask is not None, as_rows(extra, out.shape),
            extra is not None, self._chips, out,
        )  # fmt: skip
