"""How functions of the CPU backend are compiled: as ordinary functions of their modules, with the package's own cache.

With ``NUMBA_DISABLE_JIT=1`` all of them are plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

from noisysim.compute.jit import sources
from noisysim.compute.jit.cache import keep
from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Compiled
from noisysim.compute.jit.scalars import OPTIONS, specialise

COMMON: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": True, "fastmath": False,
}  # fmt: skip
"""Options that a function does not state are those of the first function that calls it: its bits would depend on which
that is."""


def loop(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's ``njit``, with what all loops have in common, and with the package's own cache."""
    jit: Any = njit(**{**COMMON, **options})
    kind = "_inner" if options.get("no_cpython_wrapper") else ""  # its machine code cannot stand for the other's
    return lambda function: keep(jit(function), FunctionCache, sources.name_of(function) + kind)


def scalar(function: Callable[..., Any], suffix: str = "") -> Any:
    """A plain function of numbers, and all that it calls, as loops and rows call it (`specialise`)."""
    return specialise(function, njit(**OPTIONS), suffix=suffix)


def inner(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`loop`, for what loops call for the most part: what Python needs to call it is compiled when Python calls it."""
    jit = loop(**options, no_cpython_wrapper=True)

    def compile_inner(function: Callable[..., Any]) -> Any:
        compiled = jit(function)
        return _wrapped_on_demand(compiled, cache(partial(loop(**options), function))) if JIT else compiled

    return compile_inner


def bare(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`inner`, for functions that neither make nor return arrays that own memory: without counting references to them.

    Less than half of the code is left, and of the time that it takes to compile.
    """
    return inner(**options, _nrt=False)


def _wrapped_on_demand(compiled: Compiled, with_wrapper: Callable[[], Any]) -> Any:
    """A compiled function without a wrapper for Python, of which one with it is made at a call from Python.

    Numba would call an address that is not there.
    """
    compiled.add_overload = lambda result: compiled.overloads.__setitem__(tuple(result.signature.args), result)
    compiled._compile_for_args = lambda *arguments, **named: with_wrapper()
    return compiled
