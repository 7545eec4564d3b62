"""One update, as diagnostics may look at it, and the estimates that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from noisysim.chip.diagnostics.arithmetic import host, square
from noisysim.chip.oracle import Oracle
from noisysim.common.types import Array, Doubles
from noisysim.compute import nodes
from noisysim.compute.observation import Batch, Observation
from noisysim.networks.architecture import INPUT, Architecture


class Moments:
    """Mean and scatter of gradients that come one after the other, none of which is kept (Welford 1962).

    Attributes
    ----------
    count : int
        How many came.
    mean : list of numpy.ndarray
        (n_out, n_in) float64 per layer; empty before the first.
    scatter : numpy.ndarray
        (layers,) float64: squared distances from the mean, summed.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: list[Array] = []
        self.scatter = np.zeros(0)

    def add(self, gradient: Sequence[Array]) -> None:
        """Take one more gradient into account."""
        if not self.count:
            self.mean, self.scatter = [np.zeros(np.shape(g)) for g in gradient], np.zeros(len(gradient))
        self.count += 1
        for layer, (mean, one) in enumerate(zip(self.mean, gradient, strict=True)):
            change = np.subtract(one, mean, dtype=np.float64)
            self.scatter[layer] += (1 - 1 / self.count) * square(change)
            change /= self.count
            mean += change

    @property
    def variance(self) -> Doubles:
        """Unbiased variance, the sum over the layer's weights, (layers,); from two on."""
        return self.scatter / (self.count - 1)


class Sampled(NamedTuple):
    """Several estimates at fixed weights.

    Attributes
    ----------
    estimate, truth, error : Moments
        Of the learner's gradients, of the true ones at the baseline passes of the same estimates, and of their
        differences, in which the noise common to both is gone.
    """

    estimate: Moments
    truth: Moments
    error: Moments


@dataclass(frozen=True)
class Probe:
    """One update, as a diagnostic may look at it.

    Attributes
    ----------
    batch : Batch
    observations : sequence of Observation
        What the learner saw, the baseline first.
    gradient : Layered or None
        The learner's estimate, before the optimizer; ``None`` where it asked for no change.
    net : Architecture
    oracle : Oracle or None
        Where a diagnostic of the run needs it.
    estimate : callable
        ``estimate(n)`` iterates over n more estimates of the same learner at the same weights, each a baseline
        observation and a gradient, from independent passes and draws that leave no trace.
    """

    batch: Batch
    observations: Sequence[Observation]
    gradient: Sequence[Array] | None
    net: Architecture
    oracle: Oracle | None
    estimate: Callable[[int], Iterator[tuple[Observation, Sequence[Array]]]]
    _sampled: dict[int, Sampled] = field(default_factory=dict, init=False, repr=False)

    @property
    def baseline(self) -> Observation:
        """The update's first pass."""
        return self.observations[0]

    @property
    def undefined(self) -> Doubles:
        """(layers,) of NaN."""
        return np.full(len(self.baseline.activities), np.nan)

    @property
    def exact(self) -> Oracle:
        """The oracle, which must have been granted."""
        if self.oracle is None:
            raise ValueError("a diagnostic that reads exact weights says so: needs = frozenset({'oracle'})")
        return self.oracle

    @cached_property
    def estimated(self) -> list[Array]:
        """The learner's estimate, (n_out, n_in) per layer; empty where it asked for no change."""
        return host(self.gradient or [])

    @cached_property
    def truth(self) -> list[Array]:
        """The oracle's true gradient at the activities of the baseline pass, (n_out, n_in) per layer."""
        return host(self.exact.gradient(self.baseline))

    @cached_property
    def differences(self) -> list[Array] | None:
        """Pre-activations of the second pass less the baseline's, (batch, values) per layer; ``None`` without one."""
        if len(self.observations) < 2:
            return None
        pairs = zip(host(self.observations[1].activities), host(self.baseline.activities), strict=True)
        return [np.subtract(a, b, dtype=np.float64).reshape(len(a), -1) for a, b in pairs]

    @cached_property
    def outputs(self) -> list[Array]:
        """The inputs of each layer, (batch, values), which are the batch's inputs, then hidden outputs."""
        between, net = nodes.Nodes(self.net, self.baseline), self.net
        sources = [net.source(layer) for layer in range(net.depth)]
        return host([self.batch.inputs if node == INPUT else between.value(node) for node in sources])

    def sampled(self, samples: int) -> Sampled:
        """`samples` more estimates and the truth beside each, drawn once for all diagnostics that ask for as many."""
        if samples not in self._sampled:
            sampled, truth = Sampled(Moments(), Moments(), Moments()), None
            for baseline, gradient in self.estimate(samples):
                truth = self.exact.gradient(baseline, truth)
                ours, exact = host(gradient), host(truth)
                sampled.estimate.add(ours)
                sampled.truth.add(exact)
                sampled.error.add([np.subtract(g, t, dtype=np.float64) for g, t in zip(ours, exact, strict=True)])
            self._sampled[samples] = sampled
        return self._sampled[samples]
