"""What converters do to one number."""

import numpy as np


def quantise(v, full_scale, bits):
    """Clip to +-full_scale and round to one of 2^bits - 1 codes, symmetric about a code at zero.

    The step is 2 full_scale / (2^bits - 2), the sign-magnitude form; 0 bits is an ideal converter that still clips.
    """
    full = np.float32(full_scale)
    v = min(max(np.float32(v), -full), full)
    if bits < 1:
        return v
    half = np.float32((1 << (int(bits) - 1)) - 1)
    return np.rint(v * (half / full)) * (full / half)
