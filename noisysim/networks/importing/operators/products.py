"""Products with constants, which become layers of weights, and of two tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.importing.graphs import MOST_WEIGHTS, Node, check_size, together
from noisysim.networks.importing.operators.common import (  # fmt: skip
    AUTO_PADS,
    as_before,
    as_image,
    choice_of,
    constant_of,
    grid_of,
    margins_of,
    pair_of,
    value_of,
)
from noisysim.networks.importing.operators.pointwise import composed
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import INPUT, Value
from noisysim.networks.importing.writing import Writer
from noisysim.networks.layer_kinds import Conv, Dense, Pair, Sides


def linear(writer: Writer, value: Value, weight: Array, bias: Array | None) -> Value:
    """The product of the last axis: a dense layer, or of several rows a convolution of one pixel."""
    units, inputs = weight.shape
    if value.shape[-1] != inputs:
        raise ValueError(f"its weights are for {inputs} values, it is given {value.shape[-1]}")
    rows = value.places.reshape(-1, inputs)
    if len(rows) > 1:
        node, places = writer.by_position(value.node, rows, image=True, aligned=True)
        columns = np.empty_like(weight)
        columns[:, places[0] % inputs] = weight
        shape = (*writer[node].shape[:2], units)
        given = writer.product(Conv(units, 1, activation="linear"), node, shape, columns, bias)
        return Value(given, places[:, :1] // inputs * units + np.arange(units)).moved_to(value.shape[:-1])
    node, places = value.node, rows[0]
    if not writer.is_whole(value):
        node = writer.ordered(node, rows[None])
        places = np.arange(inputs)
    columns = np.empty_like(weight)
    columns[:, places] = weight
    if node == INPUT:  # a dense layer has it as it is given, by channel
        columns = columns[:, np.arange(inputs).reshape(writer[node].shape).transpose(2, 0, 1).ravel()]
    given = writer.product(Dense(units, "linear"), node, (1, 1, units), columns, bias)
    return writer.in_order(given, (*value.shape[:-1], units))


def gemm(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Alpha a b + beta c: a layer with its bias where b and c are constants, else a product and a sum."""
    settings = node.attributes
    if not isinstance(inputs[0], Value) or any(isinstance(one, Value) for one in inputs[1:]):
        return _general_gemm(task, node, inputs)
    value = value_of(inputs)
    if len(value.shape) != 2:
        raise ValueError(f"its input has the shape {value.shape}, not (1, n)")
    if settings.get("transA"):
        value = value.moved(value.places.T)
    weight = settings.get("alpha", 1.0) * _matrix(constant_of(inputs, 1), bool(settings.get("transB")))
    bias = None
    if len(inputs) > 2 and inputs[2] is not None:
        bias = np.broadcast_to(settings.get("beta", 1.0) * constant_of(inputs, 2), (len(value.places), len(weight)))
        if (bias != bias[:1]).any():
            raise ValueError("its constants to be added differ from row to row")
        bias = bias[0]
    return linear(task.writer, value, weight, bias)


def _general_gemm(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The same of any tensors and constants."""
    turns = [bool(node.attributes.get(name)) for name in ("transA", "transB")]
    pair = [_turned(one) if turn else one for one, turn in zip(inputs[:2], turns, strict=True)]
    if not any(isinstance(one, Value) for one in pair):
        raise ValueError("its inputs 1 and 2 are constants: one must depend on the network's input")
    scale, weight = np.array(node.attributes.get("alpha", 1.0)), np.array(node.attributes.get("beta", 1.0))
    given = matmul(task, node, pair)
    if scale != 1:
        given = composed("Mul", task, node, given, scale)
    if len(inputs) < 3 or inputs[2] is None or weight == 0:
        return given
    added = inputs[2]
    if weight != 1:
        added = composed("Mul", task, node, added, weight) if isinstance(added, Value) else added * weight
    return composed("Add", task, node, given, added)


def _turned(matrix: Tensor) -> Tensor:
    """The transpose of a matrix."""
    return matrix.moved(matrix.places.T) if isinstance(matrix, Value) else np.transpose(matrix)  # type: ignore[arg-type]


def matmul(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A product of matrices, of which one is a constant, or none."""
    first, second = inputs
    if isinstance(first, Value) and isinstance(second, Value):
        return _of_two(task.writer, first, second)
    if isinstance(first, Value):
        matrix = constant_of(inputs, 1)
        if matrix.ndim == 1:
            given = linear(task.writer, first, matrix[None], None)
            return given.moved(given.places[..., 0])
        if math.prod(matrix.shape[:-2]) > 1:
            return _of_several(task.writer, first, matrix)
        return linear(task.writer, first, _matrix(_single(matrix)), None)
    value = value_of(inputs, 1)
    if value.places.ndim < 2:
        raise ValueError(f"its input has the shape {value.shape}")
    turned, matrix = value.moved(value.places.swapaxes(-1, -2)), constant_of(inputs, 0)
    if math.prod(matrix.shape[:-2]) > 1:
        given = _of_several(task.writer, turned, matrix.swapaxes(-1, -2))
    else:
        given = linear(task.writer, turned, _matrix(_single(matrix), True), None)
    return given.moved(given.places.swapaxes(-1, -2))


def _of_several(writer: Writer, value: Value, matrices: Array) -> Value:
    """Rows times one constant matrix for each place of the axes before: a convolution of one pixel, in groups."""
    *before, inner, units = matrices.shape
    if len(value.shape) < 2 or value.shape[-1] != inner or matrices.dtype.kind != "f":
        raise ValueError(f"constant matrices of the shape {matrices.shape} ({matrices.dtype}) for {value.shape}")
    sides = together(value.shape[:-2], before)
    rows, count = value.shape[-2], math.prod(sides)
    check_size("one array of all its matrices", (count * units, count * inner))
    check_size("it", (count, rows, inner))
    order = np.broadcast_to(value.places, (*sides, rows, inner)).reshape(count, rows, inner).swapaxes(0, 1)
    kernel = np.broadcast_to(matrices, (*sides, inner, units)).reshape(count, inner, units).swapaxes(1, 2)
    given = convolved(
        writer, value.node, order.reshape(rows, 1, -1), np.asarray(kernel.reshape(-1, inner, 1, 1), np.float64), (1, 1),
        (0, 0, 0, 0), (1, 1), count, None,
    )  # fmt: skip
    return given.moved(given.places.reshape(count, units, rows).swapaxes(1, 2).reshape(*sides, rows, units))


def _of_two(writer: Writer, first: Value, second: Value) -> Value:
    """The product of two tensors, axes before the last two broadcast."""
    if min(first.places.ndim, second.places.ndim) < 2 or first.shape[-1] != second.shape[-2]:
        raise ValueError(f"matrices of the shapes {first.shape} and {second.shape}")
    before = together(first.shape[:-2], second.shape[:-2])
    for one in (first, second):
        check_size("it", (*before, *one.shape[-2:]))
    spread = [one.moved(np.broadcast_to(one.places, (*before, *one.shape[-2:]))) for one in (first, second)]
    return writer.matmul(*spread)


def _matrix(array: Array, transposed: bool = False) -> Array:
    """Weights (n_out, n_in) of a constant (n_in, n_out), or of its transpose."""
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"its weights have the shape {array.shape} ({array.dtype}), not (n, n) of floats")
    return np.asarray(array if transposed else array.T, np.float64)


def _single(array: Array) -> Array:
    """A matrix, without axes of one before it."""
    if array.ndim > 2 and array.shape[:-2] != (1,) * (array.ndim - 2):
        raise ValueError(f"its constant has the shape {array.shape}")
    return array.reshape(array.shape[-2:])


# --- convolutions ---------------------------------------------------------------------------------------------------


def convolved(
    writer: Writer, node: int, order: Array, kernel: Array, strides: Pair, margins: Sides, dilations: Pair, groups: int,
    bias: Array | None,
) -> Value:  # fmt: skip
    """A convolution of values in an order (height, width, channels); kernel (out, in / groups, height, width)."""
    units, held, high, wide = kernel.shape
    channels = order.shape[2]
    if held * groups != channels or units % groups:
        raise ValueError(f"a kernel of the shape {kernel.shape} in {groups} groups does not fit {channels} channels")
    spans = (high - 1) * dilations[0] + 1, (wide - 1) * dilations[1] + 1
    grid = grid_of(order.shape, spans, strides, margins)
    if units * high * wide * channels > MOST_WEIGHTS:
        raise ValueError(f"one array of all its groups has more than {MOST_WEIGHTS} cells")
    weight = np.zeros((units, high, wide, channels))
    for group, rows in enumerate(np.split(np.arange(units), groups)):
        weight[rows, :, :, group * held : (group + 1) * held] = kernel[rows].transpose(0, 2, 3, 1)
    layer = Conv(units, (high, wide), strides, margins, "linear", dilations, groups)
    seen = writer.ordered(node, order, True)
    given = writer.product(layer, seen, (*grid, units), weight.reshape(units, -1), bias)
    return writer.by_channel(given)


def conv(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A convolution of an image or a sequence."""
    value, kernel, bias = _parts(inputs)
    image, rank = as_image(value), len(value.shape)
    strides, dilations = pair_of(node, "strides", 1, rank), pair_of(node, "dilations", 1, rank)
    spans = (kernel.shape[2] - 1) * dilations[0] + 1, (kernel.shape[3] - 1) * dilations[1] + 1
    margins, groups = margins_of(node, value, spans, strides), int(node.attributes.get("group", 1))
    if groups == 1 and image.shape[2:] == (1, 1) == kernel.shape[2:] and not any(margins):
        given = linear(task.writer, image.moved(image.places[:, :, 0, 0]), kernel[:, :, 0, 0], bias)
        return as_before(given.moved(given.places[:, :, None, None]), value)
    order = image.places[0].transpose(1, 2, 0)
    return as_before(
        convolved(task.writer, value.node, order, kernel, strides, margins, dilations, groups, bias), value
    )


def _parts(inputs: Sequence[Tensor]) -> tuple[Value, Array, Array | None]:
    """Image, kernel of two axes, and bias."""
    value, kernel = value_of(inputs), constant_of(inputs, 1)
    if kernel.dtype.kind != "f" or kernel.ndim != len(value.shape):
        raise ValueError(f"a kernel of the shape {kernel.shape} ({kernel.dtype}) for a tensor {value.shape}")
    bias = constant_of(inputs, 2) if len(inputs) > 2 and inputs[2] is not None else None
    wide = kernel[:, :, None] if kernel.ndim == 3 else kernel
    return value, np.asarray(wide, np.float64), bias


def conv_transpose(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A transposed convolution: zeros between pixels and around them, then a convolution with the kernel reversed."""
    value, kernel, bias = _parts(inputs)
    image, rank = as_image(value), len(value.shape)
    strides, dilations = pair_of(node, "strides", 1, rank), pair_of(node, "dilations", 1, rank)
    groups = int(node.attributes.get("group", 1))
    if groups < 1 or kernel.shape[0] % groups:
        raise ValueError(f"a kernel of the shape {kernel.shape} in {groups} groups")
    spans = (kernel.shape[2] - 1) * dilations[0] + 1, (kernel.shape[3] - 1) * dilations[1] + 1
    first, last = _cut_off(node, image, spans, strides, rank)
    order = image.places[0].transpose(1, 2, 0)
    for axis in range(2):
        wider = (order.shape[axis] - 1) * strides[axis] + 2 * spans[axis] - 1 - min(0, first[axis]) - min(0, last[axis])
        check_size("it", (wider, *np.delete(order.shape, axis).tolist()))
        order = _with_zeros(order, axis, strides[axis], spans[axis] - 1 - first[axis], spans[axis] - 1 - last[axis])
    parts = [part.swapaxes(0, 1)[:, :, ::-1, ::-1] for part in np.split(kernel, groups)]
    given = convolved(
        task.writer, value.node, order, np.concatenate(parts), (1, 1), (0, 0, 0, 0), dilations, groups, bias
    )
    return as_before(given, value)


def _cut_off(node: Node, image: Value, spans: Pair, strides: Pair, rank: int) -> tuple[list[int], list[int]]:
    """What is cut off before and behind the full result, along each axis; less than 0 of what is added."""
    settings, auto = node.attributes, choice_of(node, "auto_pad", "NOTSET", AUTO_PADS)
    extra = settings.get("output_padding", (0,) * (rank - 2))
    extra = (0, *extra) if rank == 3 else tuple(extra)
    sizes = settings.get("output_shape")
    if auto in ("SAME_UPPER", "SAME_LOWER") and sizes is None:
        if any(span + more < stride for span, more, stride in zip(spans, extra, strides, strict=True)):
            raise ValueError(
                f"auto_pad={auto} with strides {strides} above the kernel's span {spans}: ONNX and ONNX Runtime give "
                "other sizes; export it with pads and output_padding"
            )
        sizes = [n * s for n, s in zip(image.shape[4 - rank + 2 :], strides[4 - rank :], strict=True)]
    if sizes is None:
        margins = margins_of(node, image if rank == 4 else image.moved(image.places[:, :, 0]), spans, strides)
        return list(margins[:2]), [margins[k + 2] - extra[k] for k in range(2)]
    wanted = (1, *sizes[-1:]) if rank == 3 else tuple(sizes)[-2:]
    first, last = [], []
    for k in range(2):
        full = (image.shape[2 + k] - 1) * strides[k] + spans[k] + extra[k]
        total = full - wanted[k]
        half = max(0, total) // 2  # what is added to a result that is too small is added behind it
        before = half if auto == "SAME_UPPER" else max(0, total) - half
        first.append(before)
        last.append(total - before - extra[k])
    return first, last


def _with_zeros(order: Array, axis: int, stride: int, first: int, last: int) -> Array:
    """Places with zeros between those along an axis, before and behind them; of less than none some are left out."""
    size = (order.shape[axis] - 1) * stride + 1
    shape = list(order.shape)
    shape[axis] = size
    between = np.full(shape, -1, np.int64)
    between[(slice(None),) * axis + (slice(None, None, stride),)] = order
    pads = [(0, 0)] * order.ndim
    pads[axis] = max(first, 0), max(last, 0)
    padded = np.pad(between, pads, constant_values=-1)
    kept = slice(max(-first, 0), padded.shape[axis] - max(-last, 0))
    return padded[(slice(None),) * axis + (kept,)]


HANDLERS: dict[str, Handler] = {"Gemm": gemm, "MatMul": matmul, "Conv": conv, "ConvTranspose": conv_transpose}
