"""Normalisations, and the softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Array, Ints
from noisysim.networks.importing import patterns
from noisysim.networks.importing.graphs import Node
from noisysim.networks.importing.operators.common import axis_of, constant_of, value_of, whole_numbers
from noisysim.networks.importing.operators.pointwise import absolute
from noisysim.networks.importing.operators.windows import reduced
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value
from noisysim.networks.importing.writing import Writer
from noisysim.networks.layers import BatchNorm, GroupNorm, LayerNorm, RMSNorm, Softmax

_NO_EPSILON = 1e-12
"""Added to mean squares where a model adds nothing: the least that a layer takes."""


def _batch_norm(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Batch normalisation by its running statistics."""
    value = value_of(inputs)
    if node.attributes.get("training_mode"):
        raise ValueError("it normalises by the batch: export the model for inference, model.eval()")
    if len(value.shape) < 2:
        raise ValueError(f"its input has the shape {value.shape}")
    gain, offset, mean, variance = (constant_of(inputs, k).astype(np.float64).ravel() for k in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    if (variance + epsilon <= 0).any():
        raise ValueError("its variances are not above 0")
    if not task.fold_batch_norm:
        rate = 1 - float(node.attributes.get("momentum", 0.9))
        layer = BatchNorm(rate=round(rate, 9), epsilon=epsilon)
        kept = task.writer.normalised(value, layer, np.stack([mean, variance]), np.stack([gain, offset]))
        if kept is not None:
            return kept
    scale = gain / np.sqrt(variance + epsilon)
    return task.writer.affine(value, *_channels(value, scale, offset - mean * scale), task.fold_batch_norm)


def _channels(value: Value, gain: Array, offset: Array) -> tuple[Array, Array]:
    """Numbers for each channel, in a shape that fits (1, channels, ...)."""
    shape = (-1, *[1] * (len(value.shape) - 2))
    return gain.reshape(shape), offset.reshape(shape)


def normalised(writer: Writer, value: Value, rows: Ints, epsilon: float, scaled: bool = False) -> Value:
    """Values less their mean over their deviation, each row of places by itself."""
    entry, count = writer[value.node], len(rows)
    groups = np.full(writer.size(value.node), -1)
    groups[rows] = np.arange(count)[:, None]
    of_channel = groups.reshape(-1, entry.shape[2])
    if not scaled and entry.shape[2] % count == 0 and writer.is_whole(value.moved(rows)):
        inner = of_channel[0].reshape(count, -1)
        if (of_channel == of_channel[0]).all() and (inner == inner[:, :1]).all():
            return value._replace(node=writer.write(GroupNorm(count, epsilon), (value.node,), entry.shape))
    return _each_position(writer, value, rows, RMSNorm(epsilon) if scaled else LayerNorm(epsilon))


def _each_position(writer: Writer, value: Value, rows: Ints, layer: LayerNorm | RMSNorm | Softmax) -> Value:
    """A layer that takes the channels of each position together, for rows of places."""
    node, places = writer.by_position(value.node, rows)
    moved = np.empty(writer.size(value.node), np.int64)
    moved[rows] = places
    return Value(writer.write(layer, (node,), writer[node].shape), moved[value.places])


def _over(value: Value, axes: Sequence[int]) -> Ints:
    """Places with a row for all axes that are not named."""
    rank = len(value.shape)
    named = [axis % rank for axis in axes]
    left = [axis for axis in range(rank) if axis not in named]
    rows: Ints = value.places.transpose(*left, *named).reshape(-1, math.prod(value.shape[axis] for axis in named))
    return rows


def _layer_norm(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Over the last axes from one on, with a gain and perhaps an offset."""
    value = task.writer.once(value_of(inputs))
    axis = axis_of(node, len(value.shape), -1)
    rows = _over(value, range(axis, len(value.shape)))
    epsilon, scaled = float(node.attributes.get("epsilon", 1e-5)), node.op == "RMSNormalization"
    given = normalised(task.writer, value, rows, epsilon, scaled)
    gain, offset = constant_of(inputs, 1, 1.0), constant_of(inputs, 2, 0.0)
    if (gain == 1).all() and (offset == 0).all():
        return given
    return task.writer.affine(given._replace(alone=True), gain, offset)


def _found(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Several operators that normalise (`noisysim.networks.importing.patterns`)."""
    value = task.writer.once(value_of(inputs))
    axes = whole_numbers(node, inputs, "axes", 1) or range(len(value.shape))
    if not node.attributes.get("keepdims", 1):
        raise ValueError("means that lose their axes are not supported here")
    return normalised(
        task.writer, value, _over(value, list(axes)), node.attributes["epsilon"], bool(node.attributes["scaled"])
    )


def _unit(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Vectors over their length, |x| of either norm: root mean squares, or a quotient."""
    value, order = value_of(inputs), int(node.attributes.get("p", 2))
    rank = len(value.shape)
    axes = whole_numbers(node, inputs, "axes", 1) or (axis_of(node, rank, -1),)
    if node.op == patterns.UNIT and not node.attributes.get("keepdims", 1):
        raise ValueError("lengths that lose their axes are not supported here")
    if order == 1:
        total = reduced(task.writer, absolute(task.writer, value), axes, "sum", True)
        spread = total.moved(np.broadcast_to(total.places, value.shape))
        return task.writer.divide(value._replace(alone=False), spread)
    value = task.writer.once(value)
    rows = _over(value, axes)
    given = normalised(task.writer, value, rows, _NO_EPSILON, scaled=True)
    return task.writer.affine(given, np.array(rows.shape[1] ** -0.5), np.array(0.0))


def _group_norm(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Over groups of channels and all positions; of a channel each in instance normalisation."""
    value = task.writer.once(value_of(inputs))
    channels = value.shape[1]
    groups = channels if node.op == "InstanceNormalization" else int(node.attributes.get("num_groups", 0))
    if groups < 1 or channels % groups or value.shape[0] != 1:
        raise ValueError(f"{groups} groups of {channels} channels")
    rows = value.places.reshape(groups, -1)
    given = normalised(task.writer, value, rows, float(node.attributes.get("epsilon", 1e-5)))
    gain, offset = (constant_of(inputs, k).ravel() for k in (1, 2))
    if gain.size == groups != channels:  # of each group, in old versions
        gain, offset = (np.repeat(row, channels // groups) for row in (gain, offset))
    if (gain == 1).all() and (offset == 0).all():
        return given
    return task.writer.affine(given._replace(alone=True), *_channels(value, gain, offset))


def _softmax(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Over an axis; before version 13 over all from one on."""
    value = task.writer.once(value_of(inputs))
    rank = len(value.shape)
    axis = axis_of(node, rank, -1 if task.opset >= 13 else 1)
    rows = _over(value, [axis] if task.opset >= 13 else range(axis, rank))
    return _each_position(task.writer, value, rows, Softmax())


HANDLERS: dict[str, Handler] = {
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "RMSNormalization": _layer_norm,
    "GroupNormalization": _group_norm, "InstanceNormalization": _group_norm, "Softmax": _softmax,
    patterns.NORMALISE: _found, "LpNormalization": _unit, patterns.UNIT: _unit,
}  # fmt: skip
