"""Measurements of a run's updates: kept where the chip computes, and fetched from there a few dozen at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Doubles, Floats
from noisysim.compute import algebra, backends
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.runs import health
from noisysim.runs.history import History

KEPT = 64
"""Updates whose notes stay on a GPU at most before they are fetched."""
LOSS, HITS, PASSED, SQUARES = range(4)
"""What is noted of an update, one value per chip."""


class Recorder:
    """Notes of updates, and an epoch's sums of them.

    Parameters
    ----------
    history : History
        Where each update's loss goes.
    backend : str
    chips : int
    classification : bool

    Attributes
    ----------
    sums : numpy.ndarray
        Of this epoch, (7, chips) float64: loss, hits, samples; passed share, looks at it; mean squared activity, looks
        at it.
    exploded : numpy.ndarray
        Which chips' losses have diverged, (chips,).
    """

    def __init__(self, history: History, backend: str, chips: int, classification: bool):
        self._history, self._chips, self._classification = history, chips, classification
        self._backend = backends.get(backend)
        self._at_once = self._backend.HOST_MEMORY
        self._notes = self._backend.xp.zeros((KEPT, 4, chips))
        self._known: list[tuple[int, int]] = []  # of each note: samples of a chip, and what it looked at
        self._under_way = (0, 0)
        self.sums = np.zeros((7, chips))
        self.exploded = np.zeros(chips, bool)

    def note(
        self, batch: Batch, drives: Sequence[Drive], observed: Sequence[Observation], looks: bool, more: bool = False
    ) -> None:
        """Note an update's passes, with `looks` also how far activities reach and what of their change gets through.

        With `more` other chunks of the same update follow.
        """
        baseline, note, (before, seen) = observed[0], self._notes[len(self._known)], self._under_way
        if before == 0:
            note[:] = 0
        assert baseline.loss is not None
        note[LOSS] += baseline.loss.reshape(self._chips, -1).sum(axis=1)
        if self._classification:
            note[HITS] += hits(baseline.output, batch.targets, self._chips)
        if looks:
            first = baseline.activities[0].reshape(self._chips, -1)
            note[SQUARES] = self._backend.xp.square(first, dtype=np.float64).mean(axis=1)
            seen = 1
            if len(observed) > 1:
                moved = drives[1].lowest  # layers below it see the same in an exact chip: no converter's fault
                note[PASSED] = algebra.passed_share(
                    observed[1].activities[moved:], baseline.activities[moved:], self._chips
                )
                seen = 2
        self._under_way = (before + len(batch.inputs) // self._chips, seen)
        if more:
            return
        self._known.append(self._under_way)
        self._under_way = (0, 0)
        if self._at_once or len(self._known) == KEPT:
            self.fetch()

    def fetch(self) -> None:
        """Bring what was noted to the sums and the history."""
        if not self._known:
            return
        notes = self._backend.take(self._notes)
        for (loss, hit, passed, squares), (samples, seen) in zip(notes, self._known, strict=False):
            if self.exploded.all():
                break  # the run should have stopped here
            mean = loss / samples
            self._history.step["train_loss"].extend(mean)
            self.sums[0] += loss
            self.sums[1] += hit if self._classification else np.nan
            self.sums[2] += samples
            if seen > 1:
                self.sums[3] += passed
                self.sums[4] += 1
            if seen:
                self.sums[5] += squares
                self.sums[6] += 1
            self.exploded |= health.exploded(mean, np.array(self._history.step["train_loss"][: self._chips]))
        self._known.clear()

    def means(self) -> dict[str, Doubles]:
        """An epoch's means, (chips,) each; the sums restart."""
        self.fetch()
        loss, correct, samples, passed, looks, squares, seen = self.sums
        with np.errstate(invalid="ignore"):
            means = {
                "train_loss": loss / samples,
                "train_accuracy": correct / samples,
                "passed_share": np.where(looks > 0, passed / np.maximum(looks, 1), np.nan),
                "activity_rms": np.sqrt(squares / seen),
            }
        self.sums = np.zeros_like(self.sums)
        return means


def hits(output: Floats, targets: Floats, chips: int) -> Any:
    """Samples of each chip whose largest output is the target's, (chips,)."""
    return (output.argmax(axis=1) == targets.argmax(axis=1)).reshape(chips, -1).sum(axis=1)
