"""A network as a plan: its array layers in order, and before each the periphery steps that make what drives it.

Every step reads a value and writes one. Value 0 is the network's input, value 1 + l the lines of layer l, and what
steps write comes after these. A step writes into the room of what it reads where nothing else needs that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from noisysim.common.types import Ints

if TYPE_CHECKING:
    from noisysim.networks.architecture import Architecture

INPUT = 0
"""The number of the network's input."""


class Step(NamedTuple):
    """What the periphery does with a value.

    Attributes
    ----------
    name : str
        "channels_last", "pool", "normalise", "activate", "drop", "perturb" or "unfold".
    layer : int
        Whose settings it has.
    source, target : int
        Numbers of the value that it reads and of the one that it writes; they may be the same.
    """

    name: str
    layer: int
    source: int
    target: int


class Group(NamedTuple):
    """An array layer, and the steps before it.

    Attributes
    ----------
    steps : tuple of Step
    source : int
        The value that the arrays take; at `P` positions, its values position by position.
    """

    steps: tuple[Step, ...]
    source: int


class Plan(NamedTuple):
    """A network in the order in which it is computed.

    Attributes
    ----------
    groups : tuple of Group
        One per array layer.
    sizes : tuple of int
        Of every value, per sample.
    places : tuple of int
        Where each value that a step writes is in the work array, per sample; 0 of others.
    """

    groups: tuple[Group, ...]
    sizes: tuple[int, ...]
    places: tuple[int, ...]

    def room(self, first: int, last: int) -> int:
        """Values of a sample that the steps of the layers first..last - 1 write at a time."""
        written = {step.target for group in self.groups[first:last] for step in group.steps}
        return max((self.places[value] + self.sizes[value] for value in written), default=0)

    def values(self) -> Ints:
        """The table `values` (columns named in `noisysim.compute.layout`)."""
        return np.stack([self.sizes, self.places], axis=1).astype(np.int64)


class _Builder:
    """Adds steps to a plan; the work array is free again behind each array layer."""

    def __init__(self, sizes: list[int]):
        self.sizes, self.places, self.groups = sizes, [0] * len(sizes), list[Group]()
        self._outside = len(sizes)
        self._steps: list[Step] = []
        self._used = 0

    def step(self, name: str, layer: int, source: int, size: int, in_place: bool = False) -> int:
        """Add a step, and return the number of the value that it writes."""
        target = source
        if not in_place or source < self._outside:
            target = len(self.sizes)
            self.sizes.append(size)
            self.places.append(self._used)
            self._used += size
        self._steps.append(Step(name, layer, source, target))
        return target

    def array(self, source: int) -> None:
        """End a group with its array layer."""
        self.groups.append(Group(tuple(self._steps), source))
        self._steps, self._used = [], 0


def plan(net: Architecture) -> Plan:
    """The plan of a chain of layers."""
    builder = _Builder([net.sizes[0], *net.lines])
    for layer, block in enumerate(net.blocks):
        value = INPUT if layer == 0 else _hidden(builder, net, layer - 1)
        if block.is_conv:
            if layer == 0:
                value = builder.step("channels_last", 0, value, net.sizes[0])
            value = builder.step("unfold", layer, value, net.positions[layer] * net.fan_in[layer])
        builder.array(value)
    return Plan(tuple(builder.groups), tuple(builder.sizes), tuple(builder.places))


def _hidden(builder: _Builder, net: Architecture, layer: int) -> int:
    """The steps from a layer's lines to its hidden outputs.

    Normalisation, activation function, pooling, dropout; but maxima are taken first, of lines, where that is the same
    (`Block.pools_lines`).
    """
    block, value, size = net.blocks[layer], 1 + layer, net.outputs[layer]
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
