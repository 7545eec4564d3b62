"""Counter-based noise: Philox4x32-10 and the normal draws made of it.

Noise is a pure function of a key and a counter (unit, sample, pass, stream). It does not depend on threads,
batch chunks, restarts or workers, and a checkpoint stores nothing of it but a counter.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
G. E. P. Box, M. E. Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29:610, 1958.
"""

import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_LN2 = np.float32(0.6931471805599453)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_MANTISSA = np.int32(23)
# Least-squares Chebyshev fits, exact to 2e-8 (log), 7e-9 (sine), 2e-10 (cosine); rounding leaves a draw within 1e-6
# of its radius.
# log(1 + f) = f + f^2 L(f) on [sqrt(1/2), sqrt(2)]; sin(pi t/2) = t S(t^2), cos(pi t/2) = C(t^2) on [-1, 1].
_L0, _L1, _L2, _L3 = (np.float32(c) for c in (-0.49999995, 0.3333366, -0.2500161, 0.19973106))
_L4, _L5, _L6, _L7 = (np.float32(c) for c in (-0.16575048, 0.1480646, -0.14257795, 0.09004203))
_S0, _S1, _S2, _S3, _S4 = (np.float32(c) for c in (1.5707963, -0.64596376, 0.07968992, -0.00467415, 0.00015167512))
_C0, _C1, _C2 = np.float32(1.0), np.float32(-1.2337005), np.float32(0.25366932)
_C3, _C4, _C5 = np.float32(-0.020862688), np.float32(0.0009177239), np.float32(-2.3824535e-05)
_TO_UNIT = np.float32(2.0**-32)
_TOP, _TO_PART = np.uint32(9), np.float32(2.0**-23)
_TO_SIGNED = np.float32(2.0**-31)


def philox(c0, c1, c2, c3, k0, k1):
    """Four random uint32 of a uint32 counter (c0..c3) and key (k0, k1): Philox4x32-10.

    The words travel as uint64 with a mask: mixed widths would keep the compiler from vectorising the rounds.
    """
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k0, k1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0 = (p1 >> _SHIFT) ^ c1 ^ k0
        c1 = p1 & _LOW
        c2 = (p0 >> _SHIFT) ^ c3 ^ k1
        c3 = p0 & _LOW
        k0 = (k0 + _W0) & _LOW
        k1 = (k1 + _W1) & _LOW
    return np.uint32(c0), np.uint32(c1), np.uint32(c2), np.uint32(c3)


def uniform(bits):
    """A float32 strictly inside (0, 1) of one uint32: 2^23 values, the midpoints of as many equal parts."""
    return (np.float32(bits >> _TOP) + _HALF) * _TO_PART


def tail_uniform(bits):
    """A float32 in (0, 1] of one uint32, fine near zero: what the logarithm of Box-Muller takes."""
    return (np.float32(bits) + _HALF) * _TO_UNIT


def log32(v):
    """Natural logarithm of a positive normal float32, by a polynomial that vectorises."""
    bits = np.float32(v).view(np.int32)
    exponent = np.int32(np.int32(bits - _SQRT_HALF_BITS) >> _MANTISSA)
    f = np.int32(bits - np.int32(exponent << _MANTISSA)).view(np.float32) - _ONE
    p = _L6 + f * _L7
    p = _L5 + f * p
    p = _L4 + f * p
    p = _L3 + f * p
    p = _L2 + f * p
    p = _L1 + f * p
    p = _L0 + f * p
    return np.float32(exponent) * _LN2 + (f + f * f * p)


def normal_pair(bits0, bits1):
    """Two independent N(0, 1) float32 of two uint32 (Box-Muller; |z| up to 6.7)."""
    r = np.sqrt(-_TWO * log32(tail_uniform(bits0)))
    t = np.float32(np.uint32(bits1).view(np.int32)) * _TO_SIGNED
    y = t * t
    sine = t * (_S0 + y * (_S1 + y * (_S2 + y * (_S3 + y * _S4))))
    cosine = _C0 + y * (_C1 + y * (_C2 + y * (_C3 + y * (_C4 + y * _C5))))
    # the angle is pi t: the polynomials give half of it, doubled here without a branch
    return r * (_TWO * sine * cosine), r * (_ONE - _TWO * sine * sine)


def stream_word(kind: int, layer: int, tile: int) -> np.uint32:
    """The last counter word: which kind of noise (`noisysim.compute.layout`), where on the chip."""
    return np.uint32((kind << 28) | (layer << 16) | tile)
