"""Mean and variance of what a device's hooks draw, against the laws that it declares."""

from __future__ import annotations

import numpy as np

import noisysim.devices as devices
from noisysim.common.types import Doubles, Floats
from noisysim.conformance.hooks import Hook, active_hooks, draws, evaluate
from noisysim.conformance.report import Finding
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device

SIGNIFICANCE = 1e-4
"""Chance that a device which obeys its laws fails their test: of all its moments together (Bonferroni)."""
DRAWS = 200_000
_FLOAT32 = 1e-6  # relative: a few roundings of a float32
_DRAWN = {
    "program": ("g",), "pulse": ("g", "up"), "appear": ("g",), "read_cell": ("g",), "readout": ("i", "energy"),
}  # fmt: skip
"""Hooks whose moments a device may declare, and what the laws take."""


def check(device: Device) -> list[Finding]:
    """Mean and variance of what the hooks draw, against the declared laws."""
    laws, active = devices.laws(device), active_hooks(device)
    points = {hook: _points(device, hook) for hook in _DRAWN if hook in active}
    tests = 2 * sum(len(at) for hook, at in points.items() if f"{hook}_law" in laws)
    findings = []
    for hook, at in points.items():
        law = laws.get(f"{hook}_law")
        samples = [_drawn(device, hook, active[hook], point) for point in at]
        if law is None:
            middle = len(at) // 2
            measured = (
                f"mean {samples[middle].mean():.4g}, std {samples[middle].std():.3g} at {_spelt(hook, at[middle])}"
            )
            findings.append(Finding(f"moments: {hook}", None, f"no law declared; measured {measured}"))
            continue
        known = device._replace(adc_range=1.0) if getattr(device, "adc_range", None) == 0 else device
        faults = {point: _against(law(*point, known), x, tests) for point, x in zip(at, samples, strict=True)}
        wrong = [f"at {_spelt(hook, point)} {fault}" for point, fault in faults.items() if fault]
        right = f"as {hook}_law says at {len(at)} points, {DRAWS:,} draws each"
        text = f"{wrong[0]} ({len(wrong)} of {len(at)} points)" if wrong else right
        findings.append(Finding(f"moments: {hook}", not wrong, text))
    return findings or [Finding("moments", None, "no hook draws")]


def _points(device: Device, hook: str) -> list[tuple[float, ...]]:
    """Where a hook's moments are measured: inside the range of a cell, up and down, lines with and without energy."""
    low, high = getattr(device, "g_min", 0.0), getattr(device, "g_max", 25.0)
    g = [low + share * (high - low) for share in (0.25, 0.5, 0.75)]
    if hook == "pulse":
        return [(one, up) for one in g for up in (1.0, -1.0)]
    if hook == "readout":
        return [(i, energy) for i in (-0.5, 0.0, 0.5) for energy in (0.0, 1e-4)]
    return [(one,) for one in g]


def _spelt(hook: str, point: tuple[float, ...]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in zip(_DRAWN[hook], point, strict=True))


def _drawn(device: Device, hook: str, function: Hook, point: tuple[float, ...]) -> Doubles:
    """(DRAWS,) float64 results of a hook at one point; a cell's state is drawn from where its jumps settle."""
    held = dict(zip(_DRAWN[hook], point, strict=True))
    columns = []
    for k, name in enumerate(device_files.PARAMETERS[hook][:-1]):
        if name in held:
            columns.append(np.full(DRAWS, held[name], np.float32))
        elif name == "s":
            columns.append(_settled(device))
        else:
            columns.append(draws(name, DRAWS, k))
    return evaluate(device, hook, function, columns).astype(np.float64)


def _settled(device: Device) -> Floats:
    """(DRAWS,) states of cells long after the last jump was due."""
    states, active = np.zeros(DRAWS, np.float32), active_hooks(device)
    if "jump" in active:
        for turn in range(3):
            columns = [states, draws("u", DRAWS, 100 + turn), np.full(DRAWS, 1e12, np.float32)]
            states = evaluate(device, "jump", active["jump"], columns)
    return states


def _against(law: tuple[float, float], x: Doubles, tests: int) -> str:
    """How far the moments of a sample are from a law's; "" if within what chance and float32 explain.

    The variance's standard error is taken from the sample's fourth moment, so no normality is assumed.
    """
    from scipy.stats import norm

    mean, std = map(float, law)
    quantile = norm.isf(SIGNIFICANCE / tests / 2)
    rounding = _FLOAT32 * max(abs(mean), abs(std), float(np.abs(x).max()))
    centred = x - x.mean()
    variance, fourth = float(np.mean(centred**2)), float(np.mean(centred**4))
    slack = quantile * np.sqrt(variance / len(x)) + rounding
    if not abs(x.mean() - mean) <= slack:
        return f"the mean is {x.mean():.6g}, the law's {mean:.6g} (tolerance {slack:.2g})"
    slack = quantile * np.sqrt(max(fourth - variance**2, 0.0) / len(x)) + rounding * (2 * abs(std) + rounding)
    if not abs(variance - std**2) <= slack:
        return f"the std is {np.sqrt(variance):.6g}, the law's {std:.6g}"
    return ""
