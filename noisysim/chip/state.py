"""The state of some chips, which no learner sees: cells, periphery, noise keys, clock and counters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim.chip import write_time
from noisysim.chip.all_weights import Weights
from noisysim.chip.cost import Cost, Meter
from noisysim.chip.erasing import erase, erase_with
from noisysim.chip.normalisation import Normalisation
from noisysim.chip.perturbation_dacs import PerturbationDacs
from noisysim.common.types import Array, Bools, Bytes, Floats
from noisysim.compute import backends, layered, seeding
from noisysim.compute.behaviour import ReadFlags
from noisysim.compute.factors import Factors
from noisysim.compute.jit import compile_errors
from noisysim.compute.optimizer_step import Step
from noisysim.compute.protocols import Passes, ReadCells, Series, Standing
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import Network

LONGEST_AGE = 1e12  # s
ASIDE = 1 << 31  # pass numbers from here on are those of passes aside: a run's own would take years to reach them
ASIDE_COUNT = ASIDE - (1 << 24)  # so that a block of passes aside stays below 2^32


class State:
    """Everything that some chips hide.

    Parameters
    ----------
    net : Network
    device : device
    seed : int or sequence of int
        Of fabrication and noise.
    chips : int
    backend : str
    decorrelation : str
        How the periphery applies its decorrelation matrices (`noisysim.chip.decorrelation.FORMS`); "" without any.
    scaling : str
        Which weight the full span of conductances stands for (`noisysim.chip.weight_scaling`).

    Attributes
    ----------
    weights : Weights
        Of all layers.
    arrays : Arrays
        Those on arrays, and their cells.
    ranges, peaks : array
        Full scale of each tile's ADC, and the largest values read since it followed them, (chips, tiles) float32.
    gains, reference : array
        What compensates for drift, and the strength of its lines that each tile is held at, (chips, tiles) float32.
    states : array
        Discrete states of cells that jump, (sides, cells) uint8.
    rotations : Layered
        Decorrelation matrices; empty without.
    turns_updates, compensates_steps : bool
        Whether they turn what is observed and written, and not what drives arrays; and whether weights are written anew
        after their steps.
    normalisation : Normalisation
    perturbation_dacs : PerturbationDacs or None
        What lines get of perturbations, if not just those.
    calibrated, reference_due, gains_due : bool
        Whether converters have been calibrated, and whether drift's reference and gains are to be measured next.
    clock, aged_at, read_at, call_at : float
        Now; the time at which the cells stand; the last read; the start of the last call of passes, s.
    next_pass : int
        Number of the next pass, from which its noise is counted.
    meter : Meter
    clipped : list of float
        Share of the initial weights that was beyond the range of cells, per layer.
    compiled : Passes
        What runs passes on the backend.
    """

    def __init__(
        self, net: Network, device: Device, seed: seeding.Seeds, chips: int, backend: str, decorrelation: str,
        scaling: str,
    ):  # fmt: skip
        self.net, self.device, self.chips, self.numbers = net, device, chips, resolve(device)
        write_time.check(devices.name_of(device), self.numbers, chips, isinstance(seed, Sequence))
        self.backend, self.backend_name = backends.get(backend), backend
        self.normalises = any(net.norms)
        self.noisy, defined = devices.is_noisy(device), devices.own_hooks(device)
        self.reads_cells, self.jumps = "read_cell" in defined, "jump" in defined
        self.compensates = self.numbers.compensated and "drift" in defined
        positions = zip(net.positions, net.digital, strict=True)
        reads = sum(p for p, digital in positions if not digital)
        self.interval = reads * self.numbers.read_time  # from one sample to the next, s
        self._dac_range = np.float32(self.numbers.dac_range)
        xp, put = self.backend.xp, self.backend.put
        self.weights = Weights(net, device, seed, chips, backend, scaling)
        self.arrays, memory = self.weights.arrays, self.weights.memory
        self._digital: Floats = xp.zeros(0, np.float32) if memory is None else memory.weights
        shape = (chips, net.tile_spans[-1].stop)
        self.ranges: Floats = xp.full(shape, self.numbers.adc_range or 1.0, np.float32)
        self.peaks: Floats = xp.zeros(shape, np.float32)
        self.gains: Floats = xp.ones(shape, np.float32)
        self.reference: Floats = xp.zeros(shape, np.float32)
        self.calibrated, self.reference_due, self.gains_due = False, True, False
        self.rows_own, self.columns_own = (
            put(self.arrays.fabrication.lines(part)) if self.arrays.spreads[part] else xp.zeros((0, 0), np.float32)
            for part in ("row", "column")
        )
        self.states: Bytes = xp.zeros(self.arrays.now.shape if self.jumps else (1, 0), np.uint8)
        squares = [(chips * n, n) for n in net.turned]
        self.rotations = layered.zeros(squares if decorrelation else [], xp)
        for rotation, n in zip(self.rotations, net.turned, strict=False):
            rotation.reshape(chips, n * n)[:, :: n + 1] = 1
        self.flat_rotations = self.rotations.flat
        self.turns_updates, self.compensates_steps = decorrelation == "updates", decorrelation == "compensated"
        self.normalisation = Normalisation(net, chips, xp)
        self.keys = {p: put(seeding.keys(seed, f"chip/{p}", chips)) for p in ("noise", "dropout", "perturbation")}
        self.perturbation_dacs: PerturbationDacs | None = None
        if not self.numbers.perturbs_exactly:
            each = self.arrays.fabrication.perturbation_gains()
            gains = {k: put(one) for k, one in zip(self.weights.on_arrays, each, strict=True)}
            self.perturbation_dacs = PerturbationDacs(self.numbers, gains, self.keys["perturbation"], backend)
        self.clock = self.aged_at = self.call_at = 0.0
        self.read_at = -LONGEST_AGE  # so that cells' discrete states are in balance when they are first read
        self.next_pass = 0
        of_rotations = sum(groups * n * n for groups, n in net.turned_together) if decorrelation else 0
        self.meter = Meter(chips, self.arrays.kept_bytes, 4 * chips * of_rotations, self.weights.digital_bytes)
        self.clipped = [0.0] * net.depth
        self.compiled = _compiled(self)
        erase_with(self, self.secrets)

    @property
    def times(self) -> tuple[float, ...]:
        """The times that passes, writes and waits move, s."""
        return self.clock, self.aged_at, self.read_at, self.call_at, self.arrays.written_at

    @times.setter
    def times(self, times: Iterable[float]) -> None:
        self.clock, self.aged_at, self.read_at, self.call_at, self.arrays.written_at = map(float, times)

    @property
    def secrets(self) -> list[Array]:
        """The arrays, besides those of `arrays`, that no observation may tell of."""
        lines = [values for values in (self.rows_own, self.columns_own) if len(values)]
        lines += self.perturbation_dacs.gains.values() if self.perturbation_dacs else []
        return [self.ranges, self.peaks, self.gains, self.reference, self.states, *lines, *self.keys.values()]

    @property
    def held(self) -> dict[str, Array]:
        """The arrays that change in use."""
        periphery = {name: getattr(self, name) for name in ("ranges", "peaks", "gains", "reference", "states")}
        return {**self.weights.held, **periphery, **self.normalisation.held, "rotations": self.flat_rotations}

    def converter_steps(self) -> list[list[float]]:
        """Coarsest ADC step of each layer's tiles on each chip, pre-activation units; 0 without a resolution."""
        steps, bits = np.zeros((self.chips, self.net.depth)), self.numbers.adc_bits
        if bits < 1:
            return steps.tolist()
        full_scales, codes = self.backend.take(self.ranges), (1 << (bits - 1)) - 1
        for k, layer in enumerate(self.weights.on_arrays):
            steps[:, layer] = full_scales[:, self.net.tile_spans[layer]].max(axis=1).astype(np.float64) / codes
            if self.arrays.scaled:
                scales = self.backend.take(self.arrays.line_scales.of(k)).reshape(self.chips, -1)
                steps[:, layer] *= scales.max(axis=1)
        return steps.tolist()

    @property
    def turning(self) -> int:
        """Multiplications by which the periphery turns what drives all arrays, for one sample's pass."""
        net = self.net
        turns = self.flat_rotations.size and not self.turns_updates
        of_layers = zip(net.positions, net.turned_together, strict=True)
        return sum(p * groups * n * n for p, (groups, n) in of_layers) if turns else 0

    def cost(self) -> Cost:
        """What was done so far, on all chips together."""
        return self.meter.read(self.arrays.done_by_chip())

    def cost_by_chip(self) -> list[Cost]:
        """The same of each chip; right where each has a seed: then writes are counted apart."""
        return self.meter.by_chip(self.arrays.done_by_chip())

    def fork(self, seed: seeding.Seeds, forks: Iterable[int]) -> None:
        """Draw other noise from here on, of reads, writes and dropout: that of these numbers, one after another."""
        numbers = "/".join(map(str, forks))
        for purpose, keys in {**self.keys, **self.arrays.noise_keys}.items():
            keys[...] = self.backend.put(seeding.keys(seed, f"chip/{purpose}/fork/{numbers}", self.chips))

    def start_counting(self) -> None:
        """Count from here on: what was written so far are the initial weights."""
        self.meter.start(self.arrays.done_by_chip())

    def write(self, change: Floats, every: bool) -> None:
        """Ask for a change of all weights, flat float32; `every` for cells that need none as well."""
        with self.explaining(), self._writing():
            self.weights.write(change, every, self.clock)
        self.wrote()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let the clock move by what the writes in this block take."""
        if not self.numbers.writes_take_time:
            yield
            return
        before = replace(self.cost())
        yield
        self.clock += write_time.seconds(self.numbers, before, self.cost(), self.chips)

    @property
    def takes_factors(self) -> bool:
        """Whether `descend` is possible, not with turned updates, or arrays that take none.

        A GPU, groups and digital layers take factors where the device updates in the array; elsewhere they take arrays.
        """
        formed = self.net.is_grouped or any(self.net.digital) or not self.backend.HOST_MEMORY
        refused = self.turns_updates or (formed and not self.numbers.in_array)
        return self.arrays.takes_factors and not refused

    def descend(self, factors: Factors, take: Callable[[], Step]) -> Bools:
        """See `noisysim.chip.arrays.Arrays.descend`."""
        if not self.takes_factors:
            raise ValueError(
                "this chip takes changes as arrays (program), and no factors: the periphery turns updates, scales "
                "lines or gives them signs, or it is on a GPU, or layers have groups or are digital, and the device "
                "takes net changes"
            )
        with self.explaining(), self._writing():
            refused = self.weights.descend(factors, take, self.clock)
        if self.numbers.in_array:
            samples = len(factors.inputs[0]) // self.chips
            self.clock += write_time.of_trains(self.numbers, samples, self.arrays.net)
        self.wrote()
        return refused

    @cached_property
    def series(self) -> Series | None:
        """What makes series of updates, where passes, writes and the periphery leave nothing to Python."""
        arrays = self.arrays
        if not self.takes_factors or self.compensates_steps or self.compensates or len(arrays.parts) > 1:
            return None
        if self.weights.memory is not None:
            return None
        if self.perturbation_dacs or self.numbers.writes_take_time or arrays.wear:
            return None
        return self.backend.series(self.compiled, arrays.cells)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """In this block a hook or an activation function that cannot be compiled is named."""
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            raise compile_errors.explain(self.device, error, self.backend.NAME, self.net.kinds) from error

    def wrote(self) -> None:
        """What is due after a write."""
        if self.arrays.lazy:
            self.aged_at = -math.inf  # the cells stand at no time
        if self.arrays.knows_targets:
            self.gains_due = self.compensates and not self.reference_due
        else:
            self.reference_due = True

    def standing(self, norms: Any) -> Standing:
        """What passes read of the chips."""
        arrays, cells = self.arrays, None
        if self.reads_cells:
            waited = self.clock - self.read_at + self.interval  # since the last read of an earlier call
            units = self.weights.units
            cells = ReadCells(arrays.now, arrays.own, self.states, units, np.float32(waited), np.float32(self.interval))
        rotations = self.flat_rotations[:0] if self.turns_updates else self.flat_rotations
        return Standing(
            norms, *arrays.standing, rotations, self.ranges, self.gains, self.peaks,
            self._dac_range, self.rows_own, self.columns_own, cells, self.keys["noise"], arrays.line_scales.flat,
            self._digital,
        )  # fmt: skip

    def age(self, time: float, layers: tuple[int, int]) -> None:
        """Make the cells of layers, the first and behind the last, as old as they are at a time."""
        first, last = self.weights.span(layers)
        if first < last:
            self.arrays.age(time, (first, last))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Restore after the block what passes change; those in it have other numbers, and so independent noise."""
        before, times, cost = self.next_pass, self.times, self.cost().array()
        moved = (
            self.ranges, self.peaks, self.states, self.gains, self.reference, *self.normalisation.held.values(),
            *self.arrays.aged,
        )  # fmt: skip
        kept = [(array, array.copy()) for array in moved]
        flags = self.calibrated, self.reference_due, self.gains_due
        self.next_pass = ASIDE + before * 2654435761 % ASIDE_COUNT  # scattered (Knuth's multiplicative hash)
        try:
            yield
        finally:
            self.next_pass, self.times, self.meter.cost = before, times, Cost.from_array(cost)
            self.calibrated, self.reference_due, self.gains_due = flags
            for array, value in kept:
                array[:] = value
            erase(value for _, value in kept)


def _compiled(state: State) -> Passes:
    """What runs passes of the device and the network on the backend."""
    arrays = state.arrays
    flags = ReadFlags(
        state.noisy,
        state.compensates,
        arrays.scaled,
        bool(arrays.variances.size),
        arrays.paired or not state.reads_cells,
    )
    return state.backend.Passes(state.net, arrays.behaviour, flags, state.chips)
