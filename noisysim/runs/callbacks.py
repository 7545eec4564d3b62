"""Callbacks that are ready to use, and all that have a name: stop early, log, keep the best.

>>> import noisysim
>>> stop = noisysim.callbacks.EarlyStopping(patience=3)
>>> result = noisysim.run(layers=[16], epochs=30, validation=0.1, learning_rate=0.1, callbacks=[stop])
>>> result.status, result.reason.partition(":")[0]
('stopped', 'early-stopping')
"""

from __future__ import annotations

import inspect
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common import identity, writing
from noisysim.common.class_parts import Dataclasses
from noisysim.common.fields import Field, check, checked, declared, shown
from noisysim.common.registry import Registry
from noisysim.runs.events import METHODS, Callback, CallbackError, CallbackLike, Event, OfFunction, Start, title
from noisysim.runs.schedules import MinDelta, Monitor, Patience, waited

__all__ = [
    "CALLBACKS", "REGISTRY", "CSVLog", "Callback", "CallbackError", "EarlyStopping", "Event", "KeepBest", "Start",
    "TensorBoard", "describe", "get", "names",
]  # fmt: skip

EVERY = Field("updates", 0, 10**9, whole=True)
_File = Annotated[str, Field(file=True, doc="file to write; of a new run there must be none, unless it overwrites")]


def _means(event: Event, name: str) -> list[float]:
    """A column of the epochs that are done; of several chips their mean."""
    column = event.history[name]
    return [float(value) for value in (column.mean(axis=1) if column.ndim > 1 else column)]


@dataclass(eq=False)
class EarlyStopping(Callback):
    """Stops a run after some epochs without a better value.

    It decides by the recorded history alone, and therefore keeps nothing.
    """

    name: ClassVar[str] = "early-stopping"
    monitor: Monitor = "validation_loss"
    patience: Patience = 5
    min_delta: MinDelta = 0.0

    def on_epoch(self, event: Event) -> None:
        """Look at the last epochs."""
        values = _means(event, self.monitor)
        *_, ago = waited(values, self.monitor, self.min_delta)
        if ago >= self.patience:
            best = values[-1 - ago] if ago < len(values) else float("nan")
            event.stop(f"{self.monitor} was best ({best:.4g}) {ago} epochs before")


class Writer(Callback):
    """What those have in common that write a file, or the files of a folder.

    Attributes
    ----------
    setting : str
        The field that says where.
    """

    setting: ClassVar[str] = "path"
    _folder = Path()

    @property
    def given(self) -> str:
        """The path as it was given; refused if there is none."""
        path = str(getattr(self, self.setting))
        if not path:
            raise ValueError(f"callback {self.name!r} needs a {self.setting}: '{self.name}:{self.setting}=...'")
        return path

    @property
    def place(self) -> Path:
        """The path as seen from the present directory."""
        return self._folder / self.given

    def begin(self, start: Start) -> None:
        """Settle where it writes; that it may was looked at before (`noisysim.runs.callback_files`)."""
        self._folder = start.folder


@dataclass(eq=False)
class KeepBest(Writer):
    """Keeps the result file as it is after the best epoch, the state of the chip included, under a name of its own."""

    name: ClassVar[str] = "keep-best"
    path: _File = ""
    monitor: Monitor = "validation_loss"

    def on_epoch(self, event: Event) -> None:
        """Ask for the file if this epoch is the best."""
        values = _means(event, self.monitor)
        *_, ago = waited(values, self.monitor, 0.0)
        if ago == 0:
            event.save(self.place, f"{self.monitor} {values[-1]:.4g} after epoch {event.epoch}, the best so far")


@dataclass(eq=False)
class CSVLog(Writer):
    """Writes the history as a table, a line for every epoch, which can be read while the run learns.

    It is written in one step, at the end of an epoch, if that was not done in the last second, and at the end of the
    run. Of several chips a column of measurements is one for each, ``test_loss_0``, ``test_loss_1`` and so on.
    """

    name: ClassVar[str] = "csv-log"
    path: _File = ""

    def __post_init__(self) -> None:
        self._lines: list[str] = []
        self._waiting, self._written_at, self._took = False, -math.inf, 0.0

    def begin(self, start: Start) -> None:
        """Settle where it writes, with nothing written so far."""
        super().begin(start)
        self.__post_init__()

    def on_epoch(self, event: Event) -> None:
        """Add a line; after a run was resumed, the first time all lines before it as well."""
        self._lines += lines(event.history, len(self._lines))
        self._waiting = True
        if time.monotonic() - self._written_at > max(1.0, 20 * self._took):
            self.end()

    def end(self) -> None:
        """Write what is not written yet."""
        if self._waiting:
            began = time.monotonic()
            writing.replace(self.place, "".join(f"{line}\n" for line in self._lines).encode())
            self._waiting, self._written_at = False, time.monotonic()
            self._took = self._written_at - began


@dataclass(eq=False)
class TensorBoard(Writer):
    """Writes the history for TensorBoard, at the end of every epoch; of several chips their mean.

    It needs tensorboardX: ``pip install 'noisysim[tensorboard]'``.
    """

    name: ClassVar[str] = "tensorboard"
    setting: ClassVar[str] = "folder"
    folder: Annotated[str, Field(file=True, doc="folder of event files; of a new run it must be empty")] = ""

    def __post_init__(self) -> None:
        self._writer: Any = None

    def begin(self, start: Start) -> None:
        """Settle where it writes; refused without its library."""
        self._new_writer()
        super().begin(start)
        self.end()

    def _new_writer(self) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError(
                f"callback {self.name!r} needs tensorboardX: pip install 'noisysim[tensorboard]'"
            ) from None
        return SummaryWriter

    def on_epoch(self, event: Event) -> None:
        """Write the columns of this epoch; the first time, those of all."""
        first = event.epoch
        if self._writer is None:  # what a killed run wrote after its checkpoint is hidden
            self._writer, first = self._new_writer()(os.fspath(self.place), purge_step=1), 1
        for epoch in range(first, event.epoch + 1):
            for name in event.history:
                part, _, what = name.partition("_")
                tag = f"{what}/{part}" if part in ("train", "test", "validation") else name
                self._writer.add_scalar(tag, _means(event, name)[epoch - 1], epoch)
        self._writer.flush()

    def end(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def _columns(history: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Columns of one value a line."""
    for name, column in history.items():
        if column.ndim == 1:
            yield name, column
        else:
            yield from ((f"{name}_{m}", column[:, m]) for m in range(column.shape[1]))


def lines(history: dict[str, np.ndarray], first: int = 0) -> list[str]:
    """The lines of a log from one on: its head, and one for each epoch."""
    columns, done = dict(_columns(history)), max(0, first - 1)
    table = zip(*(map(float, column[done:]) for column in columns.values()), strict=True)
    rows = [",".join([str(k), *map(repr, row)]) for k, row in enumerate(table, done + 1)]
    return [*([] if first else [",".join(["epoch", *columns])]), *rows]


_FORM: Dataclasses[Any] = Dataclasses(
    "callback",
    Callback,
    {},
    noun="Callback class",
    nouns="callbacks",
    example="a dataclass that inherits from noisysim.callbacks.Callback, with on_epoch(self, event)",
)
WRITERS: tuple[type[Any], ...] = (KeepBest, CSVLog, TensorBoard)
_ALL: tuple[type[Any], ...] = (EarlyStopping, *WRITERS)
CALLBACKS: dict[str, type[Any]] = {cls.name: cls for cls in _ALL}
REGISTRY: Registry[type[Any], Any] = Registry("callback", _FORM, CALLBACKS, __name__)


def names() -> list[str]:
    """Names of the callbacks there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: CallbackLike) -> Any:
    """A checked callback: a name, the path of a file, either with settings, a mapping, an object, or a function.

    An object stays the object that it is. A function is called at the end of every epoch.

    Examples
    --------
    >>> get("early-stopping:patience=3")
    EarlyStopping(monitor='validation_loss', patience=3, min_delta=0.0)
    """
    if isinstance(spec, (str, os.PathLike)) or hasattr(spec, "keys"):
        callback = REGISTRY.get(spec)
    elif isinstance(spec, type):
        raise TypeError(f"callback must be an object, not a class: write {spec.__name__}()")
    elif any(hasattr(spec, name) for name in ("on_epoch", "on_update")):
        callback = spec
    elif callable(spec):
        callback = OfFunction(spec)
    else:
        known = ", ".join(names())
        raise TypeError(f"callback must be a name ({known}), a function or an object with on_epoch, not {shown(spec)}")
    _check(callback)
    return callback


def _check(callback: object) -> None:
    """Refuse settings outside their ranges, methods that take something else, and calls that never come."""
    what = f"callback {title(callback)!r}"
    if type(callback) in CALLBACKS.values():
        settings = {name: getattr(callback, name) for name in declared(type(callback))}
        checked(what, type(callback), settings, settings)
    every = getattr(callback, "every", None)
    if every is not None:
        check(what, "every", every, EVERY)
    elif getattr(type(callback), "on_update", Callback.on_update) is not Callback.on_update:
        raise ValueError(f"{what} has on_update, which is never called: set every, the updates between two calls")
    if hasattr(callback, "state") != hasattr(callback, "restore"):
        raise ValueError(f"{what} must have both state() and restore(state), or neither")
    counts = {"begin": 1, "on_epoch": 1, "on_update": 1, "restore": 1}
    functions = {"": callback.function} if isinstance(callback, OfFunction) else {}
    functions |= {name: method for name in METHODS if (method := getattr(callback, name, None)) is not None}
    for name, function in functions.items():
        if _is_no_call(function) or _is_no_call(type(function).__call__):
            which = f"its {name}" if name else "it"
            raise TypeError(f"{what} would never run: {which} is async, or has a yield, and must be a plain function")
        try:
            inspect.signature(function).bind(*[None] * counts.get(name, int(not name)))
        except TypeError:
            usage = (
                f"{name}({'event' if counts.get(name) else ''})" if name else "a function of one argument, the event"
            )
            raise TypeError(f"{what} must be {usage}") from None
        except ValueError:  # written in C
            continue


def _is_no_call(function: object) -> bool:
    """Whether calling a function would not run its code."""
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    return any(kind(function) for kind in kinds)


def describe(callback: object) -> dict[str, Any]:
    """The callback as plain values, which `get` takes again if its name or file finds it."""
    if isinstance(callback, OfFunction):
        function: Any = inspect.unwrap(callback.function)
        code = identity.of_functions(function) if inspect.isfunction(function) else identity.of_part(function)
        return {"name": callback.name, **code}
    if _FORM.definition(callback) is None:
        return {"name": title(callback), **identity.of_part(callback)}
    return REGISTRY.describe(callback)


def titles(callbacks: Iterable[Any]) -> list[str]:
    """A name of each, none twice: what is kept of it stands under that name in a checkpoint."""
    seen: list[str] = []
    for callback in callbacks:
        name, count = title(callback), 2
        while name in seen:
            name, count = f"{title(callback)} {count}", count + 1
        seen.append(name)
    return seen
