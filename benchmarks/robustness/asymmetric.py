"""Rules on cells whose steps up are larger than those down, under controllers with one array and with two.

Device and rates were chosen after trial runs on the same seed; the rest of the protocol before:

- Network, batch size and epochs are `SETTINGS`. Cells are `CELLS`: soft bounds, about whose symmetric point, at two
  fifths of the range and different from cell to cell, pulses that should cancel gather.
- Every rule descends by plain SGD, at that rate of two (`RATES`) that ends with the lower training loss. Of controllers
  with a second array the rate is that of pulses on it, and goes with one of transfers.
- Reported is the test accuracy after the last epoch, as the chip itself reads it; of a run that diverged it is what
  guessing gives.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.robustness.presets import Runs, accuracies, spread

SETTINGS = {"task": "mnist", "layers": [256, 128], "batch_size": 10, "epochs": 3, "optimizer": "sgd"}
QUICK = {"task": "digits", "layers": [64, 32], "batch_size": 10, "epochs": 30, "optimizer": "sgd"}
RULES = ("bp", "danp", "dnp")
CELLS = (
    "pulsed:weight_bound=1,gamma_up=1,gamma_down=1,asymmetry=0.4,asymmetry_spread=0.1,pulse_gain_spread=0.3,"
    "bounds_spread=0.3,write_noise=0.3"
)
DEVICES = {
    "ideal weights": "ideal",
    "increment": f"{CELLS},controller=increment",
    "accumulate": f"{CELLS},controller=accumulate",
    "tiki_taka_v2": f"{CELLS},controller=tiki_taka_v2",
    "tiki_taka_v2, zero-shifted": f"{CELLS},controller=tiki_taka_v2,zero_shift_pulses=2000",
    "chopped": f"{CELLS},controller=chopped,chop_rate=0.2",
    "agad": f"{CELLS},controller=agad,chop_rate=0.2",
}
ONE_ARRAY = ("ideal weights", "increment", "accumulate")
RATES = {"bp": (0.03, 0.1), "": (0.01, 0.03)}
"""Rates to choose from, of BP and of the other rules."""
TRANSFER_RATES = {"bp": ((0.5, 0.002), (1.0, 0.001)), "": ((0.2, 0.004), (0.5, 0.004))}
"""With a second array: of learning, and of transfers."""
COSTS = ("cells_programmed", "pulses", "cells_read", "controller_bytes")


class Row(NamedTuple):
    """What the seeds of one rule found on one device, at its rate.

    Attributes
    ----------
    name : str
        Of `DEVICES`.
    rule : str
    rate : float
    runs : list of dict
        As `Runs.get` gives them.
    """

    name: str
    rule: str
    rate: float
    runs: list[dict[str, Any]]

    @property
    def accuracies(self) -> Any:
        """Test accuracies, per cent, (seeds,)."""
        return accuracies(self.runs)


def tried(name: str, rule: str) -> list[tuple[str, float]]:
    """The devices and rates that a rule may choose from on a device."""
    if name in ONE_ARRAY:
        return [(DEVICES[name], rate) for rate in RATES.get(rule, RATES[""])]
    pairs = TRANSFER_RATES.get(rule, TRANSFER_RATES[""])
    return [(f"{DEVICES[name]},transfer_rate={share:g}", rate) for rate, share in pairs]


def measure(runs: Runs, settings: Mapping[str, Any], seeds: int) -> Iterator[Row]:
    """A row for each device and rule, as they come: at the rate that is best for the first seed."""
    for name in DEVICES:
        for rule in RULES:
            asked = {"learner": rule, **settings, **({"oracle": True} if rule == "bp" else {})}
            firsts = {one: runs.get(one[0], seed=0, learning_rate=one[1], **asked) for one in tried(name, rule)}
            losses = {
                one: run["train_loss"][-1] if run["status"] == "finished" else np.inf for one, run in firsts.items()
            }
            device, rate = min(losses, key=losses.__getitem__)
            found = [runs.get(device, seed=seed, learning_rate=rate, **asked) for seed in range(seeds)]
            yield Row(name, rule, rate, found)


def tables(rows: Sequence[Row]) -> str:
    """Markdown: test accuracies with their rates, and what each controller costs BP."""
    names = list(dict.fromkeys(row.name for row in rows))
    of = {(row.name, row.rule): row for row in rows}
    lines = ["### Test accuracy (%), in brackets the rate", "", f"| | {' | '.join(f'`{rule}`' for rule in RULES)} |"]
    lines.append("|---|" + "---|" * len(RULES))
    lines += [f"| {name} | {' | '.join(_mean(of[name, rule]) for rule in RULES)} |" for name in names]
    lines += ["", "### Cost of a run of `bp`", "", f"| | {' | '.join(name.replace('_', ' ') for name in COSTS)} |"]
    lines.append("|---|" + "---|" * len(COSTS))
    for name in names:
        costs = [f"{np.mean([run[cost] for run in of[name, 'bp'].runs]):.3g}" for cost in COSTS]
        lines.append(f"| {name} | {' | '.join(costs)} |")
    return "\n".join(lines) + "\n"


def _mean(row: Row) -> str:
    """Mean and standard deviation of the seeds, and the rate."""
    return f"{spread(row.accuracies)} ({row.rate:g})"


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="digits on a small network")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="keep what comes out in benchmarks/robustness/results")


def main(words: argparse.Namespace, folder: Path) -> None:
    """Run what is asked for and print it; kept with ``--save``, so that a rerun only does what is missing."""
    stem, settings = ("asymmetric-quick", QUICK) if words.quick else ("asymmetric", SETTINGS)
    runs = Runs(folder / f"{stem}.jsonl" if words.save else None)
    rows = []
    for row in measure(runs, settings, words.seeds):
        rows.append(row)
        print(f"{row.name:28} {row.rule:6} {_mean(row)}", flush=True)
    print("\n" + tables(rows))
    if words.save:
        (folder / f"{stem}.md").write_text(tables(rows), encoding="utf-8")
