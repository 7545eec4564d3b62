"""The parts of one kind, such as learners: the package's own, installed packages' and users'.

What differs from kind to kind is its `Form`: what a definition looks like in a module, what may be wrong with one, and
how a part is made of it. Learners are dataclasses (`noisysim.common.class_parts`), losses pairs of functions
(`noisysim.common.function_parts`); devices and tasks have forms of their own.
"""

from __future__ import annotations

import copyreg
import importlib
import importlib.metadata
import os
import pkgutil
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from noisysim.common import identity
from noisysim.common.fields import Field, bare, listed, parse_spec, shown, unknown
from noisysim.common.texts import one_line
from noisysim.common.user_files import (
    Origin,
    UserError,
    compare_hash,
    entry_points,
    load_entry_point,
    module,
    origin_of,
    place_recorded,
    read,
    split,
    text_of,
    with_article,
)

D = TypeVar("D")
"""A definition: a class, a pair of functions, or what else a kind has."""
T = TypeVar("T")
"""A part that is made of one."""


class Form(Protocol[D, T]):
    """How the parts of a kind are defined.

    Attributes
    ----------
    error : type
        Of what is raised for a definition that is none.
    noun, nouns, example : str
        What messages call a definition ("NamedTuple class") and several, and what they tell a user to write.
    """

    error: type[UserError]
    noun: str
    nouns: str
    example: str

    def defined(self, module: types.ModuleType) -> dict[str, D]:
        """The definitions that a module makes itself, by name, without those that begin with an underscore."""

    def definition(self, value: object) -> D | None:
        """The definition that an object is or was made of; ``None`` if it is nothing of the kind."""

    def lacking(self, value: object) -> str:
        """What an object lacks to be a part, as messages say it; "" of what is nothing like one."""

    def examine(self, definition: D, module: types.ModuleType | None, text: str, path: str) -> None:
        """Refuse a definition that is not the package's own and cannot work.

        Of a part that was given as an object there are no module, text and path.
        """

    def module(self, definition: D) -> str:
        """The name of the module in which a definition is written."""

    def name(self, definition: D) -> str:
        """What a definition calls itself."""

    def about(self, definition: D) -> str:
        """Its docstring."""

    def fields(self, definition: D) -> Mapping[str, Field]:
        """Its settings."""

    def defaults(self, definition: D) -> Mapping[str, Any]:
        """Their values unless they are set."""

    def make(self, definition: D, origin: Origin | None, settings: Mapping[str, Any], part: T | None) -> T:
        """A checked part; `part`, where one was given, has the settings that are not among those."""

    def values(self, part: T) -> dict[str, Any]:
        """A part's settings as plain values."""

    def origin(self, definition: D) -> Origin | None:
        """Where a definition comes from that no file and no entry point gave."""

    def identity(self, part: T) -> dict[str, Any]:
        """What tells the code of a part apart that is not the package's own (`noisysim.common.identity`)."""

    def part_type(self, definition: D) -> type | None:
        """The type of a definition's parts; ``None`` if these are more than what describes them."""


class Registry(Generic[D, T]):
    """All parts of one kind.

    Parameters
    ----------
    kind : str
        "learner", "task", "optimizer", "loss", "activation", "device", "diagnostic", "schedule" or "callback".
    form : Form
    built_in : mapping
        The package's own definitions by name; what is added to it is found as well.
    home : str
        The module that has it as ``REGISTRY``: where a pickle finds it again.
    """

    def __init__(self, kind: str, form: Form[D, T], built_in: Mapping[str, D], home: str):
        self.kind, self._form, self._built_in, self._home = kind, form, built_in, home
        self._origins: dict[D, Origin] = {}

    def names(self) -> list[str]:
        """Names of the package's own parts and of those that installed packages bring."""
        return sorted({*self._built_in, *entry_points(self.kind)})

    def known(self) -> list[str]:
        """Names that `get` takes."""
        return self.names()

    def _is_name(self, spec: str) -> bool:
        """Whether a text that ends like a path is a name with settings: "digits:loss=huber.py"."""
        name, colon, _ = spec.partition(":")
        return bool(colon) and (name in self._built_in or name in entry_points(self.kind))

    def about(self, spec: str) -> str:
        """One line on a part, given by its name or file; of one that cannot be loaded, why."""
        try:
            return (self._form.about(self.definition(spec)) or "").strip().partition("\n")[0]
        except Exception as error:  # a third party's: the others are listed all the same
            return f"{type(error).__name__ + ': ' if not isinstance(error, UserError) else ''}{one_line(error)}"

    def documentation(self, spec: str) -> str:
        """The docstring of a part, given by its name or file; "" without one."""
        return self._form.about(self.definition(spec))

    def fields(self, spec: str) -> Mapping[str, Field]:
        """The settings of a part, given by its name or file."""
        return self._form.fields(self.definition(spec))

    def defaults(self, spec: str) -> Mapping[str, Any]:
        """The values of these settings unless they are set."""
        return self._form.defaults(self.definition(spec))

    def definition(self, name: str, sha256: object = None) -> D:
        """The class, or other definition, that a name or a file's path finds.

        Parameters
        ----------
        name : str
        sha256 : str, optional
            Of the recorded file: another one is not executed.
        """
        if name in self._built_in:
            return self._built_in[name]
        if split(name):
            return self._load(name, sha256)
        points = entry_points(self.kind)
        if name in points:
            return self._load_installed(points[name])
        if name.startswith("__main__."):
            raise ValueError(
                f"{self.kind} {name!r} was made in a script or a notebook: give the {self.kind} itself, "
                f"{self.kind}={name[9:]}()"
            )
        raise unknown(self.kind, name, self.known())

    def get(self, spec: Any, **settings: Any) -> T:
        """A checked part.

        Parameters
        ----------
        spec : str, path, mapping or part
            A name, the path of a Python file, either with settings (``"danp:samples=4"``, ``"my_rule.py:samples=4"``),
            a mapping with ``name`` and settings, or a part. What `describe` gives is such a mapping: the hashes in it
            are compared, the source in it is not executed.
        **settings
            Settings to change.

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            For an unknown name or setting, a value outside its range, a definition that is none (`UserError`), or a
            file that is missing or not the one recorded.
        """
        spec, settings = self.parse(spec, settings)
        part = None
        if isinstance(spec, str):
            definition = self._named(spec, settings)
        else:
            definition, part = self._of_part(spec), spec
        if self.is_outside(definition):
            if part is not None:
                self._form.examine(definition, None, "", "")
            self._compare(definition, {name: settings.pop(name, None) for name in identity.RECORD})
        origin = self.origin(definition) if self.is_outside(definition) else None
        return self._form.make(definition, origin, settings, part)

    def parse(self, spec: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A spec in any of its forms as (name, path or part, settings)."""
        if isinstance(spec, Mapping):
            if "name" not in spec:
                raise TypeError(f"a mapping needs a 'name' beside its settings, but has {listed(spec) or 'none'}")
            inside = {name: value for name, value in spec.items() if name != "name"}
            return self.parse(spec["name"], {**inside, **settings})
        if isinstance(spec, os.PathLike):
            path = os.fspath(spec)
            if not str(path).endswith(".py"):
                raise ValueError(f"a {self.kind} file's name ends in .py, not {shown(path)}")
            return path, dict(settings)
        if not isinstance(spec, str):
            return spec, dict(settings)
        file = split(spec)
        if file and self._is_name(file[0]):
            file = None
        name, inline = parse_spec(f"{Path(file[0]).name}:{file[1]}" if file else spec)
        return file[0] if file else name, {**inline, **settings}

    def describe(self, part: T) -> dict[str, Any]:
        """A part as plain values that `get` takes again.

        ``{"name": ..., setting: ...}``; of one that is not the package's own also its identity, and where it came from
        a file or an installed package ``"source"`` and ``"sha256"``: its name is then the path as it was given, or the
        entry point's name.
        """
        definition = self._of_part(part)
        name, values = self._form.name(definition), self._form.values(part)
        if not self.is_outside(definition):
            return {"name": name, **values}
        values.update(self._form.identity(part))
        origin = self.origin(definition)
        if origin is None:
            return {"name": name, **values}
        return {"name": origin.name, **values, "source": origin.source, "sha256": origin.sha256}

    def text(self, part: T) -> str:
        """The shortest text that `get` takes again: ``"danp:samples=4"``."""
        definition = self._of_part(part)
        origin = self.origin(definition) if self.is_outside(definition) else None
        name, usual = self._form.name(definition) if origin is None else origin.name, self._form.defaults(definition)
        changed = {n: v for n, v in self._form.values(part).items() if n in usual and usual[n] != v}
        return f"{name}:{','.join(f'{n}={bare(v)}' for n, v in changed.items())}" if changed else name

    def _of_part(self, part: object) -> D:
        """The definition that a part was made of."""
        definition = None if isinstance(part, type) else self._form.definition(part)
        if definition is None:
            raise self._no_part(part)
        return definition

    def origin(self, definition: D) -> Origin | None:
        """Where a definition comes from that is not the package's own, if that can be said."""
        return self._origins.get(definition) or self._form.origin(definition)

    def title(self, definition: D) -> str:
        """A short name for messages and figures: of a file its own, without ``.py``."""
        origin = self.origin(definition) if self.is_outside(definition) else None
        return self._form.name(definition) if origin is None else origin.title

    def _no_part(self, spec: object) -> TypeError:
        """The error for what is neither a name nor a part; of a class of parts it says how one is made."""
        if isinstance(spec, type) and self._form.definition(spec) is not None:
            hint = f": write {spec.__name__}()"
        else:
            hint = f": {lacks}" if (lacks := self._form.lacking(spec)) else ""
        known = listed(self.names())
        return TypeError(f"{self.kind} must be a name ({known}) or {with_article(self.kind)}, not {shown(spec)}{hint}")

    def _named(self, name: str, settings: dict[str, Any]) -> D:
        """What a name finds; refused for the record of an object, unless its class was registered by that name."""
        recorded = settings.pop("identity", None)
        if recorded is None or split(name) or "source" in settings:
            return self.definition(name, settings.get("sha256"))
        definition, cls = self._built_in.get(name), recorded["class"]
        qualname = getattr(definition, "__qualname__", name)
        if definition is None or cls != f"{self._form.module(definition)}.{qualname}":
            call = cls.rpartition(".")[2] + ("" if self._form.nouns == "functions" else "(...)")
            call = f"{self.kind}s=[{call}]" if self.kind in ("diagnostic", "callback") else f"{self.kind}={call}"
            reason = f"{self.kind} {name!r} was an object of class {cls}, which no name finds"
            raise ValueError(f"{reason}: give it again, {call}")
        return definition

    def is_outside(self, definition: D) -> bool:
        """Whether a definition is not the package's own."""
        return identity.is_outside(self._form.module(definition))

    def _compare(self, definition: D, record: Mapping[str, Any]) -> None:
        """Refuse a source that is not the recorded one."""
        origin = self.origin(definition)
        if origin is not None:
            compare_hash(f"{self.kind} {self.title(definition)!r}", origin.sha256, record["sha256"])

    def _load(self, path: str, sha256: object) -> D:
        """The definition in a file. The same source gives the same one, an edited file another."""
        file = read(self.kind, path, sha256)

        def check(loaded: types.ModuleType, text: str) -> None:
            self._form.examine(self._only(loaded, path), loaded, text, path)

        loaded = module(self.kind, file, check, self._form.error)
        definition = self._only(loaded, path)
        self._origins[definition] = Origin(path, Path(path).stem, text_of(loaded), file.sha256)
        if kind := self._form.part_type(definition):
            copyreg.pickle(kind, self._reduced)
        return definition

    def _reduced(self, part: T) -> Any:
        """What a part from a file is pickled as, since no other process has its module: its record."""
        origin = self._origins.get(self._of_part(part))
        if origin is None or not split(origin.name):
            return part.__reduce_ex__(2)
        return unpickled, (self._home, self.describe(part))

    def again(self, record: Mapping[str, Any]) -> T:
        """A part from a file by its record: of the module that is loaded, or else of the file, which must be the same.

        A file that this machine lacks is made of the record.
        """
        settings = {name: value for name, value in record.items() if name not in identity.RECORD}
        for definition, origin in self._origins.items():
            if (origin.name, origin.sha256) == (record["name"], record["sha256"]):
                return self._form.make(definition, origin, settings, None)
        place_recorded(record)
        return self.get(record)

    def _load_installed(self, point: importlib.metadata.EntryPoint) -> D:
        """The definition that an entry point names: itself, or the module that has it."""
        where = f"{self.kind} {point.name!r} ({point.value})"
        value = load_entry_point(self.kind, point, self._form.error)
        definition = self._only(value, where) if isinstance(value, types.ModuleType) else self._form.definition(value)
        if definition is None:
            raise self._form.error(f"{where} is neither a module nor a {self._form.noun}, but {type(value).__name__}")
        if definition not in self._origins:
            loaded = sys.modules[self._form.module(definition)]
            origin = origin_of(self.kind, loaded, self._form.error)
            self._form.examine(definition, loaded, origin.source, loaded.__file__ or where)
            self._origins[definition] = origin._replace(name=point.name, title=point.name)
        return definition

    def _only(self, loaded: types.ModuleType, where: str) -> D:
        """The one definition of a module; a second name for it is none more."""
        names: dict[D, str] = {}
        for name, definition in self._form.defined(loaded).items():
            names.setdefault(definition, name)
        if len(names) == 1:
            return next(iter(names))
        if names:
            raise self._form.error(
                f"{where} defines the {self._form.nouns} {' and '.join(names.values())}: {with_article(self.kind)} "
                "file has one (or name others _x)"
            )
        plain = [n for n, v in vars(loaded).items() if isinstance(v, type) and v.__module__ == loaded.__name__]
        hint = f"; class {plain[0]} is none" if plain else ""
        raise self._form.error(f"{where} defines no {self._form.noun}{hint}: write {self._form.example}")


def unpickled(home: str, record: Mapping[str, Any]) -> Any:
    """A part from a user's file, out of a pickle: `home` is the module of its registry."""
    return importlib.import_module(home).REGISTRY.again(record)


def scan(package: str, form: Form[D, T]) -> dict[str, D]:
    """The definitions in the modules of a package of noisysim, by what they call themselves; subpackages apart."""
    definitions = {}
    for entry in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not entry.ispkg:
            loaded = importlib.import_module(f"{package}.{entry.name}")
            named = ((form.name(definition), definition) for definition in form.defined(loaded).values())
            definitions.update({name: definition for name, definition in named if name})
    return dict(sorted(definitions.items()))
