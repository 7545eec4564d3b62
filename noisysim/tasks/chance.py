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

    For classes with shares p_k it is the entropy -sum_k p_k log p_k ("cce"), or half the sum of p_k (1 - p_k) ("mse");
    for values half the sum of their variances, standardised as they are learned.

    Parameters
    ----------
    task : Task

    Returns
    -------
    float
        A mean over the training samples, in the units of the loss; NaN of a loss that is not the package's own.
    """
    if losses.is_foreign(task.loss_function):
        return math.nan
    targets = task.train.targets
    if task.classification:
        shares = np.bincount(targets, minlength=task.n_out) / len(targets)
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum() if task.loss == "cce" else (shares * (1 - shares)).sum() / 2)
    means, squares = targets.mean(axis=0, dtype=np.float64), np.zeros(targets.shape[1])
    for first in range(0, len(targets), ROWS):
        squares += ((targets[first : first + ROWS] - means) ** 2).sum(axis=0)
    return float((squares / len(targets) * task.target_affine[1].astype(np.float64) ** 2).sum() / 2)
