"""From a list of layers to a network: each layer is fitted to what lies below it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from noisysim.common.fields import as_list, shown, unknown
from noisysim.networks import activations, attention, fitted, operations
from noisysim.networks.activations import Activation
from noisysim.networks.architecture import INPUT, Architecture
from noisysim.networks.attention import Attention, Positional
from noisysim.networks.block import Block
from noisysim.networks.fitted import grid, input_shape, words
from noisysim.networks.gain import Gain
from noisysim.networks.layer_kinds import (  # fmt: skip
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    Layer,
    Pool,
    each_side,
    margins_of,
)
from noisysim.networks.layer_lists import (  # fmt: skip
    PRODUCTS,
    Branch,
    Concat,
    Multiply,
    Residual,
    last_product,
    parts,
    with_activation,
)
from noisysim.networks.layer_lists import layer as read
from noisysim.networks.operation_kinds import INPUT as INPUT_NAME
from noisysim.networks.operation_kinds import NORMS, Add, Divide, Embedding, Matmul, OneHot, Output, Take, Wired
from noisysim.networks.operations import Image, Operation
from noisysim.networks.recurrent_kinds import Recurrence, Recurrent

OF_IMAGES = (Attention, Conv, Depthwise, Pool, AveragePool, Positional, Recurrent, Take)
"""Layers to which the shape of what they see matters."""


def with_ends(input_shape: Sequence[int], hidden: Sequence[Layer], n_out: int) -> list[Any]:
    """Input, hidden layers and outputs in one list; the input's shape matters to convolutions and windows alone."""
    image = any(isinstance(layer, OF_IMAGES) for layer in parts(hidden))
    ends = [] if hidden and is_output(hidden[-1]) else [n_out]
    return [tuple(input_shape) if image else math.prod(input_shape), *hidden, *ends]


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
    shape = input_shape(layers[0])
    listed = [read(layer) for layer in layers[1:]]
    if any(map(is_output, parts(listed[:-1]))):
        raise ValueError("output() must be the last layer")
    last = listed[-1]
    if isinstance(last, Dense):
        if last.activation not in (None, "linear"):
            raise ValueError(f"the last layer is linear: {last!r} cannot have an activation")
        listed[-1] = replace(last, activation="linear")
    elif not is_output(last):
        raise ValueError(f"the last layer must be a number of outputs, or output(), not {last!r}")
    builder = _Builder(shape, chosen)
    builder.branch(listed)
    return builder.built(bool(bias))


def is_output(layer: Layer) -> bool:
    """Whether a layer says that the network ends there."""
    return isinstance(layer.layer if isinstance(layer, Wired) else layer, Output)


class _Place(NamedTuple):
    """Where a network that is being built stands.

    Attributes
    ----------
    node : int
        As the builder counts: 0 the input, 1 + l a layer, -1 - k an operation.
    shape : (int, int, int)
        Height, width, channels; (1, 1, n) of n units.
    image : bool
        Whether its positions are those of an image, so that convolutions and windows fit.
    open : bool
        Whether it is a layer of which no branch has begun: what follows may belong to its block.
    """

    node: int
    shape: Image
    image: bool
    open: bool = False


class _Builder:
    """Takes layers one after the other."""

    def __init__(self, shape: tuple[int, ...], activation: Activation):
        self._shape, self._activation = shape, activation
        self._blocks, self._seen, self._operations = list[Block](), list[int](), list[Operation]()
        # the image of a flat input is unknown: no convolution can begin there
        image = (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, shape[0])
        self._at = _Place(INPUT, image, len(shape) == 3)
        self._named: dict[str, _Place] = {INPUT_NAME: self._at}

    def built(self, bias: bool) -> Architecture:
        """The network of all that was taken."""
        depth = len(self._blocks)

        def numbered(node: int) -> int:
            return node if node >= 0 else depth - node

        listed = tuple(one._replace(sources=tuple(map(numbered, one.sources))) for one in self._operations)
        seen = tuple(map(numbered, self._seen))
        chain = seen == tuple(range(depth))
        if not depth:
            raise ValueError("a network needs a layer of weights")
        net = Architecture(
            self._shape, tuple(self._blocks), bias, listed, () if chain else seen, numbered(self._at.node)
        )
        for node, count in enumerate(net.readers):
            if not count and node != INPUT:
                what = self._blocks[node - 1].product if node <= depth else listed[node - 1 - depth].name
                raise ValueError(f"nothing sees what {what!r} gives, and it is not the output: leave it out")
        return net

    def branch(self, layers: Sequence[Layer], linear: int = -1) -> None:
        """Add layers; the one at place `linear` is linear, unless it says otherwise."""
        for k, listed in enumerate(layers):
            layer = with_activation(listed, "linear") if k == linear else listed
            if isinstance(layer, PRODUCTS):
                self._product(layer)
            elif isinstance(layer, Wired):
                self._wired(layer)
            elif isinstance(layer, (Attention, Positional)):
                self._expanded(layer)
            elif isinstance(layer, Embedding):
                self.branch(layer.parts)
            elif isinstance(layer, Recurrent):
                self._recurrent(layer)
            elif isinstance(layer, Residual):
                self._residual(layer)
            elif isinstance(layer, Concat):
                self._several(layer)
            else:
                self._follow(layer)

    # -- products ---------------------------------------------------------------------------------------------------

    def _product(self, layer: Dense | Conv | Depthwise) -> None:
        """Begin a block."""
        below = self._at
        if not isinstance(layer, Dense) and not below.image:
            raise ValueError(
                f"{layer!r} needs an image below it: give the input's shape, such as (3, 32, 32), and no dense layer "
                "or flatten before it"
            )
        if isinstance(layer, Depthwise):
            layer = layer.of(below.shape[2])
        if isinstance(layer, Conv) and (layer.channels % layer.groups or below.shape[2] % layer.groups):
            raise ValueError(f"{layer!r}: its groups do not divide {layer.channels} and {below.shape[2]} channels")
        places = grid(layer, below.shape) if isinstance(layer, Conv) else (1, 1)
        kind = activations.get(layer.activation) if layer.activation else self._activation
        self._seen.append(below.node)
        self._blocks.append(Block(layer, below.shape, places, places, kind))
        self._at = _Place(len(self._blocks), (*places, self._blocks[-1].units), isinstance(layer, Conv), True)

    def _expanded(self, layer: Attention | Positional) -> None:
        """Add what attention is made of."""
        if not self._at.image:
            raise ValueError(
                f"{layer!r} needs steps below it: rows of an image, such as an input of (1, steps, features)"
            )
        (steps, width, channels), prefix = self._at.shape, f"attention{len(self._blocks)}_"
        # the same values in the same order
        self._at = self._at._replace(shape=(steps, 1, width * channels), open=False)
        self._named[prefix + attention.SEEN] = self._at
        self.branch(attention.expanded(layer, self._at.shape, prefix))

    def _recurrent(self, layer: Recurrent) -> None:
        """Begin the two blocks of a recurrent layer, and take the last step where that is all it gives."""
        below = self._at
        if not below.image:
            raise ValueError(
                f"{layer!r} needs steps below it: rows of an image, such as an input of (1, steps, features)"
            )
        steps, width, _ = below.shape
        self._product(Conv(layer.lines, (1, width), activation="linear", digital=layer.digital))
        self._seen.append(self._at.node)
        linear = activations.get("linear")
        product = Recurrence(layer.units, layer.cell, layer.digital)
        self._blocks.append(Block(product, (steps, 1, layer.lines), (product.reads * steps, 1), (steps, 1), linear))
        self._at = _Place(len(self._blocks), (steps, 1, layer.units), True)
        if layer.returns == "last":
            last = range((steps - 1) * layer.units, steps * layer.units)
            self._operate(operations.gather(self._at.node, steps * layer.units, (1, 1, layer.units), last))
            self._at = self._at._replace(image=False)

    # -- what follows a block ---------------------------------------------------------------------------------------

    def _follow(self, layer: Layer) -> None:
        """Add what the periphery does with the values here: as a part of the block, where it fits into its order."""
        last = self._blocks[-1] if self._at.open else None
        if isinstance(layer, Flatten):
            self._at = self._at._replace(image=False)
        elif isinstance(layer, BatchNorm):
            if last is None or not last.plain or last.is_gain:
                raise self._misplaced(layer, "must stand directly behind its conv or dense layer")
            self._blocks[-1] = replace(last, norm=layer)
            if layer.learned:  # what else follows the product then follows the gain
                self._blocks[-1] = replace(self._blocks[-1], activation=activations.get("linear"))
                self._gain(last.activation)
        elif isinstance(layer, Dropout):
            if last is None:
                raise self._misplaced(layer, "must follow a block of a conv or dense layer")
            if last.drop:
                raise ValueError(f"{layer!r} follows another dropout")
            self._blocks[-1] = replace(last, drop=layer.rate)
        elif isinstance(layer, (Pool, AveragePool)):
            self._window(layer, last)
        elif not isinstance(layer, Output):
            self._operate(fitted.operation(layer, self._at.node, self._at.shape, self._activation))
            if isinstance(layer, (OneHot, Take)):
                self._at = self._at._replace(image=True)
            if isinstance(layer, NORMS) and layer.learned:
                self._gain(activations.get("linear"))
                self._at = self._at._replace(open=False)

    def _gain(self, activation: Activation) -> None:
        """Begin the block of a learned gain and offset of each channel."""
        below, places = self._at, self._at.shape[:2]
        self._seen.append(below.node)
        self._blocks.append(Block(Gain.of(below.shape[2]), below.shape, places, places, activation))
        self._at = below._replace(node=len(self._blocks), open=True)

    # -- wires ---------------------------------------------------------------------------------------------------------

    def _wired(self, wired: Wired) -> None:
        """Add a layer that says what it sees, or what it is called."""
        sources = []
        for label in wired.sources:
            if label not in self._named:
                raise unknown("layer's name", label, self._named)
            sources.append(self._named[label])
        if len(sources) == 1:
            self._at = sources[0]
            self.branch([wired.layer])
        elif sources:
            self._joined(wired, sources)
        else:
            self.branch([wired.layer])
        if wired.label in self._named:
            raise ValueError(f"two layers are called {wired.label!r}")
        if wired.label:
            self._at = self._named[wired.label] = self._at._replace(open=False)

    def _joined(self, wired: Wired, sources: Sequence[_Place]) -> None:
        """Add an operation on several values."""
        layer = wired.layer
        if isinstance(layer, Matmul):
            first, second = self._two(wired, sources)
            counts = (layer.sides * layer.rows * layer.inner, layer.sides * layer.inner * layer.columns)
            if counts != (operations.size_of(first.shape), operations.size_of(second.shape)):
                raise ValueError(f"{wired!r}: its matrices do not fit {words(first.shape)} and {words(second.shape)}")
            self._at = first._replace(image=True)
            self._operate(
                operations.matmul(first.node, second.node, layer.sides, layer.rows, layer.inner, layer.columns)
            )
        elif isinstance(layer, Add):
            self._at = sources[0]
            for other in sources[1:]:
                self._add(wired, self._at, other)
        elif isinstance(layer, Divide):
            first, second = self._two(wired, sources)
            if first.shape != second.shape:
                raise ValueError(f"{wired!r} divides {words(first.shape)} by {words(second.shape)}: they must be alike")
            self._at = first._replace(image=first.image and second.image)
            self._operate(operations.divide(first.node, second.node, first.shape))
        elif isinstance(layer, Concat) and not layer.branches:
            self._side_by_side(layer, sources)
        else:
            raise ValueError(f"{wired!r}: {layer.name} sees one layer, not {len(sources)}")

    def _two(self, wired: Wired, sources: Sequence[_Place]) -> tuple[_Place, _Place]:
        if len(sources) != 2:
            raise ValueError(f"{wired!r} needs two layers, not {len(sources)}")
        return sources[0], sources[1]

    def _misplaced(self, layer: Layer, rule: str) -> ValueError:
        if not self._blocks:
            return ValueError(f"{layer!r} must follow a conv or dense layer: the input is used as it is")
        return ValueError(f"{layer!r} {rule}")

    def _window(self, layer: Pool | AveragePool, last: Block | None) -> None:
        """Add pooling: to the block, or as an operation."""
        at = self._at
        if not at.image:
            raise self._misplaced(layer, "must follow a conv layer, or what has an image otherwise")
        size = at.shape[:2] if layer.size is None else each_side(layer.size)
        stride = each_side(layer.stride) if layer.stride is not None else size
        margins = margins_of(layer.padding, size)
        rows, columns = (
            operations.fits(at.shape[k] + margins[k] + margins[k + 2], size[k], stride[k]) for k in range(2)
        )
        if min(rows, columns) < 1:
            raise ValueError(f"{layer!r} does not fit the {at.shape[0]} x {at.shape[1]} positions below it")
        if isinstance(layer, AveragePool):
            self._operate(operations.average(at.node, at.shape, size, stride, margins, layer.count_padding))
        elif last is None or last.pool or last.drop or any(margins):
            self._operate(operations.pool(at.node, at.shape, size, stride, margins))
        else:
            self._blocks[-1] = replace(last, pool=layer, pooled=(rows, columns))
            self._at = at._replace(shape=(rows, columns, at.shape[2]))

    # -- branches ---------------------------------------------------------------------------------------------------

    def _residual(self, layer: Residual) -> None:
        """Add the sum of two branches."""
        main, shortcut = self._ends(
            layer, [layer.main, layer.shortcut], [last_product(b) for b in (layer.main, layer.shortcut)]
        )
        self._add(layer, main, shortcut)
        kind = activations.get(layer.activation) if layer.activation else self._activation
        if kind.name != "linear":
            self._operate(operations.activate(self._at.node, self._at.shape, kind))

    def _add(self, layer: Layer, first: _Place, second: _Place) -> None:
        """Add the sum of two values."""
        if first.shape != second.shape:
            raise ValueError(f"{layer!r} adds {words(first.shape)} and {words(second.shape)}: they must be alike")
        self._at = first._replace(image=first.image and second.image)
        self._operate(operations.add(first.node, second.node, first.shape))

    def _several(self, layer: Concat) -> None:
        """Add branches that stand side by side, or are multiplied."""
        self._side_by_side(layer, self._ends(layer, layer.branches, [-1] * len(layer.branches)))

    def _side_by_side(self, layer: Concat, ends: Sequence[_Place]) -> None:
        """Add what joins values channel by channel, or multiplies them."""
        self._at = ends[0]
        for end in ends[1:]:
            here = self._at
            if isinstance(layer, Multiply):
                gate = end.shape == (1, 1, here.shape[2])
                if end.shape != here.shape and not gate:
                    raise ValueError(
                        f"{layer!r} multiplies {words(here.shape)} and {words(end.shape)}: they must be alike, or "
                        "the second a value for each channel"
                    )
                self._operate(operations.multiply(here.node, end.node, here.shape, end.shape))
            else:
                if end.shape[:2] != here.shape[:2]:
                    raise ValueError(f"{layer!r} joins {words(here.shape)} and {words(end.shape)}: positions differ")
                self._at = here._replace(image=here.image and end.image)
                self._operate(operations.concatenate(here.node, end.node, here.shape, end.shape))

    def _ends(self, layer: Layer, branches: Sequence[Branch], linear: Sequence[int]) -> list[_Place]:
        """Where branches that all begin here end."""
        start, ends = self._at._replace(open=False), list[_Place]()
        if not branches:
            raise ValueError(f"{layer!r} needs a branch")
        for branch, last in zip(branches, linear, strict=True):
            self._at = start
            self.branch(branch, last)
            ends.append(self._at._replace(open=False))
        return ends

    def _operate(self, operation: Operation) -> None:
        """Add an operation, and stand behind it."""
        self._operations.append(operation)
        self._at = _Place(-len(self._operations), operation.shape, self._at.image)
