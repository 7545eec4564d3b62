"""What is left of a task without its samples: how inputs and targets are standardised, and the names of its classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from noisysim.common import identity
from noisysim.common.fields import shown
from noisysim.common.types import Array, Doubles
from noisysim.compute import losses
from noisysim.compute.losses import Loss, LossSpec
from noisysim.tasks import rows
from noisysim.tasks.base import Split, Task

_ORIGINS = ("origin", "target_origin")
OTHER_UNITS = 50.0
"""Factor by which inputs vary less, or lie further out, than those of a task, at which they are warned about."""
_LOOKED_AT = 1000
"""Samples that are looked at for it."""


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
        In place of the recorded one.

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
    chosen: Any = recorded_loss(described) if loss is None else losses.get(loss)  # which a task takes as well as a name
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


def recorded_loss(described: Mapping[str, Any], given: LossSpec | None = None) -> Loss:
    """The loss of a described task; given again it must be the recorded one."""
    recorded = described.get("loss_part", described["loss"])
    if given is None:
        return losses.get(recorded)
    record = recorded if isinstance(recorded, Mapping) else {"name": recorded}
    if isinstance(given, (str, os.PathLike)) and os.fspath(given).endswith(".py") and "sha256" in record:
        return losses.get({"name": os.fspath(given), "sha256": record["sha256"]})  # another file is not executed
    loss = losses.get(given)
    asked, code = identity.differences(record, losses.describe(loss))
    if asked or code:
        raise ValueError(
            f"the run's loss is {shown(record['name'])}, another one than given: {', '.join(asked + code)}"
        )
    return loss


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


def other_units(task: Task, standardised: Array) -> str:
    """What to warn of if inputs are so unlike those that a task was standardised by that their units must be others.

    Parameters
    ----------
    task : Task
        A task's, or what was recalled of one.
    standardised : numpy.ndarray
        (samples, n_in), standardised by the task.

    Returns
    -------
    str
        "" if they may be in its units, or nothing is known of these.
    """
    shift, scale = task.affine.astype(np.float64)
    looked_at = standardised[:_LOOKED_AT, scale > 0].astype(np.float64)
    if not (looked_at.size and (shift.any() or (scale != 1).any())):
        return ""
    alike = bool((shift == shift[0]).all() and (scale == scale[0]).all())
    size, spread = float(np.sqrt(np.square(looked_at).mean())), _spread(looked_at, alike)
    if size > OTHER_UNITS:
        found = f"lie {size:.3g} times as far from the mean of the data that the run learned as those did"
    elif 0 < spread < 1 / OTHER_UNITS:
        found = f"vary {spread:.2g} times as much as the data that the run learned"
    else:
        return ""
    learned = ""
    if alike:
        origin = 0.0 if task.origins[0] is None else task.origins[0][0]
        by = f"mean {shift[0] + origin:.3g}, standard deviation " if shift.any() else "divided by "
        learned = f" ({by}{1 / scale[0]:.3g})"
    return (
        f"the inputs {found}{learned}: give them in the units of those data, by which the run standardises them itself"
    )


def _spread(values: Doubles, alike: bool) -> float:
    """How far values, (samples, n_in), vary from sample to sample, or within one if all inputs are standardised alike.

    Not a number of so few that it would say nothing.
    """
    spreads = [np.sqrt(values.var(axis=0).mean())] if len(values) >= 10 else []
    spreads += [np.sqrt(values.var(axis=1).mean())] if alike and values.size >= 64 else []
    return float(max(spreads, default=np.nan))


def taken_over(learned: Mapping[str, Any], task: Task) -> list[str]:
    """What is to be known where a network that learned one task goes on with another, or with its own.

    Parameters
    ----------
    learned : dict
        A run's record of its task; empty where there was none.
    task : Task
        Now.

    Returns
    -------
    list of str
        Sentences: that samples which are tested on were learned, or that inputs have another scale.
    """
    alike = learned and (learned["name"], learned["n_in"], learned["n_out"]) == (task.name, task.n_in, task.n_out)
    if not alike:
        return []
    found, name = list[str](), task.name
    before, now = rows.seed_of_split(learned.get("notes", ())), rows.seed_of_split(task.notes)
    if None not in (before, now) and before != now and learned["n_test"] == task.n_test:
        found.append(
            f"init: its network learned {name!r} as seed {before} splits it, and is tested here on the split of seed "
            f"{now}, most of which it has learned if the data are the same: give seed={before}, or the task as "
            f"noisysim.tasks.get(..., seed={before})"
        )
    scales = learned["settings"].get("standardise"), task.settings.get("standardise")
    if None not in scales and scales[0] != scales[1]:
        found.append(f"init: its network learned {name!r} with standardise={scales[0]!r}, here it is {scales[1]!r}")
    return found
