"""What operators have in common: settings that are attributes or inputs, by version, and inputs of a kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from noisysim.common.fields import listed, shown
from noisysim.common.types import Array
from noisysim.networks.importing.graphs import Node
from noisysim.networks.importing.translation import Tensor
from noisysim.networks.importing.values import Value
from noisysim.networks.layer_kinds import Pair, Sides
from noisysim.networks.operations import fits

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
"""How margins follow from the sizes of images."""


def value_of(inputs: Sequence[Tensor], k: int = 0) -> Value:
    """An input that must not be a constant."""
    given = inputs[k] if k < len(inputs) else None
    if not isinstance(given, Value):
        raise ValueError(f"its input {k + 1} must depend on the network's input")
    return given


def constant_of(inputs: Sequence[Tensor], k: int, usual: Array | float | None = None) -> Array:
    """An input that must be a constant; `usual` where it is not there."""
    given = inputs[k] if k < len(inputs) else None
    if given is None and usual is not None:
        return np.asarray(usual)
    if given is None or isinstance(given, Value):
        raise ValueError(f"its input {k + 1} must be a constant")
    return given


def whole_numbers(node: Node, inputs: Sequence[Tensor], name: str, k: int) -> list[int] | None:
    """A list of whole numbers that is an attribute or the k-th input; ``None`` if it is neither."""
    if name in node.attributes:
        given = node.attributes[name]
    elif k < len(inputs) and inputs[k] is not None:
        given = constant_of(inputs, k)
    else:
        return None
    return [int(n) for n in np.asarray(given).ravel()]


def axis_of(node: Node, rank: int, usual: int) -> int:
    """An axis, counted from the front."""
    axis = int(node.attributes.get("axis", usual))
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor of {rank} axes")
    return axis % rank


def choice_of(node: Node, name: str, usual: str, known: Iterable[str]) -> str:
    """A setting that is one of a few words."""
    word = node.attributes.get(name) or usual
    if word not in known:
        raise ValueError(f"{name} is one of {listed(known)}, not {shown(word)}")
    return str(word)


def as_image(value: Value) -> Value:
    """A tensor (1, channels, height, width); of a sequence (1, channels, steps) one of a single row."""
    if len(value.shape) == 3:
        return value.moved(value.places[:, :, None])
    if len(value.shape) != 4 or value.shape[0] != 1:
        raise ValueError(f"its input has the shape {value.shape}: sequences (1, n, n) and images (1, n, n, n) are read")
    return value


def as_before(value: Value, before: Value) -> Value:
    """An image back as a sequence, if it was one."""
    return value.moved(value.places[:, :, 0]) if len(before.shape) == 3 else value


def pair_of(node: Node, name: str, usual: int | None, rank: int) -> Pair:
    """Two sizes of windows, of sequences the first is 1."""
    given = node.attributes.get(name, None if usual is None else (usual,) * (rank - 2))
    if given is None:
        raise ValueError(f"it has no {name}")
    sizes = (1, *given) if rank == 3 else tuple(given)
    if len(sizes) != 2 or min(sizes) < 1:
        raise ValueError(f"{name}={tuple(given)} does not fit an input of {rank} axes")
    return sizes[0], sizes[1]


def margins_of(node: Node, value: Value, spans: Pair, strides: Pair) -> Sides:
    """Zeros above, left, below and right, by `pads` or `auto_pad`."""
    rank, auto = len(value.shape), choice_of(node, "auto_pad", "NOTSET", AUTO_PADS)
    if auto == "NOTSET":
        pads = list(node.attributes.get("pads", (0,) * (2 * (rank - 2))))
        if rank == 3:
            pads = [0, *pads[:1], 0, *pads[1:]]
        if len(pads) != 4 or min(pads) < 0:
            raise ValueError(f"pads={tuple(pads)} do not fit an input of {rank} axes")
        return pads[0], pads[1], pads[2], pads[3]
    if auto == "VALID":
        return 0, 0, 0, 0
    image = as_image(value).shape[2:]
    first, last = list[int](), list[int]()
    for size, span, stride in zip(image, spans, strides, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + span - size)
        smaller, larger = total // 2, total - total // 2
        first.append(smaller if auto == "SAME_UPPER" else larger)
        last.append(larger if auto == "SAME_UPPER" else smaller)
    return first[0], first[1], last[0], last[1]


def grid_of(image: Sequence[int], spans: Pair, strides: Pair, margins: Sides) -> Pair:
    """Rows and columns of windows over an image."""
    rows, columns = (fits(image[k] + margins[k] + margins[k + 2], spans[k], strides[k]) for k in range(2))
    if min(rows, columns) < 1:
        raise ValueError(f"a window of {spans[0]} x {spans[1]} does not fit an image of {image[0]} x {image[1]}")
    return rows, columns
