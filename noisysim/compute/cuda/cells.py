"""What happens to cells, on a GPU: writes, pulses, time and wires."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from noisysim.compute import layout
from noisysim.compute.cuda.arrays import put, take, xp
from noisysim.compute.cuda.kernels import target, wires


class Cells:
    """Changes the cells of some chips of one device.

    Parameters
    ----------
    arrays : noisysim.chip.arrays.Arrays
        Whose cells. What it has is looked up at each call.
    loops : module
        Those of cells (`noisysim.compute.jit.specialised.for_device`).
    numbers : NamedTuple
        What the loops take of the device.

    Attributes
    ----------
    counts : array
        Cells programmed and pulses given since `done`, (2,) int64.
    by_chip : array
        Of chips that are counted apart the cells programmed, (chips,) int64.
    """

    def __init__(self, arrays: Any, loops: Any, numbers: Any):
        self._arrays, self._loops, self._numbers = arrays, loops, numbers
        self.counts, self._added = xp.zeros(2, np.int64), 0
        self._apart = arrays.apart and not arrays.pulsed
        self.by_chip = xp.zeros(arrays.chips, np.int64)
        self._table, self._tiles = put(arrays.table), put(arrays.tiles)
        self._scales, self._units, self._pers = put(arrays.scales), put(arrays.units), put(arrays.pulsing)
        sizes = arrays.table[:, layout.N_IN] * arrays.table[:, layout.N_OUT]
        ends = np.cumsum(-(-sizes // layout.CELL_BLOCK))
        self._blocks, self._blocks_at = arrays.chips * int(ends[-1]), put(np.concatenate([[0], ends]))
        self._ends = [arrays.chips * int(end) for end in ends]
        self._by_block = loops.TIMED and loops.HAS_CELL_STD  # what is refreshed depends on how much is written
        self._written = xp.zeros(self._blocks if self._by_block or self._apart else 1, np.int32)
        self._none, self._never = xp.zeros((1, 1), np.float32), xp.zeros((1, 1))

    def done(self) -> np.ndarray:
        """Cells programmed and pulses given by each chip since this was asked last, (chips, 2).

        What kernels count is taken for the first chip's, unless chips are counted apart: those written by pulses never.
        """
        done = np.zeros((self._arrays.chips, 2), np.int64)
        done[:, 0] = self._added
        if self._apart:
            done[:, 0] += take(self.by_chip)
        else:
            done[0] += take(self.counts)
        self.counts[:] = 0
        self.by_chip[:] = 0
        self._added = 0
        return done

    def add(self, change: Any) -> None:
        """Add a change, flat, to weights that are exact."""
        arrays, m = self._arrays, self._arrays.chips
        self._added += change.size // m
        if len(arrays.tiles) == len(arrays.table):  # weights lie like changes
            arrays.weights += change
            return
        for n_in, n_out, first, count, _, _, at, *_ in arrays.table.tolist():
            whole = change[m * at : m * (at + n_in * n_out)].reshape(-1, n_in)
            for start, stop, to, _ in arrays.tiles[first : first + count].tolist():
                tile = arrays.weights[m * to : m * (to + n_out * (stop - start))].reshape(-1, stop - start)
                tile += whole[:, start:stop]

    def write(self, change: Any, every: bool, number: int, clock: float) -> None:
        """Program the cells to new targets: those that a change, flat, moves to another level, or every one."""
        arrays, loops, n = self._arrays, self._loops, self._arrays.targets.size
        if every and self._apart:
            self.by_chip += len(arrays.now) * (n // arrays.chips) if arrays.paired else n // arrays.chips
        if (self._by_block or self._apart) and not every:
            self._written.fill(0)
            target.launch(
                loops.count_moved, n, change, arrays.targets, self._table, self._scales, arrays.span,
                arrays.verify_limits, arrays.chips, self._blocks_at, self._written, self._numbers,
            )  # fmt: skip
        if self._apart and not every:
            for first, last in zip([0, *self._ends[:-1]], self._ends, strict=True):
                self.by_chip += self._written[first:last].reshape(arrays.chips, -1).sum(axis=1, dtype=np.int64)
        target.launch(
            loops.write_cells, n, change, every, arrays.targets, *self._cells(), self._written,
            *self._weights(arrays.written_variances), self.counts, self._table, self._tiles, self._blocks_at,
            self._scales, self._units, arrays.span, arrays.verify_limits, number, clock, arrays.chips,
            arrays.write_keys, self._numbers,
        )  # fmt: skip

    def pulse(self, change: Any, number: int, clock: float) -> None:
        """Give the cells the pulses that a change, flat, asks for."""
        arrays = self._arrays
        given = (
            change, *self._cells(), *self._weights(arrays.written_variances), self.counts, self._table, self._tiles,
            self._blocks_at,
            self._pers, self._units, arrays.span, arrays.pulse_limits, number, clock, arrays.chips,
            arrays.write_keys, self._numbers,
        )  # fmt: skip
        self._loops.pulse_cells[self._blocks, self._loops.PULSERS](*[target._argument(a) for a in given])

    def age(self, clock: float, layers: tuple[int, int]) -> None:
        """Let time do its work on the cells of some layers: the first, and behind the last."""
        arrays, (first, last) = self._arrays, self._span(layers)
        target.launch(
            self._loops.age_cells, last - first, first, last, *self._cells(), *self._weights(arrays.variances),
            self._table, self._tiles, self._units, arrays.span, clock, arrays.chips, self._numbers,
        )  # fmt: skip

    def _span(self, layers: tuple[int, int]) -> tuple[int, int]:
        """Where the weights of some layers of all chips start and end, as cells are counted."""
        arrays = self._arrays
        ends = [*(arrays.chips * arrays.table[:, layout.CELLS_AT]).tolist(), arrays.targets.size]
        return ends[layers[0]], ends[layers[1]]

    def wire(self, clock: float, layers: tuple[int, int]) -> None:
        """Put into the weights of some layers what arrays with wires pass, instead of what their cells hold."""
        arrays, (factor, passed), (first, last) = self._arrays, self._buffers, self._span(layers)
        sides = len(arrays.now) if arrays.paired else 1  # a fixed reference has no wires
        resistance = np.float64(1.0) / np.float64(np.float32(1e6 / arrays.wire))
        for kernel, (lines, table), out in (
            (wires.bit_lines, self._lines[0], (factor,)),
            (wires.word_lines, self._lines[1], (factor, passed)),
        ):
            elements = sides * arrays.chips * lines
            target.launch(kernel, elements, arrays.now, sides, lines, arrays.chips, table, resistance, *out)
        if arrays.exact_wires:
            self._solve(passed, sides)
        now, _, since, own, stuck, aimed = self._cells()
        target.launch(
            self._loops.wire_cells, last - first, first, last, passed, factor, now, since, own, stuck, aimed,
            *self._weights(arrays.variances), self._table, self._tiles, self._units, arrays.span, clock, arrays.chips,
            self._numbers,
        )  # fmt: skip

    def _solve(self, passed: Any, sides: int) -> None:
        """What arrays pass by the exact solution of their wires, on the CPU."""
        from noisysim.devices.physics.wires import transfer  # SciPy's solvers take a while to import

        arrays, net, solved = self._arrays, self._arrays.net, take(passed)
        now = np.maximum(take(arrays.now), 0)
        for layer, (n_out, n_in) in enumerate(net.shapes):
            for m in range(arrays.chips):
                at = arrays.chips * arrays.table[layer, layout.CELLS_AT] + m * n_out * n_in
                for side in range(sides):
                    g, found = (a[side, at : at + n_out * n_in].reshape(n_out, n_in) for a in (now, solved))
                    for a, b in net.column_tiles(layer):
                        for c, e in net.row_tiles(layer):
                            found[a:b, c:e] = transfer(g[a:b, c:e], arrays.wire)
        passed[...] = put(solved)

    @cached_property
    def _buffers(self) -> tuple[Any, Any]:
        """Shares of cells' currents that arrive, and what arrays pass, uS: (sides, cells) each."""
        shape = self._arrays.now.shape
        return xp.zeros(shape, np.float32), xp.zeros(shape, np.float32)

    @cached_property
    def _lines(self) -> list[tuple[int, Any]]:
        """Of bit lines and of word lines: how many one side of a chip has, and the table `arrays` of the kernels."""
        net, at, found = self._arrays.net, self._arrays.table[:, layout.CELLS_AT].tolist(), []
        for cuts, own in ((net.row_tiles, 0), (net.column_tiles, 1)):
            rows, lines = [], 0
            for layer, shape in enumerate(net.shapes):
                for start, stop in cuts(layer):
                    rows.append((at[layer], shape[1], shape[0], start, stop, lines))
                    lines += shape[own]
            found.append((lines, put(np.array(rows, np.int64))))
        return found

    def _cells(self) -> tuple[Any, ...]:
        """The cells as the loops take them: of what there is none, one entry that is not used."""
        arrays = self._arrays
        fresh, since = (arrays.fresh, arrays.since) if arrays.timed else (self._none, self._never)
        own = arrays.own.reshape(len(arrays.own), -1) if arrays.spreads["cell"] else self._none
        stuck, aimed = arrays.stuck if arrays.faulty else self._none, arrays.aimed if arrays.aims else self._none
        return arrays.now, fresh, since, own, stuck, aimed

    def _weights(self, variances: Any) -> tuple[Any, Any]:
        """The weights, and the variances of their reads that are brought up to date."""
        return self._arrays.weights, variances if variances.size else self._none[0]
