"""Loops over images, channel last: patches of them, and maxima of windows. `g` is a row of the table `geometry`."""

import numpy as np

from noisysim.compute.jit.compiling import loop
from noisysim.compute.layout import (  # fmt: skip
    CHANNELS,
    DILATION,
    DILATION_X,
    GRID_HEIGHT,
    GRID_WIDTH,
    HEIGHT,
    KERNEL,
    KERNEL_X,
    MARGIN,
    MARGIN_X,
    POOL,
    POOL_STRIDE,
    POOL_STRIDE_X,
    POOL_X,
    POOLED_HEIGHT,
    POOLED_WIDTH,
    STRIDE,
    STRIDE_X,
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
    """The part of a patch's row that is in the image, in values; `left` is the patch's first column.

    Of patches whose pixels are neighbours.
    """
    return max(0, -left) * g[CHANNELS], max(0, min(g[KERNEL_X], g[WIDTH] - left)) * g[CHANNELS]


@loop()
def unfold(images, g, patches):
    """The patch at every position: images (rows, values) to patches (rows P, K), K in the order (y, x, channel)."""
    line, run = g[WIDTH] * g[CHANNELS], g[KERNEL_X] * g[CHANNELS]
    for r in range(images.shape[0]):
        for row in range(g[GRID_HEIGHT]):
            for k in range(g[KERNEL]):
                y = row * g[STRIDE] - g[MARGIN] + k * g[DILATION]
                at = (r * g[GRID_HEIGHT] + row) * g[GRID_WIDTH]
                for column in range(g[GRID_WIDTH]):
                    left = column * g[STRIDE_X] - g[MARGIN_X]
                    part = patches[at + column, k * run : (k + 1) * run]
                    if not 0 <= y < g[HEIGHT]:
                        part[:] = np.float32(0.0)
                        continue
                    if g[DILATION_X] > 1:
                        spread(images[r], y * line, left, g, part)
                        continue
                    begin, end = inside(left, g)
                    if end - begin < run:
                        part[:] = np.float32(0.0)
                    some = part[begin:end]
                    source = images[r, y * line + left * g[CHANNELS] + begin : y * line + left * g[CHANNELS] + end]
                    for j in range(some.size):
                        some[j] = source[j]


@loop()
def spread(image, line_at, left, g, part):
    """A patch's row whose pixels lie apart."""
    channels = g[CHANNELS]
    for i in range(g[KERNEL_X]):
        x = left + i * g[DILATION_X]
        if 0 <= x < g[WIDTH]:
            for c in range(channels):
                part[i * channels + c] = image[line_at + x * channels + c]
        else:
            part[i * channels : (i + 1) * channels] = np.float32(0.0)


@loop()
def fold(patches, g, images):
    """The transpose of `unfold`: what patches hold is added where it was taken from."""
    line, channels = g[WIDTH] * g[CHANNELS], g[CHANNELS]
    images[:] = np.float32(0.0)
    for r in range(images.shape[0]):
        for row in range(g[GRID_HEIGHT]):
            for k in range(g[KERNEL]):
                y = row * g[STRIDE] - g[MARGIN] + k * g[DILATION]
                at = (r * g[GRID_HEIGHT] + row) * g[GRID_WIDTH]
                if not 0 <= y < g[HEIGHT]:
                    continue
                for column in range(g[GRID_WIDTH]):
                    left = column * g[STRIDE_X] - g[MARGIN_X]
                    for i in range(g[KERNEL_X]):
                        x = left + i * g[DILATION_X]
                        if 0 <= x < g[WIDTH]:
                            some = patches[at + column, (k * g[KERNEL_X] + i) * channels :]
                            target = images[r, y * line + x * channels : y * line + (x + 1) * channels]
                            for c in range(channels):
                                target[c] += some[c]


@loop()
def pool(values, units, g, out):
    """The largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    width = g[GRID_WIDTH]
    for r in range(values.shape[0]):
        row, best, at = values[r], out[r], 0
        for top in range(0, g[POOLED_HEIGHT] * g[POOL_STRIDE], g[POOL_STRIDE]):
            for left in range(0, g[POOLED_WIDTH] * g[POOL_STRIDE_X], g[POOL_STRIDE_X]):
                for y in range(top, top + g[POOL]):
                    for x in range(left, left + g[POOL_X]):
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
        for x in range(left, left + g[POOL_X]):
            here = (y * width + x) * units + c
            if row[here] > row[found]:
                found = here
    return found


@loop()
def unpool(signal, values, units, g, out):
    """The transpose of `pool` at these values: (rows, P' units) to (rows, P units)."""
    out[:] = np.float32(0.0)
    for r in range(values.shape[0]):
        at = 0
        for top in range(0, g[POOLED_HEIGHT] * g[POOL_STRIDE], g[POOL_STRIDE]):
            for left in range(0, g[POOLED_WIDTH] * g[POOL_STRIDE_X], g[POOL_STRIDE_X]):
                for c in range(units):
                    out[r, largest_at(values[r], top, left, c, units, g)] += signal[r, at + c]
                at += units


@loop()
def pick(change, values, units, g, out):
    """The derivative of `pool` at these values along a change: (rows, P units) to (rows, P' units)."""
    for r in range(values.shape[0]):
        at = 0
        for top in range(0, g[POOLED_HEIGHT] * g[POOL_STRIDE], g[POOL_STRIDE]):
            for left in range(0, g[POOLED_WIDTH] * g[POOL_STRIDE_X], g[POOL_STRIDE_X]):
                for c in range(units):
                    out[r, at + c] = change[r, largest_at(values[r], top, left, c, units, g)]
                at += units
