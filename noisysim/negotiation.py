"""Before the first update: how strongly must a learner perturb this chip to be heard? Found by looking, as it could."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.observation import Drive

SHOUT = 3.0
"""An injected perturbation this many times the noise observed is heard above it (reference: 2 to 3)."""
_LOOK_AT = 20000


def floor(chip: Any, inputs: np.ndarray) -> float:
    """Standard deviation below which a perturbation would drown, from two passes over the same inputs.

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
    levels = [0.0]
    for a, b in zip(first.activities, second.activities, strict=True):
        noise = float(np.std(np.subtract(a, b, dtype=np.float64))) / np.sqrt(2.0)
        levels += [SHOUT * noise, 0.5 * _step(a)]
    return max(levels)


def _step(activities: np.ndarray) -> float:
    """Smallest difference between two of the values seen: the converter's step, if there is one."""
    values = np.unique(activities.reshape(-1)[:_LOOK_AT])
    if len(values) < 2:
        return 0.0
    # an unquantised line repeats hardly a value; a converter of b bits gives at most 2^b
    return (
        float(np.diff(values.astype(np.float64)).min()) if len(values) < 0.5 * min(activities.size, _LOOK_AT) else 0.0
    )
