"""A test bench: what a device does, measured on small chips. It is for people who look at a device, not for learners.

Each function makes a chip, lets it do what the name says and returns arrays, or None where the device does no such
thing. Conductances are in µS, times in s, line values in pre-activation units. Chips have faults in
`transfer` and `faults` alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import noisysim.devices as devices
from noisysim.chip import array_updates, bench_chips
from noisysim.chip.bench_chips import AUTO, LINE, SWEEP
from noisysim.chip.chip import Chip
from noisysim.common.types import Array, Doubles
from noisysim.devices.contract import Device, DeviceSpec
from noisysim.devices.resolved import resolve

COLUMNS, REPEATS = 6, 20  # lines, and reads of each input value, in a transfer curve
READS = 4000
TARGETS, COPIES = 1200, 5  # conductances written, cells of each
PULSED, POINTS, MOST_PULSES = 64, 100, 20_000  # cells that are pulsed, looks each way, pulses each way at most
SHARES, AGED, AGES = (0.1, 0.4, 0.7, 1.0), 150, 41  # of the span; cells of each; looks
LIFETIME, LONGEST = 3.2e8, 1e12  # s: ten years; what a chip can be asked to wait
PROBES = 64  # input vectors that measure what is left of an output
ARRAY = 64  # lines either way of an array with faults
KINDS = ("sound", "stuck low", "stuck high", "stuck elsewhere", "line cut")


class Transfer(NamedTuple):
    """Lines of equal weights against their common input.

    Attributes
    ----------
    inputs : numpy.ndarray
        (values,), input units, rising: the ends, 0, and between them values that keep no step with a DAC's codes.
    ideal : numpy.ndarray
        (values,), what an exact product gives.
    reads : numpy.ndarray
        (repeats, values, columns), what the chip gave.
    """

    inputs: Array
    ideal: Array
    reads: Array


class ReadNoise(NamedTuple):
    """Reads of one line under one input.

    Attributes
    ----------
    reads : numpy.ndarray
        (reads,), less the exact product.
    mean, std : float
        Of the law; where none is declared, of the reads.
    declared : bool
        Whether the law is the device's.
    """

    reads: Array
    mean: float
    std: float
    declared: bool


class ProgrammingError(NamedTuple):
    """Writes of many targets, each to several cells.

    Attributes
    ----------
    targets : numpy.ndarray
        (targets,), rising.
    errors : numpy.ndarray
        (cells, targets), conductance right after the write, less the target.
    law : tuple of numpy.ndarray or None
        Mean and standard deviation of the error, (targets,) each, as the device declares them.
    """

    targets: Array
    errors: Array
    law: tuple[Array, Array] | None


class PulseResponse(NamedTuple):
    """Conductances of cells that are pulsed, first all up, then all down.

    Attributes
    ----------
    pulses : numpy.ndarray
        (looks,), pulses so far in one direction.
    up : numpy.ndarray
        (looks, cells), from the low end; of a pair of cells the plus cell less the minus cell, from 0.
    down : numpy.ndarray
        The same downwards, from where `up` ended; of a pair by pulses that raise the minus cell.
    paired : bool
        Whether these are differences of pairs.
    """

    pulses: Array
    up: Array
    down: Array
    paired: bool


class Ageing(NamedTuple):
    """Conductances of cells left alone.

    Attributes
    ----------
    ages : numpy.ndarray
        (looks,), since the write.
    targets : numpy.ndarray
        (targets,), what was written.
    cells : numpy.ndarray
        (looks, cells, targets).
    output : numpy.ndarray or None
        (looks,), the part of the written weights' output that a periphery which compensates gives.
    """

    ages: Array
    targets: Array
    cells: Array
    output: Array | None


class Faults(NamedTuple):
    """An array's cells and lines that do not work.

    Attributes
    ----------
    array : numpy.ndarray
        (inputs, output lines), index into `KINDS`; of a pair of cells the lines stand side by side, plus then minus.
    shares : dict
        Kind -> share of the cells.
    paired : bool
        Whether each output has the two lines of a pair.
    """

    array: Array
    shares: dict[str, float]
    paired: bool


def transfer(device: DeviceSpec, seed: int = 0) -> Transfer:
    """Sweep the input of lines of equal weights, from DAC to ADC.

    A DAC of fixed range is driven a fifth beyond it. One that scales each vector to its largest value finds that on a
    further input, always full, of weight 0. An ADC of fixed range is driven a fifth beyond it where weights reach.

    Parameters
    ----------
    device : device
        As for `noisysim.devices.get`.
    seed : int
        Of the chip.
    """
    model: Device = bench_chips.written_by_target(devices.get(device))
    bound, full, span = resolve(model).full_span_weight(LINE + 1), *bench_chips.full_scales(model)
    weight = min(bound, 1.2 * span / (LINE * full)) if span else bound / 2
    weights = np.full((COLUMNS, LINE + 1), weight, np.float32)
    weights[:, LINE] = 0
    chip = bench_chips.written(model, weights, seed)
    inputs = bench_chips.sweep() * full * (1.2 if resolve(model).dac_range else 1.0)
    x = np.tile(bench_chips.swept(inputs, full), (REPEATS, 1))
    return Transfer(inputs, LINE * weight * inputs, chip.forward(x).output.reshape(REPEATS, SWEEP, COLUMNS))


def read_noise(device: DeviceSpec, seed: int = 0) -> ReadNoise | None:
    """Read one line many times, half driven, before the ADC's resolution and errors; None for exact reads.

    The law is ``readout_law``, given the variance that the line's cells add by their ``cell_std``; for cells that are
    read one by one (``read_cell``) there is none of the line.
    """
    model: Device = devices.get(device)
    if not devices.is_noisy(model):
        return None
    bound, full, span = resolve(model).full_span_weight(LINE + 1), *bench_chips.full_scales(model)
    weights = np.zeros((1, LINE + 1), np.float32)
    weights[:, :LINE] = min(bound / 2, span / (LINE * full)) if span else bound / 2
    span = span or 1.25 * LINE * float(weights[0, 0]) * full
    plain = {name: 0 for name in model._asdict() if name.startswith("adc_")} | {"adc_range": span}
    model = bench_chips.with_fields(
        bench_chips.written_by_target(bench_chips.sound(model)), **plain, tile_rows=0, wire_resistance=0, compensation=0
    )
    chip = bench_chips.written(model, weights, seed)
    chip.wait(resolve(model).drift_start)
    seen = chip.forward(np.tile(bench_chips.swept(np.array([full / 2]), full), (READS, 1)))
    exact, energy = bench_chips.exact_line(chip, seen.inputs[0][0].astype(float), weights[0])
    reads = seen.output[:, 0].astype(float) - exact
    law = devices.laws(model).get("readout_law")
    if law is None or "read_cell" in devices.own_hooks(model):
        return ReadNoise(reads, float(reads.mean()), float(reads.std()), False)
    mean, std = law(exact, energy, model)
    return ReadNoise(reads, float(mean) - exact, float(std), True)


def programming_error(device: DeviceSpec, seed: int = 0) -> ProgrammingError | None:
    """Write cells all over their range; None where the controller has no target to miss.

    Targets are spread evenly, but keep no step with a cell's levels. The law is ``program_law``, of a cell as the
    fields say it is; a closed loop of pulses has none.
    """
    model: Device = devices.get(device)
    hooks, closed = devices.own_hooks(model), resolve(model).verified
    if not closed and ("pulse" in hooks or "program" not in hooks):
        return None
    targets = bench_chips.conductances(model, (np.arange(TARGETS) + bench_chips.out_of_step(TARGETS)) / TARGETS)
    chip = bench_chips.written_cells(model, targets, COPIES, seed)
    law = None if closed else devices.laws(model).get("program_law")
    declared = None
    if law is not None:
        mean, std = law(targets, model)
        declared = (np.asarray(mean, float) - targets, np.broadcast_to(np.asarray(std, float), targets.shape))
    return ProgrammingError(targets, bench_chips.cells(chip) - targets, declared)


def pulse_response(device: DeviceSpec, seed: int = 0) -> PulseResponse | None:
    """Give cells pulses up, then down, as many as take a nominal cell from end to end; None without pulses.

    A pair in open loop is pulsed up only: what lowers its weight are pulses up of its minus cell.
    """
    model: Device = devices.get(device)
    if "pulse" not in devices.own_hooks(model):
        return None
    model = array_updates.by_net_changes(model)
    numbers = resolve(model)
    single = not numbers.paired or numbers.verified
    model = bench_chips.with_fields(
        bench_chips.sound(model), verify_pulses=0, refresh_at=1, cells_per_weight=1 if single else 2, **AUTO
    )
    chip = Chip([1, PULSED], model, seed=seed, oracle=True, init="zero")
    a_pulse = numbers.pulse_step * (2 if single else 1) * numbers.full_span_weight(1)
    per_look = max(1, round(min(1 / numbers.pulse_step, MOST_PULSES) / POINTS))

    def give(direction: int) -> None:
        left = per_look
        while left:
            now = min(left, numbers.pulse_limit)
            chip.program([np.full((PULSED, 1), direction * now * a_pulse, np.float32)])
            left -= now

    def look() -> Doubles:
        return bench_chips.cells(chip)[:, 0] if single else bench_chips.differences(chip)[:, 0]

    def follow(direction: int) -> Doubles:
        looks = [look()]
        for _ in range(POINTS):
            give(direction)
            looks.append(look())
        return np.array(looks)

    if single:
        follow(-1)  # from wherever the first write left them to the low end
    up = follow(1)
    return PulseResponse(per_look * np.arange(POINTS + 1), up, follow(-1), not single)


def ageing(device: DeviceSpec, seed: int = 0) -> Ageing | None:
    """Write a few conductances and wait, from where drift starts to ten years; None for cells that stay.

    Where the periphery compensates, each look also drives the array with random +-1 and projects what it gives on what
    the written weights would.
    """
    model: Device = devices.get(device)
    if "drift" not in devices.own_hooks(model):
        return None
    targets = bench_chips.conductances(model, np.array(SHARES))
    chip = bench_chips.written_cells(model, targets, AGED, seed)
    x = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), (PROBES, len(targets)))
    wanted = np.repeat(x @ bench_chips.weights(model, targets)[:, None], AGED, axis=1)
    numbers = resolve(model)
    start = numbers.drift_start
    ages = np.geomspace(start, min(max(LIFETIME, 1e4 * start), LONGEST), AGES)
    cells, output = [], []
    for age in ages:
        chip.wait(max(age - chip.clock, 0.0))
        cells.append(bench_chips.cells(chip))
        if numbers.compensated:
            output.append(float((chip.forward(x).output * wanted).sum() / (wanted**2).sum()))
    return Ageing(ages, targets, np.array(cells), np.array(output) if output else None)


def faults(device: DeviceSpec, seed: int = 0) -> Faults | None:
    """Look at every cell of one array; None if all are sound."""
    model: Device = bench_chips.with_fields(devices.get(device), slices=1)
    numbers = resolve(model)
    pairs = numbers.paired
    shown = Chip([ARRAY, ARRAY // 2 if pairs else ARRAY], model, seed=seed, oracle=True, init="zero").cells()
    if not shown or not shown[0].stuck.any():
        return None
    sides = slice(0, 2 if pairs else 1)
    stuck = shown[0].stuck[0, sides]
    g = np.stack([shown[0].plus[0], shown[0].minus[0]])[sides]
    cut = stuck & (g == 0)
    cut &= cut.all(axis=(0, 1))[None, None, :] | cut.all(axis=(0, 2))[None, :, None]
    ends = [
        np.isclose(g, end, atol=1e-5 * numbers.span) for end in bench_chips.conductances(model, np.array([0.0, 1.0]))
    ]
    kinds = np.select([cut, stuck & ends[0], stuck & ends[1], stuck], [4, 1, 2, 3], 0)
    array = kinds.transpose(2, 1, 0).reshape(ARRAY, -1)  # the two lines of an output beside each other
    return Faults(array, {kind: float((array == k).mean()) for k, kind in enumerate(KINDS)}, pairs)
