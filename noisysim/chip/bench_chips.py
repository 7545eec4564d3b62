"""Chips for the test bench (`noisysim.chip.bench`): how they are written, driven and looked at."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim.chip import array_updates
from noisysim.chip.chip import Chip
from noisysim.common.types import Doubles, Floats
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.physics.laws import each
from noisysim.devices.resolved import resolve

LINE = 16  # cells of a line that is read, beside one more that holds the DAC's scale
SWEEP = 65  # input values of a transfer curve
AUTO = {"controller": "auto", "target_bits": 0}


def with_fields(device: Device, **changed: Any) -> Device:
    """The device with other settings, of those that it has."""
    return device._replace(**{name: value for name, value in changed.items() if name in device._asdict()})


def sound(device: Device) -> Device:
    """The device without faults, and with a cell, or a pair of them, for each weight."""
    return with_fields(device, slices=1, stuck_low=0, stuck_high=0, stuck_random=0, dead_rows=0, dead_columns=0)


def written_by_target(device: Device) -> Device:
    """A device whose controller writes cells to targets, so that they get where the bench wants them.

    Pulses do so in a closed loop. Where cells show something else than their state no loop closes: they are written at
    once (`written`).
    """
    own = devices.own_hooks(device)
    if "pulse" not in own:
        return with_fields(device, controller=AUTO["controller"])
    if "appear" in own or resolve(device).verified:
        return device
    device = array_updates.by_net_changes(device)
    step = resolve(device).pulse_step
    return with_fields(device, verify_pulses=min(math.ceil(4 / step), 65535), verify_tolerance=step / 2, **AUTO)


def conductances(device: Device, shares: Doubles) -> Doubles:
    """Conductances at these shares of the range, µS."""
    numbers = resolve(device)
    return numbers.g_min + numbers.span * shares


def full_scales(device: Device) -> tuple[float, float]:
    """Full scale of the DAC, 1 where it scales with its inputs; of the ADC, 0 where it is calibrated."""
    numbers = resolve(device)
    return numbers.dac_range or 1.0, numbers.adc_range


def weights(device: Device, targets: Doubles) -> Floats:
    """The weights, of an array with an input for each, that put their (positive) cells at these conductances."""
    numbers = resolve(device)
    share = (targets - numbers.g_min) / numbers.span
    position = share if numbers.paired else 2 * share - 1
    weights: Floats = (numbers.full_span_weight(len(targets)) * position).astype(np.float32)
    return weights


def written(device: Device, weights: Floats, seed: int) -> Chip:
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


def written_cells(device: Device, targets: Doubles, copies: int, seed: int) -> Chip:
    """A chip whose column k of `copies` cells was asked for the k-th conductance."""
    return written(written_by_target(sound(device)), np.tile(weights(device, targets), (copies, 1)), seed)


def cells(chip: Chip) -> Doubles:
    """Conductances of the positive cells of a chip's one layer, (n_out, n_in) float64."""
    conductances: Doubles = chip.cells()[0].plus[0].astype(float)
    return conductances


def differences(chip: Chip) -> Doubles:
    """Conductances of the positive cells less those of the negative ones, (n_out, n_in) float64."""
    shown = chip.cells()[0]
    differences: Doubles = shown.plus[0].astype(float) - shown.minus[0]
    return differences


def sweep() -> Doubles:
    """Values from -1 to 1, antisymmetric, with the ends and 0; the others are shifted by up to half their distance.

    Values at equal distances, near to a multiple of a DAC's step, would miss its codes by an error that grows along the
    sweep and jumps back: a kink that is the sweep's, not the device's.
    """
    half = SWEEP // 2
    shifts = out_of_step(half + 1) - 0.5
    shifts[[0, -1]] = 0
    upper = (np.arange(half + 1) + shifts) / half
    return np.concatenate([-upper[:0:-1], upper])


def out_of_step(count: int) -> Doubles:
    """Numbers from 0 to 1, evenly spread however many in a row are taken: multiples of the golden section."""
    fractions: Doubles = (np.arange(1, count + 1) * (math.sqrt(5) - 1) / 2) % 1
    return fractions


def swept(values: Doubles, full: float) -> Floats:
    """Inputs, (values, LINE + 1), of a line whose cells are driven alike; the last input is always full."""
    x = np.repeat(values[:, None], LINE + 1, axis=1).astype(np.float32)
    x[:, LINE] = full
    return x


def exact_line(chip: Chip, driven: Doubles, weights: Floats) -> tuple[float, float]:
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
