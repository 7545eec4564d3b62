"""Feedback: the output error, brought back to hidden layers by matrices that are not the weights.

Fixed and random (FA, Lillicrap et al. 2016; DFA, Nøkland 2016), or learned: with the weights' own updates (DKP, Webster
et al. 2021), from how the outputs move (FDFA, Bacho & Chu 2024 [B]), or from node perturbation's estimates (Lansdell et
al. 2020 [L]). Feedback matrices are the learner's own, digital and exact. In the direct forms B_l is (outputs of the
network, outputs of layer l), position by position where layer l is a convolution; else it has the shape of the weights
above, and is applied as their transpose would be. From there a signal goes back through pooling, normalisation and
activation function, which the periphery computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common.fields import Field
from noisysim.common.types import Array, Doubles
from noisysim.compute import algebra, nodes, periphery
from noisysim.compute.algebra import Term
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners.base import State
from noisysim.learners.oracle import Oracle, granted
from noisysim.learners.own import adapt, learned, start_gains
from noisysim.learners.perturbation import Derivative, Supervised
from noisysim.networks.architecture import Architecture

FeedbackRate = Annotated[float, Field("", 0, 1, "learning rate of the feedback matrices")]
FeedbackOptimizer = Annotated[str, Field(choices=("adam", "sgd"), doc="optimizer of the feedback matrices")]

FeedbackInit = Annotated[str, Field(choices=("he-uniform", "uniform", "zero"), doc="where feedback matrices start")]
_SQUARED_REACH = {"he-uniform": 6.0, "uniform": 1.0, "zero": 0.0}


@dataclass(frozen=True)
class Feedback(Supervised):
    """What feedback rules share: s_L = e in the output layer, s_l = (e B_l) f'(a_l) below.

    With ``error="scalar"`` e is estimated by `samples` passes in which the outputs alone are perturbed.

    Parameters
    ----------
    feedback_init : {"he-uniform", "uniform", "zero"}
        Where the feedback matrices start: uniform with the variance 2 / units of He et al. 2015, uniform within
        1 / sqrt(units), or zero, which only feedback that is learned can leave.
    """

    rates: ClassVar[dict[str, float]] = {"adam": 1e-3, "sgd": 1e-1}
    direct: ClassVar[bool] = True
    """Whether errors come straight from the output, or from the layer above."""
    learns: ClassVar[bool] = False
    """Whether feedback is learned from perturbations of hidden outputs."""

    feedback_init: FeedbackInit = "he-uniform"

    @property
    def passes(self) -> bool:
        """Whether a perturbation's effect is found by a pass."""
        return True

    def remember(self, state: State) -> None:
        shapes = self.feedback_shapes(state)
        reach = _SQUARED_REACH[self.feedback_init]
        bounds = [(reach / n) ** 0.5 for _, n in shapes]
        learned(state, "feedback", shapes, bounds, getattr(self, "feedback_optimizer", ""))
        if not (self.direct or self.learns):
            start_gains(state, Layered(state.memory["feedback"], shapes), list(_fed(state.net)))

    def feedback_shapes(self, state: State) -> list[tuple[int, int]]:
        """Shapes of all chips' feedback matrices: one a hidden layer, or a layer that sees others."""
        if self.direct:
            return state.stack([(state.net.units[-1], n) for n in state.hidden])
        return state.stack([(state.net.units[layer], state.net.fan_in[layer]) for layer in _fed(state.net)])

    def injects(self, offers: frozenset[str], floor: float, net: Architecture) -> float:
        perturbs = self.learns or self.error == "scalar" or self.baseline == "noisy"
        return super().injects(offers, floor, net) if perturbs else 0.0

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        if not state.injects:
            return [Drive(output_error=True)]
        sets = self.perturbations(state, batch_size)
        drawn, drives = sets[: self.samples], [self.baseline_drive(sets)]
        if self.learns and self.passes:
            drives += [self.drive(v) for v in drawn]
        if self.error == "scalar":
            drives += [Drive([*[None] * len(state.hidden), v[-1]]) for v in drawn]
        return drives

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        first, batch = observations[0], len(observations[0].output)
        signals = self.signals(state, batch)
        if self.error == "digital":
            signals[-1][...] = first.output_error
        else:
            drawn = self.directions(state, batch)
            changes = self.loss_changes(state, observations)[-self.samples :]
            factors = changes / state.injected(self.samples, batch // state.chips)
            algebra.combine(factors, [v[-1] for v in drawn], signals[-1])
        self.learn(state, observations, signals[-1], oracle)
        self.fill_hidden_signals(state, observations, signals)
        return [Term(state.ones(batch), signals)]

    def feedback_macs(self, state: State) -> int:
        """Multiplications that bring one sample's error to all hidden layers: as many as an outer product has."""
        return state.net.units[-1] * sum(state.hidden) if self.direct else state.net.products_back

    def estimate_macs(self, state: State, samples: int) -> int:
        return samples * self.feedback_macs(state) + self.scalar_macs(state, samples)

    def learn(
        self, state: State, observations: Sequence[Observation], error: np.ndarray, oracle: Oracle | None
    ) -> None:
        """Adapt the feedback matrices."""

    def fill_hidden_signals(self, state: State, observations: Sequence[Observation], signals: Layered) -> None:
        """Fill in the hidden layers' signals, from the top."""
        feedback = Layered(state.memory["feedback"], self.feedback_shapes(state))
        if not self.direct:
            maps = dict(zip(_fed(state.net), feedback, strict=True))
            nodes.bring_back(
                state.net, lambda layer: [maps[layer]], signals, observations[0], state.chips, project=False
            )
            return
        for layer in reversed(range(len(feedback))):
            brought = self.fed_back(state, signals, layer, feedback[layer])
            periphery.pull_back(state.net, layer, brought, observations[0], signals[layer], chips=state.chips)

    def fed_back(self, state: State, signals: Layered, layer: int, feedback: np.ndarray) -> np.ndarray:
        """What a layer's feedback matrix makes of the error that it starts from, (batch, outputs)."""
        error: Array = algebra.product(self.source(signals, layer), [feedback], chips=state.chips)
        return error if self.direct else periphery.fold(state.net, layer + 1, error)

    def source(self, signals: Layered, layer: int) -> np.ndarray:
        """The error that a hidden layer's feedback starts from."""
        error: Array = signals[-1] if self.direct else signals[layer + 1]
        return error


@dataclass(frozen=True)
class FA(Feedback):
    """Feedback alignment: errors come back layer by layer through fixed random matrices.

    s_l = (s_{l+1} B_l) f'(a_l) (Lillicrap et al. 2016). Learned gains of normalisations count
    as 1, at which they begin.
    """

    name: ClassVar[str] = "fa"
    direct: ClassVar[bool] = False


@dataclass(frozen=True)
class DFA(Feedback):
    """Direct feedback alignment: the output error reaches each hidden layer through a fixed random matrix.

    s_l = (e B_l) f'(a_l) (Nøkland 2016; [B] Eq. 6).
    """

    name: ClassVar[str] = "dfa"


@dataclass(frozen=True)
class DKP(Feedback):
    """Direct Kolen-Pollack: direct feedback that takes the step its weights would take if they were direct, too.

    B_l descends e f(a_l)^T, and decays (Webster et al. 2021). In the last hidden layer this is the output weights' own
    gradient, so that both become alike. The rule's decay of the weights is missing: a chip's cannot be read.

    Parameters
    ----------
    feedback_rate, feedback_optimizer
        Step of the feedback matrices.
    feedback_decay : float
        Weight decay of the feedback matrices.
    """

    name: ClassVar[str] = "dkp"
    feedback_rate: FeedbackRate = 1e-3
    feedback_optimizer: FeedbackOptimizer = "adam"
    feedback_decay: Annotated[float, Field("", 0, 1, "weight decay of the feedback matrices")] = 1e-6

    def estimate_macs(self, state: State, samples: int) -> int:
        return super().estimate_macs(state, samples) + samples * self.feedback_macs(state)

    def learn(
        self, state: State, observations: Sequence[Observation], error: np.ndarray, oracle: Oracle | None
    ) -> None:
        chips, first = state.chips, observations[0]
        hidden = [periphery.outputs(state.net, layer, first, chips=chips) for layer in range(state.net.depth - 1)]
        if not hidden:
            return
        gradient = algebra.outer([Term(state.ones(len(error)), [error] * len(hidden))], hidden, chips=chips)
        gradient.flat += np.float32(self.feedback_decay) * state.memory["feedback"]
        adapt(state, "feedback", gradient, self.feedback_optimizer, self.feedback_rate)


@dataclass(frozen=True)
class FDFA(Feedback, Derivative):
    """Forward direct feedback alignment: direct feedback learned from how the outputs move with hidden units.

    B <- (1 - alpha) B + alpha d u^T, with d the change of the outputs along u, a direction in the outputs of all hidden
    units ([B] Eqs. 7, 8 and 14; the minus sign of Algorithm 1, line 22, is a slip). So B_l becomes the mean derivative
    of the outputs. With Adam, as in the paper, it is the step along B - d u^T, and no average.

    Parameters
    ----------
    feedback_rate : float
        alpha.
    feedback_optimizer : {"adam", "sgd"}
        "sgd" is the plain average of [B] Eq. 8.
    """

    name: ClassVar[str] = "fdfa"
    learns: ClassVar[bool] = True
    feedback_init: FeedbackInit = "zero"
    feedback_rate: FeedbackRate = 1e-3
    feedback_optimizer: FeedbackOptimizer = "adam"

    @property
    def passes(self) -> bool:
        return self.derivative == "passes"

    def estimate_macs(self, state: State, samples: int) -> int:
        scaled = state.net.units[-1] * len(state.hidden)
        learned = self.samples * samples * (self.feedback_macs(state) + scaled)
        return super().estimate_macs(state, samples) + learned + self.tangent_macs(state, samples)

    def learn(
        self, state: State, observations: Sequence[Observation], error: np.ndarray, oracle: Oracle | None
    ) -> None:
        shapes = self.feedback_shapes(state)
        if not shapes:
            return
        first = observations[0]
        share = state.ones(len(error)) / state.injected(self.samples, len(error) // state.chips)
        gradient = Layered(state.memory["feedback"].copy(), shapes)
        drawn = self.perturbations(state, len(error))
        for k, directions in enumerate(self.directions(state, len(error))):
            if self.passes:
                change = observations[1 + k].output - first.output
            else:
                change = granted(self.name, oracle).tangent(first, self.drive(drawn[k]))
            hidden = [v.reshape(len(v), -1) for v in directions[:-1]]
            moved = Term(share, [change] * len(shapes))
            gradient.flat -= algebra.outer([moved], hidden, chips=state.chips).flat
        adapt(state, "feedback", gradient, self.feedback_optimizer, self.feedback_rate)


@dataclass(frozen=True)
class LearnedFA(Feedback):
    """Feedback alignment whose matrices are learned by node perturbation.

    lambda = dL xi / c estimates dL/dy of the hidden outputs from passes that perturb them by c xi, and B_l is fitted to
    it: s_{l+1} B_l ~ lambda_l ([L] Eqs. 2 and 3; the paper leaves out the sign by which weights descend). B starts at
    zero, which learns faster than the paper's random start.

    Parameters
    ----------
    fit : {"gradient", "least_squares"}
        One step of the squared residual's gradient an update, or the exact ridge regression on all samples so far.
    feedback_rate, feedback_optimizer
        Step of the feedback matrices, for fit="gradient".
    ridge : float
        Of the squared norm of B, for fit="least_squares" ([L] Eq. 18).
    warmup : int
        Updates before the weights begin to move.
    """

    name: ClassVar[str] = "learned-fa"
    direct: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    feedback_init: FeedbackInit = "zero"
    fit: Annotated[str, Field(choices=("gradient", "least_squares"), doc="how B is fitted")] = "gradient"
    feedback_rate: FeedbackRate = 1e-3
    feedback_optimizer: FeedbackOptimizer = "adam"
    ridge: Annotated[float, Field("", 1e-6, doc="regularisation of the least squares fit")] = 0.1
    warmup: Annotated[int, Field("updates", 0, 10**9, "before the weights begin to move", whole=True)] = 0

    def estimate_macs(self, state: State, samples: int) -> int:
        combined, fitted = self.samples * samples * sum(state.hidden), samples * self.feedback_macs(state)
        if self.fit == "least_squares":
            sides = [(rows // state.chips, columns) for rows, columns in self.feedback_shapes(state)]
            fitted += sum(samples * n * n + n**3 // 3 + n * n * columns for n, columns in sides)
        return super().estimate_macs(state, samples) + combined + fitted

    def remember(self, state: State) -> None:
        if not (self.direct or state.net.is_chain):
            raise ValueError(
                f"learner {self.name!r} fits what a layer sends back to the outputs of the one below, which is defined "
                "for chains of layers only; with branches use 'learned-dfa' or 'fa'"
            )
        super().remember(state)
        if self.fit == "least_squares":
            if not self.direct and any(block.is_conv for block in state.net.blocks[1:]):
                raise ValueError(
                    f"learner {self.name!r}: fit='least_squares' has no solution by layer for the shared weights of a "
                    "convolution; use fit='gradient', or 'learned-dfa'"
                )
            shapes = self.feedback_shapes(state)
            state.memory["squares"] = state.xp.zeros(sum(n * n // state.chips for n, _ in shapes))
            state.memory["products"] = state.xp.zeros(sum(n * m for n, m in shapes))

    def estimated(self, state: State, observations: Sequence[Observation], oracle: Oracle | None) -> Factors | None:
        factors = super().estimated(state, observations, oracle)
        return None if state.step < self.warmup else factors

    def fill_hidden_signals(self, state: State, observations: Sequence[Observation], signals: Layered) -> None:
        feedback = Layered(state.memory["feedback"], self.feedback_shapes(state))
        batch = len(signals[-1])
        drawn = self.directions(state, batch)
        changes = self.loss_changes(state, observations)[: self.samples]
        factors = changes / state.injected(self.samples, batch // state.chips)
        estimates = [
            algebra.combine(factors, [v[n] for v in drawn], state.xp.empty_like(drawn[0][n]))
            for n in range(len(feedback))
        ]
        brought: list[Any] = [None] * len(feedback)
        for layer in reversed(range(len(feedback))):
            brought[layer] = self.fed_back(state, signals, layer, feedback[layer])
            periphery.pull_back(state.net, layer, brought[layer], observations[0], signals[layer], chips=state.chips)
        sources = [self.source(signals, layer) for layer in range(len(feedback))]
        if not sources:
            return
        if self.fit == "least_squares":
            self._solve(state, sources, estimates)
        else:
            residuals = [b - w.reshape(b.shape) for b, w in zip(brought, estimates, strict=True)]
            if not self.direct:
                residuals = [periphery.unfold(state.net, layer + 1, r) for layer, r in enumerate(residuals)]
            term = Term(state.ones(len(sources[0])), sources)
            residual = algebra.outer([term], residuals, chips=state.chips)
            adapt(state, "feedback", residual, self.feedback_optimizer, self.feedback_rate)

    def _solve(self, state: State, sources: Sequence[np.ndarray], estimates: Sequence[np.ndarray]) -> None:
        """B = (sum s s^T + ridge I)^-1 sum s lambda^T, over all samples so far of each chip."""
        chips, xp, shapes = state.chips, state.xp, self.feedback_shapes(state)
        feedback = Layered(state.memory["feedback"], shapes)
        squares = _cut(state.memory["squares"], chips, [(n, n // chips) for n, _ in shapes])
        products = _cut(state.memory["products"], chips, shapes)
        for layer, (s, w) in enumerate(zip(sources, estimates, strict=True)):
            source = s.reshape(chips, len(s) // chips, -1).astype(np.float64)
            turned = source.transpose(0, 2, 1)
            squares[layer] += turned @ source
            products[layer] += turned @ w.reshape(chips, len(w) // chips, -1)
            regular = squares[layer] + self.ridge * xp.eye(source.shape[2])
            feedback[layer][...] = xp.linalg.solve(regular, products[layer]).reshape(feedback[layer].shape)


@dataclass(frozen=True)
class LearnedDFA(LearnedFA):
    """Direct feedback alignment whose matrices are learned by node perturbation.

    e B_l ~ lambda_l ([L] Corollary 1).
    """

    name: ClassVar[str] = "learned-dfa"
    direct: ClassVar[bool] = True


def _cut(flat: Doubles, chips: int, shapes: Sequence[tuple[int, int]]) -> list[Doubles]:
    """Consecutive views of a float64 buffer that holds arrays of these shapes: of each all chips', (chips, ...)."""
    ends = accumulate(a * b for a, b in shapes)
    return [flat[end - a * b : end].reshape(chips, -1, b) for end, (a, b) in zip(ends, shapes, strict=True)]


def _fed(net: Architecture) -> list[int]:
    """The layers that see what depends on others, through which errors come back layer by layer."""
    return [layer for layer in range(net.depth) if net.learned[net.source(layer)]]
