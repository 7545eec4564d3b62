"""Rows of numbers: parts of flat buffers, and what is done to them element by element."""

import numpy as np

from noisysim.compute.jit.compiling import bare, loop
from noisysim.compute.jit.products import add_product, product_of_vector
from noisysim.compute.jit.views import view

ZERO, ONE = np.float32(0.0), np.float32(1.0)
SIDE = 8
"""Of the squares in which a matrix is transposed."""


@bare()
def largest(row):
    """max |v| of a float32 row; compared as integers, which vectorises and lets NaN win."""
    top = np.int32(0)
    for j in range(row.size):
        bits = np.int32(np.float32(row[j]).view(np.int32) & np.int32(0x7FFFFFFF))
        top = bits if bits > top else top
    return np.int32(top).view(np.float32)


@bare()
def turn(source, target, square):
    """target = source^T, by way of `square`, (8, 8), and what is left of both sides directly.

    A square is read and written along its rows alone, which takes two thirds of the time of larger blocks.
    """
    rows, columns = target.shape
    whole, wide = rows - rows % SIDE, columns - columns % SIDE
    for left in range(0, wide, SIDE):
        for top in range(0, whole, SIDE):
            for j in range(SIDE):
                for i in range(SIDE):
                    square[i, j] = source[left + j, top + i]
            for i in range(SIDE):
                for j in range(SIDE):
                    target[top + i, left + j] = square[i, j]
    for i in range(rows):
        for j in range(wide if i < whole else 0, columns):
            target[i, j] = source[j, i]


@bare()
def multiply(x, weights, out, room):
    """out = x weights^T: one BLAS call; `room`, flat, takes the values of `out` and a square of `turn`.

    BLAS copies weights that are to be transposed at each call, which is a third of the time of a product of 32 rows.
    So a product of few rows is formed as weights x^T, where it copies x, and turned: that costs less where there are
    fewer rows than half as many as inputs. A single row is a matrix-vector product.
    """
    rows, columns = x.shape[0], weights.shape[0]
    if rows == 1:
        product_of_vector(weights, False, x[0], out[0])
    elif 4 * rows <= weights.shape[1] and rows <= columns:
        turned = view(room, 0, rows, columns)
        add_product(weights, x, False, True, ONE, ZERO, turned)
        turn(turned, out, view(room, rows * columns, SIDE, SIDE))
    else:
        add_product(x, weights, False, True, ONE, ZERO, out)


# NumPy's own statements for these carry the text of their errors along, which takes seconds to compile
@bare()
def copy(source, target):
    """target = source, both (rows, columns)."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[i, j]


@bare()
def add(more, target):
    """target += more."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] += more[i, j]


@bare()
def place(at, size, stack):
    """Where a chip's part of a layer or a tile starts, which starts at `at` where a chip is alone.

    What belongs to it of all chips is contiguous, chip after chip; `stack` is the number of the chip, and how many
    there are.
    """
    return stack[1] * at + stack[0] * size


@loop()
def normalise(values, norm, out):
    """out = (values - shift) scale, unit by unit; `norm` are shift and scale, (2, units)."""
    for r in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[r, j] = (values[r, j] - norm[0, j]) * norm[1, j]
