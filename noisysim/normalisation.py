"""Batch normalisation in the digital periphery: (a - mean) / sqrt(variance + epsilon) of each unit's activities.

While learning the statistics are the batch's own, as the update's first pass observed them; else running ones
(Ioffe & Szegedy 2015). `noisysim.blocks.project` has what it means for signals.
"""

from __future__ import annotations

import numpy as np

from noisysim.architecture import Architecture
from noisysim.kernels import specialised
from noisysim.kernels.layout import NORM_AT


class Normalisation:
    """The running statistics of a network's normalised layers.

    Attributes
    ----------
    statistics : numpy.ndarray
        Running mean and variance of activities, (2, units of all normalised layers) float64.
    norms : numpy.ndarray
        What follows from them, shift and scale, (2, units) float32.
    """

    def __init__(self, net: Architecture):
        self._net = net
        units = sum(n for n, norm in zip(net.units, net.norms, strict=True) if norm)
        self.statistics = np.stack([np.zeros(units), np.ones(units)])
        self.norms = self.statistics.astype(np.float32)

    @property
    def layers(self) -> list[int]:
        """The layers that are normalised."""
        return [layer for layer, norm in enumerate(self._net.norms) if norm]

    def track(self, layer: int, activities: np.ndarray, rate: float) -> None:
        """Move a layer's running statistics towards those of its activities."""
        here = self._units(layer)
        self.statistics[:, here] += rate * (_moments(activities) - self.statistics[:, here])
        self._follow(layer, self.statistics[:, here], self.norms)

    def by_batch(self, layer: int, activities: np.ndarray, norms: np.ndarray) -> None:
        """Put into `norms` what normalises a layer by the statistics of these activities."""
        self._follow(layer, _moments(activities), norms)

    def parts(self, norms: np.ndarray) -> list[np.ndarray | None]:
        """Each layer's part of such an array, (2, units)."""
        return [norms[:, self._units(layer)] if norm else None for layer, norm in enumerate(self._net.norms)]

    def _follow(self, layer: int, moments: np.ndarray, norms: np.ndarray) -> None:
        here, norm = self._units(layer), self._net.norms[layer]
        assert norm is not None
        norms[0, here] = moments[0]
        norms[1, here] = 1 / np.sqrt(moments[1] + norm.epsilon)

    def _units(self, layer: int) -> slice:
        at = self._net.geometry()[layer, NORM_AT]
        return slice(at, at + self._net.units[layer])


def _moments(activities: np.ndarray) -> np.ndarray:
    """Mean and variance of each unit over samples and positions, (2, units) float64."""
    return specialised.sums().moments(np.ascontiguousarray(activities).reshape(-1, activities.shape[-1]))
