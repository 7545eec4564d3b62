"""Which weight the full span of conductances stands for, and what the periphery multiplies lines by in consequence.

A device states a weight w_max for the full span of its cells. With a scale s, of an array or of each output line, the
cells hold W / s, whose largest is w_max where s = max |W| / w_max, and the digital periphery multiplies what it read of
the line by s, after the ADC. So errors of cells, noise of lines and steps of the ADC, which are what they are in units
of the array, count s times in units of the network.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from noisysim.common.types import Floats

WEIGHT_SCALINGS = ("fixed", "array", "column")
"""One scale for all, that of the device; one for each layer's arrays; one for each of their output lines."""
FAINTEST = 0.01
"""A line whose largest weight is below this share of its layer's gets the layer's scale: by its own one, a perturbation
or an update meant for ordinary weights would be far beyond what ADC and cells can take."""


def scales(weights: Floats, chips: int, full_span: float, scaling: str, xp: ModuleType) -> Floats:
    """The scale of each output line of a layer.

    Parameters
    ----------
    weights : array
        The initial ones, (chips n_out, n_in) float32; biases count.
    chips : int
        Each of which has scales of its own.
    full_span : float
        w_max.
    scaling : {"array", "column"}
    xp : module
        The array namespace.

    Returns
    -------
    array
        (chips n_out,) float32; 1 where all weights of a layer are zero.
    """
    lines = xp.abs(weights).max(axis=1).reshape(chips, -1)
    of_layer = xp.broadcast_to(lines.max(axis=1, keepdims=True), lines.shape)
    of_layer = xp.where(of_layer > 0, of_layer, np.float32(full_span))
    largest = xp.where(lines >= FAINTEST * of_layer, lines, of_layer) if scaling == "column" else of_layer
    at_scale: Floats = (largest / np.float32(full_span)).astype(np.float32).reshape(-1)
    return at_scale
