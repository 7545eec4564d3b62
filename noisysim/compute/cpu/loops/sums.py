"""Loops of the learners' algebra, the optimizers, the decorrelation and the losses: sums and products."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.types import float32, float64

from noisysim.compute.cpu.loops.rows import largest
from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.compiling import loop
from noisysim.compute.jit.views import part


@loop()
def all_finite(values):
    """Whether no float32 value is NaN or infinite."""
    return largest(values) < np.inf


@loop(fastmath={"contract"})
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


@loop(fastmath={"contract"}, _nrt=True)
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


@loop(_nrt=True)
def outer_layers(factors, activities, baseline, inputs, out, n_ins, n_outs, positions, batch, chips, first, last):
    """The mean outer product of every layer for one term, of the chips first..last; factors are (1 or layers, samples).

    A chip has `batch` samples.
    """
    a, b, c = 0, 0, 0
    share = 1.0 / batch
    nothing = baseline[:0].reshape((0, 0))
    for layer in range(n_ins.size):
        n_in, n_out, rows = n_ins[layer], n_outs[layer], batch * positions[layer]
        own = factors[layer if factors.shape[0] > 1 else 0]
        packed = np.empty((rows, n_out), np.float32)
        for m in range(first, last):
            at = a + m * rows * n_out
            source = activities[at : at + rows * n_out].reshape((rows, n_out))
            rest = baseline[at : at + rows * n_out].reshape((rows, n_out)) if baseline.size > 0 else nothing
            pack(packed, own[m * batch : (m + 1) * batch], source, rest, share, 0, True)
            at = b + m * rows * n_in
            x = inputs[at : at + rows * n_in].reshape((rows, n_in))
            at = c + m * n_out * n_in
            outer_packed(packed, x, out[at : at + n_in * n_out].reshape((n_out, n_in)))
        a += chips * rows * n_out
        b += chips * rows * n_in
        c += chips * n_in * n_out


@loop(fastmath={"contract", "reassoc", "nsz"})
def squared_distances(activities, baseline, widths, first, last, out):
    """out[r] = sum over all layers of |activities - baseline|^2 of the samples first..last; `baseline` may be empty.

    `widths` are the values that a sample has in each layer.
    """
    whole, at = 0, 0
    for layer in range(widths.size):
        whole += widths[layer]
    batch = activities.size // whole
    for r in range(first, last):
        out[r] = 0.0
    for layer in range(widths.size):
        width = widths[layer]
        for r in range(first, last):
            total, here = np.float32(0.0), at + r * width
            if baseline.size > 0:
                for j in range(width):
                    difference = activities[here + j] - baseline[here + j]
                    total += difference * difference
            else:
                for j in range(width):
                    total += activities[here + j] * activities[here + j]
            out[r] += total
        at += batch * width


@loop(fastmath={"contract"}, _nrt=True)
def few_columns(rotation, x, share, first, last):
    """R -= share (sum_b x_b x_b^T - diag(x_b^2)) R for the columns first..last, by rank-one updates: for a few rows x.

    Four rows of R, and four of x, are taken at once: a sum is then fetched and stored once in four terms.
    """
    batch, n = x.shape[0], rotation.shape[0]
    turned = np.zeros((batch, last - first), np.float32)
    for i in range(0, n - 3, 4):
        r0, r1 = rotation[i, first:last], rotation[i + 1, first:last]
        r2, r3 = rotation[i + 2, first:last], rotation[i + 3, first:last]
        for b in range(batch):
            row, x0, x1, x2, x3 = turned[b], x[b, i], x[b, i + 1], x[b, i + 2], x[b, i + 3]
            for j in range(row.size):
                row[j] += (x0 * r0[j] + x1 * r1[j]) + (x2 * r2[j] + x3 * r3[j])
    for i in range(n - n % 4, n):
        r0 = rotation[i, first:last]
        for b in range(batch):
            row, x0 = turned[b], x[b, i]
            for j in range(row.size):
                row[j] += x0 * r0[j]
    for i in range(n):
        row, own = rotation[i, first:last], np.float32(0.0)
        for b in range(batch):
            own += x[b, i] * x[b, i]
        own, rest = np.float32(1.0) + share * own, batch % 4
        if rest > 0:
            t0, x0 = turned[0], share * x[0, i]
            for j in range(row.size):
                row[j] = own * row[j] - x0 * t0[j]
        else:
            for j in range(row.size):
                row[j] *= own
        for b in range(1, rest):
            t0, x0 = turned[b], share * x[b, i]
            for j in range(row.size):
                row[j] -= x0 * t0[j]
        for b in range(rest, batch, 4):
            t0, t1, t2, t3 = turned[b], turned[b + 1], turned[b + 2], turned[b + 3]
            x0, x1, x2, x3 = share * x[b, i], share * x[b + 1, i], share * x[b + 2, i], share * x[b + 3, i]
            for j in range(row.size):
                row[j] -= (x0 * t0[j] + x1 * t1[j]) + (x2 * t2[j] + x3 * t3[j])


@loop()
def decorrelate_few(rotations, inputs, units, columns, batch, rate, chips, first, last):
    """R -= rate (<x x^T> - diag<x^2>) R, all layers of the chips first..last, by rank-one updates: for a few samples.

    `units` are those that R turns, `columns` those of the inputs (one more where there is a bias).
    """
    r_at, x_at = 0, 0
    share = np.float32(rate / batch)
    for layer in range(units.size):
        n, width = units[layer], columns[layer]
        for m in range(first, last):
            at = r_at + m * n * n
            rotation = rotations[at : at + n * n].reshape((n, n))
            at = x_at + m * batch * width
            few_columns(rotation, inputs[at : at + batch * width].reshape((batch, width)), share, 0, n)
        r_at += chips * n * n
        x_at += chips * batch * width


@loop(fastmath={"contract"})
def subtract(rotation, step, factor, squares, first):
    """R -= factor (step - diag(squares) R), for the columns from `first` on; `squares` may be empty."""
    for i in range(rotation.shape[0]):
        row, change = part(rotation[i], first, step.shape[1]), step[i]
        keep = np.float32(1.0) + factor * squares[i] if squares.size > 0 else np.float32(1.0)
        for j in range(row.size):
            row[j] = keep * row[j] - factor * change[j]


@loop()
def count_passed(activities, baseline, counts):
    """counts += how many of each chip's values, (chips, values), differ between two passes."""
    for m in range(counts.size):
        for i in range(activities.shape[1]):
            counts[m] += np.int64(activities[m, i] != baseline[m, i])


@loop()
def log_total(row):
    """log sum_k exp(y_k) of one sample's outputs."""
    top = np.float64(row[0])
    for k in range(1, row.size):
        value = np.float64(row[k])
        top = value if value > top else top
    total = 0.0
    for k in range(row.size):
        total += np.exp(row[k] - top)
    return np.log(total) + top


@loop()
def cross_entropy(output, targets, loss):
    """-sum_k t_k log softmax(y)_k, one value a sample."""
    for b in range(output.shape[0]):
        total, value = log_total(output[b]), 0.0
        for k in range(output.shape[1]):
            if targets[b, k] != 0:
                value += targets[b, k] * (total - output[b, k])
        loss[b] = value


@loop(_nrt=True)
def cross_entropy_error(output, targets):
    """softmax(y) - t, float32."""
    error = np.empty(output.shape, np.float32)
    for b in range(output.shape[0]):
        total = log_total(output[b])
        for k in range(output.shape[1]):
            error[b, k] = np.exp(output[b, k] - total) - targets[b, k]
    return error


@loop()
def squared_error(output, targets, loss):
    """1/2 sum_k (y_k - t_k)^2, one value a sample."""
    for b in range(output.shape[0]):
        total = 0.0
        for k in range(output.shape[1]):
            difference = np.float64(output[b, k]) - targets[b, k]
            total += difference * difference
        loss[b] = 0.5 * total


LOSSES: dict[str, Callable[..., Any]] = {"cce": cross_entropy, "mse": squared_error}
"""Those that loops call by address, by the names of `noisysim.losses`."""
LOSS = RowType(float32[:, ::1], float32[:, ::1], float64[::1])
"""Output, targets, loss of each sample."""
