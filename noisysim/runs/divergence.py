"""Which of a run's chips have diverged: these take no further part, and the others learn on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from noisysim.chip.chip import Chip
from noisysim.chip.cost import Cost
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.common.types import Bools, Doubles, Ints
from noisysim.compute import backends
from noisysim.compute.observation import Batch, Observation
from noisysim.runs import health
from noisysim.runs.recorder import Recorder


class Divergence:
    """Keeps chips that have diverged from spoiling the others, and notes what diverged.

    Parameters
    ----------
    chip : Chip
    recorder : Recorder
        Which knows whose losses have diverged.
    backend : str
    rate : float
        Of the learner's decorrelation; 0 without.
    counted_apart : bool
        Whether the chips are those of runs side by side, each of which has a cost of its own.
    done : callable
        Gives the updates that are done.

    Attributes
    ----------
    culprits : numpy.ndarray
        What diverged on each chip, (chips,): `noisysim.runs.health.culprit`.
    powers : numpy.ndarray
        Of what drove each layer in the first update, (layers, chips): `noisysim.runs.health.powers`.
    refused : dict of int
        By chip, the update at which what it was to take became non-finite.
    costs : dict of Cost
        By chip, what a run beside others had cost when it diverged.
    """

    def __init__(
        self, chip: Chip, recorder: Recorder, backend: str, rate: float, counted_apart: bool, done: Callable[[], int]
    ):
        self._chip, self._recorder, self._backend = chip, recorder, backends.get(backend)
        self._rate, self._counted_apart, self._done = rate, counted_apart, done
        self._noted = np.zeros(chip.chips, bool)
        self._last: tuple[Batch, Observation] | None = None  # of the last passes: batch, and what the first observed
        self.culprits: Ints = np.zeros(chip.chips, np.int64)
        self.powers: Doubles = np.zeros((len(chip.network.shapes), chip.chips))
        self.refused: dict[int, int] = {}
        self.costs: dict[int, Cost] = {}

    def observe(self, batch: Batch, observation: Observation | None, first: bool) -> None:
        """Note the last passes, and how strongly those of the first update drove each layer."""
        if observation is not None and first:
            self.powers = health.powers(observation.inputs, self._chip.chips)
        if observation is not None:
            self._last = batch, observation
        elif self._last is not None:  # no chip could be driven: what was observed before tells
            self._last = batch, self._last[1]

    def ask(self, call: Callable[[], Any], arrays: Callable[[], Sequence[Any]]) -> Any:
        """Call with arrays of all chips; ``None`` if all chips have diverged.

        A chip whose part of the arrays is non-finite has diverged: its part is set to zeros, and the call repeated.

        Parameters
        ----------
        call : callable
        arrays : callable
            Gives the arrays that the chips are asked with, or ``None``.
        """
        try:
            return call()
        except NonFiniteError:
            xp, take = self._backend.xp, self._backend.take
            present = [array for array in arrays() if array is not None]
            finite = [take(xp.isfinite(array).reshape(self._chip.chips, -1).all(axis=1)) for array in present]
            self.refuse(~np.all(finite, axis=0))
            if self._recorder.exploded.all():
                return None
            self.silence(present)
            return call()

    def refuse(self, refused: Bools) -> None:
        """Note that what some chips were asked with, (chips,), is not finite."""
        self._recorder.fetch()  # of losses that diverged before
        for m in np.flatnonzero(refused).tolist():
            self.refused.setdefault(m, self._done())
        self._recorder.mark(refused)

    def silence(self, arrays: Sequence[Any]) -> None:
        """Set to zero the part of the chips that have diverged, unless there is one chip alone."""
        if self._chip.chips > 1 and self._recorder.any_exploded:
            diverged = np.flatnonzero(self._recorder.exploded).tolist()
            for array in arrays:
                if array is not None:
                    array.reshape(self._chip.chips, -1)[diverged] = 0

    def silence_observations(self, observations: Sequence[Observation]) -> None:
        """Let chips that have diverged learn from zeros, which spoil no other chip's matrix inverse."""
        if not self._recorder.any_exploded:
            return
        for one in observations:
            self.silence([*one.inputs, *one.activities, one.loss, one.output_error])

    def note(self) -> None:
        """Note of chips that have diverged since the last call what did, and what a run beside others has cost."""
        chips = self._chip.chips
        for m in np.flatnonzero(self._recorder.exploded & ~self._noted).tolist():
            self._noted[m] = True
            if self._rate and self._last is not None:
                culprits = health.culprit(self._chip.architecture, *self._last, self._rate, self.powers, chips)
                self.culprits[m] = culprits[m]
            if self._counted_apart:
                self.costs[m] = self._chip.cost_by_chip()[m]

    @property
    def of_all(self) -> bool:
        """Whether all chips have diverged; asked several times an update."""
        if not self._recorder.any_exploded:
            return False
        self.note()
        return bool(self._recorder.exploded.all())

    @property
    def diverged(self) -> Ints:
        """The chips that have."""
        self.note()
        return np.flatnonzero(self._noted)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"exploded": self._recorder.exploded, "culprits": self.culprits, "powers": self.powers}

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`; files of earlier versions lack some of it."""
        self._noted[:] = state["exploded"]
        self._recorder.mark(self._noted)
        self.culprits[:], self.powers[:] = state.get("culprits", 0), state.get("powers", 0)
