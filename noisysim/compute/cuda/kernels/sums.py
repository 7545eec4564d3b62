"""Loops of the learners' algebra, the optimizers and the decorrelation: what is between products, over flat buffers.

Buffers hold all layers, one after the other, and in each of them `samples` rows; `ends` tells where each layer stops.
"""

import math

import numpy as np
from numba import cuda

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
def plus(a, b):
    """The sum of two."""
    return a + b


def over_block(combine):
    """What the threads of a block, a power of two of them, make of a number that each has: all get the same.

    ``combine(a, b)`` takes two of them; ``parts`` is shared memory with a place for each thread.
    """

    @device
    def combined(parts, value):
        t, step = cuda.threadIdx.x, cuda.blockDim.x // 2
        cuda.syncthreads()  # what was made before is read
        parts[t] = value
        cuda.syncthreads()
        while step > 0:
            if t < step:
                parts[t] = combine(parts[t], parts[t + step])
            cuda.syncthreads()
            step //= 2
        return parts[0]

    return combined


added, highest = over_block(plus), over_block(larger)


@kernel
def distances(out, activities, baseline, ends, samples):
    """Squared norms of the differences of two passes, (1, samples) over all layers or (layers, samples) of each.

    A block takes one of them.
    """
    parts = cuda.shared.array(ROW_THREADS, np.float64)
    for row in range(cuda.blockIdx.x, out.size, cuda.gridDim.x):
        of_layer, sample, total = row // samples, row % samples, 0.0
        for layer in range(ends.shape[0]):
            if out.shape[0] == 1 or layer == of_layer:
                start = start_of(layer, ends)
                size = (ends[layer] - start) // samples
                first = start + sample * size
                for j in range(first + cuda.threadIdx.x, first + size, cuda.blockDim.x):
                    difference = activities[j] - baseline[j]
                    total += difference * difference
        total = added(parts, total)
        if cuda.threadIdx.x == 0:
            out[of_layer, sample] = total


@device
def log_total(output, r, parts):
    """log sum_k exp(y_k) of a row, float64."""
    top, total = np.float64(-math.inf), 0.0
    for k in range(cuda.threadIdx.x, output.shape[1], cuda.blockDim.x):
        top = larger(top, np.float64(output[r, k]))
    top = highest(parts, top)
    for k in range(cuda.threadIdx.x, output.shape[1], cuda.blockDim.x):
        total += math.exp(np.float64(output[r, k]) - top)
    return math.log(added(parts, total)) + top


@kernel
def cross_entropy(output, targets, out):
    """-sum_k t_k log softmax(y)_k of each row, of outputs that count: no 0 times infinity; a block takes a row."""
    parts = cuda.shared.array(ROW_THREADS, np.float64)
    for r in range(cuda.blockIdx.x, output.shape[0], cuda.gridDim.x):
        norm, loss = log_total(output, r, parts), 0.0
        for k in range(cuda.threadIdx.x, output.shape[1], cuda.blockDim.x):
            if targets[r, k] != 0:
                loss += targets[r, k] * (norm - output[r, k])
        loss = added(parts, loss)
        if cuda.threadIdx.x == 0:
            out[r] = loss


@kernel
def cross_entropy_error(output, targets, out):
    """softmax(y) - t of each row; a block takes a row."""
    parts = cuda.shared.array(ROW_THREADS, np.float64)
    for r in range(cuda.blockIdx.x, output.shape[0], cuda.gridDim.x):
        norm = log_total(output, r, parts)
        for k in range(cuda.threadIdx.x, output.shape[1], cuda.blockDim.x):
            out[r, k] = math.exp(output[r, k] - norm) - targets[r, k]


@kernel
def squared_error(output, targets, out):
    """1/2 sum_k (y_k - t_k)^2 of each row; a block takes a row."""
    parts = cuda.shared.array(ROW_THREADS, np.float64)
    for r in range(cuda.blockIdx.x, output.shape[0], cuda.gridDim.x):
        loss = 0.0
        for k in range(cuda.threadIdx.x, output.shape[1], cuda.blockDim.x):
            difference = np.float64(output[r, k]) - np.float64(targets[r, k])
            loss += difference * difference
        loss = added(parts, loss)
        if cuda.threadIdx.x == 0:
            out[r] = 0.5 * loss


@kernel
def descend(rotations, steps, own, factor):
    """R -= factor (step - own R) for matrices (chips n, n); `own`, (chips, n), are mean squares of the inputs."""
    n = rotations.shape[1]
    for k in range(cuda.grid(1), rotations.size, cuda.gridsize(1)):
        row, j = k // n, k % n
        rotations[row, j] -= factor * (steps[row, j] - own[row // n, row % n] * rotations[row, j])


@kernel
def descend_few(rotations, steps, inputs, factor):
    """`descend` by few inputs, (chips samples, n), whose squares a block adds up for its row."""
    parts = cuda.shared.array(ROW_THREADS, np.float32)
    rows, n = rotations.shape
    samples = inputs.shape[0] // (rows // n)
    for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
        own, first = np.float32(0.0), row // n * samples
        for b in range(first + cuda.threadIdx.x, first + samples, cuda.blockDim.x):
            own += inputs[b, row % n] * inputs[b, row % n]
        own = added(parts, own)
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            rotations[row, j] -= factor * (steps[row, j] - own * rotations[row, j])


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
