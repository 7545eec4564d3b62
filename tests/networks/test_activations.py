"""Which activation functions never fall, and that pooling is behind those that may."""

import math
from math import erf

import numpy as np
import pytest

from noisysim import Chip, conv, pool
from noisysim.common.user_files import UserError
from noisysim.compute import algebra, backends
from noisysim.networks import activations
from noisysim.networks.layers import batch_norm

import bell
import naive


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


OWN = pytest.mark.parametrize("kind", activations.ACTIVATIONS.values(), ids=activations.ACTIVATIONS)
FALLING = {"hard_swish", "gelu", "silu"}


@OWN
def test_the_packages_own_are_known_not_to_fall(kind):
    """In double precision, and so far from zero that single precision has no room to differ."""
    assert kind.never_falls == (kind.name not in FALLING)
    values = [float(kind.value(a)) for a in np.linspace(-20, 20, 4001)]
    assert np.all(np.diff(values) >= 0) == kind.never_falls


EVERYWHERE = np.concatenate(
    [np.linspace(-12, 12, 481), *(sign * np.float32([40, 90, 110, 1e4, 1e20, 3e38]) for sign in (-1, 1))]
).astype(np.float32)


@OWN
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
def test_values_and_slopes_at_any_pre_activation(kind, compiled):
    """Those of NumPy in double precision; nothing overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        expected = [
            naive.activate(kind.name, EVERYWHERE.astype(float)),
            naive.slope(kind.name, EVERYWHERE.astype(float)),
        ]
    if compiled:
        found = [algebra.activate(EVERYWHERE[None], kind)[0]]
        found.append(algebra.scale_by_slope(np.ones_like(EVERYWHERE)[None], EVERYWHERE[None], kind)[0])
    else:
        # the logistic function itself is 1 / (1 + inf) there
        with np.errstate(over="ignore" if kind.name == "sigmoid" else "raise", invalid="raise"):
            found = [[function(a) for a in EVERYWHERE] for function in (kind.value, kind.slope)]
    kinks = np.isin(np.abs(EVERYWHERE), np.float32([0, 3, 6]))  # either side's slope is right
    for now, then, where in zip(found, expected, [slice(None), ~kinks], strict=True):
        np.testing.assert_allclose(np.array(now)[where], then[where], rtol=2e-5, atol=1e-6)


@OWN
def test_slopes_are_those_of_finite_differences(kind):
    at = np.linspace(-7.03, 7.03, 140)  # no kink within a step
    step = 1e-2
    changes = np.array([float(kind.value(a + step)) - float(kind.value(a - step)) for a in at]) / (2 * step)
    np.testing.assert_allclose([float(kind.slope(a)) for a in at], changes, atol=5e-5)


def test_a_function_is_tried_once(monkeypatch):
    def of_float32(a):
        return a if type(a) is np.float32 else -a

    kind = activations.Activation("of_float32", of_float32, activations.linear_slope)
    assert kind.never_falls
    monkeypatch.setattr(activations, "_TRIED", None)  # at which it cannot be tried
    assert kind.never_falls
    assert kind._replace(name="again").never_falls


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


# --- compiled ---------------------------------------------------------------------------------------------------------

LIST, TABLE = [0.5, 2.0], {"gain": 0.5}


def double(a):
    return 2 * a


def halve(a):
    return 0.5 * a


def through(inner):
    """A function that calls the one it is given."""

    def outer(a):
        return inner(a) + np.float32(1)

    def outer_slope(a):
        return inner(np.float32(1))

    return activations.Activation("outer", outer, outer_slope)


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_functions_may_call_those_that_they_enclose(backend):
    """And two that differ in nothing but what they enclose are two."""
    place = backends.get(backend)
    for inner, slope in ((double, 2.0), (halve, 0.5)):
        values = np.linspace(-2, 2, 5, dtype=np.float32)[None]
        kind = through(inner)
        np.testing.assert_allclose(place.take(algebra.activate(place.put(values), kind)), slope * values + 1, rtol=1e-6)
        signal = algebra.scale_by_slope(place.put(np.ones_like(values)), place.put(values), kind)
        np.testing.assert_allclose(place.take(signal), np.full_like(values, slope), rtol=1e-6)


def of_list(a):
    return a * LIST[0]


def of_table(a):
    return a * TABLE["gain"]


def forever(a):
    return forever(a - 1) if a > 1000 else a


def at_times_text(a):
    return a if a < 1000 else "large"


UNCOMPILED = {
    "of_list": "global",
    "of_table": "Untyped global name 'TABLE'",
    "forever": "forever calls itself, which",
    "at_times_text": "",
}


@pytest.mark.parametrize("name", UNCOMPILED)
def test_functions_that_cannot_be_compiled_are_named_with_their_place(name):
    """Values, when a chip is read, and slopes, when a signal goes back. (The simulator of a GPU compiles nothing.)"""
    function = globals()[name]
    said = rf"test_activations\.py:\d+: activation 'mine' cannot be compiled: .*{UNCOMPILED[name]}"
    values = np.ones((2, 3), np.float32)
    with pytest.raises(UserError, match=said) as of_value:
        algebra.activate(values, activations.Activation("mine", function, activations.linear_slope))
    with pytest.raises(UserError, match=said) as of_slope:
        algebra.scale_by_slope(values, values, activations.Activation("mine", activations.linear, function))
    assert [len(str(raised.value).splitlines()) for raised in (of_value, of_slope)] == [1, 1]
    kind = activations.Activation("mine", function, activations.linear_slope)
    chip = Chip([3, 4, 2], "crossbar", kind, seed=1)
    with pytest.raises(UserError, match=said):
        chip.forward(np.ones((2, 3), np.float32))
