"""Measure all of it: ``python -m benchmarks.speed [PART ...] [--save]`` from the repository's root."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
from pathlib import Path

from noisysim import environment

PARTS = ("forward", "cells", "step", "online", "process")


def main() -> None:
    """Run the parts asked for, print a row for each claim, and save them with date and hardware if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none is all")
    parser.add_argument("--save", action="store_true", help="write benchmarks/speed/results/DATE.json")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    found = []
    for part in asked.parts or PARTS:
        for row in importlib.import_module(f"benchmarks.speed.{part}").rows():
            print(row, flush=True)
            found.append(row)
    if asked.save:
        folder = Path(__file__).with_name("results")
        folder.mkdir(exist_ok=True)
        path = folder / f"{datetime.date.today()}-cpu.json"
        content = {"environment": environment.describe("cpu"), "rows": [row._asdict() for row in found]}
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(path)
    sys.exit(not all(row.passed for row in found))


main()
