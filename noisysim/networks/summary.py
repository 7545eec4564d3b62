"""What a network is made of, part by part: its array layers, and what the periphery computes between them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from noisysim.networks.architecture import INPUT, Architecture
from noisysim.networks.block import Block
from noisysim.networks.layer_kinds import BatchNorm
from noisysim.networks.operations import Image, Operation
from noisysim.networks.recurrent_kinds import Recurrence
from noisysim.networks.tiling import Network

_CALLED = {"concatenate": "concat", "average": "average_pool", "gather": "take"}
"""Operations that users know by other names."""


class Part(NamedTuple):
    """A layer of weights with what belongs to its block, or an operation of the periphery.

    Attributes
    ----------
    node : int
        Its number (`noisysim.networks.architecture.Architecture`).
    name : str
        What it is called in lists: ``"input"``, ``"layer 3"``, ``"add 1"``.
    text : str
        What it does, in the words of lists of layers.
    sources : tuple of int
        The nodes that it sees.
    shape : (int, int, int)
        Height, width and channels of what it gives.
    arrays : int
        Physical arrays that its weights are on: tiles, of all slices; none of a digital layer.
    cells : int
        Places of those for weights; of a convolution with groups many of them stay idle.
    weights : int
        Weights that can change, biases included.
    products : int
        Multiplications of these weights, of one sample.
    """

    node: int
    name: str
    text: str
    sources: tuple[int, ...]
    shape: Image
    arrays: int = 0
    cells: int = 0
    weights: int = 0
    products: int = 0


def summary(net: Architecture) -> list[Part]:
    """The parts of a network, in the order in which they are computed.

    Parameters
    ----------
    net : Architecture
        Such as the ``network`` of a chip, which knows the tiles of its device; without these each layer of weights is
        one array.

    Returns
    -------
    list of Part
        First the input.

    Examples
    --------
    >>> import noisysim
    >>> chip = noisysim.Chip([8, noisysim.residual([8]), 3], "crossbar:tile_rows=4")
    >>> for part in noisysim.layers.summary(chip.network):
    ...     print(part.name, part.text, part.sources, part.arrays)
    input  () 0
    layer 1 dense(8) (0,) 2
    add 1 add (1, 0) 0
    leaky_relu 1 leaky_relu (3,) 0
    layer 2 dense(3) (4,) 2
    """
    counts: collections.Counter[str] = collections.Counter()
    shape = net.input_shape
    parts = [Part(INPUT, "input", "", (), (shape[1], shape[2], shape[0]) if len(shape) == 3 else (1, 1, shape[0]))]
    for layer, due in enumerate(net.due):
        for node in due:
            if node > net.depth:
                operation = net.operation(node)
                name = name_of(operation)
                counts[name] += 1
                text = _text(operation)
                parts.append(Part(node, f"{name} {counts[name]}", text, operation.sources, operation.shape))
        if layer < net.depth:
            parts.append(_layer(net, layer))
    return parts


def in_words(parts: Sequence[Part]) -> str:
    """How much there is of all parts together: ``77,360 weights on 10 arrays, 64 in digital memory``."""
    arrays = sum(part.arrays for part in parts)
    digital = sum(part.weights for part in parts if not part.arrays)
    weights = sum(part.weights for part in parts) - digital
    kept = f", {digital:,} in digital memory" if digital else ""
    return f"{weights:,} weights on {arrays:,} array{'s' if arrays != 1 else ''}{kept}"


def shape_in_words(shape: Image) -> str:
    """``32 x 32 x 16``, height, width and channels; ``10`` of units."""
    high, wide, channels = shape
    return f"{channels:,}" if high == wide == 1 else f"{high} x {wide} x {channels:,}"


def name_of(operation: Operation) -> str:
    """What users call an operation of the periphery."""
    if operation.activation is not None:
        return operation.activation.name
    return _CALLED.get(operation.name, operation.name)


def _text(operation: Operation) -> str:
    """What an operation does."""
    name, numbers = name_of(operation), operation.numbers
    if operation.name in ("average", "pool"):
        (_, _, _, _, _, _, high, wide, down, right, *_) = numbers
        return f"{name}({high} x {wide}, stride {down} x {right})"
    return name


def _layer(net: Architecture, layer: int) -> Part:
    """A layer of weights."""
    block, positions = net.blocks[layer], net.positions[layer]
    n_out, n_in = net.shapes[layer]
    weights = n_out * (net.fan_in[layer] // block.groups + net.biases[layer])
    arrays = slices = 1
    if block.digital:
        arrays = slices = 0
    elif isinstance(net, Network):
        arrays, slices = net.tiles(layer) * len(net.column_tiles(layer)), net.slices
    return Part(
        1 + layer, f"layer {1 + layer}", words_of(block), (net.source(layer),), (*block.pooled, block.channels), arrays,
        slices * n_out * n_in, weights, positions * weights,
    )  # fmt: skip


def words_of(block: Block) -> str:
    """A layer of weights and what follows it in its block, as in a list of layers."""
    product = block.product
    words = [repr(product if isinstance(product, Recurrence) else dataclasses.replace(product, activation=None))]
    words += [BatchNorm.name] if block.norm else []
    words += [block.activation.name] if block.activation.name != "linear" else []
    words += [repr(block.pool)] if block.pool else []
    words += [f"dropout({block.drop:g})"] if block.drop else []
    return ", ".join(words)
