"""Batch normalisation in the digital periphery: (a - mean) / sqrt(variance + epsilon) of each unit's activities.

While learning the statistics are the batch's own, as the update's first pass observed them; else running ones (Ioffe &
Szegedy 2015), and of a batch of a single sample, of which there are none. `noisysim.compute.periphery.project` has
what it means for signals.

The running statistics are the mean and the unbiased variance of all values seen, each value with a weight that fades:
of a batch of m samples, what was seen before keeps the share (1 - rate)^(m / M) of its weight, where M is the largest
batch so far, at least `BATCH`. So a batch counts by its samples, whatever the size of the batches, and a short last one
counts for what it is. With weights w the variance is sum w (a - mean)^2 / (sum w - sum w^2 / sum w), for one batch
the m / (m - 1) of Ioffe & Szegedy's algorithm 2; it is updated batch by batch as in West 1979, "Updating mean and
variance estimates: an improved method", and holds what the mean moved by as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Doubles, Floats
from noisysim.compute import algebra
from noisysim.compute.layout import NORM_AT
from noisysim.networks.architecture import Architecture

BATCH = 32
"""Samples: a smaller batch has its share of a layer's `rate`, so that running statistics do not rest on a few."""
FEW = 4
"""Degrees of freedom below which a unit's own variance is too uncertain to divide by: its layer's stands in."""


class Normalisation:
    """The running statistics of a network's normalised layers, of one chip or of several side by side.

    Parameters
    ----------
    net : Architecture
    chips : int
    xp : namespace
        Of the arrays.

    Attributes
    ----------
    statistics : array
        Running mean and variance of activities, (2, chips x units of all normalised layers) float64: layer by layer,
        in each of them chip after chip.
    norms : array
        What follows from them, shift and scale, (2, chips x units) float32.
    """

    def __init__(self, net: Architecture, chips: int = 1, xp: ModuleType = np):
        self._net, self._chips, self._xp = net, chips, xp
        units = chips * sum(n for n, norm in zip(net.units, net.norms, strict=True) if norm)
        self.statistics = xp.stack([xp.zeros(units), xp.ones(units)])
        self.norms = self.statistics.astype(np.float32)
        self._squares = xp.zeros(units)  # weighted sum of squared distances from the mean
        self._counts = xp.zeros((3, len(self.layers)))  # sums of weights and of their squares; largest batch

    @property
    def layers(self) -> list[int]:
        """The layers that are normalised."""
        return [layer for layer, norm in enumerate(self._net.norms) if norm]

    @property
    def held(self) -> dict[str, Any]:
        """The arrays that change in use."""
        return {
            "statistics": self.statistics, "norms": self.norms, "norm_squares": self._squares,
            "norm_counts": self._counts,
        }  # fmt: skip

    def start(self, layer: int, activities: Floats) -> None:
        """Set a layer's running statistics to those of its activities."""
        self._counts[:, self.layers.index(layer)] = 0
        self.track(layer, activities, 1.0)

    @property
    def adopted(self) -> list[int]:
        """The layers that have running statistics before any activities were seen, or have seen some."""
        return [layer for k, layer in enumerate(self.layers) if float(self._counts[0, k]) > 0]

    def adopt(self, layer: int, moments: Doubles) -> None:
        """Set a layer's running statistics on all chips, (2, units); how much they weigh is settled by `weigh`."""
        here = self._units(layer)
        self.statistics[:, here] = self._xp.asarray(np.tile(moments, self._chips))
        self._counts[0, self.layers.index(layer)] = 1
        self._follow(layer, self.statistics[:, here], self.norms)

    def weigh(self, layer: int, samples: int) -> None:
        """Let a layer's running statistics weigh as if they were those of many batches of so many samples."""
        here, counts, norm = self._units(layer), self._counts[:, self.layers.index(layer)], self._net.norms[layer]
        assert norm is not None
        values, largest = samples * self._net.positions[layer], max(samples, BATCH)
        kept = (1 - norm.rate) ** (samples / largest) if norm.rate else 0.0
        counts[0], counts[1], counts[2] = values / (1 - kept), values / (1 - kept * kept), largest
        self._squares[here] = self.statistics[1, here] * (counts[0] - counts[1] / counts[0])

    def track_all(self, activities: Sequence[Any]) -> None:
        """Move the running statistics of every normalised layer, each at its own rate."""
        for layer in self.layers:
            norm = self._net.norms[layer]
            assert norm is not None
            self.track(layer, activities[layer], norm.rate)

    def track(self, layer: int, activities: Floats, rate: float) -> None:
        """Move a layer's running statistics towards those of its activities; rate 0 leaves them."""
        if not rate:
            return
        here, counts = self._units(layer), self._counts[:, self.layers.index(layer)]
        samples = len(activities) // self._chips
        values = activities.size // (self._chips * self._net.units[layer])  # of each unit, at all positions
        mean, variance = algebra.moments(activities, self._chips)
        largest = self._xp.maximum(counts[2], max(samples, BATCH))
        kept = (1 - rate) ** (samples / largest)
        before = kept * counts[0]
        weight = before + values
        moved = mean - self.statistics[0, here]
        self.statistics[0, here] += moved * (values / weight)
        self._squares[here] = kept * self._squares[here] + values * (variance + moved * moved * (before / weight))
        counts[0], counts[1], counts[2] = weight, kept * kept * counts[1] + values, largest
        self.statistics[1, here] = self._variances(here, weight - counts[1] / weight)
        self._follow(layer, self.statistics[:, here], self.norms)

    def by_batch(self, layer: int, activities: Floats, norms: Floats) -> None:
        """Put into `norms` what normalises a layer by the statistics of these activities."""
        self._follow(layer, algebra.moments(activities, self._chips), norms)

    def parts(self, norms: Floats) -> list[Floats | None]:
        """Each layer's part of such an array, (2, chips x units), or ``None``."""
        return [norms[:, self._units(layer)] if norm else None for layer, norm in enumerate(self._net.norms)]

    def _variances(self, here: slice, freedom: Any) -> Any:
        """Each unit's variance, `freedom` being its degrees of freedom (a scalar where the arrays are).

        Of a single sample nothing is known but the size of its activities. Where no unit of a layer has varied the
        variance stays what it was.
        """
        where = self._xp.where
        variances = self._squares[here] / where(freedom > 0, freedom, 1.0)
        scale = where(freedom > 0, variances, self.statistics[0, here] ** 2)
        common = scale.reshape(self._chips, -1).mean(axis=1).repeat(len(variances) // self._chips)
        return where(common > 0, where(freedom < FEW, common, variances), self.statistics[1, here])

    def _follow(self, layer: int, moments: Any, norms: Floats) -> None:
        here, norm = self._units(layer), self._net.norms[layer]
        assert norm is not None
        norms[0, here] = moments[0]
        norms[1, here] = 1 / self._xp.sqrt(moments[1] + norm.epsilon)

    def _units(self, layer: int) -> slice:
        at = self._chips * int(self._net.geometry()[layer, NORM_AT])
        return slice(at, at + self._chips * self._net.units[layer])
