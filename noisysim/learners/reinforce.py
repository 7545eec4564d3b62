"""REINFORCE at the outputs: how far a scalar reward explains the distance of node perturbation to backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from noisysim.common.fields import Field
from noisysim.compute import algebra
from noisysim.compute.algebra import Term
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners.base import State
from noisysim.learners.oracle import Oracle, granted, how_to_grant
from noisysim.learners.perturbation import Perturbation


@dataclass(frozen=True)
class Reinforce(Perturbation):
    """REINFORCE: the output error is estimated by perturbing the outputs, then backpropagated exactly.

    s_L = dL xi / sigma (Hiratani et al. 2022, Eq. 15); below, true backpropagation, which needs oracle access.

    Parameters
    ----------
    hidden_noise : bool
        Perturb hidden units as well, whose noise the rule is not told of.
    """

    name: ClassVar[str] = "reinforce"
    needs: ClassVar[frozenset[str]] = frozenset({"perturbation", "oracle"})
    rates: ClassVar[dict[str, float]] = {"adam": 3e-4, "sgd": 1e-2}
    ends_in_weights: ClassVar[bool] = True

    hidden_noise: Annotated[bool, Field(doc="perturb hidden units as well")] = False

    def advice(self, lacking: list[str]) -> str:
        if "oracle" in lacking:
            return how_to_grant()
        return super().advice(lacking)

    def drive(self, drawn: Layered) -> Drive:
        return Drive(drawn if self.hidden_noise else [*[None] * (len(drawn) - 1), drawn[-1]])

    def estimate_macs(self, state: State, samples: int) -> int:
        return samples * (self.samples * state.net.units[-1] + state.net.products_back)

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        batch = len(observations[0].output)
        drawn = self.directions(state, batch)
        factors = self.loss_changes(state, observations) / state.injected(self.samples, batch // state.chips)
        error = algebra.combine(factors, [v[-1] for v in drawn], state.xp.empty_like(drawn[0][-1]))
        return [Term(state.ones(batch), granted(self.name, oracle).signals(observations[0], error))]
