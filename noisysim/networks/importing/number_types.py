"""Types of tensors: refused is what a network, which computes with float32, would do otherwise than its model.

A cast to whole numbers cuts off fractions, sums of bytes wrap, quotients of whole numbers are whole. Left are numbers
that are whole already, such as those of classes, whatever type a model declares for its input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.networks.importing import constants, files
from noisysim.networks.importing.graphs import Graph, Node

FLOATS = ("float32", "float16", "float64", "bfloat16")
WIDE = ("int32", "int64")
"""Whole numbers with room for all that float32 holds exactly."""
_SELECTING = (
    *constants.MOVES, "Clip", "Concat", "Identity", "Max", "MaxPool", "Min", "OneHot", "ReduceMax", "ReduceMin", "Relu",
    "Trilu", "Where",
)  # fmt: skip
"""Operators that give numbers which were there: the same of any type."""
_ORDERING = {*constants.MOVES, "Cast", "Concat", "Identity"} - {"Pad"}
"""Operators that give numbers of tensors alone, as many and in whatever order."""
_WIDE_SUMS = ("Abs", "Add", "Mul", "Neg", "ReduceSum", "Sub")
"""Operators that give the same of whole numbers as of floats, where nothing wraps."""


def check(graph: Graph) -> None:
    """Refuse operators whose results hang on types of tensors that a network does not have.

    Parameters
    ----------
    graph : Graph
        Without what follows from constants alone.

    Raises
    ------
    ValueError
        Naming the node.
    """
    types = {graph.input: graph.type}  # of tensors that depend on the input
    given, cut = {graph.input}, set[str]()  # the input's own numbers; those made whole, if they were not
    for node in graph.nodes:
        here = [name for name in node.inputs if name in types]
        if not here or node.op in ("Shape", "Size"):
            continue
        sources = [name for name in _sources(node) if name in types]
        if node.op == "Cast":
            kind = _type_of_cast(node, types[here[0]], here[0] in given, here[0] in cut)
            is_cut = kind not in FLOATS and (here[0] in cut or (types[here[0]] in FLOATS and graph.type in FLOATS))
        else:
            _check_operator(node, types[here[0]])
            kind, is_cut = _type_of_result(node, sources, types, graph), any(name in cut for name in sources)
        types.update(dict.fromkeys(node.outputs, kind))
        if is_cut:
            cut.update(node.outputs)
        own = node.inputs if node.op == "Concat" else sources
        if node.op in _ORDERING and kind not in ("float16", "bfloat16") and own and given.issuperset(own):
            given.update(node.outputs)


def _sources(node: Node) -> Sequence[str]:
    """The inputs whose numbers an operator gives on, or computes with."""
    if node.op in ("Gather", "GatherElements", "GatherND"):
        return node.inputs[:1]
    return node.inputs[{"OneHot": 2, "Where": 1}.get(node.op, 0) :]


def _type_of_cast(node: Node, before: str, is_given: bool, is_cut: bool) -> str:
    """What a cast gives, refused if numbers change and are not the input's own."""
    number = node.attributes.get("to", 0)
    kind = files.TYPES.get(number)
    if kind is None:
        raise ValueError(f"{node}: numbers of its type ({number}) are not read: export float32")
    if kind in FLOATS:
        if is_cut:
            raise ValueError(
                f"{node} makes floats of numbers that were cut to whole ones: export the model without these casts"
            )
        return kind
    fits = kind in WIDE and is_given if before in FLOATS else kind in WIDE or np.can_cast(before, kind)
    if not fits:
        raise ValueError(
            f"{node} makes {kind} of {before}, and values of a network here are float32: export the model without "
            "this cast"
        )
    return kind


def _check_operator(node: Node, kind: str) -> None:
    """Refuse an operator that may compute otherwise with whole numbers than with floats."""
    if kind not in FLOATS and node.op not in _SELECTING and not (kind in WIDE and node.op in _WIDE_SUMS):
        raise ValueError(f"{node} computes with {kind}, and values of a network here are float32: export it in float32")


def _type_of_result(node: Node, sources: Sequence[str], types: dict[str, str], graph: Graph) -> str:
    """The type of the numbers that an operator gives."""
    if sources:
        return types[sources[0]]
    arrays = [graph.constants[name] for name in _sources(node) if name in graph.constants]
    return str(arrays[0].dtype) if arrays else "float32"
