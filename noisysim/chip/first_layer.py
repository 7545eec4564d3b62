"""What stands behind the lines of a chip's first layer: for checks of the simulation itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from noisysim.chip.shown_cells import Cells
from noisysim.chip.state import State
from noisysim.common.types import Bytes, Floats


class FirstLayer(NamedTuple):
    """What the next pass aside reads in the first layer; of several chips in that of the first.

    Attributes
    ----------
    cells : Cells or None
        Of a device that has any.
    states : numpy.ndarray or None
        Their discrete states, (slices, 2, n_out, n_in), where cells have any.
    inputs : (int, int)
        The range of inputs in its first tile.
    units : numpy.ndarray
        (slices,), the weight that 1 µS stands for.
    adc_range : float
        Full scale of the first tile's ADC.
    interval : float
        Seconds from one sample to the next.
    scales : numpy.ndarray
        What the periphery multiplies each output line by after the ADC, (n_out,).
    """

    cells: Cells | None
    states: Bytes | None
    inputs: tuple[int, int]
    units: Floats
    adc_range: float
    interval: float
    scales: Floats


def copy(state: State) -> FirstLayer:
    """A copy of the first layer's hidden values."""
    net, arrays, take = state.net, state.arrays, state.backend.take
    (n_out, n_in), cells, states = net.shapes[0], None, None
    if shown := arrays.show(state.aged_at if math.isfinite(state.aged_at) else state.clock):
        cells = shown[0].of_first(n_out)
    if state.jumps:
        layer = take(state.states)[:, : state.chips * n_out * n_in]
        states = layer.reshape(-1, 2, state.chips * n_out, n_in)[..., :n_out, :].copy()
    full_scale = float(take(state.ranges)[0, 0])
    scales = take(arrays.line_scales.of(0))[:n_out].copy() if arrays.scaled else np.ones(n_out, np.float32)
    return FirstLayer(cells, states, net.row_tiles(0)[0], arrays.units[0], full_scale, state.interval, scales)
