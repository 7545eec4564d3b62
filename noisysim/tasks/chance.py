"""How well a task is done without anything being learned about its inputs."""

from __future__ import annotations

import math

import numpy as np

from noisysim.compute import losses
from noisysim.tasks.base import Task

ROWS = 4096
"""Samples whose targets are held in float64 at a time."""


SIGMAS = 5
"""Standard deviations that luck gives at most, but for one time in millions."""


def chance_accuracy(task: Task) -> float:
    """Training accuracy (a fraction) that answers without regard to the inputs do not exceed; NaN of values.

    The share p of the most frequent class, and five standard deviations sqrt(p (1 - p) / n) of what n samples give.

    Parameters
    ----------
    task : Task
    """
    if not task.classification:
        return math.nan
    most = np.bincount(task.train.targets).max() / task.n_train
    return float(most + SIGMAS * math.sqrt(most * (1 - most) / task.n_train))


def chance_loss(task: Task) -> float:
    """Training loss of the best constant output.

    For classes what the loss states (`noisysim.compute.losses.Loss.of_best_constant`); for values and squared errors
    half the sum of their variances, standardised as they are learned.

    Parameters
    ----------
    task : Task

    Returns
    -------
    float
        A mean over the training samples, in the units of the loss; NaN where it is not known.
    """
    loss, targets = task.loss_function, task.train.targets
    if task.classification:
        shares = np.bincount(targets, minlength=task.n_out) / len(targets)
        return math.nan if loss.of_best_constant is None else loss.of_best_constant(shares[shares > 0])
    if loss is not losses.LOSSES["mse"]:
        return math.nan
    means, squares = targets.mean(axis=0, dtype=np.float64), np.zeros(targets.shape[1])
    for first in range(0, len(targets), ROWS):
        squares += ((targets[first : first + ROWS] - means) ** 2).sum(axis=0)
    return float((squares / len(targets) * task.target_affine[1].astype(np.float64) ** 2).sum() / 2)
