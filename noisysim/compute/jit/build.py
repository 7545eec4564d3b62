"""Compile the loops of a backend for one set of scalar functions, and cache the machine code soundly.

Numba's own cache does not see the functions a loop takes from outside: it either never hits or returns code of an
edited function. So a specialised set of loops becomes a module of its own, under a name made from a hash of every
source it depends on, and `noisysim.compute.jit.cache` keeps its machine code under that name. An edit gives another
name; the same sources give a hit.
"""

from __future__ import annotations

import builtins
import hashlib
import inspect
import sys
import threading
import types
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.common.plain_functions import fingerprint
from noisysim.common.source import built_in, dependencies
from noisysim.compute.jit import cache

OPTIONS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True, "no_cfunc_wrapper": True,
}  # fmt: skip
COMPUTE = Path(__file__).parents[1]
_loading = threading.RLock()


def specialise(
    function: Callable, jit: Callable, made: dict | None = None, meaning: Mapping[Any, Any] | None = None
) -> Callable:
    """Compile a plain scalar function, and every plain function it calls, with `jit`.

    `meaning` tells what stands in compiled code for modules and built-in functions that functions name.
    """
    made = {} if made is None else made
    if function not in made:
        made[function] = None  # under way
        # cached code imports the module that these globals name: a user's may not be there then
        space = {**function.__globals__, "__name__": __name__}
        for name, value in dependencies(function).items():
            if isinstance(value, types.FunctionType):
                space[name] = specialise(value, jit, made, meaning)
            elif meaning and isinstance(value, types.ModuleType):
                space[name] = meaning.get(value, value)
        if meaning:
            for name in built_in(function):
                space[name] = meaning.get(getattr(builtins, name), getattr(builtins, name))
        plain = types.FunctionType(
            function.__code__, space, function.__name__, function.__defaults__, function.__closure__
        )
        made[function] = jit(plain)
    if made[function] is None:
        raise ValueError(f"{function.__name__} calls itself, which cannot be compiled into the loops")
    return made[function]


def load(
    template: str,
    scalars: Mapping[str, Callable],
    constants: Mapping[str, Any],
    jit: Callable,
    generated: Mapping[str, str] | None = None,
    linked: Sequence[types.ModuleType] = (),
    numbers: Sequence[str] = (),
    meaning: Mapping[Any, Any] | None = None,
) -> types.ModuleType:
    """The loops of `template`, a module of this package, with these scalars and constants for globals.

    Parameters
    ----------
    template : str
        Such as "cpu/loops/passes".
    scalars, constants : mapping
        Plain functions, to be compiled, and values.
    jit : callable
        What compiles a plain function.
    generated : mapping
        Text of more functions to be compiled in the new module.
    linked : sequence of modules
        Loaded before: functions of theirs that the template imports from their templates are taken from them.
    numbers : sequence of str
        Fields of a NamedTuple class ``Numbers`` that the new module gets: cached code names it by this module.
    meaning : mapping
        What stands in compiled code for modules and built-in functions that scalar functions name.
    """
    path = COMPUTE / f"{template}.py"
    source = path.read_text()
    files = ("layout.py", "cuda/kernels/names.py" if meaning else "cpu/loops/compiling.py")
    shared = [(COMPUTE / name).read_text() for name in files]
    identity = [source, *shared, repr(sorted(OPTIONS.items(), key=str)), np.__version__]
    identity += [repr(sorted(constants.items())), repr(sorted((generated or {}).items())), repr(tuple(numbers))]
    identity += [module.__name__ for module in linked]
    identity.append(inspect.getsource(sys.modules[jit.__module__]))
    identity += [f"{name}:{fingerprint(function)}" for name, function in sorted(scalars.items())]
    digest = hashlib.sha256(chr(10).join(identity).encode()).hexdigest()[:24]
    name = f"noisysim_{template.replace('/', '_')}_{digest}"
    with _loading:  # another thread may be at it: half a module must not be found
        if name not in sys.modules:
            try:
                _assemble(name, path, source, scalars, constants, jit, generated or {}, linked, numbers, meaning)
            except BaseException:
                sys.modules.pop(name, None)  # nor by the next call
                raise
        return sys.modules[name]


def _assemble(
    name: str,
    path: Path,
    source: str,
    scalars: Mapping[str, Callable],
    constants: Mapping[str, Any],
    jit: Callable,
    generated: Mapping[str, str],
    linked: Sequence[types.ModuleType],
    numbers: Sequence[str],
    meaning: Mapping[Any, Any] | None,
) -> None:
    """The module that `load` describes."""
    module = _execute(name, path, source)
    for other in linked:
        for known, value in vars(other).items():
            if (
                hasattr(module, known)
                and _is_from(value, other.__name__)
                and not _is_from(vars(module).get(known), name)
            ):
                setattr(module, known, value)
    made: dict = {}
    for scalar, function in scalars.items():
        setattr(module, scalar, specialise(function, jit, made, meaning))
    if numbers:
        module.Numbers = namedtuple("Numbers", numbers, module=name)  # type: ignore[attr-defined, misc]
    for generic, text in generated.items():
        exec(text, vars(module))
        setattr(module, generic, jit(getattr(module, generic)))
    for constant, value in constants.items():
        setattr(module, constant, value)


def _is_from(value: Any, module: str) -> bool:
    """Whether a value is a function, compiled or not, that a module of this name defines."""
    return getattr(getattr(value, "py_func", value), "__module__", None) == module


def _execute(name: str, path: Path, source: str) -> types.ModuleType:
    """A module of this text under this name; the file it came from is where tracebacks look."""
    module = types.ModuleType(name)
    module.__file__ = str(path)
    vars(module)[cache.PLACE] = cache.folder()
    sys.modules[name] = module  # first: unpickling cached code imports it by name
    exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    return module
