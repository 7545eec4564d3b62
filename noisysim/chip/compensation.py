"""Compensation of drift: the periphery measures what drift has taken, by calibration reads, and scales the lines by it.

Where the controller keeps targets, the measure is what calibration vectors give, projected on what the targets should
give. Without targets, such as after pulses in open loop, the measure is the mean |line|.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.chip import clock
from noisysim.chip.state import State

ROWS = 16  # vectors of a calibration read


def wait(state: State, seconds: float) -> None:
    """Let time pass; before the first wait the reference is measured, after each the gains."""
    if state.compensates and state.reference_due:
        _measure_reference(state)
    state.clock += seconds
    clock.age_to(state, state.clock)
    if state.compensates:
        measure_gains(state)


def _measure_reference(state: State) -> None:
    """Take the strength of the lines as it is now for the one that they are to be held at."""
    clock.age_to(state, state.clock)
    state.reference[:] = state.gains * _strength(state)
    state.reference_due = False


def measure_gains(state: State) -> None:
    """Set the gains to what drift has taken from the lines since the reference."""
    where, strength = state.backend.xp.where, _strength(state)
    measured = strength > 0
    state.gains[:] = where(measured, state.reference / where(measured, strength, np.float32(1.0)), state.gains)
    state.gains_due = False


def _strength(state: State) -> Any:
    """How strong the lines of each tile are, (chips, tiles)."""
    xp, chips, driven = state.backend.xp, state.chips, _vectors(state)
    lines = [tile.reshape(chips, -1) for tile in read_tiles(state, driven)]
    on_arrays = state.weights.on_arrays
    if not state.arrays.knows_targets:
        return xp.stack([xp.abs(tile).mean(axis=1) for tile in lines], axis=1)
    strength = xp.ones((chips, len(lines)), np.float32)
    spans, of_arrays = state.net.tile_spans, [driven[layer] for layer in on_arrays]
    tiles = [k for layer in on_arrays for k in range(spans[layer].start, spans[layer].stop)]
    for k, aimed in zip(tiles, state.arrays.aimed_lines(of_arrays), strict=True):
        tile, aimed = lines[k], aimed.reshape(chips, -1)
        square = (aimed * aimed).sum(axis=1, dtype=np.float64)
        share = (tile * aimed).sum(axis=1, dtype=np.float64) / xp.where(square > 0, square, 1.0)
        strength[:, k] = xp.where(square > 0, share, 1.0)
    return strength


def _vectors(state: State) -> list[Any]:
    """Known vectors of +-1 that drive each layer of all chips, in the shapes of an observation's inputs."""
    net, driven = state.net, []
    signs = np.random.default_rng(0).integers(0, 2, (ROWS, max(net.columns))) * 2 - 1
    for layer in range(net.depth):
        shape = net.driven_shape(layer, ROWS)
        one = signs[:, : shape[-1]].reshape(ROWS, *[1] * (len(shape) - 2), -1).astype(np.float32)
        repeats = (state.chips, *[1] * (len(shape) - 1))
        driven.append(state.backend.put(np.tile(np.broadcast_to(one, shape), repeats)))
    return driven


def read_tiles(state: State, driven: Sequence[Any]) -> list[Any]:
    """Lines of each tile, (rows of all chips, lines), driven with these and read before the converters."""
    state.call_at, rows = state.clock, len(driven[0]) // state.chips
    ((*_, time),) = clock.course(state, 0, rows, 1)
    clock.age_to(state, time)
    standing = state.standing(state.normalisation.norms)
    ones = state.backend.xp.ones_like
    standing = standing._replace(gains=ones(state.gains), scales=ones(standing.scales))
    lines: list[Any] = state.compiled.tile_lines(driven, standing, state.next_pass)
    state.next_pass += 1
    state.meter.cost.count_passes(state.net, state.chips * rows, 1, True)
    clock.advance(state, 1, rows)
    return lines
