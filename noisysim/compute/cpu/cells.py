"""What happens to cells, on the CPU: writes, pulses and time through the compiled loops, shared out among threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from noisysim.compute import execution, layout
from noisysim.compute.cpu.loops.wires import attenuate

SHARE = 1 << 17  # weights that are worth a task of their own; a large network's writes are shared by
WRITE_SHARES = 16  # tasks at the most


class Cells:
    """Changes the cells of some chips of one device.

    Parameters
    ----------
    arrays : noisysim.chip.arrays.Arrays
        Whose cells.
    loops : module
        Those of cells (`noisysim.compute.jit.specialised.for_device`).
    numbers : NamedTuple
        What the loops take of the device.
    """

    def __init__(self, arrays: Any, loops: Any, numbers: Any):
        self._arrays, self._loops, self._numbers = arrays, loops, numbers
        self._done = np.zeros((arrays.chips, 2), np.int64)

    def done(self) -> np.ndarray:
        """Cells programmed and pulses given by each chip since this was asked last, (chips, 2).

        Unless they are counted apart, chips that share a task are counted as the first of them.
        """
        done, self._done = self._done, np.zeros_like(self._done)
        return done

    def add(self, change: np.ndarray) -> None:
        """Add a change, flat, to weights that are exact."""
        arrays = self._arrays
        self._done[:, 0] += change.size // arrays.chips
        self._loops.add_chips(change, arrays.chips, (arrays.table, arrays.tiles), arrays.weights)

    def write(self, change: np.ndarray, every: bool, number: int, clock: float) -> None:
        """Program the cells to new targets: those that a change, flat, moves to another level, or every one."""
        arrays = self._arrays
        self._in_shares(
            lambda part: self._loops.write_chips(
                change, every, part, (arrays.table, arrays.tiles), self._cells(), arrays.scales, arrays.units,
                arrays.span, arrays.verify_limits, (number, arrays.write_keys, clock), arrays.weights,
                arrays.written_variances, self._numbers,
            )
        )  # fmt: skip

    def pulse(self, change: np.ndarray, number: int, clock: float) -> None:
        """Give the cells the pulses that a change, flat, asks for."""
        arrays = self._arrays
        self._in_shares(
            lambda part: self._loops.pulse_chips(
                change, part, (arrays.table, arrays.tiles), self._cells(), arrays.pulsing, arrays.units, arrays.span,
                arrays.pulse_limits, (number, arrays.write_keys, clock), arrays.weights,
                arrays.written_variances, self._numbers,
            )
        )  # fmt: skip

    def age(self, clock: float, layers: tuple[int, int]) -> None:
        """Let time do its work on the cells of some layers: the first, and behind the last."""
        arrays = self._arrays
        self._in_shares(
            lambda part: self._loops.age_chips(
                layers, part, (arrays.table, arrays.tiles), self._cells(), arrays.units, arrays.span, clock,
                arrays.weights, arrays.variances, self._numbers,
            )
        )  # fmt: skip

    def wire(self, clock: float, layers: tuple[int, int]) -> None:
        """Put into the weights of some layers what arrays with wires pass, instead of what their cells hold."""
        arrays, net = self._arrays, self._arrays.net
        for layer in range(*layers):
            n_out, n_in = net.shapes[layer]
            first, count = arrays.table[layer, layout.FIRST_TILE], arrays.table[layer, layout.TILES]
            for m in range(arrays.chips):
                cells_at = arrays.chips * arrays.table[layer, layout.CELLS_AT] + m * n_out * n_in
                cells = slice(cells_at, cells_at + n_out * n_in)
                for tile in range(first, first + count):
                    self._wire_tile(layer, tile, (tile - first) // (count // net.slices), m, cells, clock)

    def _wire_tile(self, layer: int, tile: int, s: int, m: int, cells: slice, clock: float) -> None:
        """One tile of one chip: both sides of slice s."""
        arrays, (n_out, n_in) = self._arrays, self._arrays.net.shapes[layer]
        start, stop, at, _ = arrays.tiles[tile]
        at = arrays.chips * at + m * n_out * (stop - start)
        here = slice(at, at + n_out * (stop - start))
        through, varied = [], []
        for k in (2 * s, 2 * s + 1):
            g = np.maximum(arrays.now[k, cells].reshape(n_out, n_in)[:, start:stop], 0)
            lines = arrays.net.column_tiles(layer)
            each = [self._passed(g[a:b], k % 2 == 1 and not arrays.paired) for a, b in lines]
            passed, factor = (np.concatenate(parts) for parts in zip(*each, strict=True))
            through.append(passed)
            if arrays.variances.size:
                varied.append(self._read_variance(k, cells, layer, s, clock)[:, start:stop] * factor * factor)
        arrays.weights[here] = ((through[0] - through[1]) * arrays.units[layer, s]).ravel()
        if arrays.variances.size:
            arrays.variances[here] = (varied[0] + varied[1]).ravel()

    def _passed(self, g: np.ndarray, reference: bool) -> tuple[np.ndarray, np.ndarray]:
        """What an array of cells passes, uS, and what share of each cell's current arrives, (n_out, n_in) each."""
        factor = np.ones_like(g)
        if reference:
            return g, factor
        attenuate(g, np.float32(1e6 / self._arrays.wire), factor)
        if not self._arrays.exact_wires:
            return g * factor, factor
        from noisysim.devices.physics.wires import transfer

        return transfer(g, self._arrays.wire).astype(np.float32), factor

    def _read_variance(self, k: int, cells: slice, layer: int, s: int, clock: float) -> np.ndarray:
        """Variances that the cells of one side of a layer add to a read, in weight units."""
        arrays = self._arrays
        out = np.zeros(cells.stop - cells.start, np.float32)
        if k % 2 == 0 or arrays.paired:
            run = (int(cells.start), int(cells.stop))
            self._loops.add_variances(self._cells(), k, run, clock, arrays.units[layer, s], out, self._numbers)
        return out.reshape(arrays.net.shapes[layer])

    def _cells(self) -> tuple:
        """The cells as the loops take them: of what there is none, an empty tuple."""
        arrays = self._arrays
        times = (arrays.fresh, arrays.since) if arrays.timed else ((), ())
        return (
            arrays.targets,
            arrays.now,
            *times,
            arrays.own if arrays.spreads["cell"] else (),
            arrays.stuck if arrays.faulty else (),
            arrays.aimed if arrays.aims else (),
        )

    @cached_property
    def _parts(self) -> list[tuple]:
        """The first chip of a task, the one behind its last, how many there are, and which share of a chip's cells."""
        chips, size = self._arrays.chips, self._arrays.targets.size // self._arrays.chips
        turns = min(max(size // SHARE, 1), WRITE_SHARES)
        together = max(1, SHARE // size) if turns == 1 and not self._arrays.apart else 1
        members = execution.spans(chips, together)
        return [(first, last, chips, (turn, turns)) for first, last in members for turn in range(turns)]

    def _in_shares(self, work: Callable[[tuple], Any]) -> None:
        """Let tasks do the work, each on some chips or on a part of one, and count what they did."""
        parts = self._parts
        found: list[Any] = [None] * len(parts)

        def one(k: int) -> None:
            found[k] = work(parts[k])

        if len(parts) == 1:
            one(0)
        else:
            execution.run([partial(one, k) for k in range(len(parts))], 200.0 * self._arrays.targets.size)
        for (first, *_), counted in zip(parts, found, strict=True):
            if counted is not None:
                self._done[first] += counted
