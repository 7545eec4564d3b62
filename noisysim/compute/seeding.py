"""Keys from a run's seed: one for each purpose, none of which tells another.

A key is a hash of seed and purpose. (Spawned NumPy generators carry their parent's entropy with them: a learner
handed one could compute the device's noise.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

Seeds = int | Sequence[int]
"""One seed for some chips, which differ all the same; or one for each, as if each were alone."""


def key(seed: int, purpose: str) -> tuple[np.uint32, np.uint32]:
    """The 64-bit Philox key of a purpose."""
    digest = hashlib.blake2b(f"noisysim/{int(seed)}/{purpose}".encode(), digest_size=8).digest()
    k0, k1 = np.frombuffer(digest, np.uint32)
    return k0, k1


def keys(seed: Seeds, purpose: str, chips: int) -> np.ndarray:
    """The keys of a purpose on each of several chips, (chips, 2) uint32; of one seed the first chip's is `key`."""
    if isinstance(seed, Sequence):
        return np.array([key(chip_seed, purpose) for chip_seed in seed], np.uint32)
    return np.array([key(seed, purpose if m == 0 else f"{purpose}/{m}") for m in range(chips)], np.uint32)
