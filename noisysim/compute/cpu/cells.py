"""What happens to cells, on the CPU: writes, pulses and time through the compiled loops, shared out among threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np

from noisysim.common.types import Floats, Ints
from noisysim.compute import execution, layout
from noisysim.compute.cell_state import CellState
from noisysim.compute.cpu.loop_types import CellArrays, CellLoops, Numbers, Share
from noisysim.compute.cpu.loops.wires import attenuate

SHARE = 1 << 17  # weights that are worth a task of their own
WRITE_SHARES = 16  # most tasks that share the writes of one chip
Counted: TypeAlias = tuple[int, int] | None


class Cells:
    """Changes the cells of some chips of one device.

    Parameters
    ----------
    state : CellState
    loops : CellLoops
        Of `noisysim.compute.jit.specialised.for_device`.
    numbers : NamedTuple
        The device's numbers that its hooks read.
    """

    def __init__(self, state: CellState, loops: CellLoops, numbers: Numbers):
        self._state, self._loops, self._numbers = state, loops, numbers
        self._done = np.zeros((state.chips, 2), np.int64)

    def done(self) -> Ints:
        """Cells programmed and pulses given by each chip since the last call, (chips, 2).

        Unless they are counted apart, chips that share a task are counted as the first of them.
        """
        done, self._done = self._done, np.zeros_like(self._done)
        return done

    def add(self, change: Floats) -> None:
        """Add a change, flat, to weights that are exact."""
        state = self._state
        self._done[:, 0] += change.size // state.chips
        self._loops.add_chips(change, state.chips, (state.table, state.tiles), state.weights)

    def write(self, change: Floats, every: bool, number: int, clock: float) -> None:
        """Program the cells to new targets: those that a change, flat, moves to another level, or every one."""
        state = self._state
        self._in_shares(
            lambda part: self._loops.write_chips(
                change, every, part, (state.table, state.tiles), self._cells(), state.scales, state.units,
                state.span, state.verify_limits, (number, state.write_keys, clock), state.weights,
                state.written_variances, self._numbers,
            )
        )  # fmt: skip

    def pulse(self, change: Floats, number: int, clock: float) -> None:
        """Give the cells the pulses that a change, flat, asks for."""
        state = self._state
        self._in_shares(
            lambda part: self._loops.pulse_chips(
                change, part, (state.table, state.tiles), self._cells(), state.pulsing, state.units, state.span,
                state.pulse_limits, (number, state.write_keys, clock), state.weights,
                state.written_variances, self._numbers,
            )
        )  # fmt: skip

    def age(self, clock: float, layers: tuple[int, int]) -> None:
        """Let time do its work on the cells of some layers: the first, and behind the last."""
        state = self._state
        self._in_shares(
            lambda part: self._loops.age_chips(
                layers, part, (state.table, state.tiles), self._cells(), state.units, state.span, clock,
                state.weights, state.variances, self._numbers,
            )
        )  # fmt: skip

    def wire(self, clock: float, layers: tuple[int, int]) -> None:
        """Put into the weights of some layers what arrays with wires pass, instead of what their cells hold."""
        state, net = self._state, self._state.net
        for layer in range(*layers):
            n_out, n_in = net.shapes[layer]
            first, count = state.table[layer, layout.FIRST_TILE], state.table[layer, layout.TILES]
            for m in range(state.chips):
                cells_at = state.chips * state.table[layer, layout.CELLS_AT] + m * n_out * n_in
                cells = slice(cells_at, cells_at + n_out * n_in)
                for tile in range(first, first + count):
                    self._wire_tile(layer, tile, (tile - first) // (count // net.slices), m, cells, clock)

    def _wire_tile(self, layer: int, tile: int, s: int, m: int, cells: slice, clock: float) -> None:
        """One tile of one chip: both sides of slice s."""
        state, (n_out, n_in) = self._state, self._state.net.shapes[layer]
        start, stop, at, _ = state.tiles[tile]
        at = state.chips * at + m * n_out * (stop - start)
        span = slice(at, at + n_out * (stop - start))
        through, varied = [], []
        for k in (2 * s, 2 * s + 1):
            g = np.maximum(state.now[k, cells].reshape(n_out, n_in)[:, start:stop], 0)
            lines = state.net.column_tiles(layer)
            each = [self._passed(g[a:b], k % 2 == 1 and not state.paired) for a, b in lines]
            passed, factor = (np.concatenate(parts) for parts in zip(*each, strict=True))
            through.append(passed)
            if state.variances.size:
                varied.append(self._read_variance(k, cells, layer, s, clock)[:, start:stop] * factor * factor)
        state.weights[span] = ((through[0] - through[1]) * state.units[layer, s]).ravel()
        if state.variances.size:
            state.variances[span] = (varied[0] + varied[1]).ravel()

    def _passed(self, g: Floats, reference: bool) -> tuple[Floats, Floats]:
        """What an array of cells passes, µS, and what share of each cell's current arrives, (n_out, n_in) each."""
        factor = np.ones_like(g)
        if reference:
            return g, factor
        attenuate(g, np.float32(1e6 / self._state.wire), factor)
        if not self._state.exact_wires:
            return g * factor, factor
        from noisysim.devices.physics.wires import transfer  # SciPy's solvers take a while to import

        return transfer(g, self._state.wire).astype(np.float32), factor

    def _read_variance(self, k: int, cells: slice, layer: int, s: int, clock: float) -> Floats:
        """Variances that the cells of one side of a layer add to a read, in weight units."""
        state = self._state
        out = np.zeros(cells.stop - cells.start, np.float32)
        if k % 2 == 0 or state.paired:
            run = (int(cells.start), int(cells.stop))
            self._loops.add_variances(self._cells(), k, run, clock, state.units[layer, s], out, self._numbers)
        return out.reshape(state.net.shapes[layer])

    def _cells(self) -> CellArrays:
        """The cells as the loops take them: an empty tuple for what a device does not have."""
        state = self._state
        times = (state.fresh, state.since) if state.timed else ((), ())
        return (
            state.targets,
            state.now,
            *times,
            state.own if state.varied else (),
            state.stuck if state.faulty else (),
            state.aimed if state.aims else (),
        )

    @cached_property
    def _parts(self) -> list[Share]:
        """The first chip of a task, the one behind its last, how many there are, and which share of a chip's cells."""
        chips, size = self._state.chips, self._state.targets.size // self._state.chips
        turns = min(max(size // SHARE, 1), WRITE_SHARES)
        at_once = max(1, SHARE // size) if turns == 1 and not self._state.apart else 1
        members = execution.spans(chips, at_once)
        return [(first, last, chips, (turn, turns)) for first, last in members for turn in range(turns)]

    def _in_shares(self, work: Callable[[Share], Counted]) -> None:
        """Run the work in tasks, each on some chips or on a part of one, and count what they did."""
        parts = self._parts
        counts: list[Counted] = [None] * len(parts)

        def work_on(k: int) -> None:
            counts[k] = work(parts[k])

        if len(parts) == 1:
            work_on(0)
        else:
            execution.run([partial(work_on, k) for k in range(len(parts))], 200.0 * self._state.targets.size)
        for (first, *_), counted in zip(parts, counts, strict=True):
            if counted is not None:
                self._done[first] += counted
