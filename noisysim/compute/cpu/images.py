"""The compiled loops over images (`noisysim.compute.cpu.loops.images`), each over some samples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from noisysim.common.types import Floats, Ints
from noisysim.compute import execution
from noisysim.compute.cpu import sharing
from noisysim.compute.cpu.loops import images as loops
from noisysim.networks.tiling import BLOCK_VALUES


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


def pull(signal: Floats, matrices: Sequence[Floats], g: Ints, images: Floats, chips: int) -> None:
    """Signals at lines, (rows P, n), through each chip's `matrices`, folded: a few samples' patches at a time."""
    batch = len(images) // chips
    positions = len(signal) // max(len(images), 1)
    stacks = [m.reshape(chips, -1, m.shape[-1]) for m in matrices]

    def some(m: int, first: int, last: int) -> None:
        value = signal[first * positions : last * positions]
        for stack in stacks:
            value = value @ stack[m]
        loops.fold(value, g, images[first:last])

    own = execution.spans(batch, max(1, BLOCK_VALUES // (positions * matrices[-1].shape[1])))
    tasks = [partial(some, m, m * batch + a, m * batch + b) for m in range(chips) for a, b in own]
    execution.run(tasks, 2.0 * len(signal) * sum(s[0].size for s in stacks))


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
