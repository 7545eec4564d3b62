"""What a run records: values per epoch and values per update."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Doubles

COUNTS = ("passes", "mvms", "adc_conversions", "cells_programmed", "pulses")
MEASURED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "passed_share", "activity_rms")
"""Columns of which each of several chips has a value of its own; the others are of all chips together."""
VALIDATED = ("validation_loss", "validation_accuracy")
"""Further such columns, of runs with validation data."""
MONITORS = (*MEASURED[:4], *VALIDATED)
"""Columns that schedules and callbacks may watch."""
EPOCH = (*MEASURED[:4], "learning_rate", *MEASURED[4:], *COUNTS)
STEP = ("train_loss",)
LOOKS = "history/diagnostics"


class History:
    """Growing columns of float64.

    Parameters
    ----------
    diagnostics : sequence of str
        Names of those that look.
    chips : int
        Number of values in an entry of the columns that each chip has its own of.
    counted_apart : bool
        Whether these are also the columns of counts.
    validated : bool
        Whether there are validation data.

    Attributes
    ----------
    epoch, step : dict of array
        ``train_loss`` and ``train_accuracy`` are means over the epoch's baseline passes as they were observed,
        ``test_*`` one pass over the test split after it, ``validation_*`` one over the validation data; losses per
        sample, accuracies fractions (NaN for regression).
        ``activity_rms`` is the root mean square of the first layer's pre-activations: it grows with the weights.
        ``passed_share`` is the share of activity differences that reached the learner (NaN where there are none);
        costs are totals up to the epoch's end. A step's ``train_loss`` is its batch's mean.
    looks : dict of list
        What the diagnostics found, by name, (layers,) float64 per look; and as ``"update"`` the updates done before.
    """

    def __init__(
        self, diagnostics: Sequence[str] = (), chips: int = 1, counted_apart: bool = False, validated: bool = False
    ) -> None:
        self.chips, self.validated = chips, validated
        self.per_chip = MEASURED + VALIDATED + (COUNTS if counted_apart else ())
        self.epoch = {name: array("d") for name in (*EPOCH, *(VALIDATED if validated else ()))}
        self.step = {name: array("d") for name in STEP}
        self.looks: dict[str, list[Any]] = {name: [] for name in ("update", *diagnostics)} if diagnostics else {}

    def resume(self, earlier: History) -> None:
        """Continue what was recorded before."""
        self.epoch, self.step, self.looks = earlier.epoch, earlier.step, earlier.looks

    def of_chip(self, m: int, epochs: int, steps: int) -> History:
        """What one of several chips has recorded in its first `epochs` and `steps`."""
        one = History(validated=self.validated)
        for columns, mine, entries in ((self.epoch, one.epoch, epochs), (self.step, one.step, steps)):
            for name, column in columns.items():
                mine[name].extend((column[m :: self.chips] if name in self.per_chip else column)[:entries])
        return one

    def mean(self, name: str) -> list[float]:
        """A column of epochs, where chips have values of their own their mean."""
        column = np.array(self.epoch[name])
        return list((column.reshape(-1, self.chips).mean(axis=1) if name in self.per_chip else column).tolist())

    @property
    def first_loss(self) -> float:
        """Mean training loss of the first update's batch."""
        return float(np.mean(self.step["train_loss"][: self.chips]))

    def arrays(self) -> dict[str, dict[str, Doubles]]:
        """The columns as arrays, by group of the result file; of several chips (entries, chips)."""
        return {
            "history/epoch": {name: self._shaped(name, column) for name, column in self.epoch.items()},
            "history/step": {name: self._shaped(name, column) for name, column in self.step.items()},
            **({LOOKS: {name: np.array(column) for name, column in self.looks.items()}} if self.looks else {}),
        }

    def _shaped(self, name: str, column: Iterable[float]) -> Doubles:
        values = np.array(column)
        return values.reshape(-1, self.chips) if self.chips > 1 and name in self.per_chip else values

    @classmethod
    def from_arrays(cls, arrays: dict[str, dict[str, Doubles]]) -> History:
        """The inverse of `arrays`."""
        shape = arrays["history/step"]["train_loss"].shape
        validated = VALIDATED[0] in arrays["history/epoch"]
        history = cls(chips=shape[1] if len(shape) > 1 else 1, validated=validated)
        for group, columns in (("history/epoch", history.epoch), ("history/step", history.step)):
            for name, column in columns.items():
                column.extend(arrays[group][name].ravel().tolist())
        history.looks = {name: list(column) for name, column in arrays.get(LOOKS, {}).items()}
        return history
