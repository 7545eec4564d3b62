"""The loops over data sets: rows of a split are copied into a batch, standardised on the way.

They read the data in their own type: no temporary array is as large as a batch of float64.
"""

from numpy import float32, uint32

from noisysim.compute.jit.compiling import loop


@loop()
def first_outside(rows, n):
    """Position of the first row outside ``-n .. n - 1``, or -1."""
    for b in range(rows.shape[0]):
        if rows[b] < -n or rows[b] >= n:
            return b
    return -1


@loop()
def standardised(source, rows, affine, out):
    """``out[b] = (source[rows[b]] - affine[0]) * affine[1]`` in float32."""
    shift, scale = affine[0], affine[1]
    for b in range(rows.shape[0]):
        row = source[rows[b]]
        filled = out[b]
        for j in range(filled.shape[0]):
            filled[j] = (float32(row[j]) - shift[j]) * scale[j]


@loop()
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


@loop()
def with_values(source, values, rows, affine, target_affine, inputs, targets):
    """Standardised inputs and values; returns the position of a row out of range, or -1."""
    outside = first_outside(rows, source.shape[0])
    if outside < 0:
        standardised(source, rows, affine, inputs)
        standardised(values, rows, target_affine, targets)
    return outside


@loop()
def add_bytes(values, total, squares):
    """Add the rows of `values`, uint8, to `total`, and their squares to `squares`."""
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(row.shape[0]):
            value = uint32(row[j])
            total[j] += value
            squares[j] += value * value
