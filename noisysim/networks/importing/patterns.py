"""Functions that exporters write as several operators: activation functions, and normalisations of older versions.

A group of operators on one value, value by value, is an activation function if it gives what that gives, in numbers:
then it does not matter how it was written.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from noisysim.common.types import Doubles
from noisysim.networks.activations import ACTIVATIONS
from noisysim.networks.importing.constants import FAILURES
from noisysim.networks.importing.graphs import Graph, Node, pruned

ACTIVATION, NORMALISE, UNIT = "Activation", "Normalise", "Unit"
FOUND = (ACTIVATION, NORMALISE, UNIT)
"""Types of the nodes that replace what is found."""
_MOST = 16
"""Operators of a function at most."""
_NEAR = np.linspace(-9, 9, 201)
_FAR = np.geomspace(10, 1e37, 109)
_GRID = np.concatenate([_NEAR, _FAR, -_FAR])
"""Where functions are compared: densely where they bend, and thinly as far as float32 goes, where bounds may hold."""
_TOLERANCE = 2e-5
"""Between functions on the grid, whose constants are float32. Gelu and its approximation by tanh differ more."""
_SHORT = 1e-6
"""Lengths below it are as good as 0."""
_POINTWISE: dict[str, Callable[..., Any]] = {
    "Abs": np.abs, "Add": np.add, "Div": np.divide, "Erf": np.vectorize(math.erf), "Exp": np.exp, "Identity": np.array,
    "Log": np.log, "Max": np.maximum, "Min": np.minimum, "Mul": np.multiply, "Neg": np.negative, "Pow": np.power,
    "Reciprocal": np.reciprocal, "Relu": lambda a: np.maximum(a, 0), "Sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "Softplus": lambda a: np.logaddexp(a, 0), "Sqrt": np.sqrt, "Sub": np.subtract, "Tanh": np.tanh,
    "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal,
}  # fmt: skip
_AROUND = np.array([0.1, 0.5, 0.9, 1.1, 1.5])
"""Multiples of numbers in a function that chooses, at which it is compared as well: it may do else in a small range."""


def with_known_functions(graph: Graph) -> Graph:
    """A graph in which what is found is one node."""
    producers = {name: node for node in graph.nodes for name in node.outputs}
    order = {name: k for k, node in enumerate(graph.nodes) for name in node.outputs}
    scalars = {name: float(a.reshape(())) for name, a in graph.constants.items() if a.size == 1 and a.dtype.kind != "b"}

    def known(node: Node) -> Node:
        """The node that replaces one, or itself."""
        try:
            return (
                _normalisation(node, producers, scalars)
                or _unit(node, producers, scalars)
                or _activation(node, producers, order, scalars)
                or node
            )
        except FAILURES:  # of settings and inputs that do not fit, which the operators themselves refuse
            return node

    return pruned(replace(graph, nodes=tuple(map(known, graph.nodes))))


# --- activation functions -------------------------------------------------------------------------------------------


@functools.cache
def _known() -> tuple[tuple[str, ...], Doubles]:
    """The activation functions there are, and what they give on the grid, one a row."""
    names = tuple(name for name in ACTIVATIONS if name != "linear")
    with np.errstate(all="ignore"):
        return names, np.array([[ACTIVATIONS[name].value(np.float32(a)) for a in _GRID] for name in names], np.float64)


def _name_of(values: Doubles) -> str | None:
    """The activation function that gives these values on the grid, but for far ones that overflow."""
    names, known = _known()
    with np.errstate(invalid="ignore"):
        same = np.abs(known - values) <= _TOLERANCE * (1 + np.abs(known))
    fits = (same | ~np.isfinite(values)).all(axis=1)
    return names[int(fits.argmax())] if fits.any() else None


def _activation(
    node: Node, producers: Mapping[str, Node], order: Mapping[str, int], scalars: Mapping[str, float]
) -> Node | None:
    """The node of an activation function that several operators end in this one; the nearest value that it is of."""
    if not _is_pointwise(node):
        return None
    inside, open_tensors = [node], set(node.inputs) - scalars.keys()
    while len(inside) < _MOST and open_tensors:
        if len(open_tensors) == 1 and len(inside) > 1:
            (source,) = open_tensors
            values = _values(inside, source, scalars, _GRID)
            name = _name_of(values) if np.isfinite(values[: len(_NEAR)]).all() else None
            if name is not None and (not _chooses(inside) or _is_alike(name, inside, source, scalars)):
                return Node(ACTIVATION, node.name, (source,), node.outputs, {"function": name})
        latest = max(open_tensors, key=lambda name: order.get(name, -1))
        producer = producers.get(latest)
        if producer is None or not _is_pointwise(producer):
            return None
        inside.append(producer)
        open_tensors = open_tensors - {latest} | (set(producer.inputs) - scalars.keys())
    return None


def _is_pointwise(node: Node) -> bool:
    """Whether an operator takes value by value, by its inputs alone."""
    return node.op in (*_POINTWISE, "HardSigmoid", "Clip", "Where") and "" not in node.inputs


def _chooses(nodes: list[Node]) -> bool:
    return any(node.op == "Where" for node in nodes)


def _is_alike(name: str, nodes: list[Node], source: str, scalars: Mapping[str, float]) -> bool:
    """Whether operators give what a function gives around the numbers that they compare with, too."""
    numbers = np.array([scalars[one] for node in nodes for one in node.inputs if one in scalars])
    points = np.outer(numbers, np.concatenate([_AROUND, -_AROUND])).ravel()
    with np.errstate(all="ignore"):
        known = np.array([ACTIVATIONS[name].value(np.float32(a)) for a in points], np.float64)
    return bool(np.allclose(_values(nodes, source, scalars, points), known, rtol=_TOLERANCE, atol=_TOLERANCE))


def _values(nodes: list[Node], source: str, scalars: Mapping[str, float], points: Doubles) -> Doubles:
    """What operators, listed from the last one to the first, give at some points."""
    known: dict[str, Any] = {**scalars, source: points}
    with np.errstate(all="ignore"):
        for node in reversed(nodes):
            inputs = [known[name] for name in node.inputs]
            if node.op == "HardSigmoid":
                slope, offset = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
                given = np.clip(slope * inputs[0] + offset, 0, 1)
            elif node.op == "Where":
                given = np.where(*inputs)
            elif node.op == "Clip":
                low, high = bounds(node, inputs)
                given = np.clip(inputs[0], low, high)
            else:
                of_any = bool(inputs[1:]) or node.op in ("Max", "Min")
                given = functools.reduce(_POINTWISE[node.op], inputs) if of_any else _POINTWISE[node.op](*inputs)
            known[node.outputs[0]] = given
    return np.broadcast_to(np.asarray(known[nodes[0].outputs[0]], np.float64), points.shape)


def bounds(node: Node, inputs: list[Any]) -> tuple[float, float]:
    """Those of a Clip: attributes in old versions, inputs in others."""
    given = [*inputs[1:], None, None][:2]
    low, high = (
        node.attributes.get(name, without) if one is None else one
        for name, one, without in zip(("min", "max"), given, (-math.inf, math.inf), strict=True)
    )
    return float(low), float(high)


# --- normalisations -------------------------------------------------------------------------------------------------


def _normalisation(node: Node, producers: Mapping[str, Node], scalars: Mapping[str, float]) -> Node | None:
    """(x - mean) / sqrt(mean (x - mean)^2 + epsilon), or without the mean, as one node; also as a product."""
    made_by = functools.partial(_made_by, producers)
    centred, root_name = _quotient(node, producers, scalars)
    root = made_by(root_name, "Sqrt")
    total = root and made_by(root.inputs[0], "Add")
    if not total:
        return None
    epsilon = next((scalars[name] for name in total.inputs if name in scalars), None)
    variance = next((made_by(name, "ReduceMean") for name in total.inputs if name not in scalars), None)
    if epsilon is None or not variance or not _is_square(producers.get(variance.inputs[0]), centred, scalars):
        return None
    above = made_by(centred, "Sub")
    mean = above and made_by(above.inputs[1], "ReduceMean")
    source = centred
    axes = [[scalars.get(name, name) for name in one.inputs[1:]] for one in (mean, variance) if one]
    if above and mean and mean.inputs[0] == above.inputs[0] and axes[0] == axes[1]:
        source = above.inputs[0]
        if mean.attributes != variance.attributes:
            return None
    settings: dict[str, Any] = {**variance.attributes, "epsilon": epsilon, "scaled": int(source == centred)}
    return Node(NORMALISE, node.name, (source, *variance.inputs[1:]), node.outputs, settings)


def _quotient(node: Node, producers: Mapping[str, Node], scalars: Mapping[str, float]) -> tuple[str, str]:
    """What is divided, and by what, in x / y and in x times 1 / y; nothing else has such names."""
    if node.op == "Div" and len(node.inputs) == 2:
        return node.inputs[0], node.inputs[1]
    if node.op == "Mul" and len(node.inputs) == 2:
        for value, factor in (node.inputs, node.inputs[::-1]):
            inverse = producers.get(factor)
            if inverse and inverse.op == "Reciprocal":
                return value, inverse.inputs[0]
            if inverse and inverse.op == "Div" and scalars.get(inverse.inputs[0]) == 1:
                return value, inverse.inputs[1]
    return "", ""


def _unit(node: Node, producers: Mapping[str, Node], scalars: Mapping[str, float]) -> Node | None:
    """X / |x|, with the length held from 0, as one node."""
    value, length = _quotient(node, producers, scalars)
    expanded = _made_by(producers, length, "Expand")
    held = producers.get(expanded.inputs[0] if expanded else length)
    if held and held.op in ("Clip", "Max"):
        low = [scalars.get(name, 1.0) for name in held.inputs[1:2]] + [held.attributes.get("min", 0.0)]
        if held.inputs[2:3] not in ((), ("",)) or "max" in held.attributes or low[0] > _SHORT:
            return None
        held = producers.get(held.inputs[0])
    if not value or not held or held.op != "ReduceL2" or held.inputs[0] != value:
        return None
    return Node(UNIT, node.name, held.inputs, node.outputs, held.attributes)


def _made_by(producers: Mapping[str, Node], name: str, op: str) -> Node | None:
    """The node of a type that gives a tensor."""
    node = producers.get(name)
    return node if node is not None and node.op == op else None


def _is_square(node: Node | None, name: str, scalars: Mapping[str, float]) -> bool:
    """Whether a node gives the square of a tensor."""
    if node is None or node.inputs[:1] != (name,):
        return False
    return (node.op == "Mul" and node.inputs == (name, name)) or (node.op == "Pow" and scalars.get(node.inputs[1]) == 2)
