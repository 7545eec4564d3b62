"""Recurrent layers as observations let them be computed: outputs of all steps, and derivatives through time.

The lines of both arrays are observed at every step: what the cell made of them follows, step after step
(`noisysim.compute.rules.recurrence`). Backpropagation through time goes back through the second array's weights as well
(Werbos 1990); rules that do not know them bring signals back through the cell's own state alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import algebra, backends
from noisysim.compute.observation import Observation
from noisysim.compute.rules import recurrence as rules
from noisysim.networks.architecture import Architecture
from noisysim.networks.recurrent_kinds import GATES, Recurrence


class Steps:
    """The steps of a recurrent layer in one pass.

    Parameters
    ----------
    net : Architecture
    layer : int
        Of the second array; the layer before it is the first.
    observation : Observation
    """

    def __init__(self, net: Architecture, layer: int, observation: Observation):
        cell = net.blocks[layer].recurrence
        assert cell is not None
        self._cell: Recurrence = cell
        self._xp = backends.backend_of(observation.output).xp
        self.count = net.positions[layer] // cell.reads
        self._first, self._second = (self._gates(observation.activities[k]) for k in (layer - 1, layer))
        """Lines of both arrays at each step, gate by gate."""
        self._before = list[tuple[Any, Any]]()
        """Output and state before each step."""
        self._outputs = self._run()

    def outputs(self) -> Floats:
        """What the layer gave at all steps, (batch, steps units)."""
        stacked: Floats = self._xp.stack(self._outputs, axis=1)
        return stacked.reshape(len(stacked), -1)

    def pull(self, signal: Floats, maps: Sequence[Floats], chips: int = 1) -> tuple[Floats, Floats]:
        """Signals at the lines of both arrays, of that at the outputs, (batch, steps units).

        Those of the first are (batch, steps, lines), of the second (batch, reads, lines).

        Parameters
        ----------
        signal : array
        maps : sequence of array
            The matrices between the second array's lines and the outputs that drive it, from the lines down; without
            any nothing comes back through them.
        chips : int
        """
        n, xp = self._cell.units, self._xp
        above = signal.reshape(len(signal), self.count, n)
        reads, lines = self._cell.reads, self._cell.lines
        first, second = (xp.empty((len(signal), k * self.count, lines), np.float32) for k in (1, reads))
        dh, dc = xp.zeros_like(above[:, 0]), xp.zeros_like(above[:, 0])
        for t in reversed(range(self.count)):
            a, b, dh, dc = self._pull_step(t, dh + above[:, t], dc, maps, chips)
            first[:, t] = xp.concatenate(a, axis=1)
            for read, gates in enumerate(b):
                second[:, reads * t + read] = xp.concatenate(gates, axis=1)
            dh = dh + self._back(second[:, reads * t], maps, chips)
        return first, second

    def push(self, first: Floats, second: Floats, maps: Sequence[Floats] = (), chips: int = 1) -> tuple[Floats, Floats]:
        """Changes of the second array's lines, (batch, reads, lines), and of the outputs, (batch, steps units).

        Parameters
        ----------
        first, second : array
            Changes of both arrays' lines, (batch, steps, lines) and (batch, reads, lines); of the second those alone
            that do not come from the change of what drives it.
        maps : sequence of array
            The matrices between the outputs and the second array's lines, from the outputs up.
        chips : int
        """
        xp, reads = self._xp, self._cell.reads
        dh = dc = xp.zeros_like(self._outputs[0])
        lines, moved = xp.array(second), list[Any]()
        for t in range(self.count):
            here = lines[:, reads * t : reads * (t + 1)]
            if maps:
                here[:, 0] += algebra.product(dh, maps, chips=chips, transposed=True)
            if maps and reads > 1:
                dr = first[:, t, : self._cell.units] + here[:, 0, : self._cell.units]
                driving = rules.reset_push(self._reset(t), self._before[t][0], dr, dh)
                here[:, 1] += algebra.product(driving, maps, chips=chips, transposed=True)
            dh, dc = self._push_step(t, self._of(first[:, t]), self._of_reads(here), dh, dc)
            moved.append(dh)
        return lines, xp.stack(moved, axis=1).reshape(len(second), -1)

    def _reset(self, t: int) -> Any:
        """The reset gate's lines of both arrays together at step t."""
        return self._first[t][0] + self._second[t][0]

    def _gates(self, lines: Floats) -> list[list[Any]]:
        """Lines of an array, (batch, steps or reads, lines), gate by gate of every step."""
        reads = lines.shape[1] // self.count
        return [self._of_reads(lines[:, reads * t : reads * (t + 1)]) for t in range(self.count)]

    def _of_reads(self, lines: Floats) -> list[Any]:
        """Lines of a step's reads, gate by gate: the last gate, a candidate, of the last read, others of the first."""
        return [*self._of(lines[:, 0])[:-1], self._of(lines[:, -1])[-1]]

    def _of(self, lines: Floats) -> list[Any]:
        """The lines of one step, gate by gate."""
        n = self._cell.units
        return [lines[:, k * n : (k + 1) * n] for k in range(GATES[self._cell.cell])]

    def _run(self) -> list[Any]:
        """The outputs of all steps."""
        h = c = self._xp.zeros_like(self._first[0][0])
        outputs = []
        for a, b in zip(self._first, self._second, strict=True):
            self._before.append((h, c))
            if self._cell.cell == "lstm":
                i, f, g, o = _sums(a, b)
                h, c = rules.lstm(i, f, g, o, c)
            elif self._cell.cell == "gru":
                h = rules.gru(a[0] + b[0], a[1] + b[1], a[2], b[2], h)
            elif self._cell.cell == "gru_reset_before":
                h = rules.gated(a[1] + b[1], a[2] + b[2], h)
            else:
                h = np.tanh(a[0] + b[0])
            outputs.append(h)
        return outputs

    def _pull_step(
        self, t: int, dh: Floats, dc: Floats, maps: Sequence[Floats], chips: int
    ) -> tuple[list[Any], list[list[Any]], Any, Any]:
        """Signals at the first array's gates, at the second's at each read, and at output and state before the step.

        Without those that the first read brings to the output before.
        """
        a, b, (h, c) = self._first[t], self._second[t], self._before[t]
        if self._cell.cell == "lstm":
            i, f, g, o = _sums(a, b)
            *gates, before = rules.lstm_pull(i, f, g, o, c, dh, dc)
            return gates, [gates], self._xp.zeros_like(dh), before
        if self._cell.cell == "gru":
            dr, dz, da, db, before = rules.gru_pull(a[0] + b[0], a[1] + b[1], a[2], b[2], h, dh)
            return [dr, dz, da], [[dr, dz, db]], before, dc
        if self._cell.cell == "gru_reset_before":
            dz, da, before = rules.gated_pull(a[1] + b[1], a[2] + b[2], h, dh)
            nothing = self._xp.zeros_like(da)
            driving = self._back(self._xp.concatenate([nothing, nothing, da], axis=1), maps, chips)
            dr, through = rules.reset_pull(self._reset(t), h, driving)
            return [dr, dz, da], [[dr, dz, nothing], [nothing, nothing, da]], before + through, dc
        gate = dh * (rules.ONE - self._outputs[t] ** 2)
        return [gate], [[gate]], self._xp.zeros_like(dh), dc

    def _back(self, lines: Floats, maps: Sequence[Floats], chips: int) -> Any:
        """What signals at the lines of a read bring to what drove it: nothing, where its weights are not known."""
        if not maps:
            return self._xp.zeros((len(lines), self._cell.units), np.float32)
        return algebra.product(self._xp.ascontiguousarray(lines), maps, chips=chips)

    def _push_step(self, t: int, da: list[Any], db: list[Any], dh: Floats, dc: Floats) -> tuple[Any, Any]:
        """Changes of output and state."""
        a, b, (h, c) = self._first[t], self._second[t], self._before[t]
        if self._cell.cell == "lstm":
            i, f, g, o = _sums(a, b)
            di, df, dg, do = _sums(da, db)
            return rules.lstm_push(i, f, g, o, c, di, df, dg, do, dc)  # type: ignore[no-any-return]
        if self._cell.cell == "gru":
            moved = rules.gru_push(
                a[0] + b[0], a[1] + b[1], a[2], b[2], h, da[0] + db[0], da[1] + db[1], da[2], db[2], dh
            )
            return moved, dc
        if self._cell.cell == "gru_reset_before":
            changes = da[1] + db[1], da[2] + db[2], dh
            return rules.gated_push(a[1] + b[1], a[2] + b[2], h, *changes), dc
        return (da[0] + db[0]) * (rules.ONE - self._outputs[t] ** 2), dc


def _sums(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    """Gates of both arrays together."""
    return [one + other for one, other in zip(a, b, strict=True)]
