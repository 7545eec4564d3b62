"""Further data for a task: arrays brought into the form that its own splits have."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from noisysim.tasks.base import Split, Task
from noisysim.tasks.targets import read_targets
from noisysim.tasks.values import IMAGE_AXES, Values, as_images, values


def further_split(task: Task, x: npt.ArrayLike, y: npt.ArrayLike) -> Split:
    """Inputs and targets as a split of a task, which standardises them by what it found in its training split.

    Parameters
    ----------
    task : Task
    x : array
        (samples, ...), in the units in which the task's data were given.
    y : array
        Labels (samples,), or one-hot rows; of a regression values (samples,) or (samples, n_out).

    Raises
    ------
    ValueError
        If they do not have the shape of the task's samples, hold NaN or infinity, or labels that it does not have.
    """
    inputs, targets = values("x", x), values("y", y)
    if len(inputs.source.shape) < 2:
        raise ValueError(f"x must be (samples, inputs), not {inputs.source.shape}")
    if len(inputs) != len(targets):
        raise ValueError(f"x has {len(inputs)} samples, y has {len(targets)}")
    axes = task.settings.get("axes", IMAGE_AXES[0])
    if len(inputs.source.shape) == 4:
        inputs = as_images(inputs, axes)[0]
    if inputs.shape not in (tuple(task.input_shape), (task.n_in,)):
        raise ValueError(f"a sample of x is {inputs.shape}, one of task {task.name!r} is {tuple(task.input_shape)}")
    origins = [0.0 if origin is None else origin for origin in task.origins]
    return Split(inputs.as_array(origins[0]), _targets(task, targets, origins[1]))


def _targets(task: Task, targets: Values, origin: np.ndarray | float) -> np.ndarray:
    """Targets in the type of the task's, each of which it has or could have."""
    if not task.classification:
        if targets.shape != (task.n_out,):
            raise ValueError(f"y holds {targets.shape} values a sample, task {task.name!r} has {task.n_out}")
        return targets.as_array(origin).astype(np.float32, copy=False)
    labels = read_targets([targets], "classification", standardise=False).arrays[0]
    if labels.max() >= task.n_out:
        raise ValueError(f"y holds the label {labels.max()}: those of task {task.name!r} are 0 to {task.n_out - 1}")
    return labels
