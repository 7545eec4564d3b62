"""Oracle access: what no real chip gives, asked for by name. Backpropagation and the diagnostics are made of it."""

from __future__ import annotations

import types
from collections.abc import Sequence
from functools import partial

import numpy as np

from noisysim import algebra, execution, layered
from noisysim.layered import Layered
from noisysim.observation import Batch, Observation


class Oracle:
    """Exact weights and true gradients of one chip, for one batch.

    Attributes
    ----------
    weights : list of numpy.ndarray
        Copies of what the arrays hold now, (n_out, n_in) a layer.
    rotations : list of numpy.ndarray
        Copies of the decorrelation matrices, (n, n) a layer; empty if the chip has none.
    """

    def __init__(
        self, weights: list[np.ndarray], rotations: Sequence[np.ndarray], kernels: types.ModuleType, batch: Batch
    ):
        self.weights = weights
        self.rotations = [r.copy() for r in rotations]
        self._scale_by_slope = kernels.scale_by_slope
        self._batch = batch

    def signals(self, observation: Observation) -> Layered:
        """dL/da of each layer and sample, (batch, units) a layer, at the activities of an observation.

        The backward pass is exact; quantisation is passed straight through.
        """
        error = self._batch.loss.error(observation.output, self._batch.targets)  # type: ignore[attr-defined]
        batch = len(error)
        signals = layered.empty([a.shape for a in observation.activities])
        signals[-1][...] = error
        tasks = [
            partial(self._back, signals, observation, *rows) for rows in execution.spans(batch, execution.BLOCK_ROWS)
        ]
        execution.run(tasks, 2.0 * batch * sum(w.size for w in self.weights))
        return signals

    def gradient(self, observation: Observation, out: Layered | None = None) -> Layered:
        """The true gradient of the batch's mean loss, (n_out, n_in) a layer."""
        whole = algebra.Term(np.ones(len(observation.output)), self.signals(observation))
        return algebra.outer([whole], observation.inputs, out)

    def _back(self, signals: Layered, observation: Observation, first: int, last: int) -> None:
        """Rows first..last of every hidden layer's signal, from the output down (through R^T when decorrelated)."""
        for layer in range(len(signals) - 1, 0, -1):
            below = signals[layer - 1]
            n = below.shape[1]
            back = signals[layer][first:last] @ self.weights[layer][:, :n]
            if self.rotations:
                back = back @ self.rotations[layer]
            below[first:last] = back
            activities = np.ascontiguousarray(observation.activities[layer - 1][first:last])
            self._scale_by_slope(below[first:last].reshape(-1), activities.reshape(-1))
