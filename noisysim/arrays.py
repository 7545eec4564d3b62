"""The arrays of cells that carry a network's weights, of one chip or of several: fabrication, writes, ageing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import noisysim.devices as devices
from noisysim import backends, device_files, seeding
from noisysim.fabrication import DEAD, Fabrication, number
from noisysim.kernels import layout, specialised
from noisysim.network import Network

CELL_HOOKS = frozenset({"program", "pulse", "drift", "cell_std", "jump", "read_cell"})
"""Hooks that are about cells: a device without any has weights that are exactly what was asked for."""
STALE = 0.01  # of the device's own time scale: how far the clock may run ahead of the cells


class Cells(NamedTuple):
    """One layer's cells, as a microscope would show them; of several chips, the rows of one after those of another.

    Attributes
    ----------
    plus, minus : numpy.ndarray
        Conductances now, uS, (slices, n_out, n_in). With one cell a weight, minus is the fixed reference.
    stuck : numpy.ndarray
        Which do not answer to writes, bool, (slices, 2, n_out, n_in).
    age : numpy.ndarray
        Seconds since each was written, (slices, 2, n_out, n_in); zeros for a device that does not age.
    """

    plus: np.ndarray
    minus: np.ndarray
    stuck: np.ndarray
    age: np.ndarray


def numbers(loops: Any, device: Any) -> Any:
    """What loops take of a device: the numbers that its hooks read, float32."""
    given = device_files.scalars(device)
    return loops.Numbers(*(given.get(field, np.float32(0.0)) for field in loops.Numbers._fields))


class Arrays:
    """The arrays of some chips of one device. A device without hooks about cells has plain weights.

    What belongs to a layer or a tile of all chips lies together, chip after chip.

    Parameters
    ----------
    net : Network
    device : device
    seed : int or sequence of int
        Of fabrication and write noise; of each chip its own: then what they do is counted apart.
    chips : int
    backend : str
        Where the arrays lie.
    """

    def __init__(self, net: Network, device: Any, seed: seeding.Seeds, chips: int = 1, backend: str = "cpu"):
        own = devices.own_hooks(device)
        self.net, self.device, self.chips, self.apart = net, device, chips, isinstance(seed, Sequence)
        self._backend = backends.get(backend)
        self.table, self.tiles = net.layout()
        self.has_cells = bool(own & CELL_HOOKS)
        self.paired = number(device, "cells_per_weight", 2) != 1
        self.pulsed, self.verified = "pulse" in own, "pulse" in own and number(device, "verify_pulses", 0) > 0
        hooks = devices.hooks(device)
        self._check(own)
        self.timed = devices.ages(device)
        self.write_keys = self._put(seeding.keys(seed, "chip/write", chips))
        self.fabrication = Fabrication(net, device, seeding.keys(seed, "chip/fabrication", chips))
        self.spreads = self.fabrication.spreads
        self.faulty = self.has_cells and self.fabrication.faulty
        constants = {
            "HAS_CELL_STD": "cell_std" in own, "HAS_DRIFT": "drift" in own, "TIMED": self.timed, "PAIRED": self.paired,
            "SLICED": net.slices > 1, "VERIFIED": self.verified, "HAS_OWN": bool(self.spreads["cell"]),
            "FAULTY": self.faulty,
        }  # fmt: skip
        loops = specialised.for_device(
            "cells", device._fields, hooks, self.spreads, constants, backend=self._backend.NAME
        )
        self._lay_out("cell_std" in own)
        self._cells = self._backend.Cells(self, loops, numbers(loops, device))
        self.writes = 0

    def _check(self, own: frozenset[str]) -> None:
        """What a device's fields and hooks must satisfy together."""
        name, net = devices.name_of(self.device), self.net
        if net.slices > 1 and not self.has_cells:
            raise ValueError(f"device {name!r} has slices={net.slices}, but no hook about cells to write them by")
        if net.slices > 1 and (not self.paired or (self.pulsed and not self.verified)):
            raise ValueError(
                f"device {name!r} has slices={net.slices}: bit slices need cells_per_weight=2 and writes to a stored "
                "target (program, or pulses with verify_pulses > 0)"
            )
        if net.slices > 1 and net.slices * net.slice_bits > 20:
            raise ValueError(
                f"device {name!r}: slices x slice_bits may be 20 bits at most, not {net.slices * net.slice_bits}"
            )
        if number(self.device, "wire_resistance", 0.0) and "read_cell" in own:
            raise ValueError(
                f"device {name!r} has wire_resistance, which acts on whole arrays, and reads every cell by itself "
                "(read_cell): set one of the two off"
            )
        if number(self.device, "wire_resistance", 0.0) and number(self.device, "nodal", 0):
            from noisysim.wires import LARGEST  # SciPy's solvers take a while to import

            largest = max(
                (d - c) * (b - a) for i in range(net.depth) for a, b in net.row_tiles(i) for c, d in net.column_tiles(i)
            )
            if largest > LARGEST:
                raise ValueError(
                    f"device {name!r} has nodal=1: arrays of {largest} cells take too long to solve (at most "
                    f"{LARGEST}); make tile_rows smaller, or set nodal=0"
                )

    def _lay_out(self, varied: bool) -> None:
        net, device, has, xp = self.net, self.device, self.has_cells, self._backend.xp
        n, sides = self.chips * net.cells if has else 0, 2 * net.slices
        self.weights = xp.zeros(self.chips * net.cells * net.slices, np.float32)
        self.variances = xp.zeros(self.weights.size if varied else 0, np.float32)
        self.targets = xp.zeros(n, np.float32)
        self.now = xp.zeros((sides, n), np.float32)
        self.fresh = xp.zeros((sides, n) if self.timed else (0, 0), np.float32)
        self.since = xp.zeros((sides, n) if self.timed else (1, 0))
        g_min, g_max = number(device, "g_min", 0.0), number(device, "g_max", 1.0)
        self.span = (np.float32(g_min), np.float32(g_max - g_min), net.slices, net.slice_bits)
        bound = number(device, "weight_bound", 0.0)
        reach = number(device, "weight_range", 8.0)
        bounds = np.array([bound or reach / np.sqrt(m) for m in net.fan_in])
        self.scales = (1 / bounds).astype(np.float32)
        digits = 2**net.slice_bits - 1
        worth = [digits * 2 ** (net.slice_bits * (net.slices - 1 - s)) for s in range(net.slices)]
        shares = np.array(worth) / (2 ** (net.slice_bits * net.slices) - 1) if net.slices > 1 else np.ones(1)
        self.units = (bounds[:, None] * shares * (1 if self.paired else 2) / (g_max - g_min)).astype(np.float32)
        per = (1 if self.paired else 0.5) / number(device, "pulse_step", 1e-3)
        self.pulsing = (self.scales * per).astype(np.float32)
        self.pulse_limits = (int(number(device, "pulse_limit", 31)), np.float32(number(device, "refresh_at", 0.9)))
        tolerance = np.float32(number(device, "verify_tolerance", 0.01))
        self.verify_limits = (int(number(device, "verify_pulses", 0)), tolerance)
        self.own = self._put(self.fabrication.cells())
        self.stuck = self._put(self.fabrication.faults() if self.faulty else np.zeros((0, 0), np.float32))
        self.wire = number(device, "wire_resistance", 0.0) if has else 0.0
        self.exact_wires = number(device, "nodal", 0) == 1
        if has and not self.paired:
            self.now[1] = g_min + (g_max - g_min) / 2
            if self.stuck.size:
                self.now[1, self.stuck[1] == DEAD] = DEAD

    @property
    def held(self) -> dict[str, np.ndarray]:
        """The arrays that change in use."""
        return {n: getattr(self, n) for n in ("weights", "variances", "targets", "now", "fresh", "since")}

    def seen_at(self, clock: float) -> list[Cells]:
        """What `show` shows at a time; the cells themselves stay as old as they are."""
        kept = [(array, array.copy()) for array in (self.now, self.weights, self.variances)]
        self.age(clock)
        shown = self.show(clock)
        for array, value in kept:
            array[...] = value
        return shown

    @property
    def knows_targets(self) -> bool:
        """Whether a write controller keeps what the weights should be."""
        return not self.pulsed or self.verified

    def weight_arrays(self) -> list[Any]:
        """Copies of the weights that the arrays amount to, (chips n_out, n_in) a layer, where they lie."""
        arrays = []
        for layer, (n_out, n_in) in enumerate(self.net.shapes):
            whole = self._backend.xp.zeros((self.chips * n_out, n_in), np.float32)
            first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
            for start, stop, at, _ in self.tiles[first : first + count].tolist():
                lies = slice(self.chips * at, self.chips * (at + n_out * (stop - start)))
                whole[:, start:stop] += self.weights[lies].reshape(-1, stop - start)
            arrays.append(whole)
        return arrays

    def wanted_weights(self) -> list[Any]:
        """The weights as the write controller knows them, (chips n_out, n_in) a layer, where they lie."""
        if not self.has_cells:
            return self.weight_arrays()
        found = []
        for here, (_, n_in), scale in zip(self._layers(), self.net.shapes, self.scales, strict=True):
            found.append(self.targets[here].reshape(-1, n_in) / scale)
        return found

    def _layers(self) -> list[slice]:
        """Where the cells of each layer lie."""
        ends = [self.chips * int(end) for end in np.cumsum([a * b for a, b in self.net.shapes])]
        return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]

    def show(self, clock: float) -> list[Cells]:
        """Copies of what the cells hold, one `Cells` a layer; a device without cells has none to show."""
        if not self.has_cells:
            return []
        found, take = [], self._backend.take
        now, stuck, since = take(self.now), take(self.stuck), take(self.since)
        for here, (n_out, n_in) in zip(self._layers(), self.net.shapes, strict=True):
            shape = (self.net.slices, 2, self.chips * n_out, n_in)
            g = np.maximum(now[:, here], 0).reshape(shape)
            held = ~np.isnan(stuck[:, here]).reshape(shape) if stuck.size else np.zeros(shape, bool)
            age = (clock - since[:, here]).reshape(shape) if self.timed else np.zeros(shape)
            found.append(Cells(g[:, 0], g[:, 1], held, age))
        return found

    # -- changes -------------------------------------------------------------------------------------------------

    def write(self, change: Any, every: bool, clock: float) -> None:
        """Ask for a change of every weight, float32, flat, layer by layer and in each chip by chip."""
        if not self.has_cells:
            self._cells.add(change)
            return
        if self.pulsed and not self.verified and not every:
            self._cells.pulse(change, self.writes, clock)
        else:
            self._cells.write(change, every, self.writes, clock)
        self.writes += 1
        if every and not self.timed and self.variances.size and not bool(self.variances.any()):
            self.variances = self.variances[:0].copy()  # cells without read noise cost no second product
        if self.wire:
            self._cells.wire(clock)

    def age(self, clock: float) -> None:
        """Let time do its work on the cells."""
        if self.timed:
            self._cells.age(clock)
            if self.wire:
                self._cells.wire(clock)

    def done(self) -> tuple[int, int]:
        """Cells programmed and pulses given since this was asked last."""
        cells, pulses = self.done_by_chip().sum(axis=0).tolist()
        return cells, pulses

    def done_by_chip(self) -> np.ndarray:
        """The same of each chip, (chips, 2) int64; unless they are counted apart, only the sum is right."""
        return self._cells.done()

    @property
    def patience(self) -> float:
        """Seconds that the clock may run ahead of the cells."""
        return STALE * number(self.device, "drift_start", 0.0)

    def _put(self, array: np.ndarray) -> Any:
        return self._backend.put(array)
