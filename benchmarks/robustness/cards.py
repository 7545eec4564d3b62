"""Score cards, from what was measured: what each rule bears, and what each device does to the rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.robustness import protocol
from benchmarks.robustness.protocol import Axis
from noisysim.common import durations

LEARNS = 20.0
"""Below this test accuracy (%), twice chance, a rule is said not to learn."""
CHANCE = 10.0


class Found:
    """What was measured on one task, by learner and device.

    Parameters
    ----------
    content : dict
        Of `benchmarks.robustness.measure.measure`.
    axes : dict of Axis
    """

    def __init__(self, content: dict[str, Any], axes: dict[str, Axis]):
        self.content, self.axes = content, axes
        self.results = {(one["learner"], one["device"]): one for one in content["results"]}
        self.learners = list(dict.fromkeys(learner for learner, _ in self.results))
        self.devices = list(dict.fromkeys(device for _, device in self.results))

    def accuracies(self, learner: str, device: str) -> np.ndarray:
        """Of the runs that finished, %."""
        return np.array([a for a in self.results[learner, device]["accuracy"] if a is not None])

    def mean(self, learner: str, device: str) -> float:
        """Mean accuracy; NaN if no run finished."""
        found = self.accuracies(learner, device)
        return float(found.mean()) if len(found) else math.nan

    def cell(self, learner: str, device: str) -> str:
        """Mean and standard deviation, and what became of the others."""
        return told(self.accuracies(learner, device), len(self.results[learner, device]["lost"]))

    def tolerance(self, learner: str, axis: Axis) -> str:
        """The level at which a rule has lost `protocol.LOST` points against the axis's reference."""
        specs = axis.specs()
        reference = self.mean(learner, specs[axis.at])
        if not reference >= LEARNS:
            return "–"
        levels = [level for level in specs if axis.worse * (level - axis.at) >= 0][:: axis.worse]
        lost = [reference - self.mean(learner, specs[level]) for level in levels]
        level = crossing(levels, [math.inf if math.isnan(one) else one for one in lost], protocol.LOST)
        if level is None:
            return f"{'<' if axis.worse < 0 else '>'} {levels[-1]:g}"
        return f"{level:.2g}"

    def cost(self, learner: str) -> str:
        """Passes until the target on the reference chip, linear between two epochs."""
        found, target = self.results[learner, protocol.REFERENCE], 100 * self.content["target"]
        way = [CHANCE, *found["way"]]
        epoch = crossing(range(len(way)), way, target)
        if epoch is None:
            return "not reached"
        return f"{found['passes'] * epoch / (len(way) - 1):,.0f}"


def told(accuracies: np.ndarray, lost: int) -> str:
    """A mean with its standard deviation over seeds, or how it failed."""
    if not len(accuracies):
        return "diverges"
    spread = f" ± {accuracies.std(ddof=1):.1f}" if len(accuracies) > 1 else ""
    return f"{accuracies.mean():.1f}{spread}" + (f" ({lost} lost)" if lost else "")


def crossing(places: Sequence[float], values: Sequence[float], threshold: float) -> float | None:
    """Where values that start below a threshold first reach it, linear between places; ``None`` if they never do."""
    for k in range(1, len(values)):
        if values[k] >= threshold:
            if math.isinf(values[k]):
                return places[k]
            share = (threshold - values[k - 1]) / (values[k] - values[k - 1])
            return places[k - 1] + share * (places[k] - places[k - 1])
    return None


# -- tables ----------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    rule = "|" + "---|" * len(head)
    return "\n".join([f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(line)} |" for line in lines)])


def learner_cards(found: Found) -> str:
    """A line a rule: its rate, accuracy on the reference chip, what it bears of each axis, cost to the target."""
    head = [
        "rule", "rate", "reference", *(f"{axis.title} ({axis.unit})" for axis in found.axes.values()),
        f"passes to {100 * found.content['target']:.0f} %",
    ]  # fmt: skip
    lines = [
        [
            f"`{rule}`", f"{found.content['rates'][rule]:.2g}", found.cell(rule, protocol.REFERENCE),
            *(found.tolerance(rule, axis) for axis in found.axes.values()), found.cost(rule),
        ]
        for rule in found.learners
    ]  # fmt: skip
    return table(head, lines)


def axis_table(found: Found, axis: Axis) -> str:
    """Accuracy of every rule at every level of an axis; the reference stands in bold."""
    specs = axis.specs()
    head = ["rule", *(f"**{level:g}**" if level == axis.at else f"{level:g}" for level in specs)]
    return table(head, [[f"`{rule}`", *(found.cell(rule, s) for s in specs.values())] for rule in found.learners])


def drift_table(found: Found) -> str:
    """Accuracy of what was learned, after some time."""
    head = ["rule", *(after(seconds) for seconds in protocol.SECONDS)]
    lines = []
    for one in found.content["drift"]:
        columns = np.array(one["accuracy"], float).T
        lines.append([f"`{one['learner']}`", *(told(c[~np.isnan(c)], int(np.isnan(c).sum())) for c in columns)])
    return table(head, lines)


def device_cards(found: Found, devices: Sequence[str]) -> str:
    """A line a device: accuracy of every rule."""
    here = [device for device in devices if device in found.devices]
    return table(
        ["device", *(f"`{rule}`" for rule in found.learners)],
        [[f"`{device}`", *(_plain(found.mean(rule, device)) for rule in found.learners)] for device in here],
    )


def writes_table(found: Found, devices: Sequence[str]) -> str:
    """A line a device: pulses or programmed cells of a whole run, in thousands."""

    def writes(rule: str, device: str) -> str:
        one = found.results[rule, device]
        return f"{(one['pulses'] + one['cells_programmed']) / 1e3:,.0f}" if "pulses" in one else "–"

    here = [device for device in devices if device in found.devices]
    return table(
        ["device", *(f"`{rule}`" for rule in found.learners)],
        [[f"`{device}`", *(writes(rule, device) for rule in found.learners)] for device in here],
    )


def digital_costs(found: Found) -> str:
    """A line a rule: what an update on the reference chip costs on the chip, and beside it."""
    head = [
        "rule", "samples through the chip", "analog MACs", "digital MACs", "of these decorrelation", "the rule",
        "perturbation conversions", "digital memory (bytes)",
    ]  # fmt: skip
    lines = []
    for rule in found.learners:
        one = found.results[rule, protocol.REFERENCE]
        each = {name: value / one["updates"] for name, value in one.items() if isinstance(value, float)}
        counts = [
            each["samples"], each["analog_macs"], each["digital_macs"],
            each["decorrelation_macs"] + each["adaptation_macs"], each["rule_macs"], each["perturbation_conversions"],
            one["digital_bytes"],
        ]  # fmt: skip
        lines.append([f"`{rule}`", *(f"{count:,.0f}" for count in counts)])
    return table(head, lines)


def _plain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def after(seconds: float) -> str:
    """How long after learning."""
    return durations.in_words(seconds) if seconds else "at once"


def page(found: Found, devices: Sequence[str]) -> str:
    """All tables of a task as Markdown."""
    task = found.content["task"]
    parts = [
        f"### What each rule bears, {task}",
        f"The level at which a rule has lost {protocol.LOST:g} points against the reference, linear between levels.",
        learner_cards(found),
    ]
    for axis in found.axes.values():
        parts += [f"### {axis.title[0].upper()}{axis.title[1:]} ({axis.unit}), {task}", axis_table(found, axis)]
    if found.content["drift"]:
        parts += [
            f"### Drift, {task}",
            f"`{protocol.DRIFTING}`, tested again that long after the run.",
            drift_table(found),
        ]
    parts += [
        f"### What an update costs on the reference chip, tests of each epoch included, {task}", digital_costs(found),
        f"### What the write controller keeps, test accuracy (%), {task}",
        device_cards(found, [protocol.REFERENCE, *protocol.KEEPING]),
        f"### Devices, test accuracy (%), {task}", device_cards(found, devices),
        f"### Devices, thousand pulses and programmed cells of a run, {task}", writes_table(found, devices),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"
