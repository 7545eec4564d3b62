"""From a graph of operators to a list of layers with weights, one operator after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from noisysim.common.fields import listed, shown
from noisysim.common.texts import one_line
from noisysim.common.types import Array
from noisysim.networks.importing import constants, files, number_types, patterns
from noisysim.networks.importing.graphs import (  # fmt: skip
    MOST_TOGETHER,
    MOST_WEIGHTS,
    Graph,
    Node,
    Settings,
    check_size,
    pruned,
    readers,
)
from noisysim.networks.importing.values import INPUT, Value
from noisysim.networks.importing.writing import Writer

Tensor: TypeAlias = "Value | Array | None"
"""What is known of a tensor: its numbers, or where they will be; ``None`` of an optional one."""
Handler: TypeAlias = "Callable[[Task, Node, Sequence[Tensor]], Value | Sequence[Value]]"
"""What an operator becomes: its outputs, of its inputs, of which the first at least is no constant."""


RECURRENT = ("LSTM", "GRU", "RNN")
"""Operators on sequences."""
WEIGHED = {**dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), 2), **dict.fromkeys(RECURRENT, 3), "Gather": 1}
"""Operators whose constants become weights, and how many inputs may be such."""
LOWEST = -1e30
"""What stands for minus infinity before a softmax, which makes 0 of either; float32 has room for sums with it."""
WITHOUT_EFFECT = frozenset(
    (
        "activation_alpha", "activation_beta", "antialias", "cubic_coeff_a", "exclude_outside", "extrapolation_value",
        "hidden_size", "keep_aspect_ratio_policy", "kernel_shape", "momentum", "noop_with_empty_axes",
        "output_padding", "pads", "ratio", "round_mode", "saturate", "seed", "stash_type", "storage_order", "to",
    )
)  # fmt: skip
"""Settings that change nothing where an operator has not looked them up: of learning, of accuracy, of indices, or
those that others rule out."""


@dataclass
class Task:
    """A graph that is being translated.

    Attributes
    ----------
    writer : Writer
    opset : int
    reads : Counter of str
        How often each tensor is read.
    fold_batch_norm : bool
    values : int
        Of all tensors so far.
    """

    writer: Writer
    opset: int
    reads: Counter[str]
    fold_batch_norm: bool = True
    values: int = 0

    def count(self, node: Node, values: Sequence[Value]) -> None:
        """Refuse tensors that are too large, or are so together."""
        for value in values:
            check_size(node, value.shape)
            self.values += value.places.size
        if self.values > MOST_TOGETHER:
            raise ValueError(f"its tensors and those before have more than {MOST_TOGETHER} values a sample together")


def prepared(graph: Graph, handlers: Iterable[str]) -> Graph:
    """A graph without what follows from constants alone, known functions of several operators as one node.

    Parameters
    ----------
    graph : Graph
    handlers : iterable of str
        Types of operators that are known.
    """
    known, left, held, budget = dict(graph.constants), list[Node](), 0, constants.Budget()
    for node in graph.nodes:
        if node.op in (*constants.FOLDED, *handlers):
            files.check_inputs(node, graph.opset)
        here = [known.get(name) for name in node.inputs]
        if node.op in constants.FOLDED and all(a is not None or not n for a, n in zip(here, node.inputs, strict=True)):
            given = constants.computed(node, here, graph.opset, budget)
            held += sum(array.size for array in given)
            if held > MOST_WEIGHTS:
                raise ValueError(f"more than {MOST_WEIGHTS} numbers follow from its constants, which are not read")
            known.update(zip(node.outputs, given, strict=False))
        else:
            left.append(node)
    folded = pruned(replace(graph, nodes=tuple(left), constants=known))
    number_types.check(folded)
    return patterns.with_known_functions(folded)


def notes(graph: Graph) -> list[str]:
    """Sentences about what a network learns, or is asked for, differently than its model (`prepared`)."""
    found = list[str]()
    weighed = Counter(
        name for node in graph.nodes for name in node.inputs[: WEIGHED.get(node.op, 0)] if name in graph.constants
    )
    if shared := [name for name, count in weighed.items() if count > 1]:
        found.append(f"model: weights {listed(map(shown, shared))} are used several times: each time they learn apart")
    ends = [node for node in graph.nodes if graph.output in node.outputs]
    if ends and ends[0].op == "Softmax":
        before = ends[0].inputs[0]
        found.append(
            f"model: it ends in a softmax, which losses of classes take themselves: output={before!r} leaves it out"
        )
    return found


def translated(
    graph: Graph, shape: Sequence[int], input_shape: Sequence[int], handlers: dict[str, Handler], fold: bool,
    learned_norms: bool = False, by_image: bool = False, channels_last: bool = False,
) -> tuple[Task, Value]:  # fmt: skip
    """Everything written, and the output.

    Parameters
    ----------
    graph : Graph
        Prepared.
    shape : sequence of int
        Of the graph's input, for one sample: (1, ...).
    input_shape : sequence of int
        Of the network's, of as many values in the same order: (n,), or (channels, height, width).
    handlers : dict
        By type of operator.
    fold : bool
        Whether batch normalisation becomes part of weights.
    learned_norms : bool
        Whether gains and offsets of other normalisations are learned.
    by_image : bool
        Whether the input is written pixel by pixel first.
    channels_last : bool
        Whether the graph's input is an image with its channels last, and the network's one with its channels first.

    Raises
    ------
    ValueError
        Naming the node.
    """
    writer = Writer(input_shape, learned_norms)
    task = Task(writer, graph.opset, readers(graph), fold)
    image = writer[INPUT].shape
    order = np.arange(writer.size(INPUT)).reshape(image)  # of pixels
    node = writer.ordered(INPUT, order, True, fresh=True) if by_image else INPUT
    known: dict[str, Tensor] = {"": None, **graph.constants}
    masked = _masked(graph)
    places = order.transpose(2, 0, 1)
    if channels_last:
        _, high, wide, channels = shape
        places = places.reshape(channels, high, wide).transpose(1, 2, 0)
    known[graph.input] = Value(node, places.reshape(shape).copy())
    for operator in graph.nodes:
        missing = [name for name in operator.inputs if name not in known]
        if missing:
            raise ValueError(f"{operator} reads {shown(missing[0])}, an output that is not given here")
        inputs = [known[name] for name in operator.inputs]
        if masked.intersection(operator.outputs):
            inputs = list(map(_finite, inputs))
        outputs: Sequence[Tensor] = _outputs(task, operator, inputs, handlers)
        for name, given in zip(operator.outputs, outputs, strict=False):
            if not name:  # nothing reads it, as what is not there reads nothing
                continue
            known[name] = given
            if isinstance(given, Value):
                together = zip(operator.outputs, outputs, strict=False)
                reads = sum(task.reads[n] for n, o in together if isinstance(o, Value) and o.node == given.node)
                known[name] = given._replace(alone=reads == 1 and _is_new(given, inputs, operator))
    end = known[graph.output]
    if not isinstance(end, Value):
        raise ValueError("its output does not depend on its input")
    return task, end


def _masked(graph: Graph) -> set[str]:
    """Tensors that nothing but a softmax sees, of operators by which values are masked."""
    readers: dict[str, set[str]] = {graph.output: {"output"}}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, set()).add(node.op)
    outputs = (name for node in graph.nodes if node.op in ("Add", "Where") for name in node.outputs)
    return {name for name in outputs if readers.get(name) == {"Softmax"}}


def _finite(tensor: Tensor) -> Tensor:
    """A constant with a number in place of minus infinity."""
    if isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f":
        return np.where(np.isneginf(tensor), LOWEST, tensor)
    return tensor


def _is_new(value: Value, inputs: Sequence[Tensor], operator: Node) -> bool:
    """Whether nothing else reads the layer of an operator's output, as far as its inputs tell."""
    same = [one for one in inputs if isinstance(one, Value) and one.node == value.node]
    return not same or (len(operator.outputs) == 1 and len(same) == 1 and same[0].alone)


def _outputs(
    task: Task, node: Node, inputs: Sequence[Tensor], handlers: dict[str, Handler]
) -> Sequence[Value] | Sequence[Array]:
    """What an operator gives."""
    if node.op in ("Shape", "Size") and isinstance(inputs[0], Value):
        return constants.computed(node, [np.empty(inputs[0].shape, np.bool_)], task.opset)
    if not any(isinstance(one, Value) for one in inputs) and node.op in constants.FOLDED:
        return constants.computed(node, inputs, task.opset)  # type: ignore[arg-type]  # no value is among them
    if node.op not in handlers:
        raise ValueError(f"{node} is not supported: {_help(node)}")
    settings = Settings(node.attributes)
    try:
        given = handlers[node.op](task, replace(node, attributes=settings), inputs)
        _check_unread(node.op, settings.unread, task.opset)
        values = [given] if isinstance(given, Value) else list(given)
        if any(0 in value.shape for value in values):
            raise ValueError("it gives nothing")
        task.count(node, values)
    except constants.FAILURES as error:
        text = one_line(error) or type(error).__name__
        raise ValueError(text if text.startswith("node ") else f"{node}: {text}") from None
    return values


def _check_unread(op: str, settings: Mapping[str, Any], opset: int) -> None:
    """Refuse settings that nothing looked up, unless they are the usual ones or change nothing here."""
    left = {name: value for name, value in settings.items() if name not in WITHOUT_EFFECT}
    usual = files.usual_settings(op, opset) if left and op not in patterns.FOUND else left
    for name, value in left.items():
        if usual.get(name) != value:
            raise ValueError(f"{name}={shown(value)} is not supported")


def _help(node: Node) -> str:
    """What to do about an operator that is not known."""
    if node.op == "LogSoftmax":
        return f"losses of classes take what comes before it, output={node.inputs[0]!r}"
    if node.op in ("ArgMax", "Hardmax", "TopK"):
        return f"classes are chosen from what comes before it, output={node.inputs[0]!r}"
    if node.op in ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLinear"):
        return "export the model in float32, before quantisation"
    if node.op == "LRN":
        return "export the model without local response normalisation, or with another normalisation"
    if node.op in ("If", "Loop", "Scan"):
        return "a network here is the same for all inputs; export the model without control flow"
    return "choose a tensor before it, output=..., or export the model with other operators"
