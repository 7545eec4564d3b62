"""Batch normalisation in the digital periphery: (a - mean) / sqrt(variance + epsilon) of each unit's activities.

While learning the statistics are the batch's own, as the update's first pass observed them; else running ones
(Ioffe & Szegedy 2015). `noisysim.blocks.project` has what it means for signals.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim import algebra
from noisysim.architecture import Architecture
from noisysim.kernels.layout import NORM_AT


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

    def __init__(self, net: Architecture, chips: int = 1, xp: Any = np):
        self._net, self._chips, self._xp = net, chips, xp
        units = chips * sum(n for n, norm in zip(net.units, net.norms, strict=True) if norm)
        self.statistics = xp.stack([xp.zeros(units), xp.ones(units)])
        self.norms = self.statistics.astype(np.float32)

    @property
    def layers(self) -> list[int]:
        """The layers that are normalised."""
        return [layer for layer, norm in enumerate(self._net.norms) if norm]

    def track(self, layer: int, activities: Any, rate: float) -> None:
        """Move a layer's running statistics towards those of its activities."""
        here = self._units(layer)
        self.statistics[:, here] += rate * (algebra.moments(activities, self._chips) - self.statistics[:, here])
        self._follow(layer, self.statistics[:, here], self.norms)

    def by_batch(self, layer: int, activities: Any, norms: Any) -> None:
        """Put into `norms` what normalises a layer by the statistics of these activities."""
        self._follow(layer, algebra.moments(activities, self._chips), norms)

    def parts(self, norms: Any) -> list[Any]:
        """Each layer's part of such an array, (2, chips x units), or ``None``."""
        return [norms[:, self._units(layer)] if norm else None for layer, norm in enumerate(self._net.norms)]

    def _follow(self, layer: int, moments: Any, norms: Any) -> None:
        here, norm = self._units(layer), self._net.norms[layer]
        assert norm is not None
        norms[0, here] = moments[0]
        norms[1, here] = 1 / self._xp.sqrt(moments[1] + norm.epsilon)

    def _units(self, layer: int) -> slice:
        at = self._chips * int(self._net.geometry()[layer, NORM_AT])
        return slice(at, at + self._chips * self._net.units[layer])
