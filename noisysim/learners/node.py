"""Node perturbation: credit from how the loss moved with the activities.

Every rule here sees the activities and the loss of a baseline pass and of K perturbed ones, and forms for each sample
a signal s_l, an estimate of dL/da_l; the gradient is the batch mean of s_l x*_{l-1}^T with the baseline's x*.
Equation numbers are those of Dalm et al. 2025 [D], "Effective learning with node perturbation in multi-layer neural
networks", and of Hiratani et al. 2022 [H], "On the stability and scalability of node perturbation learning".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from noisysim.compute import algebra
from noisysim.compute.algebra import Term
from noisysim.compute.compiled_estimate import CompiledEstimate, by_size
from noisysim.compute.observation import ABOVE_NOISE, Drive, Observation
from noisysim.learners.base import Rate, State
from noisysim.learners.oracle import Oracle
from noisysim.learners.perturbation import PAPER_SIGMA, Perturbation, gathered
from noisysim.networks.architecture import Architecture

_NOTHING = Drive()
TINY = float(np.finfo(np.float32).tiny)


def by_length(change: float, length: float, units: float) -> float:
    """[D] Eq. 5: the loss change times a layer's units over the squared length of its perturbation."""
    return units * change / max(length, TINY)


def by_distance(change: float, distance: float, units: float) -> float:
    """[D] Eq. 6: the loss change times all units over the squared distance that activities moved; 0 if none did."""
    return units * change / distance if distance > 0.0 else 0.0


@dataclass(frozen=True)
class NP(Perturbation):
    """Node perturbation: the loss change times the noise injected.

    s_l = dL eps_l / sigma^2 ([D] Eq. 3, [H] Eq. 3), averaged over K draws. The rule knows its own injected eps and
    nothing of the device's noise, which must stay well below it.
    """

    name: ClassVar[str] = "np"
    additive: ClassVar[bool] = True

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        batch, form = len(observations[0].output), self._form(state)
        drawn, variances = self.directions(state, batch), self._variances(state, batch)
        factors = algebra.shares(form.share, self.loss_changes(state, observations), variances, form.units)
        return [Term(factors[k], drawn[k]) for k in range(self.samples)]

    def kept_values(self, state: State, samples: int) -> int:
        return self.waiting(state, samples) * (state.net.driven + self.samples * state.net.perturbed)

    def compiled_estimate(self, state: State) -> CompiledEstimate | None:
        return None if self.by_layer else self._form(state)

    def _form(self, state: State) -> CompiledEstimate:
        return self.estimated_by(state, by_size, "variance")

    def _variances(self, state: State, batch: int) -> Any:
        """K sigma^2 of each pass and sample."""
        key = ("variances", batch, state.sigma)
        if key not in state.work:
            injected = state.injected(self.samples, batch // state.chips)
            state.work[key] = state.xp.zeros((self.samples, batch)) + injected
        return state.work[key]


@dataclass(frozen=True)
class INP(Perturbation):
    """Iterative node perturbation: one layer perturbed at a time.

    s_l = N_l dL^(l) v_l / |v_l|^2 ([D] Eq. 5), one pass per layer and draw. dL^(l) is the loss change of the pass in
    which layer l alone is perturbed, by v_l; N_l the layer's units, at all positions of a convolution.
    """

    name: ClassVar[str] = "inp"
    additive: ClassVar[bool] = True
    one_by_one: ClassVar[bool] = True

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        drawn = self.perturbations(state, batch_size)
        depth = state.net.depth
        single = [
            Drive([v[layer] if m == layer else None for m in range(depth)])
            for v in drawn[: self.samples]
            for layer in range(depth)
        ]
        return [self.baseline_drive(drawn), *single]

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        drawn, form = self.perturbations(state, len(observations[0].output)), self._form(state)
        changes = self.loss_changes(state, observations).reshape(self.samples, state.net.depth, -1)
        return [
            Term(algebra.shares(form.share, changes[k], algebra.layer_squares(drawn[k]), form.units), drawn[k])
            for k in range(self.samples)
        ]

    def estimate_macs(self, state: State, samples: int) -> int:
        return 2 * super().estimate_macs(state, samples)  # lengths as well

    def kept_values(self, state: State, samples: int) -> int:
        return self.waiting(state, samples) * (state.net.driven + self.samples * state.net.perturbed)

    def compiled_estimate(self, state: State) -> CompiledEstimate | None:
        return None if self.by_layer else self._form(state)

    def _form(self, state: State) -> CompiledEstimate:
        units = np.array(state.net.lines) / self.samples
        return self.estimated_by(state, by_length, "length", units, one_by_one=True)


@dataclass(frozen=True)
class ANP(Perturbation):
    """Activity-based node perturbation: the loss change times how the activities moved.

    s_l = N dL da_l / |da|^2 ([D] Eq. 6, Algorithm 1). da is the observed difference of the pre-activations, the
    noise itself included, its norm over all layers, for each sample; N the number of units, at all positions. The
    source of the noise does not matter: on a device with noise of its own nothing is injected (unless `sigma` asks for
    it) and two noisy passes do ([D] section 3.4). Digital layers below all arrays, which no noise reaches, get as much
    as the arrays have, in all passes.

    Notes
    -----
    With K > 1 differences from a noisy baseline its noise would be common to all, and would not average out. All K + 1
    passes being alike, the losses are centred on their mean instead:
    s_l = N sum_k (L_k - <L>) (a_k - a_0) / (1/2 sum_k |a_k - a_0|^2), for K = 1 the rule above.
    """

    name: ClassVar[str] = "anp"
    additive: ClassVar[bool] = True

    def injects(self, offers: frozenset[str], floor: float, net: Architecture) -> float:
        if not self._listens(offers):
            return super().injects(offers, floor, net)
        return max(PAPER_SIGMA, floor / ABOVE_NOISE) if any(net.silent) else 0.0

    def _listens(self, offers: frozenset[str]) -> bool:
        """Whether the noise that arrays have is what perturbs their layers."""
        return "clean" not in offers and self.sigma == 0

    def moves_baseline(self, state: State) -> bool:
        return super().moves_baseline(state) or (self._listens(state.offers) and state.injects)

    def strengths(self, state: State) -> list[np.float32]:
        if self._listens(state.offers):
            return [np.float32(silent) for silent in state.net.silent]
        return super().strengths(state)

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        if not state.injects:
            return [_NOTHING] * (self.samples + 1)
        drives = super().drives(state, batch_size)
        if self._listens(state.offers):
            silent = state.net.silent
            each = [zip(drive.perturbations, silent, strict=True) for drive in drives]
            drives = [Drive([v if alone else None for v, alone in layers]) for layers in each]
        return drives

    def centres(self, state: State) -> bool:
        """Whether losses are centred on the mean of all passes."""
        return self.samples > 1 and not self.clean(state)

    def shared(self, state: State, changes: np.ndarray, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each pass's share of dL, (samples, batch), and the squared norm it is divided by, (samples, ..., batch)."""
        if not self.centres(state):
            return changes if self.samples == 1 else changes / self.samples, norms
        changes = changes - changes.sum(axis=0) / (self.samples + 1)
        return changes, state.xp.broadcast_to(0.5 * norms.sum(axis=0), norms.shape)

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        form, (first, *others) = self._form(state), observations
        baseline = first.activities
        # one kernel on a GPU, which knows nothing of methods that a subclass has of its own
        if self.told_of_samples() and type(self).shared is ANP.shared and not self.centres(state):
            return [Term(self._factor(form, o, first), o.activities, baseline) for o in others]
        norms = gathered([algebra.squared_distances(o.activities, baseline) for o in observations[1:]], state.xp)
        changes, norms = self.shared(state, self.loss_changes(state, observations), norms)
        factors = algebra.shares(form.share, changes, norms, form.units)
        return [Term(f, o.activities, baseline) for f, o in zip(factors, others, strict=True)]

    def _factor(self, form: CompiledEstimate, perturbed: Observation, first: Observation) -> Any:
        """A pass's factors where they do not depend on the other ones, (batch,)."""
        losses: Any = (perturbed.loss, first.loss)
        return algebra.shares_by_distance(
            form.share, losses, perturbed.activities, first.activities, float(form.units[0]), form.divisor
        )

    def estimate_macs(self, state: State, samples: int) -> int:
        return 2 * super().estimate_macs(state, samples)  # distances as well

    def kept_values(self, state: State, samples: int) -> int:
        return self.waiting(state, samples) * (state.net.driven + (self.samples + 1) * state.net.perturbed)

    def compiled_estimate(self, state: State) -> CompiledEstimate | None:
        return None if self.centres(state) or self.by_layer else self._form(state)

    def _form(self, state: State) -> CompiledEstimate:
        units = np.array([float(state.net.perturbed)])
        return self.estimated_by(state, by_distance, "distance", units, divisor=float(self.samples))


@dataclass(frozen=True)
class DNP(NP):
    """Node perturbation (NP) on decorrelated inputs.

    [D] section 2.2.
    """

    name: ClassVar[str] = "dnp"
    rates: ClassVar[dict[str, float]] = {"adam": 3e-3, "sgd": 3e-2}
    decorrelation: Rate = 1e-3


@dataclass(frozen=True)
class DINP(INP):
    """Iterative node perturbation (INP) on decorrelated inputs.

    [D] section 2.2.
    """

    name: ClassVar[str] = "dinp"
    rates: ClassVar[dict[str, float]] = {"adam": 3e-3, "sgd": 3e-2}
    decorrelation: Rate = 1e-3


@dataclass(frozen=True)
class DANP(ANP):
    """Activity-based node perturbation (ANP) on decorrelated inputs.

    [D] Algorithm 1.
    """

    name: ClassVar[str] = "danp"
    rates: ClassVar[dict[str, float]] = {"adam": 3e-3, "sgd": 3e-2}
    decorrelation: Rate = 1e-3
