"""Operators that take value by value: activation functions, sums, products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.importing import patterns
from noisysim.networks.importing.graphs import Node, together
from noisysim.networks.importing.operators.common import choice_of, constant_of, value_of
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Value
from noisysim.networks.importing.writing import Writer
from noisysim.networks.layers import Clip, Leak

FARTHEST = float(np.finfo(np.float32).max)
"""A bound that holds nothing."""


# --- activation functions -------------------------------------------------------------------------------------------


def _named(name: str) -> Handler:
    """An operator that is an activation function."""
    return lambda task, node, inputs: task.writer.activate(value_of(inputs), name)


def _found(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Several operators that are one (`noisysim.networks.importing.patterns`)."""
    return task.writer.activate(value_of(inputs), node.attributes["function"])


def _leaky_relu(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    return _leak(task, value_of(inputs), float(node.attributes.get("alpha", 0.01)))


def _prelu(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    value, slope = value_of(inputs), constant_of(inputs, 1).astype(np.float64)
    if slope.size == 1:
        return _leak(task, value, float(slope.reshape(())))
    value = value._replace(alone=False)
    positive = composed("Mul", task, node, task.writer.activate(value, "relu"), 1 - slope)
    return composed("Add", task, node, positive, composed("Mul", task, node, value, slope))


def _leak(task: Task, value: Value, slope: float) -> Value:
    if abs(slope - 0.01) < 1e-7:
        return task.writer.activate(value, "leaky_relu")
    return task.writer.activate(value, "relu") if slope == 0 else task.writer.follow(value, Leak(slope))


def _elu(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    return _scaled_elu(task.writer, value_of(inputs), float(node.attributes.get("alpha", 1.0)), 1.0)


def _selu(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    alpha, gamma = node.attributes.get("alpha", 1.6732632), node.attributes.get("gamma", 1.0507010)
    return _scaled_elu(task.writer, value_of(inputs), float(alpha), float(gamma))


def _scaled_elu(writer: Writer, value: Value, alpha: float, gamma: float) -> Value:
    """Gamma a where positive, else gamma alpha (exp(a) - 1): of elu and relu."""
    if alpha == 1 and gamma == 1:
        return writer.activate(value, "elu")
    value = value._replace(alone=False)
    bent, positive = writer.activate(value, "elu"), writer.activate(value, "relu")
    scaled = _times(writer, bent, gamma * alpha)
    return writer.add(scaled, _times(writer, positive, gamma * (1 - alpha)))


def _celu(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A where positive, else alpha (exp(a / alpha) - 1)."""
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha <= 0:
        raise ValueError(f"alpha={alpha} is not above 0")
    bent = task.writer.activate(_times(task.writer, value_of(inputs), 1 / alpha), "elu")
    return _times(task.writer, bent, alpha)


def _softsign(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A / (1 + |a|)."""
    value = value_of(inputs)._replace(alone=False)
    return task.writer.divide(value, _times(task.writer, absolute(task.writer, value), 1.0, 1.0))


def absolute(writer: Writer, value: Value) -> Value:
    """The size of each value, of two rectifiers."""
    value = value._replace(alone=False)
    return writer.add(writer.activate(value, "relu"), writer.activate(_times(writer, value, -1.0), "relu"))


def _hard_sigmoid(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    slope, offset = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    value = value_of(inputs)
    if abs(slope - 1 / 6) < 1e-6 and offset == 0.5:
        return task.writer.activate(value, "hard_sigmoid")
    line = task.writer.affine(value, np.array(slope), np.array(offset))
    return task.writer.follow(line, Clip(0.0, 1.0))


def _gelu(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A times the normal distribution function of a, or its approximation by tanh."""
    writer, value = task.writer, value_of(inputs)
    if choice_of(node, "approximate", "none", ("none", "tanh")) == "none":
        return writer.activate(value, "gelu")
    value = value._replace(alone=False)
    square = writer.multiply(value, value)
    root = math.sqrt(2 / math.pi)
    inner = writer.multiply(value, writer.affine(square, np.array(root * 0.044715), np.array(root)))
    half = writer.affine(writer.activate(inner, "tanh"), np.array(0.5), np.array(0.5))
    return writer.multiply(value, half)


def _swish(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """A sigmoid(alpha a)."""
    value, alpha = value_of(inputs), float(node.attributes.get("alpha", 1.0))
    if alpha == 1:
        return task.writer.activate(value, "silu")
    value = value._replace(alone=False)
    return task.writer.multiply(value, task.writer.activate(_times(task.writer, value, alpha), "sigmoid"))


def _mish(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    value = value_of(inputs)._replace(alone=False)
    bent = task.writer.activate(task.writer.activate(value, "softplus"), "tanh")
    return task.writer.multiply(value, bent)


def _clip(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    value = value_of(inputs)
    given = [None if one is None else float(constant_of(inputs, k).reshape(())) for k, one in enumerate(inputs) if k]
    return _held(task.writer, value, *patterns.bounds(node, [None, *given]))


def _held(writer: Writer, value: Value, low: float, high: float) -> Value:
    """Values within bounds."""
    if low == 0 and high >= FARTHEST:
        return writer.activate(value, "relu")
    if low == 0 and high == 6:
        return writer.activate(value, "relu6")
    held = writer.solid(value) if low > 0 or high < 0 else value
    return writer.follow(held, Clip(max(low, -FARTHEST), min(high, FARTHEST)))


def _extreme(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The largest, or the smallest, of any number of tensors and constants."""
    is_max = node.op == "Max"
    found = functools.reduce(
        lambda a, b: _of_two(task, node, a, b, is_max), (x for x in inputs if isinstance(x, Value))
    )
    constants = [one for one in inputs if one is not None and not isinstance(one, Value)]
    if not constants:
        return found
    bound: Array = functools.reduce(np.maximum if is_max else np.minimum, constants)
    if bound.size > 1 or bound.ndim > len(found.shape):
        return _of_two(task, node, found, bound, is_max)
    low, high = (float(bound.reshape(())), math.inf) if is_max else (-math.inf, float(bound.reshape(())))
    return _held(task.writer, found, low, high)


def _of_two(task: Task, node: Node, first: Value, second: Value | Array, is_max: bool) -> Value:
    """The larger one, a + relu(b - a), or the smaller one, a - relu(a - b).

    Where b is a constant that never wins, however large, this is a without rounding.
    """
    first = first._replace(alone=False)
    if isinstance(second, Value):
        second = second._replace(alone=False)
    pair = (second, first) if is_max else (first, second)
    beyond = task.writer.activate(composed("Sub", task, node, *pair), "relu")
    return composed("Add" if is_max else "Sub", task, node, first, beyond)


def composed(op: str, task: Task, node: Node, *inputs: Tensor) -> Value:
    """What another operator gives."""
    given = HANDLERS[op](task, node, inputs)
    assert isinstance(given, Value)
    return given


def _same(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """What changes nothing when a network is used (of casts, what `number_types` lets pass)."""
    return value_of(inputs)


def _dropout(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """Nothing, but while learning."""
    if constant_of(inputs, 2, 0.0).any() and constant_of(inputs, 1, 0.5).any():
        raise ValueError("it drops values also when the model is used: export it for inference, model.eval()")
    return value_of(inputs)


# --- sums and products ----------------------------------------------------------------------------------------------


def _times(writer: Writer, value: Value, factor: Array | float, offset: Array | float = 0.0) -> Value:
    """A constant factor and an offset, in shapes that are broadcast with that of the value."""
    factor, offset = np.asarray(factor, np.float64), np.asarray(offset, np.float64)
    shape = together(value.shape, factor.shape, offset.shape)
    spread = value if shape == value.shape else value.moved(np.broadcast_to(value.places, shape))
    return writer.affine(spread, factor, offset)


def _broadcast(first: Value, second: Value) -> tuple[Value, Value]:
    """Two tensors in one shape."""
    shape = together(first.shape, second.shape)
    return tuple(one.moved(np.broadcast_to(one.places, shape)) for one in (first, second))  # type: ignore[return-value]


def _binary(
    of_two: Callable[[Writer, Value, Value], Value], of_first: Callable[[Array], tuple[Array | float, Array | float]],
    of_second: Callable[[Array], tuple[Array | float, Array | float]],
) -> Handler:  # fmt: skip
    """An operator on two tensors; on one and a constant it is a factor and an offset."""

    def handler(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
        first, second = inputs
        if isinstance(first, Value) and isinstance(second, Value):
            return of_two(task.writer, *_broadcast(first, second))
        value = first if isinstance(first, Value) else value_of(inputs, 1)
        constant = constant_of(inputs, 1 if value is first else 0).astype(np.float64)
        with np.errstate(all="ignore"):
            factor, offset = of_first(constant) if value is first else of_second(constant)
        if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
            raise ValueError("its constant is not finite, or is divided by 0")
        return _times(task.writer, value, factor, offset)

    return handler


def _difference(writer: Writer, first: Value, second: Value) -> Value:
    return writer.add(first, _times(writer, second, -1.0))


def _quotient(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value | Sequence[Value]:
    """A tensor or a constant divided by a tensor, or a tensor by a constant."""
    first, second = inputs
    if isinstance(second, Value) and not isinstance(first, Value):
        first = _times(task.writer, second._replace(alone=False), 0.0, constant_of(inputs, 0))
    if isinstance(first, Value) and isinstance(second, Value):
        return task.writer.divide(*_broadcast(first, second))
    return _SCALED(task, node, inputs)


_SCALED = _binary(Writer.divide, lambda c: (1 / c, 0.0), lambda c: (1 / c, 0.0))
"""A tensor divided by a constant."""


def _sum(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The sum of any number of tensors and constants."""
    at = next(k for k, one in enumerate(inputs) if isinstance(one, Value))
    first, *others = inputs[at], *inputs[:at], *inputs[at + 1 :]  # constants never meet each other
    return functools.reduce(lambda a, b: composed("Add", task, node, a, b), others, value_of([first]))


def _mean(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    """The mean of any number of tensors and constants."""
    return _times(task.writer, _sum(task, node, inputs), 1 / len(inputs))


def _power(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    value, exponent = value_of(inputs), constant_of(inputs, 1)
    if exponent.size != 1 or abs(exponent.reshape(())) not in (1, 2, 3, 4):
        raise ValueError("it has no whole exponent of 1 to 4, or of -4 to -1")
    given = value = value._replace(alone=False)
    for _ in range(abs(int(exponent.reshape(()))) - 1):
        given = task.writer.multiply(given, value)
    return given if exponent.reshape(()) > 0 else composed("Div", task, node, np.array(1.0), given)


def _reciprocal(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    return composed("Div", task, node, np.array(1.0), value_of(inputs))


def _negative(task: Task, node: Node, inputs: Sequence[Tensor]) -> Value:
    return _times(task.writer, value_of(inputs), -1.0)


HANDLERS: dict[str, Handler] = {
    patterns.ACTIVATION: _found, "Relu": _named("relu"), "Sigmoid": _named("sigmoid"), "Tanh": _named("tanh"),
    "HardSwish": _named("hard_swish"), "Softplus": _named("softplus"), "Swish": _swish,
    "LeakyRelu": _leaky_relu, "PRelu": _prelu, "Elu": _elu, "Selu": _selu, "HardSigmoid": _hard_sigmoid, "Gelu": _gelu,
    "Mish": _mish, "Clip": _clip, "Max": _extreme, "Min": _extreme, "Cast": _same, "Dropout": _dropout,
    "Identity": _same, "Sum": _sum, "Mean": _mean, "Pow": _power, "Neg": _negative,
    "Reciprocal": _reciprocal, "Abs": lambda task, node, inputs: absolute(task.writer, value_of(inputs)),
    "Celu": _celu, "Softsign": _softsign,
    "Add": _binary(Writer.add, lambda c: (1.0, c), lambda c: (1.0, c)),
    "Sub": _binary(_difference, lambda c: (1.0, -c), lambda c: (-1.0, c)),
    "Mul": _binary(Writer.multiply, lambda c: (c, 0.0), lambda c: (c, 0.0)),
    "Div": _quotient,
}  # fmt: skip
