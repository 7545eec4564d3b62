"""Before the first update: how strongly must a learner perturb this chip to be heard? Found by looking, as it could."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.observation import Drive

SHOUT = 3.0
"""An injected perturbation this many times the noise observed is heard above it (reference: 2 to 3)."""
SAMPLES = 512
"""Inputs looked at, at most."""


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
        The largest, over all layers, of three times the noise of a line, half a step of its ADC, and half a step of the
        DAC that drives the next layer (its scale that of the typical sample); 0 for an exact chip.
    """
    first, second = chip.passes(inputs[:SAMPLES], [Drive(), Drive()])
    levels = [0.0, *(0.5 * step for step in chip.converter_steps)]
    for a, b in zip(first.activities, second.activities, strict=True):
        levels.append(SHOUT * float(np.std(np.subtract(a, b, dtype=np.float64))) / np.sqrt(2.0))
    if chip.dac_codes:
        levels += [0.5 * float(np.median(np.abs(x).max(axis=-1))) / chip.dac_codes for x in first.inputs[1:]]
    return max(levels)
