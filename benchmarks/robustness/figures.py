"""Figures of the robustness benchmark: what each rule loses along each axis, and what it reaches on each device."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.robustness import protocol
from benchmarks.robustness.cards import Found, after
from noisysim.reporting import curves, style

SHOWN = ("bp", "fdfa", "dfa", "danp", "dnp", "np", "inp", "reinforce")
"""Rules of the figure of lines, one a family; entries join them."""
COLOURS = ("#333333", "#1f4e79", "#0ea5e9", "#c2410c", "#a16207", "#be185d", "#7e22ce", "#4d7c0f", "#0f766e", "#64748b")


def losses(found: Found) -> Any:
    """A map: a row a rule, a column a level of each axis, colour the points lost against the axis's reference."""
    columns, edges, titles = [], [0], []
    for axis in found.axes.values():
        specs = axis.specs()
        worse = [level for level in specs if axis.worse * (level - axis.at) > 0][:: axis.worse]
        columns += [(axis, level, specs[level], specs[axis.at]) for level in worse]
        edges.append(len(columns))
        titles.append(axis.title)
    lost = np.array([[found.mean(r, ref) - found.mean(r, spec) for *_, spec, ref in columns] for r in found.learners])
    wide = max(0.42, 0.9 / min(last - first for first, last in itertools.pairwise(edges)))  # for the titles
    figure = style.figure(1.6 + wide * len(columns), 1.7 + 0.27 * len(found.learners))
    panel = figure.subplots()
    image = panel.imshow(lost, cmap="YlOrRd", vmin=0, vmax=40, aspect="auto")
    panel.set_facecolor("#94a3b8")
    panel.set_yticks(range(len(found.learners)), found.learners, fontsize=8)
    panel.set_xticks(range(len(columns)), [f"{level:g}" for _, level, _, _ in columns], fontsize=7, rotation=60)
    for at, (first, last) in enumerate(itertools.pairwise(edges)):
        panel.axvline(last - 0.5, color="white", lw=3)
        panel.text((first + last - 1) / 2, -0.8, titles[at].replace(" ", "\n"), ha="center", va="bottom", fontsize=8)
    for (row, column), value in np.ndenumerate(lost):
        if np.isfinite(value) and value >= 0.95:
            panel.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6.5,
                       color="white" if value > 24 else "#333333")  # fmt: skip
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    figure.colorbar(image, ax=panel, label="points of test accuracy lost", extend="max", shrink=0.8, pad=0.02)
    figure.suptitle(f"What each rule loses against the reference chip: {found.content['task']}", fontsize=11)
    return figure


def lines(found: Found, entries: Sequence[str] = ()) -> Any:
    """A panel an axis, a line a rule: mean accuracy and its standard deviation over seeds."""
    shown = [rule for rule in found.learners if rule in (*SHOWN, *entries)]
    axes = list(found.axes.values())
    drift = {one["learner"]: np.array(one["accuracy"], float) for one in found.content["drift"]}
    count = len(axes) + bool(drift)
    figure = style.figure(11.5, 2.7 * -(-count // 3) + 0.5)
    panels = figure.subplots(-(-count // 3), 3, sharey=True, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.remove()
    for panel, axis in zip(panels, axes, strict=False):
        specs = axis.specs()
        for number, rule in enumerate(shown):
            found_here = [found.accuracies(rule, spec) for spec in specs.values()]
            _line(panel, found_here, number, len(shown), rule)
        panel.set_xticks(range(len(specs)), [f"{level:g}" for level in specs])
        panel.axvline(list(specs).index(axis.at), color="#94a3b8", lw=6, alpha=0.35, zorder=0)
        _dress(panel, f"{axis.title} ({axis.unit})")
        if axis.worse < 0:
            panel.invert_xaxis()
    if drift:
        panel = panels[len(axes)]
        for number, rule in enumerate(shown):
            _line(panel, list(drift[rule].T), number, len(shown), rule)
        panel.set_xticks(range(len(protocol.SECONDS)), [after(s) for s in protocol.SECONDS])
        _dress(panel, "drift: time since learning")
    for panel in panels[::3]:
        panel.set_ylabel("test accuracy (%)")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle(f"Learning as one thing about the chip gets worse: {found.content['task']}", fontsize=11)
    return figure


def _line(panel: Any, found: list[np.ndarray], number: int, rules: int, rule: str) -> None:
    """Mean and standard deviation of one rule at each level, set out evenly."""
    kept = [one[np.isfinite(one)] for one in found]
    mean = np.array([one.mean() if len(one) else np.nan for one in kept])
    spread = np.array([one.std(ddof=1) if len(one) > 1 else 0.0 for one in kept])
    colour = COLOURS[number % len(COLOURS)]
    curves.draw(panel, range(len(kept)), mean, spread, number, rules, rule, colour=colour)


def _dress(panel: Any, label: str) -> None:
    panel.set_xlabel(label, fontsize=9)
    panel.tick_params(labelsize=8)
    style.plain(panel)


def on_devices(found: Found, devices: Sequence[str]) -> Any:
    """A map: a row a rule, a column a device, the number and the colour the mean test accuracy."""
    here = [device for device in devices if device in found.devices]
    reached = np.array([[found.mean(rule, device) for device in here] for rule in found.learners])
    figure = style.figure(2.2 + 0.62 * len(here), 1.5 + 0.27 * len(found.learners))
    panel = figure.subplots()
    image = panel.imshow(reached, cmap="viridis", aspect="auto", vmin=10, vmax=100)
    panel.set_yticks(range(len(found.learners)), found.learners, fontsize=8)
    panel.set_xticks(range(len(here)), here, fontsize=8, rotation=40, ha="right")
    for (row, column), value in np.ndenumerate(reached):
        said = f"{value:.0f}" if np.isfinite(value) else "–"
        panel.text(column, row, said, ha="center", va="center", fontsize=7, color="white" if value < 70 else "#222222")
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    figure.colorbar(image, ax=panel, label="test accuracy (%)", shrink=0.8, pad=0.02)
    figure.suptitle(f"Every rule on every device: {found.content['task']}", fontsize=11)
    return figure
