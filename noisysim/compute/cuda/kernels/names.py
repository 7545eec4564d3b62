"""What NumPy's functions of numbers, and Python's ``max`` and ``min``, are in kernels.

Numba compiles for CUDA fewer of them than for the CPU. Scalar functions that name them need not know.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types as typing

from noisysim.compute.cuda.kernels.target import SIMULATED, device, larger, smaller


def _choose(short: Callable, long: Callable) -> Callable:
    """A function of one number, by its width."""
    from numba.extending import overload

    def generic(x: Any) -> Any:
        raise TypeError("compiled into kernels only")

    @overload(generic, target="cuda")
    def typed(x):  # type: ignore[no-untyped-def]  # numba compares names and annotations with those below
        if isinstance(x, typing.Float) and x.bitwidth == 32:
            return lambda x: short(x)
        return lambda x: long(x)

    return generic


def _comparing(built_in: Callable, better: Callable) -> Callable:
    """Python's ``max`` or ``min`` of two or three numbers."""
    from numba.extending import overload

    def generic(*values: Any) -> Any:
        return built_in(*values)

    @overload(generic, target="cuda")
    def typed(*values):  # type: ignore[no-untyped-def]
        if len(values) == 2:
            return lambda *values: better(values[0], values[1])
        return lambda *values: better(better(values[0], values[1]), values[2])

    return generic


def _numpy() -> types.ModuleType:
    """NumPy, with CUDA's functions in the place of those it lacks there."""
    from numba.cuda import libdevice

    @device
    def sign(one: Any, x: Any) -> Any:
        return one if x > 0 else -one if x < 0 else x

    rint, trunc = _choose(libdevice.rintf, libdevice.rint), _choose(libdevice.truncf, libdevice.trunc)
    made = types.ModuleType("numpy_in_kernels")
    vars(made).update(vars(np))
    vars(made).update(
        sqrt=math.sqrt, exp=math.exp, expm1=math.expm1, log1p=math.log1p, power=math.pow,
        exp2=_choose(libdevice.exp2f, libdevice.exp2), cbrt=_choose(libdevice.cbrtf, libdevice.cbrt),
        floor=math.floor, ceil=math.ceil, rint=rint, round=rint, trunc=trunc, fix=trunc,
        abs=abs, absolute=abs, fabs=math.fabs, copysign=math.copysign, isfinite=math.isfinite, isinf=math.isinf,
        sign=_choose(device(lambda x: sign(np.float32(1.0), x)), device(lambda x: sign(1.0, x))),
        reciprocal=_choose(device(lambda x: np.float32(1.0) / x), device(lambda x: 1.0 / x)),
        square=device(lambda x: x * x), negative=device(lambda x: -x), positive=device(lambda x: x),
        add=device(lambda a, b: a + b), subtract=device(lambda a, b: a - b), multiply=device(lambda a, b: a * b),
        mod=device(lambda a, b: a % b), remainder=device(lambda a, b: a % b), fmod=math.fmod,
        where=device(lambda condition, a, b: a if condition else b),
        clip=device(lambda x, low, high: smaller(larger(x, low), high)),
    )  # fmt: skip
    return made


NAMES: dict[Any, Any] = {}
"""Modules and built-in functions that scalar functions name -> what they mean in a kernel."""
if not SIMULATED:
    NAMES.update({np: _numpy(), max: _comparing(max, larger), min: _comparing(min, smaller)})
