"""Covariance correction: activity-based node perturbation without its bias.

Noise that reaches a layer is white only in the first: weights carry it on and correlate it, cells and converters give
each line its own strength. ANP takes the activity differences as if they were white, and points astray (Dalm et al.
2025, appendices B and D, which say so and name the inverse covariance as the remedy). Here it is observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from noisysim.common.fields import Field
from noisysim.common.types import Doubles, Floats
from noisysim.compute import algebra, layered
from noisysim.compute.algebra import Term
from noisysim.compute.compiled_estimate import CompiledEstimate
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Observation
from noisysim.learners.base import Rate, State
from noisysim.learners.node import ANP
from noisysim.learners.oracle import Oracle
from noisysim.learners.perturbation import gathered, quotient

ROWS = 256
"""Samples of a batch from which the covariance is estimated: enough, as it is averaged over many updates."""
REFRESH = 20
"""Updates between two inversions."""


@dataclass(frozen=True)
class CANP(ANP):
    """Covariance-corrected activity-based node perturbation.

    s_l = M_l^-1 dL da_l / |da_l|^2, layer by layer, with M_l = <da_l da_l^T / |da_l|^2> averaged over samples and
    updates, and shrunk towards white noise: (1 - lambda) M_l + lambda I tr M_l / N_l. Since dL = g_l . da_l +
    (what later layers' noise adds, independent of da_l), <dL da_l> is C_l g_l, and the inverse gives the gradient
    g_l. In white noise it is ANP with a norm per layer. A network-wide inverse would not do: dL depends on da_L alone.
    In a convolution the covariance is that of its channels, summed over the layer's P positions, which it takes as
    independent of each other: s_l,p = P M_l^-1 dL da_l,p / |da_l|^2 with |da_l| over all positions.
    With K > 1 differences from a noisy baseline (`ANP`) dL da_l / |da_l|^2 is a sum over K + 1 passes with one norm,
    and so is da_l da_l^T / |da_l|^2.

    Parameters
    ----------
    shrinkage : float
        lambda; 1 is no correction, little leaves less bias and more variance.
    window : int
        Updates over which the covariance is averaged.
    """

    name: ClassVar[str] = "canp"
    additive: ClassVar[bool] = False

    shrinkage: Annotated[float, Field("", 0, 1, "share of white noise mixed into the covariance")] = 0.1
    window: Annotated[int, Field("updates", 1, 10**6, "over which the covariance is averaged", whole=True)] = 200

    def remember(self, state: State) -> None:
        xp, inverse = state.xp, layered.empty(self._squares(state), state.xp)
        for n, matrices in zip(state.net.units, inverse, strict=True):
            matrices[...] = xp.tile(n * xp.eye(n), (state.chips, 1))
        state.memory["covariance"] = xp.zeros_like(inverse.flat)
        state.memory["inverse"] = inverse.flat

    def estimate_macs(self, state: State, samples: int) -> int:
        net, rows, centred = state.net, min(samples, ROWS), self.centres(state)
        squares = sum(p * n * n for p, n in zip(net.positions, net.units, strict=True))
        observed = rows * self.samples * (net.perturbed + squares)
        observed += rows * (self.samples * net.perturbed + squares) if centred else 0  # of the mean of all passes
        inverted = sum(n**3 for n in net.units) // REFRESH  # in one update of `REFRESH`
        return super().estimate_macs(state, samples) + observed + samples * squares + inverted

    def compiled_estimate(self, state: State) -> CompiledEstimate | None:
        return None  # the covariance is the rule's memory

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        baseline, batch = observations[0].activities, len(observations[0].output)
        norms = gathered([algebra.layer_distances(o.activities, baseline) for o in observations[1:]], state.xp)
        covariance = Layered(state.memory["covariance"], self._squares(state))
        inverse = Layered(state.memory["inverse"], self._squares(state))
        changes, norms = self.shared(state, self.loss_changes(state, observations), norms)
        rows = min(batch // state.chips, ROWS)
        self._observe(state, observations, norms, rows, covariance)
        if state.step % REFRESH == 0:
            self._invert(state, rows, covariance, inverse)
        factors = quotient(changes[:, None], norms, state.xp)
        signals = self.signals(state, batch)
        for layer, matrices in enumerate(inverse):
            moved = [o.activities[layer] for o in observations[1:]]
            total = algebra.combine(factors[:, layer], moved, state.xp.empty_like(signals[layer]), baseline[layer])
            algebra.product(total, [state.net.positions[layer] * matrices], signals[layer], chips=state.chips)
        return [Term(state.ones(batch), signals)]

    def _squares(self, state: State) -> list[tuple[int, int]]:
        """Shapes of all chips' covariances."""
        return state.stack([(n, n) for n in state.net.units])

    def _observe(
        self, state: State, observations: Sequence[Observation], norms: Doubles, rows: int, covariance: Layered
    ) -> None:
        """Average the covariance of the differences' directions over the first samples of this update on each chip."""
        baseline, chips, xp = observations[0].activities, state.chips, state.xp
        rate = np.float32(1 / min(state.step + 1, self.window))
        covariance.flat *= 1 - rate
        lengths = xp.sqrt(norms.reshape(*norms.shape[:2], chips, -1)[..., :rows])
        inverse = quotient(1, lengths, xp).reshape(*norms.shape[:2], -1)
        centred = self.centres(state)
        share = np.float32(1 if centred else 1 / self.samples)

        def add(factors: Doubles, passes: Sequence[Observation], weight: np.float32) -> None:
            """weight times the mean of v v^T with v = sum_k factors_k da_k, of each layer."""
            directions = layered.empty([(chips * rows, *a.shape[1:]) for a in baseline], xp)
            for layer, (rest, out) in enumerate(zip(baseline, directions, strict=True)):
                moved = [_first(o.activities[layer], chips, rows) for o in passes]
                algebra.combine(factors[:, layer], moved, out, _first(rest, chips, rows))
            term = Term(state.ones(chips * rows), directions)
            covariance.flat += weight * algebra.outer([term], directions, chips=chips).flat

        for k in range(self.samples):
            add(inverse[k : k + 1], observations[k + 1 : k + 2], rate * share)
        if centred:  # less that of the mean of all K + 1 passes
            add(inverse / (self.samples + 1), observations[1:], -rate * np.float32(self.samples + 1))

    def _invert(self, state: State, rows: int, covariance: Layered, inverse: Layered) -> None:
        """The inverse of each layer's shrunk covariance, whose trace is 1 but for samples in which nothing moved."""
        n_directions, xp = self.samples * rows * min(state.step + 1, self.window), state.xp
        for n, m, target in zip(state.net.units, covariance, inverse, strict=True):
            shape = m.reshape(state.chips, n * n).astype(np.float64)
            trace = shape[:, :: n + 1].sum(axis=1)[:, None]
            moved = trace != 0
            trace = xp.where(moved, trace, 1)
            shape /= trace
            squares = (shape * shape).sum(axis=1)[:, None]
            # what few samples add to the spread of the eigenvalues (Ledoit & Wolf 2004, for normal samples)
            chance = (1 + squares) / (n_directions * xp.maximum(squares - 1 / n, 1e-12))
            share = xp.minimum(1.0, xp.maximum(self.shrinkage, chance))
            shape *= 1 - share
            shape[:, :: n + 1] += share / n
            inverted = xp.linalg.inv(shape.reshape(state.chips, n, n)).reshape(shape.shape) / trace
            current = target.reshape(shape.shape)
            current[...] = xp.where(moved, inverted, current)  # where nothing has moved yet it stays


@dataclass(frozen=True)
class DCANP(CANP):
    """Covariance-corrected activity-based node perturbation (CANP) on decorrelated inputs."""

    name: ClassVar[str] = "dcanp"
    rates: ClassVar[dict[str, float]] = {"adam": 3e-3, "sgd": 3e-2}
    decorrelation: Rate = 1e-3


def _first(array: Floats, chips: int, rows: int) -> Floats:
    """The first samples of each chip, chip after chip."""
    by_chip = array.reshape(chips, -1, *array.shape[1:])
    return by_chip[:, :rows].reshape(-1, *array.shape[1:])
