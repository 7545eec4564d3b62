"""The losses: one value a sample, and the output error each implies.

Losses are sums in float64 over float32 outputs: a perturbation of 1e-5 changes a loss by less than float32 resolves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.fields import unknown
from noisysim.compute import backends


class Loss(NamedTuple):
    """A loss and its derivative, on the backend of their arguments; calling it gives its value.

    Attributes
    ----------
    name : str
    value : callable
        ``value(output, targets) -> (batch,)`` float64.
    error : callable
        ``error(output, targets) -> (batch, n_out)`` float32, the derivative with respect to the output.
    """

    name: str
    value: Callable[[Any, Any], Any]
    error: Callable[[Any, Any], Any]

    def __call__(self, output: Any, targets: Any) -> Any:
        """The loss of each sample."""
        return self.value(output, targets)


def cross_entropy(output: Any, targets: Any) -> Any:
    """Softmax cross-entropy, ``-sum_k t_k log softmax(y)_k``, one value a sample (CCE)."""
    return backends.backend_of(output).ops.cross_entropy(output, targets)


def cross_entropy_error(output: Any, targets: Any) -> Any:
    """Derivative of `cross_entropy`: softmax(y) - t (targets sum to one)."""
    return backends.backend_of(output).ops.cross_entropy_error(output, targets)


def squared_error(output: Any, targets: Any) -> Any:
    """Half the sum of squares, ``1/2 sum_k (y_k - t_k)^2``, one value a sample (MSE)."""
    return backends.backend_of(output).ops.squared_error(output, targets)


def squared_error_error(output: Any, targets: Any) -> Any:
    """Derivative of `squared_error`: y - t."""
    return backends.backend_of(output).xp.subtract(output, targets, dtype=np.float32)


LOSSES = {
    "cce": Loss("cce", cross_entropy, cross_entropy_error),
    "mse": Loss("mse", squared_error, squared_error_error),
}


def get(name: str) -> Loss:
    """The loss called `name` (``"cce"`` or ``"mse"``)."""
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]
