"""The backend "cpu": NumPy's arrays, compiled loops, BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.compute.cpu import images as images
from noisysim.compute.cpu import ops as ops
from noisysim.compute.cpu.cells import Cells as Cells
from noisysim.compute.cpu.passes import Passes as Passes

NAME = "cpu"
xp = np
"""The array namespace."""


def put(array: Any) -> np.ndarray:
    """An array of NumPy's, where this backend computes: itself."""
    return np.asarray(array)


def take(array: np.ndarray) -> np.ndarray:
    """The inverse of `put`."""
    return array
