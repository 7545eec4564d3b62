"""Operators that change the order of values: nothing is written for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.importing import constants
from noisysim.networks.importing.graphs import Node, check_size
from noisysim.networks.importing.operators.common import axis_of, constant_of, value_of, whole_numbers
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value

_ADDED = -2
"""Places of what is padded, as long as they are not told from zeros that were there."""


def moved(task: Task, node: Node, inputs: Sequence[Tensor]) -> list[Value]:
    """The same operator on the places of values."""
    value = value_of(inputs)
    if node.op == "Pad" and node.attributes.get("mode", "constant") == "constant":
        return [_filled(task, node, inputs)]
    others: list[Array | None] = [None if one is None else constant_of(inputs, k) for k, one in enumerate(inputs) if k]
    return [value.moved(places) for places in constants.computed(node, [value.places, *others], task.opset)]


def _filled(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Padding by one number: zeros, to which it is added where it is another one. Less than no padding cuts off."""
    value, pads = value_of(inputs), whole_numbers(node, inputs, "pads", 1) or []
    axes = whole_numbers(node, inputs, "axes", 3) or list(range(len(value.shape)))
    number = float(constant_of(inputs, 2, node.attributes.get("value", 0.0)).reshape(()))
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{len(pads)} pads do not fit the axes, which are {len(axes)}")
    if not math.isfinite(number):
        raise ValueError(f"padding by {number} is not supported: max pooling has padding of its own (pads)")
    sides = [(0, 0)] * len(value.shape)
    for k, axis in enumerate(axes):
        sides[axis] = pads[k], pads[k + len(axes)]
    wider = [(max(before, 0), max(behind, 0)) for before, behind in sides]
    check_size("it", [size + sum(more) for size, more in zip(value.shape, wider, strict=True)])
    places = np.pad(value.places, wider, constant_values=_ADDED)
    kept = [slice(max(-a, 0), max(0, size + min(b, 0))) for (a, b), size in zip(sides, places.shape, strict=True)]
    places = places[tuple(kept)]
    if places.size == 0:
        raise ValueError(f"pads={tuple(pads)} leave nothing of {value.shape}")
    added = places == _ADDED
    padded = value.moved(np.where(added, -1, places))
    return padded if number == 0 else task.writer.affine(padded, np.array(1.0), np.where(added, number, 0.0))


def _concat(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Tensors and constants one after the other."""
    values = [one for one in inputs if isinstance(one, Value)]
    axis = axis_of(node, len(values[0].shape), 0)
    if len(values) == len(inputs):
        return task.writer.join(values, axis)
    return _with_constants(task, inputs, values, axis)


def _with_constants(task: Task, inputs: Sequence[Tensor], values: Sequence[Value], axis: int) -> Value:
    """The same where some are constants: zeros at their places, to which they are added."""
    joined = task.writer.join(values, axis)
    cuts = np.cumsum([value.shape[axis] for value in values])[:-1]
    pieces = iter(np.split(joined.places, cuts, axis))
    places, offsets = list[Array](), list[Array]()
    for k, one in enumerate(inputs):
        if isinstance(one, Value):
            places.append(next(pieces))
            offsets.append(np.zeros(places[-1].shape))
        else:
            offsets.append(constant_of(inputs, k).astype(np.float64))
            places.append(np.full(offsets[-1].shape, -1))
    together = task.writer.taken(joined.moved(np.concatenate(places, axis)))
    return task.writer.affine(together, np.array(1.0), np.concatenate(offsets, axis))


HANDLERS: dict[str, Handler] = {**dict.fromkeys(constants.MOVES, moved), "Concat": _concat}
