"""Compile the loops of a backend for one set of scalar functions, and cache the machine code soundly.

Numba's own cache does not see the functions a loop takes from outside: it either never hits or returns code of an
edited function. So a specialised set of loops becomes a module of its own, under a name made from a hash of every
source it depends on, and `noisysim.compute.jit.cache` keeps its machine code under that name. An edit gives another
name; the same sources give a hit.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import sys
import threading
import types
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.plain_functions import fingerprint
from noisysim.common.source import built_in, dependencies
from noisysim.compute.jit import cache, templates

OPTIONS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True, "no_cfunc_wrapper": True,
}  # fmt: skip
_loading = threading.RLock()
_own_fingerprint = functools.cache(fingerprint)
"""Of a function of `noisysim.compute`: those are read once, as templates are."""


def specialise(
    function: Callable[..., Any],
    jit: Callable[..., Any],
    compiled: dict[Any, Any] | None = None,
    meaning: Mapping[Any, Any] | None = None,
) -> Any:
    """Compile a plain scalar function, and every plain function it calls, with `jit`.

    `meaning` tells what stands in compiled code for modules and built-in functions that functions name.
    """
    compiled = {} if compiled is None else compiled
    if function not in compiled:
        compiled[function] = None  # under way
        # cached code imports the module that these globals name: a user's may not be there then
        space = {**function.__globals__, "__name__": __name__}
        for name, value in dependencies(function).items():
            if isinstance(value, types.FunctionType):
                space[name] = specialise(value, jit, compiled, meaning)
            elif meaning and isinstance(value, types.ModuleType):
                space[name] = meaning.get(value, value)
        if meaning:
            for name in built_in(function):
                space[name] = meaning.get(getattr(builtins, name), getattr(builtins, name))
        plain = types.FunctionType(
            function.__code__, space, function.__name__, function.__defaults__, function.__closure__
        )
        compiled[function] = jit(plain)
    if compiled[function] is None:
        raise ValueError(f"{function.__name__} calls itself, which cannot be compiled into the loops")
    return compiled[function]


class Compilers(NamedTuple):
    """What compiles plain functions for a backend.

    Attributes
    ----------
    folder : str
        Where the backend's templates are (`noisysim.compute.jit.templates.FOLDERS`).
    scalar : callable
        Hooks and activation functions, and what they call.
    rule : callable
        The rules of `noisysim.compute.rules`.
    meaning : mapping
        What stands in compiled code for modules and built-in functions that these name.
    support : sequence of str
        Modules of `noisysim.compute`, as paths below it, that all compiled code depends on.
    """

    folder: str
    scalar: Callable[..., Any]
    rule: Callable[..., Any]
    meaning: Mapping[Any, Any] = {}
    support: tuple[str, ...] = ()


class Parts(NamedTuple):
    """What is put into templates.

    Attributes
    ----------
    scalars : mapping
        Plain functions, to be compiled.
    constants : mapping
        Values.
    generated : mapping
        Texts of functions, to be compiled.
    numbers : sequence of str
        Fields of the NamedTuple class ``Numbers``: cached code names it by the module that declares it.
    """

    scalars: Mapping[str, Callable[..., Any]]
    constants: Mapping[str, Any] = {}
    generated: Mapping[str, str] = {}
    numbers: Sequence[str] = ()

    def named_in(self, template: templates.Template) -> Parts:
        """Those that a template names."""
        defined = template.defined
        generated = {name: code for name, code in self.generated.items() if name in defined}
        named = template.words.union(*(templates.words(code) for code in generated.values()))
        return Parts(
            {name: function for name, function in self.scalars.items() if name in named - defined},
            {name: value for name, value in self.constants.items() if name in named},
            generated,
            self.numbers if "Numbers" in defined else (),
        )

    def identity(self, fingerprints: Callable[[Callable[..., Any]], str] = fingerprint) -> list[str]:
        """Texts that tell any two apart."""
        texts = [repr(sorted(self.constants.items())), repr(sorted(self.generated.items())), repr(tuple(self.numbers))]
        return texts + [f"{name}:{fingerprints(function)}" for name, function in sorted(self.scalars.items())]


def load(template: str, parts: Parts, compilers: Compilers) -> types.ModuleType:
    """The loops of a template with these parts in them, and those of the templates that it imports from likewise.

    Parameters
    ----------
    template : str
        Such as "cpu/loops/passes" (`noisysim.compute.jit.templates`).
    parts : Parts
        Of which each template gets what it names.
    compilers : Compilers
    """
    with _loading:  # another thread may be at it: half a module must not be found
        return _Load(parts, compilers).module(template)


class _Load:
    """One call of `load`: templates import the same ones, and name the same functions, again and again."""

    def __init__(self, parts: Parts, compilers: Compilers):
        self._parts, self._compilers = parts, compilers
        self._modules: dict[str, types.ModuleType] = {}
        self._compiled: dict[Any, Any] = {}
        self._fingerprints = functools.cache(fingerprint)  # for this call alone: what functions read may change

    def module(self, template: str) -> types.ModuleType:
        """The loops of a template."""
        if template not in self._modules:
            self._modules[template] = self._load(template)
        return self._modules[template]

    def _fingerprint(self, function: Callable[..., Any]) -> str:
        own = function.__module__.startswith(templates.PACKAGE)
        return _own_fingerprint(function) if own else self._fingerprints(function)

    def _load(self, template: str) -> types.ModuleType:
        source, compilers = templates.read(template), self._compilers
        parts = self._parts.named_in(source)
        linked = {link.template: self.module(link.template) for link in source.links}
        identity = [source.text, *source.support]
        for name in compilers.support:
            support = templates.read(name)
            identity += [support.text, *support.support]
        identity += [repr(sorted(OPTIONS.items(), key=str)), np.__version__]
        identity += [*parts.identity(self._fingerprint), *sorted(module.__name__ for module in linked.values())]
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:24]
        name = f"noisysim_{template.replace('/', '_')}_{digest}"
        if name not in sys.modules:
            try:
                _assemble(name, template, source, parts, linked, compilers, self._compiled)
            except BaseException:
                sys.modules.pop(name, None)  # nor by the next call
                raise
        return sys.modules[name]


def _assemble(
    name: str,
    template: str,
    source: templates.Template,
    parts: Parts,
    linked: Mapping[str, types.ModuleType],
    compilers: Compilers,
    compiled: dict[Any, Any],
) -> None:
    """Make the module of a template."""
    module = _execute(name, source)
    for link in source.links:
        setattr(module, link.alias, getattr(linked[link.template], link.name))
    for scalar, function in parts.scalars.items():
        setattr(module, scalar, specialise(function, compilers.scalar, compiled, compilers.meaning))
    for constant, value in parts.constants.items():
        setattr(module, constant, value)
    if parts.numbers:
        module.Numbers = namedtuple("Numbers", parts.numbers, module=name)  # type: ignore[attr-defined, misc]
    for generic, text in parts.generated.items():
        exec(text, vars(module))
        setattr(module, generic, compilers.scalar(getattr(module, generic)))
    if template.startswith(f"{templates.RULES}/"):
        _compile_rules(module, compilers)


def _compile_rules(module: types.ModuleType, compilers: Compilers) -> None:
    """Compile the plain functions that a module of rules defines."""
    for name, value in list(vars(module).items()):
        if isinstance(value, types.ModuleType):
            setattr(module, name, compilers.meaning.get(value, value))
        elif isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
            for called in built_in(value) if compilers.meaning else ():
                setattr(module, called, compilers.meaning.get(getattr(builtins, called), getattr(builtins, called)))
            setattr(module, name, compilers.rule(value))


def _execute(name: str, source: templates.Template) -> types.ModuleType:
    """A module of this text under this name; the file it came from is where tracebacks look."""
    module = types.ModuleType(name)
    module.__file__ = str(source.path)
    vars(module)[cache.PLACE] = cache.folder()
    sys.modules[name] = module  # first: unpickling cached code imports it by name
    exec(compile(source.text, str(source.path), "exec", dont_inherit=True), vars(module))
    return module
