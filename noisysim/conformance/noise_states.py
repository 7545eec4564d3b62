"""The part of conformance that is about noise: whatever state a chip is in, its reads vary as the hooks say."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim.chip.chip import WAIT, Chip, analog_passes, first_layer
from noisysim.common.fields import declared
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve
from noisysim.runs import noise_check

Found = tuple[str, "bool | None", str]
"""What was looked at, whether it is right (None where there is nothing to be right), and what was found."""
SIZES, ROWS = (8, 16, 4), 512  # what is looked at is the first layer
INPUTS, LINES = SIZES[:2]
DRAWS = 2000  # of a hook, for the variance of one line
LATER = 1e4  # times drift_start, or seconds: the age of an aged chip
SLACK = 0.03  # of a standard deviation: float32, and what the cells' age may lag behind the clock


def in_every_state(device: Device, significance: float, seed: int) -> list[Found]:
    """Whether the read noise of a chip is what its hooks say, in every state that it can be in.

    Parameters
    ----------
    device : device
    significance : float
        Chance that a chip which obeys is found not to, of all states together.
    seed : int
    """
    if not devices.own_hooks(device) & {"readout", "read_cell", "jump", "cell_std"}:
        return [("noise", None, "no hook of a read: two passes are the same")]
    device = _nominal(device)
    chips = dict(_states(device, seed))
    return [(f"noise: {state}", *_measured(chip, significance / len(chips), seed)) for state, chip in chips.items()]


def _nominal(device: Device) -> Any:
    """The device with all cells and lines alike and sound, each output on one line."""
    off = dict.fromkeys(
        ("stuck_low", "stuck_high", "stuck_random", "dead_rows", "dead_columns", "tile_rows", "tile_columns",
         "wire_resistance", "compensation"), 0.0,
    )  # fmt: skip
    off |= {size: 0.0 for f in declared(type(device)).values() if f.spread for size in f.spread.sizes()} | {"slices": 1}
    return device._replace(**{name: value for name, value in off.items() if name in device._fields})


def _states(device: Device, seed: int) -> Iterator[tuple[str, Chip]]:
    """A chip in every state: just made, of zero weights, written again, long after, after many small updates."""

    def made(init: str = "he") -> Chip:
        return Chip(SIZES, device, seed=seed, oracle=True, init=init)

    rng = np.random.default_rng(seed)
    yield "fresh", made()
    yield "zero", made("zero")
    chip = made("zero")
    chip.wait(resolve(device).drift_start)
    chip.program([rng.normal(0, 0.3, shape).astype(np.float32) for shape in chip.network.shapes])
    yield "rewritten", chip
    chip = made()
    chip.wait(min(LATER * resolve(device).drift_start, WAIT.high))
    yield "aged", chip
    chip = made()
    for _ in range(10):
        chip.program([rng.normal(0, 0.02, shape).astype(np.float32) for shape in chip.network.shapes])
    yield "pulsed" if "pulse" in devices.own_hooks(device) else "updated", chip


def _measured(chip: Chip, significance: float, seed: int) -> tuple[bool | None, str]:
    """The variance of the lines against that of the hooks, evaluated as plain Python."""
    from scipy.stats import norm

    x = np.tile(np.random.default_rng(seed + 1).uniform(0.3, 1.0, INPUTS).astype(np.float32), (ROWS, 1))
    chip.forward(x)  # which takes its time
    try:
        noise_check.check(chip, x)
    except devices.DeviceError as error:
        return False, str(error)
    if "jump" in devices.own_hooks(chip.device):
        spread = np.std([o.activities[0] for o in analog_passes(chip, x, 2)], axis=(0, 1)).mean()
        return None, f"std {spread:.3g}; cells that jump remember: no law of a single read follows"
    law = _Law(chip, seed)
    observed = analog_passes(chip, x, 2)
    driven = observed[0].inputs[0][0].astype(float)
    reads = np.concatenate([o.activities[0] for o in observed]).astype(float)
    within = (0.0, 2 * ROWS * law.layer.interval) if devices.ages(chip.device) else (0.0,)  # seconds of these passes
    low, *_, high = sorted(2 * [law.variances(driven, later).mean() for later in within])
    squares = (reads - reads.mean(axis=0)) ** 2 * (len(reads) / (len(reads) - 1))
    seen, sampling = float(squares.mean()), float(squares.mean(axis=1).std()) / np.sqrt(len(reads))
    slack = norm.isf(significance / 2) * np.hypot(sampling, law.relative_error * high)
    slack += (1e-6 * float(np.abs(reads).max())) ** 2
    text = f"std of a read {np.sqrt(seen):.4g}, the hooks' {np.sqrt(low):.4g}"
    text += f" to {np.sqrt(high):.4g} as cells age" if high > low * (1 + 1e-3) else ""
    return bool(low * (1 - SLACK) ** 2 - slack <= seen <= high * (1 + SLACK) ** 2 + slack), text


class _Law:
    """The variance of one read of each line, from the hooks and from how the cells stand."""

    def __init__(self, chip: Chip, seed: int):
        shown = chip.cells()
        self.layer = first_layer(chip)._replace(cells=shown[0] if shown else None)  # as old as the clock says
        self.active, self.hooks = devices.own_hooks(chip.device), devices.hooks(chip.device)
        fields = device_files.scalars(chip.device)
        if fields.get("adc_range") == 0:
            fields["adc_range"] = np.float32(self.layer.adc_range)
        self.d = types.SimpleNamespace(**fields)
        self.law = devices.laws(chip.device).get("readout_law")
        self.rng = np.random.default_rng(seed)
        self.relative_error = 0.0  # of the mean over lines, as far as it comes from draws
        numbers = resolve(chip.device)
        self.full = numbers.dac_range
        self.sides = 2 if numbers.paired else 1

    def variances(self, driven: np.ndarray, later: float) -> np.ndarray:
        """(LINES,) variances, driven with (INPUTS,), `later` seconds from now."""
        full = self.full or np.abs(driven).max()
        if "current" in self.active:
            driven = np.array([full * float(self.hooks["current"](np.float32(v / full), self.d)) for v in driven])
        energy, more, exact = np.zeros(LINES), np.zeros(LINES), np.zeros(LINES)
        if self.layer.cells is not None:
            unit = float(self.layer.units[0])
            for side, g in enumerate((self.layer.cells.plus[0], self.layer.cells.minus[0])):
                exact += (1 - 2 * side) * unit * (g.astype(float) @ driven)
                if side < self.sides:
                    ages = self.layer.cells.age[0, side] + later
                    target = self.layer.cells.target[0, side]
                    energy += unit**2 * (self._each(self._of_cell, g, ages, target) @ driven**2)
                    more += unit**2 * (self._each(self._of_seen, g) @ driven**2)
        return more + [self._of_line(i, e) for i, e in zip(exact, energy, strict=True)]

    def _each(self, function: Callable[..., float], *arrays: np.ndarray) -> np.ndarray:
        values = zip(*(array.astype(np.float32).ravel() for array in arrays), strict=True)
        return np.reshape([function(*one) for one in values], arrays[0].shape)

    def _of_cell(self, g: np.float32, age: np.float32, target: np.float32) -> float:
        if "cell_std" not in self.active:
            return 0.0
        return float(device_files.ask(self.hooks["cell_std"], self.d, g=g, t=age, target=target)) ** 2

    def _of_seen(self, g: np.float32) -> float:
        if "read_cell" not in self.active:
            return 0.0
        return self._sampled(lambda z, u: self.hooks["read_cell"](g, np.float32(0), z, u, self.d), DRAWS // 4)

    def _of_line(self, i: float, energy: float) -> float:
        if self.law:
            return float(self.law(i, energy, self.d)[1]) ** 2
        line, variance = np.float32(i), np.float32(energy)
        return self._sampled(lambda z, u: self.hooks["readout"](line, variance, z, u, self.d), DRAWS)

    def _sampled(self, function: Callable[[Any, Any], Any], draws: int) -> float:
        """The variance of what a hook makes of its draws."""
        z, u = self.rng.standard_normal(draws), self.rng.uniform(1e-7, 1 - 1e-7, draws)
        drawn = zip(z.astype(np.float32), u.astype(np.float32), strict=True)
        squares = np.array([float(function(*one)) for one in drawn])
        squares = (squares - squares.mean()) ** 2
        if squares.any():
            error = float(squares.std() / squares.mean()) / np.sqrt(draws * LINES)
            self.relative_error = max(self.relative_error, error)
        return float(squares.mean())


def of_every_amplitude(device: Device, seed: int) -> list[Found]:
    """Whether every field declared as a noise changes what chips do when it alone is switched on."""
    specs = declared(type(device))
    findings: list[Found] = []
    for kind in ("read", "write"):
        names = [name for name, spec in specs.items() if spec.noise == kind]
        for name in names:
            quiet = dict.fromkeys(names, 0)
            on, problem = _switched_on(device, quiet, name)
            if on is None:
                findings.append((f"switched on: {name}", None, f"cannot be on alone: {problem}"))
                continue
            changes = _varies(on, seed) if kind == "read" else _differ(on, devices.get(device, **quiet), seed)
            text = f"at {getattr(on, name):g} {'two passes differ' if kind == 'read' else 'writes differ'}"
            findings.append(
                (f"switched on: {name}", changes, text if changes else f"at {getattr(on, name):g}: no effect")
            )
    return findings or [("switched on", None, "no field declares an amplitude, Field(noise='read')")]


def _switched_on(device: Device, quiet: dict[str, Any], name: str) -> tuple[Any, str]:
    """The device with one amplitude on, as large as it is or may be, and the others of `quiet` off; or why not."""
    present, spec, problem = getattr(device, name), declared(type(device))[name], ""
    for value in ([present] if present else []) + ([spec.high] if np.isfinite(spec.high) else []) + [1.0, 0.1]:
        try:
            return devices.get(device, **{**quiet, name: value}), ""
        except ValueError as error:
            problem = problem or str(error)
    return None, problem


def _used(device: Device, seed: int) -> tuple[Chip, np.ndarray]:
    """A chip that was written, updated and left alone for a while, and inputs for it."""
    chip = Chip(SIZES, device, seed=seed)
    chip.program([np.full(shape, 0.05, np.float32) for shape in chip.network.shapes])
    chip.wait(resolve(device).drift_start)
    return chip, np.random.default_rng(seed).uniform(0.3, 1.0, (64, INPUTS)).astype(np.float32)


def _varies(device: Device, seed: int) -> bool:
    """Whether two passes of the same inputs differ before the ADC."""
    chip, x = _used(device, seed)
    first, second = analog_passes(chip, x, 2)
    return not np.array_equal(first.output, second.output)


def _differ(device: Device, other: Device, seed: int) -> bool:
    """Whether the same pass of two devices' chips, which draw alike, differs before the ADC."""
    first, second = (analog_passes(*_used(one, seed), 1)[0] for one in (device, other))
    return not np.array_equal(first.output, second.output)
