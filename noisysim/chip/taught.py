"""What a chip takes of the package's own rules, which do not form gradients: factors, and series of updates."""

from __future__ import annotations

from collections.abc import Callable

from noisysim.chip.series import make_updates
from noisysim.chip.state import State
from noisysim.common.types import Array
from noisysim.compute.factors import Factors
from noisysim.compute.optimizer_step import Step
from noisysim.compute.series import Lesson, Made


class Taught:
    """A chip as its learner's updates reach it."""

    _hidden: State
    inject: str

    @property
    def takes_factors(self) -> bool:
        """Whether gradients can be given as factors (`descend`)."""
        return self._hidden.takes_factors

    def descend(self, factors: Factors, take: Callable[[], Step]) -> Array:
        """Ask for what a `Step`, which ``take()`` gives, makes of a gradient given as factors, in one sweep over cells.

        Says whose changes are not finite, (chips,) bool: cells of these may have changed. Pulse trains take plain SGD.
        """
        refused = self._hidden.descend(factors, take)
        self._programmed()
        return refused

    def learns_in_series(self, rows: int, passes: int) -> bool:
        """Whether updates of so many samples of all chips can be made many in one call (`learn`)."""
        series = self._hidden.series
        decorrelates = self._hidden.flat_rotations.size > 0
        return series is not None and self._hidden.calibrated and series.takes(rows, passes, decorrelates)

    def learn(self, lesson: Lesson) -> Made:
        """Make a series of updates (`noisysim.compute.series`): each as `passes` and `descend` would make it."""
        return make_updates(self._hidden, lesson, self.inject == "digital")

    def _programmed(self) -> None:
        """Count an update, and let converters follow what they read."""
        hidden = self._hidden
        hidden.meter.cost.updates += 1
        if hidden.numbers.calibrates:
            hidden.compiled.follow(hidden.ranges, hidden.peaks)
