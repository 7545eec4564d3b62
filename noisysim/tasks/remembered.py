"""What is left of a task without its samples: how inputs and targets are standardised, and the names of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from noisysim.common.types import Array, Doubles
from noisysim.compute import losses
from noisysim.compute.losses import LossSpec
from noisysim.tasks.base import Split, Task

_ORIGINS = ("origin", "target_origin")


def arrays(task: Task) -> dict[str, Array]:
    """The arrays by which a task standardises, for a result file."""
    origins = {name: origin for name, origin in zip(_ORIGINS, task.origins, strict=True) if origin is not None}
    return {"affine": task.affine, "target_affine": task.target_affine, **origins}


def recalled(described: Mapping[str, Any], stored: Mapping[str, Array], loss: LossSpec | None = None) -> Task:
    """A task without samples, of its description in a result file and its `arrays`.

    Parameters
    ----------
    described : mapping
        What `Task.describe` gave.
    stored : mapping
    loss : Loss, optional
        In place of the recorded one, if that was an object.

    Raises
    ------
    ValueError
        If the arrays do not fit the description, or the loss is not found.
    """
    n_in, n_out = described["n_in"], described["n_out"]
    shapes = {"affine": (2, n_in), "target_affine": (2, n_out), "origin": (n_in,), "target_origin": (n_out,)}
    for name, shape in shapes.items():
        needed = name in stored or name not in _ORIGINS
        if needed and (name not in stored or stored[name].shape != shape):
            raise ValueError(f"the record of the task has no {name} of the shape {shape}")
    recorded = described.get("loss_part", described["loss"])
    chosen: Any = losses.get(recorded if loss is None else loss)  # which a task takes as well as a name
    targets = np.zeros(0, np.int64) if described["classification"] else np.zeros((0, n_out), np.float32)
    nothing = Split(np.zeros((0, n_in), np.float32), targets)
    origins = [np.asarray(stored[name], float) if name in stored else None for name in _ORIGINS]
    return Task(
        name=described["name"], train=nothing, test=nothing, loss=chosen, n_out=n_out,
        settings=dict(described["settings"]), affine=np.asarray(stored["affine"], np.float32),
        target_affine=np.asarray(stored["target_affine"], np.float32), defaults={},
        input_shape=tuple(described["input_shape"]), origins=(origins[0], origins[1]),
        classes=tuple(described.get("classes", ())), columns=tuple(described.get("columns", ())),
    )  # fmt: skip


def in_units(task: Task, outputs: Array) -> Doubles:
    """Target values, float64 in the units of the data, that standardised ones, (..., n_out), stand for."""
    shift, scale = task.target_affine.astype(np.float64)
    origin = 0.0 if task.origins[1] is None else task.origins[1]
    spread = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)  # none, of what never varied
    values: Doubles = outputs.astype(np.float64) * spread + shift + origin
    return values


def given_labels(task: Task, numbers: Array) -> Array:
    """The labels that the data were given with, of numbers of classes; these, where they are the labels."""
    return np.array(task.classes)[numbers] if task.classes else numbers
