"""One array per layer, kept in one buffer, so that a compiled loop takes a whole network in one argument."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from noisysim.common.array_types import namespace_of
from noisysim.common.types import Floats, Ints


class Layered(list[Floats]):
    """A list of arrays, one per layer, that are consecutive views of the 1-D buffer `flat`.

    Items are not to be replaced; write into them.

    Attributes
    ----------
    flat : numpy.ndarray
        float32, 1-D, contiguous: every layer's array in C order, one after the other.
    widths : numpy.ndarray
        int64, (layers,): the length of each array's last axis.
    positions, sizes : numpy.ndarray
        int64, (layers,): rows of that length per sample, the axes between the first and the last; and all values per
        sample.
    flat_rows : bool
        Whether each sample is one row of every array.

    Parameters
    ----------
    flat : numpy.ndarray
        At least as long as the arrays together.
    shapes : sequence of tuple of int
    """

    __slots__ = ("flat", "flat_rows", "positions", "sizes", "widths")

    flat: Floats
    widths: Ints
    positions: Ints
    sizes: Ints
    flat_rows: bool

    def __init__(self, flat: Floats, shapes: Sequence[tuple[int, ...]]):
        self.flat = flat[: sum(math.prod(shape) for shape in shapes)]
        self.widths = np.array([shape[-1] for shape in shapes], np.int64)
        self.positions = np.array([math.prod(shape[1:-1]) for shape in shapes], np.int64)
        self.sizes = self.widths * self.positions
        self.flat_rows = all(len(shape) <= 2 for shape in shapes)
        start = 0
        for shape in shapes:
            size = math.prod(shape)
            self.append(flat[start : start + size].reshape(shape))
            start += size

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each layer's array."""
        return [array.shape for array in self]


def empty(shapes: Sequence[tuple[int, ...]], xp: ModuleType = np) -> Layered:
    """Uninitialised float32 arrays of these shapes, of an array namespace."""
    return Layered(xp.empty(sum(math.prod(s) for s in shapes), np.float32), shapes)


def zeros(shapes: Sequence[tuple[int, ...]], xp: ModuleType = np) -> Layered:
    """Zero float32 arrays of these shapes, of an array namespace."""
    return Layered(xp.zeros(sum(math.prod(s) for s in shapes), np.float32), shapes)


def layered(arrays: Sequence[Floats]) -> Layered:
    """The arrays as a `Layered`: themselves if they are one, else a copy."""
    if isinstance(arrays, Layered):
        return arrays
    result = empty([np.shape(a) for a in arrays], namespace_of(arrays[0]) if len(arrays) else np)
    for target, source in zip(result, arrays, strict=True):
        target[...] = source
    return result
