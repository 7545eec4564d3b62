"""`run`, `resume` and `retention`: one run, from its arguments to its result, and what time leaves of it."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim import backends, environment, execution, storage, tasks
from noisysim import config as configuration
from noisysim.fields import Field, check, check_switch
from noisysim.results import Result
from noisysim.training import Training


def run(
    task: Any = "digits",
    *,
    layers: str | Sequence[Any] | None = None,
    device: Any = "crossbar",
    learner: Any = "danp",
    optimizer: Any = "adam",
    learning_rate: float | None = None,
    learning_rate_decay: float | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    activation: str = "leaky_relu",
    bias: bool = False,
    inject: str = "line",
    backend: str = "cpu",
    seed: int = 0,
    oracle: bool | None = None,
    init: str = "he",
    diagnostics: Sequence[Any] = (),
    every: int = 50,
    chips: int = 1,
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    checkpoint_seconds: float = 30.0,
    progress: bool | None = None,
) -> Result:
    """Train a network on a simulated chip.

    Parameters
    ----------
    task : str or Task or arrays or path
        What to learn: a name such as "fashion-mnist", with settings "student-teacher:n_in=50", arrays
        (x_train, y_train, x_test, y_test), or an HDF5 file that holds them.
    layers : list or str
        Hidden layers: units [512, 512], layers [conv(16, 3, stride=2), pool(2), 128], also as texts, or the name of a
        published network "dalm-convnet". The task gives input and output. Left out, the task's own.
    device : str or path or device
        What the arrays are made of: a name, the path of a device file "my_chip.py", either with settings
        "crossbar:adc_bits=6", or a device.
    learner : str or Learner
        The rule: a name, a name with settings "danp:samples=4", or a learner.
    optimizer : str or optimizer
        "adam" or "sgd", perhaps with settings "sgd:momentum=0.9".
    learning_rate : float
        Step of the optimizer. Left out, one that suits the rule.
    learning_rate_decay : float
        Factor on the learning rate, each epoch. Left out, the task's own.
    batch_size : int
        Samples an update. Left out, the task's own.
    epochs : int
        Times through the training split. Left out, the task's own.
    activation : str
        Of hidden units that have none of their own: leaky_relu, relu, tanh, sigmoid or linear.
    bias : bool
        Give every unit a bias.
    inject : str
        Where a learner's perturbation enters: at the "line", before the ADC, or "digital", after it.
    backend : str
        Where the chip is simulated: "cpu", "cuda" (a GPU), "cuda:tf32" (a GPU, products of numbers rounded to ten bits:
        faster, and blind to small perturbations), or "auto" (a GPU if there is one).
    seed : int
        Of chip, noise, learner and the order of the data. The same seed gives the same bits.
    oracle : bool
        Grant the learner what no chip gives. Left out, exactly where the learner cannot do without (BP).
    init : str
        Law of the initial weights: "he" (normal), "he-uniform", "uniform" (within 1 / sqrt(n_in)), "glorot" or "zero".
    diagnostics : list of str or Diagnostic
        What to measure beside the run, such as ["angle", "bias:samples=50"]; the run itself stays the same to the bit.
        Those that need exact weights are granted them, the learner is not.
    every : int
        Updates between two looks of the diagnostics.
    chips : int
        How many chips of the device to train side by side, on the same data and from the same initial weights: they
        differ in fabrication, noise and the learner's draws. What each measures has an axis more in the result.
    data : path
        Folder of the data files. Left out, NOISYSIM_DATA, then the user's cache, then a download.
    threads : int
        Threads to use; the result does not depend on it. Left out, all cores.
    out : path
        Result file to write; it is also the checkpoint from which the run can be resumed.
    overwrite : bool
        Replace an existing result file.
    checkpoint_seconds : float
        Longest time between two checkpoints, besides the one at each epoch's end.
    progress : bool
        Show a progress bar. Left out, on a terminal only.

    Returns
    -------
    Result
        What was recorded: history, cost, warnings, configuration.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, before any work.
    """
    path = _output(out, overwrite)
    threads, seconds = _threads(threads), _seconds(checkpoint_seconds)
    check_switch("run.progress", progress, None)
    resolved = configuration.resolve(
        task=task, layers=layers, device=device, learner=learner, optimizer=optimizer, learning_rate=learning_rate,
        learning_rate_decay=learning_rate_decay, batch_size=batch_size, epochs=epochs, activation=activation, bias=bias,
        inject=inject, backend=backend, seed=seed, oracle=oracle, init=init, diagnostics=diagnostics, every=every,
        chips=chips, data=data,
    )  # fmt: skip
    started = time.perf_counter()
    with execution.threads(threads), backends.products(resolved.backend):
        training = Training(resolved)
        training.begin()
        return _go_on(training, environment.describe(resolved.backend), path, started, seconds, progress)


def resume(
    path: str | os.PathLike[str],
    *,
    task: Any = None,
    device: Any = None,
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 30.0,
    progress: bool | None = None,
) -> Result:
    """Go on with an interrupted run, to the bits it would have had undisturbed.

    Parameters
    ----------
    path : path
        The run's result file.
    task : arrays
        The data, for a run that learned arrays: its file does not hold them.
    device : path or device
        Where the run's device file is now, if it was moved; or the device, if it was made in a script or a notebook.
        It must be the same to the byte; its settings are the run's.
    data : path
        Folder of the data files.
    threads : int
        Threads to use.
    checkpoint_seconds : float
        Longest time between two checkpoints.
    progress : bool
        Show a progress bar. Left out, on a terminal only.

    Returns
    -------
    Result
        Of the whole run. A run that was finished is returned as it is.
    """
    path = Path(path)
    threads, seconds = _threads(threads), _seconds(checkpoint_seconds)
    check_switch("run.progress", progress, None)
    content = storage.read(path)
    if content["status"] in ("finished", "diverged"):
        return Result.of(content, path)
    resolved = _taken_up(content, path, task, device, data)
    started = time.perf_counter() - content["elapsed"]
    with execution.threads(threads), backends.products(resolved.backend):
        training = _restored(resolved, content, path)
        training.notes += environment.moved(content["environment"])
        return _go_on(training, content["environment"], path, started, seconds, progress)


def retention(
    result: Result | str | os.PathLike[str],
    seconds: Sequence[float],
    *,
    task: Any = None,
    device: Any = None,
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
) -> dict[str, np.ndarray]:
    """Test a run's chip as it is after having lain for some time: what drift has left of what it learned.

    Parameters
    ----------
    result : Result or path
        A run, or its result file. It stays as it is.
    seconds : list of float
        Times since the end of the run, rising; the passes of a test take their time as well.
    task, device, data, threads
        As in `resume`.

    Returns
    -------
    dict of numpy.ndarray
        "seconds", "test_loss", "test_accuracy" (a fraction; NaN if the task is no classification), one value a time; of
        several chips (times, chips).
    """
    times = [check("", "seconds", t, Field("s", 0, 1e12)) for t in _listed(seconds)]
    if not times or times != sorted(times):
        raise ValueError(f"seconds must be one or more times, rising, not {times}")
    content, path = (
        (result.content, result.path) if isinstance(result, Result) else (storage.read(result), Path(result))
    )
    resolved = _taken_up(content, path, task, device, data)
    with execution.threads(_threads(threads)), backends.products(resolved.backend):
        training = _restored(resolved, content, path)
        began, tests = training.chip.clock, []
        for t in times:
            training.chip.wait(max(0.0, began + t - training.chip.clock))
            tests.append(training.test())
    losses, accuracies = np.array(tests).swapaxes(0, 1)
    if training.chips == 1:
        losses, accuracies = losses[:, 0], accuracies[:, 0]
    return {"seconds": np.array(times), "test_loss": losses, "test_accuracy": accuracies}


def _listed(values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"seconds must be a list of times such as [0, 3600], not {values!r}")
    return list(values)


def _taken_up(content: dict[str, Any], path: Path | None, task: Any, device: Any, data: Any) -> configuration.Config:
    """The settings of a run recorded, with its data, which must be the same, at hand again."""
    stored = content["config"]
    given = dict(stored) if task is not None else configuration.rerunnable(stored)
    learned, name = stored["task"], path or "this run"
    if isinstance(task, (tuple, list)) and learned["name"] == "arrays":
        task = tasks.get(task, seed=stored["seed"], **learned["settings"])
    given["task"] = task if task is not None else given["task"]
    given["device"] = stored["device"] if device is None else devices.again(stored["device"], device)
    resolved = configuration.resolve(**given, data=data)
    found = resolved.task.describe()
    if found["crc32"] != learned["crc32"]:
        raise ValueError(f"{name} was learning other data than these (CRC-32 {learned['crc32']}, now {found['crc32']})")
    if found["settings"] != learned["settings"]:
        raise ValueError(f"{name} was learning with task settings {learned['settings']}, not {found['settings']}")
    return resolved


def _restored(resolved: configuration.Config, content: dict[str, Any], path: Path | None) -> Training:
    """A recorded run as it stood."""
    training = Training(resolved)
    try:
        training.resume(content["arrays"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path or 'this run'} holds no whole state to go on from: {error}") from None
    return training


ARGUMENTS = tuple(inspect.signature(run).parameters)
"""The names of `run`'s arguments."""


def _go_on(
    training: Training, where: dict[str, Any], path: Path | None, started: float, seconds: float, show: bool | None
) -> Result:
    plain = training.config.plain()

    def result() -> Result:
        state = training.state()  # first: it fetches what the history does not have yet
        content = {
            "status": training.status,
            "elapsed": time.perf_counter() - started,
            "config": plain,
            "environment": where,
            "warnings": training.warnings(),
            "cost": training.chip.cost.as_dict(),
            "arrays": {**training.history.arrays(), **state},
        }
        return Result.of(content, path)

    def checkpoint() -> None:
        assert path is not None
        storage.write(path, result().content)

    if path is not None:
        checkpoint()
    training.run(show, checkpoint if path else None, seconds)
    ended = result()
    if path is not None:
        storage.write(path, ended.content)
    return ended


def _output(out: Any, overwrite: bool) -> Path | None:
    check_switch("run.overwrite", overwrite)
    if out is None:
        return None
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"out must be a path, not {out!r}")
    path = Path(out)
    storage.check_writable(path, overwrite)
    return path


def _threads(threads: Any) -> int | None:
    return None if threads is None else check("run", "threads", threads, Field("", 1, 4096, whole=True))


def _seconds(seconds: Any) -> float:
    return check("run", "checkpoint_seconds", seconds, Field("", 0))
