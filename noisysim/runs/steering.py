"""What steers a run from outside: the schedule of its learning rate, and its callbacks."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisysim.common import identity, writing
from noisysim.common.arguments import argument
from noisysim.common.texts import one_line
from noisysim.common.types import Array
from noisysim.common.user_files import UserError
from noisysim.learners import memory
from noisysim.runs import callback_files, callbacks, schedules
from noisysim.runs.config import Config
from noisysim.runs.events import CallbackError, Event, Start
from noisysim.runs.history import EPOCH, VALIDATED, History

Keep = Callable[[Path, str], None]
"""Writes the run's file as it stands to another path, with what is to be recorded as the end of that file's run."""


class Position(NamedTuple):
    """Where a run is.

    Attributes
    ----------
    epoch, update : int
        Epochs and updates that are done.
    updates_per_epoch : int
    """

    epoch: int
    update: int
    updates_per_epoch: int


class Steering:
    """The learning rate of a run, and the calls of its callbacks.

    Parameters
    ----------
    config : Config
    history : History
        Of the run, which callbacks see copies of.

    Attributes
    ----------
    reason : str
        Why a callback ended the run, its name first; "" if none did.
    started : float
        When the run began (`time.perf_counter`), less what earlier parts of it took.
    keep : callable or None
        What carries out `Event.save`; ``None`` where nothing can be written.
    """

    def __init__(self, config: Config, history: History):
        self._config, self._history = config, history
        self._titles = callbacks.titles(config.callbacks)
        self._scale = 1.0  # of what callbacks made of the learning rate
        self._factors: dict[int, float] = {}  # of the schedule, in the epoch under way
        self.reason = ""
        self.started = self._epoch_began = time.perf_counter()
        self.keep: Keep | None = None

    def rate(self, epoch: int) -> float:
        """The learning rate in an epoch, which may be the next one."""
        config = self._config
        rate = config.learning_rate * config.learning_rate_decay**epoch
        if config.schedule is not None:
            if epoch not in self._factors:
                columns = self._columns()
                self._factors = {epoch: schedules.factor(config.schedule, epoch, config.epochs, columns)}
            rate *= self._factors[epoch]
        return rate * self._scale

    def _rate_after_all(self) -> Callable[[], float]:
        """What gives the rate of the epoch that would follow if the run were longer (`_following`)."""
        config, last = self._config, self.rate(self._config.epochs - 1)
        before = config.learning_rate * config.learning_rate_decay**config.epochs
        if config.schedule is None:
            return functools.partial(float, before * self._scale)
        columns = self._columns()
        return functools.partial(_following, config.schedule, config.epochs, columns, before, self._scale, last)

    def _columns(self) -> dict[str, list[float]]:
        """The history as schedules see it."""
        return {name: self._history.mean(name) for name in self._history.epoch}

    def check_lengthened(self, epochs: int, began: bool) -> None:
        """Refuse a schedule that would have given the run other rates, had it had its present length from the start.

        Parameters
        ----------
        epochs : int
            How many the run was to have so far.
        began : bool
            Whether updates of an epoch under way are done.
        """
        schedule, history = self._config.schedule, self._columns()
        if schedule is None or epochs == self._config.epochs:
            return
        done = len(history["learning_rate"])
        seen = began or self._scale != 1  # what callbacks set stands in proportion to a rate that they saw
        for epoch in range(done + seen):
            before = {name: column[:epoch] for name, column in history.items()}
            was, now = (schedules.factor(schedule, epoch, n, before) for n in (epochs, self._config.epochs))
            if was != now:
                name, epochs_now = schedules.describe(schedule)["name"], self._config.epochs
                longer = argument(f"schedule='{name}:epochs={epochs_now}'")
                hint = f", such as {longer}" if hasattr(schedule, "epochs") else ""
                raise ValueError(
                    f"{argument(f'resume.epochs={epochs_now}')}: schedule {name!r} spread its rates over the {epochs} "
                    "epochs that the run was to have, and a longer run would have begun with others; to lengthen a "
                    f"run, begin it with a schedule that says itself over how many it goes{hint}"
                )

    # -- callbacks -----------------------------------------------------------------------------------------------

    def epoch_ended(self, at: Position) -> None:
        """Call the callbacks at an epoch's end; afterwards `reason` may be set."""
        self._call("on_epoch", at, self._named())
        self._epoch_began = time.perf_counter()

    def updated(self, at: Position) -> None:
        """Call those that want to see this update."""
        self._call("on_update", at, [(n, c) for n, c in self._named() if _is_due(c, at.update)])

    def watches(self, update: int) -> bool:
        """Whether a callback wants to see this update."""
        called = self._config.callbacks
        return bool(called) and any(_is_due(callback, update) for callback in called)

    def _named(self) -> Sequence[tuple[str, Any]]:
        return list(zip(self._titles, self._config.callbacks, strict=True))

    def _call(self, method: str, at: Position, called: Sequence[tuple[str, Any]]) -> None:
        saves: list[tuple[str, Path, str]] = []
        for name, callback in called:
            now, last = time.perf_counter(), at.epoch == self._config.epochs
            seconds = now - self.started, now - self._epoch_began
            of = self._config.epochs, at.updates_per_epoch
            rate = self._rate_after_all() if last else self.rate(at.epoch)
            event = Event((at.epoch, at.update), of, seconds, rate, self._history)
            _call(name, callback, method, event)
            self._scale *= event._change
            if event._reason is not None and not self.reason:
                self.reason = f"{name}: {event._reason}"
            saves += [(name, *save) for save in event._saves]
        for name, path, reason in saves:
            self._save(name, path, reason)

    def _save(self, name: str, path: Path, reason: str) -> None:
        """Write what a callback asked for; a path that cannot be written costs that file, not the run."""
        if self.keep is None:
            return
        try:
            writing.check(path)
        except (OSError, ValueError) as error:
            _warn(name, error)
            return
        try:
            self.keep(path, f"{name}: {reason}")
        except OSError as error:
            _warn(name, error)

    def end(self) -> None:
        """Tell all callbacks that the run has ended."""
        for name, callback in self._named():
            if hasattr(callback, "end"):
                _call(name, callback, "end")

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """What callbacks keep, and have made of the learning rate, as arrays; nothing of a run without either."""
        if not self._config.callbacks and self._scale == 1:
            return {}
        kept = {}
        for name, callback in self._named():
            if hasattr(callback, "state"):
                kept[name] = _call(name, callback, "state")
                memory.check(f"state() of callback {name!r}", kept[name])
        return memory.encoded({"scale": self._scale, "kept": kept}, np.asarray)

    def restore(self, saved: Mapping[str, Array]) -> None:
        """The inverse of `state`; a callback that was not there has nothing to restore."""
        if not saved:
            return
        remembered = memory.decoded(saved, np.asarray)
        self._scale = float(remembered["scale"])
        for name, callback in self._named():
            if name in remembered["kept"] and hasattr(callback, "restore"):
                _call(name, callback, "restore", remembered["kept"][name])


def _following(
    schedule: schedules.Schedule, epochs: int, columns: schedules.Columns, before: float, scale: float, last: float
) -> float:
    """The rate after the last epoch; if the schedule has none there, that of the last one.

    It is worked out only if a callback asks: a table of rates ends with the run.
    """
    try:
        rate = before * schedules.factor(schedule, epochs, epochs, columns) * scale
    except UserError:
        return last
    return rate or last


def begin(
    config: Config, overwrite: bool = False, out: Path | None = None, resumed: Mapping[str, Any] | None = None
) -> None:
    """Tell callbacks that a run begins, or is resumed from the content of its file."""
    columns, called = (*EPOCH, *(VALIDATED if config.validation else ())), config.callbacks
    began = Path() if resumed is None or out is None else callback_files.folder(resumed, out)
    start = Start(config.epochs, columns, resumed is not None, overwrite, out, began)
    callback_files.check(called, start, resumed)
    for name, callback in zip(callbacks.titles(called), called, strict=True):
        if hasattr(callback, "begin"):
            _call(name, callback, "begin", start)


def _is_due(callback: object, update: int) -> bool:
    every = getattr(callback, "every", 0)
    return bool(every) and update % every == 0


def _call(name: str, callback: object, method: str, *arguments: Any) -> Any:
    """Call a method, if there is one; what a user's raises becomes one error that names the callback."""
    function = getattr(callback, method, None)
    if function is None:
        return None
    try:
        return function(*arguments)
    except Exception as error:
        own = identity.is_outside(type(callback).__module__) or hasattr(callback, "function")
        if not own and method in ("begin", "state", "restore"):
            raise
        if not own and isinstance(error, OSError):
            _warn(name, error)
            return None
        raise CallbackError(
            f"callback {name!r} raised {type(error).__name__} in {method}: {one_line(error)}"
        ) from error


def _warn(name: str, error: Exception) -> None:
    """Say that a file could not be written."""
    message = f"callback {name!r}: {error}; the run continues, and tries again after the next epoch"
    warnings.warn(message, RuntimeWarning, stacklevel=6)
