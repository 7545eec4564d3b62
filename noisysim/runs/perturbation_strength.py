"""Before the first update: how strongly must a learner perturb this chip to be heard? Found by looking, as it could."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.compute import backends
from noisysim.compute.observation import Drive

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
    lines, driven = _look(chip, inputs)
    return _level(lines, driven, chip.converter_steps, chip.dac_codes)


def floors(chip: Any, inputs: Any) -> list[float]:
    """The same for each chip of a stack: what `floor` finds for one that is alone."""

    def own(arrays: list[Any], m: int) -> list[Any]:
        return [a.reshape(chip.chips, -1, *a.shape[1:])[m] for a in arrays]

    lines, driven = _look(chip, inputs)
    steps = chip.converter_steps_by_chip
    return [_level(own(lines, m), own(driven, m), steps[m], chip.dac_codes) for m in range(chip.chips)]


def _look(chip: Any, inputs: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """How much each layer's lines differ between two passes, and what drives the layers above the first."""
    own = inputs.reshape(getattr(chip, "chips", 1), -1, *inputs.shape[1:])
    first, second = chip.passes(own[:, :SAMPLES].reshape(-1, *inputs.shape[1:]), [Drive(), Drive()])
    take, pairs = backends.of(first.output).take, zip(first.activities, second.activities, strict=True)
    differences = [np.subtract(take(a), take(b), dtype=np.float64) for a, b in pairs]
    return differences, [take(x) for x in first.inputs[1:]]


def _level(differences: list[np.ndarray], driven: list[np.ndarray], steps: list[float], dac_codes: int) -> float:
    """The floor of what was seen, for converters with such steps."""
    levels = [0.0, *(0.5 * step for step in steps)]
    levels += [SHOUT * float(np.std(d)) / np.sqrt(2.0) for d in differences]
    if dac_codes:
        levels += [0.5 * float(np.median(np.abs(x).max(axis=-1))) / dac_codes for x in driven]
    return max(levels)
