"""What a part of a run is, if a user wrote it: its class, and digests of the code behind it and of what that reads.

A name finds the package's own parts again, a path a file; an object is recognised by its identity. Code is compared as
it was loaded, not as its file reads by now; digests therefore hold for one version of Python (3.11, 3.12, ...).
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import importlib.util
import random
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

RECORD = ("name", "source", "sha256", "identity", "title")
"""What a description of a part has besides its settings; the title is what a diagnostic calls itself."""
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range, slice)
_COMPARED = ("numpy", "scipy", "numba", "cupy")
"""Packages whose versions are part of the record of where a run took place."""
_NO_CODE = ("__annotat", "__doc__", "__module__", "__qualname__")
"""How names in a class begin that say nothing of what it does."""


@functools.cache
def is_outside(module: str | None) -> bool:
    """Whether what is written in a module of this name is not the package's own."""
    return str(module).partition(".")[0] != "noisysim"  # what was executed by itself may have none


def title(recorded: Mapping[str, Any]) -> str:
    """What a recorded diagnostic calls itself, by which its values are found."""
    return str(recorded.get("title", recorded["name"]))


def of_part(part: object) -> dict[str, Any]:
    """What a description of a part has to say of its class: nothing of one of the package's own.

    Returns
    -------
    dict
        ``{"identity": {"class", "python", "code"}}``: of everything that methods of the class are made of, or read, a
        name and a digest.
    """
    cls = type(part)
    return _identity(cls, code_of(cls)) if is_outside(cls.__module__) else {}


def of_functions(*functions: types.FunctionType) -> dict[str, Any]:
    """The same of a part that is made of functions, whose first one names it."""
    if not is_outside(functions[0].__module__):
        return {}
    walk = _Walk((functions[0].__module__ or "").partition(".")[0])
    for function in functions:
        walk.visit(function)
    return _identity(functions[0], walk.digests())


def _identity(definition: type | types.FunctionType, code: Mapping[str, str]) -> dict[str, Any]:
    qualname = f"{definition.__module__}.{definition.__qualname__}"
    return {"identity": {"class": qualname, "python": PYTHON, "code": [list(pair) for pair in sorted(code.items())]}}


def differences(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """In what two descriptions of a part differ: in what it is asked for, and in its code.

    Both are lists of short texts, "samples=4 (recorded: 2)".
    """
    if recorded["name"] != present["name"] and "source" not in present:  # a file may be elsewhere by now
        return [f"{present['name']!r} (recorded: {recorded['name']!r})"], []
    kind = _kind_difference(recorded, present)
    if kind:
        return [kind], []
    names = [name for name in {**recorded, **present} if name not in RECORD]
    settings = [
        f"{name}={present.get(name)!r} (recorded: {recorded.get(name)!r})"
        for name in names if recorded.get(name) != present.get(name)
    ]  # fmt: skip
    return settings, _code_differences(recorded, present)


def _kind_difference(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> str:
    """What is to be said if one of two parts is the package's own and the other is not."""
    before, now = (description.get("identity", {}).get("class") for description in (recorded, present))
    if (before is None) == (now is None) or "source" in recorded:  # files have long been recorded by their hash alone
        return ""
    built_in = f"noisysim's own {present['name']!r}"
    return f"class {now} (recorded: {built_in})" if now else f"{built_in} (recorded: class {before})"


def _code_differences(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Names of what has other code or another value."""
    same_file = "sha256" in recorded and recorded["sha256"] == present.get("sha256")
    if "source" in recorded and not same_file:
        return ["its file"]
    before, now = recorded.get("identity"), present.get("identity")
    if not before or not now:
        return []
    if before.get("python") != now["python"]:
        return [] if same_file else [f"its code cannot be compared between Python {before.get('python')} and {PYTHON}"]
    old, new = dict(map(tuple, before["code"])), dict(map(tuple, now["code"]))
    return sorted(name for name in {**old, **new} if old.get(name) != new.get(name))


# --- digests --------------------------------------------------------------------------------------------------------


def code_of(cls: type) -> dict[str, str]:
    """Digests of what the methods of a class are made of, by name.

    Of the class and of those it inherits from outside the package: methods, functions that they call, constants,
    globals and closures that they read, modules that they import, as far as these can be found. What the package, the
    standard library or an installed package defines is named only.
    """
    walk = _Walk(cls.__module__.partition(".")[0])
    walk.visit(cls)
    return walk.digests()


def attributes_of(value: object) -> dict[str, str]:
    """Digests of an object's own attributes, by name, without those that a ``cached_property`` keeps."""
    cls, walk = type(value), _Walk("")
    digests = {}
    for name, attribute in sorted(getattr(value, "__dict__", {}).items()):
        if not isinstance(getattr(cls, name, None), functools.cached_property):
            digests[name] = hashlib.sha256(walk.spelt(attribute).encode()).hexdigest()[:16]
    return digests


class _Walk:
    """Everything that a class leads to, visited once.

    Parameters
    ----------
    home : str
        Top-level package of the class: whatever is in it is looked into, installed or not.
    """

    def __init__(self, home: str):
        self._hashes: dict[str, Any] = {}
        self._home = home
        self._seen: dict[int, Any] = {}  # by identity; the objects are kept, so that none is freed and its id reused

    def digests(self) -> dict[str, str]:
        """A digest of each, by name."""
        return {name: digest.hexdigest()[:16] for name, digest in self._hashes.items()}

    def visit(self, value: type | types.FunctionType) -> None:
        """Add what a function or class is made of, and all that it leads to."""
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, type):
            self._class(value)
        else:
            self._function(value)

    def _add(self, name: str, text: str) -> None:
        self._hashes.setdefault(name, hashlib.sha256()).update(
            f"{len(text)}:{text}".encode("utf-8", "backslashreplace")
        )

    def _class(self, cls: type) -> None:
        self._add(cls.__qualname__, repr([base.__qualname__ for base in cls.__mro__]))
        for base in cls.__mro__[1:]:
            if not self._foreign(base.__module__):
                self.visit(base)
        fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
        for name, value in sorted(vars(cls).items()):
            dull = name.startswith(_NO_CODE) or (name.startswith("__") and not _is_code(value))
            if not dull and name not in fields:  # a field's value is a parameter of the object
                self._add(f"{cls.__qualname__}.{name}", self.spelt(value))

    def _function(self, function: types.FunctionType) -> None:
        name = function.__qualname__.replace("<locals>.", "")
        values = (function.__defaults__, function.__kwdefaults__, vars(function))
        self._add(name, _instructions(function.__code__) + "".join(map(self.spelt, values)))
        for variable, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                self._add(variable, self.spelt(cell.cell_contents))
            except ValueError:  # nothing in it yet
                continue
        for variable in sorted(_named(function.__code__, "LOAD_GLOBAL") & function.__globals__.keys()):
            self._add(variable, self.spelt(function.__globals__[variable]))
        for module in sorted(_named(function.__code__, "IMPORT_NAME")):
            self._add(module, self._module(module, sys.modules.get(module)))

    def spelt(self, value: object) -> str:
        """A value as text that tells any two apart, as far as its type lets one."""
        if isinstance(value, _PLAIN):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(np.asarray(value))
        if isinstance(value, types.ModuleType):
            return self._module(value.__name__, value)
        if isinstance(value, (types.FunctionType, type)):
            return self._named(value)
        if id(value) in self._seen:
            return "seen"
        self._seen[id(value)] = value
        try:
            return f"{type(value).__qualname__}({self._inside(value)})"
        finally:
            del self._seen[id(value)]

    def _named(self, value: type | types.FunctionType) -> str:
        """A function or class by its name; one that is the user's is visited."""
        if not self._foreign(value.__module__ or ""):
            self.visit(value)
        return f"{'' if self._foreign(value.__module__ or '') else 'own '}{value.__qualname__}"

    def _inside(self, value: object) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{self.spelt(k)}: {self.spelt(v)}" for k, v in value.items())
        if isinstance(value, (set, frozenset)):
            return ", ".join(sorted(map(self.spelt, value)))
        if isinstance(value, (list, tuple)):
            return ", ".join(map(self.spelt, value))
        if isinstance(value, np.random.Generator):
            return self.spelt(value.bit_generator.state)
        if isinstance(value, np.random.RandomState):
            return self.spelt(value.get_state(legacy=False))
        if isinstance(value, random.Random):
            return repr(value.getstate())
        if parts := _behind(value):
            return ", ".join(map(self.spelt, parts))
        if not self._foreign(type(value).__module__):
            self._named(type(value))
            return ", ".join(f"{k}={self.spelt(v)}" for k, v in _attributes(value))
        text = repr(value)
        return "" if " at 0x" in text else text

    def _array(self, array: np.ndarray) -> str:
        objects = array.ravel().tolist() if array.dtype.hasobject else []
        content = "".join(map(self.spelt, objects)).encode() if objects else array.tobytes()
        return f"{array.dtype} {array.shape} {hashlib.sha256(content).hexdigest()}"

    def _module(self, name: str, module: types.ModuleType | None) -> str:
        """A module by its name, an installed one with its version; one of the user's by its file too."""
        if self._foreign(name):
            version = "" if name.partition(".")[0] in _COMPARED else getattr(module, "__version__", "")
            return f"module {name} {version}"
        path = getattr(module, "__file__", None) or _file_of(name)
        if path is None or not path.endswith(".py") or not Path(path).is_file():
            return f"module {name}"
        if module is not None and id(module) not in self._seen:
            self._seen[id(module)] = module
            for other in sorted((n for n, v in vars(module).items() if isinstance(v, types.ModuleType))):
                self._add(other, self._module(vars(module)[other].__name__, vars(module)[other]))
        return f"module {name} {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"

    def _foreign(self, module: str) -> bool:
        """Whether a module is the package's, the standard library's or an installed one, not the rule's own."""
        top = module.partition(".")[0]
        if top in ("noisysim", "builtins") or top in sys.stdlib_module_names:
            return True
        if top == self._home:
            return False
        return _installed(top)


def _is_code(value: object) -> bool:
    return isinstance(value, types.FunctionType) or bool(_behind(value))


def _behind(value: object) -> tuple[Any, ...]:
    """The functions, and what is bound to them, behind a property, a method, a partial function or a decorated one."""
    if isinstance(value, property):
        return (value.fget, value.fset, value.fdel)
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords)
    if isinstance(value, types.MethodType):
        return (value.__func__, value.__self__)
    for name in ("__wrapped__", "__func__", "func", "py_func"):
        if isinstance(inner := getattr(value, name, None), types.FunctionType):
            return (inner,)
    return ()


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    """An object's attributes, in a dict or in slots."""
    slots: Iterable[str] = (s for base in type(value).__mro__ for s in _listed(vars(base).get("__slots__", ())))
    for name in sorted({*getattr(value, "__dict__", {}), *(s for s in slots if hasattr(value, s))} - {"__weakref__"}):
        yield name, getattr(value, name, None)


def _listed(slots: str | Iterable[str]) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _instructions(code: types.CodeType) -> str:
    """What a code object does, without where it stands."""
    constants = [_instructions(c) if isinstance(c, types.CodeType) else _constant(c) for c in code.co_consts]
    named = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return repr((code.co_code.hex(), constants, named, counts))


def _constant(value: object) -> str:
    """A constant in code; the members of a set in an order that does not depend on hashes."""
    if isinstance(value, frozenset):
        return repr(sorted(map(_constant, value)))
    return repr(tuple(map(_constant, value))) if isinstance(value, tuple) else f"{type(value).__name__} {value!r}"


def _named(code: types.CodeType, operation: str) -> set[str]:
    """Names that a function, or one written inside it, gives to an operation: globals it reads, modules it imports."""
    names = {op.argval for op in dis.get_instructions(code) if op.opname == operation}
    return names.union(*(_named(c, operation) for c in code.co_consts if isinstance(c, types.CodeType)))


@functools.cache
def _installed(top: str) -> bool:
    """Whether a top-level module is where packages are installed: beside records of distributions."""
    path = getattr(sys.modules.get(top), "__file__", None) or _file_of(top)
    if path is None:
        return False
    folder = Path(path).parent
    return any((folder.parent if Path(path).name == "__init__.py" else folder).glob("*.dist-info"))


def _file_of(name: str) -> str | None:
    """The file of a module that was not imported yet; nothing is executed for it."""
    if not name or "." in name:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec else None
