"""Backpropagation by a rule that reads no weight: it keeps a copy of its own, to which it adds what it asks for.

What it shows is a property of the chip, not of the rule. Where a write controller keeps exact targets, what the arrays
hold is the sum of all changes that were asked for, so a rule that knows where they started knows the weights: nothing
was hidden. Where none keeps a copy, each write adds an error that the rule does not see, and its copy goes astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common.fields import Field
from noisysim.compute import algebra, layered, nodes
from noisysim.compute.algebra import Term
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners.base import Learner, State
from noisysim.learners.oracle import Oracle
from noisysim.learners.own import adapt, learned, start_gains

_REACH = 6.0  # squared bound of uniform weights, times the inputs: their variance is 2 / inputs (He et al. 2015)
_ADAM_START = np.float32(1e-3)  # small beside gradients: Adam makes steps of its rate of it, and forgets it


@dataclass(frozen=True)
class Shadow(Learner):
    """Backpropagation through a copy of the weights that the rule keeps itself, of a chip made with ``init="zero"``.

    s_l = dL/da_l through the copy, at the activities that one pass observed; the copy takes the step that the weights
    are asked to take. The first `starts` updates ask for random initial weights; learned gains begin at 1 in any case.
    The rule sees neither the optimizer nor its rate: the copy's have to be those of the run. It follows no weight
    decay, clipping, normalisation or schedule of rates, and leaves decorrelation out on the way back.

    Parameters
    ----------
    copy_rate, copy_optimizer
        Step of the copy: the run's ``learning_rate`` and ``optimizer``.
    starts : int
        Updates in which the initial weights are asked for. With "sgd" these have the variance 2 / inputs (He et al.
        2015); with "adam" all of them the size ``starts copy_rate``.
    """

    name: ClassVar[str] = "shadow"
    stacks: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"output_error"})
    rates: ClassVar[dict[str, float]] = {"adam": 1e-3, "sgd": 1e-1}

    copy_rate: Annotated[float, Field("", 0, 1e3, "learning rate of the copy: that of the run")] = 1e-3
    copy_optimizer: Annotated[str, Field(choices=("adam", "sgd"), doc="of the copy: that of the run")] = "adam"
    starts: Annotated[int, Field("updates", 0, 1e6, "that ask for initial weights")] = 25

    def remember(self, state: State) -> None:
        shapes, fan_in = self._shapes(state), state.net.fan_in
        learned(state, "copy", shapes, [0.0] * len(shapes), self.copy_optimizer)
        learned(state, "start", shapes, [(_REACH / n) ** 0.5 for n in fan_in])
        for start, n in zip(Layered(state.memory["start"], shapes), fan_in, strict=True):
            start[:, n:] = 0  # biases
        layers = range(state.net.depth)
        start_gains(state, Layered(state.memory["start"], shapes), layers, 0.0)
        start_gains(state, Layered(state.memory["copy"], shapes), layers)

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        return [Drive(output_error=True)]

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
        gradient = self._start(state, out) if state.step < self.starts else self._gradient(state, observations[0], out)
        asked = layered.empty(gradient.shapes, state.xp)
        asked.flat[...] = gradient.flat
        adapt(state, "copy", asked, self.copy_optimizer, self.copy_rate)
        return gradient, state

    def _shapes(self, state: State) -> list[tuple[int, int]]:
        """Shapes of all chips' weights."""
        return state.stack(state.net.shapes)

    def _start(self, state: State, out: Layered | None) -> Layered:
        """What asks for a part of the initial weights."""
        gradient = layered.empty(self._shapes(state), state.xp) if out is None else out
        scale = _ADAM_START if self.copy_optimizer == "adam" else np.float32(1 / (self.starts * self.copy_rate or 1))
        gradient.flat[...] = state.memory["start"] * -scale
        return gradient

    def _gradient(self, state: State, observation: Observation, out: Layered | None) -> Layered:
        """The gradient through the copy."""
        weights, fan_in = Layered(state.memory["copy"], self._shapes(state)), state.net.fan_in

        def maps(layer: int) -> list[Any]:
            return [weights[layer][:, : fan_in[layer]]]

        error: Any = observation.output_error
        signals = nodes.brought_back(state.net, maps, error, observation, state.chips)
        return algebra.outer([Term(state.ones(len(error)), signals)], observation.inputs, out, chips=state.chips)
