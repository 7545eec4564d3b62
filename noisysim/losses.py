"""The losses: one value a sample, and the output error each implies.

Losses are sums in float64 over float32 outputs: a perturbation of 1e-5 changes a loss by less than float32 resolves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from noisysim.fields import unknown


class Loss(NamedTuple):
    """A loss and its derivative; calling it gives its value.

    Attributes
    ----------
    name : str
    value : callable
        ``value(output, targets) -> (batch,)`` float64.
    error : callable
        ``error(output, targets) -> (batch, n_out)`` float32, the derivative with respect to the output.
    """

    name: str
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    error: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, output: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The loss of each sample."""
        return self.value(output, targets)


@njit(cache=True, nogil=True, error_model="numpy")
def _log_total(row):
    """log sum_k exp(y_k) of one sample's outputs."""
    top = np.float64(row[0])
    for k in range(1, row.size):
        top = max(top, np.float64(row[k]))
    total = 0.0
    for k in range(row.size):
        total += np.exp(row[k] - top)
    return np.log(total) + top


@njit(cache=True, nogil=True, error_model="numpy")
def cross_entropy(output, targets):
    """Softmax cross-entropy, ``-sum_k t_k log softmax(y)_k``, one value a sample (CCE)."""
    loss = np.empty(output.shape[0], np.float64)
    for b in range(output.shape[0]):
        total, value = _log_total(output[b]), 0.0
        for k in range(output.shape[1]):
            if targets[b, k] != 0:
                value += targets[b, k] * (total - output[b, k])
        loss[b] = value
    return loss


@njit(cache=True, nogil=True, error_model="numpy")
def cross_entropy_error(output, targets):
    """Derivative of `cross_entropy`: softmax(y) - t (targets sum to one)."""
    error = np.empty(output.shape, np.float32)
    for b in range(output.shape[0]):
        total = _log_total(output[b])
        for k in range(output.shape[1]):
            error[b, k] = np.exp(output[b, k] - total) - targets[b, k]
    return error


@njit(cache=True, nogil=True, error_model="numpy")
def squared_error(output, targets):
    """Half the sum of squares, ``1/2 sum_k (y_k - t_k)^2``, one value a sample (MSE)."""
    loss = np.empty(output.shape[0], np.float64)
    for b in range(output.shape[0]):
        total = 0.0
        for k in range(output.shape[1]):
            difference = np.float64(output[b, k]) - targets[b, k]
            total += difference * difference
        loss[b] = 0.5 * total
    return loss


def squared_error_error(output: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Derivative of `squared_error`: y - t."""
    return np.subtract(output, targets, dtype=np.float32)


LOSSES = {
    "cce": Loss("cce", cross_entropy, cross_entropy_error),
    "mse": Loss("mse", squared_error, squared_error_error),
}


def get(name: str) -> Loss:
    """The loss called `name` (``"cce"`` or ``"mse"``)."""
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]
