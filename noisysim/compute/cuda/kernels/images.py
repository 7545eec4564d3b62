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
def unfold(
    images,
    kernel,
    kernel_x,
    stride,
    stride_x,
    dilation,
    dilation_x,
    margin,
    margin_x,
    height,
    width,
    channels,
    grid_height,
    grid_width,
    patches,
):
    """The patch at every position: images (rows, values) to patches (rows P, K), K in the order (y, x, channel)."""
    run = kernel_x * channels
    positions, values = grid_height * grid_width, kernel * run
    for k in range(cuda.grid(1), images.shape[0] * positions * values, cuda.gridsize(1)):
        at, j = k // values, k % values
        r, p = at // positions, at % positions
        y = p // grid_width * stride - margin + j // run * dilation
        x = p % grid_width * stride_x - margin_x + j % run // channels * dilation_x
        inside = 0 <= y < height and 0 <= x < width
        patches[at, j] = images[r, (y * width + x) * channels + j % channels] if inside else np.float32(0.0)


@kernel
def fold(
    patches,
    kernel,
    kernel_x,
    stride,
    stride_x,
    dilation,
    dilation_x,
    margin,
    margin_x,
    height,
    width,
    channels,
    grid_height,
    grid_width,
    images,
):
    """The transpose of `unfold`: each value is the sum over the patches that hold it, position by position."""
    values = height * width * channels
    for k in range(cuda.grid(1), images.shape[0] * values, cuda.gridsize(1)):
        r, v = k // values, k % values
        y, x, c = v // channels // width + margin, v // channels % width + margin_x, v % channels
        total = np.float32(0.0)
        for i in range(kernel - 1, -1, -1):
            row = (y - i * dilation) // stride
            if (y - i * dilation) % stride != 0 or not 0 <= row < grid_height:
                continue
            for j in range(kernel_x - 1, -1, -1):
                column = (x - j * dilation_x) // stride_x
                if (x - j * dilation_x) % stride_x == 0 and 0 <= column < grid_width:
                    total += patches[(r * grid_height + row) * grid_width + column, (i * kernel_x + j) * channels + c]
        images[r, v] = total


@device
def largest_at(values, r, top, left, c, units, width, size, size_x):
    """Where a window's largest value of one unit is; of equal ones the first."""
    found = (top * width + left) * units + c
    best = values[r, found]
    for y in range(top, top + size):
        for x in range(left, left + size_x):
            here = (y * width + x) * units + c
            if values[r, here] > best:
                found, best = here, values[r, here]
    return found


@kernel
def pick(change, values, units, width, size, size_x, stride, stride_x, pooled_height, pooled_width, out):
    """`change` at the largest value of each window and unit: (rows, P units) to (rows, P' units)."""
    given = pooled_height * pooled_width * units
    for k in range(cuda.grid(1), values.shape[0] * given, cuda.gridsize(1)):
        r, p, c = k // given, k % given // units, k % units
        top, left = p // pooled_width * stride, p % pooled_width * stride_x
        out[r, k % given] = change[r, largest_at(values, r, top, left, c, units, width, size, size_x)]


@kernel
def unpool(signal, values, units, width, size, size_x, stride, stride_x, pooled_height, pooled_width, out):
    """The transpose of `pick`: each value is the sum over the windows whose largest it is, window by window."""
    given = out.shape[1]
    for k in range(cuda.grid(1), out.shape[0] * given, cuda.gridsize(1)):
        r, v = k // given, k % given
        y, x, c = v // units // width, v // units % width, v % units
        top, bottom = covering(y, size, stride, pooled_height)
        left, right = covering(x, size_x, stride_x, pooled_width)
        total = np.float32(0.0)
        for row in range(top, bottom):
            for column in range(left, right):
                place = largest_at(values, r, row * stride, column * stride_x, c, units, width, size, size_x)
                if place == v:
                    total += signal[r, (row * pooled_width + column) * units + c]
        out[r, v] = total
