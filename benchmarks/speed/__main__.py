"""Measure all of it: ``python -m benchmarks.speed [PART ...] [--save]`` from the repository's root.

The part ``gpu`` is measured where it is asked for, on its own.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
from pathlib import Path

from noisysim.compute import backends, gpu
from noisysim.runs import environment

PARTS = ("forward", "cells", "step", "online", "chips", "sweep", "process")
GPU = "gpu"


def main() -> None:
    """Run the parts asked for, print a row for each claim, and save them with date and hardware if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none is all; or {GPU}")
    parser.add_argument("--save", action="store_true", help="write benchmarks/speed/results/DATE.json")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - {*PARTS, GPU}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    backend = "cpu"
    if GPU in asked.parts:
        backend = "cuda"
        if asked.parts != [GPU]:
            parser.error(f"{GPU} goes into a file of its own: ask for it alone")
        if gpu.SIMULATED:
            parser.error("the simulator's times mean nothing")
        backends.resolve(backend)
    found = []
    for part in asked.parts or PARTS:
        for row in importlib.import_module(f"benchmarks.speed.{part}").rows():
            print(row, flush=True)
            found.append(row)
    if asked.save:
        folder = Path(__file__).with_name("results")
        folder.mkdir(exist_ok=True)
        path = folder / f"{datetime.date.today()}-{'gpu' if backend == 'cuda' else backend}.json"
        content = {"environment": environment.describe(backend), "rows": [row._asdict() for row in found]}
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(path)
    sys.exit(not all(row.passed for row in found))


main()
