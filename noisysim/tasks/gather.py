"""The loops that copy rows of a split into a batch, standardised on the way.

They read the data in their own type: no temporary array is as large as a batch of float64.
"""

from __future__ import annotations

from numba import njit
from numpy import float32


@njit(cache=True, nogil=True, error_model="numpy")
def first_outside(rows, n):
    """Position of the first row outside ``-n .. n - 1``, or -1."""
    for b in range(rows.shape[0]):
        if rows[b] < -n or rows[b] >= n:
            return b
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def standardised(source, rows, affine, out):
    """``out[b] = (source[rows[b]] - affine[0]) * affine[1]`` in float32."""
    shift, scale = affine[0], affine[1]
    for b in range(rows.shape[0]):
        row = source[rows[b]]
        filled = out[b]
        for j in range(filled.shape[0]):
            filled[j] = (float32(row[j]) - shift[j]) * scale[j]


@njit(cache=True, nogil=True, error_model="numpy")
def with_labels(source, labels, rows, affine, inputs, targets):
    """Standardised inputs and one-hot targets; returns the position of a row out of range, or -1."""
    outside = first_outside(rows, source.shape[0])
    if outside < 0:
        standardised(source, rows, affine, inputs)
        for b in range(rows.shape[0]):
            for k in range(targets.shape[1]):
                targets[b, k] = float32(0)
            targets[b, labels[rows[b]]] = float32(1)
    return outside


@njit(cache=True, nogil=True, error_model="numpy")
def with_values(source, values, rows, affine, target_affine, inputs, targets):
    """Standardised inputs and values; returns the position of a row out of range, or -1."""
    outside = first_outside(rows, source.shape[0])
    if outside < 0:
        standardised(source, rows, affine, inputs)
        standardised(values, rows, target_affine, targets)
    return outside
