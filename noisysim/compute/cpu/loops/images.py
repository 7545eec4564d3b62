"""Loops over images, channel last: patches of them, and maxima of windows. `g` is a row of the table `geometry`."""

import numpy as np

from noisysim.compute.jit.compiling import loop
from noisysim.compute.layout import (  # fmt: skip
    CHANNELS,
    GRID_HEIGHT,
    GRID_WIDTH,
    HEIGHT,
    KERNEL,
    MARGIN,
    POOL,
    POOL_STRIDE,
    POOLED_HEIGHT,
    POOLED_WIDTH,
    STRIDE,
    WIDTH,
)


@loop()
def channels_last(images, channels, out):
    """(rows, channels pixels), channel by channel, to (rows, pixels channels)."""
    pixels = images.shape[1] // channels
    for r in range(images.shape[0]):
        for c in range(channels):
            for k in range(pixels):
                out[r, k * channels + c] = images[r, c * pixels + k]


@loop()
def inside(left, g):
    """The part of a patch's row that is in the image, in values; `left` is the patch's first column."""
    return max(0, -left) * g[CHANNELS], max(0, min(g[KERNEL], g[WIDTH] - left)) * g[CHANNELS]


@loop()
def unfold(images, g, patches):
    """The patch at every position: images (rows, values) to patches (rows P, K), K in the order (y, x, channel)."""
    stride, line, run = g[STRIDE], g[WIDTH] * g[CHANNELS], g[KERNEL] * g[CHANNELS]
    for r in range(images.shape[0]):
        for row in range(g[GRID_HEIGHT]):
            for k in range(g[KERNEL]):
                y, at = row * stride - g[MARGIN] + k, (r * g[GRID_HEIGHT] + row) * g[GRID_WIDTH]
                for column in range(g[GRID_WIDTH]):
                    left = column * stride - g[MARGIN]
                    part = patches[at + column, k * run : (k + 1) * run]
                    begin, end = inside(left, g)
                    if not 0 <= y < g[HEIGHT]:
                        part[:] = np.float32(0.0)
                        continue
                    if end - begin < run:
                        part[:] = np.float32(0.0)
                    some = part[begin:end]
                    source = images[r, y * line + left * g[CHANNELS] + begin : y * line + left * g[CHANNELS] + end]
                    for j in range(some.size):
                        some[j] = source[j]


@loop()
def fold(patches, g, images):
    """The transpose of `unfold`: what patches hold is added where it was taken from."""
    stride, line, run = g[STRIDE], g[WIDTH] * g[CHANNELS], g[KERNEL] * g[CHANNELS]
    images[:] = np.float32(0.0)
    for r in range(images.shape[0]):
        for row in range(g[GRID_HEIGHT]):
            for k in range(g[KERNEL]):
                y, at = row * stride - g[MARGIN] + k, (r * g[GRID_HEIGHT] + row) * g[GRID_WIDTH]
                if not 0 <= y < g[HEIGHT]:
                    continue
                for column in range(g[GRID_WIDTH]):
                    left = column * stride - g[MARGIN]
                    begin, end = inside(left, g)
                    some = patches[at + column, k * run + begin : k * run + end]
                    target = images[r, y * line + left * g[CHANNELS] + begin : y * line + left * g[CHANNELS] + end]
                    for j in range(some.size):
                        target[j] += some[j]


@loop()
def pool(values, units, g, out):
    """The largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    size, stride, width = g[POOL], g[POOL_STRIDE], g[GRID_WIDTH]
    for r in range(values.shape[0]):
        row, best, at = values[r], out[r], 0
        for top in range(0, g[POOLED_HEIGHT] * stride, stride):
            for left in range(0, g[POOLED_WIDTH] * stride, stride):
                for y in range(top, top + size):
                    for x in range(left, left + size):
                        here = (y * width + x) * units
                        if y == top and x == left:
                            for c in range(units):
                                best[at + c] = row[here + c]
                        else:
                            for c in range(units):
                                best[at + c] = max(best[at + c], row[here + c])
                at += units


@loop()
def largest_at(row, top, left, c, units, g):
    """Where a window's largest value of one unit is; of equal ones the first."""
    width, found = g[GRID_WIDTH], (top * g[GRID_WIDTH] + left) * units + c
    for y in range(top, top + g[POOL]):
        for x in range(left, left + g[POOL]):
            here = (y * width + x) * units + c
            if row[here] > row[found]:
                found = here
    return found


@loop()
def unpool(signal, values, units, g, out):
    """The transpose of `pool` at these values: (rows, P' units) to (rows, P units)."""
    stride = g[POOL_STRIDE]
    out[:] = np.float32(0.0)
    for r in range(values.shape[0]):
        at = 0
        for top in range(0, g[POOLED_HEIGHT] * stride, stride):
            for left in range(0, g[POOLED_WIDTH] * stride, stride):
                for c in range(units):
                    out[r, largest_at(values[r], top, left, c, units, g)] += signal[r, at + c]
                at += units


@loop()
def pick(change, values, units, g, out):
    """The derivative of `pool` at these values along a change: (rows, P units) to (rows, P' units)."""
    stride = g[POOL_STRIDE]
    for r in range(values.shape[0]):
        at = 0
        for top in range(0, g[POOLED_HEIGHT] * stride, stride):
            for left in range(0, g[POOLED_WIDTH] * stride, stride):
                for c in range(units):
                    out[r, at + c] = change[r, largest_at(values[r], top, left, c, units, g)]
                at += units
