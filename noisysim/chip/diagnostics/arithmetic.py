"""The arithmetic of diagnostics: norms, angles and covariances, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from noisysim.common.types import Array, Doubles
from noisysim.compute import backends

BLOCK = 256
"""Rows of a correlation matrix that are formed at a time."""


def host(arrays: Sequence[Any]) -> list[Array]:
    """The arrays as NumPy's, from wherever the chip computes."""
    return [backends.backend_of(a).take(a) for a in arrays]


def compare(measure: Callable[[Doubles, Doubles], float], estimate: Sequence[Array], truth: Sequence[Array]) -> Doubles:
    """A measure of unit vectors along an estimate and the truth, for each layer; NaN where one of them is zero."""
    values = np.full(len(truth), np.nan)
    for layer, (one, other) in enumerate(zip(estimate, truth, strict=False)):
        u, v = unit(one), unit(other)
        if u is not None and v is not None:
            values[layer] = measure(u, v)
    return values


def cosine(u: Doubles, v: Doubles) -> float:
    """Cosine of the angle between unit vectors."""
    return float(np.vdot(u, v))


def angle(u: Doubles, v: Doubles) -> float:
    """Degrees between unit vectors, exact near 0 and 180 too, where the arc cosine is not (Kahan 2006)."""
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def unit(array: Array) -> Doubles | None:
    """The direction of an array, flat; ``None`` for one of zeros."""
    flat = np.asarray(array, np.float64).ravel()
    norm = np.linalg.norm(flat)
    return flat / norm if norm > 0 else None


def square(array: Array) -> float:
    """Squared Frobenius norm."""
    flat = np.asarray(array, np.float64)
    return float(np.vdot(flat, flat))


def squares(arrays: Sequence[Array]) -> Doubles:
    """Squared Frobenius norms, (layers,) float64."""
    return np.array([square(a) for a in arrays])


def ratio(over: ArrayLike, under: ArrayLike) -> Doubles:
    """over / under; NaN where that is 0."""
    over, under = np.asarray(over, np.float64), np.asarray(under, np.float64)
    quotient = np.full(under.shape, np.nan)
    np.divide(over, under, out=quotient, where=under > 0)
    return quotient


def centred(x: Array) -> Doubles:
    """Deviations from the mean over the samples, (batch, units) float64; those of a constant unit are exactly 0."""
    x = np.subtract(x, x[0], dtype=np.float64)
    x -= x.mean(axis=0)
    return x


def scatter(x: Array) -> tuple[float, float]:
    """tr S and |S|^2 of the scatter matrix S (units, units) of (batch, units) values.

    From x x^T where that is the smaller: it has the same eigenvalues.
    """
    x = centred(x)
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return square(x), square(gram)


def whiteness(differences: Array) -> float:
    """How white differences, (batch, units), are, estimated without bias (`DifferenceWhiteness`)."""
    trace, scatter_squared = scatter(differences)
    n = len(differences) - 1
    if n < 2 or not trace:
        return np.nan
    norm_squared = (scatter_squared - trace**2 / n) / ((n - 1) * (n + 2))
    trace_squared = trace**2 / n**2 - 2 * norm_squared / n
    return float(ratio(trace_squared, differences.shape[1] * norm_squared))


def correlation(x: Array) -> float:
    """Mean absolute correlation coefficient of two different units of (batch, units) that vary."""
    x = centred(x)
    norms = np.sqrt(np.einsum("bi,bi->i", x, x))
    x = x[:, norms > 0] / norms[norms > 0]
    units = x.shape[1]
    if units < 2:
        return np.nan
    total = sum(np.abs(x[:, k : k + BLOCK].T @ x).sum() for k in range(0, units, BLOCK))
    return float((total - units) / (units * (units - 1)))
