"""Backpropagation: the oracle baseline. It reads exact weights, which no chip gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from noisysim.compute.algebra import Term
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners.base import Learner, Rate, State
from noisysim.learners.oracle import Oracle, granted, how_to_grant


@dataclass(frozen=True)
class BP(Learner):
    """Backpropagation: the oracle baseline.

    s_l = dL/da_l, exact, at the activities that one pass observed.
    """

    name: ClassVar[str] = "bp"
    stacks: ClassVar[bool] = True
    has_factors: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"oracle", "output_error"})
    rates: ClassVar[dict[str, float]] = {"adam": 1e-3, "sgd": 1e-1}

    def advice(self, lacking: list[str]) -> str:
        return how_to_grant()

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        return [Drive()]

    def estimate_macs(self, state: State, samples: int) -> int:
        return samples * state.net.products_back

    def update(
        self,
        state: State,
        observations: Sequence[Observation],
        *,
        oracle: Oracle | None = None,
        out: Layered | None = None,
    ) -> tuple[Layered, State]:
        return granted(self.name, oracle).gradient(observations[0], out), state

    def factors(
        self, state: State, observations: Sequence[Observation], *, oracle: Oracle | None = None
    ) -> tuple[Factors, State]:
        first = observations[0]
        term = Term(state.ones(len(first.output)), granted(self.name, oracle).signals(first))
        return Factors([term], first.inputs, (), state.chips), state


@dataclass(frozen=True)
class DBP(BP):
    """Backpropagation (BP) on decorrelated inputs.

    Back through R^T (Dalm et al. 2025).
    """

    name: ClassVar[str] = "dbp"
    rates: ClassVar[dict[str, float]] = {"adam": 3e-3, "sgd": 1e-1}
    decorrelation: Rate = 1e-3
