"""Loops over images, channel last, as in `cpu.loops.images`: a thread gathers what one value is made of."""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.target import device, kernel


@kernel
def channels_last(images, channels, out):
    """(rows, channels pixels), channel by channel, to (rows, pixels channels)."""
    rows, values = images.shape
    pixels = values // channels
    for k in range(cuda.grid(1), rows * values, cuda.gridsize(1)):
        r, v = k // values, k % values
        out[r, v] = images[r, v % channels * pixels + v // channels]


@device
def covering(at, size, stride, count):
    """The windows that hold a place, of `count` along one axis: the first, and behind the last."""
    return max(0, (at - size) // stride + 1), min(count, at // stride + 1)


@kernel
def unfold(images, kernel, stride, margin, height, line, channels, grid_height, grid_width, patches):
    """The patch at every position: images (rows, values) to patches (rows P, K), K in the order (y, x, channel)."""
    run = kernel * channels
    positions, width = grid_height * grid_width, kernel * run
    for k in range(cuda.grid(1), images.shape[0] * positions * width, cuda.gridsize(1)):
        at, j = k // width, k % width
        r, p = at // positions, at % positions
        y = p // grid_width * stride - margin + j // run
        x = (p % grid_width * stride - margin) * channels + j % run  # in values
        inside = 0 <= y < height and 0 <= x < line
        patches[at, j] = images[r, y * line + x] if inside else np.float32(0.0)


@kernel
def fold(patches, kernel, stride, margin, height, line, channels, grid_height, grid_width, images):
    """The transpose of `unfold`: each value is the sum over the patches that hold it, position by position."""
    run, values = kernel * channels, height * line
    for k in range(cuda.grid(1), images.shape[0] * values, cuda.gridsize(1)):
        r, v = k // values, k % values
        y, x, c = v // line + margin, v % line // channels + margin, v % channels
        top, bottom = covering(y, kernel, stride, grid_height)
        left, right = covering(x, kernel, stride, grid_width)
        total = np.float32(0.0)
        for row in range(top, bottom):
            at, j = (r * grid_height + row) * grid_width, (y - row * stride) * run + c
            for column in range(left, right):
                total += patches[at + column, j + (x - column * stride) * channels]
        images[r, v] = total


@device
def largest_at(values, r, top, left, c, units, width, size):
    """Where a window's largest value of one unit is; of equal ones the first."""
    found = (top * width + left) * units + c
    best = values[r, found]
    for y in range(top, top + size):
        for x in range(left, left + size):
            here = (y * width + x) * units + c
            if values[r, here] > best:
                found, best = here, values[r, here]
    return found


@kernel
def pick(change, values, units, width, size, stride, pooled_height, pooled_width, out):
    """`change` at the largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    given = pooled_height * pooled_width * units
    for k in range(cuda.grid(1), values.shape[0] * given, cuda.gridsize(1)):
        r, p, c = k // given, k % given // units, k % units
        top, left = p // pooled_width * stride, p % pooled_width * stride
        out[r, k % given] = change[r, largest_at(values, r, top, left, c, units, width, size)]


@kernel
def unpool(signal, values, units, width, size, stride, pooled_height, pooled_width, out):
    """The transpose of `pick`: each value is the sum over the windows whose largest it is, window by window."""
    given = out.shape[1]
    for k in range(cuda.grid(1), out.shape[0] * given, cuda.gridsize(1)):
        r, v = k // given, k % given
        y, x, c = v // units // width, v // units % width, v % units
        top, bottom = covering(y, size, stride, pooled_height)
        left, right = covering(x, size, stride, pooled_width)
        total = np.float32(0.0)
        for row in range(top, bottom):
            for column in range(left, right):
                if largest_at(values, r, row * stride, column * stride, c, units, width, size) == v:
                    total += signal[r, (row * pooled_width + column) * units + c]
        out[r, v] = total
