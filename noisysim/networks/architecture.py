"""What follows from a list of layers: how many positions, units and inputs each layer of weights has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from noisysim.common.fields import as_list, shown
from noisysim.common.types import Ints
from noisysim.networks import activations
from noisysim.networks import layers as kinds
from noisysim.networks.activations import Activation
from noisysim.networks.layers import BatchNorm, Conv, Dense, Dropout, Flatten, Layer, Pool

Image = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Block:
    """One layer of weights and what the periphery does with its lines.

    Attributes
    ----------
    product : Dense or Conv
    source : (int, int, int)
        Height, width and channels of what it sees; (1, 1, n) of n units.
    grid : (int, int)
        Rows and columns of positions at which the product is applied; (1, 1) of a dense layer.
    pooled : (int, int)
        The same after pooling.
    activation : Activation
    pool : Pool or None
    norm : BatchNorm or None
    drop : float
        Share of the hidden outputs that is dropped while learning.
    """

    product: Dense | Conv
    source: Image
    grid: tuple[int, int]
    pooled: tuple[int, int]
    activation: Activation
    pool: Pool | None = None
    norm: BatchNorm | None = None
    drop: float = 0.0

    @property
    def is_conv(self) -> bool:
        """Whether it is applied at the positions of an image."""
        return isinstance(self.product, Conv)

    @property
    def units(self) -> int:
        """Output lines of its arrays."""
        return self.product.channels if isinstance(self.product, Conv) else self.product.units

    @property
    def fan_in(self) -> int:
        """Inputs of one product, without a bias."""
        if isinstance(self.product, Conv):
            return self.product.kernel**2 * self.source[2]
        return math.prod(self.source)

    @property
    def plain(self) -> bool:
        """Whether nothing but an activation function follows the product."""
        return self.pool is None and self.norm is None and self.drop == 0

    @property
    def pools_lines(self) -> bool:
        """Whether maxima are taken of lines, before these are normalised and go through the activation function.

        The order is normalisation, activation function, pooling. Where neither of the first two ever falls (scales of
        a normalisation are positive), the largest line gives the largest output: the same, with less work.
        """
        return self.pool is not None and self.activation.never_falls

    @property
    def pools_outputs(self) -> bool:
        """Whether maxima are taken behind the activation function, which may fall."""
        return self.pool is not None and not self.activation.never_falls


@dataclass(frozen=True)
class Architecture:
    """A network's layers of weights in their order; lists have one entry each.

    Attributes
    ----------
    input_shape : tuple of int
        (n_in,), or (channels, height, width).
    blocks : tuple of Block
    bias : bool
        Whether each array has one more row, driven with the constant 1.
    """

    input_shape: tuple[int, ...]
    blocks: tuple[Block, ...]
    bias: bool = False

    @property
    def depth(self) -> int:
        """Number of layers of weights."""
        return len(self.blocks)

    @cached_property
    def positions(self) -> list[int]:
        """P, the positions at which each layer's product is applied; 1 of a dense layer."""
        return [math.prod(block.grid) for block in self.blocks]

    @cached_property
    def units(self) -> list[int]:
        """Units of each layer at each position: output lines of its arrays."""
        return [block.units for block in self.blocks]

    @cached_property
    def fan_in(self) -> list[int]:
        """Inputs of each product, without a bias: of a convolution those of a patch."""
        return [block.fan_in for block in self.blocks]

    @cached_property
    def columns(self) -> list[int]:
        """Inputs of each layer's array, the bias included."""
        return [n + self.bias for n in self.fan_in]

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of each layer's weights, (n_out, n_in)."""
        return list(zip(self.units, self.columns, strict=True))

    @cached_property
    def lines(self) -> list[int]:
        """Pre-activations a sample: units at all positions."""
        return [p * n for p, n in zip(self.positions, self.units, strict=True)]

    @cached_property
    def outputs(self) -> list[int]:
        """Values a sample that each layer gives to the next, after pooling."""
        return [math.prod(block.pooled) * block.units for block in self.blocks]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Values a sample between layers: the inputs, hidden outputs, and the network's output."""
        return (math.prod(self.input_shape), *self.outputs)

    @cached_property
    def activations(self) -> list[str]:
        """Activation function of each layer; the last is linear."""
        return [block.activation.name for block in self.blocks]

    @cached_property
    def cells(self) -> int:
        """Number of weights."""
        return sum(a * b for a, b in self.shapes)

    @cached_property
    def products(self) -> int:
        """Multiplications of one sample's pass."""
        return sum(p * a * b for p, (a, b) in zip(self.positions, self.shapes, strict=True))

    @cached_property
    def products_back(self) -> int:
        """Multiplications that bring one sample's signal back from the outputs to the lines of the first layer."""
        layers = list(zip(self.positions, self.units, self.fan_in, strict=True))
        return sum(p * units * n for p, units, n in layers[1:])

    @cached_property
    def driven(self) -> int:
        """Values of one sample that decorrelation turns: inputs of all layers at all positions, without biases."""
        return sum(p * n for p, n in zip(self.positions, self.fan_in, strict=True))

    @cached_property
    def perturbed(self) -> int:
        """N, the number of perturbed units: the lines of all layers."""
        return sum(self.lines)

    @cached_property
    def extents(self) -> tuple[tuple[int, ...], ...]:
        """The numbers on which the shapes of an observation depend."""
        drops = [int(drop > 0) for drop in self.drops]
        return tuple(map(tuple, (self.positions, self.units, self.columns, self.outputs, drops)))

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is fully connected, with nothing but an activation function after each layer."""
        return all(block.plain and not block.is_conv for block in self.blocks)

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
        return (batch, self.positions[layer], block.units) if block.is_conv else (batch, block.units)

    def output_shape(self, layer: int, batch: int) -> tuple[int, ...]:
        """Shape of a layer's hidden outputs, (batch, units) or (batch, positions after pooling, units)."""
        block = self.blocks[layer]
        return (batch, math.prod(block.pooled), block.units) if block.is_conv else (batch, block.units)

    def driven_shape(self, layer: int, batch: int) -> tuple[int, ...]:
        """Shape of what drives a layer's array, (batch, n_in) or (batch, positions, n_in)."""
        block, n = self.blocks[layer], self.columns[layer]
        return (batch, self.positions[layer], n) if block.is_conv else (batch, n)

    @cached_property
    def kinds(self) -> tuple[Activation, ...]:
        """The different activation functions of hidden layers, in the order of their first use.

        A network without any shares the loops of the commonest one instead of having loops of its own compiled.
        """
        hidden = dict.fromkeys(block.activation for block in self.blocks[:-1])
        return tuple(hidden) or (activations.get("leaky_relu"),)

    def geometry(self) -> Ints:
        """The integer table of that name that the loops read (columns named in `noisysim.compute.layout`)."""
        return self._geometry

    @cached_property
    def _geometry(self) -> Ints:
        rows, norm_at, mask_at = [], 0, 0
        for layer, block in enumerate(self.blocks):
            kernel, stride, margin = 0, 1, 0
            if isinstance(block.product, Conv):
                kernel, stride, margin = block.product.kernel, block.product.stride, block.product.margin
            pool, pool_stride = (block.pool.size, block.pool.stride or block.pool.size) if block.pool else (0, 1)
            kind = self.kinds.index(block.activation) if layer < self.depth - 1 else 0
            outputs = self.outputs[layer]
            rows.append(
                (kernel, stride, margin, *block.source,
                 self.positions[layer], *block.grid, pool, pool_stride, *block.pooled,
                 self.lines[layer], outputs, kind, norm_at if block.norm else -1, mask_at if block.drop else -1)
            )  # fmt: skip
            norm_at += block.units if block.norm else 0
            mask_at += outputs if block.drop else 0
        return np.array(rows, np.int64)


def with_ends(input_shape: Sequence[int], hidden: Sequence[Layer], n_out: int) -> list[Any]:
    """Input, hidden layers and outputs in one list; the input's shape matters to convolutions alone."""
    image = any(isinstance(layer, Conv) for layer in hidden)
    return [tuple(input_shape) if image else math.prod(input_shape), *hidden, n_out]


def architecture(layers: Sequence[Any], activation: Any = "leaky_relu", bias: bool = False) -> Architecture:
    """The checked architecture of a list: input, hidden layers, number of outputs.

    Parameters
    ----------
    layers : sequence
        First a number of inputs or the shape of an image, (height, width) or (channels, height, width); then layers in
        any form that `noisysim.layers.layer` reads; last the number of outputs.
    activation : str or Activation
        Of layers that have none of their own; a name, or the path of a file.
    bias : bool

    Raises
    ------
    ValueError, TypeError
        Naming what does not fit: a kernel larger than its image, pooling without one, a layer out of its order.
    """
    layers = as_list(layers)
    if isinstance(layers, (str, bytes, Mapping)) or not isinstance(layers, Iterable):
        raise TypeError(f"layers must be a list such as [784, 256, 10], not {shown(layers)}")
    layers = list(layers)
    chosen = activations.get(activation)
    if len(layers) < 2:
        raise ValueError(f"layers must be at least inputs and outputs, such as [784, 10], not {shown(layers)}")
    shape = _input_shape(layers[0])
    listed = [kinds.layer(layer) for layer in layers[1:]]
    if not isinstance(listed[-1], Dense):
        raise ValueError(f"the last layer must be a number of outputs, not {listed[-1]!r}")
    return Architecture(shape, tuple(_blocks(shape, listed, chosen)), bool(bias))


def _input_shape(spec: Any) -> tuple[int, ...]:
    """The shape of the input: (n_in,), or (channels, height, width)."""
    spec = as_list(spec)
    sizes = tuple(spec) if isinstance(spec, (tuple, list)) else (spec,)
    counts = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in sizes)
    if not counts or not 1 <= len(sizes) <= 3:
        raise ValueError(
            f"the first of layers must be the number of inputs (a whole number above 0) or the shape of an image, such "
            f"as 784 or (3, 32, 32), not {shown(spec)}"
        )
    shape = tuple(int(n) for n in sizes)
    return (1, *shape) if len(shape) == 2 else shape


def _blocks(shape: tuple[int, ...], listed: Sequence[Layer], activation: Activation) -> list[Block]:
    """The blocks that layers make, each fitted to what lies below it."""
    # the image of a flat input is unknown: no convolution can begin there
    below: Image = (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, shape[0])
    image = len(shape) == 3
    blocks: list[Block] = []
    for k, layer in enumerate(listed):
        if isinstance(layer, (Dense, Conv)):
            if isinstance(layer, Conv) and not image:
                raise ValueError(
                    f"{layer!r} needs an image below it: give the input's shape, such as (3, 32, 32), and no dense "
                    "layer or flatten before it"
                )
            grid = _grid(layer, below) if isinstance(layer, Conv) else (1, 1)
            last = k == len(listed) - 1
            kind = activations.get("linear" if last else layer.activation or activation)
            if last and layer.activation not in (None, "linear"):
                raise ValueError(f"the last layer is linear: {layer!r} cannot have an activation")
            blocks.append(Block(layer, below, grid, grid, kind))
            image = isinstance(layer, Conv)
        else:
            blocks, image = _followed(blocks, layer, image), image and not isinstance(layer, Flatten)
        if blocks:
            below = (*blocks[-1].pooled, blocks[-1].units)
    return blocks


def _grid(conv: Conv, source: Image) -> tuple[int, int]:
    """Rows and columns of positions of a convolution over an image."""
    padded = [n + 2 * conv.margin for n in source[:2]]
    if min(padded) < conv.kernel:
        raise ValueError(f"{conv!r} does not fit an image of {source[0]} x {source[1]} pixels below it")
    rows, columns = ((n - conv.kernel) // conv.stride + 1 for n in padded)
    return rows, columns


def _followed(blocks: list[Block], layer: Layer, image: bool) -> list[Block]:
    """The blocks with what the periphery does after the last one's product."""
    if isinstance(layer, Flatten):
        return blocks
    if not blocks:
        raise ValueError(f"{layer!r} must follow a conv or dense layer: the input is used as it is")
    last = blocks[-1]
    if isinstance(layer, BatchNorm):
        if not last.plain:
            raise ValueError(f"{layer!r} must stand directly behind its conv or dense layer")
        return [*blocks[:-1], replace(last, norm=layer)]
    if isinstance(layer, Pool):
        if not image or last.pool or last.drop:
            raise ValueError(f"{layer!r} must follow a conv layer, once, and before its dropout")
        stride = layer.stride or layer.size
        if min(last.grid) < layer.size:
            raise ValueError(f"{layer!r} does not fit the {last.grid[0]} x {last.grid[1]} positions below it")
        rows, columns = ((n - layer.size) // stride + 1 for n in last.grid)
        return [*blocks[:-1], replace(last, pool=layer, pooled=(rows, columns))]
    assert isinstance(layer, Dropout)
    if last.drop:
        raise ValueError(f"{layer!r} follows another dropout")
    return [*blocks[:-1], replace(last, drop=layer.rate)]
