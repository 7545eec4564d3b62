"""Operators on numbers of classes: rows of a table, and ones at the place of a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.networks.importing.graphs import Node
from noisysim.networks.importing.operators import moves
from noisysim.networks.importing.operators.common import constant_of, value_of
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value
from noisysim.networks.importing.writing import Writer
from noisysim.networks.layers import Conv, OneHot


def gather(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Rows of a constant table, an embedding; or values in another order."""
    if isinstance(inputs[0], Value):
        return moves.moved(task, node, inputs)[0]
    table, value = constant_of(inputs, 0), value_of(inputs, 1)
    if table.ndim != 2 or table.dtype.kind != "f" or node.attributes.get("axis", 0):
        raise ValueError(f"its constant has the shape {table.shape} ({table.dtype}): rows of a table are looked up")
    marked = _marked(task.writer, value, len(table))
    units, steps = table.shape[1], value.places.size
    layer = Conv(units, 1, activation="linear")
    given = task.writer.product(layer, marked, (steps, 1, units), np.asarray(table.T, np.float64), None)
    return task.writer.in_order(given, (*value.shape, units))


def one_hot(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A one at the place of each class, along a last axis of its own."""
    value, count, values = value_of(inputs), constant_of(inputs, 1), constant_of(inputs, 2)
    axis = node.attributes.get("axis", -1)
    if axis not in (-1, len(value.shape)) or values.ravel().tolist() != [0, 1]:
        raise ValueError("zeros and ones along a last axis are read")
    classes = int(count.reshape(()))
    return task.writer.in_order(_marked(task.writer, value, classes), (*value.shape, classes))


def _marked(writer: Writer, value: Value, classes: int) -> int:
    """A layer that marks the class of each number."""
    if classes < 1:
        raise ValueError(f"{classes} classes")
    node = writer.ordered(value.node, value.places.reshape(1, 1, -1), same_values=True)
    return writer.write(OneHot(classes), (node,), (value.places.size, 1, classes), True)


HANDLERS: dict[str, Handler] = {"Gather": gather, "OneHot": one_hot}
"""What each operator of a graph becomes: a table from its type to a function of what it reads."""
