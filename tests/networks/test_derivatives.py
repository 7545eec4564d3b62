"""Derivatives of users' activation functions, found from their source, against differences."""

import functools
import math
from math import erf

import numpy as np
import pytest

import noisysim
from noisysim.common.user_files import UserError
from noisysim.networks import activations
from noisysim.networks.derivatives import derivative

ALPHA, KNEE = np.float32(1.67), 0.3


def knee(x, width):
    y = x * width
    if y > 2:
        y = 2 + 0.1 * (y - 2)
    return y


def swish(a):
    return a / (1 + np.exp(-a))


def gelu(a):
    """Hendrycks and Gimpel 2016."""
    return 0.5 * a * (1 + erf(a / np.sqrt(2)))


def selu(a):
    return 1.05 * (a if a > 0 else ALPHA * np.expm1(a))


def mish(a):
    return a * np.tanh(np.log1p(np.exp(a)))


def hard_tanh(a):
    return max(-1.0, min(1.0, a))


def softplus(a):
    return np.logaddexp(0.0, a)


def series(a):
    total: float = 0.0
    power = a
    for k in range(4):
        total += power / (k + 1)
        power *= -a * KNEE
    return total


def helped(a):
    return knee(a, a + 1.0) + knee(np.abs(a), 3) ** 2.5 - 2**a


def squared(a):
    return a * a


@functools.wraps(squared)
def twice_squared(a):
    return 2 * squared(a)


def powers(a):
    return math.pow(a * a + 1, a) + np.square(a) * np.reciprocal(a * a + 2)


def halved(a):
    x = a
    while x > 1:
        x = x / 2
    return x * x % 3 + x // 4 + round(a)


def trigonometric(a):
    return np.sin(a) * np.cos(2 * a) + np.arctan(-a) - np.arcsinh(a) + np.sinh(a) / math.cosh(a) + math.tan(a / 9)


def positional(a, /):
    inside = a > -1 and a < 1
    return a**3 if inside or a > 5 else 0.1 * a


def rational(a):
    unused = 3.0
    inner = (a + unused) / (a * a + 1.0) if not a < 0 else -a
    return math.sqrt(inner + 1) + float(inner) - np.log(inner + 2) / np.log2(inner + 3)


EVERY = [
    swish, gelu, selu, mish, hard_tanh, softplus, series, helped, powers, halved, trigonometric, rational, positional,
]  # fmt: skip


@pytest.mark.parametrize("function", EVERY, ids=lambda function: function.__name__)
def test_the_derivative_is_that_of_the_function(function):
    slope = derivative(function)
    assert slope.__name__ == f"{function.__name__}_slope"
    for a in np.random.default_rng(0).normal(0, 2, 50):
        step = 1e-6
        difference = (float(function(a + step)) - float(function(a - step))) / (2 * step)
        assert slope(a) == pytest.approx(difference, rel=1e-4, abs=1e-6), a


@pytest.mark.parametrize("built_in", activations.ACTIVATIONS)
def test_it_is_that_of_the_built_in_functions_too(built_in):
    function = activations.get(built_in)
    for a in (-3.5, -0.5, 0.5, 3.5):
        assert derivative(function.value)(a) == pytest.approx(function.slope(np.float32(a)), rel=1e-5)


def test_exponentials_have_room():
    slope = derivative(swish)
    with np.errstate(over="ignore"):
        assert slope(np.float32(-200)) == pytest.approx(0)
        assert slope(np.float32(200)) == pytest.approx(1)


def test_one_function_gives_one_activation():
    first, second = activations.get(mish), activations.get(mish)
    assert first == second
    assert first.name == "mish"
    described = activations.REGISTRY.describe(first)
    assert [name for name, _ in described["identity"]["code"] if name.startswith("mish")] == ["mish", "mish_slope"]


def unknown_function(a):
    return np.sinc(a)


def two_at_once(a):
    x, y = a, 2 * a
    return x + y


def with_an_index(a):
    return [a, 2.0][0]


def with_keywords(a):
    return np.exp(a, dtype=np.float64)


def of_a_method(a):
    return a.item()


def of_either(a):
    return a or 0.5


def with_a_walrus(a):
    return (t := a * a) + t


def by_arrays(a):
    return np.where(a > 0, a, 0)


WRONG = {
    by_arrays: "'np.where.a > 0, a, 0.': write x if c else y",
    of_either: "'a or 0.5'", with_a_walrus: "'.t := ", unknown_function: "'np.sinc.a.'", two_at_once: "'x, y = ",
    with_an_index: r"'\[a, 2.0\]\[0\]'", with_keywords: "'np.exp", of_a_method: "'a.item",
}  # fmt: skip


@pytest.mark.parametrize("function", WRONG, ids=lambda function: function.__name__)
def test_what_has_no_derivative_here_is_named(function):
    line = function.__code__.co_firstlineno + 1
    with pytest.raises(
        UserError, match=f":{line}: no derivative is known of {WRONG[function]}.*_slope beside"
    ) as caught:
        activations.get(function)
    assert "\n" not in str(caught.value)


def test_the_derivative_of_a_function_that_wraps_another_is_its_own():
    assert derivative(twice_squared)(0.25) == 1.0


def test_of_a_file_that_was_edited_since_no_derivative_is_made(tmp_path, monkeypatch):
    """It would be that of another function."""
    path = tmp_path / "own_bend.py"
    path.write_text("def bend(a):\n    return a / (1 + abs(a))\n")
    monkeypatch.syspath_prepend(tmp_path)
    bend = __import__("own_bend").bend
    path.write_text("def bend(a):\n    return a / (9 + abs(a))\n")
    with pytest.raises(UserError, match=r"own_bend\.py:1: the file was edited since bend was loaded, .*bend_slope"):
        activations.get(bend)


def test_without_its_source_a_function_needs_its_derivative_beside_it():
    """As of what is typed at a prompt."""
    space = {}
    exec("def bend(a):\n    return a / (1 + abs(a))\n", space)
    with pytest.raises(UserError, match=r"<string>:1: the source of bend, .* as bend_slope beside bend"):
        activations.get(space["bend"])
    exec("def bend_slope(a):\n    return 1 / (1 + abs(a)) ** 2\n", space)
    assert activations.get(space["bend"]).slope is space["bend_slope"]


def test_a_function_needs_a_name():
    with pytest.raises(UserError, match="give the function a name"):
        activations.get(lambda a: 2 * a)


def test_a_run_learns_with_a_function_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "import numpy as np\n\n\ndef swish(a):\n    return a / (1 + np.exp(-a))\n"
    (tmp_path / "swish.py").write_text(text)
    given = {
        "task": "student-teacher:n_in=6,n_train=64,n_test=8", "layers": [5], "device": "ideal", "learner": "bp",
        "epochs": 2,
    }  # fmt: skip
    of_file = noisysim.run(activation="swish.py", progress=False, **given)
    of_object = noisysim.run(activation=swish, progress=False, **given)
    np.testing.assert_array_equal(of_file.history["train_loss"], of_object.history["train_loss"])
    assert of_file.history["train_loss"][1] < of_file.history["train_loss"][0]
