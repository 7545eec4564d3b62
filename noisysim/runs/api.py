"""`run`, `resume` and `retention`: one run, from its arguments to its result, and what time leaves of it."""

from __future__ import annotations

import contextlib
import inspect
import os
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim.chip.checking import SEED
from noisysim.common import writing
from noisysim.common.fields import PATH, Field, as_list, check, check_names, check_switch, shown
from noisysim.common.texts import one_line
from noisysim.compute import backends, execution
from noisysim.networks.architecture import Architecture, architecture, with_ends
from noisysim.runs import chunks, environment, signals, storage
from noisysim.runs import config as configuration
from noisysim.runs.checkpoints import Checkpoints
from noisysim.runs.result import Result
from noisysim.runs.resuming import taken_up
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
        Hidden layers: units [512, 512], layers [conv(16, 3, stride=2), pool(2), 128], also as texts, or the name of a
        published network "dalm-convnet". The task gives input and output. Left out, the task's own.
    device : str or path or device
        What the arrays are made of: a name, the path of a device file "my_chip.py", either with settings
        "crossbar:adc_bits=6", or a device.
    learner : str or path or Learner
        The rule: a name, the path of a file that defines one "my_rule.py", either with settings "danp:samples=4", or a
        learner.
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
        Longest time between two checkpoints, besides the one at each epoch's end. One that cannot be written, on a full
        disk for one, is a warning, and the next one tries again.
    until : float or str
        End the run so long after its start, set-up included, with status "stopped": seconds, or a text such as
        "11h50m" or "90s". noisysim.resume takes it up.
    progress : bool
        Show a progress bar. Left out, on a terminal only.

    Returns
    -------
    Result
        What was recorded: history, cost, warnings, configuration. After Ctrl-C as well, with status "interrupted"; so
        does SIGTERM, SIGHUP or SIGXCPU end a run, and takes its course once the file is written.

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
    began, limit = time.perf_counter(), signals.seconds(until)
    path = _output(out, overwrite)
    threads, seconds = _threads(threads), _seconds(checkpoint_seconds)
    progress = check_switch("run.progress", progress, None)
    resolved = configuration.resolve(
        task=task, layers=layers, device=device, learner=learner, optimizer=optimizer, learning_rate=learning_rate,
        learning_rate_decay=learning_rate_decay, batch_size=batch_size, epochs=epochs, activation=activation, bias=bias,
        inject=inject, backend=backend, seed=seed, oracle=oracle, init=init, diagnostics=diagnostics, every=every,
        chips=chips, data=data,
    )  # fmt: skip
    started = time.perf_counter()
    with _held(path, overwrite) as held, execution.threads(threads), backends.products(resolved.backend):
        training = Training(resolved)
        training.begin()
        where = environment.describe(resolved.backend)
        return _go_on(training, where, held, started, seconds, _left(limit, began), progress)


def together(
    seeds: Sequence[int], *, threads: int | None = None, progress: bool | None = None, **arguments: Any
) -> list[Result]:
    """Runs that differ in their seeds only, side by side: what `run` gives for each seed, in less time.

    On the CPU each is, bit for bit, the run that its seed gives alone; on a GPU batched products round otherwise.

    Parameters
    ----------
    seeds : list of int
    threads : int
        Threads to use.
    progress : bool
        Show a progress bar, of all together. Left out, on a terminal only.
    **arguments
        Those of `run`, but for ``seed``, ``chips``, ``out``, ``overwrite``, ``checkpoint_seconds`` and ``until``.

    Returns
    -------
    list of Result
        One for each seed, with an equal part of the time taken. None holds the state of its chip: it cannot be resumed,
        nor asked for its `retention`.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, and for runs that cannot go side by side (`stackable`).
    """
    check_names("run", arguments, TOGETHER)
    threads = _threads(threads)
    progress = check_switch("run.progress", progress, None)
    seeds = as_list(seeds)
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds:
        raise ValueError(f"seeds must be a list of one or more, not {shown(seeds)}")
    checked = [check("run", "seed", seed, SEED) for seed in seeds]
    started = time.perf_counter()
    usual = {name: parameter.default for name, parameter in inspect.signature(run).parameters.items()}
    given = {name: arguments.get(name, usual[name]) for name in TOGETHER}
    config = configuration.resolve(**given, seed=checked[0])
    if said := _obstacle(config, len(checked)):
        raise ValueError(f"runs of {len(checked)} seeds cannot go side by side: {said}; run them one after another")
    where = environment.describe(config.backend)
    with execution.threads(threads), backends.products(config.backend), signals.listening() as stop:
        training = Training(replace(config, chips=len(checked)), checked)
        training.begin()
        training.run(progress, stop)
    plain, results = config.plain(), []
    for m, seed in enumerate(checked):
        own = {"config": {**deepcopy(plain), "seed": seed}, "environment": dict(where), **training.of_one(m)}
        results.append(Result.of({**own, "elapsed": 0.0}, None))
    for result in results:
        result.elapsed = result.content["elapsed"] = (time.perf_counter() - started) / len(results)
    return results


def stackable(config: configuration.Config, chips: int) -> bool:
    """Whether `together` takes so many runs of a configuration, which differ in their seeds only."""
    return not _obstacle(config, chips)


def _obstacle(config: configuration.Config, chips: int) -> str:
    """Why runs that differ in their seeds only cannot go side by side; nothing if they can."""
    learner, task = config.learner, config.task
    if config.chips > 1:
        return f"each has chips={config.chips} of its own"
    if config.diagnostics:
        return "diagnostics look at one chip"
    if any("seed" in note for note in task.notes):  # a task says so if its seed has drawn anything of it
        return f"the data of task {task.name!r} depend on the seed"
    if config.backend != "cpu" and "pulse" in devices.own_hooks(config.device):
        return "on a GPU pulses are counted for all chips together"
    net, rows = _net_and_rows(config)
    if chunks.additive(learner, net) and chunks.held_at_once(learner, net, chips) < rows:
        return "an update of all is too large to be held at once"  # one alone would not be cut, or otherwise
    return ""


def _net_and_rows(config: configuration.Config) -> tuple[Architecture, int]:
    """The network of a run, and the samples of its updates."""
    task = config.task
    net = architecture(with_ends(task.input_shape, config.layers, task.n_out), config.activation, config.bias)
    return net, min(config.batch_size, task.n_train)


WORTH = 2e7
"""Operations that an update of one run may have, for several side by side to be worth it.

Time of 5 runs alone over that of 5 side by side, on one core, "crossbar", by millions of such operations:

============================  ===============  ===============
task, hidden layer, batch     np               danp
============================  ===============  ===============
digits, 32, 32                1.8 (at 1)       1.7 (at 2)
digits, 128, 32               1.4 (at 4)       1.6 (at 6)
digits, 256, 32               1.4 (at 7)       1.2 (at 16)
digits, 512, 32               1.3 (at 15)      1.1 (at 49)
fashion-mnist, 32, 100        1.2 (at 20)      1.1 (at 266)
fashion-mnist, 128, 100       1.1 (at 81)      1.05 (at 333)
============================  ===============  ===============

More runs save more: of the first row, with np, 2 save a quarter of their time (1.3), 16 almost two thirds (2.8).
"""
ON_A_GPU = 100
"""So many times more may they be on a GPU, where a small update is all launches of kernels (not measured)."""


def worth_stacking(config: configuration.Config, chips: int) -> bool:
    """Whether so many runs that differ in their seeds only are well faster side by side than one after another.

    By shapes alone: what is saved is what an update costs whatever its size.
    """
    learner, (net, rows) = config.learner, _net_and_rows(config)
    passes = 1 + getattr(learner, "samples", 1) * (net.depth if getattr(learner, "one_by_one", False) else 1)
    weights = sum(p * n_out * n_in for p, (n_out, n_in) in zip(net.positions, net.shapes, strict=True))
    squares = sum(p * n * n for p, n in zip(net.positions, net.fan_in, strict=True)) if learner.decorrelation else 0
    written = 100 * sum(n_out * n_in for n_out, n_in in net.shapes)  # a write costs about as much as 100 products
    work = 2 * (rows * ((passes + 1) * weights + 2 * squares) + written)
    most = ON_A_GPU * WORTH if backends.get(config.backend).BATCHED_PRODUCTS else WORTH
    return chips > 1 and work <= most and stackable(config, chips)


def resume(
    path: str | os.PathLike[str],
    *,
    task: Any = None,
    device: Any = None,
    learner: Any = None,
    optimizer: Any = None,
    diagnostics: Sequence[Any] = (),
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    checkpoint_seconds: float = 30.0,
    until: float | str | None = None,
    progress: bool | None = None,
    allow_other_source: bool = False,
) -> Result:
    """Resume a run that was cut short, to the bits it would have had undisturbed.

    What the run was given by a name or by a file is found again by it. A part that was an object of a class of your own
    is given again, and has to be the same: in its parameters, in its code, and in the constants and functions that its
    code reads.

    Parameters
    ----------
    path : path
        The run's result file.
    task : arrays or Task
        The data, for a run that learned arrays: its file does not hold them.
    device : path or device
        Where the run's device file is now, if it was moved; or the device, if it was made in a script or a notebook.
        It must be the same to the byte; its settings are the run's.
    learner : path or Learner
        The same of the learner. Settings that are given must be the run's.
    optimizer : optimizer
        The run's, if it is an object of your own class.
    diagnostics : list
        Those of the run that are objects of your own classes.
    data : path
        Folder of the data files.
    threads : int
        Threads to use.
    checkpoint_seconds : float
        Longest time between two checkpoints.
    until : float or str
        As in `run`, from the start of this call.
    progress : bool
        Show a progress bar. Left out, on a terminal only.
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
        If data, settings or source are not the run's, saying which and how; or if the file holds no whole state.
    """
    path = Path(path)
    began, limit = time.perf_counter(), signals.seconds(until)
    threads, seconds = _threads(threads), _seconds(checkpoint_seconds)
    progress = check_switch("run.progress", progress, None)
    allow_other_source = check_switch("resume.allow_other_source", allow_other_source)
    content = storage.read(path)
    if content["status"] not in storage.RESUMABLE:
        return Result.of(content, path)
    parts = {"task": task, "device": device, "learner": learner, "optimizer": optimizer, "diagnostics": diagnostics}
    with writing.hold(path) as held:
        content = storage.read(path)  # now that nobody else writes it
        if content["status"] not in storage.RESUMABLE:
            return Result.of(content, path)
        resolved, notes = taken_up(content, path, parts, data, allow_other_source)
        with execution.threads(threads), backends.products(resolved.backend):
            training = _restored(resolved, content, path)
            training.notes += notes
            started, where = began - content["elapsed"], content["environment"]
            return _go_on(training, where, held, started, seconds, _left(limit, began), progress)


def retention(
    result: Result | str | os.PathLike[str],
    seconds: Sequence[float],
    *,
    task: Any = None,
    device: Any = None,
    learner: Any = None,
    optimizer: Any = None,
    diagnostics: Sequence[Any] = (),
    data: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    allow_other_source: bool = False,
) -> dict[str, np.ndarray]:
    """Test a run's chip as it is after having lain for some time: what drift has left of what it learned.

    Parameters
    ----------
    result : Result or path
        A run, or its result file. It stays as it is.
    seconds : list of float
        Times since the end of the run, rising; the passes of a test take their time as well.
    task, device, learner, optimizer, diagnostics, data, threads, allow_other_source
        As in `resume`.

    Returns
    -------
    dict of numpy.ndarray
        "seconds", "test_loss", "test_accuracy" (a fraction; NaN if the task is no classification), one value a time; of
        several chips (times, chips).
    """
    times = check_times("seconds", seconds)
    if not times:
        raise ValueError("seconds must be one or more times, rising, not []")
    content, path = (
        (result.content, result.path) if isinstance(result, Result) else (storage.read(result), Path(result))
    )
    check_switch("retention.allow_other_source", allow_other_source)
    parts = {"task": task, "device": device, "learner": learner, "optimizer": optimizer, "diagnostics": diagnostics}
    resolved, _ = taken_up(content, path, parts, data, allow_other_source)
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


def check_times(name: str, values: Any) -> list[float]:
    """Times at which a chip is to be tested again, seconds, rising."""
    listed = as_list(values)
    if isinstance(listed, (str, bytes)) or not isinstance(listed, Sequence):
        raise TypeError(f"{name} must be a list of times such as [0, 3600], not {shown(values)}")
    times = [check("", name, t, Field("s", 0, 1e12)) for t in listed]
    if times != sorted(times):
        raise ValueError(f"{name} must be one or more times, rising, not {shown(times)}")
    return times


def _restored(resolved: configuration.Config, content: dict[str, Any], path: Path | None) -> Training:
    """A recorded run as it stood."""
    training = Training(resolved)
    try:
        training.resume(content["arrays"])
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path or 'this run'} holds no whole state to go on from: {one_line(error)}") from None
    return training


ARGUMENTS = tuple(inspect.signature(run).parameters)
"""The names of `run`'s arguments."""
NOT_TOGETHER = ("seed", "chips", "threads", "out", "overwrite", "checkpoint_seconds", "until", "progress")
TOGETHER = tuple(name for name in ARGUMENTS if name not in NOT_TOGETHER)
"""Those that runs side by side have in common."""


def _go_on(
    training: Training, where: dict[str, Any], held: writing.Held | None, started: float, seconds: float,
    limit: float | None, show: bool | None,
) -> Result:  # fmt: skip
    plain = training.config.plain()

    def content() -> dict[str, Any]:
        state = training.state()  # first: it fetches what the history does not have yet
        return {
            "status": training.status,
            "elapsed": time.perf_counter() - started,
            "config": plain,
            "environment": where,
            "warnings": training.warnings(),
            "cost": training.chip.cost.as_dict(),
            "arrays": {**training.history.arrays(), **state},
        }

    checkpoints = Checkpoints(held, content)
    with signals.listening(limit) as stop:
        checkpoints.begin()
        training.run(show, stop, checkpoints if held else None, seconds)
        return Result.of(checkpoints.end(), held.path if held else None)


def _output(out: Any, overwrite: Any) -> Path | None:
    overwrite = check_switch("run.overwrite", overwrite)
    if out is None:
        return None
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"out must be a path, not {shown(out)}")
    path = Path(out)
    try:
        writing.check(path, overwrite)
    except OSError as error:
        if error.filename is None:
            raise
        place = shown(os.fspath(path), PATH)
        raise type(error)(f"cannot write {place}: {error.strerror}") from None  # in one short line
    return path


def _held(path: Path | None, overwrite: bool) -> contextlib.AbstractContextManager[writing.Held | None]:
    """The result file, held against other runs."""
    return contextlib.nullcontext() if path is None else writing.hold(path, overwrite)


def _left(limit: float | None, began: float) -> float | None:
    """What is left of a time limit."""
    return None if limit is None else limit - (time.perf_counter() - began)


def _threads(threads: Any) -> int | None:
    return None if threads is None else check("run", "threads", threads, Field("", 1, 4096, whole=True))


def _seconds(seconds: Any) -> float:
    return check("run", "checkpoint_seconds", seconds, Field("", 0))
