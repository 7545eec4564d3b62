"""Before the first update: how strongly must a learner perturb this chip to be heard? Found by looking, as it could."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim import backends
from noisysim.observation import Drive

SHOUT = 3.0
"""An injected perturbation this many times the noise observed is heard above it (reference: 2 to 3)."""
SAMPLES = 512
"""Inputs that each chip looks at, at most."""


def floor(chip: Any, inputs: Any) -> float:
    """Standard deviation below which a perturbation would drown: from two passes, and the converters' data sheet.

    Parameters
    ----------
    chip : noisysim.Chip
        Or a stack of chips, which get one level for all.
    inputs : array
        (batch, n_in); of several chips the samples of one after those of the other.

    Returns
    -------
    float
        The largest, over all layers, of three times the noise of a line, half a step of its ADC, and half a step of the
        DAC that drives the next layer (its scale that of the typical sample); 0 for an exact chip.
    """
    own = inputs.reshape(getattr(chip, "chips", 1), -1, *inputs.shape[1:])
    first, second = chip.passes(own[:, :SAMPLES].reshape(-1, *inputs.shape[1:]), [Drive(), Drive()])
    take = backends.of(first.output).take
    levels = [0.0, *(0.5 * step for step in chip.converter_steps)]
    for a, b in zip(first.activities, second.activities, strict=True):
        levels.append(SHOUT * float(np.std(np.subtract(take(a), take(b), dtype=np.float64))) / np.sqrt(2.0))
    if chip.dac_codes:
        levels += [0.5 * float(np.median(np.abs(take(x)).max(axis=-1))) / chip.dac_codes for x in first.inputs[1:]]
    return max(levels)
