"""What callbacks are: called while a run learns, they see what it has recorded, and may steer it.

A callback is a function of one argument, an `Event`, called at the end of every epoch; or an object with some of the
methods of `Callback`. It never sees chip, weights, noise or the learner's state.
"""

from __future__ import annotations

import functools
import math
import numbers
import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from noisysim.common.fields import shown
from noisysim.common.texts import one_line
from noisysim.common.user_files import UserError
from noisysim.runs.history import History

LONGEST = 300
"""Characters of a reason that are kept."""


class CallbackError(UserError):
    """What a user's callback raised, with its name."""


class Start(NamedTuple):
    """What a callback is told before a run begins, or is resumed.

    Attributes
    ----------
    epochs : int
        Of the whole run.
    columns : tuple of str
        Names of the columns of its history.
    resumed : bool
        Whether it was begun before: then files that exist are the run's own.
    overwrite : bool
        Whether files that exist may be replaced.
    out : Path or None
        The run's result file.
    folder : Path
        Where the run began, as seen from the present directory: what recorded paths are relative to.
    """

    epochs: int
    columns: tuple[str, ...]
    resumed: bool = False
    overwrite: bool = False
    out: Path | None = None
    folder: Path = Path()


class Event:
    """What a callback sees: the end of an epoch, or an update.

    Attributes
    ----------
    epoch : int
        Epochs that are done.
    epochs : int
        Of the whole run.
    update : int
        Updates that are done.
    updates_per_epoch : int
    seconds : float
        Since the run began, set-up and earlier parts of a resumed run included. When a run is repeated it is another
        time: a callback that steers by it takes from the run that the same seed gives the same bits.
    epoch_seconds : float
        Since this epoch began; of one that was cut short, since it was resumed.
    """

    def __init__(
        self,
        at: tuple[int, int],
        of: tuple[int, int],
        seconds: tuple[float, float],
        learning_rate: float | Callable[[], float],
        history: History,
    ):
        self.epoch, self.update = at
        self.epochs, self.updates_per_epoch = of
        self.seconds, self.epoch_seconds = seconds
        self._history, self._offered = history, learning_rate
        self._asked: float | None = None
        self._change = 1.0  # of the learning rate, as a factor
        self._reason: str | None = None
        self._saves: list[tuple[Path, str]] = []

    @functools.cached_property
    def history(self) -> dict[str, np.ndarray]:
        """Copies of the columns of the epochs that are done (`noisysim.Result.history`)."""
        return self._history.arrays()["history/epoch"]

    @functools.cached_property
    def steps(self) -> dict[str, np.ndarray]:
        """Copies of the columns of the updates that are done, such as train_loss (`noisysim.Result.steps`)."""
        return self._history.arrays()["history/step"]

    @functools.cached_property
    def _rate(self) -> float:
        """The learning rate before it is set; worked out only if a callback asks for it."""
        return self._offered() if callable(self._offered) else self._offered

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update; may be set.

        What is set holds until it is set again, and a schedule goes on from it: its factors keep their ratios. After
        the last epoch it is that of the update that would follow if the run were longer; of a schedule that has none
        there, because it raises an error or gives 0, that of the last update.
        """
        return self._rate if self._asked is None else self._asked

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or not 0 < rate < math.inf:
            raise ValueError(f"learning_rate must be a finite number above 0, not {shown(rate)}")
        if not self._rate:
            raise ValueError("the schedule's learning rate is 0 here, and no factor makes another of it")
        self._asked, self._change = float(rate), float(rate) / self._rate

    def stop(self, reason: str = "asked to") -> None:
        """End the run here, complete, with status "stopped".

        Parameters
        ----------
        reason : str
            Recorded, and shown behind the callback's name.
        """
        self._reason = one_line(reason)[:LONGEST]

    def save(self, path: str | os.PathLike[str], reason: str = "asked to") -> None:
        """Have the run write its result file as it stands, the state of the chip included, to another path as well.

        It is written in one step once all callbacks were called. `noisysim.retention` tests its chip.

        Parameters
        ----------
        path : path
            A file there is replaced.
        reason : str
            Recorded as what ended this file's run.
        """
        self._saves.append((Path(path), one_line(reason)[:LONGEST]))


class Callback:
    """What a callback may define; all of it may be left out.

    Attributes
    ----------
    name : str
        For messages and records. Default: the class's name.
    every : int
        Updates between two calls of `on_update`; with 0 there are none.
    """

    name: ClassVar[str] = ""
    every: int | None = None

    def begin(self, start: Start) -> None:
        """Called before a run begins, and when it is resumed, before any work."""

    def on_epoch(self, event: Event) -> None:
        """Called at the end of each epoch, once its tests are recorded."""

    def on_update(self, event: Event) -> None:
        """Called after each `every`-th update."""

    def end(self) -> None:
        """Called when the run ends, however it ends."""

    def state(self) -> dict[str, Any]:
        """What is kept from one call to the next, for a checkpoint.

        Arrays of numbers, numbers, texts, None, or lists, tuples and dicts of them (`noisysim.learners.memory`).
        """
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`, called after `begin` when a run is resumed."""


CallbackLike = Callback | Callable[[Event], Any] | str | os.PathLike[str] | Mapping[str, Any]
"""What `noisysim.run` takes for a callback."""


class OfFunction:
    """A function that is called at the end of each epoch, as a callback."""

    def __init__(self, function: Callable[[Event], Any]):
        self.function = function
        self.name = str(getattr(function, "__name__", type(function).__name__))

    def on_epoch(self, event: Event) -> None:
        """Call it."""
        self.function(event)


METHODS = tuple(name for name, value in vars(Callback).items() if isinstance(value, types.FunctionType))
"""What a callback may define."""


def title(callback: object) -> str:
    """What messages call a callback."""
    name = getattr(callback, "name", "")
    return name if isinstance(name, str) and name else type(callback).__name__
