"""ONNX files as graphs of plain values. A file is data: nothing in it is executed, and nothing outside its folder read.

Sizes are checked before arrays are made. Data beside the file are read from the file's own folder and below it alone.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from noisysim.common.fields import PATH, listed, shown
from noisysim.common.texts import one_line
from noisysim.common.types import Array
from noisysim.networks.importing.graphs import MOST_WEIGHTS, Graph, Node, checked

Message: TypeAlias = Any
"""What protobuf reads, whose types are known to the package onnx alone."""
LARGEST_FILE = 2**31 - 1
"""Bytes of a file, which is also the most that ONNX's format can hold."""
DOMAINS = ("", "ai.onnx")
"""Sets of operators that are known."""
CLASSICAL = "ai.onnx.ml"
"""The set of operators that scikit-learn's models are written in, of which Scaler is read."""
OPSETS = (7, 30)
"""Their versions that are read: the first and the last."""
MOST_INPUTS = 1000
"""Operators that may have more may have any number."""
HELP = "install it with: pip install 'noisysim[onnx]'"
TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""Types of numbers that are read, by ONNX's number of each."""
_SIZES = {number: 2 if name == "bfloat16" else np.dtype(name).itemsize for number, name in TYPES.items()}
"""Bytes of a number of each type."""
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
"""Where numbers are that are not in raw bytes; those of other types are in int32_data."""


def library(part: str = "") -> Any:
    """The package onnx, or a part of it, imported when it is first needed."""
    try:
        return importlib.import_module(f"onnx{part}")
    except ImportError:
        raise ImportError(f"models in ONNX's format need the package onnx: {HELP}") from None


def read(source: str | os.PathLike[str] | bytes, output: str | None = None) -> Graph:
    """The graph of a file, or of its bytes.

    Parameters
    ----------
    source : path or bytes
    output : str, optional
        The tensor that is the network's output. Default: the only output.

    Raises
    ------
    ImportError, FileNotFoundError, ValueError
    """
    onnx = library()
    folder = None if isinstance(source, bytes) else Path(source).absolute().parent
    if not isinstance(source, bytes):
        source = _bytes(Path(source))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(source)
    except Exception as error:  # protobuf has exceptions of its own, by version
        raise ValueError(f"it is no ONNX file, or a damaged one: {one_line(error)}") from None
    if not model.HasField("graph") or not model.graph.output:
        raise ValueError("it is no ONNX file, or a damaged one: it has no graph with an output")
    return _graph(model, _opset(model), folder, output)


def _bytes(path: Path) -> bytes:
    """What a file holds, if it is not too large."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {shown(str(path), PATH)} (the working directory is {os.getcwd()!r})")
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"it has {path.stat().st_size} bytes, at most {LARGEST_FILE} are read")
    return path.read_bytes()


def _opset(model: Message) -> int:
    """The version of its operators."""
    versions = [one.version for one in model.opset_import if one.domain in DOMAINS]
    version = max(versions, default=0)
    if not OPSETS[0] <= version <= OPSETS[1]:
        raise ValueError(f"its operators are of version {version}, those of {OPSETS[0]} to {OPSETS[1]} are read")
    return int(version)


def _graph(model: Message, opset: int, folder: Path | None, output: str | None) -> Graph:
    """The parts of a model."""
    graph = model.graph
    outputs = [one.name for one in graph.output]
    if output is None:
        if len(outputs) > 1:
            raise ValueError(f"it has {len(outputs)} outputs, choose one by output=: {listed(map(shown, outputs))}")
        output = outputs[0]
    if graph.sparse_initializer:
        raise ValueError("it has sparse constants, which are not read: export them dense")
    needed = _needed(graph.node, output)
    constants = _constants(graph.initializer, folder, needed)
    inputs = [one for one in graph.input if one.name not in constants]
    if len(inputs) != 1:
        names = listed(shown(one.name) for one in inputs) or "none"
        raise ValueError(f"it has {len(inputs)} inputs ({names}), a network here has one")
    nodes = tuple(node for one in graph.node for node in _nodes(one, folder, needed, constants))
    if (kind := inputs[0].type.tensor_type.elem_type) not in _SIZES:
        raise ValueError(f"its input {shown(inputs[0].name)} is of a type that is not read ({kind}): export float32")
    found = Graph(nodes, constants, inputs[0].name, output, _shape(inputs[0]), opset, TYPES[kind])
    return checked(found, outputs)


def _shape(value: Message) -> tuple[int | None, ...]:
    """The declared shape of an input; ``None`` where it is open."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise ValueError(f"its input {shown(value.name)} has no shape")
    sizes = []
    for size in value.type.tensor_type.shape.dim:
        known = size.HasField("dim_value") and size.dim_value > 0
        sizes.append(int(size.dim_value) if known else None)
    return tuple(sizes)


def _needed(protos: Sequence[Message], output: str) -> set[str]:
    """The tensors that an output depends on, itself among them."""
    needed = {output}
    for proto in reversed(protos):
        if needed.intersection(proto.output):
            needed.update(proto.input)
    return needed


def _nodes(proto: Message, folder: Path | None, needed: set[str], constants: dict[str, Array]) -> list[Node]:
    """One operator as those of ONNX's own, whose constants are added to the others."""
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    known = proto.domain in DOMAINS
    if not known and not needed.intersection(outputs):  # such as what gives labels, beside probabilities
        return [Node(proto.op_type, proto.name, inputs, outputs)]
    attributes = {one.name: _attribute(one, folder) for one in proto.attribute}
    if known:
        return [Node(proto.op_type, proto.name, inputs, outputs, attributes)]
    if (proto.domain, proto.op_type) != (CLASSICAL, "Scaler") or not outputs:
        raise ValueError(
            f"node {shown(proto.name)} is {shown(proto.op_type)} of {shown(proto.domain)}: only ONNX's own operators "
            "are read; export the model without custom ones"
        )
    centred, *names = (f"{outputs[0]}/{part}" for part in ("centred", "offset", "scale"))
    constants |= {
        name: np.array(attributes.get(part, usual), np.float32)
        for name, part, usual in zip(names, ("offset", "scale"), (0, 1), strict=True)
    }
    return [
        Node("Sub", proto.name, (*inputs, names[0]), (centred,)),
        Node("Mul", proto.name, (centred, names[1]), outputs),
    ]


def _attribute(proto: Message, folder: Path | None) -> Any:
    """A setting of an operator; one that is a graph is left to the error about its operator."""
    kind = proto.type
    if kind == 1:
        return shortest(proto.f)
    if kind == 2:
        return int(proto.i)
    if kind == 3:
        return proto.s.decode("utf-8", "replace")
    if kind == 4:
        return _array(proto.t, folder)
    if kind == 6:
        return tuple(map(shortest, proto.floats))
    if kind == 7:
        return tuple(map(int, proto.ints))
    if kind == 8:
        return tuple(one.decode("utf-8", "replace") for one in proto.strings)
    return None


def usual_settings(op: str, opset: int) -> dict[str, Any]:
    """What the settings of an operator are where a model does not say."""
    definition = _definition(op, opset)
    return {name: _attribute(one.default_value, None) for name, one in definition.attributes.items()}


def check_inputs(node: Node, opset: int) -> None:
    """Refuse a node with more or fewer inputs than its operator has; what ONNX does not have is refused elsewhere."""
    definition, count = _definition(node.op, opset), len(node.inputs)
    if definition is None:
        return
    least, most = definition.min_input, definition.max_input
    if not least <= count <= most or "" in node.inputs[:least]:
        raise ValueError(
            f"{node} has the inputs {listed(map(shown, node.inputs)) or 'none'}: it needs {_words(least, most)}"
        )


def _words(least: int, most: int) -> str:
    """How many there may be."""
    if least == most:
        return str(least)
    return f"{least} or more" if most > MOST_INPUTS else f"{least} to {most}"


def _definition(op: str, opset: int) -> Any:
    """What ONNX says of an operator; ``None`` if it does not have it."""
    defs = library(".defs")
    try:
        return defs.get_schema(op, opset)
    except defs.SchemaError:
        return None


def shortest(number: float) -> float:
    """A float32 by the shortest decimal number that it is the nearest to: 0.1, and not 0.10000000149."""
    return float(str(np.float32(number)))


# --- constants ------------------------------------------------------------------------------------------------------


def _constants(tensors: Sequence[Message], folder: Path | None, needed: set[str]) -> dict[str, Array]:
    """The constants of a graph, their sizes checked before any is made; of texts that nothing needs nothing is made."""
    total = sum(_count(tensor) for tensor in tensors)
    if total > MOST_WEIGHTS:
        raise ValueError(f"its constants have {total} numbers, at most {MOST_WEIGHTS} are read")
    constants: dict[str, Array] = {}
    for tensor in tensors:
        if tensor.name in constants:
            raise ValueError(f"two of its constants are called {shown(tensor.name)}")
        text = tensor.name not in needed and tensor.data_type not in _SIZES
        constants[tensor.name] = np.zeros(0, np.float32) if text else _array(tensor, folder)
    return constants


def _count(tensor: Message) -> int:
    """How many numbers a tensor says that it has."""
    if any(size < 0 for size in tensor.dims) or len(tensor.dims) > 8:
        raise ValueError(f"constant {shown(tensor.name)} has the shape {tuple(tensor.dims)}")
    return math.prod(tensor.dims)


def _array(tensor: Message, folder: Path | None) -> Array:
    """A constant."""
    name, count = shown(tensor.name), _count(tensor)
    if tensor.data_type not in _SIZES:
        raise ValueError(f"constant {name} is of a type that is not read ({tensor.data_type}): export float32")
    if tensor.data_location == tensor.EXTERNAL:
        copied = type(tensor)()
        copied.CopyFrom(tensor)
        tensor = copied
        raw = _beside(tensor, folder, count * _SIZES[tensor.data_type])
        tensor.data_location = tensor.DEFAULT
        del tensor.external_data[:]
        tensor.raw_data = raw
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data) // _SIZES[tensor.data_type] if len(tensor.raw_data) else 0
    else:
        held = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
    if held != count or count > MOST_WEIGHTS:
        raise ValueError(f"constant {name} of the shape {tuple(tensor.dims)} holds {held} numbers")
    array: Array = np.asarray(library().numpy_helper.to_array(tensor))
    if array.dtype.kind not in "fiub":  # bfloat16 by another package's type
        array = array.astype(np.float32)
    return array


def _beside(tensor: Message, folder: Path | None, size: int) -> bytes:
    """The bytes of a constant that are in another file, which must be in the model's folder."""
    settings = {one.key: one.value for one in tensor.external_data}
    name, location = shown(tensor.name), settings.get("location", "")
    if folder is None:
        raise ValueError(f"constant {name} is in another file, and the model is in none")
    place = (folder / location).resolve()
    inside = location and not os.path.isabs(location) and ".." not in Path(location).parts
    if not inside or not place.is_relative_to(folder.resolve()) or not place.is_file():
        raise ValueError(
            f"constant {name} is in {shown(location, PATH)}, which is no file in the model's folder or below it"
        )
    try:
        start, length = int(settings.get("offset", 0)), int(settings.get("length", size))
    except ValueError:
        raise ValueError(f"constant {name}: where it is in {shown(location, PATH)} is no number") from None
    if start < 0 or length != size or start + size > place.stat().st_size:
        raise ValueError(f"constant {name} of {size} bytes is not in {shown(location, PATH)}: {length} from {start} on")
    with place.open("rb") as file:
        file.seek(start)
        held: bytes = file.read(size)
    return held
