"""Which activation functions never fall, and that pooling is behind those that may."""

import math
from math import erf

import numpy as np
import pytest

from noisysim import Chip, conv, pool
from noisysim.networks import activations
from noisysim.networks.layers import batch_norm

import bell


def gelu(a):
    return 0.5 * a * (1 + erf(a / np.sqrt(2)))


def silu(a):
    return a / (1 + np.exp(-a))


def mish(a):
    return a * np.tanh(np.log1p(np.exp(a)))


def sine(a):
    return np.sin(a)


def fast_sine(a):
    return np.sin(400 * np.pi * a)  # a whole number of periods in a step of the grid


def negative(a):
    return -a


def last_bit(a):
    return np.float32(1) if a < 2 else np.nextafter(np.float32(1), np.float32(0))


def far(a):
    return min(max(a, -1.0), 1.0) if a < 500 else np.float32(0.5)


def no_number(a):
    return np.exp(a) / (1 + np.exp(a))  # at 1000 infinite over infinite


def overflows(a):
    return 1 / (1 + math.exp(-a))  # raises at -1000


def leaky(a):
    return max(a, np.float32(0.2) * a)


def hard_tanh(a):
    return max(-1.0, min(1.0, a))


def steps(a):
    return np.floor(4 * a) / 4


def cubic(a):
    return a * a * a


@pytest.mark.parametrize(
    "function", [gelu, silu, mish, sine, fast_sine, negative, bell.bell, last_bit, far, no_number, overflows]
)
def test_functions_that_may_fall(function):
    assert not activations.get(function).never_falls


@pytest.mark.parametrize("function", [leaky, hard_tanh, steps, cubic])
def test_functions_that_never_fall(function):
    assert activations.get(function).never_falls


@pytest.mark.parametrize("kind", activations.ACTIVATIONS.values(), ids=activations.ACTIVATIONS)
def test_the_packages_own_are_known_not_to_fall(kind):
    """In double precision, and so far from zero that single precision has no room to differ."""
    assert kind.never_falls
    values = [float(kind.value(a)) for a in np.linspace(-20, 20, 4001)]
    assert np.all(np.diff(values) >= 0)


def test_a_function_is_tried_once():
    calls = []

    def counted(a):
        calls.append(a)
        return a

    kind = activations.Activation("counted", counted, activations.linear_slope)
    assert kind.never_falls
    count = len(calls)
    assert {type(a) for a in calls} == {np.float32}
    assert kind.never_falls
    assert kind._replace(name="again").never_falls
    assert len(calls) == count


@pytest.mark.parametrize("normed", [[], [batch_norm()]], ids=["plain", "normed"])
def test_pooling_takes_the_largest_outputs(normed):
    """Of a window whose largest line gives the smallest output, another line goes on."""
    x = np.random.default_rng(0).standard_normal((6, 36)).astype(np.float32)
    chip = Chip([(1, 6, 6), conv(2, 1), *normed, pool(2), 3], "ideal", bell.bell, seed=1)
    observation = chip.forward(x)
    lines = observation.activities[0]
    if normed:
        shift, scale = observation.norms[0]
        assert (scale > 0).all()
        lines = (lines - shift) * scale
    windows = lines.reshape(6, 3, 2, 3, 2, 2)
    largest = np.exp(-(windows**2)).max(axis=(2, 4)).reshape(6, -1)
    assert not np.allclose(largest, np.exp(-(windows.max(axis=(2, 4)) ** 2)).reshape(6, -1), atol=0.1)
    np.testing.assert_allclose(observation.inputs[1], largest, rtol=1e-5, atol=1e-6)
