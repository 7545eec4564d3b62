"""When diagnostics look at an update, and what they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from noisysim.chip.chip import Chip
from noisysim.chip.diagnostics import Probe
from noisysim.chip.oracle import Oracle
from noisysim.compute import backends, seeding
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch, Observation
from noisysim.learners import State
from noisysim.runs.config import Config
from noisysim.runs.history import History
from noisysim.runs.watched import watched


class Looking:
    """The diagnostics of a run.

    Parameters
    ----------
    config : Config
    chip : Chip
    history : History
        Where what they find goes.
    """

    def __init__(self, config: Config, chip: Chip, history: History):
        self._config, self._chip, self._history = config, chip, history
        self._diagnostics = [watched("diagnostic", one) for one in config.diagnostics]
        self._exact = needs_oracle(config)

    def due(self, done: int) -> bool:
        """Whether the diagnostics look at the update that follows `done` others."""
        return bool(self._config.diagnostics) and done % self._config.every == 0

    def key(self, done: int, number: int) -> Any:
        """Of the draws that a diagnostic's n-th extra estimate at this update makes."""
        keys = seeding.keys(self._config.seed, f"diagnostics/{done}/{number}", self._chip.chips)
        return backends.get(self._config.backend).put(keys)

    def look(
        self,
        done: int,
        batch: Batch,
        observed: list[Observation],
        gradient: Layered | None,
        before: State,
        told: Oracle | None,
    ) -> None:
        """Record what the diagnostics find at this update, which the learner began as `before`, told this oracle."""
        chip, learner = self._chip, self._config.learner
        oracle = told or (chip.oracle(batch) if self._exact else None)

        def estimate(count: int) -> Iterator[tuple[Observation, Layered]]:
            with chip.aside():
                for k in range(count):
                    state = before.aside(self.key(done, k))
                    passes = chip.passes(batch, learner.drives(state, len(batch.inputs)), training=True)
                    estimated, _ = learner.update(state, passes, oracle=told)
                    if estimated is not None:
                        yield passes[0], estimated

        probe = Probe(Batch(*batch), observed, gradient, chip.architecture, oracle, estimate)
        self._history.looks["update"].append(done)
        for diagnostic in self._diagnostics:
            self._history.looks[diagnostic.name].append(np.asarray(diagnostic.measure(probe), np.float64))


def needs_oracle(config: Config) -> bool:
    """Whether a diagnostic of a run reads exact weights."""
    return any("oracle" in diagnostic.needs for diagnostic in config.diagnostics)
