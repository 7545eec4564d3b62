"""Measurements of a run's updates: kept where the chip computes, and fetched from there a few dozen at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Array, Bools, Doubles, Floats, Ints
from noisysim.compute import algebra, backends
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.runs import health
from noisysim.runs.history import History

KEPT = 64
"""Updates whose notes are kept at most before they are fetched."""
LOSS, HITS, PASSED, SQUARES = range(4)
"""What is noted of an update, one value per chip."""


class Recorder:
    """Notes of updates, and an epoch's sums of them.

    Losses that diverge are seen at once where chips compute on the host, on a GPU when notes are fetched.

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
        Which chips' losses have diverged, (chips,); not to be written to, but by `mark`.
    any_exploded : bool
        Whether any have.
    bound : float or numpy.ndarray or None
        Mean loss of an update, or (chips,) of each, above which it counts as divergence; ``None`` before the first.
    """

    def __init__(self, history: History, backend: str, chips: int, classification: bool):
        self._history, self._chips, self._classification = history, chips, classification
        self._backend = backends.get(backend)
        self._at_once = self._backend.HOST_MEMORY
        self._notes = self._backend.xp.zeros((KEPT, 4, chips))
        self._known: list[tuple[int, int]] = []  # of each note: samples of a chip, and what it looked at
        self._under_way = (0, 0)
        self.bound: float | Doubles | None = None
        self.sums = np.zeros((7, chips))
        self.exploded = np.zeros(chips, bool)
        self.any_exploded = False

    @staticmethod
    def looks(step: int, steps: int) -> bool:
        """Whether passes of an epoch's update are looked at: those of the first of each quarter."""
        return step % max(steps // 4, 1) == 0

    def note(
        self, batch: Batch, drives: Sequence[Drive], observed: Sequence[Observation], looks: bool, more: bool = False
    ) -> None:
        """Note an update's passes, with `looks` also how far activities reach and what of their change gets through.

        With `more` other chunks of the same update follow.
        """
        baseline, note, (before, seen) = observed[0], self._notes[len(self._known)], self._under_way
        assert baseline.loss is not None
        loss = sums_by_chip(baseline.loss, self._chips)
        hit = hits(baseline.output, batch.targets, self._chips) if self._classification else 0
        if before:
            loss, hit = note[LOSS] + loss, note[HITS] + hit
        note[LOSS], note[HITS] = loss, hit
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
        samples = before + len(batch.inputs) // self._chips
        if more:
            self._under_way = samples, seen
            return
        self._known.append((samples, seen))
        self._under_way = (0, 0)
        if self._at_once:
            self._judge(loss, samples)
        if len(self._known) == KEPT:
            self.fetch()

    def note_several(self, losses: Doubles, hits: Ints) -> None:
        """Note updates that went well, and at which nothing looks.

        Parameters
        ----------
        losses : numpy.ndarray
            (updates, samples) float64, samples of all chips.
        hits : numpy.ndarray
            (updates, chips) int64.
        """
        samples = losses.shape[1] // self._chips
        by_chip = losses.reshape(len(losses), self._chips, samples).sum(axis=2)
        first = 0
        while first < len(losses):
            at = len(self._known)
            last = min(len(losses), first + KEPT - at)
            notes = self._notes[at : at + last - first]
            notes[:, LOSS], notes[:, HITS] = by_chip[first:last], hits[first:last] if self._classification else 0
            self._known += [(samples, 0)] * (last - first)
            first = last
            if len(self._known) == KEPT:
                self.fetch()

    def _judge(self, loss: float | Doubles, samples: int) -> None:
        """Mark the chips whose mean loss of an update is divergence; a single chip's may be a plain number."""
        mean = loss / samples
        if self.bound is None:
            first = self._history.step["train_loss"][: self._chips]
            bound = health.bound(np.array(first) if first else mean)
            self.bound = bound.item() if self._chips == 1 else bound
        if type(mean) is float and math.isfinite(mean) and mean <= self.bound:
            return
        self.mark(health.beyond(np.atleast_1d(mean), self.bound))

    def mark(self, chips: Bools) -> None:
        """Let chips count as diverged, (chips,)."""
        self.exploded |= chips
        self.any_exploded = bool(self.exploded.any())

    def fetch(self) -> None:
        """Bring what was noted to the sums and the history."""
        count = len(self._known)
        if not count:
            return
        notes = self._backend.take(self._notes)
        if not self._at_once:
            for k, (of_chip, _) in enumerate(self._known):
                if self.exploded.all():
                    count = k  # the run should have stopped here
                    break
                self._judge(notes[k, LOSS], of_chip)
        notes, (samples, seen) = notes[:count], np.array(self._known[:count], np.int64).reshape(-1, 2).T
        self._history.step["train_loss"].extend((notes[:, LOSS] / samples[:, None]).ravel().tolist())
        self._add(0, notes[:, LOSS])
        self._add(1, notes[:, HITS] if self._classification else np.full((count, self._chips), np.nan))
        self.sums[2] += samples.sum()
        self._add(3, notes[seen > 1, PASSED])
        self.sums[4] += np.count_nonzero(seen > 1)
        self._add(5, notes[seen > 0, SQUARES])
        self.sums[6] += np.count_nonzero(seen)
        self._known.clear()

    def _add(self, k: int, values: Doubles) -> None:
        """Add updates' values, (updates, chips), to a sum, one after another: how many are fetched changes no bit."""
        self.sums[k] = np.add.accumulate(np.concatenate([self.sums[k : k + 1], values]))[-1]

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


def sums_by_chip(losses: Array, chips: int) -> Any:
    """Sum of each chip's losses, (chips,); of a single one on the host a plain number."""
    if chips == 1 and type(losses) is np.ndarray:
        return losses.item() if losses.size == 1 else float(np.add.reduce(losses))
    return losses.reshape(chips, -1).sum(axis=1)


def hits(output: Floats, targets: Floats, chips: int) -> Any:
    """Samples of each chip whose largest output is the target's, (chips,); of a single one on the host their number."""
    if len(output) == 1 and type(output) is np.ndarray:
        return int(output.argmax() == targets.argmax())
    hit = output.argmax(axis=1) == targets.argmax(axis=1)
    return np.count_nonzero(hit) if chips == 1 and type(hit) is np.ndarray else hit.reshape(chips, -1).sum(axis=1)
