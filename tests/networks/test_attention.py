"""Attention: several heads over the rows of an image, against NumPy."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, Drive
from noisysim.compute import losses
from noisysim.compute.observation import Batch
from noisysim.networks.layers import attention, dense, layer_norm, parse, positional, residual

STEPS, FEATURES, OUTPUTS = 5, 6, 3


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def naive(x, weights, heads):
    """Of rows x, (batch, steps, features), the weights of queries, keys, values and output, with biases."""
    q, k, v = (x @ w[:, :-1].T + w[:, -1] for w in weights[:3])
    size = q.shape[-1] // heads
    parts = []
    for h in range(heads):
        here = slice(h * size, (h + 1) * size)
        shares = softmax(q[..., here] @ k[..., here].swapaxes(1, 2) / np.sqrt(size))
        parts.append(shares @ v[..., here])
    return np.concatenate(parts, axis=-1) @ weights[3][:, :-1].T + weights[3][:, -1]


def made(layers, **settings):
    chip = Chip([(1, STEPS, FEATURES), *layers, OUTPUTS], "ideal", seed=1, bias=True, oracle=True, **settings)
    x = np.random.default_rng(0).standard_normal((4, STEPS * FEATURES)).astype(np.float32)
    chip.program([np.full(shape, 0.1, np.float32) for shape in chip.network.shapes])
    return chip, x, [w.astype(float) for w in chip.oracle(None).weights]


@pytest.mark.parametrize(("heads", "units"), [(1, None), (2, None), (3, 12)])
def test_heads_attend_as_defined(heads, units):
    chip, x, weights = made([attention(heads, units)])
    y = naive(x.reshape(4, STEPS, FEATURES).astype(float), weights, heads).reshape(4, -1)
    expected = y @ weights[4][:, :-1].T + weights[4][:, -1]
    np.testing.assert_allclose(chip.forward(x).output, expected, rtol=1e-4, atol=1e-5)
    assert chip.network.shapes[0] == (units or FEATURES, FEATURES + 1)


def test_steps_are_told_apart_by_sines():
    chip, x, weights = made([positional(0.5)])
    t, j = np.arange(STEPS)[:, None], np.arange(FEATURES)
    angle = t / 10_000 ** (j // 2 * 2 / FEATURES)
    added = np.where(j % 2, np.cos(angle), np.sin(angle)).reshape(-1)
    expected = (x + 0.5 * added) @ weights[0][:, :-1].T + weights[0][:, -1]
    np.testing.assert_allclose(chip.forward(x).output, expected, rtol=1e-4, atol=1e-5)


def test_gradients_go_through_an_encoder():
    """A block of Vaswani et al., with its normalisations: finite differences of the loss, three directions."""
    block = [residual([attention(2), layer_norm()], activation="linear"), dense(8, "gelu")]
    chip, x, _ = made([positional(), *block])
    batch = Batch(x, np.eye(OUTPUTS, dtype=np.float32)[[0, 1, 2, 0]], losses.get("cce"))
    gradient = chip.oracle(batch).gradient(chip.passes(batch, [Drive()])[0])
    rng, step = np.random.default_rng(1), 1e-3
    for _ in range(3):
        along = [rng.standard_normal(g.shape).astype(np.float32) for g in gradient]
        loss = []
        for sign in (1, -1):
            chip.program([sign * step * d for d in along])
            loss.append(chip.passes(batch, [Drive()])[0].loss.mean())
            chip.program([-sign * step * d for d in along])
        expected = (loss[0] - loss[1]) / (2 * step)
        found = sum(float((g * d).sum()) for g, d in zip(gradient, along, strict=True))
        assert abs(found - expected) < 0.02 * max(1, abs(expected))


def test_a_small_encoder_learns():
    block = ["residual([attention(2), layer_norm()], activation='linear')", "conv(8, 1)", "average_pool()"]
    result = noisysim.run(
        "digits", layers=["positional(0.3)", *block], device="ideal", learner="bp", epochs=8, seed=1, bias=True,
        learning_rate=5e-3, progress=False,
    )  # fmt: skip
    assert result.history["test_accuracy"][-1] > 0.6


def test_texts_are_read_again_and_what_does_not_fit_says_so():
    for one in (attention(4), attention(2, 8), positional(), positional(0.5)):
        assert parse(repr(one)) == one
    with pytest.raises(ValueError, match="do not divide 6 units"):
        Chip([(1, 5, 6), attention(4), 3], "ideal")
    with pytest.raises(ValueError, match="needs steps below it"):
        Chip([30, attention(2), 3], "ideal")
