"""The backend "cpu": NumPy's arrays, compiled loops, BLAS."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from noisysim.common.types import Array
from noisysim.compute import blas
from noisysim.compute.cpu import images as images
from noisysim.compute.cpu import ops as ops
from noisysim.compute.cpu.cells import Cells as Cells
from noisysim.compute.cpu.passes import Passes as Passes

NAME = "cpu"
HOST_MEMORY = True
BATCHED_PRODUCTS = False
xp: Any = np
"""The array namespace."""

blas.load()  # before Numba does, with more than is needed


def put(array: Array) -> Array:
    """An array of NumPy's, where this backend computes: itself."""
    return np.asarray(array)


def take(array: Array) -> Array:
    """The inverse of `put`."""
    return array


def tf32() -> AbstractContextManager[None]:
    """Products are never rounded here."""
    return nullcontext()
