"""Networks as ONNX models: ONNX Runtime gives what a chip of exact hardware gives."""

import numpy as np
import pytest

import noisysim
from noisysim import networks
from noisysim.networks.activations import ACTIVATIONS

onnx = pytest.importorskip("onnx", reason="ONNX models need the package onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="what they give is asked of ONNX Runtime")

from onnx_graphs import random_model  # noqa: E402  # which imports onnx

ROWS = {
    "a place": ["positional()", "attention(2)", 5, 3],
    "nothing": ["attention(2)", 3],
    "a normalisation": ["layer_norm()", "attention(2)", 3],
    "a sum": ["positional()", "residual(['attention(2)'])", 3],
    "a place, recurrent": ["positional()", "recurrent(4)", 3],
    "a place, dense": ["positional()", 3],
    "a softmax": ["softmax()", "recurrent(4, returns='all')", "attention(2)", 3],
    "an activation": ["activate('tanh')", "attention(2)", "concat(['attention(1)'], ['layer_norm()'])", 3],
    "a convolution": ["conv(3, (2, 1))", 3],
    "a convolution, a place": ["conv(4, 3)", "positional()", "attention(2)", 3],
    "a convolution, a sequence": ["conv(4, 3)", "layer_norm()", "recurrent(4, returns='all')", "attention(2)", 3],
    "a window, a place": ["average_pool(2, 1)", "positional()", "recurrent(3)", 3],
    "a window, attention": ["pool(2)", "attention(1)", 3],
}
"""What an image meets first, whose rows are the steps of a sequence."""
NETWORKS = {
    **{f"rows, {what}": [(1, 6, 4), *layers] for what, layers in ROWS.items()},
    **{f"rows of colours, {what}": [(3, 6, 4), *layers] for what, layers in ROWS.items()},
    "dense": [10, 8, "dense(6, 'tanh')", 3],
    "convolutions": [
        (2, 9, 8), "conv(4, 3, stride=(2, 1), padding=(1, 0, 0, 1))", "batch_norm()", "pool(2)",
        "conv(4, (1, 2), dilation=2, groups=2, activation='gelu')", "pool((2, 1), 1)", 6, 3,
    ],
    "every activation function": [
        5, *(f"dense(5, '{name}')" for name in sorted(ACTIVATIONS)), 3,
    ],
    "branches": [
        (3, 6, 5), "a = conv(4, 3, padding=1)", "residual([conv(4, 3, padding=1)])", "b = pool(2, 1, 1)",
        "c = average_pool(2, 1, 1)(a)", "d = concat()(b, c)", "e = average_pool()", "f = dense(8, 'sigmoid')",
        "multiply()(d, f)", "average_pool(3, 2, (1, 0, 1, 1), True)", 3,
    ],
    "operations": [
        (4, 3, 5), "affine([1, 2, 3, 4], 0.5)", "conv(6, 1)", "group_norm(3)", "layer_norm()",
        "affine(2, [1, 2, 3, 4, 5, 6])", "rms_norm()", "clip(-0.5, 0.7)", "leak(0.3)",
        "activate('silu')", "softmax()", "output()",
    ],
    "values in another order": [
        (2, 2, 3), "a = take([0, 5, -1, 3, 3, 11, 2, 1], (2, 2, 2))", "b = conv(4, 1)",
        "c = take([3, 1, 2, 0, 5, 6, 7, 4], (1, 2, 4))(b)", "matmul(2, 2, 2, 2)(a, c)", "affine(1, 1)", "output()",
    ],
    "recurrent layers": [
        (1, 6, 4), "recurrent(5, 'lstm', 'all')", "affine(2, 0.1)", "recurrent(4, 'gru', 'all')",
        "recurrent(4, 'gru_reset_before', 'all')", "recurrent(3)", 2,
    ],
    "steps of several columns": [
        (2, 6, 4), "conv(3, 3, padding=1)", "recurrent(5, 'gru', 'all')", "conv(2, 1)", "layer_norm()", 3,
    ],
    "learned normalisations": [
        (2, 6, 6), "conv(4, 3)", "batch_norm(learned=True)", "pool(2)", "layer_norm(learned=True)", "conv(3, 1)",
        "group_norm(3, learned=True)", "dense(5, digital=True)", "batch_norm(learned=True)", 3,
    ],
    "units and images": [
        (2, 3, 3), "a = dense(6)", "b = conv(6, 3)(input)", "c = add()(a, b)", "d = concat()(c, a)",
        "e = activate('sigmoid')", "divide()(d, e)", "output()",
    ],
}  # fmt: skip


def assert_same(chip, path, samples=4):
    """Outputs within 1e-4 of the largest."""
    chip.to_onnx(path, overwrite=True)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    x = np.random.default_rng(3).standard_normal((samples, *chip.architecture.input_shape)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"input": x})
    expected = chip.predict(x.reshape(samples, -1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_models_give_what_chips_give(tmp_path, name):
    chip = noisysim.Chip(NETWORKS[name], "ideal", bias=True, seed=2)
    rng = np.random.default_rng(1)
    chip.program([rng.normal(0, 0.1, shape).astype(np.float32) for shape in chip.network.shapes])  # biases too
    chip.calibrate(rng.normal(size=(20, np.prod(chip.architecture.input_shape))))  # statistics of normalisations
    assert_same(chip, tmp_path / "out.onnx")


@pytest.mark.parametrize("seed", range(100, 116))
def test_imported_models_are_written_again(tmp_path, seed):
    onnx.save(random_model(seed), tmp_path / "in.onnx")
    first = networks.load(tmp_path / "in.onnx", fold_batch_norm=bool(seed % 2))
    chip = noisysim.Chip(first, "ideal")
    assert_same(chip, tmp_path / "out.onnx")
    again = noisysim.Chip(networks.load(tmp_path / "out.onnx"), "ideal")
    x = np.random.default_rng(5).standard_normal((3, np.prod(first.input_shape)))
    expected = chip.predict(x)
    np.testing.assert_allclose(again.predict(x), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_learned_normalisations_come_back(tmp_path):
    """As gain and offset of ONNX's operator; fixed ones of an imported model are none of a network's."""
    layers = [(2, 6, 6), "conv(4, 3)", "batch_norm(learned=True)", "pool(2)", 5, "batch_norm(learned=True)", 3]
    chip = noisysim.Chip(layers, "ideal", "relu", seed=2)
    rng = np.random.default_rng(1)
    chip.program([rng.normal(0, 0.1, shape).astype(np.float32) for shape in chip.network.shapes])
    chip.calibrate(rng.normal(size=(20, 72)))
    assert_same(chip, tmp_path / "out.onnx")
    graph = onnx.load(tmp_path / "out.onnx").graph
    assert {array.name for array in graph.initializer} <= {name for node in graph.node for name in node.input}
    operators = [node.op_type for node in graph.node]
    assert operators.count("BatchNormalization") == 2
    assert "Mul" not in operators
    network = networks.load(tmp_path / "out.onnx", fold_batch_norm=False)
    assert sum("learned=True" in str(layer) for layer in network.layers) == 2
    assert network.weights().keys() == chip.weights().keys()
    assert not network.bias
    for name, array in network.weights().items():
        np.testing.assert_allclose(array, chip.weights()[name], rtol=1e-6)
    x = rng.standard_normal((3, 72))
    expected = chip.predict(x)
    np.testing.assert_allclose(noisysim.Chip(network, "ideal").predict(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.runs
def test_decorrelation_is_part_of_the_weights(tmp_path):
    learner = noisysim.learners.get("danp:decorrelation=0.01")
    result = noisysim.run("digits", layers=[16], device="ideal", learner=learner, bias=True, epochs=2)
    chip = result.chip()
    assert np.abs(chip.oracle(None).rotations[1] - np.eye(16)).max() > 0.01
    assert_same(chip, tmp_path / "chip.onnx")
    result.to_onnx(tmp_path / "run.onnx")
    assert (tmp_path / "run.onnx").read_bytes() == (tmp_path / "chip.onnx").read_bytes()


def test_a_chip_without_the_grant_shows_nothing(tmp_path):
    chip = noisysim.Chip([4, 3], "crossbar")
    with pytest.raises(PermissionError, match="oracle=True"):
        chip.to_onnx(tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())
    noisysim.Chip([4, 3], "crossbar", oracle=True).to_onnx(tmp_path / "out.onnx")
    with pytest.raises(FileExistsError):
        noisysim.Chip([4, 3], "ideal").to_onnx(tmp_path / "out.onnx")
    with pytest.raises(ValueError, match="one chip"):
        noisysim.Chip([4, 3], "ideal", chips=2).to_onnx(tmp_path / "two.onnx")


def test_activation_functions_of_ones_own_are_refused(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def half(a):\n    return a * a / 2\n")
    with pytest.raises(ValueError, match="none of ONNX's own"):
        noisysim.Chip([4, 3, 2], "ideal", activation=str(own)).to_onnx(tmp_path / "out.onnx")
