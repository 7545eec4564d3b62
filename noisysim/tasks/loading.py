"""How tasks with names are made: by a function ``load_NAME(settings, data, seed)`` of a module."""

from __future__ import annotations

import dataclasses
import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from noisysim.common.fields import Field, declared
from noisysim.common.identity import RECORD
from noisysim.common.texts import one_line
from noisysim.common.user_files import Origin, UserError, line_in
from noisysim.tasks.base import Task, read_settings

PREFIX = "load_"


class Loader(NamedTuple):
    """What makes a task.

    Attributes
    ----------
    settings : type
        The NamedTuple class that declares the task's settings, ``standardise`` and ``loss`` among them.
    load : callable
        ``load_NAME(settings, data, seed)``, where `data` is the folder that the user named, or ``None``.
    """

    settings: type[NamedTuple]
    load: Callable[..., Task]


class Loaders:
    """The form of tasks (`noisysim.common.registry.Form`)."""

    error = UserError
    noun, nouns = "function load_NAME(settings: SETTINGS, data, seed)", "tasks"
    example = "def load_my_task(settings: MySettings, data, seed) that returns a noisysim.tasks.Task"

    def defined(self, module: types.ModuleType) -> dict[str, Loader]:
        """The loaders of a module."""
        return {
            name: Loader(self._settings_of(value), value) for name, value in vars(module).items()
            if name.startswith(PREFIX) and isinstance(value, types.FunctionType) and value.__module__ == module.__name__
        }  # fmt: skip

    def definition(self, value: object) -> Loader | None:
        """A loader itself, one of a function, or the one that a task was made by."""
        if isinstance(value, Task):
            loader: Loader | None = value.loader
            return loader
        if isinstance(value, types.FunctionType):
            return Loader(self._settings_of(value), value)
        return value if isinstance(value, Loader) else None

    def lacking(self, value: object) -> str:
        """Nothing: what a task may be is said where one is asked for."""
        return ""

    def _settings_of(self, load: types.FunctionType) -> type[NamedTuple]:
        """The class by which a loader annotates its first argument."""
        where = f"{load.__code__.co_filename}:{load.__code__.co_firstlineno}"
        if list(inspect.signature(load).parameters) != ["settings", "data", "seed"]:
            raise self.error(f"{where}: {load.__name__} must be {self.noun}")
        try:
            cls = typing.get_type_hints(load).get("settings")
        except Exception as error:
            raise self.error(f"{where}: an annotation of {load.__name__} cannot be read: {one_line(error)}") from None
        if not isinstance(cls, type) or not hasattr(cls, "_field_defaults"):
            raise self.error(f"{where}: the settings of {load.__name__} must be annotated with a NamedTuple class")
        return typing.cast("type[NamedTuple]", cls)

    def module(self, definition: Loader) -> str:
        """Where the function is written."""
        return str(definition.load.__module__)

    def name(self, definition: Loader) -> str:
        """``load_fashion_mnist`` makes "fashion-mnist"."""
        return str(definition.load.__name__).removeprefix(PREFIX).replace("_", "-")

    def about(self, definition: Loader) -> str:
        """The docstring of the function."""
        return inspect.getdoc(definition.load) or ""

    def fields(self, definition: Loader) -> Mapping[str, Field]:
        """What the settings declare."""
        return declared(definition.settings)

    def defaults(self, definition: Loader) -> Mapping[str, Any]:
        """What they are unless they are set."""
        return dict(definition.settings._field_defaults)

    def make(self, definition: Loader, origin: Origin | None, settings: Mapping[str, Any], part: Task | None) -> Task:
        """The task with these settings; among them the folder `data` and the `seed`."""
        settings = dict(settings)
        data, seed = settings.pop("data", None), settings.pop("seed", 0)
        if part is not None:
            return as_made(part, settings)
        title = self.name(definition) if origin is None else origin.title
        chosen = read_settings(title, definition.settings, settings)
        task = definition.load(chosen, data, seed) if origin is None else _loaded(definition, chosen, data, seed)
        name = task.name if origin is None else origin.name
        loss: Any = task.loss_function  # which a task takes as well as a name
        return dataclasses.replace(task, name=name, loss=loss, loader=definition, origin=origin)

    def values(self, part: Task) -> dict[str, Any]:
        """The settings of a task."""
        return dict(part.settings)

    def origin(self, definition: Loader) -> Origin | None:
        """``None``: a task that was given as an object was made by nothing that a name finds."""
        return None

    def identity(self, part: Task) -> dict[str, Any]:
        """Nothing: the source has a hash."""
        return {}

    def part_type(self, definition: Loader) -> None:
        """None: a task holds its data."""

    def examine(self, definition: Loader, module: types.ModuleType | None, text: str, path: str) -> None:
        """Refuse settings without defaults, and such as lack what every task has."""
        code, fields = definition.load.__code__, declared(definition.settings)
        where, name = f"{path or code.co_filename}:{code.co_firstlineno}", definition.settings.__name__
        if missing := [field for field in ("standardise", "loss") if field not in fields]:
            raise self.error(f"{where}: the settings {name} lack {' and '.join(missing)}, which every task has")
        if reserved := [field for field in fields if field in (*RECORD, "data", "seed")]:
            reason = "which the record of a run needs" if reserved[0] in RECORD else "which every loader is given"
            raise self.error(f"{where}: a setting of {name} cannot be called {reserved[0]!r}, {reason}")
        if bare := [field for field in fields if field not in definition.settings._field_defaults]:
            raise self.error(f"{where}: field {bare[0]!r} of the settings {name} has no default")


def as_made(task: Task, settings: Mapping[str, Any]) -> Task:
    """A task that was given as an object; refused with settings, which it has already."""
    if settings:
        raise ValueError(f"the task {task.name!r} is already made: give its settings where it is made")
    return task


def _loaded(definition: Loader, settings: Any, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """What a user's function makes; its refusals pass, its mistakes become one clear error."""
    path = definition.load.__code__.co_filename
    try:
        task = definition.load(settings, data, seed)
    except (ValueError, OSError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"{line_in(error, path) or path}: {definition.load.__name__} raised {reason}") from None
    if not isinstance(task, Task):
        kind = type(task).__name__
        raise UserError(f"{path}: {definition.load.__name__} must return a noisysim.tasks.Task, not {kind}")
    return task
