"""A list of layers that is being written, and values: where each number of a tensor is among those of a layer.

Layers hold values pixel by pixel, (height, width, channels); a tensor may hold the same ones in any order. Reshaping,
transposing, slicing change the order alone, and write nothing. A layer that needs another order than that of the layer
below it has a `take` written before it, once for each order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noisysim.common.types import Array, Doubles, Ints
from noisysim.networks import operations
from noisysim.networks.importing.files import shortest
from noisysim.networks.importing.graphs import MOST_PLACES, check_size
from noisysim.networks.importing.values import INPUT, Entry, Product, Value
from noisysim.networks.layers import (  # fmt: skip
    Activate,
    Add,
    Affine,
    AveragePool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Divide,
    Layer,
    Matmul,
    Multiply,
    Output,
    Pool,
    Take,
    Wired,
)
from noisysim.networks.operation_kinds import INPUT as INPUT_NAME
from noisysim.networks.operation_kinds import NORMS
from noisysim.networks.operations import Image
from noisysim.networks.recurrent_kinds import Recurrent

RISING = ("relu", "leaky_relu", "relu6", "sigmoid", "hard_sigmoid", "tanh", "softplus", "elu")
"""Activation functions that never fall: maxima may be taken before them or behind them."""
MOVE_ZERO = ("sigmoid", "hard_sigmoid", "softplus")
"""Activation functions that are not 0 at 0."""


class Writer:
    """Writes layers, each behind those that it sees.

    Parameters
    ----------
    input_shape : tuple of int
        (n,), or (channels, height, width).
    learned_norms : bool
        Whether normalisations of a sample by itself have what follows them as a gain and an offset that are learned.
    """

    def __init__(self, input_shape: Sequence[int], learned_norms: bool = False):
        flat = len(input_shape) == 1
        image = (1, 1, input_shape[0]) if flat else (input_shape[1], input_shape[2], input_shape[0])
        self.entries = [Entry(Output(), (), image, not flat)]  # the input's place
        self._taken: dict[tuple[int, bytes, Image], int] = {}
        self._places = self._numbers = 0
        self._learned_norms = learned_norms

    def __getitem__(self, node: int) -> Entry:
        return self.entries[node]

    def size(self, node: int) -> int:
        """Values of a layer."""
        return operations.size_of(self.entries[node].shape)

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, layer: Layer, sources: Sequence[int], shape: Image, image: bool | None = None) -> int:
        """Add a layer; without `image` it has one if what it sees has."""
        if image is None:
            image = all(self.entries[source].image for source in sources)
        check_size("it", shape)
        self.entries.append(Entry(layer, tuple(sources), shape, image))
        return len(self.entries) - 1

    def product(self, layer: Dense | Conv, source: int, shape: Image, weight: Array, bias: Array | None) -> int:
        """Add a layer with weights."""
        if bias is not None and bias.shape != shape[2:]:
            raise ValueError(f"its bias has the shape {bias.shape}, not {shape[2:]}")
        number = self.write(layer, (source,), shape, isinstance(layer, Conv))
        entry = self.entries[number]
        entry.weight = np.array(weight, np.float64)
        entry.bias = None if bias is None else np.array(bias, np.float64)
        return number

    def recurrent(self, layer: Recurrent, source: int, rows: Ints, arrays: tuple[Product, Product]) -> int:
        """Add a recurrent layer over the rows of numbers of another layer, (steps, features)."""
        entry, steps = self.entries[source], len(rows)
        in_turn = bool((rows.ravel() == np.arange(rows.size)).all()) and rows.size == self.size(source)
        if not (in_turn and entry.image and entry.shape[0] == steps):
            source = self.ordered(source, rows[:, None], image=True)
        shape = (steps if layer.returns == "all" else 1, 1, layer.units)
        number = self.write(layer, (source,), shape, layer.returns == "all")
        self.entries[number].recurrent = arrays
        return number

    def follow(self, value: Value, layer: Layer) -> Value:
        """Add an operation that takes value by value, whatever their order."""
        entry = self.entries[value.node]
        return value._replace(node=self.write(layer, (value.node,), entry.shape))

    # -- order --------------------------------------------------------------------------------------------------------

    def in_order(self, node: int, shape: Sequence[int]) -> Value:
        """What a layer gives, in its own order."""
        return Value(node, np.arange(self.size(node)).reshape(shape))

    def by_channel(self, node: int) -> Value:
        """What a layer gives as an image, (1, channels, height, width)."""
        return self.in_order(node, (1, *self.entries[node].shape)).by_channel()

    def is_whole(self, value: Value) -> bool:
        """Whether it has each of the layer's values once."""
        count, flat = self.size(value.node), value.places.ravel()
        return flat.size == count and flat.min() >= 0 and bool((np.bincount(flat, minlength=count) == 1).all())

    def is_once(self, value: Value) -> bool:
        """Whether it has no value twice, and no zeros of its own."""
        flat = value.places.ravel()
        return bool(flat.min() >= 0 and np.bincount(flat).max() == 1)

    def ordered(
        self, node: int, order: Array, image: bool = False, same_values: bool = False, fresh: bool = False
    ) -> int:
        """The layer whose values are those of `node` in an order, (height, width, channels): itself, or a `take`.

        Parameters
        ----------
        node : int
        order : array
            Places of `node`, -1 of zeros.
        image : bool
            Whether windows or convolutions follow.
        same_values : bool
            Whether only the order matters, and not the shape.
        fresh : bool
            Whether a `take` is written in any case.
        """
        entry, shape = self.entries[node], order.shape
        flat = np.ascontiguousarray(order, np.int64).ravel()
        same = flat.size == self.size(node) and bool((flat == np.arange(flat.size)).all())
        if same and not fresh and (same_values or (shape == entry.shape and (entry.image or not image))):
            return node
        key = (node, flat.tobytes(), shape)
        if key not in self._taken:
            self._places += flat.size
            if self._places > MOST_PLACES:
                raise ValueError(f"it changes the order of more than {MOST_PLACES} values")
            self._taken[key] = self.write(Take(flat.tolist(), shape), (node,), shape, True)
        return self._taken[key]

    def taken(self, value: Value) -> Value:
        """The same numbers, each once, in the order of an image or else in their own; nothing else reads them."""
        order = value.places
        if len(value.shape) == 4 and value.shape[0] == 1:
            return self.by_channel(self.ordered(value.node, order[0].transpose(1, 2, 0)))
        last = value.shape[-1] if len(value.shape) > 2 else order.size
        return self.in_order(self.ordered(value.node, order.reshape(1, -1, last)), value.shape)

    def by_position(self, node: int, places: Ints, image: bool = False, aligned: bool = False) -> tuple[int, Ints]:
        """A layer each of whose positions has the numbers of one row, and where these are.

        Parameters
        ----------
        node : int
        places : numpy.ndarray
            (rows, members).
        image : bool
            Whether windows or convolutions follow.
        aligned : bool
            Whether the channels have to be in the same order at all positions.
        """
        rows, members = places.shape
        entry = self.entries[node]
        if entry.shape[2] == members and (entry.image or not image) and self.is_whole(Value(node, places)):
            together = (places // members == places[:, :1] // members).all()
            if together and (not aligned or (places % members == places[0] % members).all()):
                return node, places
        node = self.ordered(node, places.reshape(1, rows, members), image)
        return node, np.arange(places.size).reshape(rows, members)

    def solid(self, value: Value) -> Value:
        """The same numbers, zeros of its own among those of a layer: for what gives something else of zeros."""
        return self.taken(value) if value.places.min() < 0 else value

    def once(self, value: Value) -> Value:
        """The same numbers, each of them a value of its own of a layer."""
        return value if self.is_once(value) else self.taken(value)

    # -- what two values are for each other ---------------------------------------------------------------------------

    def aligned(self, first: Value, second: Value) -> tuple[Value, Value]:
        """Two tensors of one shape, on layers that have their numbers at the same places."""
        if not self._may_lead(first):
            if self._may_lead(second):
                return self.aligned(second, first)[::-1]
            first = self.taken(first)
        order = np.empty(self.size(first.node), np.int64)
        order[first.places.ravel()] = second.places.ravel()
        node = self.ordered(second.node, order.reshape(self.entries[first.node].shape))
        return first, Value(node, first.places)

    def divide(self, first: Value, second: Value) -> Value:
        """The first of two tensors of one shape divided by the second."""
        first, second = self.aligned(first, second)
        shape = self.entries[first.node].shape
        return Value(self.write(Divide(), (first.node, second.node), shape), first.places)

    def _may_lead(self, value: Value) -> bool:
        """Whether another tensor is brought into its order: of what is computed, rather than of the input."""
        return self.is_whole(value) and value.node != INPUT

    def add(self, first: Value, second: Value) -> Value:
        """The sum of two tensors of one shape."""
        first, second = self.aligned(first, second)
        shape = self.entries[first.node].shape
        return Value(self.write(Add(), (first.node, second.node), shape), first.places)

    def multiply(self, first: Value, second: Value) -> Value:
        """The product of two tensors of one shape; of a value for each channel repeated over positions by a gate."""
        for whole, gate in ((first, second), (second, first)):
            shape = self.entries[whole.node].shape
            fits = self.entries[gate.node].shape == (1, 1, shape[2]) and self.is_whole(whole)
            if fits and bool((whole.places % shape[2] == gate.places).all()):
                return self._multiplied(whole, gate.node)
        first, second = self.aligned(first, second)
        return self._multiplied(first, second.node)

    def _multiplied(self, value: Value, other: int) -> Value:
        entry = self.entries[value.node]
        return Value(self.write(Multiply(()), (value.node, other), entry.shape, entry.image), value.places)

    def join(self, values: Sequence[Value], axis: int) -> Value:
        """Tensors one after the other along an axis."""
        nodes = {value.node for value in values}
        if len(nodes) > 1:
            values = self._joined(values)
        return Value(values[0].node, np.concatenate([value.places for value in values], axis))

    def _joined(self, values: Sequence[Value]) -> list[Value]:
        """The same tensors on one layer."""
        held = [value if self.is_whole(value) else self.taken(value) for value in values]
        if len({self.entries[value.node].shape[:2] for value in held}) > 1:
            orders = [value.places.reshape(1, 1, -1) for value in values]
            flat = [self.ordered(value.node, order) for value, order in zip(values, orders, strict=True)]
            held = [self.in_order(node, value.shape) for node, value in zip(flat, values, strict=True)]
        shapes = [self.entries[value.node].shape for value in held]
        total, first = sum(shape[2] for shape in shapes), 0
        node = self.write(Concat(()), [value.node for value in held], (*shapes[0][:2], total))
        joined = []
        for value, (_, _, channels) in zip(held, shapes, strict=True):
            joined.append(Value(node, value.places // channels * total + first + value.places % channels))
            first += channels
        return joined

    def matmul(self, first: Value, second: Value) -> Value:
        """Products of matrices, (..., rows, inner) and (..., inner, columns), with the same axes before."""
        *before, rows, inner = first.shape
        columns, sides = second.shape[-1], math.prod(before)
        left = self.ordered(first.node, first.places.reshape(sides, rows, inner))
        right = self.ordered(second.node, second.places.reshape(sides, inner, columns))
        node = self.write(Matmul(sides, rows, inner, columns), (left, right), (sides, rows, columns), True)
        return self.in_order(node, (*before, rows, columns))

    # -- what may become a part of a block ----------------------------------------------------------------------------

    def activate(self, value: Value, name: str) -> Value:
        """An activation function: of a product that nothing else reads, or an operation."""
        value = value if name not in MOVE_ZERO else self.solid(value)
        entry = self.entries[value.node]
        pools = all(isinstance(one, BatchNorm) or (isinstance(one, Pool) and name in RISING) for one in entry.after)
        if entry.weight is not None and value.alone and pools and entry.layer.activation == "linear":  # type: ignore[attr-defined]
            entry.layer = replace(entry.layer, activation=name)  # type: ignore[call-arg]
            return value
        return self.follow(value, Activate(name))

    def affine(self, value: Value, gain: Array, offset: Array, fold: bool = True) -> Value:
        """A gain and an offset of each number, in shapes that fit the tensor: part of what is before them, if they may.

        Parameters
        ----------
        value : Value
        gain, offset : array
        fold : bool
            Whether they may become a part of the weights.
        """
        value = self.once(value)
        entry = self.entries[value.node]
        numbers = np.stack([np.ones(self.size(value.node)), np.zeros(self.size(value.node))])
        for row, given in zip(numbers, (gain, offset), strict=True):
            row[value.places.ravel()] = np.broadcast_to(given, value.shape).ravel()
        channels = numbers.reshape(2, -1, entry.shape[2])
        each = channels[:, 0] if (channels == channels[:, :1]).all() else None
        if value.alone and each is not None and self.is_whole(value):
            if fold and entry.is_linear:
                entry.scale(*each)
                return value
            if self._learned_norms and isinstance(entry.layer, NORMS):
                entry.learn(*each)
                return value
        given = numbers if each is None else each
        self._numbers += len(given[0])
        if self._numbers > MOST_PLACES:
            raise ValueError(f"it has gains and offsets of more than {MOST_PLACES} values, with those before")
        return self.follow(value, Affine(*(_shortest(row) for row in given)))

    def normalised(self, value: Value, layer: BatchNorm, statistics: Doubles, learned: Doubles) -> Value | None:
        """Batch normalisation of the units of a product that nothing else reads; ``None`` of anything else.

        `learned` is a gain and an offset of each unit, (2, units).
        """
        entry = self.entries[value.node]
        if not (value.alone and entry.is_linear and self.is_whole(value) and value.shape[1] == entry.shape[2]):
            return None
        if (np.moveaxis(value.places, 1, -1) % entry.shape[2] != np.arange(entry.shape[2])).any():
            return None
        if (learned != [[1], [0]]).any():
            layer = replace(layer, learned=True)
            entry.gain = Product(np.diag(learned[0]), learned[1], is_gain=True)
        entry.after.append(layer)
        entry.statistics = statistics
        return value

    def window(self, value: Value, layer: Pool | AveragePool, grid: tuple[int, int]) -> Value:
        """Pooling of an image (1, channels, height, width)."""
        node = self.ordered(value.node, value.places[0].transpose(1, 2, 0), True)
        entry, shape = self.entries[node], (*grid, value.shape[1])
        plain = isinstance(layer, Pool) and not layer.padding and entry.weight is not None
        if plain and value.alone and node == value.node and not any(isinstance(one, Pool) for one in entry.after):
            entry.after.append(layer)
            entry.shape = shape
            return self.by_channel(node)
        return self.by_channel(self.write(layer, (node,), shape, True))

    # -- the list -----------------------------------------------------------------------------------------------------

    def layers(self, end: Value) -> list[Layer | int]:
        """The layers that a tensor depends on, which is the network's output."""
        last = self.ordered(end.node, end.places.reshape(1, 1, -1), same_values=True)
        listed, numbers = list[Layer | int](), self._needed(last)
        called = self._called(numbers)
        for before, number in itertools.pairwise([INPUT, *numbers]):
            entry = self.entries[number]
            here: list[Layer] = [entry.layer, *entry.after]
            if entry.sources != (before,):
                here[0] = Wired(entry.layer, "", tuple(called.get(source, INPUT_NAME) for source in entry.sources))
            if number in called:
                labelled = here[-1]
                here[-1] = (
                    replace(labelled, label=called[number])
                    if isinstance(labelled, Wired)
                    else Wired(labelled, called[number])
                )
            listed += here
        if not listed or not isinstance(listed[-1], Dense) or listed[-1].activation != "linear":
            return [*listed, Output()]
        return [*listed[:-1], listed[-1].units]

    def products(self, end: Value) -> list[Product]:
        """The arrays of those layers, in their order."""
        last = self.ordered(end.node, end.places.reshape(1, 1, -1), same_values=True)
        return [product for number in self._needed(last) for product in self.entries[number].products]

    def _needed(self, last: int) -> list[int]:
        """A layer and those that it depends on, in order."""
        needed = {last}
        for number in range(last, INPUT, -1):
            if number in needed:
                needed.update(self.entries[number].sources)
        return sorted(needed - {INPUT})

    def _called(self, numbers: Sequence[int]) -> dict[int, str]:
        """Names of the layers that others than the next one see."""
        named = {
            source
            for before, number in itertools.pairwise([INPUT, *numbers])
            if self.entries[number].sources != (before,)
            for source in self.entries[number].sources
        }
        return {source: f"{self.entries[source].layer.name}{source}" for source in sorted(named - {INPUT})}


def _shortest(numbers: Array) -> Any:
    """Numbers of an affine layer, one if all are equal; rounded as the chip holds them."""
    rounded = np.asarray(numbers, np.float32).ravel()
    return shortest(rounded[0]) if (rounded == rounded[0]).all() else [shortest(n) for n in rounded.tolist()]
