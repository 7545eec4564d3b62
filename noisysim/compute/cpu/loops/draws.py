"""Draws of noise: loops around Philox. Noise is a function of key and counter (unit, sample, pass, stream)."""

import numpy as np

from noisysim.compute.jit.compiling import inner, loop
from noisysim.compute.noise import normal_pair, philox, uniform


@loop()
def stream_word(kind, layer, tile):
    """The last counter word: which kind of noise, where on the chip."""
    return np.uint32((kind << 28) | (layer << 16) | tile)


@inner()
def fill_bits(bits, n, base, sample, number, stream, k0, k1):
    """Philox over ceil(n / 4) unit counters from `base` on: word w of the i-th goes to row w, column i."""
    q = (n + 3) // 4
    b0, b1, b2, b3 = bits[:q], bits[q : 2 * q], bits[2 * q : 3 * q], bits[3 * q : 4 * q]
    sample, number = np.uint32(sample), np.uint32(number)
    for i in range(q):
        r0, r1, r2, r3 = philox(np.uint32(base + i), sample, number, stream, k0, k1)
        b0[i] = r0
        b1[i] = r1
        b2[i] = r2
        b3[i] = r3


@loop(fastmath={"contract"})
def fill_pairs(b0, b1, z0, z1):
    """Box-Muller over two rows of bits."""
    for i in range(b0.size):
        first, second = normal_pair(b0[i], b1[i])
        z0[i] = first
        z1[i] = second


@loop()
def fill_normals_from(z, bits, n, base, sample, number, stream, k0, k1):
    """N(0, 1) draws into z[:n]; unit u is word u // q of counter base + u % q, q = ceil(n / 4)."""
    q = (n + 3) // 4
    fill_bits(bits, n, base, sample, number, stream, k0, k1)
    fill_pairs(bits[:q], bits[q : 2 * q], z[:q], z[q : 2 * q])
    fill_pairs(bits[2 * q : 3 * q], bits[3 * q : 4 * q], z[2 * q : 3 * q], z[3 * q : 4 * q])


@loop()
def fill_normals(z, bits, n, sample, number, stream, k0, k1):
    """N(0, 1) draws of units 0..n-1 into z[:n]."""
    fill_normals_from(z, bits, n, 0, sample, number, stream, k0, k1)


@loop()
def fill_uniforms_from(u, bits, n, base, sample, number, stream, k0, k1):
    """Draws in (0, 1) into u[:n], laid out as in `fill_normals_from`."""
    fill_bits(bits, n, base, sample, number, stream, k0, k1)
    for i in range(n):
        u[i] = uniform(bits[i])


@loop()
def fill_uniforms(u, bits, n, sample, number, stream, k0, k1):
    """Draws in (0, 1) of units 0..n-1 into u[:n], laid out as in `fill_normals`."""
    fill_uniforms_from(u, bits, n, 0, sample, number, stream, k0, k1)


@loop()
def uniforms(out, bound, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with draws between -bound and bound, laid out as in `normals`."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    u, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for r in range(rows):
        fill_uniforms(u, bits, n, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = bound * (np.float32(2.0) * u[j] - np.float32(1.0))
    u[:] = np.float32(0.0)  # who is given this memory next must not find draws in it


@loop()
def drops(out, rate, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with 0 for a share of the entries and 1 / (1 - rate) for the others."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    u, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    kept = np.float32(1.0) / (np.float32(1.0) - rate)
    for r in range(rows):
        fill_uniforms(u, bits, n, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = kept if u[j] >= rate else np.float32(0.0)


@loop()
def normals(out, sigma, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with N(0, sigma^2); row r is the draws of sample first_sample + r."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    z, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for r in range(rows):
        fill_normals(z, bits, n, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = sigma * z[j]
    z[:] = np.float32(0.0)


@loop()
def unit_normal(u, n, sample, number, stream, k0, k1):
    """The draw that `fill_normals` gives unit u of n."""
    q = (n + 3) // 4
    r0, r1, r2, r3 = philox(np.uint32(u % q), np.uint32(sample), np.uint32(number), stream, k0, k1)
    first = u < 2 * q
    z0, z1 = normal_pair(r0 if first else r2, r1 if first else r3)
    return z1 if (u // q) % 2 else z0
