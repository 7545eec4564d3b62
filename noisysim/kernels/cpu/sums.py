"""Loops of the learners' algebra, the optimizers and the decorrelation: sums and products over flat buffers."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def pack(packed, factors, activities, baseline, share, first, fresh):
    """packed (+)= share factor (activities - baseline)[b, first:first + width]; `baseline` may be empty.

    Rows that share a factor follow each other.
    """
    rows, width = packed.shape
    shared = rows // factors.size
    for b in range(rows):
        factor = np.float32(share * factors[b // shared])
        row, source = packed[b], activities[b, first : first + width]
        if baseline.size > 0:
            rest = baseline[b, first : first + width]
            if fresh:
                for i in range(width):
                    row[i] = factor * (source[i] - rest[i])
            else:
                for i in range(width):
                    row[i] += factor * (source[i] - rest[i])
        elif fresh:
            for i in range(width):
                row[i] = factor * source[i]
        else:
            for i in range(width):
                row[i] += factor * source[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def outer_packed(packed, inputs, out):
    """out = packed^T inputs; a few samples as sums of rank-one terms."""
    if packed.shape[0] > 4:
        np.dot(packed.T, inputs, out)
        return
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = packed[0, i] * inputs[0, j]
        for b in range(1, packed.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += packed[b, i] * inputs[b, j]


@njit(cache=True, nogil=True, error_model="numpy")
def outer_layers(factors, activities, baseline, inputs, out, n_ins, n_outs, positions, batch):
    """The mean outer product of every layer for one term; factors are (1 or layers, batch)."""
    a, b, c = 0, 0, 0
    share = 1.0 / batch
    nothing = baseline[:0].reshape((0, 0))
    for layer in range(n_ins.size):
        n_in, n_out, rows = n_ins[layer], n_outs[layer], batch * positions[layer]
        packed = np.empty((rows, n_out), np.float32)
        source = activities[a : a + rows * n_out].reshape((rows, n_out))
        rest = baseline[a : a + rows * n_out].reshape((rows, n_out)) if baseline.size > 0 else nothing
        pack(packed, factors[layer if factors.shape[0] > 1 else 0], source, rest, share, 0, True)
        x = inputs[b : b + rows * n_in].reshape((rows, n_in))
        outer_packed(packed, x, out[c : c + n_in * n_out].reshape((n_out, n_in)))
        a += rows * n_out
        b += rows * n_in
        c += n_in * n_out


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def squared_distances(activities, baseline, widths, first, last):
    """sum over all layers of |activities - baseline|^2, one value a sample, (last - first,) float64.

    `widths` are the values that a sample has in each layer.
    """
    batch = activities.size // widths.sum()
    out = np.zeros(last - first)
    at = 0
    for width in widths:
        for r in range(first, last):
            total = np.float32(0.0)
            here = at + r * width
            for j in range(width):
                difference = activities[here + j] - baseline[here + j]
                total += difference * difference
            out[r - first] += total
        at += batch * width
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def moments(values):
    """Mean and variance of each column of (rows, units), (2, units) float64."""
    rows, units = values.shape
    out = np.zeros((2, units))
    for r in range(rows):
        for j in range(units):
            out[0, j] += values[r, j]
    out[0] /= rows
    for r in range(rows):
        for j in range(units):
            difference = values[r, j] - out[0, j]
            out[1, j] += difference * difference
    out[1] /= rows
    return out


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def decorrelate_few(rotations, inputs, units, columns, batch, rate):
    """R -= rate (<x x^T> - diag<x^2>) R, all layers, by rank-one updates: for batches of a few samples.

    `units` are those that R turns, `columns` those of the inputs (one more where there is a bias).
    """
    r_at, x_at = 0, 0
    share = np.float32(rate / batch)
    for layer in range(units.size):
        n, width = units[layer], columns[layer]
        rotation = rotations[r_at : r_at + n * n].reshape((n, n))
        x = inputs[x_at : x_at + batch * width].reshape((batch, width))
        turned = np.zeros((batch, n), np.float32)
        for b in range(batch):
            for i in range(n):
                for j in range(n):
                    turned[b, j] += x[b, i] * rotation[i, j]
        for i in range(n):
            own = np.float32(0.0)
            for b in range(batch):
                own += x[b, i] * x[b, i]
            for j in range(n):
                rotation[i, j] += share * own * rotation[i, j]
            for b in range(batch):
                factor = share * x[b, i]
                for j in range(n):
                    rotation[i, j] -= factor * turned[b, j]
        r_at += n * n
        x_at += batch * width


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def adam(gradient, first, second, rate, beta1, beta2, epsilon, correction1, correction2):
    """Adam's moments, in place, and in the gradient's place the change asked for (Kingma & Ba 2015, Algorithm 1)."""
    for i in range(gradient.size):
        g = gradient[i]
        m = beta1 * first[i] + (np.float32(1.0) - beta1) * g
        v = beta2 * second[i] + (np.float32(1.0) - beta2) * g * g
        first[i] = m
        second[i] = v
        gradient[i] = -rate * (m * correction1) / (np.sqrt(v * correction2) + epsilon)


@njit(cache=True, nogil=True, error_model="numpy")
def passed_share(activities, baseline):
    """Share of the values that differ between two passes."""
    count = 0
    for i in range(activities.size):
        count += int(activities[i] != baseline[i])
    return count / max(activities.size, 1)
