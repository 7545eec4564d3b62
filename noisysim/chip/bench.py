"""A test bench: what a device does, measured on small chips. It is for people who look at a device, not for learners.

Each function makes a chip, lets it do what the name says and returns arrays, or None where the device does no such
thing. Conductances are in µS, times in s, line values in pre-activation units. Chips have faults in
`transfer` and `faults` alone.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import noisysim.devices as devices
from noisysim.chip import array_updates
from noisysim.chip.chip import Chip
from noisysim.common.types import Array, Doubles, Floats
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device, DeviceSpec
from noisysim.devices.physics.laws import each
from noisysim.devices.resolved import resolve

LINE = 16  # cells of a line that is read, beside one more that holds the DAC's scale
COLUMNS, SWEEP, REPEATS = 6, 65, 20  # lines, input values and reads of each in a transfer curve
READS = 4000
TARGETS, COPIES = 1200, 5  # conductances written, cells of each
PULSED, POINTS, MOST_PULSES = 64, 100, 20_000  # cells that are pulsed, looks each way, pulses each way at most
SHARES, AGED, AGES = (0.1, 0.4, 0.7, 1.0), 150, 41  # of the span; cells of each; looks
LIFETIME, LONGEST = 3.2e8, 1e12  # s: ten years; what a chip can be asked to wait
PROBES = 64  # input vectors that measure what is left of an output
ARRAY = 64  # lines either way of an array with faults
AUTO = {"controller": "auto", "target_bits": 0}
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
    model: Device = _written_by_target(devices.get(device))
    bound, full, span = resolve(model).full_span_weight(LINE + 1), *_full_scales(model)
    weight = min(bound, 1.2 * span / (LINE * full)) if span else bound / 2
    weights = np.full((COLUMNS, LINE + 1), weight, np.float32)
    weights[:, LINE] = 0
    chip = _written(model, weights, seed)
    inputs = _sweep() * full * (1.2 if resolve(model).dac_range else 1.0)
    x = np.tile(_swept(inputs, full), (REPEATS, 1))
    return Transfer(inputs, LINE * weight * inputs, chip.forward(x).output.reshape(REPEATS, SWEEP, COLUMNS))


def read_noise(device: DeviceSpec, seed: int = 0) -> ReadNoise | None:
    """Read one line many times, half driven, before the ADC's resolution and errors; None for exact reads.

    The law is ``readout_law``, given the variance that the line's cells add by their ``cell_std``; for cells that are
    read one by one (``read_cell``) there is none of the line.
    """
    model: Device = devices.get(device)
    if not devices.is_noisy(model):
        return None
    bound, full, span = resolve(model).full_span_weight(LINE + 1), *_full_scales(model)
    weights = np.zeros((1, LINE + 1), np.float32)
    weights[:, :LINE] = min(bound / 2, span / (LINE * full)) if span else bound / 2
    span = span or 1.25 * LINE * float(weights[0, 0]) * full
    plain = {name: 0 for name in model._asdict() if name.startswith("adc_")} | {"adc_range": span}
    model = _with(_written_by_target(_sound(model)), **plain, tile_rows=0, wire_resistance=0, compensation=0)
    chip = _written(model, weights, seed)
    chip.wait(resolve(model).drift_start)
    seen = chip.forward(np.tile(_swept(np.array([full / 2]), full), (READS, 1)))
    exact, energy = _line(chip, seen.inputs[0][0].astype(float), weights[0])
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
    targets = _conductances(model, (np.arange(TARGETS) + _out_of_step(TARGETS)) / TARGETS)
    chip = _written_cells(model, targets, COPIES, seed)
    law = None if closed else devices.laws(model).get("program_law")
    declared = None
    if law is not None:
        mean, std = law(targets, model)
        declared = (np.asarray(mean, float) - targets, np.broadcast_to(np.asarray(std, float), targets.shape))
    return ProgrammingError(targets, _cells(chip) - targets, declared)


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
    model = _with(_sound(model), verify_pulses=0, refresh_at=1, cells_per_weight=1 if single else 2, **AUTO)
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
        return _cells(chip)[:, 0] if single else _differences(chip)[:, 0]

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
    targets = _conductances(model, np.array(SHARES))
    chip = _written_cells(model, targets, AGED, seed)
    x = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), (PROBES, len(targets)))
    wanted = np.repeat(x @ _weights(model, targets)[:, None], AGED, axis=1)
    numbers = resolve(model)
    start = numbers.drift_start
    ages = np.geomspace(start, min(max(LIFETIME, 1e4 * start), LONGEST), AGES)
    cells, output = [], []
    for age in ages:
        chip.wait(max(age - chip.clock, 0.0))
        cells.append(_cells(chip))
        if numbers.compensated:
            output.append(float((chip.forward(x).output * wanted).sum() / (wanted**2).sum()))
    return Ageing(ages, targets, np.array(cells), np.array(output) if output else None)


def faults(device: DeviceSpec, seed: int = 0) -> Faults | None:
    """Look at every cell of one array; None if all are sound."""
    model: Device = _with(devices.get(device), slices=1)
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
    ends = [np.isclose(g, end, atol=1e-5 * numbers.span) for end in _conductances(model, np.array([0.0, 1.0]))]
    kinds = np.select([cut, stuck & ends[0], stuck & ends[1], stuck], [4, 1, 2, 3], 0)
    array = kinds.transpose(2, 1, 0).reshape(ARRAY, -1)  # the two lines of an output beside each other
    return Faults(array, {kind: float((array == k).mean()) for k, kind in enumerate(KINDS)}, pairs)


# --- chips for the bench ----------------------------------------------------------------------------------------------


def _with(device: Device, **changed: Any) -> Device:
    """The device with other settings, of those that it has."""
    return device._replace(**{name: value for name, value in changed.items() if name in device._asdict()})


def _sound(device: Device) -> Device:
    """The device without faults, and with a cell, or a pair of them, for each weight."""
    return _with(device, slices=1, stuck_low=0, stuck_high=0, stuck_random=0, dead_rows=0, dead_columns=0)


def _written_by_target(device: Device) -> Device:
    """A device whose controller writes cells to targets, so that they get where the bench wants them.

    Pulses do so in a closed loop. Where cells show something else than their state no loop closes: they are written at
    once (`_written`).
    """
    own = devices.own_hooks(device)
    if "pulse" not in own:
        return _with(device, controller=AUTO["controller"])
    if "appear" in own or resolve(device).verified:
        return device
    device = array_updates.by_net_changes(device)
    step = resolve(device).pulse_step
    return _with(device, verify_pulses=min(math.ceil(4 / step), 65535), verify_tolerance=step / 2, **AUTO)


def _conductances(device: Device, shares: Doubles) -> Doubles:
    """Conductances at these shares of the range, µS."""
    numbers = resolve(device)
    return numbers.g_min + numbers.span * shares


def _full_scales(device: Device) -> tuple[float, float]:
    """Full scale of the DAC, 1 where it scales with its inputs; of the ADC, 0 where it is calibrated."""
    numbers = resolve(device)
    return numbers.dac_range or 1.0, numbers.adc_range


def _weights(device: Device, targets: Doubles) -> Floats:
    """The weights, of an array with an input for each, that put their (positive) cells at these conductances."""
    numbers = resolve(device)
    share = (targets - numbers.g_min) / numbers.span
    position = share if numbers.paired else 2 * share - 1
    weights: Floats = (numbers.full_span_weight(len(targets)) * position).astype(np.float32)
    return weights


def _written(device: Device, weights: Floats, seed: int) -> Chip:
    """A chip of one layer, (n_out, n_in), that was asked for these weights, by as many pulses as that takes."""
    device = array_updates.by_net_changes(device)
    if "appear" in devices.own_hooks(device):
        return Chip(weights.shape[::-1], device, "linear", seed=seed, oracle=True, init=[weights])
    chip = Chip(weights.shape[::-1], device, "linear", seed=seed, oracle=True, init="zero")
    turns = 1
    if "targets" not in chip.offers:
        numbers = resolve(device)
        reach = numbers.pulse_limit * numbers.pulse_step * numbers.full_span_weight(weights.shape[1])
        turns = math.ceil(float(np.abs(weights).max()) / reach)
    for _ in range(turns):
        chip.program([weights / np.float32(turns)])
    return chip


def _written_cells(device: Device, targets: Doubles, copies: int, seed: int) -> Chip:
    """A chip whose column k of `copies` cells was asked for the k-th conductance."""
    return _written(_written_by_target(_sound(device)), np.tile(_weights(device, targets), (copies, 1)), seed)


def _cells(chip: Chip) -> Doubles:
    """Conductances of the positive cells of a chip's one layer, (n_out, n_in) float64."""
    conductances: Doubles = chip.cells()[0].plus[0].astype(float)
    return conductances


def _differences(chip: Chip) -> Doubles:
    """Conductances of the positive cells less those of the negative ones, (n_out, n_in) float64."""
    shown = chip.cells()[0]
    differences: Doubles = shown.plus[0].astype(float) - shown.minus[0]
    return differences


def _sweep() -> Doubles:
    """Values from -1 to 1, antisymmetric, with the ends and 0; the others are shifted by up to half their distance.

    Values at equal distances, near to a multiple of a DAC's step, would miss its codes by an error that grows along the
    sweep and jumps back: a kink that is the sweep's, not the device's.
    """
    half = SWEEP // 2
    shifts = _out_of_step(half + 1) - 0.5
    shifts[[0, -1]] = 0
    upper = (np.arange(half + 1) + shifts) / half
    return np.concatenate([-upper[:0:-1], upper])


def _out_of_step(count: int) -> Doubles:
    """Numbers from 0 to 1, evenly spread however many in a row are taken: multiples of the golden section."""
    fractions: Doubles = (np.arange(1, count + 1) * (math.sqrt(5) - 1) / 2) % 1
    return fractions


def _swept(values: Doubles, full: float) -> Floats:
    """Inputs, (values, LINE + 1), of a line whose cells are driven alike; the last input is always full."""
    x = np.repeat(values[:, None], LINE + 1, axis=1).astype(np.float32)
    x[:, LINE] = full
    return x


def _line(chip: Chip, driven: Doubles, weights: Floats) -> tuple[float, float]:
    """A chip's first line as its cells stand: exact product, and the variance that they add to a read of it."""
    device, hooks, numbers = chip.device, devices.hooks(chip.device), resolve(chip.device)
    d = SimpleNamespace(**device_files.scalars(device))
    if "current" in devices.own_hooks(device):
        full = numbers.dac_range or np.abs(driven).max()
        driven = full * each(lambda v: hooks["current"](np.float32(v), d), driven / full)
    shown = chip.cells()
    if not shown:
        return float(driven @ weights), 0.0
    unit = numbers.full_span_weight(len(driven)) * (1 if numbers.paired else 2) / numbers.span
    exact = float(driven @ (shown[0].plus[0, 0].astype(float) - shown[0].minus[0, 0])) * unit
    energy = 0.0
    for side, g in enumerate((shown[0].plus, shown[0].minus)[: 2 if numbers.paired else 1]):
        cells = zip(g[0, 0], shown[0].age[0, side, 0], shown[0].target[0, side, 0], strict=True)
        stds = [
            float(device_files.ask(hooks["cell_std"], d, g=one, t=np.float32(t), target=aim)) for one, t, aim in cells
        ]
        energy += float(driven**2 @ np.square(stds)) * unit**2
    return exact, energy
