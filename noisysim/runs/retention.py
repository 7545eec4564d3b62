"""`retention`: tests of a run's chip after ageing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field, as_list, check, check_switch, shown
from noisysim.common.limits import CALIBRATION
from noisysim.compute import backends, execution, losses
from noisysim.runs import execute, storage
from noisysim.runs.result import Result
from noisysim.runs.resuming import recorded_config, restored


def retention(
    result: Result | str | os.PathLike[str],
    seconds: Sequence[float],
    *,
    task: Any = None,
    device: Any = None,
    learner: Any = None,
    optimizer: Any = None,
    activation: Any = None,
    loss: losses.LossSpec | None = None,
    diagnostics: Sequence[Any] = (),
    calibration: int | None = None,
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
    loss : path or Loss or function
        Likewise the loss (`resume`).
    diagnostics : list
        Those of the run's diagnostics that are objects of your own classes, or whose files were moved.
    calibration : int
        Training samples by which the chip is calibrated before each test (`run`). Default: as the run did.
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
    samples = None if calibration is None else check("", "calibration", calibration, CALIBRATION)
    content, path = (
        (result.content, result.path) if isinstance(result, Result) else (storage.read(result), Path(result))
    )
    check_switch("retention.allow_other_source", allow_other_source)
    parts = {
        "task": task, "device": device, "learner": learner, "optimizer": optimizer, "activation": activation,
        "loss": loss, "diagnostics": diagnostics,
    }  # fmt: skip
    config, _ = recorded_config(content, path, parts, data, allow_other_source)
    with execution.threads(execute.check_threads(threads)), backends.products(config.backend):
        training = restored(config, content, path)
        config.calibration = config.calibration if samples is None else samples
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
