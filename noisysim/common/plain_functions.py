"""Plain functions that loops are made of: what tells two apart, and the same functions with other globals."""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib.util
import math
import numbers
import sys
import types
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from noisysim.common.source import attributes_of, dependencies, source_of

T = TypeVar("T")
_BYTECODE = importlib.util.MAGIC_NUMBER.hex()
"""What the instructions of this Python mean."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, range, slice, type(...))
_PROCESS = uuid.uuid4().hex
_STRANGERS: dict[int, object] = {}
"""Things of which nothing can be told, by their numbers."""


def fingerprint(function: Callable[..., Any]) -> str:
    """Instructions of a function and of all it calls, and the values of the constants it reads.

    Not its source: the file may have been edited since, and two lambda functions may stand on one line. Of other
    packages that are installed, what they call is told by its name and their version.
    """
    return _BYTECODE + _told(function, _Spelling(lambda one: _instructions(one.__code__), function.__module__))


def sources(function: Callable[..., Any]) -> str:
    """Sources of a function and of all it calls, and the values of the constants it reads: the same on every Python."""
    return _told(function, _Spelling(source_of, function.__module__))


def cache_by_behaviour(compute: Callable[..., T]) -> Callable[..., T]:
    """Keep what is computed of functions as long as these do the same: a global that they read may have changed since.

    All arguments are positional; such as are equal and of two types, as devices may be, are two.
    """
    kept = functools.lru_cache(maxsize=256, typed=True)(lambda _, *arguments: compute(*arguments))

    @functools.wraps(compute)
    def looked_up(*arguments: Any) -> T:
        told = tuple(fingerprint(one) for one in arguments if isinstance(one, types.FunctionType))
        return kept(told, *arguments)

    return looked_up


def _told(function: Callable[..., Any], spelling: _Spelling) -> str:
    """One function; of one that is known already, its number."""
    if function in spelling.known:
        return f"function {spelling.known[function]}"
    spelling.known[function] = len(spelling.known)
    further = sorted((function.__kwdefaults__ or {}).items())
    given = function.__defaults__, further, [*map(_content, function.__closure__ or ())]
    parts = [spelling.tell(function), spelling.of(given)]
    for name, value in sorted(dependencies(function).items()):
        if isinstance(value, types.ModuleType):
            value = _read_of(value, attributes_of(function), spelling)
        parts.append(f"{name}={spelling.of(value)}")
    return "\n".join(parts)


def _read_of(module: types.ModuleType, names: Sequence[str], spelling: _Spelling) -> dict[str, Any]:
    """What a function may read of a module, and of modules in it, by these names."""
    found: dict[str, Any] = {}
    pending = [module]
    while pending:
        one = pending.pop()
        if spelling.is_settled(one.__name__):
            found[one.__name__] = _version(one.__name__)
            continue
        read = {f"{one.__name__}.{name}": getattr(one, name) for name in names if hasattr(one, name)}
        pending += [v for k, v in read.items() if isinstance(v, types.ModuleType) and k not in found]
        found |= read
    return {name: value for name, value in found.items() if not isinstance(value, types.ModuleType)}


def _content(cell: types.CellType) -> Any:
    """What a function has closed over; of what is not set yet, nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _top(module: str | None) -> str:
    """The package that a module is of."""
    return str(module).partition(".")[0]


def _version(module: str | None) -> str:
    """That of a package, as far as it says one."""
    return str(getattr(sys.modules.get(_top(module)), "__version__", ""))


def _is_found_by_name(function: types.FunctionType) -> bool:
    """Whether its module has it under its name: not one of several that another function has made."""
    return getattr(sys.modules.get(function.__module__), function.__qualname__, None) is function


@functools.cache
def _is_installed(top: str) -> bool:
    """Whether a package is of Python or was installed, and changes with its version alone; not this one."""
    if top == "noisysim":
        return False
    place = getattr(sys.modules.get(top), "__file__", None) or ""
    return top in sys.stdlib_module_names or not {"site-packages", "dist-packages"}.isdisjoint(Path(place).parts)


class _Spelling:
    """Constants as texts that tell any two apart.

    Parameters
    ----------
    tell : callable
        Tells of a function's own statements.
    home : str or None
        The module of the function that all are told for: its package is followed, installed or not.

    Attributes
    ----------
    tell : callable
    known : dict
        Functions that were told, by their numbers.
    """

    def __init__(self, tell: Callable[[Any], str], home: str | None):
        self.tell, self._home = tell, _top(home)
        self.known: dict[Any, int] = {}

    def is_settled(self, module: str | None) -> bool:
        """Whether what stands in a module stays as it is: it is of another package, which is installed."""
        top = _top(module)
        return top != self._home and _is_installed(top)

    def of(self, value: object) -> str:
        """One value: of an array its bytes, where ``repr`` leaves out the middle; what is compiled, by its function."""
        if isinstance(value, types.FunctionType):  # whose ``repr`` is an address
            if self.is_settled(value.__module__) and _is_found_by_name(value):
                return f"{value.__module__}.{value.__qualname__} {_version(value.__module__)}"
            return f"({_told(value, self)})"
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
        if isinstance(value, tuple | list | dict | set | frozenset):
            return self._of_several(value)
        if isinstance(value, enum.Enum):
            return f"{type(value).__qualname__}.{value.name} {self.of(value.value)}"
        if isinstance(value, _PLAIN) or (isinstance(value, np.ufunc) and getattr(np, value.__name__, None) is value):
            return repr(value)
        if type(value).__module__.partition(".")[0] == "numba":
            return self._of_compiled(value)
        home = getattr(value, "__module__", None)
        if isinstance(value, type) and not self.is_settled(home):
            return self._of_class(value)
        if self.is_settled(home):
            name = getattr(value, "__qualname__", None)
            text = repr(value) if name is None else f"{home}.{name} {_version(home)}"
            if " at 0x" not in text:
                return text
        return _stranger(value)

    def _of_several(self, value: Collection[object]) -> str:
        if isinstance(value, dict):
            return f"dict{self._of_several([*value.items()])}"
        told = [self.of(one) for one in value]
        if isinstance(value, set | frozenset):  # each process has an order of its own
            told.sort()
        return f"{type(value).__name__}{getattr(value, '_fields', '')}({', '.join(told)})"

    def _of_class(self, cls: type) -> str:
        """A class by its constants: fields and defaults of a named tuple, members of an enumeration."""
        told = (*_PLAIN, tuple, dict, enum.Enum)
        constants = {k: v for k, v in vars(cls).items() if k[:2] != "__" and isinstance(v, told)}
        return f"{cls.__module__}.{cls.__qualname__} {self._of_several(constants)}"

    def _of_compiled(self, value: object) -> str:
        """What Numba compiles when it is called: its function, with the options; else it may be anything."""
        plain = getattr(value, "py_func", None)
        if not isinstance(plain, types.FunctionType) or not getattr(value, "_can_compile", False):
            return _stranger(value)
        return f"{_told(plain, self)} {self.of(getattr(value, 'targetoptions', None))}"


def _stranger(value: object) -> str:
    """Something of which nothing can be told but that it is no other thing of this process."""
    _STRANGERS.setdefault(id(value), value)  # for good: another could get its place in memory, and its number
    return f"{_PROCESS} {id(value)}"


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
