"""A chip: one fabricated device that carries one network; or several such chips, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import noisysim.devices as devices
from noisysim.chip.arrays import Arrays, Cells, erase, erase_with, hook_numbers
from noisysim.chip.cost import Cost
from noisysim.chip.decorrelation import decorrelate
from noisysim.chip.normalisation import Normalisation
from noisysim.chip.oracle import Oracle
from noisysim.common.array_types import is_array
from noisysim.common.fields import Field, as_list, check, check_choice, check_switch, shown
from noisysim.common.plain_arrays import REAL, NonFiniteError, plain
from noisysim.common.source import uses
from noisysim.compute import backends, execution, layered, seeding
from noisysim.compute.jit import compile_errors, specialised
from noisysim.compute.layered import Layered
from noisysim.compute.layout import FIRST_TILE, LEAST_SCALE, ON_LINE, ON_OUTPUT, ON_WEIGHTS, OWN_STREAM, TILES
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Call, ReadCells, Standing
from noisysim.compute.rules.ranges import SPARE
from noisysim.devices.resolved import resolve
from noisysim.networks.architecture import Architecture
from noisysim.networks.tiling import Network, network

INJECTIONS = ("line", "digital")
INITS: dict[str, tuple[str, Callable[[int, int], float]]] = {
    "he": ("normal", lambda n_in, n_out: math.sqrt(2 / n_in)),
    "he-uniform": ("uniform", lambda n_in, n_out: math.sqrt(6 / n_in)),
    "uniform": ("uniform", lambda n_in, n_out: math.sqrt(1 / n_in)),
    "glorot": ("normal", lambda n_in, n_out: math.sqrt(2 / (n_in + n_out))),
    "zero": ("uniform", lambda n_in, n_out: 0.0),
}
"""Laws of initial weights: shape, and standard deviation or half width."""
SEED = Field("", 0, 2**63 - 1, "of fabrication and noise", whole=True)
RATE = Field("per update", 0, 1, "step of the decorrelation")
ASIDE = 1 << 31  # from here on pass numbers are of passes aside: a run's own would get there after years
ROOM = ASIDE - (1 << 24)  # so that a block of passes aside stays below 2^32
WAIT = Field("s", 0, 1e12)
AGES = 1e12  # seconds
CALIBRATION_ROWS = 16  # vectors of a read that measures what drift has taken
CHIPS = Field("", 1, 1 << 16, whole=True)
SAMPLES = 1 << 32
"""Samples that a call of passes has noise of its own for: they are counted in 32 bits."""
FIRST_SAMPLE = Field("", 0, SAMPLES - 1, whole=True)


class Chip:
    """One fabricated device carrying one network; the only object that knows weights and noise.

    What it lets out are observations. Its weights can be changed, not read; its noise can be neither.

    Parameters
    ----------
    layers : sequence
        Inputs, hidden layers, number of outputs, e.g. ``[784, 256, 10]`` or ``[(3, 32, 32), conv(16, 3), pool(2), 10]``
        (`noisysim.layers`): the input is a number or an image's shape, (channels, height, width).
    device : str or device
        What the arrays are made of (`noisysim.devices.get`).
    activation : str
        Of hidden units that have none of their own: leaky_relu, relu, tanh, sigmoid, linear. The last layer is linear.
    decorrelate : bool
        Whether the digital periphery turns each layer's inputs, of a convolution each patch, by a matrix R that
        `decorrelate` adapts.
    seed : int or sequence of int
        Of fabrication and noise. The same seed gives the same chip and the same noise, bit for bit. Of several chips
        perhaps one each: then each is the chip that its seed gives alone, initial weights included.
    backend : {"cpu", "cuda", "cuda:tf32", "auto"}
        Where the chip is simulated: on the CPU, or on a GPU, where its arrays are then CuPy's. "cuda:tf32" rounds what
        products take to ten bits; "auto" takes a GPU if there is one.
    bias : bool
        One more row an array, driven with the constant 1.
    inject : {"line", "digital"}
        Where a drive's perturbation enters: at the line before the ADC, or after it.
    oracle : bool
        Grant access that no real chip gives (`oracle`). The ideal device always does.
    init : {"he", "he-uniform", "uniform", "glorot", "zero"}
        Law of the initial weights, which the device writes like any others; biases start at zero. N(0, 2 / n_in) (He et
        al. 2015), or uniform of that variance; uniform within 1 / sqrt(n_in); N(0, 2 / (n_in + n_out)) (Glorot & Bengio
        2010); zero.
    chips : int
        How many chips of the device to make, which differ in fabrication and noise and are asked for the same initial
        weights. Then a batch has the samples of the first chip, after them those of the second, and so on, and arrays
        in the shape of the weights have the rows of one chip after those of another.

    Examples
    --------
    >>> import numpy as np
    >>> chip = Chip([64, 16, 10], "crossbar", seed=1)
    >>> first, second = chip.passes(np.ones((5, 64)), [Drive(), Drive()])
    >>> first.output.shape, bool((first.output == second.output).all())  # each pass has noise of its own
    ((5, 10), False)
    >>> chip.program([np.full(shape, 0.01, np.float32) for shape in chip.network.shapes])  # weights can be changed
    >>> sorted(chip.offers)
    ['output_error', 'perturbation', 'targets']
    """

    def __init__(
        self,
        layers: Sequence[Any],
        device: Any = "crossbar",
        activation: str = "leaky_relu",
        decorrelate: bool = False,
        seed: seeding.Seeds = 0,
        backend: str = "cpu",
        *,
        bias: bool = False,
        inject: str = "line",
        oracle: bool = False,
        init: str = "he",
        chips: int = 1,
    ):
        backend = backends.resolve(backend)
        check_choice("inject", inject, INJECTIONS)
        check_choice("init", init, INITS)
        decorrelate, bias, oracle = (
            check_switch(name, value)
            for name, value in (("decorrelate", decorrelate), ("bias", bias), ("oracle", oracle))
        )
        self.chips = check("", "chips", chips, CHIPS)
        seed = _seeds(seed, self.chips)
        self.device = devices.get(device)
        self._numbers = resolve(self.device)
        self.network: Network = network(layers, activation, bias, self._numbers)
        self.architecture = Architecture(self.network.input_shape, self.network.blocks, self.network.bias)
        self.noisy = devices.is_noisy(self.device)
        self.inject = inject
        self.init = init
        self.backend = backend
        self._backend, self._host_ops = backends.get(backend), backends.get("cpu").ops
        self._cost, self._done = Cost(), np.zeros((self.chips, 2), np.int64)
        self._forks: dict[int, np.ndarray] = {}
        self._expected: dict[tuple[str, int], list[tuple[int, ...]]] = {}
        self._oracle = oracle or not devices.own_hooks(self.device)
        self._decorrelates = decorrelate
        self._fabricate(seed)

    # -- what it offers ------------------------------------------------------------------------------------------

    @property
    def offers(self) -> frozenset[str]:
        """What a learner may ask for: perturbation, output error, and clean passes or oracle access where there are."""
        offers = {"perturbation", "output_error"}
        if self._hidden.arrays.knows_targets:
            offers.add("targets")
        if not self.noisy:
            offers.add("clean")
        if self._oracle:
            offers.add("oracle")
        return frozenset(offers)

    @property
    def cost(self) -> Cost:
        """What was done so far, on all chips together."""
        done = self._hidden.arrays.done_by_chip()
        self._done += done
        cells, pulses = done.sum(axis=0).tolist()
        self._cost.cells_programmed += cells
        self._cost.pulses += pulses
        return self._cost

    def cost_by_chip(self) -> list[Cost]:
        """What each of several chips with seeds of their own has done since it was made."""
        if not self._hidden.arrays.apart:
            raise ValueError("what chips of one seed write is counted for all together")
        whole = self.cost
        written = zip(self._done.tolist(), self._done_at_start.tolist(), strict=True)
        return [whole.of_one(self.chips, cells, pulses, start) for (cells, pulses), start in written]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Values a sample between layers: inputs, hidden outputs, outputs."""
        return self.network.sizes

    @property
    def clock(self) -> float:
        """Seconds since fabrication: those of reads, and those waited."""
        return self._hidden.clock

    @property
    def converter_steps(self) -> list[float]:
        """Coarsest ADC step of each layer's tiles, pre-activation units; 0 where the device states no resolution."""
        return [max(steps) for steps in zip(*self.converter_steps_by_chip, strict=True)]

    @property
    def converter_steps_by_chip(self) -> list[list[float]]:
        """The same of each chip."""
        bits = self._numbers.adc_bits
        if bits < 1:
            return [[0.0] * self.network.depth] * self.chips
        table, ranges = self._hidden.arrays.table, self._backend.take(self._hidden.ranges)
        widest = [[float(own[row[FIRST_TILE] : row[FIRST_TILE] + row[TILES]].max()) for row in table] for own in ranges]
        return [[full / ((1 << (bits - 1)) - 1) for full in own] for own in widest]

    @property
    def dac_codes(self) -> int:
        """Codes of a DAC on each side of zero; 0 where the device states no resolution."""
        bits = self._numbers.dac_bits
        return (1 << (bits - 1)) - 1 if bits > 1 else 0

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        return f"<Chip {sizes} on {devices.name_of(self.device)}, {self.cost.passes} passes>"

    # -- passes --------------------------------------------------------------------------------------------------

    def forward(self, x: Any, drive: Drive | None = None) -> Observation:
        """One pass.

        Parameters
        ----------
        x : numpy.ndarray or Batch
            (batch, n_in), or a task's batch, which gives the observation its loss.
        drive : Drive, optional
            Perturbations to apply.
        """
        return self.passes(x, [Drive() if drive is None else drive])[0]

    def passes(
        self,
        batch: Any,
        drives: Sequence[Drive],
        out: Sequence[Observation] | None = None,
        *,
        first_sample: int = 0,
        training: bool = False,
        inputs_of: str = "all",
    ) -> Sequence[Observation]:
        """One pass for each drive, over the same inputs.

        Parameters
        ----------
        batch : numpy.ndarray or Batch
            (batch, n_in) inputs, or a task's batch.
        drives : sequence of Drive
        out : sequence of Observation, optional
            What an earlier call returned for as many samples and drives: overwritten and returned.
        first_sample : int
            Above 0 the call goes on with the passes of the call before, at this sample: a batch handed over in chunks
            of a multiple of 512 rows sees the noise, and gives the bits, of the whole.
        training : bool
            Whether dropout layers drop, the same outputs in all passes of the call, and batch normalisation is by the
            statistics of this batch as the first pass observed them, instead of by running ones (a single sample has
            none of its own).
        inputs_of : {"all", "first"}
            Whose ``inputs`` are observed. No rule uses those of perturbed passes, and of many passes of a convolution
            they are most of the memory.

        Returns
        -------
        sequence of Observation
            In the order of the drives. They share the array of the first layer's inputs, the same for all.

        Raises
        ------
        TypeError, ValueError
            For what is no array of real numbers, does not fit, or is non-finite (`noisysim.common.plain_arrays`): then
            nothing is drawn or counted. Arrays that lie on a GPU already are not searched for NaN.
        """
        x = self._inputs(batch.inputs if isinstance(batch, Batch) else batch)
        targets = self._targets(batch, len(x)) if isinstance(batch, Batch) else None
        drives = _drives(drives)
        asked = any(drive.output_error for drive in drives)
        if asked and not hasattr(getattr(batch, "loss", None), "error"):
            raise ValueError("a drive asks for the output error: give a task's batch, whose loss has a derivative")
        if type(first_sample) is not int or first_sample:
            first_sample = self._first_sample(first_sample, len(x) // self.chips, len(drives))
        if type(training) is not bool:
            training = check_switch("training", training)
        if inputs_of not in ("all", "first"):
            raise ValueError(f"inputs_of must be 'all' or 'first', not {shown(inputs_of)}")
        parts, fork = self._added(drives, len(x))
        observed = self._observations(out, len(x), len(drives), training, inputs_of == "all")
        learning = training and len(x) > self.chips
        self._pass(x, parts, fork, observed, first_sample, convert=True, training=learning)
        self._count_beside(parts, len(x))
        for observation in observed:
            observation.loss = None if targets is None else batch.loss(observation.output, targets)
            observation.output_error = None
        if asked:
            for observation, drive in zip(observed, drives, strict=True):
                if drive.output_error:
                    observation.output_error = batch.loss.error(observation.output, targets)
        return observed

    def calibrate(self, x: np.ndarray) -> None:
        """Set the full scale of every converter that calibrates itself, by one pass of `x`, (batch, n_in).

        The largest line value read, with a quarter to spare. Where nothing was read (all inputs zero) the range
        stays what it was. Before it the running statistics of batch normalisation are set, by a pass for each layer
        that has one, from the lowest up. A few dozen samples are enough; of one no variance can be told. A chip
        calibrates itself on its first pass if it was not asked to before.
        """
        x = self._inputs(x)
        self._calibrated = True
        if not (self._follows or self._normalises):
            return
        if len(x) > self.chips * execution.BLOCK_ROWS:
            some = x.reshape(self.chips, -1, x.shape[1])[:, : execution.BLOCK_ROWS]
            x = self._backend.xp.ascontiguousarray(some).reshape(-1, x.shape[1])
        observed, fork = self._observations(None, len(x), 1, False, True), self._apart(1)

        def look() -> None:
            self._hidden.peaks[:] = 0
            self._pass(x, [], fork, observed, 0, convert=False)

        for layer in self._hidden.normalisation.layers:
            look()
            self._hidden.normalisation.start(layer, observed[0].activities[layer])
        if not self._follows:
            return
        look()
        hidden, where = self._hidden, self._backend.xp.where
        seen = (hidden.peaks >= np.float32(LEAST_SCALE)) & (hidden.peaks < np.float32(1e38))
        hidden.ranges[:] = where(seen, SPARE * hidden.peaks, hidden.ranges)
        hidden.peaks[:] = 0

    # -- changes -------------------------------------------------------------------------------------------------

    def program(self, updates: Sequence[np.ndarray]) -> None:
        """Ask for a change of the weights; the device's write physics decides what happens.

        Parameters
        ----------
        updates : sequence of numpy.ndarray
            One (n_out, n_in) array a layer, to be added; with a bias its last column is the bias's.

        Raises
        ------
        TypeError, ValueError
            For what is no array of real numbers, does not fit, or is non-finite (`noisysim.common.plain_arrays`): then
            no cell changes.
        """
        flat = self._layers("updates", updates, self._shapes).flat
        if not self._backend.ops.all_finite(flat):
            raise NonFiniteError("updates hold NaN, infinite or too large values: no cell was changed")
        self._write(flat, False)
        self._cost.updates += 1
        if self._follows:
            self._passes.follow(self._hidden.ranges, self._hidden.peaks)

    def wait(self, seconds: float) -> None:
        """Let time pass: cells drift, and a periphery that compensates for drift measures what it has taken.

        Where the controller keeps targets, the measure is what calibration vectors give, projected on what the targets
        should give: of cells as they were before the first wait it is the reference. From then on it is measured again
        before the first pass after a write, since cells that were written do not need what the others do. Written by
        pulses in open loop, cells have no targets: the measure is the mean |line|, and the reference what it was before
        the wait.

        Parameters
        ----------
        seconds : float
        """
        hidden = self._hidden
        seconds = check("", "seconds", seconds, WAIT)
        if self._compensates and hidden.reference_due:
            self._age_to(hidden.clock)
            hidden.reference[:] = hidden.gains * self._strength()
            hidden.reference_due = False
        hidden.clock += seconds
        self._age_to(hidden.clock)
        if self._compensates:
            self._compensate()

    def decorrelate(self, inputs: Sequence[np.ndarray], rate: float) -> None:
        """Adapt the periphery's decorrelation matrices to the inputs that one pass observed.

        Parameters
        ----------
        inputs : sequence of numpy.ndarray
            An observation's ``inputs``.
        rate : float
            Step alpha of R <- R - alpha (<x* x*^T> - diag<x*^2>) R (`noisysim.chip.decorrelation`).
        """
        if not self._decorrelates:
            raise ValueError("this chip does not decorrelate: make it with decorrelate=True")
        if not (type(rate) is float and 0 <= rate <= 1):  # a plain rate comes with every update: do not dwell on it
            rate = check("", "rate", rate, RATE)
        given = self._layers("inputs", inputs, self._shapes_of(self.network.driven_shape, "inputs", inputs))
        self._check_finite("inputs", given.flat)
        decorrelate(self._hidden.rotations, given, rate, self.chips)

    def track(self, activities: Sequence[np.ndarray]) -> None:
        """Move the running statistics of batch normalisation towards those of the activities that one pass observed.

        A batch counts by its samples (`noisysim.chip.normalisation`); one of a single sample moves mean and variance
        too.

        Parameters
        ----------
        activities : sequence of numpy.ndarray
            An observation's ``activities``.
        """
        if not self._normalises:
            return
        shapes = self._shapes_of(self.network.line_shape, "activities", activities)
        given = self._layers("activities", activities, shapes)
        self._check_finite("activities", given.flat)
        for layer in self._hidden.normalisation.layers:
            norm = self.network.norms[layer]
            assert norm is not None
            self._hidden.normalisation.track(layer, given[layer], norm.rate)

    def normalise(self) -> None:
        """Rescale each neuron's incoming weights to the RMS sqrt(2 / (n_in + n_out)), biases left out.

        Neuron-wise weight normalisation (Hiratani et al. 2022, appendix C.1). The write controller does it, on arrays
        of cells from the targets it keeps, by a write like any other.

        Raises
        ------
        ValueError
            For a device written by pulses in open loop: its controller keeps no targets.
        """
        if not self._hidden.arrays.knows_targets:
            raise ValueError(
                f"device {devices.name_of(self.device)!r} is written by pulses in open loop: its controller keeps no "
                "weights to normalise (verify_pulses > 0 makes it keep them)"
            )
        xp = self._backend.xp
        changes = layered.empty(self._shapes, xp)
        wanted = self._hidden.arrays.wanted_weights()
        for change, targets, n_in, n_out in zip(changes, wanted, self.network.fan_in, self.network.units, strict=True):
            weights = targets[:, :n_in]
            rms = xp.sqrt(xp.einsum("ij,ij->i", weights, weights) / n_in)
            aim = math.sqrt(2.0 / (n_in + n_out))
            factor = xp.where(rms > 0, np.float32(aim) / xp.where(rms > 0, rms, np.float32(1.0)), np.float32(1.0))
            xp.multiply((factor - 1)[:, None], targets, out=change)  # whole rows: of parts NumPy makes a copy
            change[:, n_in:] = 0
        self._write(changes.flat, False)
        erase([changes.flat, *wanted])

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Passes in this block leave no trace: noise, cost and converter ranges go on after it as if they had not been.

        They draw noise of their own, far from that of the chip's other passes and of other such blocks.
        """
        hidden = self._hidden
        before, times, cost = hidden.next_pass, hidden.times, self.cost.array()
        moved = (hidden.ranges, hidden.peaks, hidden.states, hidden.gains, hidden.reference, *hidden.arrays.aged)
        kept = [(array, array.copy()) for array in moved]
        flags = self._calibrated, hidden.reference_due, hidden.gains_due
        hidden.next_pass = ASIDE + before * 2654435761 % ROOM  # scattered (Knuth's multiplicative hash)
        try:
            yield
        finally:
            hidden.next_pass, hidden.times, self._cost = before, times, Cost.of(cost)
            self._calibrated, hidden.reference_due, hidden.gains_due = flags
            for array, value in kept:
                array[:] = value
            erase(value for _, value in kept)

    def oracle(self, batch: Batch | None) -> Oracle:
        """Access no real chip gives: exact weights and, of a batch, true gradients."""
        if not self._oracle:
            raise PermissionError(
                f"device {devices.name_of(self.device)!r} grants no oracle access: ask for it by name with oracle=True"
            )
        if batch is not None and not isinstance(batch, Batch):
            raise TypeError(f"the oracle is asked for a task's batch, or for weights alone by None, not {shown(batch)}")
        weights, rotations = self._hidden.arrays.weight_arrays(), self._hidden.rotations
        return Oracle(weights, rotations, self.architecture, batch, self.chips)

    def cells(self) -> list[Cells]:
        """Access no real chip gives: a copy of what each layer's cells hold now, one `Cells` a layer."""
        if not self._oracle:
            raise PermissionError(
                f"device {devices.name_of(self.device)!r} shows its cells to nobody: ask for it with oracle=True"
            )
        return self._hidden.arrays.seen_at(self._hidden.clock)

    # -- behind the boundary -------------------------------------------------------------------------------------

    def _fabricate(self, seed: seeding.Seeds) -> None:
        device, net = self.device, self.network
        own, hooks = devices.own_hooks(device), devices.hooks(device)
        numbers = self._numbers
        self._follows = numbers.calibrates
        self._calibrated = False
        self._normalises, self._drops = any(net.norms), any(net.drops)
        self._compensates = numbers.compensated and "drift" in own
        self._read_time = numbers.read_time
        self._interval = sum(net.positions) * self._read_time
        self._dac_range = np.float32(numbers.dac_range)
        self._shapes = [(self.chips * n_out, n_in) for n_out, n_in in net.shapes]
        self._by_cell, jumps = "read_cell" in own, "jump" in own
        self._hidden = hidden = _Hidden(net, device, seed, self.chips, self.backend, jumps, self._decorrelates)
        constants = {
            **{f"HAS_{h.upper()}": h in own for h in ("dac", "current", "adc", "cell_std", "read_cell", "jump")},
            "COMPENSATED": self._compensates,
            **{f"OWN_{part.upper()}S": bool(hidden.arrays.spreads[part]) for part in ("row", "column")},
            # of cells nothing that only reads cell by cell ask: devices alike otherwise share their loops
            "OWN_CELLS": self._by_cell and bool(hidden.arrays.spreads["cell"]),
            "PAIRED": hidden.arrays.paired or not self._by_cell,
            "USES_NORMAL": self.noisy and uses(hooks["readout"], "z"),
            "USES_UNIFORM": self.noisy and uses(hooks["readout"], "u"),
            "CELL_NORMAL": self.noisy and uses(hooks["read_cell"], "z"),
            "CELL_UNIFORM": self.noisy and uses(hooks["read_cell"], "u"),
        }  # fmt: skip
        loops = specialised.for_device(
            "passes", device._fields, hooks, hidden.arrays.spreads, constants, net.kinds, self._backend.NAME
        )
        self._passes = self._backend.Passes(net, loops, hook_numbers(loops, device), self.chips, self.noisy)
        seeds = seed if isinstance(seed, Sequence) else [seed]
        each = [self._initial_weights(seeding.key(s, "chip/weights")) for s in seeds]
        initial = self._stacked(each)
        self._write(initial.flat, True)
        erase([initial.flat, *(one.flat for one in each)])
        self._cost = Cost(cells_written_at_start=self.cost.cells_programmed)
        self._done_at_start, self._done = self._done[:, 0], np.zeros_like(self._done)

    def _initial_weights(self, key: tuple[np.uint32, np.uint32]) -> Layered:
        """What the first write asks of a chip, (n_out, n_in) a layer."""
        net, draws = self.network, specialised.draws()
        initial = layered.empty(net.shapes)
        for layer, weights in enumerate(initial):
            n_out, n_in, patch = weights.shape[0], net.fan_in[layer], net.fan_in[layer] // net.blocks[layer].source[2]
            drawn = np.empty((n_out, n_in), np.float32)
            law, width = INITS[self.init]
            word = draws.stream_word(OWN_STREAM, layer, 0)
            fill = draws.normals if law == "normal" else draws.uniforms
            fan_out = n_out * patch if net.blocks[layer].is_conv else n_out
            fill(drawn, np.float32(width(n_in, fan_out)), 0, 0, word, *key)
            weights[:, :n_in] = drawn
            weights[:, n_in:] = 0
            erase([drawn])
        return initial

    def _stacked(self, initial: Sequence[Layered]) -> Layered:
        """Weights of all chips, from those that they share or each one's, where the chips are."""
        if self.chips == 1 and self._backend.HOST_MEMORY:
            return initial[0]
        each = list(initial) * (self.chips // len(initial))
        return layered.layered([self._backend.put(np.concatenate(own)) for own in zip(*each, strict=True)])

    def _spend(self, passes: int, first: int, rows: int) -> None:
        """Passes take their time, of which a call may do some samples; chips side by side take it together."""
        hidden = self._hidden
        hidden.clock = hidden.read_at = self._time_of(passes, first + rows)

    def _time_of(self, passes: int, sample: int) -> float:
        """When so many passes of a call get to a sample of a chip: by its start, so that chunks give the same bits."""
        return self._hidden.call_at + sample * passes * self._interval

    def _course(self, first_sample: int, rows: int, passes: int) -> list[tuple[int, int, float]]:
        """The time at which cells stand for samples of each chip in passes of a call (`protocols.Call`)."""
        hidden = self._hidden
        time, found = hidden.aged_at, list[tuple[int, int, float]]()
        if not hidden.arrays.timed:
            return [(0, rows, time)]
        for first, last in execution.spans(rows, execution.BLOCK_ROWS):
            start, end = (self._time_of(passes, first_sample + sample) for sample in (first, last))
            time = hidden.arrays.time_of_reads(start, end, self._read_time, time)
            if found and found[-1][2] == time:
                first = found.pop()[0]
            found.append((first, last, time))
        return found

    def _age_to(self, time: float) -> None:
        """Make the cells as old as at a time."""
        hidden = self._hidden
        if hidden.arrays.timed and time != hidden.aged_at:
            hidden.arrays.age(time)
            hidden.aged_at = time

    def _compensate(self) -> None:
        """Measure what drift has taken, and set the gains of the periphery by it."""
        hidden, where = self._hidden, self._backend.xp.where
        seen = self._strength()
        hidden.gains[:] = where(seen > 0, hidden.reference / where(seen > 0, seen, np.float32(1.0)), hidden.gains)
        hidden.gains_due = False

    def _strength(self) -> Any:
        """How strong the lines of each tile are, (chips, tiles), by a calibration read (`wait`)."""
        xp, arrays, driven = self._backend.xp, self._hidden.arrays, self._calibration_vectors()
        lines = [tile.reshape(self.chips, -1) for tile in self._calibration_read(driven)]
        if not arrays.knows_targets:
            return xp.stack([xp.abs(tile).mean(axis=1) for tile in lines], axis=1)
        found = xp.ones((self.chips, len(lines)), np.float32)
        for k, (tile, wanted) in enumerate(zip(lines, arrays.aimed_lines(driven), strict=True)):
            wanted = wanted.reshape(self.chips, -1)
            square = (wanted * wanted).sum(axis=1, dtype=np.float64)
            share = (tile * wanted).sum(axis=1, dtype=np.float64) / xp.where(square > 0, square, 1.0)
            found[:, k] = xp.where(square > 0, share, 1.0)
        return found

    def _calibration_vectors(self) -> list[Any]:
        """Known vectors of +-1 that drive each layer of all chips, as an observation has them."""
        net, rows, found = self.network, CALIBRATION_ROWS, []
        signs = np.random.default_rng(0).integers(0, 2, (rows, max(net.columns))) * 2 - 1
        for layer in range(net.depth):
            shape = net.driven_shape(layer, rows)
            one = signs[:, : shape[-1]].reshape(rows, *[1] * (len(shape) - 2), -1).astype(np.float32)
            repeats = (self.chips, *[1] * (len(shape) - 1))
            found.append(self._backend.put(np.tile(np.broadcast_to(one, shape), repeats)))
        return found

    def _calibration_read(self, driven: Sequence[Any]) -> list[Any]:
        """Lines of each tile, (rows of all chips, lines), driven with these and read before the converters."""
        hidden, rows = self._hidden, CALIBRATION_ROWS
        hidden.call_at = hidden.clock
        ((*_, time),) = self._course(0, rows, 1)
        self._age_to(time)
        standing = self._as_it_stands(hidden.normalisation.norms)
        standing = standing._replace(gains=self._backend.xp.ones_like(hidden.gains))
        found = self._passes.tile_lines(driven, standing, hidden.next_pass)
        hidden.next_pass += 1
        self._cost.count_passes(self.network, self.chips * rows, 1, True)
        self._spend(1, 0, rows)
        return found

    def _as_it_stands(self, norms: Any) -> Standing:
        """What passes read of the chips."""
        hidden, arrays = self._hidden, self._hidden.arrays
        cells = None
        if self._by_cell:
            waited = hidden.clock - hidden.read_at + self._interval  # since the last read of an earlier call
            own, states = arrays.own if arrays.spreads["cell"] else (), hidden.states if hidden.jumps else ()
            cells = ReadCells(arrays.now, own, states, arrays.units, np.float32(waited), np.float32(self._interval))
        return Standing(
            norms, arrays.weights, arrays.variances, hidden.flat_rotations, hidden.ranges, hidden.gains, hidden.peaks,
            self._dac_range, hidden.rows_own, hidden.columns_own, cells, hidden.keys["noise"],
        )  # fmt: skip

    def _inputs(self, x: Any) -> np.ndarray:
        """Inputs, (batch, n_in) float32, where the chip is."""
        x = self._array("inputs", x)
        if x.ndim != 2 or x.shape[1] != self.sizes[0] or not len(x):
            raise ValueError(f"inputs must have the shape (batch, {self.sizes[0]}), not {x.shape}")
        if len(x) % self.chips:
            raise ValueError(f"{self.chips} chips need as many samples each: {len(x)} cannot be shared out")
        if len(x) // self.chips > SAMPLES:
            raise ValueError(f"a chip takes {SAMPLES} samples in one call at most, not {len(x) // self.chips}")
        self._check_finite("inputs", x)
        return self._backend.put(x)

    def _targets(self, batch: Batch, rows: int) -> Any:
        """A batch's targets, (batch, n_out) float32, where the chip is."""
        targets = self._array("targets", batch.targets)
        if targets.shape != (rows, self.sizes[-1]):
            raise ValueError(f"targets have shape {targets.shape}, the chip gives {(rows, self.sizes[-1])}")
        return self._backend.put(targets)

    def _first_sample(self, first_sample: Any, samples: int, passes: int) -> int:
        """Where a call resumes the passes of the call before: noise is counted from there."""
        first_sample = check("", "first_sample", first_sample, FIRST_SAMPLE)
        if first_sample + samples > SAMPLES:
            raise ValueError(f"first_sample={first_sample}: noise would repeat after {SAMPLES} samples")
        if first_sample and self._hidden.next_pass < passes:
            raise ValueError(f"first_sample={first_sample} resumes the passes of a call before: there is none")
        return first_sample

    def _array(self, name: str, array: Any) -> Any:
        """Contiguous float32 numbers, where they lie."""
        if type(array) is np.ndarray and array.dtype == np.float32 and array.flags.c_contiguous:
            return array
        if is_array(array) and type(array) is not np.ndarray:
            if self._backend.HOST_MEMORY:
                raise TypeError(f"{name} lie on a GPU; this chip is on the CPU: make it with backend='cuda'")
            if array.dtype.kind not in REAL:
                raise TypeError(f"{name} must hold real numbers, not {array.dtype}")
            return self._backend.xp.ascontiguousarray(array, np.float32)
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(plain(name, array), np.float32)

    def _check_finite(self, name: str, array: Any) -> None:
        """Refuse NaN and infinity in a float32 array that is no GPU's: there it would wait for what computes."""
        if type(array) is np.ndarray and not self._host_ops.all_finite(array):
            raise NonFiniteError(f"{name} hold NaN, infinite or too large values")

    def _shapes_of(self, shape: Callable[[int, int], tuple[int, ...]], name: str, arrays: Any) -> list[tuple[int, ...]]:
        """The shapes that arrays of a pass, one a layer, must have, by the samples in the first."""
        if not isinstance(arrays, Sequence) or isinstance(arrays, str):
            raise TypeError(f"{name} must be a list of arrays, one a layer, not {shown(arrays)}")
        rows = np.shape(arrays[0]) if len(arrays) else ()
        if not rows or not rows[0] or rows[0] % self.chips:
            raise ValueError(f"{name} must be arrays of the samples of a pass, one a layer, not {shown(arrays)}")
        if (name, rows[0]) not in self._expected:
            self._expected = {(name, rows[0]): [shape(layer, rows[0]) for layer in range(self.network.depth)]}
        return self._expected[name, rows[0]]

    def _layers(self, name: str, arrays: Any, shapes: Sequence[tuple[int, ...]]) -> Layered:
        """Arrays of these shapes, one a layer, where the chip is: themselves, if they are a `Layered` that fits."""
        if not isinstance(arrays, Sequence) or isinstance(arrays, str):
            raise TypeError(f"{name} must be a list of arrays, one a layer, not {shown(arrays)}")
        whole = type(arrays) is Layered and type(arrays.flat) is self._backend.xp.ndarray
        given = arrays if whole else [self._backend.put(self._array(name, array)) for array in arrays]
        found = [array.shape for array in given]
        if found != list(shapes):
            raise ValueError(f"{name} must have the shapes {shown(list(shapes))}, not {shown(found)}")
        made = layered.layered(given)
        if made.flat.dtype != np.float32 or made.flat.size != sum([array.size for array in given]):
            raise ValueError(f"{name} are in a buffer that does not fit them: {made.flat.dtype} {made.flat.shape}")
        return made

    def _observations(self, out: Any, rows: int, count: int, training: bool, whole: bool) -> Observed:
        if out is not None and type(out) is not Observed:
            raise TypeError(f"out must be what an earlier call of passes returned, not {shown(out)}")
        drops = training and self._drops
        xp = self._backend.xp
        if out is not None and out.made_for == (rows, count, drops, whole, self.network.extents, xp):
            return out
        return Observed(self.network, rows, count, drops, whole, xp)

    def _pass(
        self,
        x: np.ndarray,
        parts: list[tuple[int, int, int, Any]],
        fork: np.ndarray,
        observed: Observed,
        first_sample: int,
        convert: bool,
        training: bool = False,
    ) -> None:
        hidden, net = self._hidden, self.network
        if not self._calibrated:
            self.calibrate(x)
        if first_sample:
            hidden.next_pass -= len(observed)
        else:
            if hidden.gains_due:
                self._compensate()
            hidden.call_at = hidden.clock
        for layer, mask in enumerate(observed.layer_masks):
            if mask is not None:
                flat = mask.reshape(len(mask), -1)
                self._passes.drop(flat, layer, net.drops[layer], first_sample, hidden.next_pass, hidden.keys["dropout"])
        normalisation = hidden.normalisation
        norms = normalisation.norms.copy() if self._normalises else normalisation.norms

        def settle(layer: int) -> None:
            normalisation.by_batch(layer, observed[0].activities[layer], norms)

        rows = len(x) // self.chips
        course = self._course(first_sample, rows, len(observed))
        call = Call(
            observed, parts, fork, first_sample, hidden.next_pass, self.inject == "digital", convert, training, course,
            hidden.aged_at, hidden.arrays.age, settle,
        )  # fmt: skip
        try:
            with backends.products(self.backend):
                self._passes.forward(x, self._as_it_stands(norms), call)
        except MemoryError:
            raise
        except Exception as error:
            raise compile_errors.explain(self.device, error, self._backend.NAME) from error
        if self._normalises:
            given = normalisation.parts(norms)
            for observation in observed:
                observation.norms, observation.norms_of_batch = given, training
        hidden.next_pass += len(observed)
        hidden.aged_at = course[-1][2]
        self._cost.count_passes(net, len(x) * len(observed), 0 if first_sample else len(observed), convert)
        self._spend(len(observed), first_sample, rows)

    def _added(self, drives: Sequence[Drive], rows: int) -> tuple[list[tuple[int, int, int, Any]], np.ndarray]:
        """What the drives add, and the layer at which each pass parts from the first (`protocols.Call`)."""
        if all(drive.empty for drive in drives):
            return [], self._apart(len(drives))
        parts, fork = [], self._apart(len(drives)).copy()
        for p, drive in enumerate(drives):
            for kind, layer, piece in self._checked(drive, rows):
                parts.append((p, kind, layer, piece))
                if not self.noisy:
                    fork[p] = min(fork[p], layer)
        return parts, np.minimum(fork, fork[0])

    def _count_beside(self, parts: Sequence[tuple[int, int, int, Any]], rows: int) -> None:
        """The products of second arrays cost as those of the first."""
        net = self.network
        for _, kind, layer, _ in parts:
            if kind == ON_WEIGHTS:
                tiles = len(net.row_tiles(layer)) * len(net.column_tiles(layer))
                self._cost.mvms += rows * net.positions[layer] * tiles

    def _apart(self, passes: int) -> np.ndarray:
        """Where passes that nobody perturbs part from the first; wanted often."""
        if passes not in self._forks:
            self._forks[passes] = np.full(passes, 0 if self.noisy else self.network.depth, np.int64)
        return self._forks[passes]

    def _checked(self, drive: Drive, rows: int) -> list[tuple[int, int, Any]]:
        """The parts of a drive: to what it adds, in which layer, and what."""
        net, found = self.network, []
        depth = net.depth
        parts = (
            ("perturbation", ON_LINE, drive.perturbations, partial(net.line_shape, batch=rows)),
            ("output perturbation", ON_OUTPUT, drive.outputs, partial(net.output_shape, batch=rows)),
            ("weight perturbation", ON_WEIGHTS, drive.weights, self._shapes.__getitem__),
        )
        for name, kind, given, shape in parts:
            if len(given) not in (0, depth):
                raise ValueError(f"a drive needs a {name} or None for each of {depth} layers, not {len(given)}")
            for layer, piece in enumerate(given):
                if piece is None:
                    continue
                what = f"the {name} of layer {layer}"
                if piece.shape != (wanted := shape(layer)):
                    raise ValueError(f"{what} must have the shape {wanted}, not {piece.shape}")
                piece = self._array(what, piece)
                self._check_finite(what, piece)
                found.append((kind, layer, self._backend.put(piece)))
        if any(kind == ON_OUTPUT and layer == depth - 1 for kind, layer, _ in found):
            raise ValueError("the last layer's output goes nowhere: perturb its pre-activations instead")
        taken = [layer for kind, layer, _ in found if kind != ON_OUTPUT]
        if len(taken) > len(set(taken)):
            raise ValueError("a layer takes a perturbation of its lines or of its weights, not both")
        return found

    def _write(self, change: Any, every: bool) -> None:
        hidden = self._hidden
        try:
            hidden.arrays.write(change, every, hidden.clock)
        except MemoryError:
            raise
        except Exception as error:
            raise compile_errors.explain(self.device, error, self._backend.NAME) from error
        if hidden.arrays.lazy:
            hidden.aged_at = -math.inf  # they stand at no time
        if hidden.arrays.knows_targets:
            hidden.gains_due = self._compensates and not hidden.reference_due
        else:
            hidden.reference_due = True


def _drives(given: Any) -> tuple[Drive, ...]:
    """Drives in a tuple of Python's own, or the one clear error."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(f"drives must be a list of Drive, not {shown(given)}")
    drives = tuple(given)
    if not drives:
        raise ValueError("drives must be one or more: each is a pass")
    if not all(type(drive) is Drive for drive in drives):
        raise TypeError("a drive must be a Drive")
    return drives


def _seeds(seed: Any, chips: int) -> seeding.Seeds:
    """The seed of all chips, or one for each, checked."""
    seed = as_list(seed)
    if isinstance(seed, (str, bytes)) or not isinstance(seed, Sequence):
        return check("", "seed", seed, SEED)
    if len(seed) != chips:
        raise ValueError(f"seed must be one number, or one for each of {chips} chips, not {len(seed)} of them")
    return tuple(check("", "seed", one, SEED) for one in seed)


class _Hidden:
    """The chips' own state: what no learner sees."""

    def __init__(
        self,
        net: Network,
        device: Any,
        seed: seeding.Seeds,
        chips: int,
        backend: str,
        jumps: bool,
        decorrelates: bool,
    ):
        self.backend = backends.get(backend)
        xp, put = self.backend.xp, self.backend.put
        self.arrays = Arrays(net, device, seed, chips, backend)
        shape = (chips, len(self.arrays.tiles))
        self.ranges = xp.full(shape, self.arrays.numbers.adc_range or 1.0, np.float32)
        self.peaks = xp.zeros(shape, np.float32)
        self.gains = xp.ones(shape, np.float32)  # of the compensation of drift
        self.reference = xp.zeros(shape, np.float32)  # the strength of its lines that the gains make up for
        self.reference_due, self.gains_due = True, False
        self.rows_own, self.columns_own = (
            put(self.arrays.fabrication.lines(part)) if self.arrays.spreads[part] else () for part in ("row", "column")
        )
        self.jumps = jumps
        self.states = xp.zeros(self.arrays.now.shape if jumps else (1, 0), np.uint8)
        squares = [(chips * n, n) for n in net.fan_in]
        self.rotations = layered.zeros(squares if decorrelates else [], xp)
        for rotation, n in zip(self.rotations, net.fan_in, strict=False):
            rotation.reshape(-1, n * n)[:, :: n + 1] = 1
        self.flat_rotations = self.rotations.flat
        self.normalisation = Normalisation(net, chips, xp)
        self.keys = {p: put(seeding.keys(seed, f"chip/{p}", chips)) for p in ("noise", "dropout")}
        self.clock = 0.0
        self.aged_at = 0.0  # the time at which the cells stand
        self.call_at = 0.0  # when the last call of passes began
        self.read_at = -AGES  # so cells' discrete states are in balance when they are first read
        self.next_pass = 0
        erase_with(self, self.secrets)

    @property
    def times(self) -> tuple[float, ...]:
        """The times that passes, writes and waits move, s."""
        return self.clock, self.aged_at, self.read_at, self.call_at, self.arrays.written_at

    @times.setter
    def times(self, times: Any) -> None:
        self.clock, self.aged_at, self.read_at, self.call_at, self.arrays.written_at = map(float, times)

    @property
    def secrets(self) -> list[Any]:
        """The arrays, besides those of `arrays`, that no observation may tell of."""
        lines = [own for own in (self.rows_own, self.columns_own) if len(own)]
        return [self.ranges, self.peaks, self.gains, self.reference, self.states, *lines, *self.keys.values()]

    @property
    def held(self) -> dict[str, np.ndarray]:
        """The arrays that change in use."""
        names = ("ranges", "peaks", "gains", "reference", "states")
        own = {n: getattr(self, n) for n in names}
        return {**self.arrays.held, **own, **self.normalisation.held, "rotations": self.flat_rotations}


def snapshot(chip: Chip) -> dict[str, np.ndarray]:
    """A copy of a chip's whole state, for a checkpoint. What follows from the seed is not among it."""
    hidden = chip._hidden
    flags = [chip._calibrated, hidden.reference_due, hidden.gains_due]
    return {
        **{name: np.array(hidden.backend.take(array)) for name, array in hidden.held.items()},
        "counters": np.array([hidden.next_pass, hidden.arrays.writes, *flags], np.int64),
        "times": np.array(hidden.times),
        "cost": chip.cost.array(),
    }


def restore(chip: Chip, state: dict[str, np.ndarray]) -> None:
    """Set a chip made with the same arguments to a `snapshot`."""
    hidden, state = chip._hidden, _whole(state)
    for name, target in hidden.held.items():
        if not target.size and not np.any(state.get(name, 0)):  # of what this chip has none, an older file says nothing
            continue
        value = state["fresh" if name == "aimed" and name not in state else name]  # earlier versions kept no targets
        if target.shape != value.shape:
            raise ValueError(f"the checkpoint's {name} have shape {value.shape}, the chip's {target.shape}")
        target[...] = hidden.backend.put(value)
    hidden.next_pass, hidden.arrays.writes, *flags = (int(n) for n in state["counters"])
    chip._calibrated, hidden.reference_due, hidden.gains_due = map(bool, flags)
    hidden.times = state["times"]
    hidden.arrays.done()  # what was written to make the chip is in the checkpoint's cost
    chip._cost = Cost.of(state["cost"])


def _whole(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A snapshot with the times and flags that those of earlier versions did not keep."""
    clock, *_ = state["times"]
    written = state["since"].max(initial=0.0)
    times = [*state["times"], *(clock, written)[len(state["times"]) - 3 :]]
    counters = np.resize(state["counters"], 5) * (np.arange(5) < len(state["counters"]))
    return {**state, "times": np.array(times), "counters": counters}


class FirstLayer(NamedTuple):
    """What stands behind the lines of a chip's first layer; of several chips those of the first.

    Attributes
    ----------
    cells : Cells or None
        Of a device that has any.
    states : numpy.ndarray or None
        Their discrete states, (slices, 2, n_out, n_in), where cells have any.
    inputs : (int, int)
        The range of inputs in its first tile.
    units : numpy.ndarray
        (slices,), the weight that 1 uS stands for.
    adc_range : float
        Full scale of the first tile's ADC.
    interval : float
        Seconds from one sample to the next.
    """

    cells: Cells | None
    states: np.ndarray | None
    inputs: tuple[int, int]
    units: np.ndarray
    adc_range: float
    interval: float


def first_layer(chip: Chip) -> FirstLayer:
    """A copy of what the next pass aside reads in the first layer: for checks of the simulation itself."""
    net, hidden, arrays = chip.network, chip._hidden, chip._hidden.arrays
    (n_out, n_in), take, cells, states = net.shapes[0], hidden.backend.take, None, None
    if shown := arrays.show(hidden.aged_at if math.isfinite(hidden.aged_at) else hidden.clock):
        cells = Cells(*(array[..., :n_out, :] for array in shown[0]))
    if hidden.jumps:
        own = take(hidden.states)[:, : chip.chips * n_out * n_in]
        states = own.reshape(-1, 2, chip.chips * n_out, n_in)[..., :n_out, :].copy()
    full_scale = float(take(hidden.ranges)[0, 0])
    return FirstLayer(cells, states, net.row_tiles(0)[0], arrays.units[0], full_scale, chip._interval)


def analog_passes(chip: Chip, x: np.ndarray, passes: int) -> Sequence[Observation]:
    """Passes of inputs (batch, n_in) whose lines nobody digitises, and which nobody counts: for the same checks."""
    x = chip._inputs(x)
    observed = chip._observations(None, len(x), passes, False, True)
    chip._pass(x, [], chip._apart(passes), observed, 0, convert=False)
    return observed
