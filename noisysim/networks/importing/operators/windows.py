"""Pooling, means and maxima over axes, and images of another size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.importing.graphs import Node, check_size
from noisysim.networks.importing.operators.common import (  # fmt: skip
    as_before,
    as_image,
    constant_of,
    grid_of,
    margins_of,
    pair_of,
    value_of,
    whole_numbers,
)
from noisysim.networks.importing.operators.pointwise import absolute
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value
from noisysim.networks.importing.writing import Writer
from noisysim.networks.layer_kinds import AveragePool, Pair, Pool, Sides


def _pool(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Maxima or means of windows."""
    value = value_of(inputs)
    image, rank = as_image(value), len(value.shape)
    sizes, strides = pair_of(node, "kernel_shape", None, rank), pair_of(node, "strides", 1, rank)
    if pair_of(node, "dilations", 1, rank) != (1, 1):
        raise ValueError("windows with gaps (dilations) are not supported")
    margins = margins_of(node, value, sizes, strides)
    counted = bool(node.attributes.get("count_include_pad"))
    wider = _widened(image, sizes, strides, margins) if node.attributes.get("ceil_mode") else margins
    if node.op == "AveragePool" and counted and wider != margins:  # what is beyond the padding does not count
        around = [(0, 0), (0, 0), (margins[0], margins[2]), (margins[1], margins[3])]
        image = image.moved(np.pad(image.places, around, constant_values=-1))
        wider = (0, 0, wider[2] - margins[2], wider[3] - margins[3])
        counted = False
    grid = grid_of(image.shape[2:], sizes, strides, wider)
    steps = None if strides == sizes else strides
    layer = Pool(sizes, steps, wider) if node.op == "MaxPool" else AveragePool(sizes, steps, wider, counted)
    return as_before(task.writer.window(image, layer, grid), value)


def _widened(image: Value, sizes: Pair, strides: Pair, margins: Sides) -> Sides:
    """Margins with which a last window, which begins in the image or the padding before it, is whole."""
    ends = []
    for k in range(2):
        length = image.shape[2 + k] + margins[k] + margins[k + 2]
        count = math.ceil((length - sizes[k]) / strides[k]) + 1
        if (count - 1) * strides[k] >= image.shape[2 + k] + margins[k]:
            count -= 1
        ends.append(margins[k + 2] + max(0, (count - 1) * strides[k] + sizes[k] - length))
    return margins[0], margins[1], ends[0], ends[1]


def _of_all(name: str) -> Handler:
    """A mean or a maximum of all positions of an image."""

    def handler(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
        value = value_of(inputs)
        return reduced(task.writer, value, list(range(2, len(value.shape))), name, True)

    return handler


def _reduce(name: str) -> Handler:
    """A mean, sum or maximum over axes."""

    def handler(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
        value, axes = value_of(inputs), whole_numbers(node, inputs, "axes", 1)
        if not axes:
            if node.attributes.get("noop_with_empty_axes"):
                return value
            axes = list(range(len(value.shape)))
        return reduced(task.writer, value, axes, name, bool(node.attributes.get("keepdims", 1)))

    return handler


def _smallest(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The smallest value over axes: less the largest one of the negatives."""
    turned = task.writer.affine(value_of(inputs), np.array(-1.0), np.array(0.0))
    largest = _reduce("largest")(task, node, [turned._replace(alone=False), *inputs[1:]])
    assert isinstance(largest, Value)
    return task.writer.affine(largest, np.array(-1.0), np.array(0.0))


def _sum_of(function: Callable[[Writer, Value], Value]) -> Handler:
    """A sum over axes of a function of each value."""

    def handler(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value | Sequence[Value]:
        bent = function(task.writer, value_of(inputs)._replace(alone=False))
        return _reduce("sum")(task, node, [bent, *inputs[1:]])

    return handler


def reduced(writer: Writer, value: Value, axes: Sequence[int], name: str, keep: bool) -> Value:
    """The "mean", "sum" or "largest" value over axes."""
    rank = len(value.shape)
    gone = sorted({axis % rank for axis in axes})
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {tuple(axes)} of a tensor of {rank} axes")
    left = [axis for axis in range(rank) if axis not in gone]
    count = math.prod(value.shape[axis] for axis in gone)
    shape = tuple(1 if axis in gone else size for axis, size in enumerate(value.shape) if keep or axis not in gone)
    if count == 1:
        return value.moved(value.places.reshape(shape))
    rows = value.places.transpose(*gone, *left).reshape(count, -1)
    node, places = writer.by_position(value.node, rows, image=True, aligned=True)
    image = writer[node].shape
    layer = Pool(image[:2]) if name == "largest" else AveragePool()
    given = Value(writer.write(layer, (node,), (1, 1, image[2]), True), (places[0] % image[2]).reshape(shape))
    return writer.affine(given, np.array(float(count)), np.array(0.0)) if name == "sum" else given


# --- images of another size -----------------------------------------------------------------------------------------


_ROUNDING = 1e-6
"""How near to a half a place is taken for one."""


def _resize(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The nearest value for each of a new size."""
    value, settings = value_of(inputs), node.attributes
    if settings.get("mode", "nearest") != "nearest":
        raise ValueError(f"mode={settings.get('mode')!r} is not supported: mode='nearest' is")
    old = node.op == "Upsample" or task.opset < 11
    scales, sizes = _sizes(value, node, inputs, old)
    how = "asymmetric" if old else settings.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if old else settings.get("nearest_mode", "round_prefer_floor")
    if tuple(sizes) == value.shape:  # whatever the factors
        return value
    places = value.places
    for axis, (scale, size) in enumerate(zip(scales, sizes, strict=True)):
        check_size("it", [size, *np.delete(places.shape, axis).tolist()])
        if size != value.shape[axis] or scale != 1:
            at = _nearest(np.arange(size, dtype=np.float32), scale, value.shape[axis], size, how, rounding)
            places = np.take(places, at, axis)
    return value.moved(places)


def _sizes(value: Value, node: Node, inputs: Sequence[Tensor], old: bool) -> tuple[list[float], list[int]]:
    """Of each axis its factor, and how long it becomes."""
    axes = node.attributes.get("axes", tuple(range(len(value.shape))))
    scales, sizes = [1.0] * len(value.shape), list(value.shape)
    at = 1 if old else 2
    given: Any = node.attributes.get("scales")
    if given is None and at < len(inputs) and inputs[at] is not None:
        given = constant_of(inputs, at).ravel().tolist()
    if given:
        for axis, scale in zip(axes, given, strict=True):
            scales[axis], sizes[axis] = scale, math.floor(np.float32(value.shape[axis]) * np.float32(scale))
        return scales, sizes
    if node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ValueError("keep_aspect_ratio_policy is not supported")
    for axis, size in zip(axes, constant_of(inputs, 3).ravel().tolist(), strict=True):
        scales[axis], sizes[axis] = size / value.shape[axis], int(size)
    return scales, sizes


def _nearest(at: Array, factor: float, before: int, after: int, how: str, rounding: str) -> Array:
    """Where the nearest value is for places along an axis: in float32, as ONNX Runtime rounds them."""
    scale, half = np.float32(factor), np.float32(0.5)
    formulas: dict[str, Callable[[], Array]] = {
        "half_pixel": lambda: (at + half) / scale - half,
        "pytorch_half_pixel": lambda: (at + half) / scale - half if after > 1 else 0 * at,
        "asymmetric": lambda: at / scale,
        "align_corners": lambda: at * np.float32(before - 1) / np.float32(max(1, after - 1)),
    }
    roundings: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5 - _ROUNDING),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5 + _ROUNDING),
        "floor": np.floor, "ceil": np.ceil,
    }  # fmt: skip
    if how not in formulas or rounding not in roundings:
        raise ValueError(f"coordinate_transformation_mode={how!r} with nearest_mode={rounding!r} is not supported")
    place = formulas[how]().astype(np.float64)
    rounded: Array = np.clip(roundings[rounding](place), 0, before - 1).astype(np.int64)
    return rounded


HANDLERS: dict[str, Handler] = {
    "MaxPool": _pool, "AveragePool": _pool, "GlobalAveragePool": _of_all("mean"), "GlobalMaxPool": _of_all("largest"),
    "ReduceMean": _reduce("mean"), "ReduceSum": _reduce("sum"), "ReduceMax": _reduce("largest"),
    "ReduceMin": _smallest, "ReduceL1": _sum_of(absolute), "ReduceSumSquare": _sum_of(lambda w, v: w.multiply(v, v)),
    "Resize": _resize, "Upsample": _resize,
}  # fmt: skip
