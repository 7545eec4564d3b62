"""Decorrelation of a layer's inputs, in the digital periphery: x* = R x with R learned from x* alone.

R <- R - alpha (<x* x*^T> - diag<x*^2>) R (Dalm et al. 2025, section 2.2), stable for alpha below
2 / lambda_max of the inputs' covariance. Any learner can be combined with it. In a convolution R turns the patch at
each position, as in Dalm et al. 2024, "Efficient deep learning with decorrelated backpropagation" (arXiv 2405.02385),
and the mean is over samples and positions, so that every patch counts as one input vector: a sum over positions would
make the stable alpha smaller by their number.
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
        x* of each layer, (batch, n) or (batch, positions, n), n + 1 with a bias, whose column is left out.
    rate : float
        alpha.
    """
    if len(inputs[0]) <= FEW and inputs.flat_rows:
        kernel = specialised.sums().decorrelate_few
        kernel(rotations.flat, inputs.flat, rotations.widths, inputs.widths, len(inputs[0]), rate)
        return
    for rotation, line in zip(rotations, inputs, strict=True):
        n = len(rotation)
        x = line.reshape(-1, line.shape[-1])[:, :n]
        factor = np.float32(rate / len(x))
        step = execution.scratch("correlation", n * n)[: n * n].reshape(n, n)
        if 2 * n < 3 * len(x):
            _thick_step(rotation, x, step)
        else:
            _thin_step(rotation, x, step)
        flops = 50.0 * rotation.nbytes
        execution.run([partial(_subtract, rotation, step, factor, *rows) for rows in execution.unit_spans(n)], flops)


def _thick_step(rotation: np.ndarray, x: np.ndarray, step: np.ndarray) -> None:
    """(sum_b x_b x_b^T - diag) R by way of the correlations: symmetric, so half a product, and one more.

    Less work than two thin products where the batch has more than two thirds of the layer's units.
    """
    n = len(rotation)
    # rows get shorter towards the end of the triangle: four blocks share out evenly between two threads
    spans = execution.spans(n, max(64, 16 * -(-n // 64)) if n <= 1024 else execution.BLOCK_UNITS)
    execution.run([partial(_correlate, x, step, *span) for span in spans], 1.0 * x.size * n)
    execution.run([partial(_turn, rotation, step, *span) for span in spans], 2.0 * n**3)


def _correlate(x: np.ndarray, step: np.ndarray, first: int, last: int) -> None:
    """The off-diagonal part of sum_b x_b x_b^T: a block of rows from the diagonal on, and its mirror image."""
    own = x[:, first:last]
    square = step[first:last, first:last]
    square[...] = own.T @ own  # symmetric: NumPy computes half
    np.fill_diagonal(square, 0)
    if last < len(step):
        beyond = step[first:last, last:]
        np.matmul(own.T, x[:, last:], out=beyond)
        step[last:, first:last] = beyond.T


def _turn(rotation: np.ndarray, step: np.ndarray, first: int, last: int) -> None:
    """Rows of the correlations become rows of (correlations R): nobody else needs them."""
    rows = execution.scratch("work", (last - first) * len(rotation))[: (last - first) * len(rotation)]
    rows = rows.reshape(last - first, -1)
    np.matmul(step[first:last], rotation, out=rows)
    step[first:last] = rows


def _thin_step(rotation: np.ndarray, x: np.ndarray, step: np.ndarray) -> None:
    """sum_b x_b (R^T x_b)^T - diag(sum_b x_b^2) R: two thin products."""
    turned = x @ rotation
    own = np.einsum("bi,bi->i", x, x)

    def rows(first: int, last: int) -> None:
        np.matmul(x[:, first:last].T, turned, out=step[first:last])
        step[first:last] -= own[first:last, None] * rotation[first:last]

    execution.run([partial(rows, *span) for span in execution.unit_spans(len(rotation))], 2.0 * x.size * len(rotation))


def _subtract(rotation: np.ndarray, step: np.ndarray, factor: np.float32, first: int, last: int) -> None:
    """rotation -= factor step, for some rows."""
    step[first:last] *= factor
    rotation[first:last] -= step[first:last]
