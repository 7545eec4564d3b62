"""Node perturbation: credit from how the loss moved with the activities.

Every rule here sees the activities and the loss of a baseline pass and of K perturbed ones, and forms for each sample
a signal s_l, an estimate of dL/da_l; the gradient is the batch mean of s_l x*_{l-1}^T with the baseline's x*.
Equation numbers are those of Dalm et al. 2025 [D], "Effective learning with node perturbation in multi-layer neural
networks", and of Hiratani et al. 2022 [H], "On the stability and scalability of node perturbation learning".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim import algebra, layered
from noisysim.algebra import Term
from noisysim.fields import Field
from noisysim.layered import Layered
from noisysim.learners.base import Learner, Rate, State
from noisysim.observation import Drive, Observation

PAPER_SIGMA = 1e-3  # sigma^2 = 1e-6 ([D] appendix F)


@dataclass(frozen=True)
class Perturbation(Learner):
    """What the rules of this family share: samples, baseline, the loss they are told, what they inject.

    Parameters
    ----------
    samples : int
        K, noisy passes averaged for one update.
    sigma : float
        Standard deviation of the injected perturbation, in pre-activation units. 0 chooses: sigma^2 = 1e-6 on an
        exact device, and where reads are noisy or quantised three times the noise observed, at least half a step.
    baseline : {"auto", "clean", "noisy"}
        Whether the first pass is free of noise. "auto": where the device offers a clean pass. "noisy" on a device
        without noise of its own perturbs the baseline too, and tells the rule nothing of it ([D] section 3.4).
    loss : {"sample", "batch"}
        Whether the learner sees the loss of each sample or only its sum over the batch.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"perturbation"})
    rates: ClassVar[dict[str, float]] = {"adam": 3e-4, "sgd": 1e-2}

    samples: Annotated[int, Field("passes", 1, 10000, "noisy passes averaged for one update", whole=True)] = 1
    sigma: Annotated[float, Field("pre-activation units", 0, doc="std of the injected perturbation; 0 chooses")] = 0.0
    baseline: Annotated[
        str, Field(choices=("auto", "clean", "noisy"), doc="whether the first pass is free of noise")
    ] = "auto"
    loss: Annotated[str, Field(choices=("sample", "batch"), doc="loss of each sample, or one scalar a batch")] = (
        "sample"
    )

    def requires(self) -> frozenset[str]:
        return self.needs | {"clean"} if self.baseline == "clean" else self.needs

    def advice(self, lacking: list[str]) -> str:
        if "clean" in lacking:
            return "its passes are noisy; use baseline='noisy' (two noisy passes), or a device without read noise"
        return super().advice(lacking)

    def injects(self, offers: frozenset[str], floor: float, sizes: Sequence[int]) -> float:
        return self.sigma or max(PAPER_SIGMA, self.heard(floor, sizes))

    def clean(self, state: State) -> bool:
        """Whether the baseline pass is taken as free of noise."""
        return self.baseline == "clean" or (self.baseline == "auto" and "clean" in state.offers)

    def shapes(self, state: State, batch_size: int) -> list[tuple[int, int]]:
        """Shapes of one draw, a layer each."""
        return [(batch_size, n) for n in state.units]

    def perturbations(self, state: State, batch_size: int) -> list[Layered]:
        """This step's draws, one set a sample, preceded by the baseline's own where that is to be noisy.

        A pure function of key, step and batch size, kept in the state's work arrays until the step ends.
        """
        drawn = state.work.get("drawn")
        extra = int(self.baseline == "noisy" and "clean" in state.offers)
        if drawn is None or drawn[0] != (state.step, batch_size):
            sets = state.work.setdefault(("perturbations", batch_size), [])
            while len(sets) < self.samples + extra:
                sets.append(layered.empty(self.shapes(state, batch_size)))
            for k, perturbation in enumerate(sets):
                algebra.normals(perturbation, state.sigma, 0, state.step, k, state.key)
            drawn = state.work["drawn"] = ((state.step, batch_size), sets)
        return drawn[1]

    def signals(self, state: State, batch_size: int) -> Layered:
        """Room for an estimate of dL/da, (batch, units) a layer."""
        room = state.work.get("signals")
        if room is None or len(room[0]) != batch_size:
            room = state.work["signals"] = layered.empty([(batch_size, n) for n in state.units])
        return room

    def drive(self, drawn: Layered) -> Drive:
        """The pass that one set of draws perturbs."""
        return Drive(drawn)

    def baseline_drive(self, perturbations: list[Layered]) -> Drive:
        """The first pass: the device's own, or with a perturbation nobody is told of."""
        return self.drive(perturbations[self.samples]) if len(perturbations) > self.samples else Drive()

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        drawn = self.perturbations(state, batch_size)
        return [self.baseline_drive(drawn), *(self.drive(v) for v in drawn[: self.samples])]

    def loss_changes(self, observations: Sequence[Observation]) -> np.ndarray:
        """dL of each perturbed pass, (passes, batch) float64; for `loss="batch"` their sum in each sample's place."""
        losses = np.array([o.loss for o in observations], np.float64)
        changes = losses[1:] - losses[0]
        if self.loss == "batch":
            changes = np.broadcast_to(changes.sum(axis=1, keepdims=True), changes.shape)
        return changes

    def update(
        self, state: State, observations: Sequence[Observation], *, oracle: Any = None, out: Layered | None = None
    ) -> tuple[Layered | None, State]:
        expected = len(self.drives(state, len(observations[0].output))) if len(observations) else self.samples + 1
        if len(observations) != expected:
            raise ValueError(
                f"learner {self.name!r} asked for {expected} passes and was given {len(observations)} observations"
            )
        if any(o.loss is None for o in observations):
            raise ValueError(
                f"learner {self.name!r} needs observations with a loss: give the chip a batch with targets"
            )
        if "output_error" in self.requires() and observations[0].output_error is None:
            raise ValueError(f"learner {self.name!r} needs an output error: Drive(..., output_error=True) asks for it")
        if oracle is None and "oracle" in self.requires():
            raise ValueError(f"learner {self.name!r} needs oracle access: update(..., oracle=chip.oracle(batch))")
        gradients = self.gradient(state, observations, oracle, out)
        state.step += 1
        return gradients, state

    def gradient(
        self, state: State, observations: Sequence[Observation], oracle: Any, out: Layered | None
    ) -> Layered | None:
        """The weight gradient: the estimate's outer product with the baseline's inputs."""
        return algebra.outer(self.estimate(state, observations, oracle), observations[0].inputs, out)

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Any = None) -> list[Term]:
        """The rule: an estimate of dL/da of each sample, as a sum of terms."""
        raise TypeError(f"{type(self).__name__} has no rule")


@dataclass(frozen=True)
class NP(Perturbation):
    """Node perturbation: the loss change times the noise injected.

    s_l = dL eps_l / sigma^2 ([D] Eq. 3, [H] Eq. 3), averaged over K draws. The rule knows its own injected eps and
    nothing of the device's noise, which must stay well below it.
    """

    name: ClassVar[str] = "np"

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Any = None) -> list[Term]:
        drawn = self.perturbations(state, len(observations[0].output))
        changes = self.loss_changes(observations) / (self.samples * state.sigma**2)
        return [Term(changes[k], drawn[k]) for k in range(self.samples)]


@dataclass(frozen=True)
class INP(Perturbation):
    """Iterative node perturbation: one layer perturbed at a time.

    s_l = N_l dL^(l) v_l / |v_l|^2 ([D] Eq. 5), a pass a layer and draw. dL^(l) is the loss change of the pass in
    which layer l alone is perturbed, by v_l; N_l the layer's units.
    """

    name: ClassVar[str] = "inp"

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        drawn = self.perturbations(state, batch_size)
        depth = len(state.units)
        single = [
            Drive([v[layer] if m == layer else None for m in range(depth)])
            for v in drawn[: self.samples]
            for layer in range(depth)
        ]
        return [self.baseline_drive(drawn), *single]

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Any = None) -> list[Term]:
        drawn = self.perturbations(state, len(observations[0].output))
        depth = len(state.units)
        changes = self.loss_changes(observations).reshape(self.samples, depth, -1)
        units = np.array(state.units)[:, None] / self.samples
        terms = []
        for k in range(self.samples):
            norms = np.stack([np.einsum("bi,bi->b", v, v) for v in drawn[k]])
            terms.append(Term(units * changes[k] / np.maximum(norms, np.finfo(np.float32).tiny), drawn[k]))
        return terms


@dataclass(frozen=True)
class ANP(Perturbation):
    """Activity-based node perturbation: the loss change times how the activities moved.

    s_l = N dL da_l / |da|^2 ([D] Eq. 6, Algorithm 1). da is the observed difference of the pre-activations, the
    noise itself included, its norm over all layers, for
    each sample; N the number of units. The source of the noise does not matter: on a device with noise of its own
    nothing is injected (unless `sigma` asks for it) and two noisy passes do ([D] section 3.4).

    Notes
    -----
    With K > 1 differences from a noisy baseline its noise would be common to all, and would not average out. All K + 1
    passes being alike, the losses are centred on their mean instead:
    s_l = N sum_k (L_k - <L>) (a_k - a_0) / (1/2 sum_k |a_k - a_0|^2), for K = 1 the rule above.
    """

    name: ClassVar[str] = "anp"

    def injects(self, offers: frozenset[str], floor: float, sizes: Sequence[int]) -> float:
        if "clean" not in offers:
            return self.sigma
        return super().injects(offers, floor, sizes)

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        if not state.sigma:
            return [Drive()] * (self.samples + 1)
        return super().drives(state, batch_size)

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Any = None) -> list[Term]:
        changes = self.loss_changes(observations)
        baseline = observations[0].activities
        norms = np.array([algebra.squared_distances(o.activities, baseline) for o in observations[1:]])
        if self.samples > 1 and not self.clean(state):
            changes = changes - changes.sum(axis=0) / (self.samples + 1)
            norms = np.broadcast_to(0.5 * norms.sum(axis=0), norms.shape)
            share = 1.0
        else:
            share = 1.0 / self.samples
        factors = np.divide(sum(state.units) * share * changes, norms, out=np.zeros_like(changes), where=norms > 0)
        return [Term(f, o.activities, baseline) for f, o in zip(factors, observations[1:], strict=True)]


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
