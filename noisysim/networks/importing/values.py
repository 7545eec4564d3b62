"""Values of a network that is being written: where each number of a tensor is among those of a layer; and layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from noisysim.common.types import Array, Doubles, Ints
from noisysim.networks.layers import Layer
from noisysim.networks.operations import Image

INPUT = 0
"""The number of the network's input; those of layers begin at 1."""


class Value(NamedTuple):
    """A tensor of one sample.

    Attributes
    ----------
    node : int
        The layer whose values it has, or ``INPUT``.
    places : numpy.ndarray
        int64, in the shape of the tensor: of each number its place among the layer's values, pixel by pixel; -1 of a
        zero.
    alone : bool
        Whether nothing else reads the layer's values.
    """

    node: int
    places: Ints
    alone: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape, the samples first, of which there is 1."""
        return self.places.shape

    def moved(self, places: Array) -> Value:
        """The same numbers in another order."""
        return self._replace(places=np.asarray(places, np.int64))

    def by_channel(self) -> Value:
        """An image (1, height, width, channels) as (1, channels, height, width)."""
        return self.moved(self.places.transpose(0, 3, 1, 2))

    def moved_to(self, before: Sequence[int]) -> Value:
        """Rows of the last axis, with other axes before it."""
        return self._replace(places=self.places.reshape(*before, self.shape[-1]))


class Product(NamedTuple):
    """An array of weights as the chip has it.

    Attributes
    ----------
    weight : array
        (n_out, n_in).
    bias : array or None
        (n_out,).
    statistics : array or None
        Running mean and variance, (2, n_out), where what it gives is normalised.
    is_gain : bool
        Whether it is the gain and offset of a normalisation, which have a bias in any case.
    """

    weight: Doubles
    bias: Doubles | None
    statistics: Doubles | None = None
    is_gain: bool = False


@dataclass
class Entry:
    """A layer that is written; of one with weights, the array as the chip has it, (n_out, n_in), and what follows.

    Attributes
    ----------
    layer : Layer
    sources : tuple of int
    shape : (int, int, int)
        Height, width and channels of what it gives.
    image : bool
        Whether windows and convolutions fit on it.
    weight, bias : array or None
    after : list of Layer
        Batch normalisation and pooling, parts of the same block.
    statistics : array or None
        Running mean and variance, (2, n_out).
    gain : Product or None
        What is learned of its normalisation.
    recurrent : tuple of Product
        The two arrays of a recurrent layer, whose weights nothing else may become a part of.
    """

    layer: Layer
    sources: tuple[int, ...]
    shape: Image
    image: bool = True
    weight: Doubles | None = None
    bias: Doubles | None = None
    after: list[Layer] = field(default_factory=list)
    statistics: Doubles | None = None
    gain: Product | None = None
    recurrent: tuple[Product, ...] = ()

    @property
    def products(self) -> tuple[Product, ...]:
        """Its arrays, in the order of a chip's."""
        gain = () if self.gain is None else (self.gain,)
        if self.weight is None:
            return (*self.recurrent, *gain)
        return (Product(self.weight, self.bias, self.statistics), *gain)

    @property
    def is_linear(self) -> bool:
        """Whether it is a product that nothing follows yet."""
        return self.weight is not None and self.layer.activation == "linear" and not self.after  # type: ignore[attr-defined]

    def scale(self, gain: Doubles, offset: Doubles) -> None:
        """Make a gain and an offset of each unit a part of its weights."""
        assert self.weight is not None
        self.weight *= gain[:, None]
        if self.bias is not None or offset.any():
            self.bias = gain * (0.0 if self.bias is None else self.bias) + offset

    def learn(self, gain: Doubles, offset: Doubles) -> None:
        """Make a gain and an offset of each channel those that a normalisation learns, behind ones that it has."""
        if self.gain is not None and self.gain.bias is not None:
            gain, offset = gain * np.diagonal(self.gain.weight), gain * self.gain.bias + offset
        self.layer = replace(self.layer, learned=True)  # type: ignore[call-arg]
        self.gain = Product(np.diag(gain), offset, is_gain=True)
