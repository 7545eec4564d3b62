"""Draws of noise: the same function of key and counter as on the CPU. A thread makes the four draws of one counter."""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.target import device, kernel
from noisysim.compute.noise import normal_pair, philox, uniform


@device
def stream_word(kind, layer, tile):
    """The last counter word: which kind of noise, where on the chip."""
    return np.uint32((kind << 28) | (layer << 16) | tile)


@device
def four_bits(counter, sample, number, stream, keys, chip):
    """The words of a counter: of a row of n units they are units i, q + i, 2 q + i, 3 q + i, with q = ceil(n / 4)."""
    return philox(np.uint32(counter), np.uint32(sample), np.uint32(number), stream, keys[chip, 0], keys[chip, 1])


@device
def four_normals(counter, sample, number, stream, keys, chip):
    """N(0, 1) draws of four units."""
    b0, b1, b2, b3 = four_bits(counter, sample, number, stream, keys, chip)
    z0, z1 = normal_pair(b0, b1)
    z2, z3 = normal_pair(b2, b3)
    return z0, z1, z2, z3


@device
def four_uniforms(counter, sample, number, stream, keys, chip):
    """Draws in (0, 1) of four units."""
    b0, b1, b2, b3 = four_bits(counter, sample, number, stream, keys, chip)
    return uniform(b0), uniform(b1), uniform(b2), uniform(b3)


@device
def unit_normal(u, n, sample, number, stream, keys, chip):
    """The N(0, 1) draw of unit u of n."""
    return normal_behind(0, u, n, sample, number, stream, keys, chip)


@device
def normal_behind(counter, u, n, sample, number, stream, keys, chip):
    """The N(0, 1) draw of unit u of n, whose counters begin with `counter`."""
    q = (n + 3) // 4
    b0, b1, b2, b3 = four_bits(counter + u % q, sample, number, stream, keys, chip)
    first = u < 2 * q
    z0, z1 = normal_pair(b0 if first else b2, b1 if first else b3)
    return z1 if (u // q) % 2 else z0


@device
def put(out, r, i, q, n, v0, v1, v2, v3):
    """Write the values of one counter to their units."""
    out[r, i] = v0
    if q + i < n:
        out[r, q + i] = v1
    if 2 * q + i < n:
        out[r, 2 * q + i] = v2
    if 3 * q + i < n:
        out[r, 3 * q + i] = v3


@kernel
def normals(out, sigma, first_sample, number, stream, keys):
    """Fill (rows, n) with N(0, sigma^2); each chip's rows are its samples first_sample, first_sample + 1, ..."""
    rows, n = out.shape
    q, own = (n + 3) // 4, rows // keys.shape[0]
    for k in range(cuda.grid(1), rows * q, cuda.gridsize(1)):
        r, i = k // q, k % q
        z0, z1, z2, z3 = four_normals(i, first_sample + r % own, number, stream, keys, r // own)
        put(out, r, i, q, n, sigma * z0, sigma * z1, sigma * z2, sigma * z3)


@device
def spread(u, bound):
    """A draw in (0, 1) as one between -bound and bound."""
    return bound * (np.float32(2.0) * u - np.float32(1.0))


@kernel
def uniforms(out, bound, first_sample, number, stream, keys):
    """Fill (rows, n) with draws between -bound and bound, laid out as in `normals`."""
    rows, n = out.shape
    q, own = (n + 3) // 4, rows // keys.shape[0]
    for k in range(cuda.grid(1), rows * q, cuda.gridsize(1)):
        r, i = k // q, k % q
        u0, u1, u2, u3 = four_uniforms(i, first_sample + r % own, number, stream, keys, r // own)
        put(out, r, i, q, n, spread(u0, bound), spread(u1, bound), spread(u2, bound), spread(u3, bound))


@device
def kept_or_not(u, rate):
    """What dropout multiplies by."""
    return np.float32(1.0) / (np.float32(1.0) - rate) if u >= rate else np.float32(0.0)


@kernel
def drops(out, rate, first_sample, number, stream, keys):
    """Fill (rows, n) with 0 for a share of the entries and 1 / (1 - rate) for the others."""
    rows, n = out.shape
    q, own = (n + 3) // 4, rows // keys.shape[0]
    for k in range(cuda.grid(1), rows * q, cuda.gridsize(1)):
        r, i = k // q, k % q
        u0, u1, u2, u3 = four_uniforms(i, first_sample + r % own, number, stream, keys, r // own)
        put(out, r, i, q, n, kept_or_not(u0, rate), kept_or_not(u1, rate), kept_or_not(u2, rate), kept_or_not(u3, rate))
