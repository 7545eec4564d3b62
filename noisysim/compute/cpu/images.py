"""The compiled loops over images: `noisysim.compute.cpu.loops.images`."""

from __future__ import annotations

from noisysim.common.types import Floats, Ints
from noisysim.compute.jit import specialised


def channels_last(images: Floats, channels: int, out: Floats) -> None:
    """(rows, channels pixels), channel by channel, to (rows, pixels channels)."""
    specialised.images().channels_last(images, channels, out)


def unfold(images: Floats, g: Ints, patches: Floats) -> None:
    """The patch at every position: images (rows, values) to patches (rows P, at least K), K as (y, x, channel)."""
    specialised.images().unfold(images, g, patches)


def fold(patches: Floats, g: Ints, images: Floats) -> None:
    """The transpose of `unfold`: what patches hold is added where it was taken from."""
    specialised.images().fold(patches, g, images)


def pool(values: Floats, units: int, g: Ints, out: Floats) -> None:
    """The largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    specialised.images().pool(values, units, g, out)


def pick(change: Floats, values: Floats, units: int, g: Ints, out: Floats) -> None:
    """The derivative of `pool` at these values along a change: (rows, P units) to (rows, P' units)."""
    specialised.images().pick(change, values, units, g, out)


def unpool(signal: Floats, values: Floats, units: int, g: Ints, out: Floats) -> None:
    """The transpose of `pool` at these values: (rows, P' units) to (rows, P units)."""
    specialised.images().unpool(signal, values, units, g, out)
