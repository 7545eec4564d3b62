"""What happens to cells, on a GPU: writes, pulses, time and wires."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import ModuleType

import numpy as np

from noisysim.common.types import Array, Bools, Floats, Ints
from noisysim.compute import grouping, layout
from noisysim.compute.behaviour import Behaviour
from noisysim.compute.cell_state import CellState
from noisysim.compute.cuda import specialised
from noisysim.compute.cuda.arrays import put, take, xp
from noisysim.compute.cuda.kernels import target, wires
from noisysim.compute.cuda.pulse_trains import Trains
from noisysim.compute.factors import Factors
from noisysim.compute.optimizer_step import Step, rate_in_array


def _kernels(state: CellState, behaviour: Behaviour) -> ModuleType:
    """The kernels that change cells, with the device's hooks in them."""
    constants = {
        "HAS_CELL_STD": "cell_std" in behaviour.own, "HAS_DRIFT": "drift" in behaviour.own, "TIMED": state.timed,
        "AIMED": state.aims, "PAIRED": state.paired, "VERIFIED": state.verified, "FAULTY": state.faulty,
        "ROUNDS": bool(state.target_step > 0), "ACCUMULATES": state.chi.size > 0, "APPARENT": state.apparent,
    }  # fmt: skip
    return specialised.for_device("cells", behaviour, constants)


class Cells:
    """Changes the cells of some chips of one device.

    Parameters
    ----------
    state : CellState
    behaviour : Behaviour
        The device's.

    Attributes
    ----------
    counts : array
        Cells programmed, pulses given and cells read since `done`, (chips, 3) int64, of chips that are counted apart;
        (1, 3) of all together.
    """

    def __init__(self, state: CellState, behaviour: Behaviour):
        self._state, self._loops = state, _kernels(state, behaviour)
        self._numbers = specialised.numbers_of(self._loops, behaviour)
        self.counts, self._added = xp.zeros((state.chips if state.apart else 1, 3), np.int64), 0
        self._table, self._tiles = put(state.table), put(state.tiles)
        self._scales, self._units, self._pers = put(state.scales), put(state.units), put(state.pulsing)
        sizes = state.table[:, layout.N_IN] * state.table[:, layout.N_OUT]
        ends = np.cumsum(-(-sizes // layout.CELL_BLOCK))
        self._blocks, self._blocks_at = state.chips * int(ends[-1]), put(np.concatenate([[0], ends]))
        trains = None if state.exact else state.trains
        self._trains = None if trains is None else Trains(state, trains, self._table, self._pers)
        self._none, self._never = xp.zeros((1, 1), np.float32), xp.zeros((1, 1))

    def done(self) -> Ints:
        """Cells programmed, pulses given and cells read for a write by each chip since the last call, (chips, 3).

        Unless they are counted apart, what kernels count is taken for the first chip's.
        """
        done = np.zeros((self._state.chips, 3), np.int64)
        done[: len(self.counts)] = take(self.counts)
        done[:, 0] += self._added
        self.counts[:] = 0
        self._added = 0
        return done

    def add(self, change: Floats) -> None:
        """Add a change, flat, to weights that are exact."""
        state, m = self._state, self._state.chips
        self._added += change.size // m
        if len(state.tiles) == len(state.table):  # weights are laid out like changes
            state.weights += change
            return
        for n_in, n_out, first, count, _, _, at, *_ in state.table.tolist():
            layer_change = change[m * at : m * (at + n_in * n_out)].reshape(-1, n_in)
            for start, stop, to, _ in state.tiles[first : first + count].tolist():
                tile = state.weights[m * to : m * (to + n_out * (stop - start))].reshape(-1, stop - start)
                tile += layer_change[:, start:stop]

    def write(self, change: Floats, every: bool, number: int, clock: float) -> None:
        """Program the cells to new targets: those that a change, flat, moves to another level, or every one."""
        state, loops, n = self._state, self._loops, self._state.cell_count
        targets = state.targets if state.knows_targets else xp.zeros(n, np.float32)
        target.launch(
            loops.write_cells, n, change, every, targets, *self._cells(),
            *self._weights(state.written_variances), self.counts, self._table, self._tiles,
            self._scales, self._units, state.span, state.verify_limits, state.target_step, number, clock, state.chips,
            state.write_keys, self._numbers,
        )  # fmt: skip
        if not state.knows_targets:
            targets.fill(0)  # freed memory tells nothing

    def move(self, change: Floats, number: int, clock: float) -> None:
        """Move cells from where they are, as a change, flat, asks for: what controllers do that keep no targets."""
        state, loops, chi = self._state, self._loops, self._state.chi if self._state.chi.size else self._none[0]
        written = (change, chi, *self._cells(), *self._weights(state.written_variances), self.counts, self._table)
        when = (number, clock, state.chips, state.write_keys, self._numbers)
        if state.kind == "modify":
            most = np.float32(state.pulse_limits.pulses)
            target.launch(
                loops.modify_cells, change.size, *written, self._tiles, self._pers, self._scales, self._units,
                state.span, state.verify_limits, most, state.reading, *when,
            )  # fmt: skip
            return
        if state.kind == "step":
            target.launch(
                loops.step_cells, change.size, *written, self._tiles, self._pers, self._units, state.span,
                state.pulse_limits, state.step, state.reading, *when,
            )  # fmt: skip
            return
        if state.kind == "mean":
            target.launch(
                loops.mean_cells, change.size, change, *written[2:], self._tiles, self._pers, self._units, state.span,
                state.pulse_limits, *when,
            )  # fmt: skip
            return
        arguments = (
            *written, self._tiles, self._blocks_at, self._pers, self._units, state.span, state.pulse_limits, *when,
        )  # fmt: skip
        target.start(loops.pulse_cells, self._blocks, loops.PULSERS, *arguments)

    def descend(self, factors: Factors, step: Callable[[], Step], number: int, clock: float) -> Bools:
        """Do the step of plain SGD in the array, of a gradient given as factors; says whose change is not finite.

        Pulse trains do it; where a pulse may have any size, each weight changes by just what it asks for. Waits for the
        GPU.
        """
        state, rate, loops = self._state, rate_in_array(step()), self._loops
        if self._trains is None:
            refused: Bools = np.zeros(state.chips, bool)
            self.move(grouping.descended(state.net, factors, rate, refused).flat, number, clock)
            return refused
        trains = self._trains.drawn(factors, rate, number)
        target.start(
            loops.train_cells, self._blocks, loops.PULSERS, *trains, *self._cells(),
            *self._weights(state.written_variances), self.counts, self._table, self._tiles, self._blocks_at,
            self._units, state.span, state.pulse_limits, number, clock, state.chips, state.write_keys, self._numbers,
        )  # fmt: skip
        refused = take(trains.refused) != 0
        return refused

    def age(self, clock: float, layers: tuple[int, int]) -> None:
        """Let time do its work on the cells of some layers: the first, and behind the last."""
        state, (first, last) = self._state, self._span(layers)
        target.launch(
            self._loops.age_cells, last - first, first, last, *self._cells(), *self._weights(state.variances),
            self._table, self._tiles, self._units, state.span, clock, state.chips, self._numbers,
        )  # fmt: skip

    def _span(self, layers: tuple[int, int]) -> tuple[int, int]:
        """Where the weights of some layers of all chips start and end, as cells are counted."""
        state = self._state
        ends = [*(state.chips * state.table[:, layout.CELLS_AT]).tolist(), state.cell_count]
        return ends[layers[0]], ends[layers[1]]

    def wire(self, clock: float, layers: tuple[int, int]) -> None:
        """Put into the weights of some layers what arrays with wires pass, instead of what their cells hold."""
        state, (factor, passed), (first, last) = self._state, self._buffers, self._span(layers)
        sides = len(state.now) if state.paired else 1  # a fixed reference has no wires
        resistance = np.float64(1.0) / np.float64(np.float32(1e6 / state.wire))
        for kernel, (lines, table), out in (
            (wires.bit_lines, self._lines[0], (factor,)),
            (wires.word_lines, self._lines[1], (factor, passed)),
        ):
            elements = sides * state.chips * lines
            target.launch(kernel, elements, state.now, sides, lines, state.chips, table, resistance, *out)
        if state.exact_wires:
            self._solve(passed, sides)
        now, _, since, own, stuck, aimed = self._cells()
        target.launch(
            self._loops.wire_cells, last - first, first, last, passed, factor, now, since, own, stuck, aimed,
            *self._weights(state.variances), self._table, self._tiles, self._units, state.span, clock, state.chips,
            self._numbers,
        )  # fmt: skip

    def _solve(self, passed: Floats, sides: int) -> None:
        """What arrays pass by the exact solution of their wires, on the CPU."""
        from noisysim.devices.physics.wires import transfer  # SciPy's solvers take a while to import

        state, net, solved = self._state, self._state.net, take(passed)
        now = np.maximum(take(state.now), 0)
        for layer, (n_out, n_in) in enumerate(net.shapes):
            for m in range(state.chips):
                at = state.chips * state.table[layer, layout.CELLS_AT] + m * n_out * n_in
                for side in range(sides):
                    g, through = (a[side, at : at + n_out * n_in].reshape(n_out, n_in) for a in (now, solved))
                    for a, b in net.column_tiles(layer):
                        for c, e in net.row_tiles(layer):
                            through[a:b, c:e] = transfer(g[a:b, c:e], state.wire)
        passed[...] = put(solved)

    @cached_property
    def _buffers(self) -> tuple[Floats, Floats]:
        """Shares of cells' currents that arrive, and what arrays pass, µS: (sides, cells) each."""
        shape = self._state.now.shape
        return xp.zeros(shape, np.float32), xp.zeros(shape, np.float32)

    @cached_property
    def _lines(self) -> list[tuple[int, Ints]]:
        """Of bit lines and of word lines: how many one side of a chip has, and the table `arrays` of the kernels."""
        net, at, lines_of = self._state.net, self._state.table[:, layout.CELLS_AT].tolist(), list[tuple[int, Ints]]()
        for cuts, axis in ((net.row_tiles, 0), (net.column_tiles, 1)):
            rows, lines = [], 0
            for layer, shape in enumerate(net.shapes):
                for start, stop in cuts(layer):
                    rows.append((at[layer], shape[1], shape[0], start, stop, lines))
                    lines += shape[axis]
            lines_of.append((lines, put(np.array(rows, np.int64))))
        return lines_of

    def _cells(self) -> tuple[Array, ...]:
        """The cells as the kernels take them: one entry, never read, for what a device does not have."""
        state = self._state
        fresh = state.fresh if state.timed or state.apparent else self._none
        since = state.since if state.timed else self._never
        own = state.own.reshape(len(state.own), -1) if state.varied else self._none
        stuck, aimed = state.stuck if state.faulty else self._none, state.aimed if state.aims else self._none
        return state.now, fresh, since, own, stuck, aimed

    def _weights(self, variances: Floats) -> tuple[Floats, Floats]:
        """The weights, and the variances of their reads that are brought up to date."""
        return self._state.weights, variances if variances.size else self._none[0]
