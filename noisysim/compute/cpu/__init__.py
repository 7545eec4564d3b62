"""The backend "cpu": NumPy's arrays, compiled loops, BLAS."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from noisysim.common.types import Array
from noisysim.compute import blas, protocols
from noisysim.compute.cpu import images as images
from noisysim.compute.cpu import operations as operations
from noisysim.compute.cpu import ops as ops
from noisysim.compute.cpu.cells import Cells as Cells
from noisysim.compute.cpu.passes import Passes as Passes
from noisysim.compute.cpu.series import Series

NAME = "cpu"
HOST_MEMORY = True
BATCHED_PRODUCTS = False
xp: Any = np
"""The array namespace."""

blas.load()  # before Numba does, with more than is needed


def series(passes: protocols.Passes, cells: protocols.Cells) -> Series:
    """What makes series of updates with this backend's passes and cells of the same chips."""
    assert isinstance(passes, Passes)
    assert isinstance(cells, Cells)
    return Series(passes, cells)


def put(array: Array) -> Array:
    """An array of NumPy's, where this backend computes: itself."""
    return np.asarray(array)


def take(array: Array) -> Array:
    """The inverse of `put`."""
    return array


def tf32() -> AbstractContextManager[None]:
    """Products are never rounded here."""
    return nullcontext()
