"""A network: its layers of weights, what the periphery does between them, and the shapes that follow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from noisysim.common.types import Floats, Ints
from noisysim.networks import activations
from noisysim.networks.activations import Activation
from noisysim.networks.block import Block
from noisysim.networks.layer_kinds import BatchNorm, Conv
from noisysim.networks.operations import Operation

INPUT = 0
"""The node of the network's input."""


@dataclass(frozen=True)
class Architecture:
    """A network's layers of weights, in an order in which each sees what is before it; lists have one entry each.

    What a layer sees is a node: the network's input, 0; the hidden outputs of layer l, 1 + l; or what an operation of
    the periphery gives, numbered on from there.

    Attributes
    ----------
    input_shape : tuple of int
        (n_in,), or (channels, height, width).
    blocks : tuple of Block
    bias : bool
        Whether each array has one more row, driven with the constant 1. Gains have it in any case: their offset.
    operations : tuple of Operation
        What the periphery computes between layers, each after its sources.
    seen : tuple of int
        The node that each layer sees; without any, the layers are a chain, and each sees the one before it.
    end : int
        The node that is the network's output; -1: the lines of the last layer.
    """

    input_shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    bias: bool = False
    operations: tuple[Operation, ...] = ()
    seen: tuple[int, ...] = ()
    end: int = -1

    @property
    def depth(self) -> int:
        """Number of layers of weights."""
        return len(self.blocks)

    @property
    def is_chain(self) -> bool:
        """Whether each layer sees the one before it, and nothing else, and the last one's lines are the output."""
        in_turn = all(self.source(layer) == layer for layer in range(self.depth))
        return in_turn and not self.operations and not self.has_tail and not self.is_recurrent

    @cached_property
    def has_tail(self) -> bool:
        """Whether the periphery makes the output of the network of the last lines, or of more."""
        last = self.blocks[-1]
        bare = last.plain and not last.by_position and last.activation.name == "linear"
        return self.end not in (-1, self.depth) or not bare

    @property
    def output(self) -> int:
        """The node of the network's output."""
        return self.depth if self.end == -1 else self.end

    @cached_property
    def is_recurrent(self) -> bool:
        """Whether any layer is."""
        return any(block.recurrence for block in self.blocks)

    def source(self, layer: int) -> int:
        """The node that a layer sees."""
        return self.seen[layer] if self.seen else layer

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return 1 + self.depth + len(self.operations)

    def node_size(self, node: int) -> int:
        """Values a sample of a node."""
        return self.sizes[node] if node <= self.depth else self.operation(node).size

    def operation(self, node: int) -> Operation:
        """The operation that gives a node."""
        return self.operations[node - 1 - self.depth]

    @cached_property
    def readers(self) -> tuple[int, ...]:
        """How many layers and operations read each node."""
        counts = [0] * self.nodes
        of_operations = (node for one in self.operations for node in one.sources)
        for node in (*map(self.source, range(self.depth)), *of_operations, self.output):
            counts[node] += 1
        return tuple(counts)

    @cached_property
    def due(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that are first needed for each layer, each behind those that it is made of; last of the output."""
        there, due = {INPUT}, list[tuple[int, ...]]()
        for layer in range(self.depth):
            due.append(tuple(self._missing(self.source(layer), there)))
        due.append(tuple(self._missing(self.output, there)) if self.has_tail else ())
        return tuple(due)

    def _missing(self, node: int, there: set[int]) -> Iterator[int]:
        """The nodes that are to be computed to have this one, which then are there."""
        waiting = [node]  # each behind the one that it was asked for: networks may be deeper than Python's stack
        while waiting:
            latest = waiting[-1]
            sources = self.operation(latest).sources if latest > self.depth and latest not in there else ()
            missing = [source for source in sources if source not in there]
            if missing:
                waiting += reversed(missing)
                continue
            waiting.pop()
            if latest not in there:
                there.add(latest)
                yield latest

    @cached_property
    def operates_on_input(self) -> bool:
        """Whether an operation reads the network's input."""
        return any(INPUT in operation.sources for operation in self.operations)

    @cached_property
    def learned(self) -> tuple[bool, ...]:
        """Whether each node depends on any layer."""
        found = [node > INPUT for node in range(1 + self.depth)]
        for operation in self.operations:
            found.append(any(found[source] for source in operation.sources))
        return tuple(found)

    @cached_property
    def silent(self) -> list[bool]:
        """Whether each layer is digital and sees none on arrays, directly or not, so that no noise moves its lines."""
        moved = [False] * self.nodes
        for layer, due in enumerate(self.due[:-1]):
            for node in due:
                if node > self.depth:
                    moved[node] = any(moved[source] for source in self.operation(node).sources)
            moved[1 + layer] = not self.digital[layer] or moved[self.source(layer)]
        return [not moved[1 + layer] for layer in range(self.depth)]

    @cached_property
    def first_needed(self) -> dict[int, int]:
        """The layer that each node is first needed for."""
        return {node: layer for layer, nodes in enumerate(self.due) for node in nodes}

    @cached_property
    def kept(self) -> tuple[int, ...]:
        """The nodes that are read again for a later layer than the one that they are first needed for."""
        first, last = self.first_needed, dict[int, int]()
        for layer, nodes in enumerate(self.due):
            of_operations = (self.operation(node).sources for node in nodes if node > self.depth)
            needed = self.source(layer) if layer < self.depth else self.output
            for node in (needed, *itertools.chain(*of_operations)):
                last[node] = layer
        return tuple(node for node in sorted(first) if last[node] > first[node])

    @cached_property
    def positions(self) -> list[int]:
        """P, the positions at which each layer's product is applied; 1 of a dense layer."""
        return [math.prod(block.grid) for block in self.blocks]

    @cached_property
    def units(self) -> list[int]:
        """Units of each layer at each position, which are output lines of its arrays."""
        return [block.units for block in self.blocks]

    @cached_property
    def fan_in(self) -> list[int]:
        """Inputs of each product, without a bias; of a convolution those of a patch."""
        return [block.fan_in for block in self.blocks]

    @cached_property
    def biases(self) -> list[bool]:
        """Whether each layer has a bias."""
        return [self.bias or block.is_gain for block in self.blocks]

    @cached_property
    def columns(self) -> list[int]:
        """Inputs of each layer's array, the bias included."""
        return [n + bias for n, bias in zip(self.fan_in, self.biases, strict=True)]

    @cached_property
    def digital(self) -> list[bool]:
        """Whether each layer's weights are in digital memory."""
        return [block.digital for block in self.blocks]

    @cached_property
    def turned(self) -> list[int]:
        """Inputs of each layer that decorrelation turns, which are none of a gain."""
        return [0 if block.is_gain else n for block, n in zip(self.blocks, self.fan_in, strict=True)]

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of each layer's weights, (n_out, n_in)."""
        return list(zip(self.units, self.columns, strict=True))

    @cached_property
    def lines(self) -> list[int]:
        """Pre-activations a sample, of units at all positions."""
        return [p * n for p, n in zip(self.positions, self.units, strict=True)]

    @cached_property
    def outputs(self) -> list[int]:
        """Values a sample that each layer gives to the next, after pooling."""
        return [math.prod(block.pooled) * block.channels for block in self.blocks]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Values a sample between layers, from the inputs over hidden outputs to the network's output."""
        return (math.prod(self.input_shape), *self.outputs)

    @cached_property
    def blocks_of_weights(self) -> list[Floats | None]:
        """Of grouped layers 1 where an array holds weights, (n_out, n_in), and 0 elsewhere; of others ``None``."""
        return [self._groups_of(layer) if block.groups > 1 else None for layer, block in enumerate(self.blocks)]

    def _groups_of(self, layer: int) -> Floats:
        block, (n_out, n_in) = self.blocks[layer], self.shapes[layer]
        channels = block.source[2]
        of_output = np.arange(n_out) // (n_out // block.groups)
        of_input = np.arange(self.fan_in[layer]) % channels // (channels // block.groups)
        held = np.ones((n_out, n_in), np.float32)
        held[:, : self.fan_in[layer]] = of_output[:, None] == of_input
        return held

    @cached_property
    def blocks_of_rotations(self) -> list[Floats | None]:
        """Of grouped layers that are decorrelated 1 where two inputs are in one group, (n, n); of others ``None``."""
        found: list[Floats | None] = []
        for held, n in zip(self.blocks_of_weights, self.turned, strict=True):
            of_input = None if held is None else held[:, :n].argmax(axis=0)
            found.append(None if of_input is None or not n else np.float32(of_input[:, None] == of_input))
        return found

    @cached_property
    def turned_together(self) -> list[tuple[int, int]]:
        """Groups of each layer, and inputs of a group that decorrelation turns, which are none of a gain."""
        return [(block.groups, n // block.groups) for block, n in zip(self.blocks, self.turned, strict=True)]

    @cached_property
    def is_grouped(self) -> bool:
        """Whether any layer has groups."""
        return any(block.groups > 1 for block in self.blocks)

    @property
    def n_out(self) -> int:
        """Values a sample of the network's output."""
        return self.node_size(self.output)

    @cached_property
    def activations(self) -> list[str]:
        """Activation function of each layer; the last is linear."""
        return [block.activation.name for block in self.blocks]

    @cached_property
    def cells(self) -> int:
        """Number of weights."""
        return sum(a * b for a, b in self.shapes)

    @cached_property
    def places(self) -> list[int]:
        """Weights of each layer that take part in its product, on arrays those of idle cells too."""
        return [
            n_out * (n_in - n + n // block.groups) if block.digital else n_out * n_in
            for block, n, (n_out, n_in) in zip(self.blocks, self.fan_in, self.shapes, strict=True)
        ]

    @cached_property
    def products(self) -> int:
        """Multiplications of one sample's pass."""
        return sum(p * n for p, n in zip(self.positions, self.places, strict=True))

    @cached_property
    def digital_products(self) -> int:
        """Those of them that digital layers do."""
        layers = zip(self.digital, self.positions, self.places, strict=True)
        return sum(p * n for digital, p, n in layers if digital)

    @cached_property
    def products_back(self) -> int:
        """Multiplications that bring one sample's signal back from the outputs to the lines of the first layer."""
        layers = zip(
            self.positions, self.places, self.units, self.biases, map(self.source, range(self.depth)), strict=True
        )
        return sum(p * (n - units * bias) for p, n, units, bias, node in layers if self.learned[node])

    @cached_property
    def driven(self) -> int:
        """Values of one sample that drive the layers, at all positions, without biases."""
        return sum(p * n for p, n in zip(self.positions, self.fan_in, strict=True))

    @cached_property
    def perturbed(self) -> int:
        """N, the number of perturbed units, which are the lines of all layers."""
        return sum(self.lines)

    @cached_property
    def extents(self) -> tuple[tuple[int, ...], ...]:
        """The numbers on which the shapes of an observation depend."""
        drops = [int(drop > 0) for drop in self.drops]
        kept = [self.node_size(node) for node in self.kept]
        return tuple(map(tuple, (self.positions, self.units, self.columns, self.outputs, drops, kept)))

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is fully connected, with nothing but an activation function after each layer."""
        return self.is_chain and all(block.plain and not block.is_conv for block in self.blocks)

    @cached_property
    def norms(self) -> list[BatchNorm | None]:
        """Batch normalisation of each layer."""
        return [block.norm for block in self.blocks]

    @cached_property
    def drops(self) -> list[float]:
        """Share of each layer's hidden outputs that is dropped while learning."""
        return [block.drop for block in self.blocks]

    def line_shape(self, layer: int, batch: int) -> tuple[int, ...]:
        """Shape of a layer's pre-activations, (batch, units) or (batch, positions, units)."""
        block = self.blocks[layer]
        return (batch, self.positions[layer], block.units) if block.by_position else (batch, block.units)

    def output_shape(self, layer: int, batch: int) -> tuple[int, ...]:
        """Shape of a layer's hidden outputs, (batch, units) or (batch, positions after pooling, units)."""
        block = self.blocks[layer]
        return (batch, math.prod(block.pooled), block.channels) if block.by_position else (batch, block.units)

    def driven_shape(self, layer: int, batch: int) -> tuple[int, ...]:
        """Shape of what drives a layer's array, (batch, n_in) or (batch, positions, n_in)."""
        block, n = self.blocks[layer], self.columns[layer]
        return (batch, self.positions[layer], n) if block.by_position else (batch, n)

    @cached_property
    def kinds(self) -> tuple[Activation, ...]:
        """The different activation functions of hidden layers, in the order of their first use.

        A network without any shares the loops of the commonest one instead of having loops of its own compiled.
        """
        hidden = dict.fromkeys(block.activation for block in self._bent)
        return tuple(hidden) or (activations.get("leaky_relu"),)

    @property
    def _bent(self) -> tuple[Block, ...]:
        """The blocks whose lines go through an activation function."""
        return self.blocks if self.has_tail else self.blocks[:-1]

    def geometry(self) -> Ints:
        """The integer table of that name that the loops read (columns named in `noisysim.compute.layout`)."""
        return self._geometry

    @cached_property
    def _geometry(self) -> Ints:
        rows, norm_at, mask_at = [], 0, 0
        for layer, block in enumerate(self.blocks):
            patch, window = (0, 0, 1, 1, 1, 1, 0, 0), (0, 0, 1, 1)
            if isinstance(product := block.product, Conv):
                patch = (*product.kernels, *product.strides, *product.dilations, *product.margins[:2])
            if block.pool:
                window = (*block.pool.sizes, *block.pool.strides)
            kind = self.kinds.index(block.activation) if layer < len(self._bent) else 0
            outputs = self.outputs[layer]
            rows.append(
                (*patch, *block.source, self.positions[layer], *block.grid, *window, *block.pooled,
                 self.lines[layer], outputs, kind, norm_at if block.norm else -1, mask_at if block.drop else -1,
                 *(block.recurrence.numbers if block.recurrence else (0, 0)), block.digital + block.is_gain)
            )  # fmt: skip
            norm_at += block.units if block.norm else 0
            mask_at += outputs if block.drop else 0
        return np.array(rows, np.int64)
