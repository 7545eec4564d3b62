"""Compile kernels for one set of scalar functions, and cache the machine code soundly.

A kernel cannot be handed a function, and Numba's own cache does not see the functions that it takes from outside: it
either never hits or returns code of an edited function. So a specialised set of kernels becomes a module of its own,
under a name made from a hash of every source it depends on, and `noisysim.compute.jit.cache` keeps its machine code
under that name. An edit gives another name; the same sources give a hit.
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
from noisysim.common.source import built_in
from noisysim.compute.cuda import templates
from noisysim.compute.cuda.kernels import names, target
from noisysim.compute.jit.scalars import specialise

_STAND_INS: Mapping[Any, Any] = {}
"""Plain functions -> what stands for them in kernels."""
if target.SIMULATED:
    from noisysim.compute.cuda.simulated_draws import STAND_INS as _STAND_INS
_loading = threading.RLock()
_own_fingerprint = functools.cache(fingerprint)
"""Of a function of `noisysim.compute`: those are read once, as templates are."""


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


def load(template: str, parts: Parts) -> types.ModuleType:
    """The kernels of a template with these parts in them, and those of the templates that it imports from likewise.

    Parameters
    ----------
    template : str
        Such as "cuda/kernels/passes" (`noisysim.compute.cuda.templates`).
    parts : Parts
        Of which each template gets what it names.
    """
    with _loading:  # another thread may be at it: half a module must not be found
        return _Load(parts).module(template)


class _Load:
    """One call of `load`: templates import the same ones, and name the same functions, again and again."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._modules: dict[str, types.ModuleType] = {}
        self._compiled: dict[Any, Any] = dict(_STAND_INS)
        self._fingerprints = functools.cache(fingerprint)  # for this call alone: what functions read may change

    def module(self, template: str) -> types.ModuleType:
        """The loops of a template."""
        if template not in self._modules:
            self._modules[template] = self._load(template)
        return self._modules[template]

    def _fingerprint(self, function: Callable[..., Any]) -> str:
        own = (function.__module__ or "").startswith(templates.PACKAGE)
        return _own_fingerprint(function) if own else self._fingerprints(function)

    def _load(self, template: str) -> types.ModuleType:
        source = templates.read(template)
        parts = self._parts.named_in(source)
        linked = {link.template: self.module(link.template) for link in source.links}
        identity = [source.text, *source.support]
        names_source = templates.read("cuda/kernels/names")  # which decides what scalar functions mean
        identity += [names_source.text, *names_source.support]
        identity += [np.__version__]
        identity += [*parts.identity(self._fingerprint), *sorted(module.__name__ for module in linked.values())]
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:24]
        name = f"noisysim_{template.replace('/', '_')}_{digest}"
        if name not in sys.modules:
            try:
                _assemble(name, template, source, parts, linked, self._compiled)
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
    compiled: dict[Any, Any],
) -> None:
    """Make the module of a template."""
    module = _execute(name, source)
    for link in source.links:
        setattr(module, link.alias, getattr(linked[link.template], link.name))
    for scalar, function in parts.scalars.items():
        setattr(module, scalar, specialise(function, target.device, compiled, names.NAMES))
    for constant, value in parts.constants.items():
        setattr(module, constant, value)
    if parts.numbers:
        module.Numbers = namedtuple("Numbers", parts.numbers, module=name)  # type: ignore[attr-defined, misc]
    for generic, text in parts.generated.items():
        exec(text, vars(module))
        setattr(module, generic, target.device(getattr(module, generic)))
    if template.startswith(f"{templates.RULES}/"):
        _compile_rules(module)


def _compile_rules(module: types.ModuleType) -> None:
    """Compile the plain functions that a module of rules defines."""
    for name, value in list(vars(module).items()):
        if isinstance(value, types.ModuleType):
            setattr(module, name, names.NAMES.get(value, value))
        elif isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
            for called in built_in(value) if names.NAMES else ():
                setattr(module, called, names.NAMES.get(getattr(builtins, called), getattr(builtins, called)))
            setattr(module, name, target.device(value))


def _execute(name: str, source: templates.Template) -> types.ModuleType:
    """A module of this text under this name; the file it came from is where tracebacks look."""
    module = types.ModuleType(name)
    module.__file__ = str(source.path)
    sys.modules[name] = module  # first: unpickling cached code imports it by name
    exec(compile(source.text, str(source.path), "exec", dont_inherit=True), vars(module))
    return module
