"""What a layer's own block makes of its lines, as observations let it be computed: outputs, and derivatives.

A block's digital part is y = mask pool(f((a - shift) scale)). Its lines a, the mask and the two vectors of the
normalisation are observed, so learners may use all of it. Where f never falls it is computed as mask f((pool(a) -
shift) scale), which is the same: scales are positive. What a convolution sees is unfolded into patches. Operations
between blocks are in `noisysim.compute.nodes`.

Arrays may be on a GPU, and hold the samples of several `chips`, chip after chip, of which each has a normalisation of
its own: vectors (2, chips x units).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import algebra, backends, recurrence
from noisysim.compute.observation import Observation
from noisysim.networks.architecture import INPUT, Architecture


def outputs(net: Architecture, layer: int, observation: Observation, chips: int = 1) -> Floats:
    """What a layer gave to the next, (batch, values): its hidden outputs, position by position."""
    block = net.blocks[layer]
    if block.recurrence:
        return recurrence.Steps(net, layer, observation).outputs()
    out = _activated(net, layer, observation, chips)
    return _drop(_pool(net, layer, out) if block.pools_outputs else out, layer, observation)


def pull_back(
    net: Architecture,
    layer: int,
    signal: Floats,
    observation: Observation,
    out: Floats | None = None,
    chips: int = 1,
) -> Floats:
    """dL/da of a layer's lines, in their shape, from dL/dy of its hidden outputs, (batch, values); may be in place.

    Of a recurrent layer without what goes through its weights from step to step.
    """
    block, lines, place = net.blocks[layer], observation.activities[layer], backends.backend_of(signal)
    batch = len(lines)
    carried = signal.reshape(batch, -1)
    if block.recurrence:
        brought = recurrence.Steps(net, layer, observation).pull(carried, ())[1]
        if out is None:
            return brought
        out[...] = brought
        return out
    if out is None:
        out = place.xp.empty(lines.shape, np.float32)
    if block.pool is None:
        out[...] = carried.reshape(out.shape)
        _scale_by_slopes(net, layer, out.reshape(batch, -1), observation, chips)
        return out
    values, room, carried = _compared(net, layer, observation, chips), out.reshape(batch, -1), carried.copy()
    if block.pools_outputs:
        place.images.unpool(_drop(carried, layer, observation), values, block.units, net.geometry()[layer], room)
        _scale_by_slopes(net, layer, room, observation, chips)
    else:
        _scale_by_slopes(net, layer, carried, observation, chips)
        place.images.unpool(carried, values, block.units, net.geometry()[layer], room)
    return out


def project(layer: int, signal: Floats, observation: Observation, chips: int = 1) -> Floats:
    """dL/da in place of what it is at constant statistics, in a layer that the batch's own statistics normalise.

    s - <s> - n <s n>, n the normalised lines, means over a chip's samples and positions (Ioffe & Szegedy 2015): what a
    change of all lines alike, or of their spread, seemed to gain is lost again in the statistics. Any other layer's is
    left.
    """
    normed = normalised(layer, observation, chips)
    if normed is not None:
        algebra.leave_out_moments(algebra.rows(signal), algebra.rows(normed), chips)
    return signal


def normalised(layer: int, observation: Observation, chips: int = 1) -> Floats | None:
    """The normalised lines of a layer, in their shape; ``None`` if not by the batch's own statistics."""
    norm = _entry(observation.norms, layer) if observation.norms_of_batch else None
    return None if norm is None else algebra.normalise(observation.activities[layer], norm, chips)


def push(net: Architecture, layer: int, change: Floats, observation: Observation, chips: int = 1) -> Floats:
    """Change of the hidden outputs, (batch, values), along a small change of a layer's lines."""
    block, lines, place = net.blocks[layer], observation.activities[layer], backends.backend_of(change)
    moved: Floats = change.reshape(len(lines), -1).copy()
    if block.pools_outputs:
        _scale_by_slopes(net, layer, moved, observation, chips)
    if block.pool is not None:
        picked = place.xp.empty((len(lines), net.outputs[layer]), np.float32)
        values = _compared(net, layer, observation, chips)
        place.images.pick(moved, values, block.units, net.geometry()[layer], picked)
        moved = picked
    if block.pools_outputs:
        return _drop(moved, layer, observation)
    _scale_by_slopes(net, layer, moved, observation, chips)
    return moved


def unfold(net: Architecture, layer: int, images: Floats) -> Floats:
    """What a layer's arrays see of the outputs below, (batch, values), before decorrelation: patches, or the same."""
    batch, place = len(images), backends.backend_of(images)
    flat: Floats = place.xp.ascontiguousarray(images, np.float32).reshape(batch, -1)
    if not net.blocks[layer].is_conv:
        return flat
    if net.source(layer) == INPUT:
        flat = by_pixel(net, flat)
    patches: Floats = place.xp.empty((batch * net.positions[layer], net.fan_in[layer]), np.float32)
    place.images.unfold(flat, net.geometry()[layer], patches)
    return patches.reshape(batch, net.positions[layer], net.fan_in[layer])


def by_pixel(net: Architecture, x: Floats) -> Floats:
    """The network's input, (batch, values), as operations and convolutions take it: an image pixel by pixel."""
    place = backends.backend_of(x)
    if len(net.input_shape) < 3:
        return x
    turned: Floats = place.xp.empty_like(x)
    place.images.channels_last(x, net.input_shape[0], turned)
    return turned


def fold(net: Architecture, layer: int, patches: Floats) -> Floats:
    """The transpose of `unfold`: patches are added where they were taken from, (batch, values), channel last."""
    batch, place = len(patches), backends.backend_of(patches)
    if not net.blocks[layer].is_conv:
        return patches.reshape(batch, -1)
    images: Floats = place.xp.empty((batch, net.node_size(net.source(layer))), np.float32)
    flat = place.xp.ascontiguousarray(patches, np.float32).reshape(-1, net.fan_in[layer])
    place.images.fold(flat, net.geometry()[layer], images)
    return images


def carry(net: Architecture, layer: int, signal: Floats, maps: Sequence[Floats], chips: int = 1) -> Floats:
    """dL/d(the outputs below that a layer sees), (batch, values), of dL/da of its lines, through `maps` from these."""
    if not net.blocks[layer].is_conv:
        flat: Floats = algebra.product(signal, maps, chips=chips).reshape(len(signal), -1)
        return flat
    place = backends.backend_of(signal)
    images: Floats = place.xp.empty((len(signal), net.node_size(net.source(layer))), np.float32)
    place.images.pull(algebra.rows(signal), maps, net.geometry()[layer], images, chips)
    return images


def _entry(arrays: Sequence[Any], layer: int) -> Any:
    """A layer's entry of a list that may be empty."""
    return arrays[layer] if len(arrays) else None


def _drop(values: Floats, layer: int, observation: Observation) -> Floats:
    """Values times the mask of dropout, if there is one, in place."""
    if (mask := _entry(observation.masks, layer)) is not None:
        values *= mask.reshape(values.shape)
    return values


def _lines(layer: int, observation: Observation) -> Floats:
    """A layer's lines, (batch, values)."""
    lines = observation.activities[layer]
    flat: Floats = backends.backend_of(lines).xp.ascontiguousarray(lines).reshape(len(lines), -1)
    return flat


def _pool(net: Architecture, layer: int, values: Floats) -> Floats:
    """The largest value of each window and unit, (batch, values)."""
    place = backends.backend_of(values)
    pooled: Floats = place.xp.empty((len(values), net.outputs[layer]), np.float32)
    place.images.pool(values, net.units[layer], net.geometry()[layer], pooled)
    return pooled


def _settled(net: Architecture, layer: int, observation: Observation, chips: int) -> Floats:
    """What the activation function is applied to, (batch, values): of lines, or of those that pooling let through."""
    values, norm = _lines(layer, observation), _entry(observation.norms, layer)
    if net.blocks[layer].pools_lines:
        values = _pool(net, layer, values)
    return values if norm is None else algebra.normalise(values, norm, chips)


def _activated(net: Architecture, layer: int, observation: Observation, chips: int) -> Floats:
    """What the activation function gives, (batch, values)."""
    return algebra.activate(_settled(net, layer, observation, chips), net.blocks[layer].activation)


def _compared(net: Architecture, layer: int, observation: Observation, chips: int) -> Floats:
    """The values of a layer's windows of which pooling takes the largest, (batch, values)."""
    if net.blocks[layer].pools_lines:
        return _lines(layer, observation)
    return _activated(net, layer, observation, chips)


def _scale_by_slopes(net: Architecture, layer: int, signal: Floats, observation: Observation, chips: int) -> None:
    """Multiply a signal, (batch, values), by the slope of what the activation function gives along lines, in place.

    Where the activation function is applied, and by dropout's mask, where pooling is not behind it.
    """
    algebra.scale_by_slope(signal, _settled(net, layer, observation, chips), net.blocks[layer].activation)
    if (norm := _entry(observation.norms, layer)) is not None:
        algebra.scale_units(signal, norm[1], chips)
    if not net.blocks[layer].pools_outputs:
        _drop(signal, layer, observation)
