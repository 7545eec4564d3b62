"""The arrays of cells that carry a network's weights, of one chip or of several: fabrication, writes, ageing."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

import noisysim.devices as devices
from noisysim.chip import ageing
from noisysim.chip.fabrication import DEAD, Fabrication
from noisysim.compute import backends, layout, seeding
from noisysim.compute.jit import specialised
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import Network

CELL_HOOKS = frozenset({"program", "pulse", "drift", "cell_std", "jump", "read_cell"})
"""Hooks that are about cells: a device without any has weights that are exactly what was asked for."""


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
    target : numpy.ndarray
        What the last write of each aimed at, uS, (slices, 2, n_out, n_in); after pulses of an open loop, what it held
        then. NaN for a device whose hooks do not ask for it.
    """

    plus: np.ndarray
    minus: np.ndarray
    stuck: np.ndarray
    age: np.ndarray
    target: np.ndarray


def hook_numbers(loops: Any, device: Device) -> Any:
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

    def __init__(self, net: Network, device: Device, seed: seeding.Seeds, chips: int = 1, backend: str = "cpu"):
        own = devices.own_hooks(device)
        self.net, self.device, self.chips, self.apart = net, device, chips, isinstance(seed, Sequence)
        self._backend = backends.get(backend)
        self.table, self.tiles = net.layout()
        self.has_cells = bool(own & CELL_HOOKS)
        self.numbers = numbers = resolve(device)
        self.paired = numbers.paired
        self.pulsed, self.verified = "pulse" in own, "pulse" in own and numbers.verified
        hooks = devices.hooks(device)
        self._check(own)
        self.timed = devices.ages(device)
        compensated = "drift" in own and numbers.compensated and self.knows_targets
        self.aims = compensated or any(device_files.takes_target(hooks[hook]) for hook in ("drift", "cell_std"))
        self.pace = ageing.pace_of(device) if self.timed else None
        self.written_at = 0.0  # when any cell was written last
        self.write_keys = self._put(seeding.keys(seed, "chip/write", chips))
        self.fabrication = Fabrication(net, device, seeding.keys(seed, "chip/fabrication", chips))
        self.spreads = self.fabrication.spreads
        self.faulty = self.has_cells and numbers.faulty
        constants = {
            "HAS_CELL_STD": "cell_std" in own, "HAS_DRIFT": "drift" in own, "TIMED": self.timed, "AIMED": self.aims,
            "PAIRED": self.paired, "SLICED": net.slices > 1, "VERIFIED": self.verified,
            "HAS_OWN": bool(self.spreads["cell"]), "FAULTY": self.faulty,
        }  # fmt: skip
        loops = specialised.for_device(
            "cells", device._fields, hooks, self.spreads, constants, backend=self._backend.NAME
        )
        self._lay_out(not ageing.reads_are_silent(device))
        # no read finds a cell as it was written: its variance is left to the next one
        self.lazy = self.pace is not None and self.pace.patience(0.0) < numbers.read_time
        self._cells = self._backend.Cells(self, loops, hook_numbers(loops, device))
        self.writes = 0
        erase_with(self, [*self.held.values(), self.own, self.stuck, self.write_keys, self.fabrication.keys])

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
        if self.numbers.wire_resistance and "read_cell" in own:
            raise ValueError(
                f"device {name!r} has wire_resistance, which acts on whole arrays, and reads every cell by itself "
                "(read_cell): set one of the two off"
            )
        if self.numbers.wire_resistance and self.numbers.nodal:
            from noisysim.devices.physics.wires import LARGEST  # SciPy's solvers take a while to import

            largest = max(
                (d - c) * (b - a) for i in range(net.depth) for a, b in net.row_tiles(i) for c, d in net.column_tiles(i)
            )
            if largest > LARGEST:
                raise ValueError(
                    f"device {name!r} has nodal=1: arrays of {largest} cells take too long to solve (at most "
                    f"{LARGEST}); make tile_rows smaller, or set nodal=0"
                )

    def _lay_out(self, varied: bool) -> None:
        net, numbers, has, xp = self.net, self.numbers, self.has_cells, self._backend.xp
        n, sides = self.chips * net.cells if has else 0, 2 * net.slices
        self.weights = xp.zeros(self.chips * net.cells * net.slices, np.float32)
        self.variances = xp.zeros(self.weights.size if varied else 0, np.float32)
        self.targets = xp.zeros(n, np.float32)
        self.now = xp.zeros((sides, n), np.float32)
        self.fresh = xp.zeros((sides, n) if self.timed else (0, 0), np.float32)
        self.since = xp.zeros((sides, n) if self.timed else (1, 0))
        self.aimed = xp.zeros((sides, n) if self.aims else (0, 0), np.float32)
        self.span = (np.float32(numbers.g_min), np.float32(numbers.span), net.slices, net.slice_bits)
        bounds = np.array([numbers.full_span_weight(inputs) for inputs in net.fan_in])
        self.scales = (1 / bounds).astype(np.float32)
        digits = 2**net.slice_bits - 1
        worth = [digits * 2 ** (net.slice_bits * (net.slices - 1 - s)) for s in range(net.slices)]
        shares = np.array(worth) / (2 ** (net.slice_bits * net.slices) - 1) if net.slices > 1 else np.ones(1)
        self.units = (bounds[:, None] * shares * (1 if self.paired else 2) / numbers.span).astype(np.float32)
        per = (1 if self.paired else 0.5) / numbers.pulse_step
        self.pulsing = (self.scales * per).astype(np.float32)
        self.pulse_limits = (numbers.pulse_limit, np.float32(numbers.refresh_at))
        self.verify_limits = (numbers.verify_pulses, np.float32(numbers.verify_tolerance))
        self.own = self._put(self.fabrication.cells())
        self.stuck = self._put(self.fabrication.faults() if self.faulty else np.zeros((0, 0), np.float32))
        self.wire = numbers.wire_resistance if has else 0.0
        self.exact_wires = numbers.nodal
        if has and not self.paired:
            self.now[1] = numbers.g_min + numbers.span / 2
            if self.stuck.size:
                self.now[1, self.stuck[1] == DEAD] = DEAD

    @property
    def held(self) -> dict[str, np.ndarray]:
        """The arrays that change in use."""
        return {n: getattr(self, n) for n in ("weights", "variances", "targets", "now", "fresh", "since", "aimed")}

    @property
    def written_variances(self) -> Any:
        """The variances that a write brings up to date."""
        return self.variances[:0] if self.lazy else self.variances

    @property
    def aged(self) -> list[Any]:
        """The arrays that time changes."""
        return [self.now, self.weights, self.variances] if self.timed else []

    def seen_at(self, clock: float) -> list[Cells]:
        """What `show` shows at a time; the cells themselves stay as old as they are."""
        kept = [(array, array.copy()) for array in self.aged]
        self.age(clock)
        shown = self.show(clock)
        for array, value in kept:
            array[...] = value
            value.fill(0)  # freed memory tells nothing
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
        now, stuck, since, aimed = take(self.now), take(self.stuck), take(self.since), take(self.aimed)
        for here, (n_out, n_in) in zip(self._layers(), self.net.shapes, strict=True):
            shape = (self.net.slices, 2, self.chips * n_out, n_in)
            g = np.maximum(now[:, here], 0).reshape(shape)
            held = ~np.isnan(stuck[:, here]).reshape(shape) if stuck.size else np.zeros(shape, bool)
            age = (clock - since[:, here]).reshape(shape) if self.timed else np.zeros(shape)
            target = aimed[:, here].reshape(shape).copy() if self.aims else np.full(shape, np.nan, np.float32)
            found.append(Cells(g[:, 0], g[:, 1], held, age, target))
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
        self.written_at = clock
        if self.wire:
            self._cells.wire(clock, (0, self.net.depth))

    def age(self, clock: float, layers: tuple[int, int] | None = None) -> None:
        """Let time do its work on the cells: of all layers, or of those from one to the one behind the last."""
        if self.timed:
            layers = layers or (0, self.net.depth)
            self._cells.age(clock, layers)
            if self.wire:
                self._cells.wire(clock, layers)

    def time_of_reads(self, start: float, end: float, read_time: float, seen_at: float) -> float:
        """The time at which cells stand for reads between two: that at which they do, if no difference is noticed.

        Parameters
        ----------
        start, end : float
            Of the reads, s.
        read_time : float
            Duration of one, s.
        seen_at : float
            The time at which the cells stand.
        """
        if self.pace is None:
            return seen_at
        youngest = self.written_at
        time = youngest + ageing.age_of_reads(start - youngest, end - youngest, read_time)
        return time if abs(time - seen_at) > self.pace.patience(max(seen_at - youngest, 0.0)) else seen_at

    def aimed_lines(self, driven: Sequence[Any]) -> list[Any]:
        """What the last writes aimed to put on the lines of every tile, (chips, rows, n_out), rows x positions.

        Parameters
        ----------
        driven : sequence of array
            What drives each layer, as an observation has it.
        """
        xp, found = self._backend.xp, []
        middle = self.span[0] + self.span[1] / 2
        for layer, (here, (n_out, n_in)) in enumerate(zip(self._layers(), self.net.shapes, strict=True)):
            x = driven[layer].reshape(self.chips, -1, n_in)
            first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
            for k, (start, stop, *_) in enumerate(self.tiles[first : first + count].tolist()):
                s = k // (int(count) // self.net.slices)
                minus = self.aimed[2 * s + 1, here] if self.paired else middle
                weights = ((self.aimed[2 * s, here] - minus) * self.units[layer, s]).reshape(self.chips, n_out, n_in)
                found.append(xp.matmul(x[:, :, start:stop], weights[:, :, start:stop].swapaxes(1, 2)))
        return found

    def done(self) -> tuple[int, int]:
        """Cells programmed and pulses given since this was asked last."""
        cells, pulses = self.done_by_chip().sum(axis=0).tolist()
        return cells, pulses

    def done_by_chip(self) -> np.ndarray:
        """The same of each chip, (chips, 2) int64; unless they are counted apart, only the sum is right."""
        return self._cells.done()

    def _put(self, array: np.ndarray) -> Any:
        return self._backend.put(array)


def erase(arrays: Iterable[Any]) -> None:
    """Overwrite copies of what a chip hides before they are freed: who is given their memory next finds nothing."""
    for array in arrays:
        array.fill(0)


def erase_with(owner: Any, arrays: Iterable[Any]) -> None:
    """Overwrite arrays when their owner is freed; not at the end of the process, when no code is left to look."""
    weakref.finalize(owner, erase, list(arrays)).atexit = False
