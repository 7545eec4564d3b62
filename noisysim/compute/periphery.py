"""What is between two layers of weights, as observations let it be computed: outputs, and derivatives through it.

A block's digital part is y = mask f((pool(a) - shift) scale). Its lines a, the mask and the two vectors of the
normalisation are observed, so learners may use all of it. Between blocks an image is unfolded into patches.

Arrays may be on a GPU, and hold the samples of several `chips`, chip after chip, of which each has a normalisation of
its own: vectors (2, chips x units).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import algebra, backends
from noisysim.compute.observation import Observation
from noisysim.networks.architecture import Architecture


def outputs(net: Architecture, layer: int, observation: Observation, chips: int = 1) -> Floats:
    """What a layer gave to the next, (batch, values): its hidden outputs, position by position."""
    out = algebra.activate(_settled(net, layer, observation, chips), net.blocks[layer].activation)
    if (mask := _entry(observation.masks, layer)) is not None:
        out *= mask.reshape(out.shape)
    return out


def pull_back(
    net: Architecture,
    layer: int,
    signal: Floats,
    observation: Observation,
    out: Floats | None = None,
    chips: int = 1,
) -> Floats:
    """dL/da of a layer's lines, in their shape, from dL/dy of its hidden outputs, (batch, values); may be in place."""
    block, lines, place = net.blocks[layer], observation.activities[layer], backends.backend_of(signal)
    batch = len(lines)
    carried = signal.reshape(batch, -1)
    if block.plain and out is not None:
        out[...] = signal.reshape(out.shape)
        return algebra.scale_by_slope(out, lines, block.activation)
    carried = carried * _slopes(net, layer, observation, chips)
    if out is None:
        out = place.xp.empty(lines.shape, np.float32)
    if block.pool is None:
        out[...] = carried.reshape(out.shape)
    else:
        values, room = lines.reshape(batch, -1), out.reshape(batch, -1)
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
    return None if norm is None else _normalise(observation.activities[layer], norm, chips)


def push(net: Architecture, layer: int, change: Floats, observation: Observation, chips: int = 1) -> Floats:
    """Change of the hidden outputs, (batch, values), along a small change of a layer's lines."""
    block, lines, place = net.blocks[layer], observation.activities[layer], backends.backend_of(change)
    moved = change.reshape(len(lines), -1)
    if block.pool is not None:
        picked = place.xp.empty((len(lines), net.outputs[layer]), np.float32)
        values = place.xp.ascontiguousarray(lines).reshape(len(lines), -1)
        place.images.pick(moved, values, block.units, net.geometry()[layer], picked)
        moved = picked
    return moved * _slopes(net, layer, observation, chips)


def unfold(net: Architecture, layer: int, images: Floats) -> Floats:
    """What a layer's arrays see of the outputs below, (batch, values), before decorrelation: patches, or the same."""
    batch, place = len(images), backends.backend_of(images)
    flat: Floats = place.xp.ascontiguousarray(images, np.float32).reshape(batch, -1)
    if not net.blocks[layer].is_conv:
        return flat
    if layer == 0:
        by_channel, flat = flat, place.xp.empty_like(flat)
        place.images.channels_last(by_channel, net.input_shape[0], flat)
    patches: Floats = place.xp.empty((batch * net.positions[layer], net.fan_in[layer]), np.float32)
    place.images.unfold(flat, net.geometry()[layer], patches)
    return patches.reshape(batch, net.positions[layer], net.fan_in[layer])


def fold(net: Architecture, layer: int, patches: Floats) -> Floats:
    """The transpose of `unfold`: patches are added where they were taken from, (batch, values), channel last."""
    batch, place = len(patches), backends.backend_of(patches)
    if not net.blocks[layer].is_conv:
        return patches.reshape(batch, -1)
    images: Floats = place.xp.empty((batch, net.sizes[layer]), np.float32)
    flat = place.xp.ascontiguousarray(patches, np.float32).reshape(-1, net.fan_in[layer])
    place.images.fold(flat, net.geometry()[layer], images)
    return images


def _entry(arrays: Sequence[Any], layer: int) -> Any:
    """A layer's entry of a list that may be empty."""
    return arrays[layer] if len(arrays) else None


def _normalise(lines: Floats, norm: Floats, chips: int) -> Floats:
    """(lines - shift) scale with each chip's own, in their shape."""
    shift, scale = norm.reshape(2, chips, 1, -1)
    return ((lines.reshape(chips, -1, shift.shape[-1]) - shift) * scale).reshape(lines.shape)


def _settled(net: Architecture, layer: int, observation: Observation, chips: int) -> Floats:
    """What the activation function is applied to, (batch, values)."""
    block, place = net.blocks[layer], backends.backend_of(observation.activities[layer])
    lines = place.xp.ascontiguousarray(observation.activities[layer])
    values = lines.reshape(len(lines), -1)
    if block.pool is not None:
        pooled = place.xp.empty((len(lines), net.outputs[layer]), np.float32)
        place.images.pool(values, block.units, net.geometry()[layer], pooled)
        values = pooled
    norm = _entry(observation.norms, layer)
    return values if norm is None else _normalise(values, norm, chips)


def _slopes(net: Architecture, layer: int, observation: Observation, chips: int) -> Floats:
    """dy/da at the lines that pooling let through, (batch, values)."""
    values = _settled(net, layer, observation, chips)
    ones = backends.backend_of(values).xp.ones_like(values)
    slopes = algebra.scale_by_slope(ones, values, net.blocks[layer].activation)
    if (norm := _entry(observation.norms, layer)) is not None:
        slopes = (slopes.reshape(chips, -1, net.units[layer]) * norm[1].reshape(chips, 1, -1)).reshape(slopes.shape)
    if (mask := _entry(observation.masks, layer)) is not None:
        slopes *= mask.reshape(slopes.shape)
    return slopes
