"""Operators that change the order of values: nothing is written for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.importing import constants
from noisysim.networks.importing.graphs import Node
from noisysim.networks.importing.operators.common import axis_of, constant_of, value_of
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value


def moved(task: Task, node: Node, inputs: Sequence[Tensor]) -> list[Value]:
    """The same operator on the places of values."""
    value = value_of(inputs)
    others: list[Array | None] = [None if one is None else constant_of(inputs, k) for k, one in enumerate(inputs) if k]
    if node.op == "Pad":
        node, others = _with_zeros(node, others)
    return [value.moved(places) for places in constants.computed(node, [value.places, *others], task.opset)]


def _with_zeros(node: Node, others: list[Array | None]) -> tuple[Node, list[Array | None]]:
    """Padding by zeros, whose places are -1."""
    mode = node.attributes.get("mode", "constant")
    if mode != "constant":  # the image continues in some way: a move like others
        return node, others
    filled = others[1] if len(others) > 1 else node.attributes.get("value")
    if filled is not None and np.any(np.asarray(filled) != 0):
        raise ValueError("padding by other values than 0 is not supported")
    if "pads" in node.attributes:
        settings = {**node.attributes, "value": -1.0}
        return Node(node.op, node.name, node.inputs, node.outputs, settings), others
    return node, [others[0], np.array(-1), *others[2:]]


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
