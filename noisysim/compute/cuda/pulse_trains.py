"""Updates in the array on a GPU: the trains of an update's samples, as the kernels that let them meet take them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noisysim.common.types import Floats, Ints, Words
from noisysim.compute import layered
from noisysim.compute.cell_state import CellState, TrainLimits
from noisysim.compute.cuda import ops, specialised
from noisysim.compute.cuda.arrays import put, xp
from noisysim.compute.cuda.kernels import target
from noisysim.compute.factors import Factors, factor_places
from noisysim.compute.rules.trains import SLOTS


class Drawn(NamedTuple):
    """The trains of an update.

    Attributes
    ----------
    columns, rows : array
        Words of slots, of columns (words, values of the inputs) and of rows (words, values of the signals), uint32.
    places : array
        Where layers start in them (`factors` of `noisysim.compute.layout`).
    refused : array
        Whether a chip's change is not finite, (chips,) int32.
    """

    columns: Words
    rows: Words
    places: Ints
    refused: Ints


class Trains:
    """Draws the trains of some chips.

    Parameters
    ----------
    state : CellState
    limits : TrainLimits
    table, pulsing : array
        Those of `state`, on the GPU.
    """

    def __init__(self, state: CellState, limits: TrainLimits, table: Ints, pulsing: Floats):
        self._state, self._limits, self._table, self._pulsing = state, limits, table, pulsing
        self._words = -(-limits.slots // SLOTS)
        self._places: dict[int, Ints] = {}

    def drawn(self, factors: Factors, rate: float, number: int) -> Drawn:
        """The trains of all samples of an update, of the learning rate of a batch; `number` is that of the write."""
        state, kernels = self._state, specialised.trains()
        samples = len(factors.inputs[0]) // state.chips
        if samples not in self._places:
            self._places[samples] = put(factor_places(state.net, state.chips, samples))
        inputs = layered.layered(factors.inputs).flat
        signals = ops.signals(factors.terms, factors.normed, 1.0, state.chips).flat
        drawn = Drawn(
            xp.empty((self._words, inputs.size), np.uint32), xp.empty((self._words, signals.size), np.uint32),
            self._places[samples], xp.zeros(state.chips, np.int32),
        )  # fmt: skip
        rows, width = state.chips * samples * sum(state.net.positions), max(max(shape) for shape in state.net.shapes)
        target.launch_rows(
            kernels.draw_trains, rows, width, inputs, signals, drawn.columns, drawn.rows, drawn.places, self._table,
            self._pulsing, state.chips, rate / samples, *self._limits, number, state.write_keys, drawn.refused,
        )  # fmt: skip
        return drawn
