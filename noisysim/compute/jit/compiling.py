"""How functions of the CPU backend are compiled: as ordinary functions of their modules, with the package's own cache.

With ``NUMBA_DISABLE_JIT=1`` all of them are plain Python.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

from noisysim.compute.jit import ahead, sources
from noisysim.compute.jit.cache import keep
from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Compiled
from noisysim.compute.jit.scalars import OPTIONS, specialise

COMMON: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False, "fastmath": False,
}  # fmt: skip
"""Options that a function does not state are those of the first function that calls it: its bits would depend on which
that is. ``_nrt=False``: references to arrays are not counted, which less than half of the code is left of, and of the
time that it takes to compile; a function that makes or returns arrays states ``_nrt=True``."""


def loop(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's ``njit``, with what all loops have in common, and with the package's own cache."""
    jit: Any = njit(**{**COMMON, **options})
    kind = "_inner" if options.get("no_cpython_wrapper") else ""  # its machine code cannot stand for the other's
    return lambda function: keep(jit(function), FunctionCache, sources.name_of(function) + kind, ahead.delivered)


_one_by_one = threading.RLock()
"""Held while functions of numbers are compiled: those that are under way are known to all threads."""


def scalar(function: Callable[..., Any], suffix: str = "", others: dict[Any, Any] | None = None) -> Any:
    """A plain function of numbers, and all that it calls, as loops and rows call it (`specialise`).

    `others` are those that were compiled before, which it may call, and gets the new ones.
    """
    with _one_by_one:
        return specialise(function, _scalar, others, suffix=suffix)


def scalars(*functions: Callable[..., Any]) -> list[Any]:
    """`scalar` of several functions: what more than one of them calls is compiled once."""
    others: dict[Any, Any] = {}
    return [scalar(function, others=others) for function in functions]


def _scalar(function: Callable[..., Any]) -> Any:
    compiled = njit(**{**OPTIONS, "no_cpython_wrapper": True})(function)
    return _wrapped_on_demand(compiled, cache(lambda: njit(**OPTIONS)(function))) if JIT else compiled


def bare(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`loop`, for what loops call for the most part: what Python needs to call it is compiled when Python calls it."""
    jit = loop(**options, no_cpython_wrapper=True)

    def compile_inner(function: Callable[..., Any]) -> Any:
        compiled = jit(function)
        return _wrapped_on_demand(compiled, cache(partial(loop(**options), function))) if JIT else compiled

    return compile_inner


def _wrapped_on_demand(compiled: Compiled, with_wrapper: Callable[[], Any]) -> Any:
    """A compiled function without a wrapper for Python, of which one with it is made at a call from Python.

    Numba would call an address that is not there.
    """
    compiled.add_overload = lambda result: compiled.overloads.__setitem__(tuple(result.signature.args), result)
    compiled._compile_for_args = lambda *arguments, **named: with_wrapper()
    return compiled
