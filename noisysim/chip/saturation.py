"""How often converters clip what they read."""

from __future__ import annotations

import numpy as np

from noisysim.chip.compensation import read_tiles
from noisysim.chip.state import State
from noisysim.common.types import Doubles
from noisysim.compute.layered import Layered


def saturated(state: State, driven: Layered) -> Doubles:
    """Share of the values beyond the range of the ADC that reads them, (layers,); 0 where lines are not converted.

    Parameters
    ----------
    state : State
    driven : Layered
        What drives each layer: an observation's ``inputs``.
    """
    shares = np.zeros(state.net.depth)
    if not state.numbers.adc_bits:
        return shares
    lines, ranges = read_tiles(state, driven), state.backend.take(state.ranges)
    for layer in state.weights.on_arrays:
        beyond, values = 0, 0
        for tile in range(*state.net.tile_spans[layer].indices(len(lines))):
            of_chips = state.backend.take(lines[tile]).reshape(state.chips, -1)
            beyond += int((np.abs(of_chips) > ranges[:, tile : tile + 1]).sum())
            values += of_chips.size
        shares[layer] = beyond / values
    return shares
