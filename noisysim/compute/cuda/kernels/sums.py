"""Loops of the learners' algebra, the optimizers and the decorrelation: what is between products, over flat buffers.

Buffers hold all layers, one after the other, and in each of them `samples` rows; `ends` tells where each layer stops.
"""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.target import device, kernel
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
def squares(out, activities, baseline, ends, samples):
    """Squares of the differences of two passes, (layers samples, lanes) float64: the sum over every lanes-th value."""
    lanes = out.shape[1]
    for k in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        row, lane = k // lanes, k % lanes
        layer, sample = row // samples, row % samples
        start = start_of(layer, ends)
        size = (ends[layer] - start) // samples
        first = start + sample * size
        total = 0.0
        for j in range(first + lane, first + size, lanes):
            difference = activities[j] - baseline[j]
            total += difference * difference
        out[row, lane] = total


@kernel
def descend(rotations, steps, own, columns, factor):
    """R -= factor (step - own R), flat; `own` has a value for each row, or one for all."""
    for k in range(cuda.grid(1), rotations.size, cuda.gridsize(1)):
        rotations[k] -= factor * (steps[k] - own[(k // columns) % own.size] * rotations[k])


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
