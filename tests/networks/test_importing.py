"""Models from elsewhere: on exact hardware they do what ONNX Runtime does."""

from functools import partial

import numpy as np
import pytest

import noisysim
from noisysim import networks

onnx = pytest.importorskip("onnx", reason="models from elsewhere need the package onnx")
pytest.importorskip("onnxruntime", reason="what they have to give is asked of ONNX Runtime")

from onnx_graphs import Builder, answers, random_model, read_from  # noqa: E402  # which imports onnx

MODELS = {}


def model(opset=18):
    """Register a function that builds a model and returns it, and perhaps a part of what its layers should be."""

    def register(build):
        MODELS[build.__name__] = (build, opset)
        return build

    return register


@pytest.fixture
def read(tmp_path):
    """The network of a model, by a file."""
    return partial(read_from, tmp_path / "model.onnx")


def one(value):
    return np.array(value, np.float32)


def constant_tensor(number):
    return onnx.helper.make_tensor("value", onnx.TensorProto.FLOAT, [1], [number])


def inputs(proto, samples=3):
    shape = [size.dim_value for size in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    return np.random.default_rng(7).standard_normal((samples, *shape)).astype(np.float32)


def assert_same(network, proto):
    """Outputs within 1e-4 of the largest of ONNX Runtime's."""
    x = inputs(proto)
    expected = answers(proto, x)
    found = noisysim.Chip(network, "ideal").predict(x.reshape(len(x), -1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


# --- models as people have them -------------------------------------------------------------------------------------


@model()
def mlp():
    g = Builder((10,))
    return g.proto(g.dense(g.op("Relu", g.dense("x", 8)), 5)), ["dense(8, activation='relu')", 5]


@model(opset=9)
def lenet():
    g = Builder((1, 14, 14), opset=9)
    x = g.op("MaxPool", g.op("Relu", g.conv("x", 4, 5, pads=[2] * 4)), kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Relu", g.op("MaxPool", g.conv(x, 6, 3), kernel_shape=[2, 2], strides=[2, 2]))
    x = g.dense(g.op("Tanh", g.dense(g.op("Flatten", x), 9)), 4)
    layers = [
        "conv(4, 5, padding=2, activation='relu')", "pool(2)", "conv(6, 3, activation='relu')", "pool(2)",
        "dense(9, activation='tanh')", 4,
    ]  # fmt: skip
    return g.proto(x), layers


def residual(g, x, channels, stride=1):
    """A block of two convolutions with batch normalisation."""
    y = g.op("Relu", g.norm(g.conv(x, channels, 3, bias=False, pads=[1] * 4, strides=[stride] * 2)))
    y = g.norm(g.conv(y, channels, 3, bias=False, pads=[1] * 4))
    if stride > 1:
        x = g.norm(g.conv(x, channels, 1, bias=False, strides=[stride] * 2))
    return g.op("Relu", g.op("Add", y, x))


def resnet(blocks):
    g = Builder((3, 8, 8))
    x = g.op("Relu", g.norm(g.conv("x", 4, 3, bias=False, pads=[1] * 4)))
    for channels, stride in ((4, 1), (6, 2), (8, 2)):
        x = residual(g, x, channels, stride)
        for _ in range(blocks - 1):
            x = residual(g, x, channels)
    return g.proto(g.dense(g.op("Flatten", g.op("GlobalAveragePool", x)), 5)), None


@model()
def resnet_8():
    return resnet(1)


@model()
def resnet_20():
    return resnet(3)


@model()
def depthwise():
    g = Builder((4, 6, 6))
    x = g.op("HardSwish", g.conv("x", 4, 3, groups=4, pads=[1] * 4))
    x = g.op("Clip", g.conv(x, 6, 1), np.float32(0), np.float32(6))
    layers = ["conv(4, 3, padding=1, activation='hard_swish', groups=4)", "conv(6, 1, activation='relu6')"]
    return g.proto(g.op("GlobalMaxPool", x)), [*layers, "pool(6)", "output()"]


@model()
def sequence():
    g = Builder((3, 12))
    x = g.op("LeakyRelu", g.conv("x", 5, 3, dilations=[2], pads=[1, 2]), alpha=0.2)
    x = g.op("MaxPool", x, kernel_shape=[2], strides=[2])
    x = g.op("Elu", g.conv(x, 4, 2, auto_pad="SAME_UPPER"), alpha=1.5)
    return g.proto(g.dense(g.op("Flatten", x), 3)), None


@model()
def lstm():
    """As exporters write one that takes samples first, with zeros to begin with, and the output of the last step."""
    g = Builder((6, 4))
    y, _ = g.recurrent("x", 5, zeros=True)
    y = g.op("Transpose", g.op("Squeeze", y, np.array([1])), perm=[1, 0, 2])
    layers = ["recurrent(5, cell='lstm', returns='all')", "take((25, 26, 27, 28, 29), shape=(1, 1, 5))", 3]
    return g.proto(g.dense(g.op("Gather", y, np.array(-1), axis=1), 3)), layers


@model(opset=14)
def gru():
    """Two layers, of which the second gives its last output alone."""
    g = Builder((6, 4), opset=14)
    y, _ = g.recurrent("x", 5, "GRU", zeros=True)
    _, last = g.recurrent(g.rows(y), 3, "GRU")
    layers = ["recurrent(5, cell='gru', returns='all')", "recurrent(3, cell='gru')", 2]
    return g.proto(g.dense(g.op("Squeeze", last, np.array([0])), 2)), layers


@model()
def gru_reset_before():
    """With the reset gate before the product, ONNX's default: all steps of both directions, then a last output."""
    g = Builder((6, 4))
    y, _ = g.recurrent("x", 5, "GRU", ways=2, linear_before_reset=0)
    _, last = g.recurrent(g.rows(y), 3, "GRU", bias=False, linear_before_reset=0)
    return g.proto(g.dense(g.op("Squeeze", last, np.array([0])), 2)), None


@model()
def both_ways():
    """Both directions side by side, and the last outputs of each, over steps that a convolution gives."""
    g = Builder((3, 8))
    x = g.op("Transpose", g.op("Relu", g.conv("x", 4, 3)), perm=[0, 2, 1])
    y, last = g.recurrent(x, 3, "LSTM", ways=2)
    ends = g.op("Flatten", g.op("Transpose", last, perm=[1, 0, 2]))
    return g.proto(g.op("Add", g.dense(g.op("Flatten", g.rows(y)), 4), g.dense(ends, 4))), None


@model()
def backwards():
    g = Builder((5, 4))
    y, _ = g.recurrent("x", 3, "RNN", bias=False, direction="reverse")
    return g.proto(g.rows(y)), None


@model()
def attention():
    g = Builder((6, 8))
    q, k, v = (g.op("Add", g.op("MatMul", "x", g.weight(8, 8)), g.weight(8)) for _ in range(3))
    q, k, v = g.heads(q, 2, [0, 2, 1, 3]), g.heads(k, 2, [0, 2, 3, 1]), g.heads(v, 2, [0, 2, 1, 3])
    weights = g.op("Softmax", g.op("Div", g.op("MatMul", q, k), np.float32(2)), axis=-1)
    seen = g.op("Reshape", g.op("Transpose", g.op("MatMul", weights, v), perm=[0, 2, 1, 3]), np.array([0, 0, 8]))
    x = g.op("Add", "x", g.op("MatMul", seen, g.weight(8, 8)))
    x = g.op("LayerNormalization", x, g.weight(8), g.weight(8))
    x = g.op("Add", x, g.op("MatMul", g.op("Relu", g.op("MatMul", x, g.weight(8, 12))), g.weight(12, 8)))
    return g.proto(g.dense(g.op("ReduceMean", x, np.array([1]), keepdims=0), 3)), None


@model()
def mixer():
    """With Gelu and layer normalisation written as exporters of old versions do."""
    g = Builder((6, 8), opset=13)
    centred = g.op("Sub", "x", g.op("ReduceMean", "x", axes=[-1]))
    variance = g.op("ReduceMean", g.op("Pow", centred, np.float32(2)), axes=[-1])
    x = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, np.float32(1e-3))))
    x = g.op("MatMul", g.op("Transpose", g.op("Mul", x, g.weight(8)), perm=[0, 2, 1]), g.weight(6, 7))
    x = g.op("Mul", x, g.op("Add", g.op("Erf", g.op("Div", x, np.float32(np.sqrt(2)))), np.float32(1)))
    x = g.op("MatMul", g.op("Mul", x, np.float32(0.5)), g.weight(7, 6))
    x = g.op("Add", g.op("Transpose", x, perm=[0, 2, 1]), "x")
    return g.proto(g.dense(g.op("Flatten", x), 4)), None


@model()
def branches():
    g = Builder((3, 5, 5))
    first, second = g.op("Relu", g.conv("x", 4, 1)), g.op("Tanh", g.conv("x", 2, 3, pads=[1] * 4))
    third = g.op("MaxPool", "x", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    x = g.op("Concat", first, second, third, axis=1)
    layers = [
        "conv1 = conv(4, 1, activation='relu')", "conv2 = conv(2, 3, padding=1, activation='tanh')(input)",
        "pool3 = pool(3, stride=1, padding=1)(input)", "concat()(conv1, conv2, pool3)", 4,
    ]  # fmt: skip
    return g.proto(g.dense(g.op("Flatten", x), 4)), layers


@model()
def transposed_convolution():
    g = Builder((3, 4, 3))
    settings = {"strides": [2, 2], "pads": [1, 0, 1, 1], "output_padding": [1, 0]}
    x = g.op("Relu", g.op("ConvTranspose", "x", g.weight(3, 4, 3, 3), g.weight(4), **settings))
    return g.proto(g.op("ConvTranspose", x, g.weight(4, 2, 2, 2), group=2, dilations=[2, 1])), None


@model()
def squeeze_and_excite():
    g = Builder((2, 6, 5))
    x = g.conv("x", 4, 3)
    x = g.op("Mul", x, g.op("Sigmoid", x))
    gate = g.op("Sigmoid", g.conv(g.op("Relu", g.conv(g.op("GlobalAveragePool", x), 2, 1)), 4, 1))
    layers = [
        "conv1 = conv(4, 3, activation='silu')", "average_pool()", "dense(2, activation='relu')",
        "dense4 = dense(4, activation='sigmoid')", "multiply()(conv1, dense4)", 3,
    ]  # fmt: skip
    return g.proto(g.dense(g.op("Flatten", g.op("Mul", x, gate)), 3)), layers


@model()
def odd_sizes():
    """Padding that differs from side to side, windows that do not fit, strides that differ."""
    g = Builder((2, 9, 7))
    x = g.op("Relu", g.conv("x", 3, (2, 3), pads=[0, 1, 1, 0], strides=[2, 1], dilations=[1, 2]))
    x = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1, count_include_pad=1)
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    return g.proto(x), None


@model()
def shared():
    """One matrix in two places."""
    g = Builder((6,))
    weight = g.weight(6, 6)
    x = g.op("Relu", g.op("Gemm", "x", weight, alpha=0.5, transB=1))
    return g.proto(g.op("Gemm", x, weight)), ["dense(6, activation='relu')", 6]


@model()
def shapes_from_shapes():
    """Reshaping by what is computed of shapes, as exporters write ``x.view(x.size(0), -1)``."""
    g = Builder((12,))
    x = g.op("Relu", g.conv(g.op("Reshape", "x", np.array([-1, 3, 2, 2])), 4, 2, pads=[1] * 4))
    x = g.op("Reshape", x, g.samples(x, -1))
    first, second = g.op("Split", x, outputs=2, axis=1, num_outputs=2)
    return g.proto(g.dense(g.op("Mul", first, g.op("Softplus", second)), 4)), None


@model(opset=20)
def other_functions():
    g = Builder((6,), opset=20)
    x = g.op("Gelu", g.dense("x", 6), approximate="tanh")
    x = g.op("Mish", g.op("Gelu", g.dense(x, 6)))
    x = g.op("PRelu", g.dense(x, 6), np.array([0.3]))
    x = g.op("Max", g.op("Min", g.dense(x, 6), np.float32(0.7)), np.float32(-0.4))
    return g.proto(g.op("Pow", g.op("Neg", g.dense(x, 3)), np.float32(3))), None


@model()
def class_token():
    """A constant beside computed values, and a position embedding of each value."""
    g = Builder((2, 4, 4))
    x = g.conv("x", 6, 2, strides=[2, 2])
    x = g.op("Transpose", g.op("Reshape", x, np.array([0, 6, -1])), perm=[0, 2, 1])
    x = g.op("Concat", g.op("Expand", g.rng.normal(size=(1, 1, 6)), g.samples(x, 1, 6)), x, axis=1)
    x = g.op("Add", x, g.rng.normal(size=(1, 5, 6)))
    x = g.op("GroupNormalization", g.op("Transpose", x, perm=[0, 2, 1]), g.weight(2), g.weight(2), num_groups=2)
    return g.proto(g.dense(g.op("Gather", g.op("Transpose", x, perm=[0, 2, 1]), np.array(0), axis=1), 3)), None


@model(opset=9)
def old_operators():
    """Settings that later versions take as inputs."""
    g = Builder((2, 4, 5), opset=9)
    x = g.op("Pad", "x", pads=[0, 0, 1, 0, 0, 0, 0, 2])
    x = g.op("Slice", g.conv(x, 4, 2), axes=[2, 3], starts=[1, 0], ends=[4, 4])
    x = g.op("Upsample", g.op("Clip", x, min=-1.0, max=0.5), np.array([1, 1, 2, 1], np.float32))
    first, second = g.op("Split", x, outputs=2, axis=1, split=[1, 3])
    x = g.op("Mul", g.op("Squeeze", first, axes=[1]), g.op("ReduceMean", second, axes=[1], keepdims=0))
    return g.proto(g.op("Softmax", g.op("Unsqueeze", x, axes=[1]), axis=1)), None


@model()
def mirrored():
    """Padding by the image itself, blocks of channels as pixels, and transposed convolutions of a stated size."""
    g = Builder((4, 3, 4))
    x = g.op("Pad", "x", np.array([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect")
    x = g.op("DepthToSpace", g.conv(x, 4, 3), blocksize=2)
    x = g.op("ConvTranspose", x, g.weight(1, 2, 3, 2), strides=[2, 2], output_shape=[11, 16])
    x = g.op("ConvTranspose", x, g.weight(2, 1, 3, 3), auto_pad="SAME_UPPER", strides=[1, 2])
    x = g.op("Slice", x, np.array([1]), np.array([11]), np.array([2]))
    return g.proto(g.op("SpaceToDepth", x, blocksize=2)), None


@model()
def transposed_sequence():
    g = Builder((3, 5))
    x = g.op("ConvTranspose", "x", g.weight(3, 2, 4), g.weight(2), strides=[3], pads=[1, 2], output_padding=[1])
    return g.proto(g.op("Resize", x, "", np.array([1, 1, 1.5], np.float32), mode="nearest", nearest_mode="floor")), None


@model()
def root_mean_square():
    """RMS normalisation as exporters write it, and sums, of one channel a position."""
    g = Builder((5, 4))
    square = g.op("ReduceMean", g.op("Mul", "x", "x"), np.array([-1]))
    x = g.op("Div", "x", g.op("Sqrt", g.op("Add", square, np.float32(1e-3))))
    x = g.op("Sum", g.op("MatMul", g.op("Mul", x, g.weight(4)), g.weight(4, 4)), "x", np.float32(0.1))
    x = g.op("MatMul", x, g.rng.normal(size=4))
    return g.proto(
        g.op("MatMul", g.op("ReduceSum", g.op("Unsqueeze", x, np.array([1])), np.array([1])), g.weight(5, 2))
    ), None


@model()
def bare_input():
    """Operations on the input itself, without a layer that needs an image."""
    g = Builder((3, 4))
    x = g.op("Softmax", g.op("Mul", "x", g.rng.uniform(0.5, 1.5, (3, 1))), axis=1)
    return g.proto(g.dense(g.op("Flatten", g.op("Add", x, "x")), 2)), None


@model(opset=16)
def slopes_of_channels():
    g = Builder((3, 5, 5), opset=16)
    x = g.op("PRelu", g.conv("x", 4, 3), np.array([0.1, -0.2, 1.3, 0]).reshape(4, 1, 1))
    return g.proto(g.dense(g.op("PRelu", g.dense(g.op("Flatten", x), 4), np.array([0.3, 0, -1, 2])), 3)), None


@model()
def larger_and_smaller():
    """Of tensors, of constants for each channel, of both, and of one alone; bounds that hold nothing cost nothing."""
    g = Builder((3, 4, 4))
    x, y = g.conv("x", 4, 3), g.conv("x", 4, 3)
    bounds = np.array([0.1, -1e30, 1.3, 0]).reshape(4, 1, 1)
    x = g.op("Max", np.float32(-0.2), x, bounds, g.op("GlobalAveragePool", y))
    x = g.op("Min", g.op("Max", x), y, np.array([1e30, 0.5, 1, 2]).reshape(4, 1, 1))
    return g.proto(g.op("Max", g.dense(g.op("Flatten", x), 3), np.float32(-0.1), np.float32(-0.3))), None


@model()
def of_one_or_of_none():
    """Operators of any number of tensors, with one, and with constants alone."""
    g = Builder((4,))
    x = g.op("Min", g.op("Relu", g.op("Max", "x")))
    x = g.op("Add", x, g.op("Sum", g.weight(4), g.weight(1)))
    return g.proto(g.dense(g.op("Mul", g.op("Sum", x), g.op("Mean", g.weight(4), g.weight(4))), 3)), None


@model()
def functions_of_others():
    g = Builder((6,))
    x = g.op("Abs", g.op("Softsign", g.op("Celu", g.dense("x", 6), alpha=0.7)))
    x = g.op("Reciprocal", g.op("Add", x, np.float32(1)))
    x = g.op("Mean", g.op("Pow", x, np.float32(-2)), g.weight(6), g.dense("x", 6))
    return g.proto(g.op("Sum", np.ones(3), g.weight(3), g.dense(x, 3))), None


@model()
def smallest_and_sizes():
    g = Builder((3, 5, 4))
    x = g.op("ReduceMin", g.op("Pad", "x", np.array([0, 0, 1, 0, 0, 0, 0, 0])), np.array([2]), keepdims=0)
    y = g.op("ReduceL1", "x", np.array([1, -2]), keepdims=1)
    z = g.op("ReduceSumSquare", "x", np.array([3]))
    return g.proto(g.dense(g.op("Concat", *(g.op("Flatten", one) for one in (x, y, z)), axis=1), 3)), None


@model(opset=13)
def several_matrices():
    """One for each head, behind, before, and spread over axes that the tensor or the constant lacks."""
    g = Builder((3, 4, 5), opset=13)
    x = g.op("Add", g.op("MatMul", "x", g.weight(3, 5, 2)), g.weight(3, 1, 2))
    x = g.op("MatMul", g.weight(3, 6, 4), g.op("Relu", x))
    x = g.op("MatMul", g.op("Unsqueeze", x, np.array([1])), g.weight(2, 1, 2, 3))
    y = g.op("MatMul", g.op("ReduceMean", "x", axes=[1]), g.weight(3, 5, 3))
    return g.proto(
        g.dense(g.op("Flatten", g.op("Concat", g.op("ReduceSum", x, np.array([1]), keepdims=0), y, axis=2)), 3)
    ), None


@model()
def products_of_other_orders():
    """Gemm with a constant first, and with a tensor to be added."""
    g = Builder((6,))
    x = g.op(
        "Gemm", g.weight(6, 4), g.op("Relu", g.dense("x", 6)), g.weight(4, 1), transA=1, transB=1, alpha=0.5, beta=2.0
    )
    return g.proto(g.op("Gemm", x, g.weight(4, 3), g.dense("x", 3), transA=1, beta=-0.5)), None


@model()
def padding_by_numbers():
    """By another number than 0 behind padding by 0, along some axes; padding of less than nothing cuts off."""
    g = Builder((3, 5, 6))
    x = g.op("Pad", "x", np.array([1, 0, 0, 2]), np.float32(0), np.array([-1, 2]))
    x = g.op("Pad", x, np.array([0, 1, -1, 2, 0, 0, 1, -2]), np.float32(-0.7))
    return g.proto(g.dense(g.op("Flatten", g.conv(x, 2, 3)), 3)), None


@model(opset=10)
def padding_by_settings():
    g = Builder((3, 5), opset=10)
    x = g.op("Pad", g.op("Pad", "x", pads=[0, 0, 2, 0, 1, 0]), pads=[0, 1, 0, 0, 0, 1], value=0.5)
    return g.proto(g.dense(g.op("Flatten", x), 3)), None


@model(opset=24)
def other_slopes():
    g = Builder((5,), opset=24)
    return g.proto(g.dense(g.op("Swish", g.dense("x", 6), alpha=1.702), 3)), None


def scores(g, x):
    """Products of each step with each."""
    return g.op("MatMul", x, g.op("Transpose", x, perm=[0, 2, 1]))


@model(opset=17)
def causal():
    """Attention to earlier steps, masked in the ways there are, also by shapes."""
    g = Builder((4, 6), opset=17)
    x, later = g.dense_rows("x", 6), np.triu(np.ones((4, 4), np.bool_), 1)
    masked = g.op("Softmax", g.op("Add", scores(g, x), np.where(later, -np.inf, 0).astype(np.float32)), axis=-1)
    x = g.op("MatMul", masked, x)
    shape = g.op("Concat", *[g.op("Slice", g.op("Shape", x), np.array([1]), np.array([2]))] * 2, axis=0)
    ones = g.op("Trilu", g.op("ConstantOfShape", shape, value=constant_tensor(1.0)), upper=0)
    before = g.op("Where", g.op("Equal", ones, one(0)), np.float32(-np.inf), scores(g, x))
    x = g.op("MatMul", g.op("Softmax", before, axis=-1), x)
    low = g.op("Where", g.op("GreaterOrEqual", np.arange(4)[:, None], np.arange(4)), scores(g, x), np.float32(-1e9))
    x = g.op("MatMul", g.op("Softmax", low, axis=-1), x)
    return g.proto(g.dense(g.op("Flatten", x), 3)), None


@model()
def choices():
    """Of two tensors, of a tensor and numbers, of triangles."""
    g = Builder((4, 4))
    odd, x = np.arange(16).reshape(4, 4) % 2 == 1, g.dense_rows("x", 4)
    y = g.op("Where", odd, g.op("Tanh", x), g.op("Relu", x))
    y = g.op("Where", odd.T, y, one(0.5))
    y = g.op("Add", g.op("Where", odd[:1], np.arange(4, dtype=np.float32), y), g.op("Trilu", x, np.array(1)))
    return g.proto(g.dense(g.op("Flatten", g.op("Add", y, g.op("Trilu", y, np.array(-1), upper=0))), 3)), None


@model(opset=17)
def computed_constants():
    """Weights that a batch normalisation standardises (Qiao et al. 2019), sums of constants, changed constants."""
    g = Builder((2, 5, 6), opset=17)
    rows = g.op("Reshape", g.weight(3, 2, 3, 3), np.array([1, 3, 18]))
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    rows, *_ = g.op("BatchNormalization", rows, ones, zeros, zeros, ones, training_mode=1, outputs=3)
    x = g.op("Conv", "x", g.op("Reshape", rows, np.array([3, 2, 3, 3])))
    ramp = g.op("CumSum", g.op("Softmax", g.weight(3, 4), axis=-1), np.array(0))
    ramp = g.op("ScatterND", ramp, np.array([[1], [2]]), np.zeros((2, 4), np.float32))
    x = g.op("Mul", x, g.op("Div", ramp, g.op("ReduceL2", ramp, axes=[0, 1])))
    return g.proto(g.dense(g.op("Flatten", x), 3)), None


@model(opset=17)
def values_by_their_places():
    g = Builder((3, 4), opset=17)
    steps = g.op("Transpose", g.dense_rows("x", 5), perm=[1, 0, 2])
    chosen = g.op("GatherElements", np.array([[2], [0], [1]]), np.array([[-1], [0]]), axis=0)
    steps = g.op("GatherND", steps, chosen)
    x = g.op("Transpose", g.op("GatherND", steps, np.array([[1], [-2], [0]])), perm=[1, 0, 2])
    return g.proto(g.dense(g.op("Flatten", x), 3)), None


@model(opset=17)
def unit_vectors():
    g = Builder((4, 6), opset=17)
    x = g.op("LpNormalization", g.dense_rows("x", 6), axis=-1)
    x = g.op("Add", g.op("LpNormalization", x, axis=1, p=1), g.op("LpNormalization", x, axis=1, p=2))
    length = g.op("Clip", g.op("ReduceL2", x, axes=[2]), np.float32(1e-12))
    x = g.op("Div", x, g.op("Expand", length, g.op("Shape", x)))
    return g.proto(g.dense(g.op("Flatten", g.op("Div", x, g.op("ReduceL2", x, axes=[1]))), 3)), None


@model(opset=17)
def inverse_roots():
    """Normalisations by one over a root."""
    g = Builder((4, 6), opset=17)
    x = g.dense_rows("x", 6)
    root = g.op("Sqrt", g.op("Add", g.op("ReduceMean", g.op("Pow", x, one(2)), axes=[-1]), one(1e-6)))
    x = g.op("Mul", x, g.op("Div", one(1), root))
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1]))
    root = g.op("Sqrt", g.op("Add", g.op("ReduceMean", g.op("Mul", centred, centred), axes=[-1]), one(1e-3)))
    x = g.op("Mul", g.op("Reciprocal", root), centred)
    return g.proto(g.dense(g.op("Flatten", x), 3)), None


@pytest.mark.parametrize("name", MODELS)
def test_models_do_what_they_did(read, name):
    build, _ = MODELS[name]
    proto, layers = build()
    network = read(proto)
    assert_same(network, proto)
    if layers is not None:
        assert network.bias == any(name.endswith(".bias") for name in network.weights())
        assert [str(one) for one in network.layers[1:]] == [str(one) for one in layers]


@pytest.mark.covering(1)
@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("size", [11, 12, 13, 15, 16])
def test_a_transposed_convolution_may_give_a_size_of_its_own(read, auto_pad, size):
    """Of 14 values: cut off on both sides, and added to behind them alone."""
    g = Builder((2, 5))
    kernel = g.weight(2, 3, 2), g.weight(3)
    proto = g.proto(g.op("ConvTranspose", "x", *kernel, strides=[3], output_shape=[size], auto_pad=auto_pad))
    assert_same(read(proto), proto)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("how", ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"])
def test_the_nearest_value_is_that_of_float32(read, how, rounding):
    """Where places are whole, or halves, but for rounding; and where nothing changes its size."""
    g = Builder((1, 15, 28))
    settings = {"mode": "nearest", "coordinate_transformation_mode": how, "nearest_mode": rounding}
    factors = [(0.6, 1.2), (1.2, 0.3), (1.3, 1.3), (0.7, 2 / 3), (1.05, 1.02), (1.05, 2)]
    resized = [g.op("Resize", "x", "", np.array([1, 1, *pair], np.float32), **settings) for pair in factors]
    sizes = [(2, 31), (18, 1), (15, 20)]
    resized += [g.op("Resize", "x", "", "", np.array(pair), axes=[2, 3], **settings) for pair in sizes]
    x = g.op("Concat", *(g.op("Reshape", one, np.array([0, -1])) for one in resized), axis=1)
    proto = g.proto(g.dense(x, 40))
    assert_same(read(proto), proto)


@pytest.mark.parametrize("seed", range(100))
def test_random_models_do_what_they_did(read, seed):
    proto = random_model(seed)
    for fold in (True, False):
        assert_same(read(proto, fold_batch_norm=fold, learned_norms=not fold), proto)


# --- activation functions of several operators ----------------------------------------------------------------------


WRITTEN = {
    "silu": lambda g, x: g.op("Mul", g.op("Sigmoid", x), x),
    "gelu": lambda g, x: g.op(
        "Mul", g.op("Mul", x, one(0.5)), g.op("Add", g.op("Erf", g.op("Mul", x, one(0.70710677))), one(1))
    ),
    "hard_swish": lambda g, x: g.op(
        "Div", g.op("Mul", x, g.op("Clip", g.op("Add", x, one(3)), one(0), one(6))), one(6)
    ),
    "hard_sigmoid": lambda g, x: g.op("Clip", g.op("Add", g.op("Div", x, one(6)), one(0.5)), one(0), one(1)),
    "softplus": lambda g, x: g.op("Log", g.op("Add", g.op("Exp", x), one(1))),
    "relu6": lambda g, x: g.op("Min", g.op("Relu", x), one(6)),
    "leaky_relu": lambda g, x: g.op("Max", x, g.op("Mul", x, one(0.01))),
    "sigmoid": lambda g, x: g.op("Reciprocal", g.op("Add", g.op("Exp", g.op("Neg", x)), one(1))),
    "tanh": lambda g, x: g.op("Sub", g.op("Mul", g.op("Sigmoid", g.op("Mul", x, one(2))), one(2)), one(1)),
}


CHOOSING = {
    "softplus": lambda g, x: g.op("Where", g.op("Greater", x, one(20)), x, g.op("Softplus", x)),
    "leaky_relu": lambda g, x: g.op("Where", g.op("GreaterOrEqual", x, one(0)), x, g.op("Mul", x, one(0.01))),
    "relu": lambda g, x: g.op("Where", g.op("Less", x, one(0)), one(0), x),
    "relu6": lambda g, x: g.op("Where", g.op("LessOrEqual", x, one(6)), g.op("Relu", x), one(6)),
}
"""Such as PyTorch's exporter writes Softplus."""


@pytest.mark.parametrize(("name", "write"), [*WRITTEN.items(), *CHOOSING.items()])
def test_an_activation_function_is_found_however_it_is_written(read, name, write):
    g = Builder((5,))
    proto = g.proto(g.dense(write(g, g.dense("x", 6)), 3))
    network = read(proto)
    assert [str(one) for one in network.layers[1:]] == [f"dense(6, activation={name!r})", "3"]
    assert_same(network, proto)


def test_what_is_nearly_one_is_not_taken_for_it(read):
    """Gelu by tanh differs from Gelu by 5e-4."""
    g = Builder((5,))
    x = g.dense("x", 6)
    inner = g.op("Add", x, g.op("Mul", g.op("Pow", x, one(3)), one(0.044715)))
    bent = g.op("Add", g.op("Tanh", g.op("Mul", inner, one(np.sqrt(2 / np.pi)))), one(1))
    proto = g.proto(g.dense(g.op("Mul", g.op("Mul", x, one(0.5)), bent), 3))
    network = read(proto)
    assert "gelu" not in str(network.layers)
    assert_same(network, proto)


@pytest.mark.parametrize("threshold", [1e-3, 0.03, 0.2, 3.0])
@pytest.mark.parametrize("below", ["nothing", "softplus"])
def test_a_choice_that_is_nearly_one_is_not_taken_for_it(read, threshold, below):
    """Between two points of a grid it may do anything."""
    g = Builder((5,))
    x = g.dense("x", 6)
    other = g.op("Softplus", x) if below == "softplus" else one(0)
    chosen = g.op("Where", g.op("Greater", x, one(threshold)), x, other)
    with pytest.raises(ValueError, match=r"\(Greater\) is not supported"):
        read(g.proto(g.dense(chosen, 3)))


BOUNDED = {
    "relu": lambda g, x: g.op("Relu", x),
    "softplus": lambda g, x: g.op("Softplus", x),
    "hard_swish": lambda g, x: g.op("Mul", g.op("HardSigmoid", x, alpha=1 / 6), x),
    "leaky_relu": lambda g, x: g.op("Max", g.op("Mul", x, one(0.01)), x),
}


@pytest.mark.covering(1)
@pytest.mark.parametrize("bound", [10, 20, 255])
@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_far_out_is_kept(read, name, bound):
    """Such as relu held at 20: near zero it is relu."""
    g = Builder((5,))
    x = g.op("Mul", g.dense("x", 6), one(200))
    proto = g.proto(g.dense(g.op("Min", BOUNDED[name](g, x), one(bound)), 3))
    assert_same(read(proto), proto)


SETTINGS = {  # of operators whose layers have them at one value only
    "MaxPool": (lambda g: g.op("MaxPool", "x", kernel_shape=[2, 2]), {"dilations": [2, 1]}),
    "BatchNormalization": (lambda g: g.norm("x"), {"spatial": 0}),
    "Relu": (lambda g: g.op("Relu", "x"), {"alpha": 0.5}),
    "Add": (lambda g: g.op("Add", "x", one(1)), {"axis": 1}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_nothing_looks_at_is_refused(read, name):
    build, settings = SETTINGS[name]
    g = Builder((2, 4, 4), opset=12)
    proto = g.proto(g.dense(g.op("Flatten", build(g)), 3))
    node = next(node for node in proto.graph.node if node.op_type == name)
    node.attribute.extend(onnx.helper.make_attribute(*one) for one in settings.items())
    with pytest.raises(ValueError, match=rf"node '.*' \({name}\): .*{next(iter(settings))}.* (not|of those)"):
        read(proto)


def test_every_setting_at_its_default_is_read(read):
    """Written out, as some exporters do."""
    g = Builder((2, 6, 6))
    x = g.op("MaxPool", g.conv("x", 3, 3, auto_pad="NOTSET"), kernel_shape=[2, 2], storage_order=0, ceil_mode=0)
    x = g.op("Flatten", g.op("Resize", x, "", np.array([1, 1, 2, 2], np.float32), cubic_coeff_a=-0.75, antialias=0))
    proto = g.proto(g.op("Gemm", x, g.weight(g.shapes[x][1], 3), alpha=1.0, beta=1.0, transA=0, transB=0))
    assert_same(read(proto), proto)


# --- recurrent layers -----------------------------------------------------------------------------------------------


def cell(kind="LSTM", units=3, shape=(5, 4), places=(), **settings):
    """A model of one cell, with an input of its operator at some places."""
    g = Builder(shape)
    y, _ = g.recurrent("x", units, kind, **settings)
    node = next(node for node in g.nodes if node.op_type == kind)
    for place, values in places:
        node.input.extend([""] * (place + 1 - len(node.input)))
        node.input[place] = g.constant(values)
    return g.proto(g.rows(y)) if y in node.output else g.proto(y)


def test_samples_first_is_another_layout(read):
    """ONNX Runtime does not compute it: the same cell with steps first says what it has to give."""
    proto = cell()
    turned = onnx.ModelProto()
    turned.CopyFrom(proto)
    nodes = turned.graph.node
    first = next(node for node in nodes if node.op_type == "Transpose")
    lstm = next(node for node in nodes if node.op_type == "LSTM")
    lstm.input[0] = first.input[0]
    lstm.attribute.append(onnx.helper.make_attribute("layout", 1))
    behind = nodes[list(nodes).index(lstm) + 1]
    assert behind.op_type == "Transpose"
    behind.attribute[0].CopyFrom(onnx.helper.make_attribute("perm", [0, 1, 2, 3]))
    nodes.remove(first)
    network = read(turned)
    assert [str(one).split("(")[0] for one in network.layers[1:]] == ["recurrent", "output"]
    assert_same(network, proto)


REFUSED = {
    "another activation function": (cell("RNN", activations=["Relu"]), "functions are Relu, not Tanh"),
    "clipped gates": (cell(clip=1.0), "clipped"),
    "coupled gates": (cell(input_forget=1), "coupled"),
    "sequences of several lengths": (cell(places=[(4, np.array([3], np.int32))]), "other lengths than 5"),
    "a first output": (cell(places=[(5, np.ones((1, 1, 3)))]), "output before the first step must be zero"),
    "a first state": (cell(places=[(6, np.ones((1, 1, 3)))]), "state before the first step must be zero"),
    "peephole weights": (cell(places=[(7, np.ones((1, 9)))]), "peephole weights must be zero"),
    "a bias of another shape": (cell(places=[(3, np.ones((1, 7)))]), r"its bias has the shape \(1, 7\)"),
    "weights of another shape": (cell(places=[(2, np.ones((1, 12, 4)))]), r"weights of the shapes .* for 4 features"),
    "weights of other lines": (cell(places=[(1, np.ones((1, 13, 4)))]), r"weights of the shapes .* for 4 features"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_cells_of_other_kinds_are_refused(read, name):
    proto, said = REFUSED[name]
    with pytest.raises(ValueError, match=rf"node '\w+' \(\w+\): .*{said}"):
        read(proto)


def test_a_state_that_is_read_and_steps_before_samples_are_refused(read):
    proto = cell()
    lstm = next(node for node in proto.graph.node if node.op_type == "LSTM")
    lstm.output.append("state")
    proto.graph.output[0].name = "state"
    with pytest.raises(ValueError, match="its last state is read"):
        read(proto)
    proto = cell()
    lstm = next(node for node in proto.graph.node if node.op_type == "LSTM")
    lstm.input[0] = "x"
    with pytest.raises(ValueError, match="batch_first=True"):
        read(proto)


@pytest.mark.runs
def test_a_recurrent_model_learns_on_a_chip(read, tmp_path):
    """Given weights, named weights and those that are written again are the same ones."""
    network = read(cell("GRU", shape=(8, 8)))
    chip = noisysim.Chip(network, "crossbar", oracle=True, seed=1)
    assert {name: array.shape for name, array in chip.weights().items()} == {
        "0.weight": (9, 1, 1, 8), "0.bias": (9,), "1.weight": (9, 3), "1.bias": (9,),
    }  # fmt: skip
    chip = noisysim.Chip(network, "ideal")
    chip.to_onnx(tmp_path / "again.onnx")
    for name, array in networks.load(tmp_path / "again.onnx").weights().items():
        np.testing.assert_array_equal(array, chip.weights()[name])
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 1, 8, 8)).astype(np.float32)
    y = np.tanh(x[:, 0, :, :3]).reshape(60, 24)
    result = noisysim.run(
        (x, y, x, y), layers=network, device="crossbar", learner="bp", optimizer="adam", learning_rate=0.03, epochs=20,
        batch_size=10, loss="mse", seed=1,
    )  # fmt: skip
    assert result.history["train_loss"][-1] < 0.5 * result.history["train_loss"][0]


# --- numbers of classes ---------------------------------------------------------------------------------------------

TOKENS = np.array([[3, 0, 6, 6, 1], [5, 2, 2, 4, 0]], np.float32)


def words(g):
    """Class numbers of the input, as whole numbers."""
    return g.op("Cast", "x", to=onnx.TensorProto.INT64)


def embedded(g):
    y, _ = g.recurrent(g.op("Gather", g.weight(7, 4), words(g)), 3, "GRU")
    return g.dense(g.op("Flatten", g.rows(y)), 2)


def marked(g):
    x = g.op("OneHot", words(g), np.array(7), np.array([0.0, 1.0], np.float32))
    return g.dense(g.op("Flatten", x), 3)


@pytest.mark.parametrize(("build", "first"), [(embedded, ["one_hot(7)", "conv(4, 1, activation='linear')"]),
                                              (marked, ["one_hot(7)"])])  # fmt: skip
def test_classes_are_looked_up(read, tmp_path, build, first):
    g = Builder((5,))
    proto = g.proto(build(g))
    network = read(proto)
    assert [str(one) for one in network.layers[: 1 + len(first)]] == ["5", *first]
    expected = answers(proto, TOKENS)
    chip = noisysim.Chip(network, "ideal")
    np.testing.assert_allclose(chip.predict(TOKENS), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    chip.to_onnx(tmp_path / "again.onnx")
    again = answers(onnx.load(tmp_path / "again.onnx"), TOKENS, "input")
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "build",
    [
        lambda g: g.op("Gather", g.weight(7, 4, 2), words(g)),
        lambda g: g.op("Gather", g.weight(7, 4), words(g), axis=1),
        lambda g: g.op("OneHot", words(g), np.array(7), np.array([0.0, 2.0], np.float32)),
        lambda g: g.op("OneHot", words(g), np.array(7), np.array([0.0, 1.0], np.float32), axis=1),
        lambda g: g.op("Cast", g.op("Relu", "x"), to=onnx.TensorProto.INT64),
    ],
)
def test_other_tables_and_marks_are_refused(read, build):
    g = Builder((5,))
    with pytest.raises(ValueError, match=r"are looked up|last axis are read|float32"):
        read(g.proto(g.dense(g.op("Flatten", g.op("Cast", build(g), to=1)), 2)))


# --- what stays apart -----------------------------------------------------------------------------------------------


def test_what_others_read_does_not_become_part_of_a_layer(read):
    g = Builder((5,))
    x = g.dense("x", 6)
    proto = g.proto(g.op("Add", g.op("Relu", x), g.op("Mul", x, one(2))))
    network = read(proto)
    assert str(network.layers[1]) == "dense1 = dense(6, activation='linear')"
    assert_same(network, proto)


def test_batch_normalisation_is_folded_or_kept(read):
    g = Builder((2, 5, 5))
    statistics = np.zeros(3), g.rng.normal(size=3), g.rng.uniform(0.5, 1.5, 3)
    x = g.op("BatchNormalization", g.conv("x", 3, 3), np.ones(3), *statistics, epsilon=1e-3, momentum=0.8)
    x = g.op("BatchNormalization", g.op("Relu", x), np.ones(3), *statistics)
    proto = g.proto(x)
    folded, kept = read(proto), read(proto, fold_batch_norm=False)
    assert [str(one).split("(")[0] for one in folded.layers[1:]] == ["conv", "affine", "take", "output"]
    kinds = ["conv", "batch_norm", "affine", "take", "output"]
    assert [str(one).split("(")[0] for one in kept.layers[1:]] == kinds
    assert str(kept.layers[2]) == "batch_norm(rate=0.2, epsilon=0.001)"
    np.testing.assert_allclose(kept.weights()["0.running_var"], statistics[2], rtol=1e-6)
    for network in (folded, kept):
        assert_same(network, proto)


def layer_norm(g):
    x = g.op("LayerNormalization", g.dense_rows("x", 4), g.weight(4), g.weight(4), epsilon=0.01)
    return x, (4,)


def instance_norm(g):
    """Read twice behind its gain."""
    x = g.op("InstanceNormalization", g.conv("x", 3, 2), g.weight(3), g.weight(3), epsilon=0.01)
    return g.op("Add", x, g.op("Relu", x)), (3,)


def written_out(g):
    """As older exporters do."""
    centred = g.op("Sub", "x", g.op("ReduceMean", "x", np.array([-1])))
    variance = g.op("ReduceMean", g.op("Mul", centred, centred), np.array([-1]))
    x = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, one(1e-3))))
    return g.op("Add", g.op("Mul", x, g.weight(6)), g.weight(6)), (30,)


@pytest.mark.parametrize("build", [layer_norm, instance_norm, written_out])
def test_gains_of_other_normalisations_are_fixed_or_learn_on(read, build):
    g = Builder((5, 6))
    x, channels = build(g)
    proto = g.proto(g.dense(g.op("Flatten", x), 3))
    fixed, learned = read(proto), read(proto, learned_norms=True)
    assert ("affine" in str(fixed.layers), "learned=True" in str(fixed.layers)) == (True, False)
    assert ("affine" in str(learned.layers), "learned=True" in str(learned.layers)) == (False, True)
    for network in (fixed, learned):
        assert_same(network, proto)
    chip = noisysim.Chip(learned, "pcm", oracle=True, seed=1)
    layer = chip.network.digital.index(True)
    gain = learned.weights()[f"{layer}.weight"]
    assert gain.shape == (*channels, 1, 1, 1)
    chip.program([np.full(shape, 0.25, np.float32) for shape in chip.network.shapes])
    np.testing.assert_array_equal(chip.weights()[f"{layer}.weight"], gain + np.float32(0.25))


def test_a_length_of_one_has_no_gain_to_be_learned(read):
    g = Builder((5, 6))
    proto = g.proto(g.dense(g.op("Flatten", g.op("LpNormalization", "x", axis=-1)), 3))
    network = read(proto, learned_norms=True)
    assert "learned=True" not in str(network.layers)
    assert_same(network, proto)


def test_an_image_that_no_first_layer_sees_is_turned_to_pixels(read):
    """The input's channels are its own, whatever the first layer with weights sees."""
    chip = noisysim.Chip(
        [(6, 1, 8), "take([0, 6, 12, 18, 1, 7, 13, 19], (1, 2, 4))", "conv(3, 1)", "output()"], "ideal"
    )
    x = np.random.default_rng(0).normal(size=(2, 48)).astype(np.float32)
    chosen = x.reshape(2, 6, 8).transpose(0, 2, 1).reshape(2, 48)[:, [0, 6, 12, 18, 1, 7, 13, 19]].reshape(2, 2, 4)
    weight = chip.weights()["0.weight"][:, :, 0, 0]
    found = chip.predict(x).reshape(2, 2, 3)
    expected = chosen @ weight.T
    np.testing.assert_allclose(found, np.where(expected > 0, expected, 0.01 * expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", ["convolution", "dense", "rows"])
@pytest.mark.parametrize("sides", [(4, 5), (2, 3), (3, 3)])
def test_images_with_channels_last_are_those_of_a_task_with_channels_first(read, first, sides):
    """As Keras has them; where either could be meant, channels are first."""
    channels = 2 if sides != (3, 3) else 3
    g = Builder((*sides, channels))
    x = g.op("Transpose", "x", perm=[0, 3, 1, 2])
    if first == "convolution":
        x = g.op("Relu", g.conv(x, 3, 2))
    if first == "rows":
        x = g.dense_rows(g.op("Reshape", "x", np.array([0, sides[0], sides[1] * channels])), 4)
    proto = g.proto(g.dense(g.op("Flatten", x if first != "dense" else "x"), 3))
    images = np.random.default_rng(1).standard_normal((5, channels, *sides)).astype(np.float32)
    given = images if sides == (3, 3) else images.transpose(0, 2, 3, 1)
    network = read(proto).fitted((channels, *sides), 3)
    found = noisysim.Chip(network, "ideal").predict(images.reshape(5, -1))
    np.testing.assert_allclose(found, answers(proto, np.ascontiguousarray(given)), rtol=1e-4, atol=1e-5)
