"""Weights by name: those of the plain network that does what the chip does."""

import numpy as np
import pytest

from noisysim import Chip, batch_norm, conv, pool
from noisysim.compute.layered import layered
from noisysim.networks import named_weights
from noisysim.networks.building import architecture

IMAGES = [(2, 6, 7), conv(3, 3, padding=1), batch_norm(), pool(2), 5, 4]
RNG = np.random.default_rng(5)


def leaky_relu(a):
    return np.where(a > 0, a, 0.01 * a)


def plain_network(x, w):
    """`IMAGES`, as any other software would compute it from the named arrays: images (n, channels, height, width)."""
    padded = np.pad(x.reshape(-1, 2, 6, 7), ((0, 0), (0, 0), (1, 1), (1, 1)))
    a = np.zeros((len(x), 3, 6, 7))
    for i, j in np.ndindex(6, 7):
        a[:, :, i, j] = np.einsum("ncyx,ocyx->no", padded[:, :, i : i + 3, j : j + 3], w["0.weight"]) + w["0.bias"]
    mean, variance = (w[f"0.running_{name}"][:, None, None] for name in ("mean", "var"))
    a = leaky_relu((a - mean) / np.sqrt(variance + 1e-5))
    pooled = np.zeros((len(x), 3, 3, 3))
    for i, j in np.ndindex(3, 3):
        pooled[:, :, i, j] = a[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(2, 3))
    h = leaky_relu(pooled.reshape(len(x), -1) @ w["1.weight"].T + w["1.bias"])
    return h @ w["2.weight"].T + w["2.bias"]


def moved(chip, x):
    """The chip after some learning: its biases are not zero, its inputs are decorrelated, its statistics have moved."""
    observation = chip.forward(x)
    for _ in range(5):
        chip.decorrelate(observation.inputs, 1e-2)
        observation = chip.forward(x)
    chip.track(observation.activities)
    chip.program([RNG.normal(0, 0.1, shape).astype(np.float32) for shape in chip.network.shapes])


@pytest.mark.parametrize("decorrelate", [False, True])
def test_a_plain_network_with_the_named_weights_does_what_the_chip_does(decorrelate):
    chip = Chip(IMAGES, "ideal", bias=True, seed=1, decorrelate=decorrelate)
    x = RNG.normal(size=(8, 84)).astype(np.float32)
    chip.calibrate(x)
    if decorrelate:
        moved(chip, x)
    w = chip.weights()
    np.testing.assert_allclose(plain_network(x, w), chip.forward(x).output, atol=1e-5)


def test_the_array_of_a_layer_follows_from_its_named_weight():
    chip = Chip(IMAGES, "ideal", bias=True, seed=1)
    net, w = chip.architecture, chip.weights()
    for layer, matrix in enumerate(chip.oracle(None).weights):
        weight, bias = w[f"{layer}.weight"], w[f"{layer}.bias"]
        assert weight.shape == named_weights.weight_shape(net, layer)
        lines = named_weights.by_pixel(net, layer, weight)
        np.testing.assert_array_equal(np.column_stack([lines, bias]), matrix)


def test_inputs_without_a_convolution_keep_their_order():
    net = architecture([(2, 3, 2), 4])
    matrix = np.arange(48, dtype=np.float32).reshape(4, 12)
    np.testing.assert_array_equal(named_weights.as_named(net, [matrix])["0.weight"], matrix)


def test_several_chips_have_an_axis_of_their_own():
    chips = Chip([6, 5, 3], "pcm", seed=2, chips=2, bias=True, decorrelate=True, oracle=True)
    oracle = chips.oracle(None)
    for name, array in chips.weights().items():
        layer, kind = name.split(".")
        both = oracle.weights[int(layer)].reshape(2, -1, oracle.weights[int(layer)].shape[1])
        np.testing.assert_array_equal(array, both[..., :-1] if kind == "weight" else both[..., -1])
    assert not (chips.weights()["0.weight"][0] == chips.weights()["0.weight"][1]).all()


def test_weights_are_those_of_now_and_reading_them_changes_nothing():
    chip = Chip([6, 5, 3], "pcm", seed=2, oracle=True)
    x = RNG.normal(size=(4, 6)).astype(np.float32)
    chip.forward(x)
    before = chip.weights()["0.weight"]
    chip.wait(1e6)
    now = chip.weights()["0.weight"]
    assert np.abs(now).mean() < 0.9 * np.abs(before).mean()  # drift
    twin = Chip([6, 5, 3], "pcm", seed=2)
    twin.forward(x)
    twin.wait(1e6)
    np.testing.assert_array_equal(twin.forward(x).output, chip.forward(x).output)


def test_weights_need_a_grant():
    chip = Chip([6, 5, 3], "pcm", seed=2)
    with pytest.raises(PermissionError, match="'pcm' does not show its weights: ask for them by name with oracle=True"):
        chip.weights()


@pytest.mark.gpu
def test_weights_of_a_chip_on_a_gpu_are_those_of_the_cpu():
    def learnt(backend):
        chip = Chip([6, 5, 3], "ideal", seed=2, bias=True, decorrelate=True, backend=backend)
        changes = layered([np.full(shape, 0.25, np.float32) for shape in chip.network.shapes])
        chip.program([chip._hidden.backend.put(change) for change in changes])
        return chip.weights()

    for (name, on_cpu), on_gpu in zip(learnt("cpu").items(), learnt("cuda").values(), strict=True):
        assert type(on_gpu) is np.ndarray, name
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-6)
