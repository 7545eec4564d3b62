"""The loops over images with the arguments that the CPU's have: `g` is a row of the table `geometry`, on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.cuda import ops, specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.kernels.target import launch
from noisysim.compute.layout import (  # fmt: skip
    CHANNELS,
    GRID_HEIGHT,
    GRID_WIDTH,
    HEIGHT,
    KERNEL,
    KERNEL_X,
    MARGIN_X,
    POOL,
    POOL_STRIDE_X,
    POOLED_HEIGHT,
    POOLED_WIDTH,
    WIDTH,
)


def channels_last(images: Floats, channels: int, out: Floats) -> None:
    """(rows, channels pixels), channel by channel, to (rows, pixels channels)."""
    launch(specialised.images().channels_last, images.size, images, channels, out)


def unfold(images: Floats, g: np.ndarray, patches: Floats) -> None:
    """The patch at every position: images (rows, values) to patches (rows P, at least K), K as (y, x, channel)."""
    elements = len(images) * int(g[GRID_HEIGHT] * g[GRID_WIDTH] * g[KERNEL] * g[KERNEL_X] * g[CHANNELS])
    launch(specialised.images().unfold, elements, images, *_patches(g), patches)


def fold(patches: Floats, g: np.ndarray, images: Floats) -> None:
    """The transpose of `unfold`: what patches hold is added where it was taken from."""
    launch(specialised.images().fold, images.size, patches, *_patches(g), images)


def pull(signal: Floats, matrices: Sequence[Floats], g: np.ndarray, images: Floats, chips: int) -> None:
    """Signals at lines, (rows P, n), through each chip's `matrices`, folded."""
    patches = xp.empty((len(signal), matrices[-1].shape[1]), np.float32)
    ops.product(signal, matrices, patches, chips, False)
    fold(patches, g, images)


def pool(values: Floats, units: int, g: np.ndarray, out: Floats) -> None:
    """The largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    pick(values, values, units, g, out)


def pick(change: Floats, values: Floats, units: int, g: np.ndarray, out: Floats) -> None:
    """The derivative of `pool` at these values along a change: (rows, P units) to (rows, P' units)."""
    launch(specialised.images().pick, out.size, change, values, *_windows(units, g), out)


def unpool(signal: Floats, values: Floats, units: int, g: np.ndarray, out: Floats) -> None:
    """The transpose of `pool` at these values: (rows, P' units) to (rows, P units)."""
    launch(specialised.images().unpool, out.size, signal, values, *_windows(units, g), out)


def _patches(g: np.ndarray) -> list[int]:
    """What kernels need to know of patches."""
    return [*_through(g, KERNEL, MARGIN_X), *_of(g, HEIGHT, WIDTH, CHANNELS, GRID_HEIGHT, GRID_WIDTH)]


def _windows(units: int, g: np.ndarray) -> list[int]:
    """What kernels need to know of pooling."""
    return [units, *_of(g, GRID_WIDTH), *_through(g, POOL, POOL_STRIDE_X), *_of(g, POOLED_HEIGHT, POOLED_WIDTH)]


def _of(g: np.ndarray, *columns: int) -> list[int]:
    return [int(g[column]) for column in columns]


def _through(g: np.ndarray, first: int, last: int) -> list[int]:
    """Columns that follow each other."""
    return [int(number) for number in g[first : last + 1]]
