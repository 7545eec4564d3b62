"""Types of the numbers that laws take and give."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Scalar: TypeAlias = "np.floating[Any]"
"""One number: float32 in loops, of any precision in tests and figures."""
Moments: TypeAlias = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Mean and standard deviation, element by element."""
