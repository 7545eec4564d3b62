"""`run`, `resume` and `retention`: one run, from its arguments to its result, and tests of its chip after ageing."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.common import writing
from noisysim.common.fields import Field, as_list, check, check_switch, shown
from noisysim.common.texts import one_line
from noisysim.compute import backends, execution
from noisysim.runs import checkpoint_state, environment, execute, storage
from noisysim.runs import config as configuration
from noisysim.runs.result import Result
from noisysim.runs.resuming import recorded_config
from noisysim.runs.training import Training


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
    activation: Any = "leaky_relu",
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
    until: float | str | None = None,
    progress: bool | None = None,
) -> Result:
    """Train a network on a simulated chip.

    Parameters
    ----------
    task : str or Task or arrays or path
        What to learn: a name such as "fashion-mnist", with settings "student-teacher:n_in=50", arrays
        (x_train, y_train, x_test, y_test), or an HDF5 file that holds them.
    layers : list or str
        Hidden layers: numbers of units [512, 512], layers [conv(16, 3, stride=2), pool(2), 128] (on the command line
        512 512, or "conv(16, 3, stride=2)" "pool(2)" 128), or the name of a published network "dalm-convnet". The task
        decides input and output. Default: the task's own.
    device : str or path or device
        The simulated hardware: a name, the path of a device file "my_chip.py", either with settings
        "crossbar:adc_bits=6", or a device.
    learner : str or path or Learner
        The rule: a name, the path of a file that defines one "my_rule.py", either with settings "danp:samples=4", or a
        learner.
    optimizer : str or optimizer
        "adam" or "sgd", perhaps with settings "sgd:momentum=0.9".
    learning_rate : float
        Step of the optimizer. Default: one that suits the rule.
    learning_rate_decay : float
        Factor on the learning rate, each epoch. Default: the task's own.
    batch_size : int
        Samples per update. Default: the task's own.
    epochs : int
        Epochs: passes through the training split. Default: the task's own.
    activation : str or path or activation
        Activation function of hidden layers that name none: leaky_relu, relu, tanh, sigmoid or linear, or the path of
        a file that defines one "swish.py".
    bias : bool
        Give every unit a bias.
    inject : str
        Where a learner's perturbation enters: at the "line", before the ADC, or "digital", after it.
    backend : str
        Where the chip is simulated: "cpu", "cuda" (a GPU), "cuda:tf32" (a GPU, products of numbers rounded to ten bits:
        faster, and blind to small perturbations), or "auto" (a GPU if there is one).
    seed : int
        Seed of chip, noise, learner and the order of the data. The same seed gives the same bits.
    oracle : bool
        Grant the learner exact weights and gradients, which no real chip gives. Default: only where the learner
        needs it (BP).
    init : str
        Law of the initial weights: "he" (normal), "he-uniform", "uniform" (within 1 / sqrt(n_in)), "glorot" or "zero".
    diagnostics : list of str or Diagnostic
        What to measure during the run, such as ["angle", "bias:samples=50"]; the run itself stays the same to the bit.
        Those that need exact weights are granted them, the learner is not.
    every : int
        Updates from one measurement of the diagnostics to the next.
    chips : int
        How many chips of the device to train side by side, on the same data and from the same initial weights: they
        differ in fabrication, noise and the learner's draws. Results have one more axis, the chips.
    data : path
        Folder of the data files. Default: NOISYSIM_DATA, then the user's cache, then a download.
    threads : int
        Threads to use; the result does not depend on it. Default: all cores.
    out : path
        Result file to write; it is also the checkpoint from which the run can be resumed.
    overwrite : bool
        Replace an existing result file.
    checkpoint_seconds : float
        Longest time between two checkpoints; there is one at each epoch's end as well. If one cannot be
        written, because the disk is full, say, the run warns, and continues.
    until : float or str
        Time limit: end the run that long after its start, set-up included, with status "stopped". Seconds, or a text
        such as "11h50m" or "90s". noisysim.resume continues the run.
    progress : bool
        Show a progress bar. Default: on a terminal only.

    Returns
    -------
    Result
        What was recorded: history, cost, warnings, configuration. After Ctrl-C too, with status "interrupted"; SIGTERM,
        SIGHUP and SIGXCPU also end the run, and then the process, once the file is written.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, before any work; OSError also if the result cannot be written at the end.

    Examples
    --------
    >>> result = run("digits", layers=[16], device="crossbar:adc_bits=6", learner="danp", epochs=5, seed=1)
    >>> result.status, result.history["test_accuracy"].shape
    ('finished', (5,))
    >>> bool(result.history["test_accuracy"][-1] > 0.5)
    True
    """
    arguments = dict(locals())
    path = execute.check_output(out, overwrite)
    options = execute.check_options(threads, checkpoint_seconds, until, progress)
    settings = {name: arguments[name] for name in configuration.SETTINGS}
    config = configuration.resolve(**settings, data=data)
    started = time.perf_counter()
    with execute.hold(path, overwrite) as held, execution.threads(options.threads), backends.products(config.backend):
        training = Training(config)
        training.begin()
        return execute.execute(training, environment.describe(config.backend), held, started, options)


def resume(
    path: str | os.PathLike[str],
    *,
    task: Any = None,
    device: Any = None,
    learner: Any = None,
    optimizer: Any = None,
    activation: Any = None,
    diagnostics: Sequence[Any] = (),
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 30.0,
    until: float | str | None = None,
    progress: bool | None = None,
    allow_other_source: bool = False,
) -> Result:
    """Resume a run that was cut short: its result has the same bits as without the interruption.

    Parts that the run was given by name or by file are loaded again. A part that was an object of a class of your own
    must be passed again, and has to be the same: in its parameters, in its code, and in the constants and functions
    that its code reads.

    Parameters
    ----------
    path : path
        The run's result file.
    task : arrays, path or Task
        The data, for a run that learned arrays: its file does not hold them; where the run's task file is now, if it
        was moved; or the task with its loss, if that is an object, {"name": "digits", "loss": my_loss}.
    device : path or device
        Where the run's device file is now, if it was moved; or the device, if it was made in a script or a notebook.
        It must be the same to the byte; its settings are the run's.
    learner : path or Learner
        Where the run's learner file is now, if it was moved; or the learner, if it is an object of your own class.
        Settings that are given must be the run's.
    optimizer : path or optimizer
        Likewise the run's optimizer.
    activation : path or activation
        Likewise the network's activation function. Files that layers name have to be where they were.
    diagnostics : list
        Those of the run's diagnostics that are objects of your own classes, or whose files were moved.
    data : path
        Folder of the data files.
    threads : int
        Threads to use.
    checkpoint_seconds : float
        Longest time between two checkpoints.
    until : float or str
        As in `run`, from the start of this call.
    progress : bool
        Show a progress bar. Default: on a terminal only.
    allow_other_source : bool
        Resume although the source of noisysim, or of your own parts, is not the one the run began with: the bits may
        be others from here on. The result's warnings say so.

    Returns
    -------
    Result
        Of the whole run. A run that was finished is returned as it is.

    Raises
    ------
    ValueError
        If data, settings or source are not the run's, saying which and how; or if the file holds no complete state.
    """
    path = Path(path)
    options = execute.check_options(threads, checkpoint_seconds, until, progress)
    allow_other_source = check_switch("resume.allow_other_source", allow_other_source)
    content = storage.read(path)
    if content["status"] not in storage.RESUMABLE:
        return Result(content, path)
    parts = {
        "task": task, "device": device, "learner": learner, "optimizer": optimizer, "activation": activation,
        "diagnostics": diagnostics,
    }  # fmt: skip
    with writing.hold(path) as held:
        content = storage.read(path)  # now that no other process writes it
        if content["status"] not in storage.RESUMABLE:
            return Result(content, path)
        config, notes = recorded_config(content, path, parts, data, allow_other_source)
        with execution.threads(options.threads), backends.products(config.backend):
            training = _restored(config, content, path)
            training.notes += notes
            started = options.called - content["elapsed"]
            return execute.execute(training, content["environment"], held, started, options)


def retention(
    result: Result | str | os.PathLike[str],
    seconds: Sequence[float],
    *,
    task: Any = None,
    device: Any = None,
    learner: Any = None,
    optimizer: Any = None,
    activation: Any = None,
    diagnostics: Sequence[Any] = (),
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    allow_other_source: bool = False,
) -> dict[str, npt.NDArray[np.float64]]:
    """Test a run's chip after it has aged for some time: how much of what it learned remains.

    Parameters
    ----------
    result : Result or path
        A run, or its result file. It stays as it is.
    seconds : list of float
        Seconds after the end of the run at which to test, rising; the passes of a test take time as well.
    task : arrays, path or Task
        The data, for a run that learned arrays: its file does not hold them (`resume`).
    device : path or device
        Where the run's device file is now, if it was moved (`resume`).
    learner : path or Learner
        Where the run's learner file is now, if it was moved (`resume`).
    optimizer : path or optimizer
        Likewise the run's optimizer (`resume`).
    activation : path or activation
        Likewise the network's activation function (`resume`).
    diagnostics : list
        Those of the run's diagnostics that are objects of your own classes, or whose files were moved.
    data : path
        Folder of the data files.
    threads : int
        Threads to use.
    allow_other_source : bool
        Test although the source of noisysim, or of your own parts, is not the one the run began with.

    Returns
    -------
    dict of numpy.ndarray
        "seconds", "test_loss", "test_accuracy" (a fraction; NaN if the task is no classification), one value per time;
        for several chips (times, chips).
    """
    times = check_times("seconds", seconds)
    if not times:
        raise ValueError("seconds must be one or more times, rising, not []")
    content, path = (
        (result.content, result.path) if isinstance(result, Result) else (storage.read(result), Path(result))
    )
    check_switch("retention.allow_other_source", allow_other_source)
    parts = {
        "task": task, "device": device, "learner": learner, "optimizer": optimizer, "activation": activation,
        "diagnostics": diagnostics,
    }  # fmt: skip
    config, _ = recorded_config(content, path, parts, data, allow_other_source)
    with execution.threads(execute.check_threads(threads)), backends.products(config.backend):
        training = _restored(config, content, path)
        began, tests = training.chip.clock, []
        for t in times:
            training.chip.wait(max(0.0, began + t - training.chip.clock))
            tests.append(training.test())
    losses, accuracies = np.array(tests).swapaxes(0, 1)
    if training.chips == 1:
        losses, accuracies = losses[:, 0], accuracies[:, 0]
    return {"seconds": np.array(times), "test_loss": losses, "test_accuracy": accuracies}


def check_times(name: str, values: object) -> list[float]:
    """Times at which a chip is to be tested again, seconds, rising."""
    listed = as_list(values)
    if isinstance(listed, (str, bytes)) or not isinstance(listed, Sequence):
        raise TypeError(f"{name} must be a list of times such as [0, 3600], not {shown(values)}")
    times = [check("", name, t, Field("s", 0, 1e12)) for t in listed]
    if times != sorted(times):
        raise ValueError(f"{name} must be one or more times, rising, not {shown(times)}")
    return times


def _restored(config: configuration.Config, content: dict[str, Any], path: Path | None) -> Training:
    """A recorded run in the state it had."""
    training = Training(config)
    try:
        checkpoint_state.restore(training, content["arrays"])
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path or 'this run'} holds no complete state to resume from: {one_line(error)}") from None
    return training


ARGUMENTS = tuple(inspect.signature(run).parameters)
"""The names of `run`'s arguments."""
