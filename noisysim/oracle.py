"""Oracle access: what no real chip gives, asked for by name. Backpropagation and the diagnostics are made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim import algebra, blocks, layered
from noisysim.architecture import Architecture
from noisysim.layered import Layered
from noisysim.observation import Batch, Drive, Observation


class Oracle:
    """Exact weights and true gradients of one chip, for one batch.

    Attributes
    ----------
    weights : list of numpy.ndarray
        Copies of what the arrays hold now, (n_out, n_in) a layer.
    rotations : list of numpy.ndarray
        Copies of the decorrelation matrices, (n, n) a layer; empty if the chip has none.
    """

    def __init__(self, weights: list[np.ndarray], rotations: Sequence[np.ndarray], net: Architecture, batch: Batch):
        self.weights = weights
        self.rotations = [r.copy() for r in rotations]
        self._net = net
        self._batch = batch

    def signals(self, observation: Observation, error: np.ndarray | None = None) -> Layered:
        """dL/da of each layer and sample, in the shapes of an observation's activities, and at these.

        The backward pass is exact; quantisation is passed straight through.

        Parameters
        ----------
        observation : Observation
        error : numpy.ndarray, optional
            (batch, n_out), to be brought back in place of the true output error.
        """
        if error is None:
            error = self._batch.loss.error(observation.output, self._batch.targets)  # type: ignore[attr-defined]
        signals = layered.empty([a.shape for a in observation.activities])
        signals[-1][...] = error
        for layer in range(len(signals) - 1, 0, -1):
            patches = algebra.product(signals[layer], self._maps(layer))
            below = blocks.fold(self._net, layer, patches)
            blocks.pull_back(self._net, layer - 1, below, observation, signals[layer - 1])
            blocks.project(layer - 1, signals[layer - 1], observation)
        return signals

    def gradient(self, observation: Observation, out: Layered | None = None) -> Layered:
        """The true gradient of the batch's mean loss, (n_out, n_in) a layer."""
        whole = algebra.Term(np.ones(len(observation.output)), self.signals(observation))
        return algebra.outer([whole], observation.inputs, out)

    def tangent(self, observation: Observation, drive: Drive) -> np.ndarray:
        """Directional derivative of the output, (batch, n_out) float32, along what a drive would add.

        Forward-mode differentiation (Bacho & Chu 2024, algorithms 1 to 3), at the activities of an observation.
        """
        nothing = [None] * len(self.weights)
        lines, outputs, beside = (part or nothing for part in (drive.perturbations, drive.outputs, drive.weights))
        moved: np.ndarray | None = None
        for layer in range(len(self.weights)):
            change = np.zeros_like(observation.activities[layer])
            if moved is not None:
                seen = blocks.unfold(self._net, layer, moved)
                change += algebra.product(seen, [m.T for m in reversed(self._maps(layer))])
            if (extra := beside[layer]) is not None:
                change += algebra.product(observation.inputs[layer], [extra.T])
            if (line := lines[layer]) is not None:
                change += line
            if layer < len(self.weights) - 1:
                moved = blocks.push(self._net, layer, change, observation)
                if (output := outputs[layer]) is not None:
                    moved = moved + output.reshape(moved.shape)
        return change

    def _maps(self, layer: int) -> list[np.ndarray]:
        """The matrices between what a layer sees and its lines, from the lines down: W, then R."""
        weights = self.weights[layer][:, : self._net.fan_in[layer]]
        return [weights, self.rotations[layer]] if self.rotations else [weights]
