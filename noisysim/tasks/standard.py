"""Standardisation: the ``(x - shift) * scale`` that a batch applies to what the data files hold."""

from __future__ import annotations

import numpy as np

CHOICES = ("global", "feature", "none")
_BLOCK = 1 << 18  # elements of a float64 temporary: the data themselves are never copied whole


def _row_blocks(values: np.ndarray):
    step = max(1, _BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        yield values[start : start + step].astype(np.float64)


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every column of (n, columns), in float64.

    Taken about the first row, so a constant column has a variance of exactly 0.
    """
    origin = values[0].astype(np.float64)
    mean = sum((block - origin).sum(axis=0) for block in _row_blocks(values)) / len(values)
    variance = sum(np.square(block - origin - mean).sum(axis=0) for block in _row_blocks(values)) / len(values)
    return origin + mean, variance


def affine(values: np.ndarray, how: str) -> np.ndarray:
    """Shift (row 0) and scale (row 1) of each column, float32, (2, columns).

    Parameters
    ----------
    values : numpy.ndarray
        (n, columns): the training split.
    how : str
        ``"global"``: one mean and one standard deviation for all columns; ``"feature"``: each column its own, and
        a column that never varies becomes 0; ``"none"``: the values as they are.
    """
    shift, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
    if how != "none":
        mean, variance = moments(values)
        if how == "global":
            variance = np.full_like(variance, (variance + np.square(mean - mean.mean())).mean())
            mean = np.full_like(mean, mean.mean())
        std = np.sqrt(variance)
        varies = std > np.finfo(np.float32).tiny
        shift, scale = mean, np.divide(1.0, std, out=np.zeros_like(std), where=varies)
    return np.stack([shift, scale]).astype(np.float32)
