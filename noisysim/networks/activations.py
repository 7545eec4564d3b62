"""Activation functions of hidden layers, and their derivatives, each of one pre-activation.

Adding one is writing two functions here, ``name`` and ``name_slope``; a user's own are such a pair, or the first alone:
then its derivative is found from its source (`noisysim.networks.derivatives`).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.fields import unknown
from noisysim.common.function_parts import FunctionPairs
from noisysim.common.plain_functions import cache_by_behaviour, not_one_number
from noisysim.common.registry import Registry
from noisysim.common.texts import one_line
from noisysim.networks import derivatives

Scalar = Callable[[Any], Any]
"""A plain function of one number, which is compiled into loops."""
Number = np.float32
"""A pre-activation, and what is made of it."""

_ONE, _ZERO, _SLOPE = np.float32(1.0), np.float32(0.0), np.float32(0.01)
_HALF, _TWO, _THREE, _SIX = np.float32(0.5), np.float32(2.0), np.float32(3.0), np.float32(6.0)
_SIXTH = np.float32(1 / 6)
_ROOT_HALF = np.float32(math.sqrt(0.5))
_PEAK = np.float32(1 / math.sqrt(2 * math.pi))
"""The standard normal density at 0."""
_FAR = np.float32(20.0)
"""Where that density is 0 in float32."""


def leaky_relu(a: Number) -> Any:
    """a where positive, else 0.01 a."""
    return a if a > _ZERO else _SLOPE * a


def leaky_relu_slope(a: Number) -> Any:
    """Derivative of `leaky_relu`."""
    return _ONE if a > _ZERO else _SLOPE


def relu(a: Number) -> Any:
    """a where positive, else 0."""
    return a if a > _ZERO else _ZERO


def relu_slope(a: Number) -> Any:
    """Derivative of `relu`."""
    return _ONE if a > _ZERO else _ZERO


def tanh(a: Number) -> Any:
    """Hyperbolic tangent."""
    return np.tanh(a)


def tanh_slope(a: Number) -> Any:
    """Derivative of `tanh`."""
    t = np.tanh(a)
    return _ONE - t * t


def sigmoid(a: Number) -> Any:
    """Logistic function 1 / (1 + exp(-a))."""
    return _ONE / (_ONE + np.exp(-a))


def sigmoid_slope(a: Number) -> Any:
    """Derivative of `sigmoid`."""
    s = _ONE / (_ONE + np.exp(-a))
    return s * (_ONE - s)


def linear(a: Number) -> Any:
    """a itself."""
    return a


def linear_slope(a: Number) -> Any:
    """Derivative of `linear`: 1."""
    return _ONE


def relu6(a: Number) -> Any:
    """a held between 0 and 6 (Krizhevsky 2010)."""
    return _ZERO if a < _ZERO else (_SIX if a > _SIX else a)


def relu6_slope(a: Number) -> Any:
    """Derivative of `relu6`."""
    return _ONE if _ZERO < a < _SIX else _ZERO


def hard_sigmoid(a: Number) -> Any:
    """(a + 3) / 6 held between 0 and 1 (Howard et al. 2019)."""
    return _ZERO if a < -_THREE else (_ONE if a > _THREE else (a + _THREE) / _SIX)


def hard_sigmoid_slope(a: Number) -> Any:
    """Derivative of `hard_sigmoid`."""
    return _SIXTH if -_THREE < a < _THREE else _ZERO


def hard_swish(a: Number) -> Any:
    """a times `hard_sigmoid` (Howard et al. 2019)."""
    return _ZERO if a < -_THREE else (a if a > _THREE else a * (a + _THREE) * _SIXTH)


def hard_swish_slope(a: Number) -> Any:
    """Derivative of `hard_swish`."""
    return _ZERO if a < -_THREE else (_ONE if a > _THREE else (_TWO * a + _THREE) * _SIXTH)


def gelu(a: Number) -> Any:
    """a times the normal distribution function of a, exactly (Hendrycks & Gimpel 2016)."""
    return _HALF * a * math.erfc(-_ROOT_HALF * a)


def gelu_slope(a: Number) -> Any:
    """Derivative of `gelu`."""
    near = -_FAR if a < -_FAR else (_FAR if a > _FAR else a)
    return _HALF * math.erfc(-_ROOT_HALF * a) + near * _PEAK * np.exp(-_HALF * near * near)


def silu(a: Number) -> Any:
    """a times `sigmoid`, also called swish (Elfwing et al. 2018)."""
    e = np.exp(-abs(a))
    return a / (_ONE + e) if a > _ZERO else a * e / (_ONE + e)


def silu_slope(a: Number) -> Any:
    """Derivative of `silu`."""
    e = np.exp(-abs(a))
    s = _ONE / (_ONE + e) if a > _ZERO else e / (_ONE + e)
    return s + a * (e / ((_ONE + e) * (_ONE + e)))


def softplus(a: Number) -> Any:
    """log(1 + exp(a)) (Dugas et al. 2001)."""
    return (a if a > _ZERO else _ZERO) + math.log1p(np.exp(-abs(a)))


def softplus_slope(a: Number) -> Any:
    """Derivative of `softplus`."""
    e = np.exp(-abs(a))
    return _ONE / (_ONE + e) if a > _ZERO else e / (_ONE + e)


def elu(a: Number) -> Any:
    """a where positive, else exp(a) - 1 (Clevert et al. 2016)."""
    return a if a > _ZERO else math.expm1(a)


def elu_slope(a: Number) -> Any:
    """Derivative of `elu`."""
    return _ONE if a > _ZERO else np.exp(a)


class Activation(NamedTuple):
    """An activation function and its derivative; both are compiled into the loops, for CPU and GPU.

    Attributes
    ----------
    name : str
    value, slope : callable
        Plain functions of one float32 pre-activation, which return one number.
    """

    name: str
    value: Scalar
    slope: Scalar

    @property
    def never_falls(self) -> bool:
        """Whether a larger pre-activation never gives a smaller output, so maxima may be taken before or behind it.

        Known of the package's own that fall nowhere. Any other is tried once, as plain Python, at float32
        pre-activations from -30 to 30 in steps of 0.005 and from -1000 to 1000 in steps of 1. One that falls anywhere
        there, be it in the last bit, that gives NaN, or that cannot be called with all of these, counts as one that
        may fall.
        """
        return _never_falls(self.value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its functions; by the first alone where the second was found from its source."""
        space = vars(sys.modules[self.slope.__module__])
        if space.get(self.slope.__name__) is not self.slope:
            return get, (self.value,)
        return Activation, tuple(self)


_RISING = frozenset((leaky_relu, relu, tanh, sigmoid, linear, relu6, hard_sigmoid, softplus, elu))
"""Functions that fall nowhere, whatever the rounding of their last bit."""
_TRIED = np.unique(np.concatenate([np.linspace(-30, 30, 12001), np.linspace(-1000, 1000, 2001)]).astype(np.float32))
"""Pre-activations at which any other function is tried."""


@cache_by_behaviour
def _never_falls(value: Scalar) -> bool:
    if value in _RISING:
        return True
    try:
        with np.errstate(all="ignore"):
            return all(low <= high for low, high in itertools.pairwise(map(value, _TRIED)))  # of NaN neither holds
    except Exception:  # such as math.exp of 1000: nothing is known, and the stated order is always right
        return False


def _fault(activation: Activation) -> str:
    """What is wrong with a user's activation function, tried as plain Python at a few values."""
    for what, function in (("value", activation.value), ("slope", activation.slope)):
        for a in (-3.0, -0.5, 0.0, 0.5, 3.0):
            try:
                with np.errstate(all="ignore"):
                    returned = function(np.float32(a))
            except Exception as error:
                return f"the {what} raised {type(error).__name__} at {a:g}: {one_line(error)}"
            if fault := not_one_number(returned):
                return f"the {what} at {a:g} must be one finite number, but {fault}"
    return ""


_FORM: FunctionPairs[Activation] = FunctionPairs(
    "activation",
    Activation,
    "_slope",
    1,
    "function NAME, alone or with NAME_slope",
    "swish(a), a function of one pre-activation, perhaps with its derivative swish_slope(a)",
    _fault,
    derivatives.derivative,
)
ACTIVATIONS: dict[str, Activation] = _FORM.defined(sys.modules[__name__])
"""The package's own activation functions by name: every function of this module that has a slope."""
REGISTRY: Registry[Activation, Activation] = Registry("activation", _FORM, ACTIVATIONS, __name__)


def names() -> list[str]:
    """Names of the activation functions there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: Any) -> Activation:
    """An activation function: a name, the path of a file that defines one, or an `Activation`."""
    return REGISTRY.get(spec)


def foreign(kinds: Iterable[Activation]) -> list[dict[str, Any]]:
    """What `get` takes again of those that are not the package's own, each once."""
    described = map(REGISTRY.describe, dict.fromkeys(kinds))
    return [one for one in described if len(one) > 1]


def check_name(value: Any) -> None:
    """Refuse what a layer cannot name as its activation function: all but names and paths of files."""
    if not isinstance(value, str):
        raise unknown("activation", value, ACTIVATIONS)
    get(value)
