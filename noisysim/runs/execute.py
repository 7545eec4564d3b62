"""A run carried out: how it is executed, checked before any work, and its result file while it is under way."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from noisysim import tasks
from noisysim.common import writing
from noisysim.common.fields import PATH, check, check_switch, shown
from noisysim.common.limits import THREADS
from noisysim.compute.jit import ahead
from noisysim.runs import checkpoint_state, digital, displays, findings, signals, storage
from noisysim.runs.arguments import CHECKPOINT_SECONDS
from noisysim.runs.checkpoints import Checkpoints
from noisysim.runs.events import CallbackError
from noisysim.runs.result import Result
from noisysim.runs.training import Training


class Options(NamedTuple):
    """How a run is executed; none of it changes what the run computes.

    Attributes
    ----------
    called : float
        When the run was asked for (`time.perf_counter`).
    threads : int or None
    checkpoint_seconds : float
    limit : float or None
        Seconds after `called` at which to stop.
    progress : bool or None
    """

    called: float
    threads: int | None
    checkpoint_seconds: float
    limit: float | None
    progress: bool | None

    @property
    def time_left(self) -> float | None:
        """Seconds that are left of the time limit."""
        return None if self.limit is None else self.limit - (time.perf_counter() - self.called)

    def announcing(self) -> contextlib.AbstractContextManager[None]:
        """Say it if loops have to be compiled first."""
        return ahead.announced(partial(displays.remark, self.progress, COMPILING))


COMPILING = "compiling for this processor, which later runs need not do"


def check_options(threads: object, checkpoint_seconds: object, until: object, progress: object) -> Options:
    """Arguments of `noisysim.run` that say how it is executed, checked."""
    called, limit = time.perf_counter(), signals.seconds(until)
    seconds = check("run", "checkpoint_seconds", checkpoint_seconds, CHECKPOINT_SECONDS)
    return Options(called, check_threads(threads), seconds, limit, check_switch("run.progress", progress, None))


def check_threads(threads: object) -> int | None:
    """A number of threads; ``None`` for the default."""
    return None if threads is None else int(check("run", "threads", threads, THREADS))


def check_output(out: object, overwrite: object) -> Path | None:
    """The path of a result file that can be written; ``None`` for none."""
    replace: bool = check_switch("run.overwrite", overwrite)
    if out is None:
        return None
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"out must be a path, not {shown(out)}")
    path = Path(out)
    try:
        writing.check(path, replace, _is_run(path, replace))
    except OSError as error:
        if error.filename is None:
            raise
        place = shown(os.fspath(path), PATH)
        raise type(error)(f"cannot write {place}: {error.strerror}") from None  # in one short line
    return path


def check_apart(out: Path | None, task: object, init: object) -> None:
    """Refuse a result file that would replace the data or the weights which the run begins with."""
    if out is not None:
        data = tasks.file_spec(task.get("name") if isinstance(task, Mapping) else task)
        writing.check_apart(out, {"the task's data": data and data[0], "the file of initial weights": init})


def hold(path: Path | None, overwrite: bool) -> contextlib.AbstractContextManager[writing.Held | None]:
    """The result file, if there is one, held against other runs."""
    return contextlib.nullcontext() if path is None else writing.hold(path, overwrite, _is_run(path, overwrite))


def _is_run(path: Path, overwrite: bool) -> bool:
    """Whether a file that is in the way is that of a run."""
    return not overwrite and path.is_file() and storage.kind(path) == "run"


def execute(
    training: Training, environment: dict[str, Any], held: writing.Held | None, started: float, options: Options
) -> Result:
    """Run a training that has begun to its end, with checkpoints.

    Parameters
    ----------
    training : Training
    environment : dict
        Where it began (`noisysim.runs.environment.describe`).
    held : Held or None
        The result file.
    started : float
        When it began (`time.perf_counter`); before it was resumed, if it was.
    options : Options
    """
    settings = training.config.plain()

    def content(ended: bool) -> dict[str, Any]:
        state = checkpoint_state.state(training, ended)  # first: it fetches what the history does not have yet
        return {
            "status": training.status,
            "reason": training.steering.reason,
            "elapsed": time.perf_counter() - started,
            "config": settings,
            "environment": environment,
            "warnings": findings.warnings(training),
            "cost": digital.account(training, training.chip.cost),
            "arrays": {**training.history.arrays(), **state},
        }

    checkpoints = Checkpoints(held, content)
    training.steering.started, training.steering.keep = started, checkpoints.copy
    with signals.listening(options.time_left) as stop:
        checkpoints.begin()
        try:
            training.run(options.progress, stop, checkpoints if held else None, options.checkpoint_seconds)
            return Result(checkpoints.end(), held.path if held else None)
        except CallbackError as error:
            hint = f"; noisysim resume {held.path} continues from its last checkpoint" if held else ""
            raise CallbackError(f"{error}{hint}") from error.__cause__
        finally:
            training.steering.end()
