"""What a run records: values an epoch and values an update."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

COUNTS = ("passes", "mvms", "adc_conversions", "cells_programmed", "pulses")
EPOCH = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate", "passed_share", "activity_rms",
    *COUNTS,
)  # fmt: skip
STEP = ("train_loss",)
LOOKS = "history/diagnostics"


class History:
    """Growing columns of float64.

    Attributes
    ----------
    epoch, step : dict of array
        ``train_loss`` and ``train_accuracy`` are means over the epoch's baseline passes as they were observed,
        ``test_*`` one pass over the test split after it; losses a sample, accuracies fractions (NaN for regression).
        ``activity_rms`` is the root mean square of the first layer's pre-activations: it grows with the weights.
        ``passed_share`` is the share of activity differences that reached the learner (NaN where there are none);
        costs are totals up to the epoch's end. A step's ``train_loss`` is its batch's mean.
    looks : dict of list
        What the diagnostics found, by name, (layers,) float64 a look; and under ``"update"`` the number of updates done
        before it.
    """

    def __init__(self, diagnostics: Sequence[str] = ()) -> None:
        self.epoch = {name: array("d") for name in EPOCH}
        self.step = {name: array("d") for name in STEP}
        self.looks: dict[str, list[Any]] = {name: [] for name in ("update", *diagnostics)} if diagnostics else {}

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """The columns as arrays, by group of the result file."""
        return {
            "history/epoch": {name: np.array(column) for name, column in self.epoch.items()},
            "history/step": {name: np.array(column) for name, column in self.step.items()},
            **({LOOKS: {name: np.array(column) for name, column in self.looks.items()}} if self.looks else {}),
        }

    @classmethod
    def of(cls, arrays: dict[str, dict[str, np.ndarray]]) -> History:
        """The inverse of `arrays`."""
        history = cls()
        for group, columns in (("history/epoch", history.epoch), ("history/step", history.step)):
            for name, column in columns.items():
                column.extend(arrays[group][name].tolist())
        history.looks = {name: list(column) for name, column in arrays.get(LOOKS, {}).items()}
        return history
