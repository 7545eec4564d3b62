"""The cell of a recurrent layer on a GPU, step after step, in the array namespace's own operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.rules import recurrence as rules
from noisysim.networks.recurrent_kinds import Recurrence
from noisysim.networks.tiling import Network


class Cell:
    """A recurrent layer's cells in one pass, of some samples of each chip.

    Parameters
    ----------
    net : Network
    layer : int
        Of the second array.
    first : array
        The first array's lines, (chips, samples, steps, lines).
    outputs : array
        Room for what the layer gives, (chips, samples, steps units).

    Attributes
    ----------
    output : array
        What the last step gave, (chips, samples, units).
    """

    def __init__(self, net: Network, layer: int, first: Floats, outputs: Floats):
        cell = net.blocks[layer].recurrence
        assert cell is not None
        self._cell: Recurrence = cell
        self._first, self._outputs = first, outputs
        self.output: Any = xp.zeros((*first.shape[:2], cell.units), np.float32)
        self._state: Any = xp.zeros_like(self.output)
        self._of_first: list[Any] = []

    def driving(self, read: int) -> Any:
        """What drives the second array at a read, (chips, samples, units)."""
        if read % self._cell.reads == 0:
            return self.output
        n, first = self._cell.units, self._first[:, :, read // self._cell.reads]
        return rules.reset(first[..., :n] + self._of_first[0], self.output)

    def take(self, read: int, lines: Floats) -> None:
        """Take the second array's lines of a read, (chips, samples, lines), which stay as they are.

        Those of a step's last read give the next output.
        """
        n = self._cell.units
        t, k = divmod(read, self._cell.reads)
        gates = self._cell.lines // n
        a, b = ([part[..., k * n : (k + 1) * n] for k in range(gates)] for part in (self._first[:, :, t], lines))
        if k + 1 < self._cell.reads:
            self._of_first = b[:2]
            return
        if self._cell.cell == "lstm":
            i, f, g, o = (one + other for one, other in zip(a, b, strict=True))
            self.output, self._state = rules.lstm(i, f, g, o, self._state)
        elif self._cell.cell == "gru":
            self.output = rules.gru(a[0] + b[0], a[1] + b[1], a[2], b[2], self.output)
        elif self._cell.cell == "gru_reset_before":
            self.output = rules.gated(a[1] + self._of_first[1], a[2] + b[2], self.output)
        else:
            self.output = xp.tanh(a[0] + b[0])
        self._outputs[..., t * n : (t + 1) * n] = self.output
