"""Plain scalar functions, with all that they call, compiled for one target: hooks, activation functions, noise."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Mapping
from typing import Any

from noisysim.common.source import built_in, dependencies

OPTIONS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True, "no_cfunc_wrapper": True,
}  # fmt: skip
"""Of Numba, for the CPU."""


def specialise(
    function: Callable[..., Any],
    jit: Callable[..., Any],
    compiled: dict[Any, Any] | None = None,
    meaning: Mapping[Any, Any] | None = None,
    suffix: str = "",
) -> Any:
    """Compile a plain scalar function, and every plain function it calls, with `jit`.

    `suffix` is added to their names in machine code. `meaning` tells what stands in compiled code for modules and
    built-in functions that functions name.
    """
    compiled = {} if compiled is None else compiled
    if function not in compiled:
        compiled[function] = None  # under way
        # cached code imports the module that these globals name: a user's may not be there then
        space = {**function.__globals__, "__name__": __name__}
        for name, value in dependencies(function).items():
            if isinstance(value, types.FunctionType):
                space[name] = specialise(value, jit, compiled, meaning, suffix)
            elif meaning and isinstance(value, types.ModuleType):
                space[name] = meaning.get(value, value)
        if meaning:
            for name in built_in(function):
                space[name] = meaning.get(getattr(builtins, name), getattr(builtins, name))
        cells = tuple(
            types.CellType(specialise(cell.cell_contents, jit, compiled, meaning, suffix)) if _holds_one(cell) else cell
            for cell in function.__closure__ or ()
        )
        plain = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__, cells)
        plain.__qualname__ = f"{function.__qualname__}{suffix}"
        compiled[function] = jit(plain)
    if compiled[function] is None:
        raise ValueError(f"{function.__name__} calls itself, which cannot be compiled into the loops")
    return compiled[function]


def _holds_one(cell: types.CellType) -> bool:
    """Whether a variable of an enclosing function is a plain function."""
    try:
        return isinstance(cell.cell_contents, types.FunctionType)
    except ValueError:  # not set yet, or not any more
        return False
