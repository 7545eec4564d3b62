"""Which rows of the training split a run learns from, in which order, and which it holds back to validate on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Ints
from noisysim.runs.config import Config
from noisysim.tasks.rows import order


class Rows:
    """The rows of a run, or of runs side by side.

    Parameters
    ----------
    config : Config
    seeds : sequence of int
        Of runs side by side; empty for one run.

    Attributes
    ----------
    learned, held : numpy.ndarray
        Rows to learn from, and to validate on, (n,); of runs side by side perhaps each's, (runs, n).
    """

    def __init__(self, config: Config, seeds: Sequence[int]):
        self._config, self._seeds = config, seeds
        n_train, validation = config.task.n_train, config.validation
        if validation is None:
            self.learned, self.held = np.arange(n_train), np.arange(0)
        elif not seeds:
            self.learned, self.held = validation.split(n_train, config.seed)
        else:
            learned, held = zip(*(validation.split(n_train, seed) for seed in seeds), strict=True)
            self.learned, self.held = np.stack(learned), np.stack(held)

    @property
    def samples(self) -> int:
        """Samples that each chip learns from in an epoch."""
        return int(self.learned.shape[-1])

    def order(self, epoch: int) -> Ints:
        """The order of the rows to learn from in an epoch, (n,); of runs side by side (runs, n)."""
        seeds = self._seeds or [self._config.seed]
        if self._config.validation is None:
            orders = [self._config.task.order(epoch, seed) for seed in seeds]
        else:
            several = self.learned.reshape(-1, self.learned.shape[-1])
            orders = [kept[order(kept.size, epoch, seed)] for kept, seed in zip(several, seeds, strict=True)]
        return np.stack(orders) if self._seeds else orders[0]
