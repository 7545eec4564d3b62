"""The loops over data sets: rows of a split are copied into a batch, standardised on the way.

They read the data in their own type: no temporary array is as large as a batch of float64.
"""

from numpy import float32, uint32, uint64

from noisysim.compute.cpu.loops.draws import philox
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
def augmented(source, rows, affine, black, height, width, shift, mirror, epoch, k0, k1, out):
    """Rows as in `standardised`, of images that are shifted, by zeros beyond the border, and perhaps mirrored.

    `black` is what zeros are once standardised. An image's three draws, the same of all its channels, are the words of
    the counter (row, epoch).
    """
    means, scale = affine[0], affine[1]
    choices = uint64(2 * shift + 1)
    for b in range(rows.shape[0]):
        pixels, filled = source[rows[b]], out[b]
        r0, r1, r2, _ = philox(uint32(rows[b]), uint32(epoch), uint32(0), uint32(0), k0, k1)
        # the upper half of a product of 32-bit words: uniform over the choices to one part in 2^24
        down = int((uint64(r0) * choices) >> uint64(32)) - shift
        right = int((uint64(r1) * choices) >> uint64(32)) - shift
        turned = mirror and (r2 & uint32(1)) == uint32(1)
        j = 0
        for first in range(0, filled.shape[0], height * width):
            for y in range(-down, height - down):
                for k in range(width):
                    x = (width - 1 - k if turned else k) - right
                    if 0 <= y < height and 0 <= x < width:
                        filled[j] = (float32(pixels[first + y * width + x]) - means[j]) * scale[j]
                    else:
                        filled[j] = black[j]
                    j += 1


@loop()
def add_bytes(values, total, squares):
    """Add the rows of `values`, uint8, to `total`, and their squares to `squares`."""
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(row.shape[0]):
            value = uint32(row[j])
            total[j] += value
            squares[j] += value * value
