"""Updates that are too large to be held at once: their samples go through in chunks.

Noise and draws are functions of a sample's number, so a chunk sees what it would see in the whole; a rule whose
gradient is a mean over samples, and which learns nothing but the weights, gives the same, rounding apart. How many
samples a chunk has follows from shapes alone, so that a run gives the same bits wherever it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from noisysim.compute import layered
from noisysim.compute.execution import spans
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch
from noisysim.learners import Learner, State
from noisysim.networks.architecture import Architecture

MOST_VALUES = 1 << 29
"""Of the activities and perturbations of an update's passes; 2 GiB of float32."""


def samples_at_once(learner: Learner, state: State, samples: int) -> int:
    """How many of an update's samples, over all chips, are processed at once: all, or a chunk of each chip's."""
    if not additive(learner, state.net):
        return samples
    return min(samples, state.chips * held_at_once(learner, state.net, state.chips))


def additive(learner: Learner, net: Architecture) -> bool:
    """Whether chunks of an update give the same gradient as the whole, rounding apart."""
    return learner.additive and getattr(learner, "loss", "") == "sample" and not any(net.norms)


def held_at_once(learner: Any, net: Architecture, chips: int) -> int:
    """How many samples of each chip a chunk may have."""
    passes = 1 + learner.samples * (net.depth if learner.one_by_one else 1)
    return int(max(1, MOST_VALUES // (2 * passes * sum(net.lines) * chips)))


def parts(batch: Batch, chips: int, samples: int) -> Iterator[tuple[int, Batch]]:
    """Chunks of a batch, each of at most `samples` over all chips, and the number of its first sample."""
    per_chip = len(batch.inputs) // chips
    for first, last in spans(per_chip, samples // chips):
        x, t = (a.reshape(chips, per_chip, -1)[:, first:last].reshape(-1, a.shape[1]) for a in batch[:2])
        yield first, Batch(x, t, batch.loss)


class Sum:
    """The sum of an update's chunks: its gradient, and what its first pass drove each layer with.

    Parameters
    ----------
    state : State
        The learner's.
    samples : int
        Of the whole update, on all chips.
    inputs : bool
        Whether inputs are wanted.
    """

    def __init__(self, state: State, samples: int, inputs: bool):
        net, self._chips, self._per_chip = state.net, state.chips, samples // state.chips
        self.gradient = layered.zeros(state.stack(net.shapes), state.xp)
        driven = [net.driven_shape(layer, samples) for layer in range(net.depth)] if inputs else []
        self.inputs: Layered = layered.empty(driven, state.xp)

    def add(self, first: int, gradient: Layered, inputs: Sequence[Any]) -> None:
        """Add a chunk that begins with a chip's sample `first`."""
        count = len(inputs[0]) // self._chips
        self.gradient.flat += np.float32(count / self._per_chip) * gradient.flat
        for target, some in zip(self.inputs, inputs, strict=False):
            shape = (self._chips, -1, *some.shape[1:])
            target.reshape(shape)[:, first : first + count] = some.reshape(shape)
