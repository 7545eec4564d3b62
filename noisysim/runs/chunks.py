"""Updates that are too large to be held at once: their samples go through in chunks.

Noise and draws are functions of a sample's number, so a chunk sees what it would see in the whole; a rule whose
gradient is a mean over samples, and which learns nothing but the weights, gives the same, rounding apart. How many
samples a chunk has follows from shapes alone, so that a run gives the same bits wherever it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from noisysim.compute import layered
from noisysim.compute.execution import spans
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch

MOST_VALUES = 1 << 29
"""Of the activities and perturbations of an update's passes; 2 GiB of float32."""


def samples_at_once(learner: Any, state: Any, samples: int) -> int:
    """How many of an update's samples, those of all chips, are gone through at once: all, or a chunk of each chip's."""
    if not additive(learner, state.net):
        return samples
    return min(samples, state.chips * held_at_once(learner, state.net, state.chips))


def additive(learner: Any, net: Any) -> bool:
    """Whether chunks of an update give the same gradient as the whole, rounding apart."""
    return learner.additive and learner.loss == "sample" and not any(net.norms)


def held_at_once(learner: Any, net: Any, chips: int) -> int:
    """How many samples of each chip a chunk may have."""
    passes = 1 + learner.samples * (net.depth if learner.one_by_one else 1)
    return max(1, MOST_VALUES // (2 * passes * sum(net.lines) * chips))


def parts(batch: Batch, chips: int, samples: int) -> Iterator[tuple[int, Batch]]:
    """Chunks of a batch, of so many samples of all chips at the most, and the number of each one's first sample."""
    own = len(batch.inputs) // chips
    for first, last in spans(own, samples // chips):
        x, t = (a.reshape(chips, own, -1)[:, first:last].reshape(-1, a.shape[1]) for a in batch[:2])
        yield first, Batch(x, t, batch.loss)


class Whole:
    """What the chunks of an update come to: its gradient, and what its first pass drove each layer with.

    Parameters
    ----------
    state : State
        The learner's.
    samples : int
        Of the whole update, on all chips.
    inputs : bool
        Whether inputs are wanted.
    """

    def __init__(self, state: Any, samples: int, inputs: bool):
        net, self._chips, self._own = state.net, state.chips, samples // state.chips
        self.gradient = layered.zeros(state.stack(net.shapes), state.xp)
        driven = [net.driven_shape(layer, samples) for layer in range(net.depth)] if inputs else []
        self.inputs: Layered = layered.empty(driven, state.xp)

    def add(self, first: int, gradient: Layered, inputs: Any) -> None:
        """Add a chunk that begins with a chip's sample `first`."""
        count = len(inputs[0]) // self._chips
        self.gradient.flat += np.float32(count / self._own) * gradient.flat
        for target, some in zip(self.inputs, inputs, strict=False):
            shape = (self._chips, -1, *some.shape[1:])
            target.reshape(shape)[:, first : first + count] = some.reshape(shape)
