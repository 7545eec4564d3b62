"""A model from elsewhere as a network: what `noisysim.Chip` and `noisysim.run` take for layers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from noisysim.common.fields import PATH, bare, shown
from noisysim.common.types import Array
from noisysim.networks import named_weights
from noisysim.networks.architecture import Architecture
from noisysim.networks.building import architecture, with_ends
from noisysim.networks.importing.graphs import Graph
from noisysim.networks.layers import Layer


@dataclass(frozen=True, eq=False)
class Imported:
    """A network with weights, read from a model.

    Attributes
    ----------
    layers : tuple
        The whole list, as `noisysim.Chip` takes it: the shape of the input, layers, number of outputs or ``output()``.
    bias : bool
        Whether any layer has a bias.
    input, output : str
        What the model calls them.
    notes : tuple of str
        What the network differs in from the model, or what to know of it.
    path : Path or None
        The file.
    settings : dict
        How it was read: ``output``, ``input_shape``, ``fold_batch_norm`` and ``learned_norms``, where they are not as
        usual.

    Examples
    --------
    ``noisysim.Chip(network, "crossbar")`` or ``noisysim.run("mnist", layers=network)`` of ``network =
    noisysim.networks.load("model.onnx")``.
    """

    layers: tuple[Any, ...]
    bias: bool
    input: str
    output: str
    notes: tuple[str, ...]
    path: Path | None
    settings: Mapping[str, Any]
    _matrices: tuple[Array, ...] = field(repr=False)
    _statistics: tuple[Array | None, ...] = field(repr=False)
    _graph: Graph = field(repr=False)
    _sample: tuple[int, ...] = field(repr=False)
    _made: Callable[..., Imported] = field(repr=False)
    """What translates the graph for other samples."""

    chips = 1  # as far as weights go, it is a chip

    @cached_property
    def architecture(self) -> Architecture:
        """The network without its weights."""
        return architecture(self.layers, "linear", self.bias)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample, (n,) or (channels, height, width)."""
        return self.architecture.input_shape

    @property
    def n_out(self) -> int:
        """Values of its output."""
        return self.architecture.n_out

    def weights(self) -> dict[str, Array]:
        """Weights, biases and running statistics by name, as `noisysim.Chip.weights` has them."""
        return named_weights.as_named(self.architecture, self._matrices, self._statistics)

    def hidden(self) -> list[Layer]:
        """The layers between the input and the outputs, as `noisysim.run` takes them."""
        return hidden(self.layers[1:])

    def fitted(self, input_shape: Sequence[int], n_out: int) -> Imported:
        """The same network for the samples of a task, which have as many values in the same order.

        Images of a model with channels last, (height, width, channels), are the task's with channels first.

        Parameters
        ----------
        input_shape : sequence of int
            (n,), or (channels, height, width).
        n_out : int
            The task's outputs.

        Raises
        ------
        ValueError
            If the numbers of values differ.
        """
        wanted, own = math.prod(input_shape), math.prod(self.input_shape)
        if wanted != own or n_out != self.n_out:
            raise ValueError(
                f"layers: the model{_named(self.path)} has {own} inputs {self._sample[1:]} and {self.n_out} outputs, "
                f"the task {wanted} {tuple(input_shape)} and {n_out}"
            )
        shape = (1, *input_shape) if len(input_shape) == 2 else tuple(input_shape)
        if first_of(shape, self.layers[1:]) == self.layers[0] and not has_channels_last(self._sample, shape):
            return self
        return self._made(self._graph, self._sample, shape, self.path, self.settings)

    def __repr__(self) -> str:
        """Where it is from, and its layers."""
        texts = [repr(one) if len(repr(one)) < 100 else f"{repr(one)[:60]}...)" for one in self.layers]
        return f"Imported({str(self.path) if self.path else 'model'!r}: {', '.join(texts)})"

    def __str__(self) -> str:
        """Its file and how it was read, as `noisysim.run` takes it for layers: ``"model.onnx:output=logits"``."""
        if self.path is None:
            return repr(self)
        settings = ",".join(f"{name}={bare(value)}" for name, value in self.settings.items())
        return f"{os.fspath(self.path)}:{settings}" if settings else os.fspath(self.path)


def hidden(layers: Sequence[Any]) -> list[Layer]:
    """Layers without the number of outputs."""
    return list(layers[:-1] if isinstance(layers[-1], int) else layers)


def first_of(input_shape: Sequence[int], layers: Sequence[Any]) -> int | tuple[int, ...]:
    """What a network of these layers has for its input: (channels, height, width), or a number."""
    (first, *_) = with_ends(input_shape, hidden(layers), 1)
    shape = (first,) if isinstance(first, int) else tuple(first)
    return shape if len(shape) == 3 else math.prod(shape)


def has_channels_last(sample: Sequence[int], input_shape: Sequence[int]) -> bool:
    """Whether a graph's sample, (1, height, width, channels), is an image (channels, height, width) of a task."""
    if len(sample) != 4 or len(input_shape) != 3:
        return False
    own, (channels, *sides) = tuple(sample[1:]), input_shape
    return own == (*sides, channels) != tuple(input_shape)


def _named(path: Path | None) -> str:
    return f" {shown(str(path), PATH)}" if path else ""
