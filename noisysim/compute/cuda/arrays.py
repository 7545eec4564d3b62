"""Arrays on a GPU: CuPy's, or under Numba's simulator NumPy's as their stand-ins."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from noisysim.common.types import Array
from noisysim.compute.gpu import SIMULATED

xp: Any = importlib.import_module("noisysim.compute.cuda.simulated" if SIMULATED else "cupy")
"""The array namespace."""


@contextmanager
def tf32() -> Iterator[None]:
    """In this block products of two matrices round what they take to ten bits (TF32); those of stacks do not."""
    if SIMULATED:
        yield
        return
    from cupy._core import _routines_linalg as linalg  # nowhere public; else CUPY_TF32=1 for the whole process

    before = linalg.get_compute_type(np.float32)
    linalg.set_compute_type(np.float32, linalg.COMPUTE_TYPE_TF32)
    try:
        yield
    finally:
        linalg.set_compute_type(np.float32, before)


def put(array: Array) -> Any:
    """A copy on the GPU of an array of NumPy's; an array that is there already is returned."""
    return array if isinstance(array, xp.ndarray) else xp.array(np.ascontiguousarray(array))


def take(array: Array) -> Array:
    """A copy that NumPy can use."""
    copy: Array = xp.asnumpy(array)
    return copy
