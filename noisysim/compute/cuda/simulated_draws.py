"""Draws of noise in Numba's simulator: compiled for the CPU, as it draws them itself.

Without that a draw is some two hundred operations of NumPy's on single numbers, and most of what the simulator does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from noisysim.compute import noise
from noisysim.compute.cpu.loops import draws
from noisysim.compute.jit.compiling import loop


@loop()
def _bits(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]  # compiled
    return draws.philox(c0, c1, c2, c3, k0, k1)


@loop(fastmath={"contract"})
def _pair(bits0, bits1):  # type: ignore[no-untyped-def]  # compiled
    return draws.normal_pair(bits0, bits1)


def philox(*words: np.uint32) -> tuple[np.uint32, ...]:
    """`noise.philox`: to Python, Numba gives numbers without their width."""
    return tuple(map(np.uint32, _bits(*words)))


def normal_pair(bits0: np.uint32, bits1: np.uint32) -> tuple[np.float32, ...]:
    """`noise.normal_pair`, likewise."""
    return tuple(map(np.float32, _pair(bits0, bits1)))


STAND_INS: dict[Callable[..., Any], Callable[..., Any]] = {noise.philox: philox, noise.normal_pair: normal_pair}
"""Plain functions -> what stands for them in simulated kernels."""
