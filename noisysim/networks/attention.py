"""Attention: layers over sequences, rows of an image, that are made of products, orders of values and softmax."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from noisysim.common.fields import Field
from noisysim.networks.layer_kinds import Conv, Layer
from noisysim.networks.operation_kinds import Affine, Matmul, Softmax, Take, Wired
from noisysim.networks.operations import Image

_COUNT = Field("", 1, 10**6, whole=True)


@dataclass(frozen=True, repr=False)
class Attention(Layer):
    """Self-attention of several heads over the rows of an image (Vaswani et al. 2017, section 3.2.2).

    Queries, keys, values and what is made of the heads' answers are layers of weights, which arrays compute step by
    step; their products with each other, and the softmax, are those of the digital periphery.

    Parameters
    ----------
    heads : int
        Must divide `units`.
    units : int, optional
        Of queries, keys and values of all heads together. Default: as many as a row has values.
    digital : bool
        Whether the weights of all four layers are kept in digital memory and their products are exact.
    """

    name: ClassVar[str] = "attention"
    heads: Annotated[int, _COUNT]
    units: Annotated[int | None, _COUNT] = None
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False


@dataclass(frozen=True, repr=False)
class Positional(Layer):
    """What tells steps apart: sines and cosines of the step's number are added (Vaswani et al. 2017, section 3.5).

    Parameters
    ----------
    scale : float
        What they are multiplied by.
    """

    name: ClassVar[str] = "positional"
    scale: Annotated[float, Field("", 0, 1e6)] = 1.0


attention, positional = Attention, Positional
SEEN = "seen"
"""The end of the name of what attention sees."""


def expanded(layer: Attention | Positional, shape: Image, prefix: str) -> list[Layer]:
    """The layers and operations that one is made of, wired by names that begin with a prefix.

    Parameters
    ----------
    layer : Attention or Positional
    shape : (int, int, int)
        Of what it sees: steps, and values of a step in two factors.
    prefix : str
        What it sees is called this and `SEEN`.

    Raises
    ------
    ValueError
        If the heads do not divide the units.
    """
    steps, width, channels = shape
    if isinstance(layer, Positional):
        return [Affine(1.0, [layer.scale * value for value in _sines(steps, width * channels)])]
    units = layer.units or width * channels
    if units % layer.heads:
        raise ValueError(f"{layer!r}: its heads do not divide {units} units")
    heads, size = layer.heads, units // layer.heads
    by_head = [t * units + h * size + i for h in range(heads) for t in range(steps) for i in range(size)]
    turned = [t * units + h * size + i for h in range(heads) for i in range(size) for t in range(steps)]
    together = [(h * steps + t) * size + i for t in range(steps) for h in range(heads) for i in range(size)]
    made = list[Layer]()

    def add(of: Layer, label: str, *sources: str) -> str:
        made.append(Wired(of, prefix + label, sources))
        return prefix + label

    seen = prefix + SEEN
    project = Conv(units, (1, width), activation="linear", digital=layer.digital)
    queries = add(Take(by_head, (heads, steps, size)), "q", add(project, "queries", seen))
    keys = add(Take(turned, (heads, size, steps)), "k", add(project, "keys", seen))
    values = add(Take(by_head, (heads, steps, size)), "v", add(project, "values", seen))
    scores = add(
        Affine(1 / math.sqrt(size)), "scores", add(Matmul(heads, steps, size, steps), "products", queries, keys)
    )
    answers = add(Matmul(heads, steps, steps, size), "answers", add(Softmax(), "shares", scores), values)
    add(Take(together, (steps, 1, units)), "heads", answers)
    return [*made, Conv(units, 1, activation="linear", digital=layer.digital)]


def _sines(steps: int, values: int) -> list[float]:
    """sin(t / 10000^(2 k / n)) and cos of the same, one after the other, step by step."""
    found = []
    for t in range(steps):
        for j in range(values):
            angle = t / 10_000 ** (j // 2 * 2 / values)
            found.append(math.cos(angle) if j % 2 else math.sin(angle))
    return found
