"""Measure how fast it is: ``python -m benchmarks.speed [PART ...] [--save]`` from the repository's root.

Without a part all are measured, `torch` only where PyTorch is installed; `gpu` is measured where it is asked for, on
its own. A part is a module of this folder whose ``rows()`` gives a row for each claim, with the bar that it is held to.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.measure import Row
from noisysim.compute import backends, execution, gpu
from noisysim.runs import environment

PARTS = (
    "starts", "forward", "step", "rules", "branches", "epoch", "online", "threads", "pulses", "reads", "tiles", "chips",
    "sweep", "memory",
)  # fmt: skip
"""What is measured everywhere."""
APART = ("torch", "gpu")
"""What needs more than the package's own dependencies."""
MODULES = {part: part for part in (*PARTS, *APART)} | {"torch": "beside_torch"}
BUSY = 0.3
"""Load average of the last minute, a core, from which on a machine counts as one that others use."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts asked for, print a row for each claim, and save them with date and hardware if asked to."""
    asked = _parser().parse_args(arguments)
    parts, backend = chosen(asked.parts), "cuda" if "gpu" in asked.parts else "cpu"
    load = os.getloadavg()[0]
    if load > BUSY * execution.available_cores():
        print(f"this machine is busy (load average {load:.1f}): times and gains of threads will say little")
    found = []
    for part in parts:
        for row in importlib.import_module(f"benchmarks.speed.{MODULES[part]}").rows():
            print(row, flush=True)
            found.append(row)
    if asked.save:
        _save(found, backend, load)
    sys.exit(not all(row.passed for row in found))


def _parser() -> argparse.ArgumentParser:
    described = [f"{part:<8} {_first_line(module)}" for part, module in MODULES.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, epilog="parts:\n  " + "\n  ".join(described),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS, *APART], help="what to measure")
    parser.add_argument("--save", action="store_true", help="write benchmarks/speed/results/DATE.json")
    return parser


def _first_line(module: str) -> str:
    """What a part says of itself, without importing what it needs."""
    text = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def chosen(asked: Sequence[str]) -> list[str]:
    """The parts to measure; ends the program where one of them cannot be."""
    has_torch = importlib.util.find_spec("torch") is not None
    if "torch" in asked and not has_torch:
        _parser().error("torch is not installed here; docs/performance.md says how to measure beside it")
    if "gpu" in asked:
        if len(asked) > 1:
            _parser().error("gpu goes into a file of its own: ask for it alone")
        if gpu.SIMULATED:
            _parser().error("the simulator's times mean nothing")
        backends.resolve("cuda")
    return list(asked) or [*PARTS, *(["torch"] if has_torch else [])]


def _save(found: Sequence[Row], backend: str, load: float) -> None:
    """Keep the rows, with versions, processor and how busy the machine was."""
    folder = Path(__file__).with_name("results")
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.date.today()}-{'gpu' if backend == 'cuda' else backend}.json"
    described = {**environment.describe(backend), "load": round(load, 2)}
    content = {"environment": described, "rows": [row._asdict() for row in found]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
