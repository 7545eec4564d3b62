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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.robustness.presets import GUESSING, Runs, accuracies, spread
from noisysim import learners
from noisysim.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SETTINGS = {"task": "digits", "layers": [64, 32], "batch_size": 32, "epochs": 25, "optimizer": "sgd"}
RULES = ("bp", "shadow", "fdfa", "danp", "dnp")
LOOKS = {
    "bp": ("#333333", "o", "BP, weights read (oracle)"),
    "shadow": ("#c026d3", "s", "BP through a copy of its own (shadow)"),
    "fdfa": ("#1f4e79", "^", "FDFA"),
    "danp": ("#c2410c", "D", "DANP"),
    "dnp": ("#4d7c0f", "v", "DNP"),
}
"""Colour, mark and name of each rule in the figure."""
WRITTEN = ("copy", "read_modify_write", "increment", "accumulate")
PULSED = {
    "copy": "controller=copy,verify_pulses=200,verify_tolerance=0.002", "increment": "controller=increment",
    "accumulate": "controller=accumulate",
}  # fmt: skip
"""How cells that take pulses are written."""
CURVES = (*((rule, "increment") for rule in RULES), *((rule, "copy") for rule in RULES if rule != "bp"))
"""Rules and controllers of the figure."""
COSTS = ("cells_programmed", "pulses", "cells_read", "controller_bytes")


class Axis(NamedTuple):
    """One way in which writes get worse.

    Attributes
    ----------
    title, unit : str
    device : str
    worse : str
        What is worse about it, with `{}` in the place of the level.
    levels : tuple of float
        Of the first the device is as it is.
    """

    title: str
    unit: str
    device: str
    worse: str
    levels: tuple[float, ...]

    def spec(self, level: float) -> str:
        """The device at a level, without its controller."""
        return self.device if level == self.levels[0] else f"{self.device}:{self.worse.format(level)}"

    def specs(self, level: float) -> dict[str, str]:
        """The device at a level, by controller."""
        written = PULSED if self.device == "pulsed" else {name: f"controller={name}" for name in WRITTEN}
        spec = self.spec(level)
        return {name: f"{spec}{',' if ':' in spec else ':'}{settings}" for name, settings in written.items()}


AXES = (
    Axis("write noise", "share of g_max - g_min", "crossbar", "program_noise={:g}", (0.002, 0.01, 0.02, 0.03, 0.05)),
    Axis("pulse noise", "of a step, pulse to pulse", "pulsed", "write_noise={:g}", (0.0, 0.3, 1.0, 3.0, 5.0)),
    Axis("write asymmetry", "of a step", "pulsed", "asymmetry={:g}", (0.0, 0.05, 0.1, 0.2, 0.4)),
    Axis("nonlinearity", "gamma of soft bounds", "pulsed", "gamma_up={0:g},gamma_down={0:g}", (0.0, 0.5, 1.0)),
    Axis("stuck cells", "share of the cells", "crossbar", "stuck_random={:g}", (0.0, 0.05, 0.1)),
    # a run takes some 20 ms: more than a decade of drift, which starts anew with each write of a cell
    Axis("drift", "nu, from 1 ms on", "crossbar", "drift_start=1e-3,drift_nu={:g}", (0.0, 0.05, 0.1)),
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
        return accuracies(self.runs)


def asked(rule: str) -> dict[str, Any]:
    """Arguments of `noisysim.run` for a rule."""
    rate = learners.get(rule).rates["sgd"]
    if rule == "shadow":
        return {"learner": f"shadow:copy_optimizer=sgd,copy_rate={rate}", "learning_rate": rate, "init": "zero"}
    return {"learner": rule, "learning_rate": rate, **({"oracle": True} if rule == "bp" else {})}


def measure(runs: Runs, axes: Sequence[Axis], seeds: int, controllers: Sequence[str] = WRITTEN) -> Iterator[Row]:
    """A row for each axis, level, controller and rule, as they come; of controllers not asked for, what is kept."""
    for axis in axes:
        for level in axis.levels:
            for controller, device in axis.specs(level).items():
                for rule in RULES:
                    found = runs.get_seeds(device, range(seeds), controller in controllers, **asked(rule), **SETTINGS)
                    if len(found) == seeds:
                        yield Row(axis, level, controller, rule, found)


def tables(rows: Sequence[Row]) -> str:
    """Markdown: of each axis test accuracies, of the first level what each controller costs."""
    parts = []
    for axis in dict.fromkeys(row.axis for row in rows):
        lines: dict[tuple[str, str], dict[str, str]] = {}
        for row in rows:
            if row.axis == axis:
                lines.setdefault((axis.spec(row.level), row.controller), {})[f"`{row.rule}`"] = _mean(row)
        parts += [f"### Test accuracy (%), {axis.title} ({axis.unit})", _table(lines, [f"`{rule}`" for rule in RULES])]
    costs = {
        (row.axis.device, row.controller): {
            name.replace("_", " "): _three(np.mean([run[name] for run in row.runs])) for name in COSTS
        }
        for row in rows if row.rule == "bp" and row.level == row.axis.levels[0]
    }  # fmt: skip
    parts += ["### Cost of a run of `bp`", _table(costs, [name.replace("_", " ") for name in COSTS])]
    return "\n\n".join(parts) + "\n"


def _table(lines: Mapping[tuple[str, str], Mapping[str, str]], columns: Sequence[str]) -> str:
    """A line for each device and controller, of its cells by column; what was not measured is left empty."""
    drawn = [f"| device | controller | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for (device, controller), cells in lines.items():
        drawn.append(f"| `{device}` | {controller} | {' | '.join(cells.get(column, '') for column in columns)} |")
    return "\n".join(drawn)


def _mean(row: Row) -> str:
    """Mean and standard deviation."""
    return spread(row.accuracies)


def _three(value: float) -> str:
    """A count to three digits."""
    return f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.3g} million"


def figure(rows: Sequence[Row]) -> Any:
    """A panel an axis: rules under `increment` as lines, under `copy` dashed; bands span the seeds."""
    axes = list(dict.fromkeys(row.axis for row in rows))
    across = min(3, len(axes))
    drawn = style.figure(3.1 * across, 2.6 * -(-len(axes) // across) + 0.5)
    panels = drawn.subplots(-(-len(axes) // across), across, sharey=True, squeeze=False).ravel()
    for panel in panels[len(axes) :]:
        panel.remove()
    for panel, axis in zip(panels, axes, strict=False):
        for rule, controller in CURVES:
            mine = [row for row in rows if (row.axis, row.rule, row.controller) == (axis, rule, controller)]
            if mine:
                _curve(panel, mine)
        panel.axhline(100 * GUESSING, color="#94a3b8", lw=0.8, ls=":")
        panel.set_title(f"{axis.title} ({axis.device})", fontsize=9)
        panel.set_xlabel(axis.unit, fontsize=8)
        panel.tick_params(labelsize=8)
        panel.set_ylim(0, 100)
        style.plain(panel)
    for panel in panels[::across]:
        panel.set_ylabel("test accuracy (%)", fontsize=8)
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return drawn


def _curve(panel: Axes, rows: Sequence[Row]) -> None:
    """Mean of one rule along an axis, and a band from its lowest seed to its highest."""
    found, levels = np.array([row.accuracies for row in rows]), [row.level for row in rows]
    (colour, mark, name), kept = LOOKS[rows[0].rule], rows[0].controller == "copy"
    look: dict[str, Any] = {"marker": "", "ls": "--", "lw": 1.0} if kept else {"marker": mark, "ls": "-", "lw": 1.4}
    label = f"{name}, chip with a copy" if kept else name
    panel.plot(levels, found.mean(axis=1), **look, color=colour, ms=3.5, label=label)
    panel.fill_between(levels, found.min(axis=1), found.max(axis=1), color=colour, alpha=0.06 if kept else 0.15, lw=0)


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="two levels of each axis, one seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--controllers", nargs="+", choices=WRITTEN, default=WRITTEN, help="those to run, instead of all"
    )
    parser.add_argument("--save", action="store_true", help="keep what comes out in benchmarks/robustness/results")


def main(words: argparse.Namespace, folder: Path) -> None:
    """Run what is asked for and print it; kept with ``--save``, so that a rerun only does what is missing."""
    stem, seeds, axes = ("controllers-quick", 1, shortened(AXES)) if words.quick else ("controllers", words.seeds, AXES)
    runs = Runs(folder / f"{stem}.jsonl" if words.save else None)
    rows = []
    for row in measure(runs, axes, seeds, words.controllers):
        rows.append(row)
        print(f"{row.axis.title:16} {row.level:<6g} {row.controller:18} {row.rule:7} {_mean(row)}", flush=True)
    print("\n" + tables(rows))
    if words.save:
        (folder / f"{stem}.md").write_text(tables(rows), encoding="utf-8")
        figure(rows).savefig(folder / f"{stem}.png", dpi=130)


def shortened(axes: Sequence[Axis]) -> list[Axis]:
    """The axes with two levels, the first and the last but one."""
    return [axis._replace(levels=(axis.levels[0], axis.levels[-2])) for axis in axes]
