"""A network as an ONNX model: what a chip computes, without its noise.

Tensors are images by channel, (samples, channels, height, width), or (samples, units).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from noisysim.common.fields import shown
from noisysim.common.types import Array
from noisysim.networks.activations import Activation
from noisysim.networks.architecture import INPUT, Architecture
from noisysim.networks.block import Block
from noisysim.networks.importing.files import library
from noisysim.networks.layer_kinds import Conv
from noisysim.networks.named_weights import BIAS, MEAN, VARIANCE, WEIGHT
from noisysim.networks.operations import Image, Operation
from noisysim.networks.recurrent_kinds import ONNX_ORDER, Recurrence, sorted_gates

OPSET = 17
"""The version of the operators that are written."""
_FLOAT, _INT64 = 1, 7
"""ONNX's numbers of types."""
_PLAIN: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}), "tanh": ("Tanh", {}), "sigmoid": ("Sigmoid", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}), "hard_swish": ("HardSwish", {}),
    "softplus": ("Softplus", {}), "elu": ("Elu", {"alpha": 1.0}),
}  # fmt: skip
"""Activation functions that are one operator."""


def model(net: Architecture, weights: Mapping[str, Array]) -> bytes:
    """An ONNX model, whose input is in the shape of a task's samples, and whose output has the order of the chip's.

    Parameters
    ----------
    net : Architecture
    weights : mapping
        By name (`noisysim.networks.named_weights`), of one chip.

    Raises
    ------
    ValueError
        For a network that ONNX's operators do not tell, such as one with an activation function of the user's own.
    ImportError
        Without the package onnx.
    """
    return _Writer(net, weights).written()


class _Writer:
    """Writes operators, each behind those that give what it reads."""

    def __init__(self, net: Architecture, weights: Mapping[str, Array]):
        self._net, self._weights, self._onnx = net, weights, library()
        self._nodes, self._constants = list[Any](), dict[str, Array]()
        self._given: dict[int, str] = {INPUT: "input"}
        """Tensors by node of the network."""
        self._shapes: dict[str, Image] = {}
        """Height, width and channels of each tensor that is an image."""
        if len(net.input_shape) == 3:
            self._shapes["input"] = (*net.input_shape[1:], net.input_shape[0])

    def written(self) -> bytes:
        """The model."""
        net, make = self._net, self._onnx.helper
        lines = list[str]()
        for layer, block in enumerate(net.blocks):
            for node in net.due[layer]:
                self._compute(node, lines)
            lines.append(self._product(layer, block, self._given[net.source(layer)]))
        for node in net.due[net.depth]:
            self._compute(node, lines)
        end = self._by_pixel(self._given[net.output] if net.has_tail else lines[-1])
        self._nodes.append(make.make_node("Identity", [end], ["output"]))
        read = {name for node in self._nodes for name in node.input}  # not so what a learned gain stands for
        arrays = [self._onnx.numpy_helper.from_array(a, name) for name, a in self._constants.items() if name in read]
        ends = [
            make.make_tensor_value_info(name, _FLOAT, ["samples", *shape])
            for name, shape in (("input", net.input_shape), ("output", (net.n_out,)))
        ]
        graph = make.make_graph(self._nodes, "network", ends[:1], ends[1:], arrays)
        made = make.make_model(graph, opset_imports=[make.make_opsetid("", OPSET)], ir_version=8)
        content: bytes = made.SerializeToString()
        return content

    def _compute(self, node: int, lines: Sequence[str]) -> None:
        """Write what gives the values of a node."""
        if node <= self._net.depth:
            self._given[node] = self._behind(self._net.blocks[node - 1], node - 1, lines[node - 1])
        else:
            self._given[node] = self._operation(self._net.operation(node))

    # -- operators ----------------------------------------------------------------------------------------------------

    def _op(self, op: str, *inputs: str | Array, image: Image | None = None, **settings: Any) -> str:
        """Write an operator; arrays among its inputs are constants. `image` is the shape of what it gives."""
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        given = f"{op.lower()}{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(op, names, [given], **settings))
        if image is not None:
            self._shapes[given] = image
        return given

    def _constant(self, array: Array, name: str = "") -> str:
        name = name or f"constant{len(self._constants)}"
        self._constants[name] = np.array(array, np.int64 if array.dtype.kind == "i" else np.float32, order="C")
        return name

    def _flat(self, tensor: str) -> str:
        """A tensor as units, channel by channel."""
        return self._op("Flatten", tensor, axis=1) if tensor in self._shapes else tensor

    def _by_pixel(self, tensor: str) -> str:
        """A tensor as units, pixel by pixel."""
        shape = self._shapes.get(tensor)
        if shape is None or shape[:2] == (1, 1) or shape[2] == 1:
            return self._flat(tensor)
        return self._op("Flatten", self._op("Transpose", tensor, perm=[0, 2, 3, 1]), axis=1)

    def _image(self, tensor: str, shape: Image) -> str:
        """A tensor as an image of this shape: units, or the values of another image, pixel by pixel."""
        if self._shapes.get(tensor) == shape:
            return tensor
        pixels = self._op("Reshape", self._by_pixel(tensor), np.array([-1, *shape]))
        return self._op("Transpose", pixels, perm=[0, 3, 1, 2], image=shape)

    def _alike(self, tensor: str, op: str, *inputs: str | Array, **settings: Any) -> str:
        """An operator whose result has the shape of a tensor."""
        return self._op(op, *inputs, image=self._shapes.get(tensor), **settings)

    # -- layers of weights --------------------------------------------------------------------------------------------

    def _product(self, layer: int, block: Block, seen: str) -> str:
        """Write a product with weights."""
        if block.recurrence is not None:
            return self._recurrence(layer, block.recurrence, seen)
        if layer + 1 < self._net.depth and self._net.blocks[layer + 1].recurrence:
            return self._steps(seen, block.source)
        names = [f"{layer}.{part}" for part in (WEIGHT, BIAS) if f"{layer}.{part}" in self._weights]
        if block.is_gain:
            return self._gain(layer, seen, *(self._constant(self._weights[name].ravel(), name) for name in names))
        held = [self._constant(self._weights[name], name) for name in names]
        product = block.product
        if isinstance(product, Conv):
            top, left, bottom, right = product.margins
            return self._op(
                "Conv", self._image(seen, block.source), *held, image=(*block.grid, block.units),
                kernel_shape=product.kernels, strides=product.strides, dilations=product.dilations,
                pads=[top, left, bottom, right], group=product.groups,
            )  # fmt: skip
        return self._op("Gemm", self._flat(seen), *held, transB=1)

    def _gain(self, layer: int, seen: str, gain: str, offset: str) -> str:
        """Write a gain and an offset of each channel: those of the batch normalisation before, where it is one."""
        node = self._nodes[-1] if self._nodes else None
        alone = self._net.readers[self._net.source(layer)] == 1
        if alone and node is not None and node.op_type == "BatchNormalization" and node.output[0] == seen:
            node.input[1], node.input[2] = gain, offset
            return seen
        if seen in self._shapes:
            for name in (gain, offset):
                self._constants[name] = self._constants[name].reshape(-1, 1, 1)
        return self._alike(seen, "Add", self._alike(seen, "Mul", seen, gain), offset)

    def _steps(self, tensor: str, shape: Image) -> str:
        """A tensor as a sequence, (steps, samples, features): what the first array of a recurrent layer sees."""
        if tensor in self._shapes:
            tensor = self._op("Transpose", tensor, perm=[0, 2, 3, 1])
        rows = self._op("Reshape", tensor, np.array([-1, shape[0], shape[1] * shape[2]]))
        return self._op("Transpose", rows, perm=[1, 0, 2])

    def _recurrence(self, layer: int, cell: Recurrence, steps: str) -> str:
        """Write a recurrent layer, of which this is the second array; its outputs an image of one column."""
        gates = np.argsort(ONNX_ORDER[cell.cell]).tolist()
        weights = self._weights[f"{layer - 1}.{WEIGHT}"], self._weights[f"{layer}.{WEIGHT}"]
        by_pixel = np.moveaxis(weights[0], 1, -1).reshape(cell.lines, -1)
        held = [sorted_gates(array, gates)[None] for array in (by_pixel, weights[1])]
        biases = [self._weights[name] for k in (layer - 1, layer) if (name := f"{k}.{BIAS}") in self._weights]
        if biases:
            held.append(np.concatenate([sorted_gates(bias, gates) for bias in biases])[None])
        settings: dict[str, Any] = {"linear_before_reset": 1} if cell.cell == "gru" else {}
        op = "GRU" if cell.cell.startswith("gru") else cell.cell.upper()
        given = self._op(op, steps, *held, hidden_size=cell.units, **settings)
        by_sample = self._op("Transpose", self._op("Squeeze", given, np.array([1])), perm=[1, 2, 0])
        shape = (*self._net.blocks[layer].pooled, cell.units)
        return self._op("Unsqueeze", by_sample, np.array([3]), image=shape)

    def _behind(self, block: Block, layer: int, lines: str) -> str:
        """Write what the periphery makes of a product's lines."""
        given = lines
        if block.norm is not None:
            numbers = [self._weights[f"{layer}.{part}"] for part in (MEAN, VARIANCE)]
            ones, zeros = np.ones(block.units), np.zeros(block.units)
            settings = {"epsilon": block.norm.epsilon}
            given = self._alike(given, "BatchNormalization", given, ones, zeros, *numbers, **settings)
        given = self._activate(given, block.activation)
        if block.pool is not None:
            image = (*block.pooled, block.units)
            sizes, strides = block.pool.sizes, block.pool.strides
            given = self._op("MaxPool", given, image=image, kernel_shape=sizes, strides=strides)
        return given

    def _activate(self, x: str, kind: Activation) -> str:
        """Write an activation function."""
        if kind.name == "linear":
            return x
        if kind.name in _PLAIN:
            op, settings = _PLAIN[kind.name]
            return self._alike(x, op, x, **settings)
        if kind.name == "relu6":
            return self._alike(x, "Clip", x, np.array(0.0), np.array(6.0))
        if kind.name == "silu":
            return self._alike(x, "Mul", x, self._op("Sigmoid", x))
        if kind.name == "gelu":
            bent = self._op("Erf", self._op("Mul", x, np.array(math.sqrt(0.5))))
            half = self._op("Mul", self._op("Add", bent, np.array(1.0)), np.array(0.5))
            return self._alike(x, "Mul", x, half)
        raise ValueError(f"the activation function {shown(kind.name)} is not written as ONNX: it is none of ONNX's own")

    # -- operations of the periphery ----------------------------------------------------------------------------------

    def _operation(self, operation: Operation) -> str:
        """Write an operation."""
        sources = [self._seen(node, operation) for node in operation.sources]
        if operation.activation is not None:
            return self._activate(sources[0], operation.activation)
        if operation.name not in _OPERATIONS:
            raise ValueError(f"the operation {operation.name!r} is not written as ONNX")
        return _OPERATIONS[operation.name](self, operation, sources)

    def _seen(self, node: int, operation: Operation) -> str:
        """A node as an operation sees it: where it gives an image of as many values, as one of that shape.

        To what works on sequences an image is a sequence of its rows.
        """
        tensor = self._given[node]
        alike = tensor in self._shapes and operation.size == self._net.node_size(node)
        return self._image(tensor, operation.shape) if alike else tensor

    def shape_of(self, node: int) -> Image:
        """Height, width and channels of a node's values."""
        net = self._net
        if node == INPUT:
            return self._shapes.get("input", (1, 1, net.node_size(INPUT)))
        if node <= net.depth:
            return (*net.blocks[node - 1].pooled, net.blocks[node - 1].units)
        return net.operation(node).shape

    def _in_one_form(self, operation: Operation, sources: Sequence[str]) -> list[str]:
        """Tensors all as images, or all as units."""
        if all(source not in self._shapes for source in sources):
            return list(sources)
        pairs = zip(sources, operation.sources, strict=True)
        return [s if s in self._shapes else self._image(s, self.shape_of(node)) for s, node in pairs]

    def _pointwise(self, operation: Operation, sources: Sequence[str]) -> str:
        op = {"add": "Add", "multiply": "Mul", "divide": "Div"}[operation.name]
        pair = self._in_one_form(operation, sources)
        return self._alike(pair[0], op, *pair)

    def _concatenate(self, operation: Operation, sources: Sequence[str]) -> str:
        pair = self._in_one_form(operation, sources)
        image = operation.shape if pair[0] in self._shapes else None
        return self._op("Concat", *pair, axis=1, image=image)

    def _gather(self, operation: Operation, sources: Sequence[str]) -> str:
        count, size = operation.numbers[:2]
        places = np.array(operation.numbers[3 : 3 + count])
        flat = self._by_pixel(sources[0])
        if places.min() < 0:  # one more value, a zero
            flat = self._op("Pad", flat, np.array([0, 0, 0, 1]))
        given = self._op("Gather", flat, np.where(places < 0, size, places), axis=1)
        return given if operation.shape[:2] == (1, 1) else self._image(given, operation.shape)

    def _window(self, operation: Operation, sources: Sequence[str]) -> str:
        _, high, wide, size, size_x, stride, stride_x, top, left, rows, columns, *counted = operation.numbers[3:]
        bottom, right = (rows - 1) * stride + size - top - high, (columns - 1) * stride_x + size_x - left - wide
        settings = {
            "kernel_shape": [size, size_x], "strides": [stride, stride_x],
            "pads": [top, left, max(0, bottom), max(0, right)],
        }  # fmt: skip
        if counted:
            settings["count_include_pad"] = counted[0]  # type: ignore[assignment]
        image = self._image(sources[0], self.shape_of(operation.sources[0]))
        return self._op("AveragePool" if counted else "MaxPool", image, image=operation.shape, **settings)

    def _affine(self, operation: Operation, sources: Sequence[str]) -> str:
        x, numbers = sources[0], operation.constant()
        if x in self._shapes and numbers.shape[1] > 1:
            shape = (2, 1, 1, -1) if numbers.shape[1] == operation.shape[2] else (2, *operation.shape)
            numbers = numbers.reshape(shape).transpose(0, 3, 1, 2)
        scaled = self._alike(x, "Mul", x, numbers[0])
        return self._alike(x, "Add", scaled, numbers[1])

    def _one_hot(self, operation: Operation, sources: Sequence[str]) -> str:
        steps, _, classes = operation.shape
        numbers = self._op("Cast", self._op("Reshape", self._by_pixel(sources[0]), np.array([-1, steps])), to=_INT64)
        marked = self._op("OneHot", numbers, np.array(classes), np.array([0.0, 1.0]))
        by_class = self._op("Transpose", marked, perm=[0, 2, 1])
        return self._op("Unsqueeze", by_class, np.array([3]), image=operation.shape)

    def _clip(self, operation: Operation, sources: Sequence[str]) -> str:
        low, high = operation.constant()[0]
        return self._alike(sources[0], "Clip", sources[0], np.array(low), np.array(high))

    def _leak(self, operation: Operation, sources: Sequence[str]) -> str:
        return self._alike(sources[0], "LeakyRelu", sources[0], alpha=float(operation.constant()[0, 0]))

    def _softmax(self, operation: Operation, sources: Sequence[str]) -> str:
        return self._alike(sources[0], "Softmax", sources[0], axis=1)

    def _normalise(self, operation: Operation, sources: Sequence[str]) -> str:
        """Over the channels of each position, or over groups of channels: the last axis of a tensor."""
        parts, channels, epsilon = operation.numbers[0], operation.shape[2], operation.constant()[0, 0]
        by_position = operation.numbers[3] == channels and operation.numbers[6] == channels
        x = self._image(sources[0], operation.shape)
        if by_position:
            rows = self._op("Transpose", x, perm=[0, 2, 3, 1])
        else:
            rows = self._op("Reshape", x, np.array([0, parts, -1]))
        given = self._normalised(rows, operation.numbers[3], epsilon, bool(operation.numbers[7]))
        if by_position:
            return self._op("Transpose", given, perm=[0, 3, 1, 2], image=operation.shape)
        return self._op("Reshape", given, np.array([-1, channels, *operation.shape[:2]]), image=operation.shape)

    def _normalised(self, rows: str, members: int, epsilon: float, scaled: bool) -> str:
        if not scaled:
            return self._op("LayerNormalization", rows, np.ones(members), axis=-1, epsilon=float(epsilon))
        square = self._op("ReduceMean", self._op("Mul", rows, rows), axes=[-1])
        return self._op("Div", rows, self._op("Sqrt", self._op("Add", square, np.array(epsilon))))

    def _matmul(self, operation: Operation, sources: Sequence[str]) -> str:
        sides, rows, columns = operation.shape
        inner = operation.numbers[4]
        first, second = (self._by_pixel(source) for source in sources)
        left = self._op("Reshape", first, np.array([-1, sides, rows, inner]))
        right = self._op("Reshape", second, np.array([-1, sides, inner, columns]))
        given = self._op("MatMul", left, right)
        return self._op("Transpose", given, perm=[0, 3, 1, 2], image=operation.shape)


_OPERATIONS: dict[str, Callable[[_Writer, Operation, Sequence[str]], str]] = {
    "add": _Writer._pointwise, "multiply": _Writer._pointwise, "divide": _Writer._pointwise,
    "concatenate": _Writer._concatenate,
    "gather": _Writer._gather, "pool": _Writer._window, "average": _Writer._window, "affine": _Writer._affine,
    "one_hot": _Writer._one_hot, "clip": _Writer._clip, "leak": _Writer._leak, "softmax": _Writer._softmax,
    "normalise": _Writer._normalise, "matmul": _Writer._matmul,
}  # fmt: skip
"""What writes each operation of the periphery (`noisysim.networks.operations`)."""
