"""From a file, or a PyTorch module, to a network."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.common.fields import PATH, as_list, check_switch, shown
from noisysim.common.types import Array
from noisysim.networks.importing import files, torch_export
from noisysim.networks.importing.graphs import Graph, check_size
from noisysim.networks.importing.imported import Imported, first_of, has_channels_last
from noisysim.networks.importing.operators import (  # fmt: skip
    choices,
    classes,
    moves,
    normalisations,
    pointwise,
    products,
    recurrent,
    windows,
)
from noisysim.networks.importing.translation import RECURRENT, Handler, notes, prepared, translated

HANDLERS: dict[str, Handler] = {
    **moves.HANDLERS, **normalisations.HANDLERS, **pointwise.HANDLERS, **products.HANDLERS,
    **choices.HANDLERS, **classes.HANDLERS, **recurrent.HANDLERS, **windows.HANDLERS,
}  # fmt: skip
"""What each operator becomes."""


def load(
    path: str | os.PathLike[str], *, output: str | None = None, input_shape: Sequence[int] | None = None,
    fold_batch_norm: bool = True, learned_norms: bool = False,
) -> Imported:  # fmt: skip
    """The network of an ONNX file, with its weights.

    What a product with constants is becomes a layer of weights on the chip; all else is computed by the digital
    periphery, value by value as the model does it: on exact hardware outputs are the model's.

    Parameters
    ----------
    path : path
        A file that ends in ``.onnx``. Constants may be in other files in its folder or below.
    output : str, optional
        The tensor that is to be the network's output. Default: the model's only output.
    input_shape : sequence of int, optional
        Of one sample, without the axis of samples, where the model leaves it open.
    fold_batch_norm : bool
        Whether batch normalisation becomes part of the weights before it, which is exact as long as nothing learns; or
        else stays in the periphery: as `batch_norm`, with running statistics, behind a layer of weights.
    learned_norms : bool
        Whether the gain and offset of each channel behind a layer, group, instance or root mean square normalisation
        learn on, as digital numbers (``layer_norm(learned=True)``); or else are an `affine`, which is fixed.

    Returns
    -------
    Imported

    Raises
    ------
    ImportError
        Without the package onnx.
    FileNotFoundError, ValueError, TypeError
        Naming the file, the node and its operator, and what would help.
    """
    check_switch("fold_batch_norm", fold_batch_norm)
    check_switch("learned_norms", learned_norms)
    place = Path(path)
    settings = _settings(output, input_shape, fold_batch_norm, learned_norms)
    try:
        return _read(files.read(place, output), place, settings)
    except ValueError as error:
        raise ValueError(f"{shown(str(place), PATH)}: {error}") from None


def from_bytes(model: bytes, name: str, **settings: Any) -> Imported:
    """The network of an ONNX model in memory, which errors call by a name."""
    try:
        return _read(files.read(model, settings.get("output")), None, settings)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def from_torch(module: Any, example_input: Any, **settings: Any) -> Imported:
    """The network of a PyTorch module, with its weights, by PyTorch's own export to ONNX.

    Parameters
    ----------
    module : torch.nn.Module
        It is exported as for inference, `module.eval()`.
    example_input : torch.Tensor
        One sample or more, samples first: the shape that the network is made for.
    **settings
        As of `load`: output, fold_batch_norm, learned_norms.

    Raises
    ------
    ImportError
        Without PyTorch or the package onnx.
    TypeError
        For anything else than a module and a tensor.
    ValueError
        As `load`.
    """
    files.library()
    model = torch_export.exported(module, example_input, settings.get("fold_batch_norm", True))
    return from_bytes(model, type(module).__name__, **settings)


def _settings(
    output: str | None, input_shape: Sequence[int] | None, fold_batch_norm: bool, learned_norms: bool
) -> dict[str, Any]:
    """How a model is read, as far as it is not as usual."""
    settings: dict[str, Any] = {}
    if output is not None:
        settings["output"] = str(output)
    if input_shape is not None:
        sizes = as_list(input_shape)
        settings["input_shape"] = [int(n) for n in (sizes if isinstance(sizes, (list, tuple)) else [sizes])]
    if not fold_batch_norm:
        settings["fold_batch_norm"] = False
    return {**settings, "learned_norms": True} if learned_norms else settings


def _read(graph: Graph, path: Path | None, settings: Mapping[str, Any]) -> Imported:
    """A graph as a network of its own input's shape."""
    try:
        return _of_graph(graph, path, settings)
    except ValueError as error:
        first = graph.shape[0] if graph.shape else None
        if first in (None, 1) or " cannot be computed: " not in str(error):
            raise
        raise ValueError(
            f"{error}; if the first axis of its input, {first}, is that of samples: export it with an open number of "
            "them, or one"
        ) from None


def _of_graph(graph: Graph, path: Path | None, settings: Mapping[str, Any]) -> Imported:
    """The same, whatever number of samples the model was exported for."""
    sample = _sample(graph, settings.get("input_shape"))
    ready = prepared(graph, HANDLERS)
    steps_first = any(node.op in RECURRENT for node in ready.nodes)
    return _made(ready, sample, _natural(sample, steps_first), path, settings)


def _sample(graph: Graph, given: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of one sample, (1, ...)."""
    if len(graph.shape) < 2:
        raise ValueError(f"its input has the shape {_words(graph.shape)}: the first axis must be that of samples")
    sizes = list(graph.shape[1:])
    if given is not None:
        fits = len(given) == len(sizes) and all(a in (None, b) for a, b in zip(sizes, given, strict=False))
        if not fits or min(given, default=1) < 1:
            raise ValueError(f"input_shape={tuple(given)} does not fit its input {_words(graph.shape)}")
        sizes = list(given)
    if None in sizes:
        raise ValueError(f"its input has the shape {_words(graph.shape)}: give that of a sample, input_shape=(...)")
    check_size("its input", sizes)  # type: ignore[arg-type]
    return (1, *sizes)  # type: ignore[arg-type]


def _words(shape: Sequence[int | None]) -> str:
    return f"({', '.join('?' if n is None else str(n) for n in shape)})"


def _natural(sample: Sequence[int], steps_first: bool) -> tuple[int, ...]:
    """What a chip's network calls the shape of a sample: images by channel; sequences are one row, or steps."""
    if len(sample) == 4:
        return tuple(sample[1:])
    if len(sample) == 3 and steps_first:
        return (1, *sample[1:])
    return (sample[1], 1, sample[2]) if len(sample) == 3 else (math.prod(sample),)


def _made(
    graph: Graph, sample: tuple[int, ...], input_shape: tuple[int, ...], path: Path | None, settings: Mapping[str, Any]
) -> Imported:
    """The network of a prepared graph, for samples in some shape."""
    fold, learned = bool(settings.get("fold_batch_norm", True)), bool(settings.get("learned_norms"))
    count, last = math.prod(sample), has_channels_last(sample, input_shape)
    # without a layer for images the input is flat, and then no layer may need one
    for shape, by_image in ((input_shape, False), ((count,), False), (input_shape, True)):
        task, end = translated(graph, sample, shape, HANDLERS, fold, learned, by_image, last)
        layers = task.writer.layers(end)
        first = first_of(input_shape, layers)
        if isinstance(first, tuple) == (len(shape) == 3):
            break
    products = task.writer.products(end)
    bias = any(product.bias is not None for product in products if not product.is_gain)
    matrices = tuple(_matrix(product.weight, product.bias, bias or product.is_gain) for product in products)
    network = Imported(
        (first, *layers), bias, graph.input, graph.output, tuple(notes(graph)), path, dict(settings), matrices,
        tuple(product.statistics for product in products), graph, sample, _made,
    )  # fmt: skip
    assert [matrix.shape for matrix in matrices] == network.architecture.shapes
    return network


def _matrix(weight: Array, bias: Array | None, biased: bool) -> Array:
    """The array of a layer, the bias its last column."""
    columns = [] if not biased else [np.zeros(len(weight)) if bias is None else bias]
    with np.errstate(over="ignore"):
        matrix = np.column_stack([weight, *columns]).astype(np.float32)
    if not np.isfinite(matrix).all():
        raise ValueError("its weights hold NaN, infinite or too large values")
    return matrix
