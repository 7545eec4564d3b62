"""Decorrelation of a layer's inputs, in the digital periphery: x* = R x with R learned from x* alone.

R <- R - alpha (<x* x*^T> - diag<x*^2>) R (Dalm et al. 2025, section 2.2), stable for alpha below
2 / lambda_max of the inputs' covariance. Any learner can be combined with it.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from noisysim import execution, layered
from noisysim.kernels import specialised

FEW = 8
"""Up to this many samples R is changed by rank-one updates."""


def decorrelate(rotations: layered.Layered, inputs: layered.Layered, rate: float) -> None:
    """One step for every layer, in place.

    Parameters
    ----------
    rotations : Layered
        R of each layer, (n, n).
    inputs : Layered
        x* of each layer, (batch, n), or (batch, n + 1) with a bias, whose column is left out.
    rate : float
        alpha.
    """
    batch = len(inputs[0])
    if batch <= FEW:
        shapes = np.array([(len(r), x.shape[1]) for r, x in zip(rotations, inputs, strict=True)], np.int64)
        specialised.general().decorrelate_few(rotations.flat, inputs.flat, shapes, batch, rate)
        return
    work = layered.Layered(execution.scratch("correlations", rotations.flat.size), rotations.shapes)
    thin = execution.scratch("turned", max(x.size for x in inputs))
    flops = sum(2.0 * batch * len(r) ** 2 for r in rotations)
    layers = list(zip(rotations, inputs, work, strict=True))
    execution.run([partial(_correlate, x[:, : len(r)], c) for r, x, c in layers if _is_thick(r, batch)], flops)
    for rotation, x, step in layers:
        if not _is_thick(rotation, batch):
            _thin_step(rotation, x[:, : len(rotation)], step, thin[: batch * len(rotation)].reshape(batch, -1))
    execution.run(
        [partial(_turn, r, c, *rows) for r, _, c in layers if _is_thick(r, batch) for rows in _blocks(r)], flops
    )
    factor = np.float32(rate / batch)
    execution.run([partial(_subtract, r, c, factor, *rows) for r, _, c in layers for rows in _blocks(r)], flops)


def _is_thick(rotation: np.ndarray, batch: int) -> bool:
    """Whether forming <x x^T> (symmetric: half a product) and turning R by it is less work than two thin products."""
    return 2 * len(rotation) < 3 * batch


def _blocks(rotation: np.ndarray) -> list[tuple[int, int]]:
    return execution.spans(len(rotation), execution.BLOCK_UNITS)


def _correlate(x: np.ndarray, correlation: np.ndarray) -> None:
    """The off-diagonal part of sum_b x_b x_b^T."""
    np.matmul(x.T, x, out=correlation)
    np.fill_diagonal(correlation, 0)


def _turn(rotation: np.ndarray, correlation: np.ndarray, first: int, last: int) -> None:
    """Rows of the correlation become rows of (correlation R): nobody else needs them."""
    rows = execution.scratch("turn", (last - first) * len(rotation))[: (last - first) * len(rotation)]
    rows = rows.reshape(last - first, -1)
    np.matmul(correlation[first:last], rotation, out=rows)
    correlation[first:last] = rows


def _thin_step(rotation: np.ndarray, x: np.ndarray, step: np.ndarray, turned: np.ndarray) -> None:
    """sum_b x_b (R^T x_b)^T - diag(sum_b x_b^2) R for a batch smaller than the layer."""
    np.matmul(x, rotation, out=turned)
    own = np.einsum("bi,bi->i", x, x)

    def rows(first: int, last: int) -> None:
        np.matmul(x[:, first:last].T, turned, out=step[first:last])
        step[first:last] -= own[first:last, None] * rotation[first:last]

    execution.run([partial(rows, *span) for span in _blocks(rotation)], 2.0 * x.size * len(rotation))


def _subtract(rotation: np.ndarray, step: np.ndarray, factor: np.float32, first: int, last: int) -> None:
    """rotation -= factor step, for some rows."""
    step[first:last] *= factor
    rotation[first:last] -= step[first:last]
