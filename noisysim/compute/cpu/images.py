"""The compiled loops over images (`noisysim.compute.cpu.loops.images`), each over some samples."""

from __future__ import annotations

from noisysim.common.types import Floats, Ints
from noisysim.compute.cpu import sharing
from noisysim.compute.cpu.loops import images as loops


def channels_last(images: Floats, channels: int, out: Floats) -> None:
    """(rows, channels pixels), channel by channel, to (rows, pixels channels)."""
    loop = loops.channels_last
    _shared(lambda a, b: loop(images[a:b], channels, out[a:b]), images, out)


def unfold(images: Floats, g: Ints, patches: Floats) -> None:
    """The patch at every position: images (rows, values) to patches (rows P, at least K), K as (y, x, channel)."""
    loop, positions = loops.unfold, len(patches) // max(len(images), 1)
    _shared(lambda a, b: loop(images[a:b], g, patches[a * positions : b * positions]), images, patches)


def fold(patches: Floats, g: Ints, images: Floats) -> None:
    """The transpose of `unfold`: what patches hold is added where it was taken from."""
    loop, positions = loops.fold, len(patches) // max(len(images), 1)
    _shared(lambda a, b: loop(patches[a * positions : b * positions], g, images[a:b]), images, patches)


def pool(values: Floats, units: int, g: Ints, out: Floats) -> None:
    """The largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    loop = loops.pool
    _shared(lambda a, b: loop(values[a:b], units, g, out[a:b]), values, out)


def pick(change: Floats, values: Floats, units: int, g: Ints, out: Floats) -> None:
    """The derivative of `pool` at these values along a change: (rows, P units) to (rows, P' units)."""
    loop = loops.pick
    _shared(lambda a, b: loop(change[a:b], values[a:b], units, g, out[a:b]), values, out)


def unpool(signal: Floats, values: Floats, units: int, g: Ints, out: Floats) -> None:
    """The transpose of `pool` at these values: (rows, P' units) to (rows, P units)."""
    loop = loops.unpool
    _shared(lambda a, b: loop(signal[a:b], values[a:b], units, g, out[a:b]), values, out)


def _shared(some: sharing.Some, of_samples: Floats, other: Floats) -> None:
    """Over all samples, the rows of `of_samples`: the loop reads and writes two arrays."""
    sharing.in_rows(some, len(of_samples), sharing.FLOPS_PER_BYTE * 4 * (of_samples.size + other.size))
