"""Cells that wear out: each is stuck where it is once it has been written as often as its own endurance says.

A cycle is an update that changes what a cell holds, however many pulses that takes; loading the initial weights is one.
A worn cell is stuck like one that was stuck from the start: it answers to no write, and does not age.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Array, Doubles
from noisysim.compute.cell_state import CellState


class Wear:
    """The wear of all cells of some chips.

    Parameters
    ----------
    state : CellState
        Whose `stuck` are to grow more.
    endurances : array
        Writes that each cell answers to, (sides, cells) float64.
    xp : module

    Attributes
    ----------
    cycles : array
        Updates that have written each cell, (sides, cells) int64.
    """

    def __init__(self, state: CellState, endurances: Doubles, xp: ModuleType):
        self._state, self._endurances, self._xp = state, endurances, xp
        self.cycles: Array = xp.zeros(endurances.shape, np.int64)

    @property
    def secrets(self) -> list[Array]:
        """What no observation may tell of, besides `cycles`."""
        return [self._endurances]

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what is written in this block; cells whose time has come are stuck behind it."""
        state = self._state
        held = state.fresh if state.fresh.size else state.now  # what writes left, whatever time makes of it
        before = held.copy()
        yield
        self.cycles += (held != before) & self._xp.isnan(state.stuck)
        before.fill(0)  # freed memory tells nothing
        self.hold()

    def hold(self) -> None:
        """Let the cells that are worn out be stuck where they are."""
        stuck = self._state.stuck
        stuck[...] = self._xp.where(self._worn & self._xp.isnan(stuck), self._state.now, stuck)

    @property
    def _worn(self) -> Any:
        return self.cycles >= self._endurances

    def shares(self, layers: Sequence[slice]) -> Doubles:
        """Share of each chip's cells that are worn out, (chips,), of the layers whose cells are there."""
        state = self._state
        sides, chips = len(state.now) if state.paired else 1, state.chips
        of_layers = [self._worn[:sides, here].reshape(sides, chips, -1).sum(axis=(0, 2)) for here in layers]
        worn: Doubles = np.sum([count.tolist() for count in of_layers], axis=0) * (chips / (sides * state.now.shape[1]))
        return worn
