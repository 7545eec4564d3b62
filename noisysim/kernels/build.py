"""Compile the loops of a backend for one set of scalar functions, and cache the machine code soundly.

Numba's own cache does not see the functions a loop takes from outside: it either never hits or returns code of an
edited function. So a specialised set of loops is written as a module of its own, under a name made from a hash of
every source it depends on, into the user's cache folder. An edit gives another name; the same sources give a hit.
"""

from __future__ import annotations

import dis
import hashlib
import importlib.util
import inspect
import os
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import platformdirs

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}


def cache_folder() -> Path:
    """Where compiled kernels are kept: ``NOISYSIM_CACHE``, else the user's cache folder, else a temporary one."""
    chosen = os.environ.get("NOISYSIM_CACHE")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("noisysim"))
    folder = folder / f"kernels-numba{numba.__version__}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.gettempdir()) / f"noisysim-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def dependencies(function: Callable) -> dict[str, Any]:
    """The globals a plain function reads, by name (an attribute such as ``np.tanh`` is no global)."""
    names = {op.argval for op in dis.get_instructions(function) if op.opname == "LOAD_GLOBAL"}
    return {n: function.__globals__[n] for n in names if n in function.__globals__}


def fingerprint(function: Callable, seen: set | None = None) -> str:
    """Source of a function and of all it calls, and the values of the constants it reads."""
    seen = set() if seen is None else seen
    if function in seen:
        return ""
    seen.add(function)
    parts = [inspect.getsource(function), repr((function.__defaults__, function.__kwdefaults__))]
    for name, value in sorted(dependencies(function).items()):
        if isinstance(value, types.FunctionType):
            parts.append(f"{name}:{fingerprint(value, seen)}")
        elif not isinstance(value, types.ModuleType):
            parts.append(f"{name}={value!r}")
    return "\n".join(parts)


def specialise(function: Callable, jit: Callable, made: dict | None = None) -> Callable:
    """Compile a plain scalar function, and every plain function it calls, with `jit`."""
    made = {} if made is None else made
    if function not in made:
        space = dict(function.__globals__)
        for name, value in dependencies(function).items():
            if isinstance(value, types.FunctionType):
                space[name] = specialise(value, jit, made)
        plain = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__)
        plain.__module__ = function.__module__
        made[function] = jit(plain)
    return made[function]


def load(
    template: str,
    scalars: Mapping[str, Callable],
    constants: Mapping[str, Any],
    jit: Callable,
    generated: Mapping[str, Callable] | None = None,
) -> types.ModuleType:
    """The loops of `template`, a module of this package, with these scalars and constants for globals.

    `generated` functions have no source file of their own: what they depend on must be among the constants.
    """
    source = Path(__file__).with_name(f"{template}.py").read_text()
    identity = [source, repr(sorted(constants.items())), repr(sorted(OPTIONS.items(), key=str)), np.__version__]
    identity += [f"{name}:{fingerprint(function)}" for name, function in sorted(scalars.items())]
    name = f"noisysim_{template}_{hashlib.sha256(chr(10).join(identity).encode()).hexdigest()[:24]}"
    if name in sys.modules:
        return sys.modules[name]
    path = cache_folder() / f"{name}.py"
    if not path.exists():  # never rewritten: numba's index is stamped with the file's time
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(source)
        draft.replace(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # first: unpickling cached code imports it by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half a module would be found by the next call
        raise
    made: dict = {}
    for scalar, function in scalars.items():
        setattr(module, scalar, specialise(function, jit, made))
    for generic, function in (generated or {}).items():
        setattr(module, generic, jit(function))
    for constant, value in constants.items():
        setattr(module, constant, value)
    return module


@cache
def uses(function: Callable, argument: str) -> bool:
    """Whether a function's body reads one of its arguments (so that nothing is drawn in vain)."""
    loads = (op for op in dis.get_instructions(function) if op.opname.startswith("LOAD_FAST"))
    return any(argument in (op.argval if isinstance(op.argval, tuple) else (op.argval,)) for op in loads)
