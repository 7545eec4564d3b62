"""Forward gradients: a directional derivative along a random direction, times that direction.

Bacho & Chu 2024 [B], "Low-variance forward gradients using direct feedback alignment and momentum"; the rules are
those of Baydin et al. 2022 (FG-W) and Ren et al. 2023 (FG-A, LG-FG-A). They differentiate forwards, which takes exact
weights; a chip has none to give, and there the derivative is the difference of two passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common.fields import Field
from noisysim.common.types import Doubles, Floats
from noisysim.compute import algebra, layered, losses, periphery
from noisysim.compute.algebra import Term
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners.base import State
from noisysim.learners.oracle import Oracle, granted
from noisysim.learners.own import adapt, learned
from noisysim.learners.perturbation import Derivative, Supervised, gathered
from noisysim.networks.architecture import Architecture


@dataclass(frozen=True)
class Forward(Derivative):
    """What forward gradients share: the loss's derivative along each set of draws."""

    def requires(self) -> frozenset[str]:
        return super().requires() | {"output_error"} if self.derivative == "exact" else super().requires()

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        drives = super().drives(state, batch_size)
        return drives[:1] if self.derivative == "exact" else drives

    def directional_changes(self, state: State, observations: Sequence[Observation], oracle: Oracle | None) -> Any:
        """dL along each direction (`sigma` times a unit draw), (samples, batch) float64."""
        if self.derivative == "passes":
            return self.loss_changes(state, observations)
        first = observations[0]
        drawn = self.perturbations(state, len(first.output))[: self.samples]
        tangents = [granted(self.name, oracle).tangent(first, self.drive(v)) for v in drawn]
        return self.visible_changes(state, gathered([_dots(first.output_error, t) for t in tangents], state.xp))


@dataclass(frozen=True)
class FGW(Forward):
    """Weight-perturbed forward gradient: the loss change along random weights, times these.

    d V_l with d the derivative of the batch's mean loss along V ([B] Eqs. 2 and 3, Algorithm 2). One V for a chip's
    whole batch. On a chip a second array beside each layer's own adds its product (`Drive.weights`).
    """

    name: ClassVar[str] = "fg-w"
    has_factors: ClassVar[bool] = False
    rates: ClassVar[dict[str, float]] = {"adam": 1e-3, "sgd": 1e-3}

    def sigma_at_floor(self, floor: float, net: Architecture) -> float:
        return floor / math.sqrt(min(net.fan_in))  # of weights: what moves a line driven by inputs of RMS 1 as much

    def shapes(self, state: State, batch_size: int) -> list[tuple[int, ...]]:
        return list(state.stack(state.net.shapes))

    def drive(self, drawn: Layered) -> Drive:
        return Drive(weights=drawn)

    def estimate_macs(self, state: State, samples: int) -> int:
        beside = self.samples * samples * state.net.products if self.derivative == "exact" else 0
        return self.tangent_macs(state, samples) + beside

    def gradient_macs(self, state: State, samples: int) -> int:
        return self.samples * state.net.cells  # no outer products: each direction times its slope

    def kept_values(self, state: State, samples: int) -> int:
        return self.samples * state.net.cells

    def gradient(
        self, state: State, observations: Sequence[Observation], oracle: Oracle | None, out: Layered | None
    ) -> Layered | None:
        batch, chips, xp = len(observations[0].output), state.chips, state.xp
        changes = self.directional_changes(state, observations, oracle).reshape(self.samples, chips, -1)
        slopes = changes.mean(axis=2) / state.injected(self.samples)
        if self.loss == "batch":  # the sum in each sample's place
            slopes = slopes / (batch // chips)
        slopes = slopes.astype(np.float32)[:, :, None]
        if out is None:
            out = layered.empty(state.stack(state.net.shapes), xp)
        drawn = self.directions(state, batch)
        for gradient, *directions in zip(_by_chip(out, chips), *(_by_chip(v, chips) for v in drawn), strict=True):
            xp.multiply(directions[0], slopes[0], out=gradient)
            for slope, direction in zip(slopes[1:], directions[1:], strict=True):
                gradient += slope * direction
        return out


@dataclass(frozen=True)
class FGA(Forward, Supervised):
    """Activity-perturbed forward gradient: the loss change along random outputs of hidden units, times these.

    s_l = d u_l f'(a_l) with d the derivative along all u ([B] Eqs. 4 and 5, Algorithm 3), in a layer with pooling or
    batch normalisation brought back through these as well; the output layer gets its error. (Algorithm 3 as printed
    updates it by a direction that its passes do not move.)
    """

    name: ClassVar[str] = "fg-a"

    def drive(self, drawn: Layered) -> Drive:
        if self.error == "digital":
            return super().drive(drawn)
        nothing = [None] * (len(drawn) - 1)
        return Drive([*nothing, drawn[-1]], [*drawn[:-1], None])

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        first, batch = observations[0], len(observations[0].output)
        drawn = self.directions(state, batch)
        factors = self.directional_changes(state, observations, oracle) / state.injected(
            self.samples, batch // state.chips
        )
        signals = self.signals(state, batch)
        for layer in range(len(signals) - 1):
            signal = self.hidden_signal(state, first, layer, factors, [v[layer] for v in drawn])
            periphery.pull_back(state.net, layer, signal, first, signals[layer], chips=state.chips)
        if self.error == "digital":
            signals[-1][...] = first.output_error
        else:
            algebra.combine(factors, [v[-1] for v in drawn], signals[-1])
        return [Term(state.ones(batch), signals)]

    def estimate_macs(self, state: State, samples: int) -> int:
        combined = self.samples * samples * sum(state.hidden)
        return combined + self.scalar_macs(state, samples) + self.tangent_macs(state, samples)

    def hidden_signal(
        self, state: State, first: Observation, layer: int, factors: Doubles, drawn: list[Floats]
    ) -> Floats:
        """An estimate of dL/dy of a hidden layer's outputs, in their shape."""
        return algebra.combine(factors, drawn, state.xp.empty_like(drawn[0]))


def _recovers_targets(loss: object) -> bool:
    """Whether error(y, t) is g(y) - t, which is its own inverse in t: tried on three samples of two outputs."""
    output = np.array([[0.5, -1.0], [0.0, 2.0], [0.3, 0.1]], np.float32)
    targets = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    if not isinstance(loss, losses.Loss) or loss.error is None:
        return False
    return bool(np.allclose(loss.output_error(output, loss.output_error(output, targets)), targets, atol=1e-5))


@dataclass(frozen=True)
class LGFGA(FGA):
    """Local greedy activity-perturbed forward gradient: each hidden layer but the last has a loss of its own.

    A linear readout of its outputs, in the digital periphery, is judged by the task's loss; the layer learns from that
    loss's derivative along its own perturbation, the readout from its error ([B] appendix A, after Ren et al. 2023).
    The last hidden layer has the network's output for a readout. With one hidden layer it is FG-A.

    Parameters
    ----------
    readout_rate : float
        Learning rate of the readouts, by Adam.
    """

    name: ClassVar[str] = "lg-fg-a"
    readout_rate: Annotated[float, Field("", 0, 1, "learning rate of the local readouts (Adam)")] = 1e-3

    def requires(self) -> frozenset[str]:
        return super().requires() | {"output_error"}

    def remember(self, state: State) -> None:
        if not _recovers_targets(losses.get(state.loss) if isinstance(state.loss, str) else state.loss):
            raise ValueError(
                f"learner {self.name!r} gets the targets back from the output error: it needs a loss whose error is a "
                "function of the output minus the targets, such as 'cce' or 'mse'"
            )
        shapes = self._readouts(state)
        learned(state, "readouts", shapes, [n**-0.5 for _, n in shapes], "adam")

    def drive(self, drawn: Layered) -> Drive:
        drive = super().drive(drawn)
        return replace(drive, outputs=[None] * max(len(drawn) - 2, 0) + list(drive.outputs[-2:]))

    def estimate(self, state: State, observations: Sequence[Observation], oracle: Oracle | None = None) -> list[Term]:
        loss, first = losses.get(state.loss), observations[0]
        # error(y, t) is its own inverse in t (_recovers_targets)
        state.work["targets"] = loss.output_error(first.output, state.xp.ascontiguousarray(first.output_error))
        state.work["errors"], state.work["outputs"] = [], []
        terms = super().estimate(state, observations, oracle)
        if self._readouts(state):
            term = Term(state.ones(len(first.output)), state.work["errors"])
            gradient = algebra.outer([term], state.work["outputs"], chips=state.chips)
            adapt(state, "readouts", gradient, "adam", self.readout_rate)
        return terms

    def hidden_signal(
        self, state: State, first: Observation, layer: int, factors: Doubles, drawn: list[Floats]
    ) -> Floats:
        shapes = self._readouts(state)
        if layer < len(shapes):
            outputs = periphery.outputs(state.net, layer, first, chips=state.chips)
            read = partial(
                algebra.product,
                matrices=[Layered(state.memory["readouts"], shapes)[layer]], chips=state.chips, transposed=True,
            )  # fmt: skip
            error = losses.get(state.loss).output_error(read(outputs), state.work["targets"])
            state.work["errors"].append(error)
            state.work["outputs"].append(outputs)
            sets = self.perturbations(state, len(error))[: self.samples]
            moved = [read(v[layer].reshape(len(error), -1)) for v in sets]
            changes = gathered([_dots(error, m) for m in moved], state.xp)
            factors = changes / state.injected(self.samples, len(error) // state.chips)
        return super().hidden_signal(state, first, layer, factors, drawn)

    def estimate_macs(self, state: State, samples: int) -> int:
        weights = state.net.units[-1] * sum(state.hidden[:-1])
        dots = self.samples * state.net.units[-1] * len(state.hidden[:-1])
        of_readouts = (2 + self.samples) * weights + dots  # read of outputs, of each perturbation; their gradient
        return super().estimate_macs(state, samples) + samples * of_readouts

    def _readouts(self, state: State) -> list[tuple[int, int]]:
        """Shapes of all chips' local readouts, (chips n_out, values of the layer's outputs)."""
        return state.stack([(state.net.units[-1], n) for n in state.hidden[:-1]])


def _dots(a: Any, b: Floats) -> Any:
    """Product of each sample's rows, (batch,) float64."""
    return (a.astype(np.float64) * b).sum(axis=1)


def _by_chip(arrays: Layered, chips: int) -> list[Any]:
    """Views (chips, values) of weight-shaped arrays: one of everything, or where chips alternate one per layer."""
    return [arrays.flat[None]] if chips == 1 else [array.reshape(chips, -1) for array in arrays]
