"""Plain functions that loops are made of: what tells two apart, and the same functions with other globals."""

from __future__ import annotations

import hashlib
import math
import numbers
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from noisysim.common.source import dependencies, source_of


def _spelled(value: object) -> str:
    """A constant as text that tells any two apart: of an array its bytes, where ``repr`` leaves out the middle."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, tuple):
        return f"{type(value).__name__}({', '.join(map(_spelled, value))})"
    return repr(value)


def fingerprint(function: Callable[..., Any], seen: set[Any] | None = None) -> str:
    """Source of a function and of all it calls, and the values of the constants it reads."""
    seen = set() if seen is None else seen
    if function in seen:
        return ""
    seen.add(function)
    closed = tuple(cell.cell_contents for cell in function.__closure__ or ())
    parts = [source_of(function), repr((function.__defaults__, function.__kwdefaults__))]
    parts.append(_spelled(closed))
    for name, value in sorted(dependencies(function).items()):
        if isinstance(value, types.FunctionType):
            parts.append(f"{name}:{fingerprint(value, seen)}")
        elif not isinstance(value, types.ModuleType):
            parts.append(f"{name}={_spelled(value)}")
    return "\n".join(parts)


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
