"""A rule that adds up its own updates against rules that only listen, on controllers with a copy and without.

`shadow` does backpropagation through the sum of what it asked for, on a chip that starts at zero. What it loses against
`bp`, which is shown the weights, is what the chip hides from it. The protocol was fixed before the runs:

- Network, batch size and epochs are `SETTINGS`, the task the digits. Every rule descends by SGD at the rate that the
  package suggests for it; the copy of `shadow` takes the same steps.
- An axis makes writes worse in one way; on each of its levels every controller that the device has is measured.
- Reported is the test accuracy after the last epoch, as the chip itself reads it, mean and standard deviation over the
  seeds; of a run that diverged it is what guessing gives.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.robustness.presets import Runs
from noisysim import learners
from noisysim.reporting import style

SETTINGS = {"task": "digits", "layers": [64, 32], "batch_size": 32, "epochs": 25, "optimizer": "sgd"}
RULES = ("bp", "shadow", "fdfa", "danp", "dnp")
COLOURS = {"bp": "#333333", "shadow": "#be185d", "fdfa": "#1f4e79", "danp": "#c2410c", "dnp": "#a16207"}
GUESSING = 0.1
WRITTEN = ("copy", "read_modify_write", "increment", "accumulate")
PULSED = {
    "copy": "controller=copy,verify_pulses=200,verify_tolerance=0.002", "increment": "controller=increment",
    "accumulate": "controller=accumulate",
}  # fmt: skip
"""How cells that take pulses are written."""
COSTS = ("cells_programmed", "pulses", "cells_read", "controller_bytes")


class Axis(NamedTuple):
    """One way in which writes get worse.

    Attributes
    ----------
    title, unit : str
    device : str
        With `{}` in the place of the level.
    levels : tuple of float
    """

    title: str
    unit: str
    device: str
    levels: tuple[float, ...]

    def specs(self, level: float) -> dict[str, str]:
        """The device at a level, by controller."""
        spec = self.device.format(level)
        if spec.startswith("pulsed"):
            return {name: f"{spec},{written}" for name, written in PULSED.items()}
        return {name: f"{spec},controller={name}" for name in WRITTEN}


AXES = (
    Axis("write noise", "share of g_max - g_min", "crossbar:program_noise={:g}", (0.002, 0.01, 0.02, 0.03, 0.05)),
    Axis("write asymmetry", "of a step", "pulsed:asymmetry={:g}", (0.0, 0.05, 0.1, 0.2, 0.4)),
    Axis("nonlinearity", "gamma of soft bounds", "pulsed:gamma_up={0:g},gamma_down={0:g}", (0.0, 0.25, 0.5, 1.0)),
    Axis("stuck cells", "share of the cells", "crossbar:stuck_random={:g}", (0.0, 0.02, 0.05, 0.1)),
    # a run takes some 20 ms: more than a decade of drift, which starts anew with each write of a cell
    Axis("drift", "nu, from 1 ms on", "crossbar:drift_start=1e-3,drift_nu={:g}", (0.0, 0.02, 0.05, 0.1)),
)


class Row(NamedTuple):
    """What the seeds of one rule found under one controller at one level of an axis."""

    axis: Axis
    level: float
    controller: str
    rule: str
    runs: list[dict[str, Any]]

    @property
    def accuracies(self) -> Any:
        """Test accuracies, per cent, (seeds,)."""
        finished = [run["status"] == "finished" for run in self.runs]
        last = [run["test_accuracy"][-1] if ok else GUESSING for run, ok in zip(self.runs, finished, strict=True)]
        return 100 * np.array(last)


def asked(rule: str) -> dict[str, Any]:
    """Arguments of `noisysim.run` for a rule."""
    rate = learners.get(rule).rates["sgd"]
    if rule == "shadow":
        return {"learner": f"shadow:copy_optimizer=sgd,copy_rate={rate}", "learning_rate": rate, "init": "zero"}
    return {"learner": rule, "learning_rate": rate, **({"oracle": True} if rule == "bp" else {})}


def measure(runs: Runs, axes: Sequence[Axis], seeds: int) -> Iterator[Row]:
    """A row for each axis, level, controller and rule, as they come."""
    for axis in axes:
        for level in axis.levels:
            for controller, device in axis.specs(level).items():
                for rule in RULES:
                    found = [runs.get(device, seed=seed, **asked(rule), **SETTINGS) for seed in range(seeds)]
                    yield Row(axis, level, controller, rule, found)


def tables(rows: Sequence[Row]) -> str:
    """Markdown: of each axis test accuracies, of the first level what each controller costs."""
    parts = []
    for axis in dict.fromkeys(row.axis for row in rows):
        here = [row for row in rows if row.axis == axis]
        parts.append(f"### Test accuracy (%), {axis.title} ({axis.unit})")
        parts.append(_table(here, [f"`{rule}`" for rule in RULES], [_mean(row) for row in here]))
    costs = [row for row in rows if row.rule == "bp" and row.level == row.axis.levels[0]]
    each = [_three(np.mean([run[name] for run in row.runs])) for row in costs for name in COSTS]
    parts += ["### Cost of a run of `bp`", _table(costs, [name.replace("_", " ") for name in COSTS], each)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], columns: Sequence[str], cells: Sequence[str]) -> str:
    """A line for each level and controller, of so many cells in their order."""
    places = list(dict.fromkeys((row.axis.device.format(row.level), row.controller) for row in rows))
    lines = [f"| device | controller | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for at, (device, controller) in enumerate(places):
        mine = cells[at * len(columns) : (at + 1) * len(columns)]
        lines.append(f"| `{device}` | {controller} | {' | '.join(mine)} |")
    return "\n".join(lines)


def _mean(row: Row) -> str:
    """Mean and standard deviation."""
    found = row.accuracies
    return f"{found.mean():.1f}" + (f" +- {found.std(ddof=1):.1f}" if len(found) > 1 else "")


def _three(value: float) -> str:
    """A count to three digits."""
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.3g} million"


def figure(rows: Sequence[Row]) -> Any:
    """A panel an axis: rules under `increment` as lines, the shadow of a copy dashed."""
    axes = list(dict.fromkeys(row.axis for row in rows))
    drawn = style.figure(3.1 * len(axes) + 0.6, 3.4)
    panels = drawn.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    for panel, axis in zip(panels, axes, strict=True):
        for rule, controller in [*((rule, "increment") for rule in RULES), ("shadow", "copy")]:
            mine = [row for row in rows if (row.axis, row.rule, row.controller) == (axis, rule, controller)]
            found = np.array([row.accuracies for row in mine])
            panel.errorbar(
                [row.level for row in mine], found.mean(axis=1), found.std(axis=1), color=COLOURS[rule], marker="o",
                ms=3, lw=1.2, ls="--" if controller == "copy" else "-", label=f"{rule}, {controller}",
            )  # fmt: skip
        panel.set_title(axis.title, fontsize=9)
        panel.set_xlabel(axis.unit, fontsize=8)
    panels[0].set_ylabel("test accuracy, %")
    panels[-1].legend(fontsize=7, frameon=False)
    return drawn


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="two levels of each axis, one seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="keep what comes out in benchmarks/robustness/results")


def main(words: argparse.Namespace, folder: Path) -> None:
    """Run what is asked for and print it; kept with ``--save``, so that a rerun only does what is missing."""
    stem, seeds, axes = ("controllers-quick", 1, shortened(AXES)) if words.quick else ("controllers", words.seeds, AXES)
    runs = Runs(folder / f"{stem}.jsonl" if words.save else None)
    rows = []
    for row in measure(runs, axes, seeds):
        rows.append(row)
        print(f"{row.axis.title:16} {row.level:<6g} {row.controller:18} {row.rule:7} {_mean(row)}", flush=True)
    print("\n" + tables(rows))
    if words.save:
        (folder / f"{stem}.md").write_text(tables(rows), encoding="utf-8")
        figure(rows).savefig(folder / f"{stem}.png", dpi=130)


def shortened(axes: Sequence[Axis]) -> list[Axis]:
    """The axes with two levels, the first and the last but one."""
    return [axis._replace(levels=(axis.levels[0], axis.levels[-2])) for axis in axes]
