"""NumPy arrays, compiled loops, BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.backends.cpu import images as images
from noisysim.backends.cpu import ops as ops

NAME = "cpu"
xp = np
"""The array namespace."""


def put(array: Any) -> np.ndarray:
    """An array of NumPy's, where this backend computes: itself."""
    return np.asarray(array)


def take(array: np.ndarray) -> np.ndarray:
    """The inverse of `put`."""
    return array


from noisysim.backends.cpu.cells import Cells as Cells  # noqa: E402
from noisysim.backends.cpu.passes import Passes as Passes  # noqa: E402
