"""The arrays of cells that carry a network's weights, of one chip or of several: fabrication, writes, ageing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import numpy as np

import noisysim.devices as devices
from noisysim.chip import ageing, array_checks, array_updates
from noisysim.chip.erasing import erase, erase_with
from noisysim.chip.fabrication import DEAD, Fabrication
from noisysim.chip.shown_cells import Cells
from noisysim.chip.wear import Wear
from noisysim.chip.weight_scaling import LineScales
from noisysim.common.types import Array, Bools, Floats, Words
from noisysim.compute import backends, layout, seeding
from noisysim.compute.behaviour import Behaviour
from noisysim.compute.cell_state import CellState, PulseLimits, Reading, Span, VerifyLimits
from noisysim.compute.factors import Factors, Sweeping
from noisysim.compute.optimizer_step import Step
from noisysim.devices import controllers
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import Network

MOST_STEPS = 1 << 20
"""Of a cell in one update, where one write makes them all."""


class Arrays(CellState):
    """The cells of some chips of one device. A device without hooks about cells has plain weights.

    What belongs to a layer or a tile of all chips is in one piece, chip after chip.

    Parameters
    ----------
    net : Network
    device : device
    seed : int or sequence of int
        Of fabrication and write noise; of each chip its own: then what they do is counted apart.
    chips : int
    backend : str
        That computes on them.
    scaling : str
        Which weight the full span stands for (`noisysim.chip.weight_scaling`). Weights without cells have no span.
    part : str
        Of the chip, whose noise and spread these are: others are independent of them.

    Attributes
    ----------
    line_scales : LineScales
        What the weights of output lines are divided by on the cells.
    scaled : bool
        Whether they are divided by anything.
    """

    def __init__(
        self, net: Network, device: Device, seed: seeding.Seeds, chips: int = 1, backend: str = "cpu",
        scaling: str = "fixed", part: str = "chip",
    ):  # fmt: skip
        own, hooks = devices.own_hooks(device), devices.hooks(device)
        self.device, self.numbers = device, resolve(device)
        self._backend = backends.get(backend)
        self.has_cells = bool(own & array_checks.CELL_HOOKS)
        self.verified = "pulse" in own and self.numbers.verified
        array_checks.check(net, device, self.numbers, own)
        array_updates.check_device(device, self.numbers, scaling)
        self.fabrication = Fabrication(net, device, seeding.keys(seed, f"{part}/fabrication", chips))
        self.spreads = self.fabrication.spreads
        self.behaviour = Behaviour(hooks, own, device_files.scalars(device), self.spreads)
        self.pace = ageing.pace_of(device) if devices.ages(device) else None
        self.written_at = 0.0  # when any cell was written last
        self.writes = 0
        super().__init__(**self._laid_out(net, seed, chips, part))
        self.scaled = self.has_cells and scaling != "fixed"
        spans = [self.numbers.full_span_weight(inputs) for inputs in net.fan_in]
        self.line_scales = LineScales(net, chips, scaling if self.scaled else "fixed", spans, self._backend.xp)
        self.cells = self._backend.Cells(self, self.behaviour)
        self.wear = None
        if self.has_cells and self.numbers.max_cycles:
            self.wear = Wear(self, self._put(self.fabrication.endurances()), self._backend.xp)
        self._secrets = [self.own, self.stuck, self.write_keys, self.fabrication.keys]
        self._secrets += self.wear.secrets if self.wear else []
        self._erasure = erase_with(self, [*self.held.values(), *self._secrets])

    def _laid_out(self, net: Network, seed: seeding.Seeds, chips: int, part: str) -> dict[str, Any]:
        """The fields of `CellState`, for cells that were never written."""
        numbers, own, hooks = self.numbers, devices.own_hooks(self.device), devices.hooks(self.device)
        timed, pulsed = self.pace is not None, "pulse" in own
        controller = controllers.controller_of(numbers, pulsed)
        compensated = "drift" in own and numbers.compensated and controller == "copy"
        aims = compensated or any(device_files.takes_target(hooks[hook]) for hook in ("drift", "cell_std"))
        faulty = self.has_cells and numbers.faulty
        table, tiles = net.layout()
        return {
            "net": net, "chips": chips, "apart": isinstance(seed, Sequence), "table": table, "tiles": tiles,
            "controller": controller, "paired": numbers.paired, "pulsed": pulsed, "verified": self.verified,
            "timed": timed, "aims": aims, "faulty": faulty,
            "at_once": self.has_cells and ageing.acts_at_once(self.device),
            "varied": bool(self.spreads["cell"]), "apparent": "appear" in own,
            # no read finds a cell as it was written: its variance is left to the next one
            "lazy": self.pace is not None and self.pace.patience(0.0) < numbers.read_time,
            **self._scales(net, pulsed and not self.verified),
            **self._empty_arrays(net, chips, timed, aims, faulty, controller),
            "write_keys": self._put(seeding.keys(seed, f"{part}/write", chips)),
            "wire": numbers.wire_resistance if self.has_cells else 0.0,
            "exact_wires": numbers.nodal,
        }  # fmt: skip

    def _scales(self, net: Network, open_loop: bool) -> dict[str, Any]:
        """How weights, targets, conductances and pulses or steps are converted into each other."""
        numbers, equal = self.numbers, net.slice_bits == 0 or net.slices == 1
        bounds = np.array([numbers.full_span_weight(inputs) for inputs in net.fan_in])
        digits = 2**net.slice_bits - 1
        worth = [digits * 2 ** (net.slice_bits * (net.slices - 1 - s)) for s in range(net.slices)]
        shares = np.full(net.slices, 1 / net.slices) if equal else np.array(worth) / sum(worth)
        scales = (1 / bounds).astype(np.float32)
        of_pulse = numbers.pulse_step or 1.0  # without a step changes are shares of the span
        step = of_pulse if open_loop else numbers.least_change if equal else 1 / sum(worth)
        turns = net.slices if open_loop else 1  # of equal slices one gets all pulses
        pulses = (turns if numbers.paired else 0.5) / step
        quantum = numbers.read_quantum if equal else 1 / digits  # a cell of a slice of bits is known to hold a digit
        codes, most = 2 ** (numbers.target_bits - 1) - 1, numbers.pulse_limit if open_loop else MOST_STEPS
        return {
            "span": Span(np.float32(numbers.g_min), np.float32(numbers.span), net.slices, net.slice_bits),
            "scales": scales,
            "units": (bounds[:, None] * shares * (1 if numbers.paired else 2) / numbers.span).astype(np.float32),
            "pulsing": (scales * pulses).astype(np.float32),
            "step": np.float32(step * numbers.span),
            "target_step": np.float32(1 / codes if numbers.target_bits else 0),
            "reading": Reading(np.float32(numbers.line_deviation * numbers.span), np.float32(quantum * numbers.span)),
            "pulse_limits": PulseLimits(most, np.float32(numbers.refresh_at)),
            "exact": numbers.pulse_step == 0 and "pulse" in devices.own_hooks(self.device),
            "trains": array_updates.train_limits(numbers),
            "verify_limits": VerifyLimits(numbers.verify_pulses, np.float32(numbers.verify_tolerance)),
        }

    def _empty_arrays(
        self, net: Network, chips: int, timed: bool, aims: bool, faulty: bool, controller: str
    ) -> dict[str, Any]:
        """Arrays of cells and weights, of which only the reference of single cells and what is stuck hold anything."""
        numbers, xp, apparent = self.numbers, self._backend.xp, "appear" in devices.own_hooks(self.device)
        sides, n = 2 * net.slices, chips * net.cells if self.has_cells else 0
        weights = chips * net.cells * net.slices
        silent = ageing.reads_are_silent(self.device)
        stuck = self._put(self.fabrication.faults() if faulty else np.zeros((0, 0), np.float32))
        now = xp.zeros((sides, n), np.float32)
        if self.has_cells and not numbers.paired:
            now[1] = numbers.g_min + numbers.span / 2
            if stuck.size:
                now[1, stuck[1] == DEAD] = DEAD
        return {
            "weights": xp.zeros(weights, np.float32),
            "variances": xp.zeros(0 if silent else weights, np.float32),
            "targets": xp.zeros(n if controller == "copy" else 0, np.float32),
            "chi": xp.zeros(n if controllers.accumulates(controller) else 0, np.float32),
            "now": now,
            "fresh": xp.zeros((sides, n) if timed or apparent else (0, 0), np.float32),
            "since": xp.zeros((sides, n) if timed else (1, 0)),
            "aimed": xp.zeros((sides, n) if aims else (0, 0), np.float32),
            "own": self._put(self.fabrication.cells()),
            "stuck": stuck,
        }

    @property
    def held(self) -> dict[str, Array]:
        """The arrays that change in use, of all parts."""
        return {**self.own_held, **self.digital}

    @property
    def digital(self) -> dict[str, Array]:
        """What a controller keeps besides that of each weight's last write."""
        return {}

    @property
    def own_held(self) -> dict[str, Array]:
        """The arrays of these cells that change in use."""
        names = ("weights", "variances", "targets", "chi", "now", "fresh", "since", "aimed")
        cycles = {"cycles": self.wear.cycles} if self.wear else {}
        return {**{name: getattr(self, name) for name in names}, "line_scales": self.line_scales.flat, **cycles}

    def hand_over(self) -> dict[str, Array]:
        """`held`, whose memory belongs to who asks: it outlives these cells, of which nothing is asked any more."""
        self._erasure.detach()
        self._erasure = erase_with(self, self._secrets)
        return self.held

    @property
    def parts(self) -> list[Arrays]:
        """The arrays of cells that these consist of, the weights' own first."""
        return [self]

    @property
    def noise_keys(self) -> dict[str, Words]:
        """Keys of what is drawn after fabrication, by purpose, (chips, 2) uint32."""
        return {"write": self.write_keys}

    @property
    def standing(self) -> tuple[Floats, Floats]:
        """The weights that passes read, flat, and the variances of one read."""
        return self.weights, self.variances

    @property
    def takes_factors(self) -> bool:
        """Whether `descend` takes those of any optimizer's step."""
        return not self.scaled

    @property
    def aged(self) -> list[Any]:
        """The arrays that time changes."""
        return [self.now, self.weights, self.variances] if self.timed else []

    @contextmanager
    def standing_at(self, clock: float) -> Iterator[None]:
        """In this block the cells are as old as they are at a time; after it they stand as before."""
        kept = [(array, array.copy()) for array in self.aged]
        self.age(clock)
        try:
            yield
        finally:
            for array, value in kept:
                array[...] = value
                value.fill(0)  # freed memory tells nothing

    def seen_at(self, clock: float) -> list[Cells]:
        """What `show` shows at a time; the cells themselves stay as old as they are."""
        with self.standing_at(clock):
            return self.show(clock)

    @property
    def kept_bytes(self) -> int:
        """Digital memory that the controllers of all chips need."""
        bits = self.cell_count // self.chips * controllers.kept_bits(self.controller, self.numbers)
        return self.chips * -(-bits // 8)

    def weight_arrays(self) -> list[Any]:
        """Copies of the weights that the arrays amount to, (chips n_out, n_in) per layer, on the backend."""
        arrays, weights = [], self.standing[0]
        for layer, (n_out, n_in) in enumerate(self.net.shapes):
            whole = self._backend.xp.zeros((self.chips * n_out, n_in), np.float32)
            first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
            for start, stop, at, _ in self.tiles[first : first + count].tolist():
                tile = slice(self.chips * at, self.chips * (at + n_out * (stop - start)))
                whole[:, start:stop] += weights[tile].reshape(-1, stop - start)
            if self.scaled:
                whole *= self.line_scales.of(layer)[:, None]
            arrays.append(whole)
        return arrays

    def wanted_weights(self) -> list[Any]:
        """The weights as the write controller knows them, (chips n_out, n_in) per layer, on the backend."""
        if not self.has_cells:
            return self.weight_arrays()
        weights = []
        for layer, (here, (_, n_in), scale) in enumerate(
            zip(self._layers(), self.net.shapes, self.scales, strict=True)
        ):
            weights.append(self.targets[here].reshape(-1, n_in) / scale)
            if self.scaled:
                weights[-1] *= self.line_scales.of(layer)[:, None]
        return weights

    def _layers(self) -> list[slice]:
        """Where the cells of each layer are."""
        ends = [self.chips * int(end) for end in np.cumsum([a * b for a, b in self.net.shapes])]
        return [slice(first, last) for first, last in zip([0, *ends[:-1]], ends, strict=True)]

    def show(self, clock: float) -> list[Cells]:
        """Copies of what the cells hold, one `Cells` per layer; a device without cells has none to show."""
        if not self.has_cells:
            return []
        layers, take = [], self._backend.take
        now, stuck, since, aimed = take(self.now), take(self.stuck), take(self.since), take(self.aimed)
        for here, (n_out, n_in) in zip(self._layers(), self.net.shapes, strict=True):
            shape = (self.net.slices, 2, self.chips * n_out, n_in)
            g = np.maximum(now[:, here], 0).reshape(shape)
            held = ~np.isnan(stuck[:, here]).reshape(shape) if stuck.size else np.zeros(shape, bool)
            age = (clock - since[:, here]).reshape(shape) if self.timed else np.zeros(shape)
            target = aimed[:, here].reshape(shape).copy() if self.aims else np.full(shape, np.nan, np.float32)
            layers.append(Cells(g[:, 0], g[:, 1], held, age, target))
        return layers

    # -- changes -------------------------------------------------------------------------------------------------

    def write(self, change: Floats, every: bool, clock: float) -> None:
        """Ask for a change of every weight, float32, flat, layer by layer and in each chip by chip."""
        if not self.has_cells:
            self.cells.add(change)
            return
        if self.scaled:
            change = self.line_scales.divided(change)
        if every or self.knows_targets:
            with self._wearing():
                self.cells.write(change, every, self.writes, clock)
        else:
            self.move(change, clock)
        if self.scaled:
            erase([change])
        self.wrote(clock)

    def move(self, change: Floats, clock: float) -> None:
        """Move cells from where they are, as a change in units of the cells asks for."""
        with self._wearing():
            self.cells.move(change, self.writes, clock)

    def descend(self, factors: Factors, take: Callable[[], Step], clock: float) -> Bools:
        """Ask for what an optimizer's step makes of a gradient given as factors; whose is not finite, (chips,)."""
        with self._wearing():
            refused = cast(Sweeping, self.cells).descend(factors, take, self.writes, clock)
        self.wrote(clock)
        return refused

    def _wearing(self) -> AbstractContextManager[None]:
        """In this block writes wear cells out, where they do."""
        return self.wear.counting() if self.wear else nullcontext()

    def worn(self) -> list[float]:
        """Share of each chip's cells that writes have worn out."""
        return self.wear.shares(self._layers()).tolist() if self.wear else [0.0] * self.chips

    def wrote(self, clock: float, times: int = 1) -> None:
        """Keep account of writes, the last of them at a time."""
        if not self.has_cells:
            return
        self.writes += times
        self.written_at = clock
        if self.wire:
            self.cells.wire(clock, (0, self.net.depth))

    def age(self, clock: float, layers: tuple[int, int] | None = None) -> None:
        """Let time do its work on the cells: of all layers, or of those from one to the one behind the last."""
        if self.timed:
            self.bring_up_to_date(clock, layers or (0, self.net.depth))

    def bring_up_to_date(self, clock: float, layers: tuple[int, int]) -> None:
        """Compute cells, weights and variances of these layers as they are at a time, from what writes left."""
        self.cells.age(clock, layers)
        if self.wire:
            self.cells.wire(clock, layers)

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
        xp, lines = self._backend.xp, []
        middle = self.span[0] + self.span[1] / 2
        for layer, (here, (n_out, n_in)) in enumerate(zip(self._layers(), self.net.shapes, strict=True)):
            x = driven[layer].reshape(self.chips, -1, n_in)
            first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
            for k, (start, stop, *_) in enumerate(self.tiles[first : first + count].tolist()):
                s = k // (int(count) // self.net.slices)
                minus = self.aimed[2 * s + 1, here] if self.paired else middle
                weights = ((self.aimed[2 * s, here] - minus) * self.units[layer, s]).reshape(self.chips, n_out, n_in)
                lines.append(xp.matmul(x[:, :, start:stop], weights[:, :, start:stop].swapaxes(1, 2)))
        return lines

    def done(self) -> tuple[int, int, int]:
        """Cells programmed, pulses given and cells read for writes since this was asked last."""
        cells, pulses, read = self.done_by_chip().sum(axis=0).tolist()
        return cells, pulses, read

    def done_by_chip(self) -> np.ndarray:
        """`done` of each chip, (chips, 3) int64; unless they are counted apart, only the sum is right."""
        return self.cells.done()

    def _put(self, array: np.ndarray) -> Any:
        return self._backend.put(array)
