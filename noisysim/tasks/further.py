"""Further data for a task: arrays brought into the form that its own splits have."""

from __future__ import annotations

import numpy as np

from noisysim.tasks.base import Split, Task
from noisysim.tasks.frames import as_array, is_frame
from noisysim.tasks.tables import read_inputs
from noisysim.tasks.targets import read_labels
from noisysim.tasks.values import as_images, values


def further_split(task: Task, x: object, y: object) -> Split:
    """Inputs and targets as a split of a task, which standardises them by what it found in its training split.

    Parameters
    ----------
    task : Task
    x : array or frame
        (samples, ...), in the units in which the task's data were given; a frame's columns are found by their names.
    y : array
        Labels (samples,), those that the task's data were given with, or one-hot rows; of a regression values
        (samples,) or (samples, n_out).

    Raises
    ------
    ValueError
        If they do not have the shape of the task's samples, hold NaN or infinity, or labels that it does not have.
    """
    inputs = further_inputs(task, x)
    origin = 0.0 if task.origins[1] is None else task.origins[1]
    split = Split(inputs, _targets(task, as_array("y", y)[0], origin))
    if len(split.inputs) != len(split.targets):
        raise ValueError(f"x has {len(split.inputs)} samples, y has {len(split.targets)}")
    return split


def further_inputs(task: Task, x: object) -> np.ndarray:
    """Inputs in the form of a task's own, (samples, n_in) uint8 or float32: see `further_split`."""
    inputs = values("x", read_inputs(x, task.columns) if task.columns and is_frame(x) else as_array("x", x)[0])
    alone = "; one sample alone is x[None]" if inputs.source.size == task.n_in else ""
    if len(inputs.source.shape) < 2:
        raise ValueError(f"x must be (samples, inputs), not {inputs.source.shape}{alone}")
    wanted, given = tuple(task.input_shape), inputs.source.shape[1:]
    if len(given) == len(wanted) == 3:
        axes = task.settings.get("axes", "auto")
        by_shape = "nchw" if given == wanted else "nhwc"
        inputs = as_images(inputs, by_shape if axes == "auto" else axes)[0]
    if inputs.shape != (task.n_in,) and _without_ones(inputs.shape) != _without_ones(wanted):
        raise ValueError(f"a sample of x is {given}, one of task {task.name!r} is {wanted}{alone}")
    return inputs.as_array(0.0 if task.origins[0] is None else task.origins[0])


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the axes that hold one value, such as the channel of grey images: these may be left out."""
    return tuple(length for length in shape if length != 1)


def _targets(task: Task, y: object, origin: np.ndarray | float) -> np.ndarray:
    """Targets in the type of the task's, each of which it has or could have."""
    if task.classification:
        return read_labels("y", y, task.n_out, task.classes)
    targets = values("y", y)
    if targets.shape != (task.n_out,):
        raise ValueError(f"y holds {targets.shape} values a sample, task {task.name!r} has {task.n_out}")
    return targets.as_array(origin).astype(np.float32, copy=False)
