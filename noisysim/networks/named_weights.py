"""Weights by name, in the shapes that other software has: of each layer of weights, and back to its array.

Layer k has ``"k.weight"``, (n_out, n_in), of a convolution (out, in, kernel, kernel), and with a bias ``"k.bias"``,
(n_out,). A dense layer that sees the image of a convolution takes it channel by channel, (channels, height, width), as
``torch.nn.Flatten`` does; arrays on a chip take it pixel by pixel, (height, width, channels), and so patches. Batch
normalisation has ``"k.running_mean"`` and ``"k.running_var"``, (n_out,), of the pre-activations of layer k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Array
from noisysim.networks.architecture import INPUT, Architecture
from noisysim.networks.layers import Conv

WEIGHT, BIAS, MEAN, VARIANCE = "weight", "bias", "running_mean", "running_var"
"""What follows a layer's number and a dot."""


def as_named(net: Architecture, matrices: Sequence[Array], statistics: Sequence[Array | None] = ()) -> dict[str, Array]:
    """The weights, biases and running statistics of every layer, by name.

    Parameters
    ----------
    net : Architecture
    matrices : sequence of array
        (..., n_out, n_in) per layer, as arrays on a chip have them, with a bias one more column; of several chips with
        an axis of chips before.
    statistics : sequence of (array or None)
        Running mean and variance, (2, ..., n_out) per layer; ``None`` of layers that are not normalised.
    """
    named: dict[str, Array] = {}
    for layer, matrix in enumerate(matrices):
        named[f"{layer}.{WEIGHT}"] = _weight(net, layer, matrix[..., : net.fan_in[layer]])
        if net.biases[layer]:
            named[f"{layer}.{BIAS}"] = np.ascontiguousarray(matrix[..., -1])
        if layer < len(statistics) and (moments := statistics[layer]) is not None:
            named[f"{layer}.{MEAN}"], named[f"{layer}.{VARIANCE}"] = (np.array(moment) for moment in moments)
    return named


def by_pixel(net: Architecture, layer: int, weight: Array) -> Array:
    """A named weight in the order of the lines of a layer's array, (n_out, n_in) without bias: back from `as_named`.

    Parameters
    ----------
    net : Architecture
    layer : int
    weight : array
        In the shape of `weight_shape`.
    """
    channels_last: Array = np.moveaxis(weight.reshape(by_channel(net, layer)), 1, -1)
    groups, n_out, held = net.blocks[layer].groups, net.units[layer], channels_last.shape[-1]
    if groups == 1:
        return channels_last.reshape(n_out, -1)
    spread = np.zeros((n_out, *channels_last.shape[1:-1], held * groups), weight.dtype)
    for group, rows in enumerate(np.split(np.arange(n_out), groups)):
        spread[rows, ..., group * held : (group + 1) * held] = channels_last[rows]
    return spread.reshape(n_out, -1)


def weight_shape(net: Architecture, layer: int) -> tuple[int, ...]:
    """The shape of a layer's named weight: (n_out, n_in), or (out, in, kernel, kernel)."""
    shape = by_channel(net, layer)
    return shape if net.blocks[layer].is_conv else (net.units[layer], net.fan_in[layer])


def _weight(net: Architecture, layer: int, matrix: Array) -> Array:
    """The named weight of a layer's array without the bias."""
    n_out, channels, high, wide = by_channel(net, layer)
    before, groups = matrix.shape[:-2], net.blocks[layer].groups
    by_pixel = matrix.reshape(*before, n_out, high, wide, channels * groups)
    rows = np.split(np.arange(n_out), groups)
    own = [by_pixel[..., some, :, :, g * channels : (g + 1) * channels] for g, some in enumerate(rows)]
    moved = np.moveaxis(np.concatenate(own, axis=len(before)), -1, len(before) + 1)
    return np.ascontiguousarray(moved.reshape(*before, *weight_shape(net, layer)))


def by_channel(net: Architecture, layer: int) -> tuple[int, ...]:
    """(n_out, channels, height, width) of what one product of a layer sees; the last two are 1 of plain units.

    Of a grouped convolution the channels are those of one group.
    """
    block = net.blocks[layer]
    if isinstance(block.product, Conv):
        high, wide = block.product.kernels
        return block.units, block.source[2] // block.groups, high, wide
    # a task's inputs are by channel already, and what a recurrent layer gives has one position a step
    if block.recurrence or net.source(layer) == INPUT:
        return block.units, block.fan_in, 1, 1
    height, width, channels = block.source
    return block.units, channels, height, width
