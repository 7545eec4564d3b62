"""Plain functions that loops are made of: what tells two apart, and the same functions with other globals."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import numbers
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from noisysim.common.source import dependencies, source_of

T = TypeVar("T")
_BYTECODE = importlib.util.MAGIC_NUMBER.hex()
"""What the instructions of this Python mean."""


def fingerprint(function: Callable[..., Any]) -> str:
    """Instructions of a function and of all it calls, and the values of the constants it reads.

    Not its source: the file may have been edited since, and two lambda functions may stand on one line.
    """
    return _BYTECODE + _told(function, lambda one: _instructions(one.__code__), {})


def sources(function: Callable[..., Any]) -> str:
    """Sources of a function and of all it calls, and the values of the constants it reads: the same on every Python."""
    return _told(function, source_of, {})


def cache_by_behaviour(compute: Callable[..., T]) -> Callable[..., T]:
    """Keep what is computed of functions as long as these do the same: a global that they read may have changed since.

    All arguments are positional.
    """
    kept = functools.lru_cache(maxsize=256)(lambda _, arguments: compute(*arguments))

    @functools.wraps(compute)
    def looked_up(*arguments: Any) -> T:
        told = tuple(fingerprint(one) for one in arguments if isinstance(one, types.FunctionType))
        return kept(told, arguments)

    return looked_up


def _told(function: Callable[..., Any], tell: Callable[[Any], str], known: dict[Any, int]) -> str:
    """One function, by what tells of its own statements; of one that is known already, its number."""
    if function in known:
        return f"function {known[function]}"
    known[function] = len(known)
    closed = tuple(cell.cell_contents for cell in function.__closure__ or ())
    further = tuple(sorted((function.__kwdefaults__ or {}).items()))
    parts = [tell(function), _spelled((function.__defaults__, further, closed), tell, known)]
    for name, value in sorted(dependencies(function).items()):
        if not isinstance(value, types.ModuleType):
            parts.append(f"{name}={_spelled(value, tell, known)}")
    return "\n".join(parts)


def _spelled(value: object, tell: Callable[[Any], str], known: dict[Any, int]) -> str:
    """A constant as text that tells any two apart: of an array its bytes, where ``repr`` leaves out the middle."""
    plain = getattr(value, "py_func", value)  # of a function that Numba compiles
    if isinstance(plain, types.FunctionType):  # whose ``repr`` is an address
        return f"({_told(plain, tell, known)}) {getattr(value, 'targetoptions', '')}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, dict):
        return _spelled(("dict", *value.items()), tell, known)
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({', '.join(_spelled(one, tell, known) for one in value)})"
    return repr(value)


@functools.lru_cache(4096)
def _instructions(code: types.CodeType) -> str:
    """What a function does, but for what it finds elsewhere; the same wherever it stands."""
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    form = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    handlers = getattr(code, "co_exceptiontable", b"")  # since Python 3.11
    return f"{code.co_code.hex()} {handlers.hex()} {names} {form} {_literal(code.co_consts)}"


def _literal(value: object) -> str:
    """A constant of a function's own."""
    if isinstance(value, types.CodeType):  # of a function inside it
        return _instructions(value)
    if isinstance(value, tuple | frozenset):
        told = map(_literal, value)  # each process has an order of its own for sets
        return f"{type(value).__name__}({', '.join(sorted(told) if isinstance(value, frozenset) else told)})"
    return repr(value)


def not_one_number(value: object) -> str:
    """What is wrong with a value where a function should return one finite number; "" if nothing is."""
    if isinstance(value, np.ndarray):
        return f"returned an array of shape {value.shape} (np.where gives one: write x if c else y)"
    if not isinstance(value, (numbers.Real, np.bool_)):
        return f"returned {value!r} ({type(value).__name__})"
    return "" if math.isfinite(value) else f"returned {float(value)}"


def rebound(functions: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A module's globals with `values` in them, and with its functions made anew so that they read these.

    Parameters
    ----------
    functions : mapping
        The module's own namespace, ``vars(module)``.
    values : mapping
        Globals to replace, by name.
    """
    space = {**functions, **values}
    for name, value in functions.items():
        if isinstance(value, types.FunctionType) and value.__globals__ is functions and name not in values:
            space[name] = types.FunctionType(
                value.__code__, space, value.__name__, value.__defaults__, value.__closure__
            )
            space[name].__kwdefaults__ = value.__kwdefaults__
    return space
