"""What happens to cells, on the CPU: writes, pulses and time through the compiled loops, shared out among threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np

from noisysim.common.types import Bools, Floats, Ints
from noisysim.compute import execution, layout
from noisysim.compute.behaviour import Behaviour
from noisysim.compute.cell_state import CellState
from noisysim.compute.cpu import ops
from noisysim.compute.cpu.cell_kits import Kits, block_of, counted
from noisysim.compute.cpu.loops.cell_ageing import age_chips
from noisysim.compute.cpu.loops.cell_weights import add_chips, add_variances
from noisysim.compute.cpu.loops.cell_writes import WRITE, write_chips
from noisysim.compute.cpu.loops.wires import attenuate
from noisysim.compute.cpu.pulse_trains import Trains
from noisysim.compute.cpu.sweeping import Sweeps
from noisysim.compute.factors import Factors
from noisysim.compute.jit import ahead
from noisysim.compute.optimizer_step import Step

SHARE = 1 << 17  # weights that are worth a task of their own
WRITE_SHARES = 16  # most tasks that share the writes of one chip
Share: TypeAlias = tuple[int, int, int, tuple[int, int]]
"""The first chip, the one behind the last, how many there are, and (k, n): the k-th of n parts of a chip's cells."""
Counted: TypeAlias = tuple[int, int, int] | None


class Cells:
    """Changes the cells of some chips of one device.

    Parameters
    ----------
    state : CellState
    behaviour : Behaviour
    """

    def __init__(self, state: CellState, behaviour: Behaviour):
        self.state, self._kits = state, Kits(state, behaviour)
        self._done = np.zeros((state.chips, 3), np.int64)
        self.sweeps = Sweeps(state, self._kits)
        trains = None if state.exact else state.trains
        self._updates = self.sweeps if trains is None else Trains(state, trains, self._kits)
        ahead.expect(self._expected, execution.available_cores())

    def _expected(self) -> list[ahead.Job]:
        """What writes and updates call, in the order of need, after what helpers are to take last of all."""
        written = [*self._kits.expected("write"), ahead.Job(write_chips, WRITE)] if self.state.cell_count else []
        return [*ops.OFTEN, *written, *self._updates.expected()]

    def done(self) -> Ints:
        """Cells programmed, pulses given and cells read for a write by each chip since the last call, (chips, 3).

        Unless they are counted apart, chips that share a task are counted as the first of them.
        """
        done, self._done = self._done, np.zeros_like(self._done)
        return done

    def add(self, change: Floats) -> None:
        """Add a change, flat, to weights that are exact."""
        state = self.state
        self._done[:, 0] += change.size // state.chips
        add_chips(change, state.chips, state.table, state.tiles, state.weights)

    def write(self, change: Floats, every: bool, number: int, clock: float) -> None:
        """Program the cells to new targets: those that a change, flat, moves to another level, or every one."""
        self._change("verify" if self.state.verified and not every else "write", change, every, (number, clock))

    def move(self, change: Floats, number: int, clock: float) -> None:
        """Move cells from where they are, as a change, flat, asks for: what controllers do that keep no targets."""
        self._change(self.state.kind, change, False, (number, clock))

    def _change(self, kind: str, change: Floats, every: bool, when: tuple[int, float]) -> None:
        """Apply a change by the stages of a kind; ``when`` is the number of the write, and the clock."""
        counter = (when[0], self.state.write_keys, when[1])

        def work(part: Share) -> Counted:
            kits = self._kits.of(kind)
            count = write_chips(change, every, part, counter, kits[0][block_of(kind)], kits)
            return counted(kind, count, self.state.verified)

        self._in_shares(work)

    def descend(self, factors: Factors, take: Callable[[], Step], number: int, clock: float) -> Bools:
        """Write what an optimizer's step makes of a gradient given as factors; says whose change is not finite."""
        done, refused = self._updates.apply(factors, take, number, clock)
        self._done += done
        return refused

    def count(self, cells: int, pulses: int, reads: int) -> None:
        """Count what was done to the cells of all chips by a loop that writes by itself."""
        self._done[0] += cells, pulses, reads

    def age(self, clock: float, layers: tuple[int, int]) -> None:
        """Let time do its work on the cells of some layers: the first, and behind the last."""
        self._in_shares(lambda part: age_chips(layers, part, clock, self._kits.of("age")))

    def wire(self, clock: float, layers: tuple[int, int]) -> None:
        """Put into the weights of some layers what arrays with wires pass, instead of what their cells hold."""
        state, net = self.state, self.state.net
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
        state, (n_out, n_in) = self.state, self.state.net.shapes[layer]
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
                varied.append(self._read_variance(k, cells, layer, clock)[:, start:stop] * factor * factor)
        state.weights[span] = ((through[0] - through[1]) * state.units[layer, s]).ravel()
        if state.variances.size:
            state.variances[span] = (varied[0] + varied[1]).ravel()

    def _passed(self, g: Floats, reference: bool) -> tuple[Floats, Floats]:
        """What an array of cells passes, µS, and what share of each cell's current arrives, (n_out, n_in) each."""
        factor = np.ones_like(g)
        if reference:
            return g, factor
        attenuate(g, np.float32(1e6 / self.state.wire), factor)
        if not self.state.exact_wires:
            return g * factor, factor
        from noisysim.devices.physics.wires import transfer  # SciPy's solvers take a while to import

        return transfer(g, self.state.wire).astype(np.float32), factor

    def _read_variance(self, k: int, cells: slice, layer: int, clock: float) -> Floats:
        """Variances that the cells of one side of a layer add to a read, in weight units."""
        state = self.state
        out = np.zeros(cells.stop - cells.start, np.float32)
        if k % 2 == 0 or state.paired:
            kits = self._kits.of("read")
            add_variances(k, layer, int(cells.start), int(cells.stop), clock, out, kits)
        return out.reshape(state.net.shapes[layer])

    @cached_property
    def _parts(self) -> list[Share]:
        """The first chip of a task, the one behind its last, how many there are, and which share of a chip's cells."""
        chips, size = self.state.chips, self.state.cell_count // self.state.chips
        turns = min(max(size // SHARE, 1), WRITE_SHARES)
        at_once = max(1, SHARE // size) if turns == 1 and not self.state.apart else 1
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
            execution.run([partial(work_on, k) for k in range(len(parts))], 200.0 * self.state.cell_count)
        for (first, *_), count in zip(parts, counts, strict=True):
            if count is not None:
                self._done[first] += count
