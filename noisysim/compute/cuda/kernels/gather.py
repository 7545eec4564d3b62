"""Loops that copy rows of a split into a batch, as `cpu.loops.gather`: of each of several chips the same."""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.draws import unit_normal
from noisysim.compute.cuda.kernels.target import kernel


@kernel
def standardised(source, rows, affine, chips, out):
    """``out[m n + b] = (source[rows[b]] - affine[0]) * affine[1]`` in float32, for each chip m."""
    n, width = rows.shape[0], out.shape[1]
    for k in range(cuda.grid(1), n * width, cuda.gridsize(1)):
        b, j = k // width, k % width
        value = (np.float32(source[rows[b], j]) - affine[0, j]) * affine[1, j]
        for m in range(chips):
            out[m * n + b, j] = value


@kernel
def one_hot(labels, rows, chips, out):
    """``out[m n + b]`` is 1 at ``labels[rows[b]]`` and else 0, for each chip m."""
    n, width = rows.shape[0], out.shape[1]
    for k in range(cuda.grid(1), n * width, cuda.gridsize(1)):
        b, j = k // width, k % width
        value = np.float32(1.0) if labels[rows[b]] == j else np.float32(0.0)
        for m in range(chips):
            out[m * n + b, j] = value


@kernel
def add_noise(inputs, rows, chips, std, epoch, keys):
    """Add N(0, std^2) to inputs: the draws of sample rows[b] and pass `epoch`, the same for each chip."""
    n, width = rows.shape[0], inputs.shape[1]
    for k in range(cuda.grid(1), n * width, cuda.gridsize(1)):
        b, j = k // width, k % width
        drawn = std * unit_normal(j, width, rows[b], epoch, np.uint32(0), keys, 0)
        for m in range(chips):
            inputs[m * n + b, j] += drawn
