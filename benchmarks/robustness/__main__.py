"""Measure it: ``python -m benchmarks.robustness presets [--quick] [--save]`` from the repository's root."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.robustness import presets


def main() -> None:
    """Run what is asked for and print it; kept with ``--save``, so that a rerun only does what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["presets"], help="learners on every device preset")
    parser.add_argument("--quick", action="store_true", help="a small network, few epochs, one seed")
    parser.add_argument("--tasks", nargs="+", choices=list(presets.TASKS), default=list(presets.TASKS))
    parser.add_argument("--seeds", type=int, help="instead of each task's own number")
    parser.add_argument("--save", action="store_true", help="keep runs and tables in benchmarks/robustness/results")
    asked = parser.parse_args()
    stem = f"{asked.part}-quick" if asked.quick else asked.part
    folder = Path(__file__).with_name("results")
    if asked.save:
        folder.mkdir(exist_ok=True)
    runs = presets.Runs(folder / f"{stem}.jsonl" if asked.save else None)
    rows = []
    for row in presets.measure(runs, presets.QUICK if asked.quick else presets.TASKS, asked.tasks, seeds=asked.seeds):
        rows.append(row)
        print(
            f"{row.task:14} {row.preset:11} {row.learner:5} {presets.chosen_rate(row):12} {presets.accuracy(row):24} "
            f"{presets.passes(row)} passes, {presets.writes(row)} million writes (each cell)",
            flush=True,
        )
    print("\n" + presets.tables(rows))
    if asked.save:
        (folder / f"{stem}.md").write_text(presets.tables(rows), encoding="utf-8")


main()
