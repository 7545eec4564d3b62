"""Loops of the learners' algebra, the optimizers and the decorrelation: what is between products, over flat buffers.

Buffers hold all layers, one after the other, and in each of them `samples` rows; `ends` tells where each layer stops.
`build.load` puts in the function by which a learning rule shares out loss changes.
"""

import math

import numpy as np
from numba import cuda

from noisysim.compute.compiled_estimate import by_size as share
from noisysim.compute.cuda.kernels.blocks import added, highest
from noisysim.compute.cuda.kernels.target import ROW_THREADS, device, kernel, larger
from noisysim.compute.layout import LEAST_MOMENT


@device
def layer_at(k, ends):
    """The layer that a value of a buffer belongs to."""
    layer = 0
    while k >= ends[layer]:
        layer += 1
    return layer


@device
def start_of(layer, ends):
    """Where a layer starts."""
    return ends[layer - 1] if layer > 0 else 0


@kernel
def pack(packed, factors, activities, baseline, ends, samples, share, fresh, against):
    """packed (+)= share factor (activities - baseline); factors are (1 or layers, samples).

    Adds to what is there unless `fresh`; without `against` there is no baseline.
    """
    for k in range(cuda.grid(1), packed.size, cuda.gridsize(1)):
        layer = layer_at(k, ends)
        start = start_of(layer, ends)
        sample = (k - start) // ((ends[layer] - start) // samples)
        value = activities[k]
        if against:
            value -= baseline[k]
        value *= np.float32(share * factors[layer if factors.shape[0] > 1 else 0, sample])
        packed[k] = value if fresh else packed[k] + value


@kernel
def find_others(values, found):
    """Set `found` where a value is not finite."""
    for k in range(cuda.grid(1), values.size, cuda.gridsize(1)):
        if not math.isfinite(values[k]):
            found[0] = 1


@device
def distance(activities, baseline, ends, samples, sample, first, last, parts):
    """Squared norm of a sample's difference of two passes, over layers first..last - 1; a block adds it up."""
    total = 0.0
    for layer in range(first, last):
        start = start_of(layer, ends)
        size = (ends[layer] - start) // samples
        at = start + sample * size
        for j in range(at + cuda.threadIdx.x, at + size, cuda.blockDim.x):
            difference = activities[j] - baseline[j]
            total += difference * difference
    return added(parts, total)


@kernel
def distances(out, activities, baseline, ends, samples):
    """Squared norms of the differences of two passes, (1, samples) over all layers or (layers, samples) of each.

    A block takes one of them.
    """
    parts, together = cuda.shared.array(ROW_THREADS, np.float64), out.shape[0] == 1
    for row in range(cuda.blockIdx.x, out.size, cuda.gridDim.x):
        layer, sample = row // samples, row % samples
        last = ends.shape[0] if together else layer + 1
        total = distance(activities, baseline, ends, samples, sample, layer, last, parts)
        if cuda.threadIdx.x == 0:
            out[layer, sample] = total


@kernel
def share_by_distance(out, activities, baseline, ends, loss, loss_before, divisor, units):
    """out = share((loss - loss_before) / divisor, distance, units) of each sample; a block takes one."""
    parts, samples = cuda.shared.array(ROW_THREADS, np.float64), out.size
    for sample in range(cuda.blockIdx.x, samples, cuda.gridDim.x):
        size = distance(activities, baseline, ends, samples, sample, 0, ends.shape[0], parts)
        if cuda.threadIdx.x == 0:
            out[sample] = share((loss[sample] - loss_before[sample]) / divisor, size, units)


@kernel
def share_all(changes, sizes, units, each, out):
    """out = share(change, size, units), flat; `each` numbers have the same units."""
    for k in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[k] = share(changes[k], sizes[k], units[k // each])


@device
def log_total(row, parts):
    """log sum_k exp(y_k) of a row, float64."""
    top, total = np.float64(-math.inf), 0.0
    for k in range(cuda.threadIdx.x, row.shape[0], cuda.blockDim.x):
        top = larger(top, np.float64(row[k]))
    top = highest(parts, top)
    for k in range(cuda.threadIdx.x, row.shape[0], cuda.blockDim.x):
        total += math.exp(np.float64(row[k]) - top)
    return math.log(added(parts, total)) + top


# Outputs are (passes, samples, n); a block takes a row of them, and all passes have the same targets.


@kernel
def cross_entropy(output, targets, out):
    """-sum_k t_k log softmax(y)_k of each row, of outputs that count: no 0 times infinity."""
    parts, samples = cuda.shared.array(ROW_THREADS, np.float64), targets.shape[0]
    for place in range(cuda.blockIdx.x, output.shape[0] * samples, cuda.gridDim.x):
        p, r = place // samples, place % samples
        norm, loss = log_total(output[p, r], parts), 0.0
        for k in range(cuda.threadIdx.x, output.shape[2], cuda.blockDim.x):
            if targets[r, k] != 0:
                loss += targets[r, k] * (norm - output[p, r, k])
        loss = added(parts, loss)
        if cuda.threadIdx.x == 0:
            out[p, r] = loss


@kernel
def cross_entropy_error(output, targets, out):
    """softmax(y) - t of each row."""
    parts, samples = cuda.shared.array(ROW_THREADS, np.float64), targets.shape[0]
    for place in range(cuda.blockIdx.x, output.shape[0] * samples, cuda.gridDim.x):
        p, r = place // samples, place % samples
        norm = log_total(output[p, r], parts)
        for k in range(cuda.threadIdx.x, output.shape[2], cuda.blockDim.x):
            out[p, r, k] = math.exp(output[p, r, k] - norm) - targets[r, k]


@kernel
def squared_error(output, targets, out):
    """1/2 sum_k (y_k - t_k)^2 of each row."""
    parts, samples = cuda.shared.array(ROW_THREADS, np.float64), targets.shape[0]
    for place in range(cuda.blockIdx.x, output.shape[0] * samples, cuda.gridDim.x):
        p, r, loss = place // samples, place % samples, 0.0
        for k in range(cuda.threadIdx.x, output.shape[2], cuda.blockDim.x):
            difference = np.float64(output[p, r, k]) - np.float64(targets[r, k])
            loss += difference * difference
        loss = added(parts, loss)
        if cuda.threadIdx.x == 0:
            out[p, r] = 0.5 * loss


@kernel
def descend(rotations, steps, correlations, inputs, table, rate):
    """R -= rate / samples (step - own R) for the matrices of all layers, (chips n, n) each; a block takes a row.

    `own` is the sum of the squares of a row's input: on the diagonal of the correlations, which lie like the matrices,
    or where a layer has none added up here. `table` has a row a layer: where its matrices' rows end, counted over all
    layers, n, where its matrices start, where its inputs start, their columns, a chip's samples, and whether it has
    correlations.
    """
    parts = cuda.shared.array(ROW_THREADS, np.float32)
    for place in range(cuda.blockIdx.x, table[table.shape[0] - 1, 0], cuda.gridDim.x):
        layer = layer_at(place, table[:, 0])
        n, start, first = table[layer, 1], table[layer, 2], table[layer, 3]
        columns, samples = table[layer, 4], table[layer, 5]
        row = place - start_of(layer, table[:, 0])
        chip, i, at, own = row // n, row % n, start + row * n, np.float32(0.0)
        if table[layer, 6]:
            own = correlations[at + i]
        else:
            for b in range(chip * samples + cuda.threadIdx.x, (chip + 1) * samples, cuda.blockDim.x):
                value = inputs[first + b * columns + i]
                own += value * value
            own = added(parts, own)
        factor = rate / np.float32(samples)
        for j in range(at + cuda.threadIdx.x, at + n, cuda.blockDim.x):
            rotations[j] -= factor * (steps[j] - own * rotations[j])


@kernel
def adam(gradient, first, second, rate, beta1, beta2, epsilon, correction1, correction2):
    """Adam's moments, in place, and in the gradient's place the change asked for (Kingma & Ba 2015, Algorithm 1)."""
    zero, one, least = np.float32(0.0), np.float32(1.0), np.float32(LEAST_MOMENT)
    for k in range(cuda.grid(1), gradient.size, cuda.gridsize(1)):
        g = gradient[k]
        m = beta1 * first[k] + (one - beta1) * g
        v = beta2 * second[k] + (one - beta2) * g * g
        m = zero if abs(m) < least else m  # NaN stays
        v = least if v < least else v
        first[k] = m
        second[k] = v
        gradient[k] = -rate * (m * correction1) / (math.sqrt(v * correction2) + epsilon)
