"""What a rule or an optimizer remembers, as arrays that a file holds and from which it comes back exactly.

A memory is a dict: of arrays, or of more dicts, lists and tuples of them, NumPy scalars, numbers, texts and None. One
of plain names and arrays is stored under these names. Any other is stored as numbered arrays and ``structure``, a JSON
text (its bytes) that says where each belongs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from noisysim.common.array_types import is_array

STRUCTURE = "structure"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
MOST = 255
"""Characters of a name."""
DEEPEST = 20
"""Containers within each other."""
_AS_TEXT = (bool, int, float, str, type(None))
_CONTAINERS = "a list, tuple or dict of arrays, a number, a text or None"


def copied(value: Any) -> Any:
    """A copy of a memory or of a part of it: containers and arrays are new."""
    if isinstance(value, dict):
        return {name: copied(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(map(copied, value))
    return value.copy() if hasattr(value, "copy") else value


def check(where: str, memory: object) -> None:
    """Refuse what would not come back as it is.

    Parameters
    ----------
    where : str
        What a message calls the memory, such as "state.memory of learner 'twin'".
    memory : dict

    Raises
    ------
    TypeError, ValueError
        With the key.
    """
    if type(memory) is not dict:
        raise TypeError(f"{where} must be a dict, not {_kind(memory)}")
    leaves = list(_leaves(where, memory))
    arrays = [(name, value) for name, value in leaves if is_array(value)]
    for name, value in arrays:
        if not (value.flags.c_contiguous or value.flags.f_contiguous):
            raise ValueError(
                f"{name} is a view of another array, with gaps or turned axes: keep a copy, np.ascontiguousarray(...)"
            )
    for k, (name, value) in enumerate(arrays):
        for other, earlier in arrays[:k]:
            if type(value) is type(earlier) is np.ndarray and np.may_share_memory(value, earlier):
                raise ValueError(f"{name} shares memory with {other}: keep a copy in one of the two")


def _leaves(where: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every value that is no container, with its name; each of a kind that comes back as it is."""
    if depth > DEEPEST:
        raise ValueError(f"{where} holds containers more than {DEEPEST} deep, or itself")
    kind = type(value)
    if kind is dict:
        for name, inner in value.items():
            if type(name) is not str or not 0 < len(name) <= MOST or not name.isprintable():
                raise TypeError(
                    f"{where} has the key {_short(name)}: keys are texts of 1 to {MOST} printable characters, such as "
                    "'traces'"
                )
            yield from _leaves(f"{where}[{name!r}]", inner, depth + 1)
    elif kind in (list, tuple):
        for k, inner in enumerate(value):
            yield from _leaves(f"{where}[{k}]", inner, depth + 1)
    else:
        array = is_array(value) or isinstance(value, np.generic)
        if array and value.dtype.kind not in "biuf":
            raise TypeError(
                f"{where} has the type {value.dtype}: an array holds bool, integers or floats (of complex numbers keep "
                "the real and the imaginary part)"
            )
        if not array and kind not in _AS_TEXT:
            raise TypeError(f"{where} must be an array, or {_CONTAINERS}, not {_kind(value)}")
        yield where, value


def encoded(
    memory: Mapping[str, Any], take: Callable[[Any], np.ndarray], reserved: Iterable[str] = ()
) -> dict[str, Any]:
    """Arrays by name that say all of a memory.

    Parameters
    ----------
    memory : dict
    take : callable
        Gives an array of the run's backend as NumPy's.
    reserved : iterable of str
        Names that the arrays must not have.
    """
    if _is_plain(memory, {STRUCTURE, *reserved}):
        return {name: take(array) for name, array in memory.items()}
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_written(memory, arrays, take))
    return {**arrays, STRUCTURE: np.frombuffer(text.encode(), np.uint8)}


def _is_plain(memory: Mapping[str, Any], reserved: set[str]) -> bool:
    """Whether names and arrays say all."""
    return all(
        PLAIN.fullmatch(name) and name not in reserved and is_array(value) and value.flags.c_contiguous
        for name, value in memory.items()
    )


def _written(value: Any, arrays: dict[str, np.ndarray], take: Callable[[Any], np.ndarray]) -> Any:
    """A part of a memory as JSON says it; its arrays are put among the others."""
    kind = type(value)
    if kind is dict:
        return {"dict": [[name, _written(inner, arrays, take)] for name, inner in value.items()]}
    if kind in (list, tuple):
        return {kind.__name__: [_written(inner, arrays, take) for inner in value]}
    if kind in _AS_TEXT:
        return {"value": value}
    name = f"array{len(arrays)}"
    arrays[name] = array = np.asarray(take(value) if is_array(value) else value)
    entry: dict[str, Any] = {"array" if is_array(value) else "scalar": name}
    if kind is np.ndarray:
        entry["numpy"] = True
    if not array.flags.c_contiguous:
        entry["order"] = "F"
    return entry


def decoded(
    arrays: Mapping[str, np.ndarray], put: Callable[[np.ndarray], Any], present: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The inverse of `encoded`.

    Parameters
    ----------
    arrays : mapping
    put : callable
        Gives a NumPy array as one of the run's backend.
    present : mapping, optional
        The memory as it is before the first update: what is NumPy's in it stays NumPy's.
    """
    if STRUCTURE not in arrays:
        on_host = {name: type(value) is np.ndarray for name, value in (present or {}).items()}
        return {n: np.array(array) if on_host.get(n) else put(np.array(array)) for n, array in arrays.items()}
    try:
        structure = json.loads(bytes(np.asarray(arrays[STRUCTURE], np.uint8)))
        memory: dict[str, Any] = _read(structure, arrays, put)
        return memory
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"the structure of what is remembered cannot be read ({error})") from None


def _read(entry: Mapping[str, Any], arrays: Mapping[str, np.ndarray], put: Callable[[np.ndarray], Any]) -> Any:
    if "dict" in entry:
        return {name: _read(inner, arrays, put) for name, inner in entry["dict"]}
    if "list" in entry:
        return [_read(inner, arrays, put) for inner in entry["list"]]
    if "tuple" in entry:
        return tuple(_read(inner, arrays, put) for inner in entry["tuple"])
    if "scalar" in entry:
        return np.asarray(arrays[entry["scalar"]])[()]
    if "array" in entry:
        array = np.array(arrays[entry["array"]], order=entry.get("order", "C"))
        return array if entry.get("numpy") else put(array)
    return entry["value"]


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
