"""What stands behind the lines of a chip's first layer on arrays: for checks of the simulation itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from noisysim.chip.shown_cells import Cells
from noisysim.chip.state import State
from noisysim.common.types import Bytes, Floats


class FirstLayer(NamedTuple):
    """What the next pass aside reads in the first layer on arrays; of several chips in that of the first.

    Attributes
    ----------
    layer : int
        Its number.
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

    layer: int
    cells: Cells | None
    states: Bytes | None
    inputs: tuple[int, int]
    units: Floats
    adc_range: float
    interval: float
    scales: Floats


def copy(state: State) -> FirstLayer:
    """A copy of that layer's hidden values."""
    arrays, take = state.arrays, state.backend.take
    layer, net = state.weights.on_arrays[0], arrays.net
    (n_out, n_in), cells, states = net.shapes[0], None, None
    if shown := arrays.show(state.aged_at if math.isfinite(state.aged_at) else state.clock):
        cells = shown[0].of_first(n_out)
    if state.jumps:
        of_layer = take(state.states)[:, : state.chips * n_out * n_in]
        states = of_layer.reshape(-1, 2, state.chips * n_out, n_in)[..., :n_out, :].copy()
    full_scale = float(take(state.ranges)[0, state.net.tile_spans[layer].start])
    scales = take(arrays.line_scales.of(0))[:n_out].copy() if arrays.scaled else np.ones(n_out, np.float32)
    inputs = net.row_tiles(0)[0]
    return FirstLayer(layer, cells, states, inputs, arrays.units[0], full_scale, state.interval, scales)
