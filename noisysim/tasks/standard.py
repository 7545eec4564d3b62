"""Standardisation: the ``(x - shift) * scale`` that a batch applies to what the data files hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from noisysim.common.types import Doubles
from noisysim.compute.cpu.loops import gather

CHOICES = ("global", "feature", "none")
IMAGE_CHOICES = ("global", "feature", "unit", "none")
AS_INPUTS = "as the inputs"
"""How a task standardises its targets that has no setting of its own for them."""
_ROWS = 1 << 16  # of uint8 whose squares a uint32 can add up
_BLOCK = 1 << 18  # elements of a float64 temporary: the data themselves are never copied whole


def _row_blocks(values: np.ndarray) -> Iterator[Doubles]:
    step = max(1, _BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        yield values[start : start + step].astype(np.float64)


def _byte_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`moments` of uint8: sums of whole numbers, in one pass, and each result rounded once."""
    n = len(values)
    total, squares = np.zeros(values.shape[1], object), np.zeros(values.shape[1], object)
    for start in range(0, n, _ROWS):
        part, part_squares = np.zeros((2, values.shape[1]), np.uint32)
        gather.add_bytes(values[start : start + _ROWS], part, part_squares)
        total, squares = total + part.astype(object), squares + part_squares.astype(object)
    return (total / n).astype(np.float64), ((n * squares - total * total) / (n * n)).astype(np.float64)


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every column of (n, columns), in float64.

    A constant column has a variance of exactly 0: sums of bytes are exact, others are taken about the first row.
    """
    if values.dtype == np.uint8:
        return _byte_moments(values)
    origin = values[0].astype(np.float64)
    mean = sum((block - origin).sum(axis=0) for block in _row_blocks(values)) / len(values)
    variance = sum(np.square(block - origin - mean).sum(axis=0) for block in _row_blocks(values)) / len(values)
    return origin + mean, variance


def affine(values: np.ndarray, how: str, white: int = 1) -> np.ndarray:
    """Shift (row 0) and scale (row 1) of each column, float32, (2, columns).

    Parameters
    ----------
    values : numpy.ndarray
        (n, columns): the training split.
    how : str
        ``"global"``: one mean and one standard deviation for all columns; ``"feature"``: each column its own, and
        a column that never varies becomes 0; ``"unit"``: `white` becomes 1, and 0 stays; ``"none"``: the values as
        they are.
    white : int
        The value of a white pixel.
    """
    shift, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
    if how == "unit":
        scale /= white
    elif how != "none":
        mean, variance = moments(values)
        if how == "global":
            variance = np.full_like(variance, (variance + np.square(mean - mean.mean())).mean())
            mean = np.full_like(mean, mean.mean())
        std = np.sqrt(variance)
        varies = std > np.finfo(np.float32).tiny
        shift, scale = mean, np.divide(1.0, std, out=np.zeros_like(std), where=varies)
    return np.stack([shift, scale]).astype(np.float32)


def described(
    how: str,
    affine: np.ndarray,
    origin: np.ndarray | None,
    targets: tuple[object, np.ndarray, np.ndarray | None] | None,
) -> dict[str, Any]:
    """How inputs, and values as targets, are standardised, in plain values.

    Parameters
    ----------
    how : str
        Of the inputs: see `affine`.
    affine : numpy.ndarray
        (2, n_in).
    origin : numpy.ndarray or None
        What was subtracted from inputs before, (n_in,).
    targets : (str or bool, numpy.ndarray, numpy.ndarray or None), optional
        The same of values as targets: whether, (2, n_out), (n_out,).
    """
    plain: dict[str, Any] = {"inputs": how}
    if how == "unit":
        plain["white"] = round(float(1 / affine[1, 0]))
    if how == "global":
        plain["mean"] = float(affine[0, 0] + (0 if origin is None else origin[0]))
        plain["std"] = float(1 / affine[1, 0])
    if targets is not None:
        plain["targets"], of_targets, before = targets
        if plain["targets"] != AS_INPUTS:
            plain["target_mean"] = (of_targets[0] + (0 if before is None else before)).tolist()
            plain["target_std"] = (1 / of_targets[1]).tolist()
    return plain
