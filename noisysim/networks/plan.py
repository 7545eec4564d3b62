"""A network as a plan: its array layers in order, and before each the periphery steps that make what drives it.

Every step reads a value, or two, and writes one. Value 0 is the network's input, value 1 + l the lines of layer l, and
what steps write comes after these. A step writes into the room of what it reads where nothing else needs that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisysim.common.types import Ints

if TYPE_CHECKING:
    from noisysim.networks.architecture import Architecture

INPUT = 0
"""The number of the network's input."""
NONE = -1
"""Instead of a second value, where a step reads one."""


class Step(NamedTuple):
    """What the periphery does with a value.

    Attributes
    ----------
    name : str
        "channels_last", "pool", "normalise", "activate", "drop", "perturb" or "unfold", with the settings of a layer;
        or "operate".
    layer : int
        Whose settings it has; of an operation the number of layers and its own.
    source, target : int
        Numbers of the value that it reads and of the one that it writes; they may be the same.
    second : int
        The number of another value that it reads, or ``NONE``.
    """

    name: str
    layer: int
    source: int
    target: int
    second: int = NONE


class Group(NamedTuple):
    """An array layer, and the steps before it.

    Attributes
    ----------
    steps : tuple of Step
    source : int
        The value that the arrays take; at `P` positions, its values position by position. Of a recurrent layer's second
        array what the first gives at every step.
    state : int
        The value that a recurrent layer writes: its outputs at all steps; ``NONE`` of others.
    """

    steps: tuple[Step, ...]
    source: int
    state: int = NONE


class Plan(NamedTuple):
    """A network in the order in which it is computed.

    Attributes
    ----------
    groups : tuple of Group
        One per array layer; one more where steps make the network's output, which is its value.
    sizes : tuple of int
        Of every value, per sample.
    places : tuple of int
        Where each value that a step writes is, per sample; 0 of others: in the work array, or of a value that is kept
        for a later layer, in the array of those.
    kept : tuple of int
        The layer before which a kept value is written; ``NONE`` of others.
    """

    groups: tuple[Group, ...]
    sizes: tuple[int, ...]
    places: tuple[int, ...]
    kept: tuple[int, ...]

    def room(self, first: int, last: int) -> int:
        """Values of a sample that the steps of the layers first..last - 1 write at a time, but for kept ones."""
        written = {step.target for group in self.groups[first:last] for step in group.steps}
        here = (value for value in written if self.kept[value] == NONE)
        return max((self.places[value] + self.sizes[value] for value in here), default=0)

    @property
    def keeps(self) -> int:
        """Values of a sample that are kept for later layers."""
        return sum(size for size, layer in zip(self.sizes, self.kept, strict=True) if layer != NONE)

    def values(self) -> Ints:
        """The table `values` (columns named in `noisysim.compute.layout`)."""
        return np.stack([self.sizes, self.places, self.kept], axis=1).astype(np.int64)


class _Builder:
    """Adds steps to a plan; the work array is free again behind each array layer."""

    def __init__(self, net: Architecture):
        self._net = net
        self.sizes = [net.sizes[0], *net.lines]
        self.places, self.kept, self.groups = [0] * len(self.sizes), [NONE] * len(self.sizes), list[Group]()
        self._outside = len(self.sizes)
        self._steps: list[Step] = []
        self._used = self._keeps = 0
        self._values: dict[int, int] = {}
        """The value of each node that was computed and is needed still."""

    def step(self, name: str, layer: int, source: int, size: int, in_place: bool = False, second: int = NONE) -> int:
        """Add a step, and return the number of the value that it writes."""
        target = source
        if not in_place or source < self._outside:
            target = len(self.sizes)
            self.sizes.append(size)
            self.places.append(self._used)
            self.kept.append(NONE)
            self._used += size
        self._steps.append(Step(name, layer, source, target, second))
        return target

    def array(self, source: int, outputs: int = 0) -> None:
        """End a group with its array layer; of a recurrent one with so many outputs."""
        state = NONE
        if outputs:  # passes may part in the layer: a value as if it were written before the next
            state = len(self.sizes)
            self.sizes.append(outputs)
            self.places.append(self._keeps)
            self.kept.append(1 + len(self.groups))
            self._keeps += outputs
        self.groups.append(Group(tuple(self._steps), source, state))
        self._steps, self._used = [], 0

    def compute(self, node: int) -> None:
        """Add the steps that make a node's value; one that a later layer needs is kept."""
        net = self._net
        value = self._operate(node) if node > net.depth else _hidden(self, net, node - 1)
        self._values[node] = self._keep(value) if node in net.kept else value

    def value(self, node: int, by_pixel: bool) -> int:
        """The value of a node that is there; of an image that the network is given perhaps pixel by pixel."""
        if node == INPUT:
            image = by_pixel and len(self._net.input_shape) == 3
            return self.step("channels_last", 0, INPUT, self.sizes[INPUT]) if image else INPUT
        return self._values[node]

    def _operate(self, node: int) -> int:
        """The steps of an operation."""
        net = self._net
        operation = net.operation(node)
        first, *others = (self.value(source, True) for source in operation.sources)
        name = "activate" if operation.name == "activate" else "operate"
        alone = net.readers[operation.sources[0]] == 1 and operation.sources[0] != INPUT and operation.name in IN_PLACE
        return self.step(name, node - 1, first, operation.size, alone, *others)

    def _keep(self, value: int) -> int:
        """Move a value, which the last step wrote, from the work array to those that are kept."""
        if self.kept[value] == NONE and value >= self._outside:
            self.places[value], self.kept[value] = self._keeps, len(self.groups)
            self._keeps += self.sizes[value]
        return value


IN_PLACE = ("activate", "add")
"""Operations that may write where their first source is: each value depends on that of the same place."""


def plan(net: Architecture) -> Plan:
    """The plan of a network."""
    builder = _Builder(net)
    for layer, block in enumerate(net.blocks):
        for node in net.due[layer]:
            builder.compute(node)
        value = builder.value(net.source(layer), block.is_conv)
        if block.is_conv:
            value = builder.step("unfold", layer, value, net.positions[layer] * net.fan_in[layer])
        builder.array(value, net.outputs[layer] if block.recurrence else 0)
    if net.has_tail:
        for node in net.due[net.depth]:
            builder.compute(node)
        builder.array(builder.value(net.output, True))
    return Plan(tuple(builder.groups), tuple(builder.sizes), tuple(builder.places), tuple(builder.kept))


def _hidden(builder: _Builder, net: Architecture, layer: int) -> int:
    """The steps from a layer's lines to its hidden outputs.

    Normalisation, activation function, pooling, dropout; but maxima are taken first, of lines, where that is the same
    (`Block.pools_lines`).
    """
    block, value, size = net.blocks[layer], 1 + layer, net.outputs[layer]
    if block.recurrence:
        return builder.step("perturb", layer, builder.groups[layer].state, size, in_place=True)
    activated = net.lines[layer] if block.pools_outputs else size
    if block.pools_lines:
        value = builder.step("pool", layer, value, size)
    if block.norm is not None:
        value = builder.step("normalise", layer, value, activated, in_place=True)
    value = builder.step("activate", layer, value, activated, in_place=True)
    if block.pools_outputs:
        value = builder.step("pool", layer, value, size)
    if block.drop:
        value = builder.step("drop", layer, value, size, in_place=True)
    return builder.step("perturb", layer, value, size, in_place=True)
