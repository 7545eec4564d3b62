"""Before the first update: how strongly a learner must perturb a chip to exceed its noise, measured from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import backends
from noisysim.compute.observation import ABOVE_NOISE, Drive

if TYPE_CHECKING:
    from noisysim.chip.chip import Chip

SAMPLES = 512
"""Most inputs that each chip is measured with."""


def floor(chip: Chip, inputs: Floats) -> float:
    """Standard deviation below which a perturbation is lost in the noise: from two passes, and the converters' steps.

    Parameters
    ----------
    chip : noisysim.Chip
        Or a stack of chips, which get one level together.
    inputs : array
        (batch, n_in); of several chips the samples of one after those of the other.

    Returns
    -------
    float
        The largest, over all layers, of three times the noise of a line, half a step of its ADC, and half a step of the
        DAC that drives the next layer (its scale that of the typical sample); 0 for an exact chip.
    """
    lines, driven = _measure(chip, inputs)
    return _level(lines, driven, chip.converter_steps, chip.dac_codes)


def floors(chip: Chip, inputs: Floats) -> list[float]:
    """The same for each chip of a stack: what `floor` finds for one that is alone."""

    def of_chip(arrays: list[Any], m: int) -> list[Any]:
        return [a.reshape(chip.chips, -1, *a.shape[1:])[m] for a in arrays]

    lines, driven = _measure(chip, inputs)
    steps = chip.converter_steps_by_chip
    return [_level(of_chip(lines, m), of_chip(driven, m), steps[m], chip.dac_codes) for m in range(chip.chips)]


def _measure(chip: Chip, inputs: Floats) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """How much each layer's lines differ between two passes, and what drives the layers above the first."""
    per_chip = inputs.reshape(getattr(chip, "chips", 1), -1, *inputs.shape[1:])
    first, second = chip.passes(per_chip[:, :SAMPLES].reshape(-1, *inputs.shape[1:]), [Drive(), Drive()])
    take, pairs = backends.backend_of(first.output).take, zip(first.activities, second.activities, strict=True)
    differences = [np.subtract(take(a), take(b), dtype=np.float64) for a, b in pairs]
    return differences, [take(x) for x in first.inputs[1:]]


def _level(differences: list[np.ndarray], driven: list[np.ndarray], steps: list[float], dac_codes: int) -> float:
    """The floor that follows from differences between passes and from the converters' steps."""
    levels = [0.0, *(0.5 * step for step in steps)]
    levels += [ABOVE_NOISE * float(np.std(d)) / np.sqrt(2.0) for d in differences]
    if dac_codes:
        levels += [0.5 * float(np.median(np.abs(x).max(axis=-1))) / dac_codes for x in driven]
    return max(levels)
