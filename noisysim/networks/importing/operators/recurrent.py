"""Recurrent operators: for each direction a recurrent layer over the steps of a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.fields import listed
from noisysim.common.types import Ints
from noisysim.networks.importing.graphs import Node
from noisysim.networks.importing.operators.common import choice_of, constant_of, value_of
from noisysim.networks.importing.translation import Handler, Task, Tensor
from noisysim.networks.importing.values import Product, Value
from noisysim.networks.recurrent_kinds import ONNX_ORDER, Recurrent, sorted_gates

DIRECTIONS = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}
"""How each direction goes through the steps."""
_FUNCTIONS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
"""The activation functions of each operator."""
_LENGTHS = 4
"""The input that tells how long sequences are."""
_ZEROS = {5: "output before the first step", 6: "state before the first step", 7: "peephole weights"}
"""Inputs that must be zero, if they are there."""


def recurrent(task: Task, node: Node, inputs: Sequence[Tensor]) -> list[Value]:
    """Recurrent layers: outputs of all steps, (steps, directions, 1, units), and the last ones of each direction."""
    cell, by_sample = node.op.lower(), bool(node.attributes.get("layout", 0))
    if cell == "gru" and not node.attributes.get("linear_before_reset", 0):
        cell = "gru_reset_before"
    value, ways = value_of(inputs), DIRECTIONS[choice_of(node, "direction", "forward", DIRECTIONS)]
    rows = _steps(value, by_sample)
    _check(node, inputs, len(rows), len(ways))
    reads_all, _, reads_state = (bool(name and task.reads[name]) for name in (*node.outputs, "", "")[:3])
    if reads_state:
        raise ValueError("its last state is read, and a layer gives its outputs alone")
    directions = list[Value]()
    for k, way in enumerate(ways):
        arrays = _arrays(cell, inputs, k, len(ways), rows.shape[1])
        units, returns = arrays[1].weight.shape[1], "all" if reads_all else "last"
        number = task.writer.recurrent(Recurrent(units, cell, returns), value.node, rows[::way], arrays)
        outputs = np.arange(task.writer.size(number)).reshape(-1, 1, 1, units)
        directions.append(Value(number, outputs[::way]))
    whole = task.writer.join(directions, 1)
    last = [whole.places[-1 if way > 0 else 0, k] for k, way in enumerate(ways)]
    ends = whole.moved(np.array(last))
    if by_sample:
        return [whole.moved(whole.places.transpose(2, 0, 1, 3)), ends.moved(ends.places.swapaxes(0, 1))]
    return [whole, ends]


def _steps(value: Value, by_sample: bool) -> Ints:
    """Places of a sequence, (steps, features)."""
    places = value.places.swapaxes(0, 1) if by_sample else value.places
    if places.ndim != 3 or places.shape[1] != 1:
        raise ValueError(
            f"its input has the shape {value.shape}, not that of one sequence: the first axis of the model's input "
            "must be that of samples; in PyTorch, batch_first=True"
        )
    rows: Ints = places[:, 0]
    return rows


def _check(node: Node, inputs: Sequence[Tensor], steps: int, directions: int) -> None:
    """Refuse cells of other kinds than there are."""
    settings, usual = node.attributes, _FUNCTIONS[node.op]
    functions = [str(name).capitalize() for name in settings.get("activations", usual * directions)]
    if functions != usual * directions:
        raise ValueError(f"its activation functions are {listed(functions)}, not {listed(usual)}")
    if "clip" in settings or settings.get("input_forget", 0):
        raise ValueError("gates that are clipped or coupled are not supported")
    if len(inputs) > _LENGTHS and inputs[_LENGTHS] is not None and (constant_of(inputs, _LENGTHS) != steps).any():
        raise ValueError(f"sequences of other lengths than {steps} are not supported")
    for k, name in _ZEROS.items():
        if len(inputs) > k and inputs[k] is not None and constant_of(inputs, k).any():
            raise ValueError(f"its {name} must be zero")


def _arrays(
    cell: str, inputs: Sequence[Tensor], direction: int, directions: int, features: int
) -> tuple[Product, Product]:
    """Weights and biases of a direction's two arrays, gates in the order of cells here."""
    order = ONNX_ORDER[cell]
    first, second = (np.asarray(constant_of(inputs, k), np.float64) for k in (1, 2))
    lines = first.shape[1] if first.ndim == 3 else 0
    units = lines // len(order)
    shapes = (directions, lines, features), (directions, lines, units)
    if lines != units * len(order) or not units or (first.shape, second.shape) != shapes:
        raise ValueError(f"weights of the shapes {first.shape} and {second.shape} for {features} features")
    bias = np.asarray(constant_of(inputs, 3, np.zeros((directions, 2 * lines))), np.float64)
    if bias.shape != (directions, 2 * lines):
        raise ValueError(f"its bias has the shape {bias.shape}, not {(directions, 2 * lines)}")
    offsets = np.split(bias[direction], 2)
    return (
        Product(sorted_gates(first[direction], order), sorted_gates(offsets[0], order) if bias.any() else None),
        Product(sorted_gates(second[direction], order), sorted_gates(offsets[1], order) if bias.any() else None),
    )


HANDLERS: dict[str, Handler] = dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent)
"""What each operator of a graph becomes: a table from its type to a function of what it reads."""
