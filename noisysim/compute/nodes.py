"""The nodes of a network, as observations let them be computed: values, changes along a direction, signals back.

A node is what a layer or an operation of the periphery gives (`noisysim.networks.architecture.Architecture`). What goes
on in a layer's own block is in `noisysim.compute.periphery`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import algebra, backends, layered, periphery, recurrence
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Observation
from noisysim.networks.architecture import INPUT, Architecture
from noisysim.networks.operations import Operation


class Nodes:
    """The nodes of one pass, computed when they are asked for.

    Parameters
    ----------
    net : Architecture
    observation : Observation
    chips : int

    Attributes
    ----------
    observation : Observation
    """

    def __init__(self, net: Architecture, observation: Observation, chips: int = 1):
        self._net, self.observation, self._chips = net, observation, chips
        self._place = backends.backend_of(observation.output)
        self._values: dict[int, Floats] = {}
        if (x := observation.given) is not None:
            self._values[INPUT] = periphery.by_pixel(net, x)

    def value(self, node: int) -> Floats:
        """What a node gave, (batch, values)."""
        if node not in self._values:
            if node > self._net.depth:
                self._values[node] = self._operate(self._net.operation(node))
            else:
                self._values[node] = periphery.outputs(self._net, node - 1, self.observation, self._chips)
        return self._values[node]

    def push(self, node: int, changes: dict[int, Floats]) -> Floats:
        """The change of what an operation gives along changes of nodes; a node without one does not move."""
        operation = self._net.operation(node)
        along = [self._change(source, changes) for source in operation.sources]
        if operation.activation is not None:
            return algebra.scale_by_slope(along[0].copy(), self.value(operation.sources[0]), operation.activation)
        a, b = self._sources(operation)
        out = self._empty(operation.size)
        self._place.operations.push(operation, a, b, along[0], along[1] if len(along) > 1 else b, out)
        return out

    def pull(self, node: int, signal: Floats) -> list[tuple[int, Floats]]:
        """Sources of an operation that depend on layers, and dL/d(their values) of dL/d(what it gave)."""
        net = self._net
        operation = net.operation(node)
        if operation.activation is not None:
            source = operation.sources[0]
            return [(source, algebra.scale_by_slope(signal.copy(), self.value(source), operation.activation))]
        a, b = self._sources(operation)
        signals = list[tuple[int, Floats]]()
        for k, source in enumerate(operation.sources):
            if net.learned[source]:
                out = self._empty(net.node_size(source))
                self._place.operations.pull(operation, k, a, b, signal, out)
                signals.append((source, out))
        return signals

    def _operate(self, operation: Operation) -> Floats:
        """What an operation gave."""
        if operation.activation is not None:
            return algebra.activate(self.value(operation.sources[0]), operation.activation)
        a, b = self._sources(operation)
        out = self._empty(operation.size)
        self._place.operations.forward(operation, a, b, out)
        return out

    def _sources(self, operation: Operation) -> tuple[Floats, Floats]:
        """The values that an operation reads: those of its sources, or constants."""
        values = [self.value(source) for source in operation.sources]
        if len(values) > 1:
            return values[0], values[1]
        return values[0], self._place.put(operation.constant())

    def _change(self, node: int, changes: dict[int, Floats]) -> Floats:
        """The change of a node."""
        if node not in changes:
            changes[node] = self._place.xp.zeros_like(self.value(node))
        return changes[node]

    def _empty(self, size: int) -> Floats:
        room: Floats = self._place.xp.empty((len(self.observation.output), size), np.float32)
        return room


Maps = Callable[[int], Sequence[Floats]]
"""The matrices between a layer's lines and what it sees, from the lines down."""


def brought_back(net: Architecture, maps: Maps, error: Floats, observation: Observation, chips: int = 1) -> Layered:
    """dL/da of each layer and sample, in the shapes of an observation's activities, from dL/dy of the output."""
    signals = layered.empty([a.shape for a in observation.activities], backends.backend_of(error).xp)
    if not net.has_tail:
        signals[-1][...] = error
    bring_back(net, maps, signals, observation, chips, error=error)
    return signals


def bring_back(
    net: Architecture,
    maps: Maps,
    signals: Layered,
    observation: Observation,
    chips: int = 1,
    project: bool = True,
    error: Floats | None = None,
) -> None:
    """Fill in the signals of all layers below the last, whose signal is there; behind steps that end a network its too.

    Parameters
    ----------
    net : Architecture
    maps : callable
        Asked for layers that see what depends on others.
    signals : Layered
        dL/da, in the shapes of an observation's activities.
    observation : Observation
    chips : int
    project : bool
        Whether signals go through the batch's statistics on their way (`noisysim.compute.periphery.project`).
    error : array
        dL/dy of the output, of a network that steps end.
    """
    nodes, pending = Nodes(net, observation, chips), dict[int, Floats]()
    if net.has_tail:
        assert error is not None
        pending[net.output] = error
        _pull(net, net.depth, nodes, pending)
    for layer in reversed(range(net.depth)):
        if net.blocks[layer].recurrence:
            steps = recurrence.Steps(net, layer, observation)
            first, second = steps.pull(pending.pop(1 + layer), maps(layer), chips)
            signals[layer][...] = second
            _add(pending, net.source(layer), first.reshape(len(first), -1))
            _pull(net, layer, nodes, pending)
            continue
        if layer < net.depth - 1 or net.has_tail:
            below = pending.pop(1 + layer)
            periphery.pull_back(net, layer, below, observation, signals[layer], chips=chips)
            if project:
                periphery.project(layer, signals[layer], observation, chips=chips)
        if net.learned[net.source(layer)]:
            _add(pending, net.source(layer), periphery.carry(net, layer, signals[layer], maps(layer), chips))
        _pull(net, layer, nodes, pending)


def _pull(net: Architecture, layer: int, nodes: Nodes, pending: dict[int, Floats]) -> None:
    """Bring signals back through the operations that are due before a layer."""
    for node in reversed(net.due[layer]):
        if node > net.depth and net.learned[node]:
            for source, signal in nodes.pull(node, pending.pop(node)):
                _add(pending, source, signal)


def _add(pending: dict[int, Floats], node: int, signal: Floats) -> None:
    """Add a signal to those that a node has got."""
    pending[node] = pending[node] + signal if node in pending else signal
