"""Draws of noise: loops around Philox. Noise is a function of key and counter (unit, sample, pass, stream)."""

import numpy as np
from numba.core.types import float32, int64, uint32

from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.compiling import bare, loop, scalars
from noisysim.compute.jit.views import part
from noisysim.compute.noise import normal_pair as plain_pair
from noisysim.compute.noise import philox as plain_philox
from noisysim.compute.noise import stream_word as plain_word
from noisysim.compute.noise import uniform as plain_uniform

FILL = RowType(float32[::1], uint32[::1], int64, int64, int64, int64, uint32, uint32, uint32)
"""The type of `fill_normals_from` and `fill_uniforms_from`, where they are called by address."""
FIRST = np.int64(0)
"""The unit that draws are counted from: as a literal it would be a type of its own."""
philox, uniform, normal_pair, stream_word = scalars(plain_philox, plain_uniform, plain_pair, plain_word)


@bare()
def fill_bits(bits, n, base, sample, number, stream, k0, k1):
    """Philox over ceil(n / 4) unit counters from `base` on: word w of the i-th goes to row w, column i."""
    q = (n + 3) // 4
    b0, b1, b2, b3 = part(bits, 0, q), part(bits, q, q), part(bits, 2 * q, q), part(bits, 3 * q, q)
    sample, number = np.uint32(sample), np.uint32(number)
    for i in range(q):
        r0, r1, r2, r3 = philox(np.uint32(base + i), sample, number, stream, k0, k1)
        b0[i] = r0
        b1[i] = r1
        b2[i] = r2
        b3[i] = r3


@bare(fastmath={"contract"})
def fill_pairs(b0, b1, z0, z1):
    """Box-Muller over two rows of bits."""
    for i in range(b0.size):
        first, second = normal_pair(b0[i], b1[i])
        z0[i] = first
        z1[i] = second


@bare()
def fill_normals_from(z, bits, n, base, sample, number, stream, k0, k1):
    """N(0, 1) draws into z[:n]; unit u is word u // q of counter base + u % q, q = ceil(n / 4)."""
    q = (n + 3) // 4
    fill_bits(bits, n, base, sample, number, stream, k0, k1)
    for first in range(0, 4 * q, 2 * q):
        b0, b1 = part(bits, first, q), part(bits, first + q, q)
        fill_pairs(b0, b1, part(z, first, q), part(z, first + q, q))


@bare()
def fill_uniforms_from(u, bits, n, base, sample, number, stream, k0, k1):
    """Draws in (0, 1) into u[:n], laid out as in `fill_normals_from`."""
    fill_bits(bits, n, base, sample, number, stream, k0, k1)
    for i in range(n):
        u[i] = uniform(bits[i])


@loop(_nrt=True)
def uniforms(out, bound, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with draws between -bound and bound, laid out as in `normals`."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    u, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for r in range(rows):
        fill_uniforms_from(u, bits, n, FIRST, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = bound * (np.float32(2.0) * u[j] - np.float32(1.0))
    for j in range(padded):  # who is given this memory next must not find draws in it
        u[j] = np.float32(0.0)


@loop(_nrt=True)
def drops(out, rate, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with 0 for a share of the entries and 1 / (1 - rate) for the others."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    u, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    kept = np.float32(1.0) / (np.float32(1.0) - rate)
    for r in range(rows):
        fill_uniforms_from(u, bits, n, FIRST, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = kept if u[j] >= rate else np.float32(0.0)


@loop(_nrt=True)
def normals(out, sigma, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with N(0, sigma^2); row r is the draws of sample first_sample + r."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    z, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for r in range(rows):
        fill_normals_from(z, bits, n, FIRST, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = sigma * z[j]
    for j in range(padded):
        z[j] = np.float32(0.0)


@bare(fastmath={"contract"})
def unit_normals(units, m, n, sample, number, stream, k0, k1, bits, z):
    """What `fill_normals_from` gives those m units of n that are listed, into z[:m]; `bits` has room for 2 m."""
    q = np.uint32((n + 3) // 4)
    sample, number = np.uint32(sample), np.uint32(number)
    b0, b1 = part(bits, 0, m), part(bits, m, m)
    for i in range(m):  # without divisions, which do not vectorise
        u = np.uint32(units[i])
        half = np.uint32(u >= q + q)
        u -= half * (q + q)
        r0, r1, r2, r3 = philox(np.uint32(u - q if u >= q else u), sample, number, stream, k0, k1)
        b0[i] = r2 if half else r0
        b1[i] = r3 if half else r1
    for i in range(m):
        z0, z1 = normal_pair(b0[i], b1[i])
        word = (np.uint32(units[i]) >= q) ^ (np.uint32(units[i]) >= q + q) ^ (np.uint32(units[i]) >= q + q + q)
        z[i] = z1 if word else z0
