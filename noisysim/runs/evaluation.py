"""Loss and accuracy of chips on samples that they do not learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from noisysim.chip.chip import Chip
from noisysim.common.types import Doubles, Ints
from noisysim.compute import backends
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.observation import Drive, Observation
from noisysim.runs.recorder import hits
from noisysim.tasks.feed import Feed


class Evaluation(NamedTuple):
    """Passes over samples of a task, in chunks no larger than a training batch needs.

    Attributes
    ----------
    chip : Chip
    feed : Feed
        Gives the samples of the task, for as many chips.
    batch_size : int
        Samples of an update.
    """

    chip: Chip
    feed: Feed
    batch_size: int

    def calibrate(self, rows: Ints) -> None:
        """Calibrate the chips by rows of the training split, (n,) or (chips, n), if there are any."""
        if rows.size:
            self.chip.calibrate(self.feed.batch("train", rows))

    def means(self, split: str, rows: Ints) -> tuple[Doubles, Doubles]:
        """Mean loss and accuracy of one pass over rows of a split, (chips,) each.

        Parameters
        ----------
        split : str
        rows : numpy.ndarray
            (n,), of all chips, or (chips, n), of each its own.
        """
        chips, task, backend = self.chip.chips, self.feed.task, backends.get(self.chip.backend)
        chunk = BLOCK_ROWS * max(1, self.batch_size // BLOCK_ROWS)
        if self.chip.network.stages(False)[0].rows < BLOCK_ROWS:  # convolutions
            chunk = min(chunk, 1 << (self.batch_size.bit_length() - 1))
        sums, count = backend.xp.zeros((2, chips)), rows.shape[-1]
        observed: Sequence[Observation] | None = None
        for first in range(0, count, chunk):
            batch = self.feed.batch(split, rows[..., first : first + chunk])
            if first + chunk > count:
                observed = None  # its room does not fit the last, shorter chunk: it is free before that has its own
            observed = self.chip.passes(batch, [Drive()], observed, first_sample=first)
            loss = observed[0].loss
            assert loss is not None
            sums[0] += loss.reshape(chips, -1).sum(axis=1)
            sums[1] += hits(observed[0].output, batch.targets, chips) if task.classification else math.nan
        losses, accuracies = backend.take(sums) / count
        return losses, accuracies
