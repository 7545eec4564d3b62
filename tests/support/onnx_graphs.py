"""ONNX models, made operator by operator, and random ones; what ONNX Runtime makes of them."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from noisysim import networks


class Builder:
    """A model with the input ``x``: `op` adds an operator and returns the name of what it gives.

    Arrays among the inputs of an operator become constants. The shape of each tensor, of one sample, is in `shapes`.
    `dtype` is the input's.
    """

    def __init__(self, shape, opset=18, seed=0, dtype=np.float32):
        self.rng, self.opset = np.random.default_rng(seed), opset
        self.nodes, self.constants, self.shapes = [], {}, {"x": (1, *shape)}
        self._values = {"x": np.ones((1, *shape), dtype)}

    def constant(self, values):
        values = np.asarray(values)
        name = f"c{len(self.constants)}"
        self.constants[name] = values.astype(np.float32) if values.dtype == np.float64 else values
        return name

    def weight(self, *shape):
        """Normal numbers that keep the size of what they weigh."""
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:]))))

    def op(self, kind, *inputs, outputs=1, **settings):
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        given = [f"t{len(self.shapes) + k}" for k in range(outputs)]
        node = helper.make_node(kind, names, given, name=f"{kind.lower()}_{len(self.nodes)}", **settings)
        self._try(node)
        self.nodes.append(node)
        return given[0] if outputs == 1 else given

    def _try(self, node):
        """Note what an operator gives of one sample of ones."""
        feeds = {name: self.constants[name] for name in node.input if name in self.constants}
        feeds |= {name: self._values[name] for name in node.input if name in self._values}
        declared = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in feeds.items()
        ]
        graph = helper.make_graph([node], "one", declared, [onnx.ValueInfoProto(name=name) for name in node.output])
        alone = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        session = onnxruntime.InferenceSession(alone.SerializeToString())
        for name, array in zip(node.output, session.run(None, feeds), strict=True):
            self._values[name], self.shapes[name] = array, array.shape

    def proto(self, *outputs):
        """The model whose outputs these are; of any number of samples."""
        kind = helper.np_dtype_to_tensor_dtype(self._values["x"].dtype)
        inputs = [helper.make_tensor_value_info("x", kind, ["samples", *self.shapes["x"][1:]])]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        arrays = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        graph = helper.make_graph(self.nodes, "model", inputs, ends, arrays)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)

    # -- parts of networks --------------------------------------------------------------------------------------------

    def dense(self, x, units, **settings):
        return self.op("Gemm", x, self.weight(units, self.shapes[x][1]), self.weight(units), transB=1, **settings)

    def dense_rows(self, x, units):
        return self.op("MatMul", x, self.rng.standard_normal((self.shapes[x][-1], units)) / np.sqrt(self.shapes[x][-1]))

    def conv(self, x, channels, kernel, groups=1, bias=True, **settings):
        image = self.shapes[x]
        sides = (kernel,) * (len(image) - 2) if isinstance(kernel, int) else kernel
        extra = [self.weight(channels)] if bias else []
        return self.op("Conv", x, self.weight(channels, image[1] // groups, *sides), *extra, group=groups, **settings)

    def norm(self, x):
        rng, n = self.rng, self.shapes[x][1]
        numbers = rng.uniform(0.5, 1.5, n), rng.normal(size=n), rng.normal(size=n), rng.uniform(0.5, 1.5, n)
        return self.op("BatchNormalization", x, *numbers)

    def recurrent(self, x, units, cell="LSTM", ways=1, bias=True, zeros=False, **settings):
        """Outputs of all steps, (steps, directions, samples, units), and the last, of (samples, steps, features)."""
        lines, features = {"RNN": 1, "LSTM": 4, "GRU": 3}[cell] * units, self.shapes[x][2]
        settings = {"hidden_size": units, "direction": "bidirectional" if ways == 2 else "forward", **settings}
        if cell == "GRU":
            settings = {"linear_before_reset": 1, **settings}
        extra = [self.weight(ways, 2 * lines)] if bias or zeros else []
        if zeros:  # the first output, and the first state, as exporters give them
            first = self.op("ConstantOfShape", self.op("Concat", [ways], self.samples(x, units), axis=0))
            extra += ["", *[first] * (1 + (cell == "LSTM"))]
        steps = self.op("Transpose", x, perm=[1, 0, 2])
        weights = self.weight(ways, lines, features), self.weight(ways, lines, units)
        return self.op(cell, steps, *weights, *extra, outputs=2, **settings)

    def rows(self, y):
        """Outputs of all steps, directions side by side, (samples, steps, values)."""
        steps, ways, _, units = self.shapes[y]
        return self.op("Reshape", self.op("Transpose", y, perm=[2, 0, 1, 3]), np.array([-1, steps, ways * units]))

    def samples(self, x, *sizes):
        """A shape of as many samples as a tensor has, computed from its shape as exporters do."""
        count = self.op("Unsqueeze", self.op("Gather", self.op("Shape", x), np.array(0)), np.array([0]))
        return self.op("Concat", count, np.array(sizes), axis=0)

    def heads(self, x, count, order):
        """(1, steps, features) as (1, heads, steps, features) in an order of axes."""
        steps, features = self.shapes[x][1:]
        return self.op("Transpose", self.op("Reshape", x, np.array([0, steps, count, features // count])), perm=order)


def read_from(path, proto, **settings):
    """The network of a model, written to a file and read from there; settings as of `noisysim.networks.load`."""
    onnx.save(proto, path)
    return networks.load(path, **settings)


def answers(model, x, name="x"):
    """What ONNX Runtime gives for inputs of this name, (samples, values)."""
    (given, *_) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {name: x})
    return given.reshape(len(x), -1)


# --- random models --------------------------------------------------------------------------------------------------

ACTIVATIONS = ["Relu", "Sigmoid", "Tanh", "HardSwish", "Softplus", "LeakyRelu", "Elu", "HardSigmoid", "Selu"]


def random_model(seed, steps=9):
    """A model of random operators on images, sequences and units."""
    g = Builder([(2, 6, 5), (5, 6), (12,), (3, 8)][seed % 4], seed=seed)
    x = "x"
    for _ in range(steps):
        moves = {2: _of_units, 3: _of_sequence, 4: _of_image}[len(g.shapes[x])]
        kinds = [*moves, *[_activated] * 2, _scaled, _summed]
        x = kinds[g.rng.integers(len(kinds))](g, x)
    if g.rng.random() < 0.7:
        x = g.dense(g.op("Flatten", x), 4)
    elif g.rng.random() < 0.5:
        x = g.op("Softmax", x, axis=-1)
    weighed = (node for node in g.nodes if node.op_type in ("Gemm", "Conv", "ConvTranspose", "MatMul"))
    if not any(g.constants.keys() & set(node.input) for node in weighed):
        x = g.dense(g.op("Flatten", x), 3)
    return g.proto(x)


def _activated(g, x):
    return g.op(ACTIVATIONS[g.rng.integers(len(ACTIVATIONS))], x)


def _scaled(g, x):
    """A factor or an offset, of all values, of each channel, or of each value."""
    shape = [(1,), (1, g.shapes[x][1], *[1] * (len(g.shapes[x]) - 2)), g.shapes[x][-1:], g.shapes[x]][g.rng.integers(4)]
    return g.op(["Mul", "Add", "Sub", "Div"][g.rng.integers(4)], x, g.rng.uniform(0.5, 1.5, shape))


def _summed(g, x):
    """Two tensors of one shape, or of shapes that fit."""
    other = g.op("Tanh", g.op("ReduceMean", x, np.array([-1]))) if g.rng.random() < 0.3 else _activated(g, x)
    pair = (x, other) if g.rng.random() < 0.5 else (other, x)
    if g.rng.random() < 0.2:
        first = pair[0] if g.rng.random() < 0.7 else np.array([0.7])
        return g.op("Div", first, g.op("Add", g.op("Sigmoid", pair[1]), np.array([0.3])))
    return g.op(["Add", "Sub", "Mul"][g.rng.integers(3)], g.op("Tanh", pair[0]), pair[1])


def _conv(g, x):
    rank, channels = len(g.shapes[x]) - 2, g.shapes[x][1]
    groups = channels if g.rng.random() < 0.3 else 1
    kernel = [int(n) for n in g.rng.integers(1, 4, rank)]
    pads = [int(n) for n in g.rng.integers(1, 3, 2 * rank)]
    settings = {"pads": pads, "strides": [int(n) for n in g.rng.integers(1, 3, rank)]}
    if g.rng.random() < 0.3:
        settings = {"auto_pad": ["SAME_UPPER", "SAME_LOWER"][g.rng.integers(2)], "strides": settings["strides"]}
    return g.conv(x, groups * int(g.rng.integers(1, 4)), kernel, groups, **settings)


def _transposed_conv(g, x):
    rank, channels = len(g.shapes[x]) - 2, g.shapes[x][1]
    settings = {"strides": [2] * rank, "pads": [1, 0] * rank, "output_padding": [1] * rank}
    return g.op("ConvTranspose", x, g.weight(channels, 2, *[2] * rank), g.weight(2), **settings)


def _pooled(g, x):
    rank = len(g.shapes[x]) - 2
    if min(g.shapes[x][2:]) < 2:
        return _padded(g, x)
    settings = {"kernel_shape": [2] * rank, "ceil_mode": 1}
    if g.rng.random() < 0.5:  # not with both: ONNX Runtime infers another size then than it gives
        settings = {"kernel_shape": [2] * rank, "pads": [int(n) for n in g.rng.integers(0, 2, 2 * rank)]}
    settings["strides"] = [int(n) for n in g.rng.integers(1, 3, rank)]
    if g.rng.random() < 0.5:
        return g.op("MaxPool", x, **settings)
    return g.op("AveragePool", x, count_include_pad=int(g.rng.integers(2)), **settings)


def _joined(g, x):
    axis = int(g.rng.integers(1, len(g.shapes[x])))
    return g.op("Concat", x, _activated(g, x), axis=axis)


def _sliced(g, x):
    axis = int(g.rng.integers(1, len(g.shapes[x])))
    size = g.shapes[x][axis]
    if size < 2:
        return _joined(g, x)
    return g.op("Slice", x, np.array([size - 1]), np.array([-size - 1]), np.array([axis]), np.array([-1 - size // 4]))


def _padded(g, x):
    rank = len(g.shapes[x])
    return g.op("Pad", x, np.array([0, *[1] * (rank - 1), 0, *[0] * (rank - 2), 1]))


def _split(g, x):
    axis = next((k for k, n in enumerate(g.shapes[x]) if k and n % 2 == 0), None)
    if axis is None:
        return _activated(g, x)
    first, second = g.op("Split", x, outputs=2, axis=axis, num_outputs=2)
    return g.op("Mul", first, g.op("Sigmoid", second))


def _turned(g, x):
    return g.op("Transpose", x, perm=[0, *(1 + g.rng.permutation(len(g.shapes[x]) - 1)).tolist()])


def _normalised(g, x):
    kind, n = g.rng.integers(3), g.shapes[x][1]
    if kind == 0 or len(g.shapes[x]) == 2:
        last = g.shapes[x][-1]
        return g.op("LayerNormalization", x, g.weight(last), g.weight(last), epsilon=0.01)
    if kind == 1:
        return g.op("InstanceNormalization", x, g.weight(n), g.weight(n), epsilon=0.01)
    return g.norm(x)


def _softmax(g, x):
    return g.op("Softmax", x, axis=int(g.rng.integers(1, len(g.shapes[x]))))


def _gated(g, x):
    gate = g.op("Sigmoid", g.conv(g.op("GlobalAveragePool", x), g.shapes[x][1], 1))
    return g.op("Mul", *((x, gate) if g.rng.random() < 0.5 else (gate, x)))


def _resized(g, x):
    rank = len(g.shapes[x])
    return g.op("Resize", x, "", np.array([1, 1, *[2] * (rank - 2)], np.float32), mode="nearest")


def _flat(g, x):
    return g.op("Flatten", x) if g.rng.random() < 0.5 else g.op("Reshape", x, np.array([0, -1]))


def _to_sequence(g, x):
    if len(g.shapes[x]) == 2:
        return g.op("Unsqueeze", x, np.array([2])) if g.shapes[x][1] % 2 else g.op("Reshape", x, np.array([0, -1, 2]))
    return g.op("Reshape", x, np.array([0, g.shapes[x][1], -1]))


def _to_image(g, x):
    return g.op("Unsqueeze", x, np.array([int(g.rng.integers(2, 4))]))


def _linear(g, x):
    n = g.shapes[x][-1]
    return g.op("Add", g.op("MatMul", x, g.weight(n, int(g.rng.integers(2, 7)))), np.array([0.5], np.float32))


def _mixed(g, x):
    """A constant matrix times a tensor."""
    return g.op("MatMul", g.weight(int(g.rng.integers(2, 6)), g.shapes[x][-2]), x)


def _attended(g, x):
    features = g.shapes[x][-1]
    q, keys = g.op("Tanh", g.op("MatMul", x, g.weight(features, features))), g.op("Transpose", x, perm=[0, 2, 1])
    return g.op("MatMul", g.op("Softmax", g.op("MatMul", q, keys), axis=-1), x)


def _recurrent(g, x):
    cell, ways = ["RNN", "LSTM", "GRU"][g.rng.integers(3)], int(g.rng.integers(1, 3))
    y, last = g.recurrent(x, int(g.rng.integers(2, 5)), cell, ways, bias=bool(g.rng.integers(2)))
    if g.rng.random() < 0.5:
        return g.rows(y)
    return g.op("Flatten", g.op("Transpose", last, perm=[1, 0, 2]))


def _chosen(g, x):
    axis = int(g.rng.integers(1, len(g.shapes[x])))
    return g.op("Gather", x, g.rng.integers(-g.shapes[x][axis], g.shapes[x][axis], 3), axis=axis)


def _averaged(g, x):
    axes = [int(g.rng.integers(1, len(g.shapes[x])))]
    return g.op(["ReduceMean", "ReduceSum", "ReduceMax"][g.rng.integers(3)], x, np.array(axes), keepdims=1)


def _dense(g, x):
    return g.dense(x, int(g.rng.integers(2, 9)))


_OF_ANY = [_joined, _sliced, _padded, _split, _turned, _normalised, _softmax, _chosen]
_of_image = [
    *_OF_ANY,
    *[_conv] * 5,
    _transposed_conv,
    _pooled,
    _pooled,
    _gated,
    _resized,
    _flat,
    _to_sequence,
    _averaged,
]
_of_sequence = [
    *_OF_ANY,
    *[_linear] * 4,
    _mixed,
    _recurrent,
    _recurrent,
    _conv,
    _conv,
    _attended,
    _attended,
    _pooled,
    _flat,
    _to_image,
    _averaged,
]
_of_units = [*_OF_ANY, *[_dense] * 4, _to_sequence, _to_sequence]
