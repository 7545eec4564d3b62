"""Loops of batch normalisation: sums over a batch's rows, and what is made of values with their means.

Rows are samples at positions. Sums are taken over some rows, into an array that is theirs alone.
"""

import numpy as np

from noisysim.compute.jit.compiling import loop


@loop()
def add_up(values, out):
    """out = sum over rows of the values, float64 (units,)."""
    out[:] = 0.0
    for r in range(values.shape[0]):
        for j in range(out.size):
            out[j] += values[r, j]


@loop()
def add_squares(values, means, out):
    """out = sum over rows of (values - mean)^2, float64 (units,)."""
    out[:] = 0.0
    for r in range(values.shape[0]):
        for j in range(out.size):
            difference = values[r, j] - means[j]
            out[j] += difference * difference


@loop()
def add_signals(signal, normed, start, out):
    """out = sums over rows of signal, and of signal times normalised lines; float64 (2, units).

    `normed` has the lines of all units, of which the signal's begin at `start`.
    """
    out[:] = 0.0
    for r in range(signal.shape[0]):
        for j in range(signal.shape[1]):
            out[0, j] += signal[r, j]
            out[1, j] += np.float64(signal[r, j]) * normed[r, start + j]


@loop()
def take_off(signal, normed, start, means):
    """signal -= mean + normed mean', float32 (2, units), in place."""
    for r in range(signal.shape[0]):
        for j in range(signal.shape[1]):
            signal[r, j] = signal[r, j] - means[0, j] - normed[r, start + j] * means[1, j]


@loop()
def scale(values, scales):
    """values *= scales, unit by unit, in place."""
    for r in range(values.shape[0]):
        for j in range(values.shape[1]):
            values[r, j] *= scales[j]
