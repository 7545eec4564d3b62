"""How the loops of the CPU backend are compiled.

A `loop` is what Python calls, `inner` is what loops alone call: what Python needs to call a function would be a fifth
of all compilation. Without it a call from Python ends the process.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

from noisysim.compute.jit import cache
from noisysim.compute.rules.marks import OPTIONS

COMMON: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def loop(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's ``njit``, with what all loops have in common, and with the package's own cache."""
    jit: Any = njit(**COMMON, **options)
    return lambda function: cache.keep(jit(function), FunctionCache)


inner = partial(loop, no_cpython_wrapper=True)


def rule(function: Callable[..., Any]) -> Any:
    """A scalar rule (`noisysim.compute.rules`) as loops call it, with the options that it is marked with."""
    return inner(**getattr(function, OPTIONS, {}))(function)
