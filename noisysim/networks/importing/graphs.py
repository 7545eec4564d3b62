"""A graph of operators as plain values, whatever it was read from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from noisysim.common.fields import listed, nearest, shown
from noisysim.common.types import Array

MOST_NODES = 20_000
"""Operators of a graph."""
MOST_OPERATORS = 4000
"""Those of them whose results depend on what its input holds."""
MOST_VALUES = 2**24
"""Values a sample of one tensor."""
MOST_TOGETHER = 2**30
"""The same of the tensors of all operators."""
MOST_PLACES = 2**22
"""Places that all changes of order of one network name."""
MOST_WEIGHTS = 2**29
"""Numbers of all constants."""
MOST_STEPS = 2**31
"""Numbers that all operators on constants alone read, multiply and give."""


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes
    ----------
    op : str
        Its type, as ONNX calls it; or "Activation" or "Normalise", which `noisysim.networks.importing.patterns` finds.
    name : str
    inputs, outputs : tuple of str
        Names of tensors; "" of an optional one that is not there.
    attributes : dict
        Numbers, texts, tuples of these and arrays.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """What messages call it: its name, or what it gives, and its type."""
        op = self.op if str(self.op).isidentifier() else shown(self.op)  # bytes, where a file is damaged
        return f"node {shown(self.name or (self.outputs or ('?',))[0])} ({op})"


class Settings(Mapping[str, Any]):
    """The attributes of an operator, which remember what was looked up."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values, self._read = values, set[str]()

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def unread(self) -> dict[str, Any]:
        """Those that nothing looked up."""
        return {name: value for name, value in self._values.items() if name not in self._read}


@dataclass(frozen=True)
class Graph:
    """A graph of operators with one input and one output.

    Attributes
    ----------
    nodes : tuple of Node
        Each behind those that give what it reads.
    constants : dict
        Arrays by the names of tensors.
    input, output : str
    shape : tuple of (int or None)
        Of the input, first the samples; ``None`` where the file leaves it open.
    opset : int
    type : str
        Of the input: that of arrays of it.
    """

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    input: str
    output: str
    shape: tuple[int | None, ...]
    opset: int
    type: str


def checked(graph: Graph, outputs: Sequence[str]) -> Graph:
    """The part of a graph that its output needs, refused if it is none.

    Parameters
    ----------
    graph : Graph
    outputs : sequence of str
        That it declares: the output must be one of them, or of what its nodes give.
    """
    if len(graph.nodes) > MOST_NODES:
        raise ValueError(f"it has {len(graph.nodes)} nodes, at most {MOST_NODES} are read")
    there = {graph.input, *graph.constants}
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in there:
                raise ValueError(
                    f"{node} reads {shown(name)}, which no input, constant or node before it gives: an input is "
                    "missing, or the nodes form a cycle"
                )
        for name in filter(None, node.outputs):
            if name in there:
                raise ValueError(f"{node} gives {shown(name)}, which is there already: names must differ")
            there.add(name)
    if graph.output not in there:
        raise ValueError(f"nothing is called {shown(graph.output)}{nearest(graph.output, there)}: {listed(outputs)}")
    needed = pruned(graph)
    if (count := sum(_depend(needed))) > MOST_OPERATORS:
        raise ValueError(f"it has {count} operators that depend on its input, at most {MOST_OPERATORS} are read")
    return needed


def _depend(graph: Graph) -> Iterator[bool]:
    """Whether each node's results depend on what the input holds, and not on its shape alone."""
    live = {graph.input}
    for node in graph.nodes:
        depends = node.op not in ("Shape", "Size") and not live.isdisjoint(node.inputs)
        if depends:
            live.update(node.outputs)
        yield depends


def pruned(graph: Graph) -> Graph:
    """The nodes and constants that the output depends on."""
    needed, nodes = {graph.output}, list[Node]()
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    return replace(graph, nodes=tuple(reversed(nodes)), constants=constants)


def readers(graph: Graph) -> Counter[str]:
    """How often each tensor is read; those who ask for its shape alone do not count."""
    counts = Counter(name for node in graph.nodes if node.op not in ("Shape", "Size") for name in node.inputs)
    counts[graph.output] += 1
    return counts


def together(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these have together, if it is not too large."""
    shape = np.broadcast_shapes(*map(tuple, shapes))
    check_size("it", shape)
    return shape


def check_size(what: object, shape: Sequence[int]) -> None:
    """Refuse a tensor of too many values."""
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"{what} gives a tensor of the shape {tuple(shape)}: at most {MOST_VALUES} values are read")
