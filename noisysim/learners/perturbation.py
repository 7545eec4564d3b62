"""What rules share that perturb a chip: samples, baseline, the loss they are told, what they inject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common.arguments import argument
from noisysim.common.fields import Field
from noisysim.common.types import Array, Doubles
from noisysim.compute import algebra, layered, periphery
from noisysim.compute.algebra import Term
from noisysim.compute.compiled_estimate import CompiledEstimate, Share, SizeOf
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners.base import Learner, State
from noisysim.learners.oracle import Oracle, granted
from noisysim.networks.architecture import Architecture

ONE = np.ones(1)
PAPER_SIGMA = 1e-3  # sigma^2 = 1e-6 ([D] appendix F)


@dataclass(frozen=True)
class Perturbation(Learner):
    """What the rules of this family share: samples, baseline, the loss they are told, what they inject.

    Parameters
    ----------
    samples : int
        K, noisy passes averaged for one update.
    sigma : float or sequence of float
        Standard deviation of the injected perturbation, in pre-activation units; of all layers, or of each. 0 chooses:
        sigma^2 = 1e-6 on an exact device, and where reads are noisy or quantised three times the noise observed, at
        least half a step.
    baseline : {"auto", "clean", "noisy"}
        Whether the first pass is free of noise. "auto": where the device offers a clean pass. "noisy" on a device
        without noise of its own perturbs the baseline too, and tells the rule nothing of it ([D] section 3.4).
    loss : {"sample", "batch"}
        Whether the learner sees the loss of each sample or only its sum over the batch.
    """

    stacks: ClassVar[bool] = True
    has_factors: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"perturbation"})
    rates: ClassVar[dict[str, float]] = {"adam": 3e-4, "sgd": 1e-2}

    one_by_one: ClassVar[bool] = False
    """Whether each layer is perturbed in a pass of its own."""

    samples: Annotated[int, Field("passes", 1, 10000, "noisy passes averaged for one update", whole=True)] = 1
    sigma: Annotated[
        float | Sequence[float],
        Field("pre-activation units", 0, doc="std of the injected perturbation; 0 chooses", each="layer"),
    ] = 0.0
    baseline: Annotated[
        str, Field(choices=("auto", "clean", "noisy"), doc="whether the first pass is free of noise")
    ] = "auto"
    loss: Annotated[str, Field(choices=("sample", "batch"), doc="loss of each sample, or one scalar a batch")] = (
        "sample"
    )

    def requires(self) -> frozenset[str]:
        return super().requires() | {"clean"} if self.baseline == "clean" else super().requires()

    def advice(self, lacking: list[str]) -> str:
        if "clean" in lacking:
            return "its passes are noisy; use baseline='noisy' (two noisy passes), or a device without read noise"
        return super().advice(lacking)

    def injects(self, offers: frozenset[str], floor: float, net: Architecture) -> float:
        if isinstance(self.sigma, Sequence):
            return max(self.layer_sigmas(net))
        return self.sigma or max(PAPER_SIGMA, self.sigma_at_floor(floor, net))

    @property
    def by_layer(self) -> bool:
        """Whether each layer has a perturbation strength of its own."""
        return isinstance(self.sigma, Sequence)

    def layer_sigmas(self, net: Architecture) -> tuple[float, ...]:
        """The perturbation strength of each layer, where these are given; else ()."""
        if not isinstance(self.sigma, Sequence):
            return ()
        if len(self.sigma) != net.depth:
            raise ValueError(
                f"learner {self.name!r}.sigma has {len(self.sigma)} numbers, but the network has {net.depth} layers of "
                "weights: give one for each, or one for all"
            )
        if not min(self.sigma) > 0:
            raise ValueError(
                f"learner {self.name!r}.sigma of a layer must be above 0, not {min(self.sigma):g}: 0 chooses one "
                "strength for all layers, and cannot stand in a list"
            )
        return tuple(map(float, self.sigma))

    def strengths(self, state: State) -> list[np.float32]:
        """The perturbation strength of each layer as a share of the largest, the state's; [] where all are alike."""
        sigmas = self.layer_sigmas(state.net)
        return [np.float32(sigma / max(sigmas)) for sigma in sigmas]

    def clean(self, state: State) -> bool:
        """Whether the baseline pass is taken as free of noise."""
        return self.baseline == "clean" or (self.baseline == "auto" and "clean" in state.offers)

    def moves_baseline(self, state: State) -> bool:
        """Whether the baseline pass is perturbed as well."""
        return self.baseline == "noisy" and "clean" in state.offers

    def shapes(self, state: State, batch_size: int) -> list[tuple[int, ...]]:
        """Shapes of one draw, one per layer; `batch_size` is the samples of all chips."""
        return [state.net.line_shape(layer, batch_size) for layer in range(state.net.depth)]

    def perturbations(self, state: State, batch_size: int) -> list[Layered]:
        """This step's draws, one set per sample, preceded by the baseline's own where that is to be noisy.

        A pure function of key, step and batch size, kept in the state's work arrays until the step ends.
        """
        drawn = state.work.get("drawn")
        extra = int(self.moves_baseline(state))
        position = (state.step, state.first_sample, batch_size)
        if drawn is None or drawn[0] != position:
            sets = state.work.setdefault(("perturbations", batch_size), [])
            while len(sets) < self.samples + extra:
                sets.append(layered.empty(self.shapes(state, batch_size), state.xp))
            for k, perturbation in enumerate(sets):
                algebra.normals(perturbation, state.sigma, state.first_sample, state.step, k, state.key)
                for layer, strength in enumerate(self.strengths(state)):
                    perturbation[layer] *= strength
            drawn = state.work["drawn"] = (position, sets)
        perturbations: list[Layered] = drawn[1]
        return perturbations

    def directions(self, state: State, batch_size: int) -> list[Layered]:
        """This step's draws as dL / (K sigma^2) is to multiply them, sigma that of the state: one set per sample.

        Of a layer whose own strength is r sigma the draws v over r^2, since its signal is dL v / (K r^2 sigma^2).
        """
        drawn = self.perturbations(state, batch_size)[: self.samples]
        if not self.by_layer:
            return drawn
        weighed = []
        for perturbation in drawn:
            weighed.append(layered.empty(perturbation.shapes, state.xp))
            for v, out, strength in zip(perturbation, weighed[-1], self.strengths(state), strict=True):
                state.xp.divide(v, strength * strength, out=out)
        return weighed

    def signals(self, state: State, batch_size: int) -> Layered:
        """Room for an estimate of dL/da, in the shapes of the pre-activations."""
        room = state.work.get("signals")
        if room is None or len(room[0]) != batch_size:
            shapes = [state.net.line_shape(layer, batch_size) for layer in range(state.net.depth)]
            room = state.work["signals"] = layered.empty(shapes, state.xp)
        return room

    def drive(self, drawn: Layered) -> Drive:
        """The pass that one set of draws perturbs."""
        return Drive(drawn)

    def baseline_drive(self, perturbations: list[Layered]) -> Drive:
        """The first pass: the device's own, or with a perturbation that the rule is not told of."""
        drive = self.drive(perturbations[self.samples]) if len(perturbations) > self.samples else Drive()
        return replace(drive, output_error=True) if "output_error" in self.requires() else drive

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        drawn = self.perturbations(state, batch_size)
        return [self.baseline_drive(drawn), *(self.drive(v) for v in drawn[: self.samples])]

    def pass_count(self, state: State, batch_size: int) -> int:
        """How many passes an update wants; no step of a state wants more than another."""
        key = ("passes", batch_size, state.sigma)
        if key not in state.work:
            state.work[key] = len(self.drives(state, batch_size))
        return int(state.work[key])

    def loss_changes(self, state: State, observations: Sequence[Observation]) -> Any:
        """dL of each perturbed pass, as the rule is told it, (passes, batch) float64."""
        losses = gathered([o.loss for o in observations[1:]], state.xp)
        return self.visible_changes(state, state.xp.subtract(losses, observations[0].loss, dtype=np.float64))

    def told_of_samples(self) -> bool:
        """Whether a rule is told the loss change of each sample as it is, and no subclass makes another of it."""
        own, plain = type(self), Perturbation
        return self.loss == "sample" and (own.loss_changes, own.visible_changes) == (
            plain.loss_changes, plain.visible_changes,
        )  # fmt: skip

    def visible_changes(self, state: State, changes: Doubles) -> Any:
        """Loss changes, (passes, batch), as a rule is told them: for `loss="batch"` a chip's sum for each sample."""
        if self.loss == "sample":
            return changes
        by_chip = changes.reshape(len(changes), state.chips, -1)
        return state.xp.broadcast_to(by_chip.sum(axis=2, keepdims=True), by_chip.shape).reshape(changes.shape)

    def update(
        self,
        state: State,
        observations: Sequence[Observation],
        *,
        oracle: Oracle | None = None,
        out: Layered | None = None,
    ) -> tuple[Layered | None, State]:
        self._check(state, observations, oracle)
        with algebra.single_blas():  # whatever a rule computes: the same bits on any number of threads
            return self.gradient(state, observations, oracle, out), state

    def factors(
        self, state: State, observations: Sequence[Observation], *, oracle: Oracle | None = None
    ) -> tuple[Factors | None, State]:
        self._check(state, observations, oracle)
        with algebra.single_blas():
            return self.estimated(state, observations, oracle), state

    def _check(self, state: State, observations: Sequence[Observation], oracle: Oracle | None) -> None:
        """Refuse observations that are not those of the drives."""
        expected = self.pass_count(state, len(observations[0].output)) if len(observations) else self.samples + 1
        if len(observations) != expected:
            raise ValueError(
                f"learner {self.name!r} asked for {expected} passes and was given {len(observations)} observations"
            )
        if any(o.loss is None for o in observations):
            raise ValueError(
                f"learner {self.name!r} needs observations with a loss: give the chip a batch with targets"
            )
        if "output_error" in state.needs and observations[0].output_error is None:
            raise ValueError(f"learner {self.name!r} needs an output error: Drive(..., output_error=True) asks for it")
        if "oracle" in state.needs:
            granted(self.name, oracle)

    def gradient(
        self, state: State, observations: Sequence[Observation], oracle: Oracle | None, out: Layered | None
    ) -> Layered | None:
        """The weight gradient."""
        factors = self.estimated(state, observations, oracle)
        return None if factors is None else factors.gradient(out)

    def estimated(self, state: State, observations: Sequence[Observation], oracle: Oracle | None) -> Factors | None:
        """The gradient as factors: the estimate, and the baseline's inputs. ``None`` asks for no change."""
        first = observations[0]
        terms = self.estimate(state, observations, oracle)
        normed: Sequence[Any] = ()
        if first.norms_of_batch:
            normed = [periphery.normalised(k, first, chips=state.chips) for k in range(state.net.depth)]
        return Factors(terms, first.inputs, normed, state.chips)

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        """The rule: an estimate of dL/da of each sample, as a sum of terms."""
        raise TypeError(f"{type(self).__name__} has no rule")

    def estimate_macs(self, state: State, samples: int) -> int:
        return self.samples * samples * state.net.perturbed  # each perturbation times its factor

    def kept_values(self, state: State, samples: int) -> int:
        drawn = sum(math.prod(shape[1:]) for shape in self.shapes(state, 1)) if state.injects else 0
        return self.waiting(state, samples) * (state.net.driven + state.net.perturbed + self.samples * drawn)

    def waiting(self, state: State, samples: int) -> int:
        return samples if self.loss == "batch" else super().waiting(state, samples)

    def estimated_by(
        self, state: State, share: Share, size: SizeOf, units: Doubles = ONE, *, one_by_one: bool = False,
        divisor: float = 1.0,
    ) -> CompiledEstimate:  # fmt: skip
        """The rule as a loop takes it, with what all rules of this family share."""
        return CompiledEstimate(share, size, units, self.samples, one_by_one, divisor, self.moves_baseline(state))


@dataclass(frozen=True)
class Derivative(Perturbation):
    """What rules share that need a derivative along their perturbations.

    Parameters
    ----------
    derivative : {"passes", "exact"}
        How the derivative along the direction is found: as the difference of a pass along `sigma` times the direction
        and the baseline, on any chip; or exactly, by forward-mode differentiation, which needs oracle access.
    """

    derivative: Annotated[
        str, Field(choices=("passes", "exact"), doc="difference of two passes, or exact (needs oracle access)")
    ] = "passes"

    def requires(self) -> frozenset[str]:
        return super().requires() | {"oracle"} if self.derivative == "exact" else super().requires()

    def tangent_macs(self, state: State, samples: int) -> int:
        """Multiplications of derivatives along all draws, where these are found by forward-mode differentiation."""
        return self.samples * samples * state.net.products_back if self.derivative == "exact" else 0

    def advice(self, lacking: list[str]) -> str:
        if "oracle" in lacking:
            return "use derivative='passes', which any chip offers, or grant " + argument("oracle=True")
        return super().advice(lacking)


@dataclass(frozen=True)
class Supervised(Perturbation):
    """What rules share that perturb the outputs of hidden units and give the output layer its error.

    Parameters
    ----------
    error : {"digital", "scalar"}
        Whether the periphery computes the output error from output and target (declared need ``output_error``), or
        the rule sees scalar losses only and estimates it by perturbing the outputs.
    """

    ends_in_weights: ClassVar[bool] = True

    error: Annotated[
        str, Field(choices=("digital", "scalar"), doc="output error: computed digitally, or estimated from the loss")
    ] = "digital"

    def requires(self) -> frozenset[str]:
        return super().requires() | {"output_error"} if self.error == "digital" else super().requires()

    def scalar_macs(self, state: State, samples: int) -> int:
        """Multiplications of an output error that is estimated from scalar losses."""
        return self.samples * samples * state.net.units[-1] if self.error == "scalar" else 0

    def shapes(self, state: State, batch_size: int) -> list[tuple[int, ...]]:
        hidden = [state.net.output_shape(layer, batch_size) for layer in range(state.net.depth - 1)]
        return [*hidden, state.net.line_shape(state.net.depth - 1, batch_size)]

    def drive(self, drawn: Layered) -> Drive:
        return Drive(outputs=[*drawn[:-1], None])


def gathered(arrays: Sequence[Any], xp: ModuleType) -> Any:
    """Arrays that are alike as one, along a new first axis; a single one is not copied."""
    return arrays[0][None] if len(arrays) == 1 else xp.stack(arrays)


def quotient(over: Array | float, under: Array, xp: ModuleType) -> Any:
    """over / under; 0 where that is not above 0."""
    moved = under > 0
    if xp is np and moved.all():  # as a rule: one operation instead of three
        return over / under
    return xp.where(moved, over / xp.where(moved, under, 1), 0)
