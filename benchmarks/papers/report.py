"""What the scripts of this folder share: a table of reference numbers beside ours, and the file it is kept in."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def arguments(doc: str, **switches: str) -> argparse.Namespace:
    """The command line that every script has, and switches of its own (name=help)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer seeds, epochs and rows; nothing is checked or kept")
    parser.add_argument("--seeds", type=int, help="how many seeds (default 3, with --quick 1)")
    parser.add_argument("--only", default="", help="only the rows whose name contains this; the others stay as kept")
    for name, said in switches.items():
        parser.add_argument(f"--{name}", action="store_true", help=said)
    given = parser.parse_args()
    given.seeds = given.seeds or (1 if given.quick else 3)
    return given


def where() -> dict[str, str]:
    """Date, versions and processor."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    versions = {name: metadata.version(name) for name in ("noisysim", "numpy", "scipy", "numba")}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "python": platform.python_version(),
        **versions,
        "cpu": cpu,
    }


class Table:
    """Rows of reference and own numbers, printed as they come and kept in ``results/<name>.json``.

    Parameters
    ----------
    name : str
        Of the file; "" keeps nothing.
    settings : dict
        What all rows have in common.
    update : bool
        Start from the rows in the file; new ones take the place of those of the same name.
    """

    def __init__(self, name: str, settings: dict[str, Any], update: bool = False):
        self.path = RESULTS / f"{name}.json" if name else None
        self.content: dict[str, Any] = {"where": where(), "settings": settings, "rows": []}
        if update and self.path and self.path.exists():
            self.content["rows"] = json.loads(self.path.read_text())["rows"]
        print(f"{'':46} {'reference':>19} {'tolerance':>9} {'ours':>15}  {'':3} {'s':>5}", flush=True)

    def row(
        self,
        name: str,
        ours: Any,
        reference: Any = None,
        tolerance: float | str | None = None,
        spread: float | None = None,
        passed: bool | None = None,
        seconds: float = 0.0,
        note: str = "",
        **more: Any,
    ) -> None:
        """Add a row and print it.

        Parameters
        ----------
        name : str
        ours, reference : float or sequence of float
            What came out, and what is known.
        tolerance : float or str
            Passed is |ours - reference| <= tolerance, for every value, unless `passed` says otherwise; without a
            tolerance the row is not judged.
        spread : float
            Standard deviation of `ours` over seeds.
        seconds : float
            How long it took.
        note : str
            Printed at the end of the row, not kept.
        **more
            Kept, not printed.
        """
        if passed is None and reference is not None and isinstance(tolerance, (int, float)):
            passed = np.abs(np.subtract(ours, reference)).max() <= tolerance
        passed = None if passed is None else bool(passed)
        entry = {"name": name, "reference": reference, "tolerance": tolerance, "ours": np.round(ours, 3).tolist()}
        entry["passed"] = passed
        if spread is not None:
            entry["spread"] = round(float(spread), 3)
        entry = {**entry, "seconds": round(seconds, 1), **more}
        rows = self.content["rows"]
        place = next((i for i, r in enumerate(rows) if r["name"] == name), len(rows))
        rows[place : place + 1] = [entry]
        value = _text(ours) + ("" if spread is None else f" +- {spread:.2f}")
        limit = "" if tolerance is None else f"{tolerance:g}" if isinstance(tolerance, (int, float)) else tolerance
        said = {True: "ok", False: "OUT", None: ""}[passed]
        line = f"{name:46} {_text(reference, '{:g}'):>19} {limit:>9} {value:>15}  {said:3} {seconds:5.0f}  {note}"
        print(line.rstrip(), flush=True)
        self.write()

    def find(self, name: str) -> dict[str, Any] | None:
        """The row of that name, if there is one."""
        return next((r for r in self.content["rows"] if r["name"] == name), None)

    def write(self) -> None:
        """Keep what there is so far."""
        self.content["where"]["seconds"] = round(sum(r["seconds"] for r in self.content["rows"]))
        if self.path:
            self.path.parent.mkdir(exist_ok=True)
            rows = ",\n".join("  " + json.dumps(r) for r in self.content["rows"])
            head = json.dumps({k: v for k, v in self.content.items() if k != "rows"}, indent=1)
            self.path.write_text(f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n')

    def end(self) -> int:
        """Print the verdict; the exit status: how many rows are outside."""
        self.write()
        judged = [r["passed"] for r in self.content["rows"] if r["passed"] is not None]
        print(f"\n{sum(judged)} of {len(judged)} within tolerance, {self.content['where']['seconds']} s")
        if self.path:
            print(f"kept in {self.path}")
        return len(judged) - sum(judged)


def _text(values: Any, form: str = "") -> str:
    """A number, or several with strokes between."""
    if values is None:
        return ""
    if np.ndim(values) == 0:
        return (form or "{:.2f}").format(float(values))
    return "/".join((form or "{:.0f}").format(float(v)) for v in values)
