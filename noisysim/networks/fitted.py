"""Layers that are one operation of the periphery, fitted to the values below them."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.common.fields import as_list, shown
from noisysim.networks import activations, operations
from noisysim.networks.activations import Activation
from noisysim.networks.layer_kinds import Activate, Conv, Layer
from noisysim.networks.operation_kinds import Affine, Clip, GroupNorm, LayerNorm, Leak, OneHot, RMSNorm, Softmax, Take
from noisysim.networks.operations import Image, Operation


def operation(layer: Layer, node: int, shape: Image, activation: Activation) -> Operation:
    """What a layer is that is one operation on the values of a node.

    Parameters
    ----------
    layer : Layer
    node : int
    shape : (int, int, int)
        Height, width and channels of its values.
    activation : Activation
        The network's.
    """
    if isinstance(layer, Activate):
        kind = activations.get(layer.activation) if layer.activation else activation
        return operations.activate(node, shape, kind)
    if isinstance(layer, (LayerNorm, RMSNorm)):
        return operations.normalise(node, shape, 0, layer.epsilon, scaled=isinstance(layer, RMSNorm))
    if isinstance(layer, GroupNorm):
        if shape[2] % layer.groups:
            raise ValueError(f"{layer!r} does not divide the {shape[2]} channels below it")
        return operations.normalise(node, shape, layer.groups, layer.epsilon)
    if isinstance(layer, Softmax):
        return operations.softmax(node, shape)
    if isinstance(layer, Clip):
        return operations.clip(node, shape, layer.low, layer.high)
    if isinstance(layer, Leak):
        return operations.leak(node, shape, layer.slope)
    if isinstance(layer, Affine):
        return operations.affine(node, shape, *_as_long(layer, shape))
    if isinstance(layer, OneHot):
        return operations.one_hot(node, operations.size_of(shape), layer.classes)
    if not isinstance(layer, Take):
        raise ValueError(f"{layer!r} needs the names of two layers: {layer!r}(a, b)")
    count = operations.size_of(shape)
    if max(layer.places) >= count:
        raise ValueError(f"{layer.name} asks for place {max(layer.places)} of the {count} values below it")
    return operations.gather(node, count, layer.shape, layer.places)


def _as_long(layer: Affine, shape: Image) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Gains and offsets, as many of the one as of the other: of all channels, or of all values."""
    longest = max(len(layer.gain), len(layer.offset))
    if longest not in (1, shape[2], operations.size_of(shape)):
        raise ValueError(f"affine has {longest} numbers for {words(shape)}")
    gain, offset = (values * longest if len(values) == 1 else values for values in (layer.gain, layer.offset))
    return gain, offset


def input_shape(spec: Any) -> tuple[int, ...]:
    """The shape of the input: (n_in,), or (channels, height, width)."""
    spec = as_list(spec)
    sizes = tuple(spec) if isinstance(spec, (tuple, list)) else (spec,)
    counts = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in sizes)
    if not counts or not 1 <= len(sizes) <= 3:
        raise ValueError(
            f"the first of layers must be the number of inputs (a whole number above 0) or the shape of an image, such "
            f"as 784 or (3, 32, 32), not {shown(spec)}"
        )
    shape = tuple(int(n) for n in sizes)
    return (1, *shape) if len(shape) == 2 else shape


def words(shape: Image) -> str:
    """What a message calls a shape."""
    height, width, channels = shape
    return f"{channels} units" if height == width == 1 else f"{height} x {width} positions of {channels} channels"


def grid(conv: Conv, source: Image) -> tuple[int, int]:
    """Rows and columns of positions of a convolution over an image."""
    top, left, bottom, right = conv.margins
    spans = [(n - 1) * d + 1 for n, d in zip(conv.kernels, conv.dilations, strict=True)]
    rows, columns = (
        operations.fits(n, span, step)
        for n, span, step in zip((source[0] + top + bottom, source[1] + left + right), spans, conv.strides, strict=True)
    )
    if min(rows, columns) < 1:
        raise ValueError(f"{conv!r} does not fit an image of {source[0]} x {source[1]} pixels below it")
    return rows, columns
