"""What follows from constants alone, and moves of values, by ONNX's own reference implementation of each operator.

Operators are those of short lists, and sizes are known before they run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.texts import one_line
from noisysim.common.types import Array
from noisysim.networks.importing import files
from noisysim.networks.importing.graphs import MOST_STEPS, Node, check_size

FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NotImplementedError, RecursionError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What operators raise for inputs that do not fit."""
SAME_SIZE = (
    "Abs", "Atan", "BatchNormalization", "Cast", "CastLike", "Ceil", "Clip", "Constant", "Cos", "CumSum", "Elu", "Erf",
    "Exp", "Floor", "HardSigmoid", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Log",
    "LpNormalization", "Neg", "Not", "Reciprocal", "Relu", "Round", "ScatterElements", "ScatterND", "Shape", "Sigmoid",
    "Sign", "Sin", "Size", "Softmax", "Softplus", "Sqrt", "Tanh", "Trilu",
)  # fmt: skip
"""Operators on constants that give no more values than they are given, or one."""
SPREADING = (
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod",
    "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
"""Operators on constants of broadcastable shapes."""
REDUCING = (
    "ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "ReduceSumSquare",
)  # fmt: skip
MOVES = (
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Pad", "Reshape", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
"""Operators that change the order of values, or leave some out or repeat them."""
OTHERS = ("Concat", "ConstantOfShape", "MatMul", "Range")
FOLDED = (*SAME_SIZE, *SPREADING, *REDUCING, *MOVES, *OTHERS)
"""Operators that may be computed of constants."""


class Budget:
    """How much may still be computed of constants."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def take(self, node: Node, inputs: Sequence[Array | None], most: int) -> None:
        """Count what an operator reads, the most that it gives and, as a product of matrices, multiplies."""
        held = sum(array.size for array in inputs if array is not None)
        inner = inputs[0].shape[-1] if node.op == "MatMul" and inputs[0] is not None else 1
        self._left -= held + max(0, most) * max(1, inner)
        if self._left < 0:
            raise ValueError(f"all that follows from constants takes more than {MOST_STEPS} steps")


def computed(node: Node, inputs: Sequence[Array | None], opset: int, budget: Budget | None = None) -> list[Array]:
    """What an operator gives of arrays, within a budget.

    Raises
    ------
    ValueError
        Naming the node.
    """
    try:
        most = _most(node, inputs)
        check_size(node, (most,))
        if budget is not None:
            budget.take(node, inputs, most)
        return _evaluated(node, inputs, opset)
    except FAILURES as error:
        text = one_line(error) or type(error).__name__
        raise ValueError(text if text.startswith("node ") else f"{node} cannot be computed: {text}") from None


def _most(node: Node, inputs: Sequence[Array | None]) -> int:
    """The most values that an operator may give."""
    shapes: list[tuple[int, ...]] = [array.shape for array in inputs if array is not None]
    first, second = [*shapes, (), ()][:2]
    if node.op in SPREADING:
        return math.prod(np.broadcast_shapes(*shapes))
    if node.op == "Concat":
        return sum(map(math.prod, shapes))
    if node.op == "ConstantOfShape":
        return math.prod(_whole(inputs[0]))
    if node.op == "Range":
        start, limit, step = (float(np.reshape(array, ())) for array in inputs)  # type: ignore[arg-type]
        return math.ceil((limit - start) / step)
    if node.op == "MatMul":
        return math.prod((*np.broadcast_shapes(first[:-2], second[:-2]), *first[-2:-1], second[-1]))
    if node.op == "Expand":
        return math.prod(np.broadcast_shapes(first, tuple(_whole(inputs[1]))))
    if node.op == "Tile":
        return math.prod(first) * math.prod(_whole(inputs[1]))
    if node.op == "Gather":
        along: int = first[node.attributes.get("axis", 0)]
        return math.prod(first) // max(1, along) * math.prod(second)
    if node.op == "GatherElements":
        return math.prod(second)
    if node.op == "GatherND":
        taken = int(node.attributes.get("batch_dims", 0)) + int(second[-1])
        return math.prod(second[:-1]) * math.prod(first[taken:])
    if node.op == "Pad":
        pads = node.attributes.get("pads") if len(inputs) < 2 or inputs[1] is None else _whole(inputs[1])
        return math.prod(n + 2 * max(map(abs, pads or ()), default=0) for n in first)
    return max(map(math.prod, shapes), default=1)


def _whole(array: Array | None) -> list[int]:
    """Whole numbers of an array."""
    return [int(n) for n in np.asarray(array).ravel()]


def _evaluated(node: Node, inputs: Sequence[Array | None], opset: int) -> list[Array]:
    """What ONNX's reference implementation gives."""
    onnx, evaluator = files.library(), files.library(".reference").ReferenceEvaluator
    make = onnx.helper
    names = [name if array is not None else "" for name, array in zip(_names(inputs), inputs, strict=True)]
    outputs = [f"y{k}" for k in range(len(node.outputs))]
    made = make.make_node(node.op, names, outputs, **{k: _setting(v) for k, v in node.attributes.items()})
    untyped = [onnx.ValueInfoProto(name=name) for name in outputs]
    given = [onnx.ValueInfoProto(name=name) for name in names if name]
    graph = make.make_graph([made], "one", given, untyped)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", opset)])
    feeds = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
    with np.errstate(all="ignore"):
        return [np.asarray(array) for array in evaluator(model).run(None, feeds)]


def _names(inputs: Sequence[Array | None]) -> list[str]:
    return [f"x{k}" for k in range(len(inputs))]


def _setting(value: Any) -> Any:
    """An attribute as ONNX's own maker of nodes takes it."""
    if isinstance(value, np.ndarray):
        return files.library().numpy_helper.from_array(value)
    return list(value) if isinstance(value, tuple) else value
