"""Calibration of converters and of batch normalisation, by passes that are not converted."""

from __future__ import annotations

import numpy as np

from noisysim.chip.drives import Added
from noisysim.chip.passes import observation_buffers, run_passes
from noisysim.chip.state import State
from noisysim.common.types import Floats
from noisysim.compute import execution
from noisysim.compute.layout import LEAST_SCALE
from noisysim.compute.rules.ranges import SPARE


def calibrate(state: State, x: Floats, added: Added) -> None:
    """Set running statistics, then the ranges of converters, from what a pass of `x` gives.

    Statistics that were given with the initial weights stay in the first calibration.

    Parameters
    ----------
    state : State
    x : array
        (batch, n_in) float32, checked; of each chip at most a block of samples is read.
    added : Added
        What an undriven pass adds.
    """
    adopted = [] if state.calibrated else state.normalisation.adopted
    state.calibrated = True
    normalised = state.normalisation.layers
    if not (state.numbers.calibrates or normalised):
        return
    samples = len(x) // state.chips
    if len(x) > state.chips * execution.BLOCK_ROWS:
        some = x.reshape(state.chips, -1, x.shape[1])[:, : execution.BLOCK_ROWS]
        x = state.backend.xp.ascontiguousarray(some).reshape(-1, x.shape[1])
    observed = observation_buffers(state, None, len(x), 1)
    for layer in adopted:
        state.normalisation.weigh(layer, samples)
    for layer in sorted({*normalised} - {*adopted}):
        state.peaks[:] = 0
        run_passes(state, x, observed, added, convert=False)
        state.normalisation.start(layer, observed[0].activities[layer])
    if not state.numbers.calibrates:
        return
    state.peaks[:] = 0
    run_passes(state, x, observed, added, convert=False)
    seen = (state.peaks >= np.float32(LEAST_SCALE)) & (state.peaks < np.float32(1e38))
    state.ranges[:] = state.backend.xp.where(seen, SPARE * state.peaks, state.ranges)
    state.peaks[:] = 0
