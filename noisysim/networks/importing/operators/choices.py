"""Values of one tensor or of another, where a constant says which: Where, and triangles of matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.importing.graphs import Node, together
from noisysim.networks.importing.operators.common import constant_of, value_of
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value


def _where(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The second tensor where the condition holds, else the third."""
    if isinstance(inputs[0], Value):
        raise ValueError("its condition must not depend on the network's input: a network here is the same for all")
    return _chosen(task, constant_of(inputs, 0), inputs[1], inputs[2])


def _chosen(task: Task, condition: Array, first: Tensor, second: Tensor) -> Value:
    """The first of two tensors or constants where a condition holds, else the second."""
    pair = [one.places if isinstance(one, Value) else np.asarray(one) for one in (first, second)]
    shape = together(condition.shape, *(one.shape for one in pair))
    holds, *spread = (np.broadcast_to(one, shape) for one in (condition.astype(np.bool_), *pair))
    if isinstance(first, Value) and isinstance(second, Value):
        values = [one.moved(places[None]) for one, places in zip((first, second), spread, strict=True)]
        joined = task.writer.join(values, 0)
        return joined.moved(np.where(holds, joined.places[0], joined.places[1]))
    kept = holds if isinstance(first, Value) else ~holds
    value = first if isinstance(first, Value) else value_of([second])
    places, numbers = spread if isinstance(first, Value) else spread[::-1]
    given = value.moved(np.where(kept, places, -1))
    offsets = np.where(kept, 0.0, numbers)
    if not np.isfinite(offsets).all():
        raise ValueError("its constant is not finite: minus infinity is read where nothing but a softmax sees it")
    return given if not offsets.any() else task.writer.affine(given, np.array(1.0), offsets)


def _triangle(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The upper or lower part of matrices, and zeros."""
    value, shift = value_of(inputs), int(constant_of(inputs, 1, 0).reshape(()))
    if len(value.shape) < 2:
        raise ValueError(f"its input has the shape {value.shape}")
    ones = np.ones(value.shape[-2:], np.bool_)
    kept = np.triu(ones, shift) if node.attributes.get("upper", 1) else np.tril(ones, shift)
    return value.moved(np.where(kept, value.places, -1))


HANDLERS: dict[str, Handler] = {"Where": _where, "Trilu": _triangle}
