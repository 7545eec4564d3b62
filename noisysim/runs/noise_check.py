"""Read noise that is lost stops a run before it learns: a noisy device whose passes are all alike is a fault.

Whether noise must be seen is asked of the device's hooks alone, evaluated as plain Python on what the first layer's
lines carry: nothing that decides how loops draw noise is asked.
"""

from __future__ import annotations

import types

import numpy as np

import noisysim.devices as devices
from noisysim.chip.chip import Chip, analog_passes, first_layer
from noisysim.chip.first_layer import FirstLayer
from noisysim.common.fields import declared
from noisysim.common.types import Floats
from noisysim.compute import backends
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve

ROWS = 32
"""Samples of a pass that is compared with another one."""
LINES, CELLS = 16, 32
"""Output lines that hooks are evaluated for, and the cells of each on either side: those that are driven most."""
DIFFER = 20
"""Line values that must differ in two reads as the hooks tell them, for two passes that are alike to be a fault.

The chip's values are far more than the `ROWS` x `LINES` asked, each as likely to differ: were they alike by chance, the
number seen to differ here would be Poisson of mean m at most, and the chance of both, P(>= 20) exp(-m), below 1e-7 for
any m.
"""
FAINT = 1e-24
"""Variance that float32 sums may lose."""


def check(chip: Chip, inputs: Floats) -> None:
    """Refuse a chip whose device has read noise but whose passes of the same inputs are the same before the ADC.

    Parameters
    ----------
    chip : Chip
        Calibrated. Not changed: noise, cost and clock continue as if it had not been checked.
    inputs : array
        (batch, n_in), of several chips the samples of one after those of another.

    Raises
    ------
    DeviceError
    """
    if not devices.own_hooks(chip.device) & {"readout", "read_cell", "jump", "cell_std"}:
        return
    per_chip = inputs.reshape(chip.chips, -1, inputs.shape[-1])[:, :ROWS]
    per_chip = backends.backend_of(per_chip).take(per_chip)
    x = per_chip[:, np.arange(ROWS) % per_chip.shape[1]].reshape(-1, inputs.shape[-1])
    with chip.aside():
        first, second = analog_passes(chip, x, 2)
    xp = backends.backend_of(first.output).xp
    if not all(bool(xp.array_equal(a, b)) for a, b in zip(first.activities, second.activities, strict=True)):
        return
    if not np.isfinite(float(abs(first.output).max())):
        return  # non-finite passes, which a run reports itself
    behind, take = first_layer(chip), backends.backend_of(first.output).take
    (n_out, n_in), rows = chip.network.shapes[behind.layer], len(x) // chip.chips
    driven = np.array(take(first.inputs[behind.layer]))[:rows].reshape(-1, n_in)
    carried = np.array(take(first.activities[behind.layer]))[:rows].reshape(-1, n_out) / behind.scales
    count = _differing(chip.device, behind, driven[:ROWS], carried[:ROWS, :LINES])
    if count >= DIFFER:
        name, size = devices.name_of(chip.device), carried[:ROWS, :LINES].size
        amplitudes = [n for n, f in declared(type(chip.device)).items() if f.noise == "read"]
        off = amplitudes and not any(getattr(chip.device, n) for n in amplitudes)
        hint = f"every field declared as read noise ({', '.join(amplitudes)}) is 0, but " if off else ""
        raise devices.DeviceError(
            f"{name}: {hint}its hooks give reads that differ ({count} of {size} lines), and two passes of the same "
            f"inputs are alike: read noise was lost; python -m noisysim.conformance {name} says more"
        )


def _differing(device: Device, behind: FirstLayer, driven: np.ndarray, carried: np.ndarray) -> int:
    """How many line values differ in two reads, as the hooks tell them.

    Parameters
    ----------
    device : device
    behind : FirstLayer
    driven : numpy.ndarray
        (rows, n_in), what the cells were driven with.
    carried : numpy.ndarray
        (rows, lines), what the lines carried.
    """
    reader = _Reader(device, behind)
    rng = np.random.default_rng(0)
    count = 0
    with np.errstate(all="ignore"):
        for row, lines in zip(driven, carried, strict=True):
            for k, line in enumerate(lines):
                first, second = (reader.read(k, row, line, rng, later) for later in (False, True))
                count += bool(np.float32(line + (second - first)) != line and np.isfinite(second - first))
    return count


class _Reader:
    """Reads of single lines by a device's hooks, as plain Python."""

    def __init__(self, device: Device, behind: FirstLayer):
        fields = device_files.scalars(device)
        if fields.get("adc_range") == 0:
            fields["adc_range"] = np.float32(behind.adc_range)
        self.d = types.SimpleNamespace(**fields)
        self.behind, self.hooks, self.active = behind, devices.hooks(device), devices.own_hooks(device)
        numbers = resolve(device)
        self.sides = 2 if numbers.paired else 1
        self.full = numbers.dac_range
        self.passed = np.float32(ROWS * behind.interval)
        self._stds: dict[tuple[int, ...], float] = {}

    def read(self, k: int, row: np.ndarray, line: np.float32, rng: np.random.Generator, later: bool) -> float:
        """What a read of line k gives that carried `line`; `later` by a pass, as its cells' states may have jumped."""
        z, u = np.float32(rng.standard_normal()), np.float32(rng.uniform(0.01, 0.99))
        energy, moved = np.float32(0.0), 0.0
        if self.behind.cells is not None and self.active & {"cell_std", "read_cell"}:
            start, stop = self.behind.inputs
            driven = self._through_cells(row)[start:stop]
            for j in np.argsort(-abs(driven))[:CELLS]:
                variance, more = self._cell(k, start + int(j), rng, later)
                energy += np.float32(driven[j] ** 2 * variance)
                moved += float(driven[j]) * more
        energy = energy if energy > FAINT else np.float32(0.0)
        return float(self.hooks["readout"](np.float32(line), energy, z, u, self.d)) + moved

    def _through_cells(self, row: np.ndarray) -> np.ndarray:
        """What ohmic cells would be driven with."""
        full = self.full or float(abs(row).max())
        if "current" not in self.active or not full:
            return row
        return np.array([full * float(self.hooks["current"](np.float32(v / full), self.d)) for v in row])

    def _cell(self, k: int, j: int, rng: np.random.Generator, later: bool) -> tuple[float, float]:
        """Variance that a weight's cells add to a read at drive 1, and what one by one they add to its weight."""
        cells, unit, variance, seen = self.behind.cells, float(self.behind.units[0]), 0.0, 0.0
        assert cells is not None
        for side, array in enumerate((cells.plus, cells.minus)[: self.sides]):
            g, at = np.float32(array[0, k, j]), (0, side, k, j)
            if g == 0 and cells.stuck[at]:  # its line is cut
                continue
            if "cell_std" in self.active:
                if at not in self._stds:
                    asked = {"g": g, "t": np.float32(max(cells.age[at], 0.0)), "target": np.float32(cells.target[at])}
                    self._stds[at] = float(device_files.ask(self.hooks["cell_std"], self.d, **asked))
                variance += (self._stds[at] * unit) ** 2
            if "read_cell" in self.active:
                seen += (1 - 2 * side) * unit * self._seen(g, at, rng, later)
        return variance, seen

    def _seen(self, g: np.float32, at: tuple[int, ...], rng: np.random.Generator, later: bool) -> float:
        """The conductance that a read of one cell sees."""
        s = np.float32(0 if self.behind.states is None else self.behind.states[at])
        z, u, jumps = np.float32(rng.standard_normal()), *(np.float32(v) for v in rng.uniform(0.01, 0.99, 2))
        if later and "jump" in self.active:
            s = np.float32(self.hooks["jump"](s, jumps, self.passed, self.d))
        return float(self.hooks["read_cell"](g, s, z, u, self.d))
