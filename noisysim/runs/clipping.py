"""Clipping of gradients by their norm over all layers (Pascanu et al. 2013, algorithm 1)."""

from __future__ import annotations

import numpy as np

from noisysim.compute import backends, layered
from noisysim.compute.layered import Layered


def clipped(gradient: Layered, norm: float, chips: int) -> Layered:
    """A gradient whose norm over all layers is at most `norm`, on each of several chips by itself; overwrites it.

    Parameters
    ----------
    gradient : Layered
        Of all chips, (chips n_out, n_in) for each layer.
    norm : float
        0 leaves it as it is. A norm that is not finite is left for the run to find.
    chips : int
    """
    if not norm:
        return gradient
    gradient = layered.layered(gradient)
    xp = backends.backend_of(gradient.flat).xp
    parts = [array.reshape(chips, -1) for array in gradient]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        norms = xp.sqrt(sum(xp.square(part, dtype=np.float64).sum(axis=1) for part in parts))
        factors = xp.where(xp.isfinite(norms) & (norms > norm), norm / norms, 1.0).astype(np.float32)
    for part in parts:
        part *= factors[:, None]
    return gradient
