"""Before the first update: how strongly must a learner perturb this chip to be heard? Found by looking, as it could."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.observation import Drive

SHOUT = 3.0
"""An injected perturbation this many times the noise observed is heard above it (reference: 2 to 3)."""


def floor(chip: Any, inputs: np.ndarray) -> float:
    """Standard deviation below which a perturbation would drown: from two passes, and the converters' data sheet.

    Parameters
    ----------
    chip : noisysim.Chip
    inputs : numpy.ndarray
        (batch, n_in).

    Returns
    -------
    float
        The larger of three times the noise of a line and half the step of its converter, over all layers; 0 for an
        exact chip.
    """
    first, second = chip.passes(inputs, [Drive(), Drive()])
    levels = [0.0, *(0.5 * step for step in chip.converter_steps)]
    for a, b in zip(first.activities, second.activities, strict=True):
        levels.append(SHOUT * float(np.std(np.subtract(a, b, dtype=np.float64))) / np.sqrt(2.0))
    return max(levels)
