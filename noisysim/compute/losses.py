"""The losses: one value per sample, and the output error each implies.

Losses are sums in float64 over float32 outputs: a perturbation of 1e-5 changes a loss by less than float32 resolves.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from noisysim.common import identity
from noisysim.common.function_parts import FunctionPairs
from noisysim.common.registry import Registry
from noisysim.common.texts import one_line
from noisysim.common.types import Doubles, Floats
from noisysim.common.user_files import UserError, entry_points, split
from noisysim.compute import backends
from noisysim.compute.observation import LossFunction


class Loss(NamedTuple):
    """A loss and its derivative, on the backend of their arguments; calling it gives its value.

    Without a derivative it is a score that is asked for, such as the reward that a simulator gives: rules that learn
    from the scalar loss alone can learn it, others are refused.

    Attributes
    ----------
    name : str
    value : callable
        ``value(output, targets) -> (batch,)`` float64. `Loss` itself is called as this is.
    error : callable or None
        ``error(output, targets) -> (batch, n_out)`` float32, the derivative with respect to the output; asked for by
        `output_error`.
    of_best_constant : callable, optional
        ``of_best_constant(shares) -> float``: the mean loss of the best constant output for classes of which each has
        a share above 0 of the samples. Studies judge by it whether a run learned anything; without it they do not.
    """

    name: str
    value: Callable[[Any, Any], Any]
    error: Callable[[Any, Any], Any] | None = None
    of_best_constant: Callable[[Doubles], float] | None = None

    def __call__(self, output: Floats, targets: Floats) -> Any:
        """The loss of each sample."""
        return self._ask("value", self.value, output, targets)

    def output_error(self, output: Floats, targets: Floats) -> Any:
        """The derivative with respect to the output; there must be one."""
        assert self.error is not None
        return self._ask("error", self.error, output, targets)

    def _ask(self, what: str, function: Callable[[Any, Any], Any], output: Floats, targets: Floats) -> Any:
        """What a function gives: of a user's own from copies of its arguments, checked each time."""
        if not identity.is_outside(function.__module__ or ""):  # of one that was executed from text there is none
            return function(output, targets)
        xp = backends.backend_of(output).xp
        try:
            returned = xp.asarray(function(output.copy(), targets.copy()))
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise UserError(f"loss {self.name!r}: the {what} raised {reason}") from error
        shape = output.shape[:1] if what == "value" else output.shape
        if returned.shape != shape or returned.dtype.kind != "f":
            needed = f"{'float64' if what == 'value' else 'float32'} of shape {shape}"
            kind = f"{returned.dtype} {returned.shape}"
            raise UserError(f"loss {self.name!r}: the {what} of outputs {output.shape} must be {needed}, not {kind}")
        return returned


LossSpec = str | Mapping[str, Any] | Loss | Callable[[Any, Any], Any]
"""What `get` takes."""


def cross_entropy(output: Floats, targets: Floats) -> Doubles:
    """Softmax cross-entropy, ``-sum_k t_k log softmax(y)_k``, one value per sample (CCE); of several passes, each's."""
    return backends.backend_of(output).ops.cross_entropy(output, targets)


def cross_entropy_error(output: Floats, targets: Floats) -> Floats:
    """Derivative of `cross_entropy`: softmax(y) - t (targets sum to one)."""
    return backends.backend_of(output).ops.cross_entropy_error(output, targets)


def squared_error(output: Floats, targets: Floats) -> Doubles:
    """Half the sum of squares, ``1/2 sum_k (y_k - t_k)^2``, one value per sample (MSE); of several passes, each's."""
    return backends.backend_of(output).ops.squared_error(output, targets)


def squared_error_error(output: Floats, targets: Floats) -> Any:
    """Derivative of `squared_error`: y - t."""
    return backends.backend_of(output).xp.subtract(output, targets, dtype=np.float32)


def of_passes(loss: LossFunction, outputs: Floats, targets: Floats) -> Any:
    """The loss of each sample in every pass of a call: the package's own of all passes at once.

    Parameters
    ----------
    loss : callable
        Of a `Batch`.
    outputs : array
        (passes, batch, n_out).
    targets : array
        (batch, n_out).

    Returns
    -------
    sequence of array
        (batch,) float64 each.
    """
    if isinstance(loss, Loss) and loss.value in (cross_entropy, squared_error):
        return loss.value(outputs, targets)
    return [loss(output, targets) for output in outputs]


def _entropy(shares: Doubles) -> float:
    """-sum_k p_k log p_k."""
    return float(-(shares * np.log(shares)).sum())


def _half_variance(shares: Doubles) -> float:
    """Half the sum of p_k (1 - p_k), the variances of one-hot targets."""
    return float((shares * (1 - shares)).sum() / 2)


LOSSES = {
    "cce": Loss("cce", cross_entropy, cross_entropy_error, _entropy),
    "mse": Loss("mse", squared_error, squared_error_error, _half_variance),
}


def _fault_of_pair(loss: Loss) -> str:
    """What is wrong with a user's loss, tried on three samples of two outputs; one alone is tried on a task's own."""
    output = np.array([[0.5, -1.0], [0.0, 2.0], [0.3, 0.1]], np.float32)
    return "" if loss.error is None else _fault(loss, output, np.array([[1, 0], [0, 1], [1, 0]], np.float32))


def _fault(loss: Loss, output: Floats, targets: Floats) -> str:
    """What is wrong with a user's loss, tried on outputs and targets, (samples, outputs) each."""
    tried: list[tuple[str, Any, tuple[int, ...], str]] = [("value", loss.value, output.shape[:1], "df")]
    tried += [("error", loss.error, output.shape, "f")] if loss.error is not None else []
    for what, function, shape, kinds in tried:
        try:
            returned = np.asarray(function(output.copy(), targets.copy()))
        except Exception as error:
            return f"the {what} raised {type(error).__name__}: {one_line(error)}"
        if returned.shape != shape or returned.dtype.char not in kinds or not np.isfinite(returned).all():
            kind_needed = "float32" if kinds == "f" else "float64"
            kind = f"{returned.dtype} {returned.shape}"
            if returned.dtype.kind == "f" and not np.isfinite(returned).all():
                kind += " with NaN or infinite values"
            return f"the {what} of outputs {output.shape} must be finite {kind_needed} of shape {shape}, not {kind}"
    return ""


REGISTRY: Registry[Loss, Loss] = Registry(
    "loss",
    FunctionPairs(
        "loss",
        Loss,
        "_error",
        2,
        "function NAME, alone or with NAME_error",
        "my_loss(output, targets), one value per sample, and my_loss_error(output, targets), its derivative",
        _fault_of_pair,
        lambda function: None,
    ),
    LOSSES,
    __name__,
)


def is_foreign(spec: object) -> bool:
    """Whether something names, describes or is a loss that is not the package's own."""
    if isinstance(spec, str):
        return spec not in LOSSES and (split(spec) is not None or spec in entry_points("loss"))
    return REGISTRY.is_outside(spec) if isinstance(spec, Loss) else isinstance(spec, (Mapping, types.FunctionType))


def names() -> list[str]:
    """Names of the losses there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: Any) -> Loss:
    """A loss: a name (``"cce"``, ``"mse"``), the path of a file that defines one, what `describe` gave, or a `Loss`."""
    built_in = {loss.value: loss for loss in LOSSES.values()}
    return REGISTRY.get(built_in.get(spec, spec) if callable(spec) else spec)


def check_on(loss: Loss, targets: Floats) -> None:
    """Refuse a user's loss without a derivative that does not give one number per sample.

    Parameters
    ----------
    loss : Loss
    targets : numpy.ndarray
        (samples, outputs) of the task, float32: it is tried once on these few, with outputs of 0.

    Raises
    ------
    ValueError
        Saying what it raised or returned.
    """
    if loss.error is None and (fault := _fault(loss, np.zeros_like(targets), targets)):
        raise ValueError(f"loss {loss.name!r}: {fault}")


def describe(loss: Loss) -> dict[str, Any]:
    """The loss as plain values that `get` takes again."""
    return REGISTRY.describe(loss)
