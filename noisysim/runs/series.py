"""Small updates of a run, many in one compiled call, where nothing has to look at a single one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from noisysim.chip.chip import Chip
from noisysim.compute.losses import LOSSES
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.series import Lesson, Made
from noisysim.learners import State
from noisysim.runs.config import Config
from noisysim.runs.looking import Looking
from noisysim.runs.recorder import Recorder
from noisysim.runs.steering import Position, Steering
from noisysim.tasks.feed import Several

LEAST = 2
"""Updates of the shortest series."""
LARGEST = 1e300
SPARE = 1e-9
"""By how much bounds of losses are narrowed: what comes so close to one is judged update by update."""


class States(NamedTuple):
    """What a rule and an optimizer have learned so far."""

    learner: State
    optimizer: dict[str, Any]


class Series:
    """Makes updates of a run, many at a time.

    What a run does at single updates, it does itself: looks of diagnostics and of the recorder, divergence. A series
    ends before an update at which such a thing is due, and behind one that a callback wants to see.

    Parameters
    ----------
    config : Config
    chip : Chip
    recorder : Recorder
    looking : Looking
    steering : Steering
    possible : bool
        Whether the rule and the optimizer are the package's own, and give and take factors.
    """

    def __init__(
        self, config: Config, chip: Chip, recorder: Recorder, looking: Looking, steering: Steering, possible: bool
    ):
        self._config, self._chip, self._recorder = config, chip, recorder
        self._looking, self._steering = looking, steering
        loss, self._fits = config.task.loss_function, dict[tuple[int, int], bool]()
        self._loss = next((name for name, known in LOSSES.items() if known is loss), "")
        self._possible = possible and bool(self._loss) and not config.learner.normalise and not config.frozen

    def updates(self, several: Several, first: int, observed: Observed | None, at: Position, states: States) -> Made:
        """Make updates of the batches from `first` on: none, where the next one has to be made by itself.

        Parameters
        ----------
        several : Several
        first : int
        observed : Observed or None
            Room of an earlier update of as many samples.
        at : Position
            Of the run, before the first.
        states : States
            Moved on by the updates that are made.
        """
        recorder, rows = self._recorder, len(several.parts[first].inputs)
        if not self._possible or observed is None or recorder.any_exploded or recorder.bound is None:
            return NONE
        count = self._undisturbed(at, len(several.parts) - first)
        rule = self._config.learner.compiled_estimate(states.learner) if count >= LEAST else None
        if rule is None or not self._small(rows, len(observed)):
            return NONE
        optimizer: Any = self._config.optimizer
        learner, rate = states.learner, self._steering.rate(at.epoch)
        steps = optimizer.ahead(states.optimizer, rate, count)
        bounds = np.minimum(np.full(self._chip.chips, recorder.bound, np.float64) * (1 - SPARE), LARGEST)
        made = self._chip.learn(Lesson(
            several.some(first, count), self._loss, observed, rule, learner.sigmas, learner.key, learner.step, steps,
            self._config.learner.decorrelation, bounds,
        ))  # fmt: skip
        optimizer.count(states.optimizer, made.updates)
        learner.step += made.updates
        recorder.note_several(made.losses[: made.updates], made.hits[: made.updates])
        return made

    def _undisturbed(self, at: Position, most: int) -> int:
        """How many of the next updates nothing has to look at, but for callbacks at the last."""
        step, looks = at.update - at.epoch * at.updates_per_epoch, self._recorder.looks
        for count in range(most):
            if looks(step + count, at.updates_per_epoch) or self._looking.due(at.update + count):
                return count
            if self._steering.watches(at.update + count + 1):
                return count + 1
        return most

    def _small(self, rows: int, passes: int) -> bool:
        """Whether updates of so many samples of all chips are made in series."""
        if (rows, passes) not in self._fits:
            of_samples = getattr(self._config.learner, "loss", "sample") == "sample" or rows == self._chip.chips
            self._fits[rows, passes] = of_samples and self._chip.learns_in_series(rows, passes)
        return self._fits[rows, passes]


NONE = Made(0, np.zeros((0, 0)), np.zeros((0, 0), np.int64), np.zeros(0, bool))
"""No update."""
