"""What a run records: values an epoch and values an update."""

from __future__ import annotations

from array import array

import numpy as np

EPOCH = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "passed_share", "passes",
    "mvms", "adc_conversions", "cells_programmed",
)  # fmt: skip
STEP = ("train_loss",)


class History:
    """Growing columns of float64.

    Attributes
    ----------
    epoch, step : dict of array
        ``train_loss`` and ``train_accuracy`` are means over the epoch's baseline passes as they were observed,
        ``test_*`` one pass over the test split after it; losses a sample, accuracies fractions (NaN for regression).
        ``passed_share`` is the share of activity differences that reached the learner (NaN where there are none);
        costs are totals up to the epoch's end. A step's ``train_loss`` is its batch's mean.
    """

    def __init__(self) -> None:
        self.epoch = {name: array("d") for name in EPOCH}
        self.step = {name: array("d") for name in STEP}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The columns as arrays, by group of the result file."""
        return {
            "history/epoch": {name: np.array(column) for name, column in self.epoch.items()},
            "history/step": {name: np.array(column) for name, column in self.step.items()},
        }

    @classmethod
    def of(cls, arrays: dict[str, dict[str, np.ndarray]]) -> History:
        """The inverse of `arrays`."""
        history = cls()
        for group, columns in (("history/epoch", history.epoch), ("history/step", history.step)):
            for name, column in columns.items():
                column.extend(arrays[group][name].tolist())
        return history
