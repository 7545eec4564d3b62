"""Rows of numbers: parts of flat buffers, and what is done to them element by element."""

import numpy as np

from noisysim.compute.jit.compiling import inner


@inner()
def largest(row):
    """max |v| of a float32 row; compared as integers, which vectorises and lets NaN win."""
    top = np.int32(0)
    for j in range(row.size):
        top = max(top, np.int32(np.float32(row[j]).view(np.int32) & np.int32(0x7FFFFFFF)))
    return np.int32(top).view(np.float32)


@inner()
def multiply(x, weights, out):
    """out = x weights^T: one BLAS call; a single row is a matrix-vector product."""
    if x.shape[0] == 1:
        np.dot(weights, x[0], out[0])
    else:
        np.dot(x, weights.T, out)


@inner()
def view(flat, start, columns, first, last):
    """Rows first..last - 1 of the array that starts at `start` and has `columns`."""
    return flat[start + first * columns : start + last * columns].reshape((last - first, columns))


# NumPy's own statements for these carry the text of their errors along, which takes seconds to compile
@inner()
def copy(source, target):
    """target = source, both (rows, columns)."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[i, j]


@inner()
def add(more, target):
    """target += more."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] += more[i, j]


@inner()
def scale_each(factors, target):
    """target *= factors."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] *= factors[i, j]


@inner()
def place(at, size, stack):
    """Where a chip's part of a layer or a tile starts, which starts at `at` where a chip is alone.

    What belongs to it of all chips is contiguous, chip after chip; `stack` is the number of the chip, and how many
    there are.
    """
    return stack[1] * at + stack[0] * size
