"""Runs that differ in their seeds only, side by side: several chips that learn at once what each would alone."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import noisysim.devices as devices
from noisysim.common.fields import as_list, check, check_names, check_switch, shown
from noisysim.common.limits import SEED
from noisysim.compute import backends, execution
from noisysim.devices.resolved import resolve
from noisysim.networks.architecture import Architecture
from noisysim.networks.building import architecture, with_ends
from noisysim.runs import chunks, environment, execute, findings, schedules, signals
from noisysim.runs import config as configuration
from noisysim.runs.api import run
from noisysim.runs.config import Config
from noisysim.runs.result import Result
from noisysim.runs.training import Training

OF_EACH = ("seed", "chips")
"""Settings that runs side by side do not have in common."""
SHARED = (*(name for name in configuration.SETTINGS if name not in OF_EACH), "data")
"""Arguments of `noisysim.run` that they have in common."""


def run_side_by_side(
    seeds: Sequence[int], *, threads: int | None = None, progress: bool | None = None, **arguments: Any
) -> list[Result]:
    """Runs that differ in their seeds only, side by side: what `run` gives for each seed, in less time.

    On the CPU each is, bit for bit, the run that its seed gives alone; on a GPU batched products round differently.

    Parameters
    ----------
    seeds : list of int
    threads : int
        Threads to use.
    progress : bool
        Show the progress of all, as `run` does.
    **arguments
        Those of `run`, except ``seed``, ``chips``, ``out``, ``overwrite``, ``checkpoint_seconds`` and ``until``.

    Returns
    -------
    list of Result
        One for each seed, with an equal part of the time taken. None holds the state of its chip: it cannot be resumed,
        nor asked for its `retention`.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, and for runs that cannot run side by side (`can_run_side_by_side`).
    """
    check_names("run", arguments, SHARED)
    threads = execute.check_threads(threads)
    progress = check_switch("run.progress", progress, None)
    seeds = as_list(seeds)
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds:
        raise ValueError(f"seeds must be a list of one or more, not {shown(seeds)}")
    checked = [check("run", "seed", seed, SEED) for seed in seeds]
    started = time.perf_counter()
    defaults = {name: parameter.default for name, parameter in inspect.signature(run).parameters.items()}
    shared = {name: arguments.get(name, defaults[name]) for name in SHARED}
    config = configuration.resolve(**shared, seed=checked[0])
    if obstacle := _obstacle(config, len(checked)):
        raise ValueError(f"{len(checked)} seeds cannot run side by side: {obstacle}; run them one after another")
    host = environment.describe(config.backend)
    with execution.threads(threads), backends.products(config.backend), signals.listening() as stop:
        training = Training(replace(config, chips=len(checked)), checked)
        training.begin()
        training.run(progress, stop)
    settings, results = config.plain(), []
    for m, seed in enumerate(checked):
        recorded = findings.recorded_by(training, m)
        content = {"config": {**deepcopy(settings), "seed": seed}, "environment": dict(host), **recorded}
        results.append(Result({**content, "elapsed": 0.0}, None))
    for result in results:
        result.elapsed = result.content["elapsed"] = (time.perf_counter() - started) / len(results)
    return results


def can_run_side_by_side(config: Config, count: int) -> bool:
    """Whether `run_side_by_side` takes `count` runs of a configuration."""
    return not _obstacle(config, count)


def _obstacle(config: Config, count: int) -> str:
    """Why `count` runs that differ in their seeds only cannot run side by side; "" if they can."""
    learner, task = config.learner, config.task
    if config.chips > 1:
        return f"each has chips={config.chips} of its own"
    if config.callbacks:
        return "callbacks steer one run"
    if config.schedule is not None and not schedules.is_of_epochs_alone(config.schedule):
        return "their schedule follows what one run has recorded"
    if config.diagnostics:
        return "diagnostics look at one chip"
    if any("seed" in note for note in task.notes):  # a task says so if its seed has drawn anything of it
        return f"the data of task {task.name!r} depend on the seed"
    if backends.get(config.backend).BATCHED_PRODUCTS and "pulse" in devices.own_hooks(config.device):
        return "on a GPU pulses are counted for all chips together"
    if resolve(config.device).writes_take_time:
        return "writes take time, and chips side by side have one clock"
    net, rows = _net_and_rows(config)
    if chunks.additive(learner, net) and chunks.held_at_once(learner, net, count) < rows:
        return "an update of all is too large to be held at once"  # alone it would be cut differently, or not at all
    return ""


def _net_and_rows(config: Config) -> tuple[Architecture, int]:
    """The network of a run, and the samples of its updates."""
    task = config.task
    net = architecture(with_ends(task.input_shape, config.layers, task.n_out), config.activation, config.bias)
    return net, min(config.batch_size, task.n_train)


WORTH = 2e7
"""Most operations in an update of one run for which several side by side are worth it.

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
"""Factor on `WORTH` on a GPU, where a small update is all launches of kernels (not measured)."""


def is_faster_side_by_side(config: Config, count: int) -> bool:
    """Whether `count` runs that differ in their seeds only are clearly faster side by side than one after another.

    Decided by shapes alone: what is saved is the part of an update's cost that does not depend on its size.
    """
    learner, (net, rows) = config.learner, _net_and_rows(config)
    passes = 1 + getattr(learner, "samples", 1) * (net.depth if getattr(learner, "one_by_one", False) else 1)
    weights = sum(p * n_out * n_in for p, (n_out, n_in) in zip(net.positions, net.shapes, strict=True))
    squares = sum(p * n * n for p, n in zip(net.positions, net.fan_in, strict=True)) if learner.decorrelation else 0
    written = 100 * sum(n_out * n_in for n_out, n_in in net.shapes)  # a write costs about as much as 100 products
    work = 2 * (rows * ((passes + 1) * weights + 2 * squares) + written)
    most = ON_A_GPU * WORTH if backends.get(config.backend).BATCHED_PRODUCTS else WORTH
    return count > 1 and work <= most and can_run_side_by_side(config, count)
