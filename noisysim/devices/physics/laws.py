"""Moments of the distributions that hooks draw from, in float64: for tests and plots, not for loops."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.common.types import Doubles
from noisysim.devices.physics.scalars import Moments

_erf = np.vectorize(math.erf, otypes=[float])


def each(function: Callable[[Any], Any], values: npt.ArrayLike) -> Doubles:
    """A plain scalar function of every value, float64."""
    return np.vectorize(lambda v: float(function(np.float64(v))), otypes=[float])(np.asarray(values, float))


def clipped_normal(mean: npt.ArrayLike, std: npt.ArrayLike, low: float = -math.inf, high: float = math.inf) -> Moments:
    """Mean and standard deviation of min(max(N(mean, std^2), low), high), element by element."""
    mean, std = np.broadcast_arrays(np.asarray(mean, float), np.asarray(std, float))
    safe = np.where(std > 0, std, 1.0)
    low, high = max(low, -1e30), min(high, 1e30)
    a, b = (low - mean) / safe, (high - mean) / safe
    below, above = 0.5 * (1 + _erf(a / math.sqrt(2))), 0.5 * (1 - _erf(b / math.sqrt(2)))
    inside = 1 - below - above
    at_a, at_b = (np.exp(-0.5 * np.clip(v, -40, 40) ** 2) / math.sqrt(2 * math.pi) for v in (a, b))
    # of (draw - mean) / std, whose clipped ends are a and b
    tails = np.where(below > 0, a * below, 0) + np.where(above > 0, b * above, 0)
    first = tails + at_a - at_b
    edges = np.where(at_a > 1e-300, a * at_a, 0) - np.where(at_b > 1e-300, b * at_b, 0)
    squares = np.where(below > 0, a * a * below, 0) + np.where(above > 0, b * b * above, 0)
    second = squares + inside + edges
    spread = np.sqrt(np.maximum(second - first**2, 0)) * safe
    settled = std > 0
    return np.where(settled, mean + first * safe, np.clip(mean, low, high)), np.where(settled, spread, 0.0)
