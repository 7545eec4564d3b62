"""Models whose tensors have other types than a network's: computed as the model does, or refused."""

from functools import partial

import numpy as np
import pytest

import noisysim

onnx = pytest.importorskip("onnx", reason="models from elsewhere need the package onnx")
pytest.importorskip("onnxruntime", reason="what they have to give is asked of ONNX Runtime")

from onnx_graphs import Builder, answers, read_from  # noqa: E402  # which imports onnx

FLOAT, UINT8, INT8, INT32, INT64, BOOL, HALF, DOUBLE = 1, 2, 3, 6, 7, 9, 10, 11
NUMBERS = np.array([[3, 0, 5, 2], [1, 4, 4, 0]])


def ended(g, x):
    return g.proto(g.dense(g.op("Flatten", x), 3))


def floats(g, x="x"):
    return g.op("Cast", x, to=FLOAT)


def cut(g, x="x", to=INT64):
    return g.op("Cast", x, to=to)


@pytest.fixture
def read(tmp_path):
    """The network of a model, by a file."""
    return partial(read_from, tmp_path / "model.onnx")


ALIKE = {
    "numbers of classes": (np.float32, lambda g: g.op("Gather", g.weight(7, 3), cut(g))),
    "some of them": (
        np.float32,
        lambda g: g.op("Gather", g.weight(7, 3), cut(g, g.op("Slice", "x", *np.array([[0], [2], [1]])), INT32)),
    ),
    "classes from the second on": (
        np.float32, lambda g: g.op("Gather", g.weight(7, 3), g.op("Add", cut(g), np.array(1)))
    ),
    "ones of whole numbers": (
        np.float32, lambda g: floats(g, g.op("OneHot", cut(g), np.array(7), np.array([0, 1])))
    ),
    "there and back": (np.int64, lambda g: g.op("Gather", g.weight(7, 3), cut(g, floats(g)))),
    "whole numbers of 64 bits": (np.int64, lambda g: g.op("Gather", g.weight(7, 3), "x")),
    "bytes": (np.uint8, lambda g: g.op("Div", floats(g), np.float32(255))),
    "bytes, then wider": (np.uint8, lambda g: floats(g, g.op("Sub", cut(g), np.array(3)))),
    "double precision": (np.float64, lambda g: floats(g, g.op("Add", "x", "x"))),
    "double precision and back": (np.float32, lambda g: floats(g, g.op("Tanh", cut(g, to=DOUBLE)))),
    "half precision and back": (np.float32, lambda g: floats(g, cut(g, to=HALF))),
    "the largest": (np.int32, lambda g: floats(g, g.op("Max", "x", np.array([2], np.int32)))),
    "dropout at rate 0": (np.float32, lambda g: g.op("Dropout", "x", np.float32(0), np.array(True))),
    "dropout when used": (np.float32, lambda g: g.op("Dropout", "x", np.float32(0.5), np.array(False))),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIKE)
def test_types_that_change_nothing_are_read(read, name):
    kind, build = ALIKE[name]
    g = Builder((4,), dtype=kind)
    proto = ended(g, build(g))
    expected = answers(proto, NUMBERS.astype(kind))
    found = noisysim.Chip(read(proto), "ideal").predict(NUMBERS.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


REFUSED = {
    "cut and back": (np.float32, lambda g: floats(g, cut(g)), "'cast_1' (Cast) makes floats of numbers that were cut"),
    "cut, sorted and back": (
        np.float32, lambda g: floats(g, g.op("Transpose", g.op("Mul", cut(g), np.array(2)))), "'cast_3' (Cast) makes fl"
    ),
    "bounded, then looked up": (
        np.float32, lambda g: g.op("Gather", g.weight(7, 3), cut(g, g.op("Clip", "x", np.float32(0.5)))), "int64 of fl"
    ),
    "joined, then looked up": (
        np.float32,
        lambda g: g.op("Gather", g.weight(7, 3), cut(g, g.op("Concat", "x", np.float32([[0.5]]), axis=1))),
        "int64 of fl",
    ),
    "cut inside": (
        np.float32, lambda g: floats(g, cut(g, g.op("Tanh", "x"))), "'cast_1' (Cast) makes int64 of float32"
    ),
    "scaled, then looked up": (
        np.int64, lambda g: g.op("Gather", g.weight(7, 3), cut(g, g.op("Div", floats(g), np.float32(2)))), "int64 of fl"
    ),
    "cut to bytes": (np.float32, lambda g: floats(g, cut(g, to=UINT8)), "'cast_0' (Cast) makes uint8 of float32"),
    "whether it is 0": (np.float32, lambda g: floats(g, cut(g, to=BOOL)), "'cast_0' (Cast) makes bool of float32"),
    "whether a number is 0": (np.int64, lambda g: floats(g, cut(g, to=BOOL)), "'cast_0' (Cast) makes bool of int64"),
    "narrower": (np.int64, lambda g: floats(g, cut(g, to=INT8)), "'cast_0' (Cast) makes int8 of int64"),
    "a quotient": (
        np.int64, lambda g: g.op("Gather", g.weight(7, 3), g.op("Div", "x", np.array(2))), "'div_0' (Div) computes with"
    ),
    "a mean": (
        np.int32, lambda g: floats(g, g.op("ReduceMean", "x", np.array([1]))), "(ReduceMean) computes with int32"
    ),
    "a sum of bytes": (
        np.uint8, lambda g: floats(g, g.op("Add", "x", np.array([250], np.uint8))), "(Add) computes with uint8"
    ),
    "a function of whole numbers": (
        np.int64,
        lambda g: floats(g, g.op("Clip", g.op("Div", g.op("Add", "x", *np.array([3])), *np.array([6])), *np.arange(2))),
        "(Div) computes with int64",
    ),
    "dropout while used": (
        np.float32, lambda g: g.op("Dropout", "x", np.float32(0.5), np.array(True)), "'dropout_0' (Dropout): it drops"
    ),
    "dropout at its usual rate": (np.float32, lambda g: g.op("Dropout", "x", "", np.array(True)), "model.eval()"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_types_that_change_results_are_refused(read, name):
    """What ONNX Runtime gives differs from the same operators with floats: were it the same, this could be read."""
    kind, build, said = REFUSED[name]
    g = Builder((4,), dtype=kind)
    with pytest.raises(ValueError, match="node '") as refused:
        read(ended(g, build(g)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_type_that_is_not_there_is_refused(read):
    g = Builder((4,))
    proto = ended(g, floats(g))
    next(node for node in proto.graph.node if node.op_type == "Cast").attribute[0].i = 99
    with pytest.raises(ValueError, match=r"'cast_0' \(Cast\): numbers of its type \(99\) are not read"):
        read(proto)
