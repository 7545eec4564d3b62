"""Operations of the periphery between array layers: what each makes of the values of one or two nodes of a network.

A node is the network's input (0), the hidden outputs of a layer (1 + l), or what an operation gives (behind these).
Each has values a sample, pixel by pixel: ``values[(y width + x) channels + c]``. What an operation computes, and its
derivatives, are functions of `noisysim.compute.rules.operations`, which read the numbers that are set here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from noisysim.common.types import Floats
from noisysim.networks.activations import Activation
from noisysim.networks.layer_kinds import Pair, Sides

Image = tuple[int, int, int]
"""Height, width, channels."""


class Operation(NamedTuple):
    """What the periphery computes of one or two nodes.

    Attributes
    ----------
    name : str
        A name of `noisysim.compute.rules.table.RULES`, or "activate".
    sources : tuple of int
        Nodes that it reads.
    shape : (int, int, int)
        Height, width and channels of what it gives.
    numbers : tuple of int
        What its functions read: parts of work of a sample forwards, and back to each of two sources; then what the
        functions of that name say.
    activation : Activation or None
        Of "activate".
    constants : bytes
        float32 numbers that it takes instead of a second source, `rows` of them.
    rows : int
    """

    name: str
    sources: tuple[int, ...]
    shape: Image
    numbers: tuple[int, ...] = (0, 0, 0)
    activation: Activation | None = None
    constants: bytes = b""
    rows: int = 0

    @property
    def size(self) -> int:
        """Values a sample that it gives."""
        height, width, channels = self.shape
        return height * width * channels

    def constant(self) -> Floats:
        """Its constants, (rows, n); (0, 0) without any."""
        flat = np.frombuffer(self.constants, np.float32)
        return flat.reshape(self.rows, -1) if self.rows else np.zeros((0, 0), np.float32)


def size_of(shape: Image) -> int:
    """Values of an image."""
    return shape[0] * shape[1] * shape[2]


def activate(source: int, shape: Image, activation: Activation) -> Operation:
    """An activation function of every value."""
    return Operation("activate", (source,), shape, activation=activation)


def add(first: int, second: int, shape: Image) -> Operation:
    """The sum of two nodes of one shape."""
    n = size_of(shape)
    return Operation("add", (first, second), shape, (n, n, n))


def multiply(first: int, second: int, shape: Image, gate: Image) -> Operation:
    """The product of two nodes: of one shape, or the second a value for each channel of the first."""
    n, m = size_of(shape), size_of(gate)
    return Operation("multiply", (first, second), shape, (n, n, m, m))


def divide(first: int, second: int, shape: Image) -> Operation:
    """The first of two nodes of one shape divided by the second."""
    n = size_of(shape)
    return Operation("divide", (first, second), shape, (n, n, n))


def concatenate(first: int, second: int, left: Image, right: Image) -> Operation:
    """Two nodes side by side, at each position the channels of the first and then those of the second."""
    positions = left[0] * left[1]
    shape = (left[0], left[1], left[2] + right[2])
    return Operation("concatenate", (first, second), shape, (positions, positions, positions, left[2], right[2]))


def pool(source: int, image: Image, size: Pair, stride: Pair, margins: Sides) -> Operation:
    """The largest value of each window and channel."""
    shape, numbers = _windows(image, size, stride, margins)
    return Operation("pool", (source,), shape, (shape[0] * shape[1], image[0] * image[1], 0, *numbers))


def average(source: int, image: Image, size: Pair, stride: Pair, margins: Sides, count_padding: bool) -> Operation:
    """The mean of each window and channel."""
    shape, numbers = _windows(image, size, stride, margins)
    counted = (shape[0] * shape[1], image[0] * image[1], 0, *numbers, int(count_padding))
    return Operation("average", (source,), shape, counted)


def gather(source: int, count: int, shape: Image, places: Sequence[int]) -> Operation:
    """Values of a node, of `count`, in another order, some perhaps more than once; at places of -1 zeros.

    Transposes, slices, padding and zeros between values are this.
    """
    taken = np.asarray(places, np.int64)
    order = np.argsort(taken, kind="stable")
    order = order[np.count_nonzero(taken < 0) :]  # by the value that is read
    starts = np.searchsorted(taken[order], np.arange(count + 1))
    numbers = (len(taken), count, 0, *taken.tolist(), *starts.tolist(), *order.tolist())
    return Operation("gather", (source,), shape, numbers)


def one_hot(source: int, count: int, classes: int) -> Operation:
    """Of each of `count` numbers of classes, from 0 on, a position with 1 at the class and zeros elsewhere."""
    return Operation("one_hot", (source,), (count, 1, classes), (count * classes, count, 0, classes))


def affine(source: int, shape: Image, gain: Sequence[float], offset: Sequence[float]) -> Operation:
    """A gain and an offset of each channel, or of each value."""
    return Operation("affine", (source,), shape, (*_each(shape), len(gain)), *_constants([gain, offset]))


def clip(source: int, shape: Image, low: float, high: float) -> Operation:
    """Values held within bounds."""
    return Operation("clip", (source,), shape, _each(shape), *_constants([[low, high]]))


def leak(source: int, shape: Image, slope: float) -> Operation:
    """Values, of negative ones a share."""
    return Operation("leak", (source,), shape, _each(shape), *_constants([[slope]]))


def normalise(source: int, shape: Image, groups: int, epsilon: float, *, scaled: bool = False) -> Operation:
    """Values less their mean, over their deviation: of the channels of a position (`groups` 0) or of a group of them.

    Parameters
    ----------
    source : int
    shape : (int, int, int)
    groups : int
        Of channels, each over all positions; 0: all channels, each position by itself.
    epsilon : float
        Added to variances.
    scaled : bool
        Whether values are divided by their root mean square, and no mean is subtracted.
    """
    numbers = (*_groups(shape, groups), int(scaled))
    return Operation("normalise", (source,), shape, numbers, *_constants([[epsilon]]))


def softmax(source: int, shape: Image) -> Operation:
    """exp(a) / sum exp(a) over the channels of each position."""
    return Operation("softmax", (source,), shape, (*_groups(shape, 0), 0))


def matmul(first: int, second: int, sides: int, rows: int, inner: int, columns: int) -> Operation:
    """Products of matrices: of `sides` by (rows, inner), and `sides` by (inner, columns), one after the other."""
    parts = (sides * rows * columns, sides * rows * inner, sides * inner * columns)
    return Operation("matmul", (first, second), (sides, rows, columns), (*parts, rows, inner, columns))


def _each(shape: Image) -> tuple[int, int, int]:
    """Parts of an operation that takes value by value."""
    return size_of(shape), size_of(shape), 0


def _groups(shape: Image, groups: int) -> tuple[int, ...]:
    """Parts of an operation over groups, and where their values are."""
    positions, channels = shape[0] * shape[1], shape[2]
    if groups == 0:
        return positions, positions, 0, channels, channels, 0, channels
    inner = channels // groups
    return groups, groups, 0, positions * inner, inner, channels, inner


def _constants(rows: Sequence[Sequence[float]]) -> tuple[None, bytes, int]:
    """The last three fields of an operation with constants."""
    return None, np.array(rows, np.float32).tobytes(), len(rows)


def _windows(image: Image, size: Pair, stride: Pair, margins: Sides) -> tuple[Image, tuple[int, ...]]:
    """The shape of what windows give, and what their loops read."""
    top, left, bottom, right = margins
    rows, columns = fits(image[0] + top + bottom, size[0], stride[0]), fits(image[1] + left + right, size[1], stride[1])
    return (rows, columns, image[2]), (image[2], image[0], image[1], *size, *stride, top, left, rows, columns)


def fits(length: int, size: int, stride: int) -> int:
    """How often windows fit into a length; 0 or less if not even one does."""
    return (length - size) // stride + 1
