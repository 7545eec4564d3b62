"""The arrays of cells that carry a network's weights: fabrication, writes, ageing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import noisysim.devices as devices
from noisysim import device_files, execution, seeding
from noisysim.fabrication import DEAD, Fabrication, number
from noisysim.fields import declared
from noisysim.kernels import build, layout, specialised
from noisysim.kernels.cpu.wires import attenuate
from noisysim.network import Network

CELL_HOOKS = frozenset({"program", "pulse", "drift", "cell_std", "jump", "read_cell"})
"""Hooks that are about cells: a device without any has weights that are exactly what was asked for."""
SHARE = 1 << 17  # weights that are worth a task of their own; a large network's writes are shared by
WRITE_SHARES = 16  # tasks at the most
STALE = 0.01  # of the device's own time scale: how far the clock may run ahead of the cells


class Cells(NamedTuple):
    """One layer's cells, as a microscope would show them.

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
    """The arrays of one chip. A device without hooks about cells has plain weights.

    Parameters
    ----------
    net : Network
    device : device
    seed : int
        Of fabrication and write noise.
    """

    def __init__(self, net: Network, device: Any, seed: int):
        own, fields = devices.own_hooks(device), declared(type(device))
        self.net, self.device = net, device
        self.table, self.tiles = net.layout()
        self.has_cells = bool(own & CELL_HOOKS)
        self.paired = number(device, "cells_per_weight", 2) != 1
        self.pulsed, self.verified = "pulse" in own, "pulse" in own and number(device, "verify_pulses", 0) > 0
        hooks = devices.hooks(device)
        self._check(own)
        switched = any(spec.hook == "drift" for spec in fields.values())  # then ageing is off where drift is
        aged = "cell_std" in own and not switched and build.uses(hooks["cell_std"], "t")
        self.timed = "drift" in own or aged
        self._keys = {p: seeding.key(seed, f"chip/{p}") for p in ("write", "fabrication")}
        self.fabrication = Fabrication(net, device, self._keys["fabrication"])
        self.spreads = self.fabrication.spreads
        self.faulty = self.has_cells and self.fabrication.faulty
        constants = {
            "HAS_CELL_STD": "cell_std" in own, "HAS_DRIFT": "drift" in own, "TIMED": self.timed, "PAIRED": self.paired,
            "SLICED": net.slices > 1, "VERIFIED": self.verified, "HAS_OWN": bool(self.spreads["cell"]),
            "FAULTY": self.faulty,
        }  # fmt: skip
        self._loops = specialised.for_device("cells", device._fields, hooks, self.spreads, constants)
        self._numbers = numbers(self._loops, device)
        self._lay_out("cell_std" in own)
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
        net, device, has = self.net, self.device, self.has_cells
        n, sides = net.cells if has else 0, 2 * net.slices
        self.weights = np.zeros(net.cells * net.slices, np.float32)
        self.variances = np.zeros(self.weights.size if varied else 0, np.float32)
        self.targets = np.zeros(n, np.float32)
        self.now = np.zeros((sides, n), np.float32)
        self.fresh = np.zeros((sides, n) if self.timed else (0, 0), np.float32)
        self.since = np.zeros((sides, n) if self.timed else (1, 0))
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
        self._pulsing = (self.scales * per).astype(np.float32)
        self._pulse_limits = (int(number(device, "pulse_limit", 31)), np.float32(number(device, "refresh_at", 0.9)))
        tolerance = np.float32(number(device, "verify_tolerance", 0.01))
        self._verify_limits = (int(number(device, "verify_pulses", 0)), tolerance)
        self.own = self.fabrication.cells()
        self.stuck = self.fabrication.faults() if self.faulty else np.zeros((0, 0), np.float32)
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

    def weight_arrays(self) -> list[np.ndarray]:
        """Copies of the weights that the arrays amount to, (n_out, n_in) a layer."""
        arrays = []
        for layer, (n_out, n_in) in enumerate(self.net.shapes):
            whole = np.zeros((n_out, n_in), np.float32)
            first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
            for start, stop, at, _ in self.tiles[first : first + count]:
                whole[:, start:stop] += self.weights[at : at + n_out * (stop - start)].reshape(n_out, stop - start)
            arrays.append(whole)
        return arrays

    def wanted_weights(self) -> list[np.ndarray]:
        """The weights as the write controller knows them, (n_out, n_in) a layer."""
        if not self.has_cells:
            return self.weight_arrays()
        ends = np.cumsum([a * b for a, b in self.net.shapes])
        parts = zip(np.split(self.targets, ends[:-1]), self.net.shapes, self.scales, strict=True)
        return [part.reshape(shape) / scale for part, shape, scale in parts]

    def show(self, clock: float) -> list[Cells]:
        """Copies of what the cells hold, one `Cells` a layer; a device without cells has none to show."""
        if not self.has_cells:
            return []
        found = []
        ends = np.cumsum([a * b for a, b in self.net.shapes])
        for shape, end in zip(self.net.shapes, ends, strict=True):
            here = slice(end - shape[0] * shape[1], end)
            g = np.maximum(self.now[:, here], 0).reshape(self.net.slices, 2, *shape)
            stuck = ~np.isnan(self.stuck[:, here]).reshape(g.shape) if self.stuck.size else np.zeros(g.shape, bool)
            age = (clock - self.since[:, here]).reshape(g.shape) if self.timed else np.zeros(g.shape)
            found.append(Cells(g[:, 0], g[:, 1], stuck, age))
        return found

    # -- changes -------------------------------------------------------------------------------------------------

    def write(self, change: np.ndarray, every: bool, clock: float) -> tuple[int, int]:
        """Ask for a change of every weight, (n,) float32; returns cells programmed, and pulses given."""
        loops = self._loops
        if not self.has_cells:
            return loops.add_weights(change, self.table, self.tiles, self.weights), 0
        counter = (self.writes, *self._keys["write"], clock)
        if self.pulsed and not self.verified and not every:
            work, sizes, limits = partial(self._loops.pulse_cells, change), self._pulsing, self._pulse_limits
        else:
            work, sizes, limits = partial(self._loops.write_cells, change, every), self.scales, self._verify_limits
        cells, net = self._cells(), (self.table, self.tiles)
        counts = self._in_shares(
            lambda share: work(
                share, net, cells, sizes, self.units, self.span, limits, counter, self.weights, self.variances,
                self._numbers,
            )
        )  # fmt: skip
        self.writes += 1
        if every and not self.timed and self.variances.size and not self.variances.any():
            self.variances = np.zeros(0, np.float32)  # cells without read noise cost no second product
        self._wire(clock)
        return sum(c[0] for c in counts), sum(c[1] for c in counts)

    def age(self, clock: float) -> None:
        """Let time do its work on the cells."""
        if self.timed:
            self._in_shares(
                lambda share: self._loops.age_cells(
                    share, (self.table, self.tiles), self._cells(), self.units, self.span, clock, self.weights,
                    self.variances, self._numbers,
                )
            )  # fmt: skip
            self._wire(clock)

    @property
    def patience(self) -> float:
        """Seconds that the clock may run ahead of the cells."""
        return STALE * number(self.device, "drift_start", 0.0)

    def _cells(self) -> tuple:
        """The cells as the loops take them: of what there is none, an empty tuple."""
        times = (self.fresh, self.since) if self.timed else ((), ())
        return (
            self.targets,
            self.now,
            *times,
            self.own if self.spreads["cell"] else (),
            self.stuck if self.faulty else (),
        )

    def _in_shares(self, work: Callable[[tuple[int, int]], Any]) -> list[Any]:
        size = self.targets.size
        turns = min(max(size // SHARE, 1), WRITE_SHARES)
        if turns == 1:
            return [work((0, 1))]
        found: list[Any] = [None] * turns

        def one(turn: int) -> None:
            found[turn] = work((turn, turns))

        execution.run([partial(one, turn) for turn in range(turns)], 200.0 * size)
        return found

    def _wire(self, clock: float) -> None:
        """Where wires resist: put into the weights what arrays pass, instead of what their cells hold."""
        if not self.wire:
            return
        for layer, (n_out, n_in) in enumerate(self.net.shapes):
            first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
            cells = slice(self.table[layer, layout.CELLS_AT], self.table[layer, layout.CELLS_AT] + n_out * n_in)
            lines = self.net.column_tiles(layer)
            for tile in range(first, first + count):
                s = (tile - first) // (count // self.net.slices)
                start, stop, at, _ = self.tiles[tile]
                here = slice(at, at + n_out * (stop - start))
                through, varied = [], []
                for k in (2 * s, 2 * s + 1):
                    g = np.maximum(self.now[k, cells].reshape(n_out, n_in)[:, start:stop], 0)
                    arrays = [self._passed(g[a:b], k % 2 == 1 and not self.paired) for a, b in lines]
                    passed, factor = (np.concatenate(parts) for parts in zip(*arrays, strict=True))
                    through.append(passed)
                    if self.variances.size:
                        own = self._read_variance(k, cells, layer, s, clock)[:, start:stop]
                        varied.append(own * factor * factor)
                self.weights[here] = ((through[0] - through[1]) * self.units[layer, s]).ravel()
                if self.variances.size:
                    self.variances[here] = (varied[0] + varied[1]).ravel()

    def _passed(self, g: np.ndarray, reference: bool) -> tuple[np.ndarray, np.ndarray]:
        """What an array of cells passes, uS, and what share of each cell's current arrives, (n_out, n_in) each."""
        factor = np.ones_like(g)
        if reference:
            return g, factor
        attenuate(g, np.float32(1e6 / self.wire), factor)
        if not self.exact_wires:
            return g * factor, factor
        from noisysim.wires import transfer

        return transfer(g, self.wire).astype(np.float32), factor

    def _read_variance(self, k: int, cells: slice, layer: int, s: int, clock: float) -> np.ndarray:
        """Variances that the cells of one side of a layer add to a read, in weight units."""
        out = np.zeros(cells.stop - cells.start, np.float32)
        if k % 2 == 0 or self.paired:
            run = (int(cells.start), int(cells.stop))
            self._loops.add_variances(self._cells(), k, run, clock, self.units[layer, s], out, self._numbers)
        return out.reshape(self.net.shapes[layer])
