"""Learners on every preset: test accuracy, and what learning cost on the chip.

Every device preset with its own way of writing (pulses where it has a ``pulse`` hook, else program and verify), with
the ideal and the Gaussian device for reference. The protocol was fixed before the runs:

- Network, batch size and epochs are the task's (`TASKS`), the same for every device and learner.
- Optimizer and rate are chosen for each preset and learner by the training loss in the last epoch of a short run, with
  a seed of its own; test data have no say in it. On the digits all of `RATES` compete; on Fashion-MNIST the rates of
  the optimizer that won there, since rates do not carry over from 64 inputs to 784.
- Reported is the test accuracy after the last epoch, as the chip itself reads it, mean and standard deviation over the
  seeds. Runs that diverged are told, not dropped.

Runs are independent of each other and kept one by one: a study that was interrupted resumes.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import noisysim
from noisysim import devices, tasks
from noisysim.runs.side_by_side import run_side_by_side

PRESETS = (
    "ideal", "gaussian", "crossbar", "pulsed", "rpu", "rram_gong", "measured", "pcm", "pcm_hermes", "rram_wan",
    "rram_milo", "sonos",
)  # fmt: skip
LEARNERS = ("danp", "dnp", "inp", "bp")
RATES = {"adam": (3e-4, 1e-3, 3e-3, 1e-2), "sgd": (3e-3, 1e-2, 3e-2, 1e-1)}
SHORT_SEED = 100
COUNTS = ("updates", "passes", "cells_programmed", "pulses", "cells_read", "controller_bytes")
GUESSING = 0.1
"""Share of ten classes that guessing gets right."""
LEARNS = 0.2
"""Below this mean test accuracy, twice chance, a learner is said not to learn."""


class Protocol(NamedTuple):
    """What is the same for every run of a task; what is missing is the task's default."""

    settings: dict[str, Any]
    short: dict[str, Any]
    seeds: int


TASKS = {
    "digits": Protocol({}, {"epochs": 8}, 3),
    "fashion-mnist": Protocol({"layers": [256], "batch_size": 100, "epochs": 1}, {"epochs": 1, "samples": 10_000}, 2),
}
QUICK = {
    "digits": Protocol({"layers": [64], "epochs": 5}, {"epochs": 1}, 1),
    "fashion-mnist": Protocol(
        {"layers": [32], "batch_size": 100, "epochs": 1, "samples": 10_000}, {"samples": 1000}, 1
    ),
}


class Row(NamedTuple):
    """What the seeds of one preset and learner found on a task, and the rate they ran at."""

    task: str
    preset: str
    learner: str
    optimizer: str
    rate: float
    runs: list[dict[str, Any]]


class Runs:
    """The runs that were done, a line of JSON each; what is asked for again is read, not run again.

    A line before the first run of a device has its fields: if one of them is given another number later, it is another
    device, whose runs are all run. A field that is new since then does not count, as its default changes nothing.

    Parameters
    ----------
    path : Path, optional
        The file. Default: none, they are kept as long as this object.
    parts : mapping, optional
        What texts stand for that are no arguments themselves, such as the name of a network that runs begin with.
    """

    def __init__(self, path: Path | None = None, parts: Mapping[str, Any] | None = None):
        self.path, self._parts = path, parts or {}
        self.found: dict[str, dict[str, Any]] = {}
        self._fields: dict[str, dict[str, dict[str, Any]]] = {}
        self._tasks: dict[str, Any] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                kept = json.loads(line)
                if "fields" in kept:
                    self._fields.setdefault(kept["device"], {})[kept["crc32"]] = kept["fields"]
                else:
                    self.found[json.dumps(kept["asked"], sort_keys=True)] = kept["found"]

    def get(self, preset: str, **asked: Any) -> dict[str, Any]:
        """What such a run found; `asked` are arguments of `noisysim.run`, and ``samples``, of the training split."""
        asked = {"device": preset, "crc32": self._crc(preset), **asked}
        key = json.dumps(asked, sort_keys=True)
        if key not in self.found:
            self._keep(asked, self._run(**asked))
        return self.found[key]

    def get_seeds(self, preset: str, seeds: Sequence[int], run: bool = True, **asked: Any) -> list[dict[str, Any]]:
        """What `get` finds for each seed; those that are missing run side by side, to the same bits in less time.

        Without `run`, they are left out.
        """
        each = [{"device": preset, "crc32": self._crc(preset), **asked, "seed": seed} for seed in seeds]
        missing = [one for one in each if json.dumps(one, sort_keys=True) not in self.found]
        if missing and run:
            done = run_side_by_side([one["seed"] for one in missing], device=preset, progress=False, **asked)
            for one, result in zip(missing, done, strict=True):
                self._keep(one, _found(result))
        return [self.found[json.dumps(one, sort_keys=True)] for one in each if run or one not in missing]

    def _keep(self, asked: dict[str, Any], found: dict[str, Any]) -> None:
        """Add a run, in the file as well."""
        self.found[json.dumps(asked, sort_keys=True)] = found
        device, crc = asked["device"], asked["crc32"]
        if crc not in self._fields.setdefault(device, {}):
            self._fields[device][crc] = devices.describe(devices.get(device))
            self._add({"device": device, "crc32": crc, "fields": self._fields[device][crc]})
        self._add({"asked": asked, "found": found})

    def _add(self, line: dict[str, Any]) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _crc(self, preset: str) -> str:
        """The CRC-32 of a device's fields when its runs were kept; of its fields now, if one of those has changed."""
        now = devices.describe(devices.get(preset))
        for crc, fields in self._fields.get(preset, {}).items():
            if all(now.get(name) == value for name, value in fields.items()):
                return crc
        return f"{zlib.crc32(json.dumps(now).encode()):08x}"

    def _run(self, task: str, crc32: str, samples: int | None = None, **settings: Any) -> dict[str, Any]:
        if task not in self._tasks:
            self._tasks[task] = tasks.get(task)
        whole = self._tasks[task]
        cut = whole if samples is None else replace(whole, train=tasks.Split(*(a[:samples] for a in whole.train)))
        given = {k: self._parts.get(v, v) if isinstance(v, str) else v for k, v in settings.items()}
        return _found(noisysim.run(cut, **given, progress=False))


def _found(result: noisysim.Result) -> dict[str, Any]:
    """What is kept of a run."""
    if result.status == "interrupted":
        raise KeyboardInterrupt
    return {
        "status": result.status,
        **{name: result.history[name].round(4).tolist() for name in ("train_loss", "test_accuracy")},
        **{name: result.cost[name] for name in COUNTS},
        "cells": result.cost["cells_written_at_start"],
        "warnings": result.warnings,
        "seconds": round(result.elapsed, 1),
        **{name: result.environment[name] for name in ("started", "noisysim", "numpy", "cpu")},
    }


def accuracies(runs: Sequence[Mapping[str, Any]]) -> Any:
    """Test accuracies after the last epoch, per cent, (seeds,); of a run that diverged what guessing gives."""
    return 100 * np.array([run["test_accuracy"][-1] if run["status"] == "finished" else GUESSING for run in runs])


def spread(percent: np.ndarray) -> str:
    """Mean and standard deviation of numbers, as tables have them."""
    return f"{percent.mean():.1f}" + (f" +- {percent.std(ddof=1):.1f}" if len(percent) > 1 else "")


def written_by(preset: str) -> str:
    """How a preset's cells are changed."""
    device = devices.get(preset)
    own = devices.own_hooks(device)
    if "pulse" in own or "program" not in own:
        return "pulses" if "pulse" in own else "exact"
    return "increments" if getattr(device, "controller", "") == "increment" else "write-verify"


def choose(runs: Runs, protocols: dict[str, Protocol], task: str, preset: str, learner: str) -> tuple[str, float]:
    """Optimizer and rate with the lowest training loss at the end of a short run; the lowest rate if all diverged."""
    optimizers = list(RATES) if task == "digits" else [choose(runs, protocols, "digits", preset, learner)[0]]
    losses = {}
    for optimizer in optimizers:
        for rate in RATES[optimizer]:
            asked = {**protocols[task].settings, **protocols[task].short}
            found = runs.get(
                preset, task=task, learner=learner, optimizer=optimizer, learning_rate=rate, seed=SHORT_SEED, **asked
            )
            losses[optimizer, rate] = found["train_loss"][-1] if found["status"] == "finished" else np.inf
    return min(losses, key=losses.__getitem__)


def measure(
    runs: Runs,
    protocols: dict[str, Protocol],
    chosen: Sequence[str] = tuple(TASKS),
    presets: Sequence[str] = PRESETS,
    learners: Sequence[str] = LEARNERS,
    seeds: int | None = None,
) -> Iterator[Row]:
    """A row for each task, preset and learner, as they come.

    Parameters
    ----------
    runs : Runs
    protocols : dict
        `TASKS` or `QUICK`.
    chosen, presets, learners : sequence of str
        Tasks, devices and learners.
    seeds : int, optional
        Instead of each task's own number.
    """
    for task in chosen:
        protocol = protocols[task]
        for preset in presets:
            for learner in learners:
                optimizer, rate = choose(runs, protocols, task, preset, learner)
                found = [
                    runs.get(
                        preset, task=task, learner=learner, optimizer=optimizer, learning_rate=rate, seed=seed,
                        **protocol.settings,
                    )
                    for seed in range(seeds or protocol.seeds)
                ]  # fmt: skip
                yield Row(task, preset, learner, optimizer, rate, found)


# -- tables ----------------------------------------------------------------------------------------------------------


def accuracy(row: Row) -> str:
    """Mean and standard deviation of the test accuracy (%), or how it failed."""
    finished = [100 * run["test_accuracy"][-1] for run in row.runs if run["status"] == "finished"]
    lost = len(row.runs) - len(finished)
    if not finished:
        return "diverges"
    said = spread(np.array(finished))
    said += ", does not learn" if np.mean(finished) < 100 * LEARNS else ""
    return said + (f", {lost} of {len(row.runs)} diverged" if lost else "")


def chosen_rate(row: Row) -> str:
    """Optimizer and rate."""
    return f"{row.optimizer} {row.rate:g}"


def writes(row: Row) -> str:
    """Pulses or program writes of a whole run, in millions, and a cell's share, both in the mean over the seeds."""
    done = np.mean([run["cells_programmed"] + run["pulses"] for run in row.runs])
    return f"{done / 1e6:.3g} ({_three(done / row.runs[0]['cells'])})"


def _three(value: float) -> str:
    """A number to three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def passes(row: Row) -> str:
    """Passes of a whole run."""
    return f"{np.mean([run['passes'] for run in row.runs]):,.0f}"


def tables(rows: Sequence[Row]) -> str:
    """Markdown: for each task accuracy, cost and rates, a line for each preset."""
    parts = []
    for task in dict.fromkeys(row.task for row in rows):
        here = [row for row in rows if row.task == task]
        for title, cell in (
            (f"Test accuracy (%), {task}", accuracy),
            (f"Passes, {task}", passes),
            (f"Pulses or cells programmed, millions (each cell), {task}", writes),
            (f"Optimizer and rate, {task}", chosen_rate),
        ):
            parts += [f"### {title}", _table(here, cell)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], cell: Callable[[Row], str]) -> str:
    """One table; presets that have the same in every column share a line."""
    learners = list(dict.fromkeys(row.learner for row in rows))
    lines: dict[tuple[str, ...], list[str]] = {}
    for preset in dict.fromkeys(row.preset for row in rows):
        said = {row.learner: cell(row) for row in rows if row.preset == preset}
        filled = written_by(preset), *(said.get(name, "") for name in learners)
        lines.setdefault(filled, []).append(f"`{preset}`")
    head = f"| device | written by | {' | '.join(name.upper() for name in learners)} |"
    rule = "|---|---|" + "---|" * len(learners)
    return "\n".join([head, rule, *(f"| {', '.join(who)} | {' | '.join(what)} |" for what, who in lines.items())])


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="a small network, few epochs, one seed")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, help="instead of each task's own number")
    parser.add_argument("--save", action="store_true", help="keep runs and tables in benchmarks/robustness/results")


def main(asked: argparse.Namespace, folder: Path) -> None:
    """Run what is asked for and print it; kept with ``--save``, so that a rerun only does what is missing."""
    stem = "presets-quick" if asked.quick else "presets"
    runs = Runs(folder / f"{stem}.jsonl" if asked.save else None)
    rows = []
    for row in measure(runs, QUICK if asked.quick else TASKS, asked.tasks, seeds=asked.seeds):
        rows.append(row)
        print(
            f"{row.task:14} {row.preset:11} {row.learner:5} {chosen_rate(row):12} {accuracy(row):24} "
            f"{passes(row)} passes, {writes(row)} million writes (each cell)",
            flush=True,
        )
    print("\n" + tables(rows))
    if asked.save:
        (folder / f"{stem}.md").write_text(tables(rows), encoding="utf-8")
