"""What a reproduction reports to: published numbers beside its own, words, figures, and the files they are kept in."""

from __future__ import annotations

import json
import math
import operator
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import noisysim
from noisysim.runs import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report:
    """One reproduction's table, printed as it comes and kept in ``<out>/<name>.json``.

    The files of a quick form end in ``-quick``, so that they never replace those of the full one.

    Parameters
    ----------
    name : str
        Of the reproduction.
    out : Path
        Folder for its files.
    title : str
    quick : bool
        Whether the shortened form is wanted.
    seeds : int
        How many seeds to average over.
    backend : str
        Where the loops are to run.
    """

    def __init__(
        self, name: str, out: Path, *, title: str = "", quick: bool = False, seeds: int = 3, backend: str = "cpu"
    ):
        self.name, self.title = name, title or name
        self.quick, self.seeds, self.backend = quick, seeds, backend
        self.out, self.stem = out, f"{name}-quick" if quick else name
        self.started, where = time.perf_counter(), environment.describe(backend)
        self.content: dict[str, Any] = {
            "name": name, "title": self.title, "quick": quick, "seeds": seeds, "status": "running", "error": "",
            "where": {"date": where.pop("started"), **where, "seconds": 0}, "settings": {}, "said": [], "figures": [],
            "rows": [],
        }  # fmt: skip

    @property
    def passed(self) -> bool:
        """Whether it finished with nothing outside its tolerance."""
        return self.content["status"] == "finished" and all(r["passed"] is not False for r in self.content["rows"])

    def row(
        self,
        name: str,
        ours: Any,
        published: Any = None,
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
        ours, published : float or sequence of float
            What came out, and what is known.
        tolerance : float or str
            Passed is |ours - published| <= tolerance, for every value, unless `passed` says otherwise; with neither
            the row is not judged. Words (">= 3") say what `passed` was judged by.
        spread : float
            Standard deviation of `ours` over seeds.
        seconds : float
            How long it took.
        note : str
            Printed at the end of the row, not kept.
        **more
            Kept, not printed.
        """
        if passed is None and published is not None and isinstance(tolerance, (int, float)):
            passed = bool(np.abs(np.subtract(ours, published)).max() <= tolerance)
        entry = {"name": name, "published": published, "tolerance": tolerance, "ours": np.round(ours, 3)}
        entry["passed"] = None if passed is None else bool(passed)
        if spread is not None:
            entry["spread"] = round(float(spread), 3)
        entry = plain({**entry, "seconds": round(seconds, 1), **more})
        rows = self.content["rows"]
        if not rows:
            print(f"{'':46} {'published':>19} {'tolerance':>9} {'measured':>16}  {'':3} {'s':>5}")
        rows.append(entry)
        published, tolerance, measured, verdict = cells(entry)
        line = f"{name:46} {published:>19} {tolerance:>9} {measured:>16}  {verdict:3} {seconds:5.0f}  {note}"
        print(line.rstrip(), flush=True)
        self.write()

    def claim(self, name: str, ours: float, bound: str, published: float | None = None, **more: Any) -> None:
        """Add a row that is judged by a bound: "<= 1", ">= 3", "> 0" or "< 0"."""
        sign, value = bound.split()
        passed = {"<=": operator.le, ">=": operator.ge, ">": operator.gt, "<": operator.lt}[sign](ours, float(value))
        self.row(f"claim: {name}", ours, published, bound, passed=passed, **more)

    def say(self, text: str) -> None:
        """Print and keep a sentence on what was run."""
        self.content["said"].append(text)
        print(text, flush=True)

    def keep(self, **settings: Any) -> None:
        """Keep, without printing them, settings that all rows have in common."""
        self.content["settings"].update(plain(settings))

    def figure(self, name: str, figure: Figure) -> Path:
        """Save a matplotlib figure as a PNG file, and print where.

        Parameters
        ----------
        name : str
            What it shows; the file is called by the reproduction's name and this.
        """
        label = name.removeprefix(self.name).strip("-")
        path = self.out / f"{self.stem}{label and '-'}{label}.png"
        figure.savefig(path, dpi=140)
        if path.name not in self.content["figures"]:
            self.content["figures"].append(path.name)
        print(path, flush=True)
        return path

    def find(self, name: str) -> dict[str, Any] | None:
        """The row of that name, if there is one."""
        return next((r for r in self.content["rows"] if r["name"] == name), None)

    def runs(self, *, seeds: int | None = None, **settings: Any) -> list[noisysim.Result]:
        """`noisysim.run` with these settings, once for each seed; a Ctrl-C in one ends the reproduction."""
        results = []
        for seed in range(self.seeds if seeds is None else seeds):
            progress = False if self.quick else None
            results.append(noisysim.run(**{"backend": self.backend, "progress": progress, **settings}, seed=seed))
            if results[-1].status == "interrupted":
                raise KeyboardInterrupt
        return results

    def end(self, status: str, error: str = "") -> None:
        """Say how it ended: finished, failed or interrupted."""
        self.content["status"], self.content["error"] = status, error
        if error:
            print(f"{self.name} {status}: {error}", flush=True)
        self.write()

    def write(self) -> None:
        """Keep what there is so far."""
        self.content["where"]["seconds"] = round(time.perf_counter() - self.started, 1)
        rows = ",\n".join("  " + json.dumps(r) for r in self.content["rows"])
        head = json.dumps({k: v for k, v in self.content.items() if k != "rows"}, indent=1)
        (self.out / f"{self.stem}.json").write_text(f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """How a row shows what was published, the tolerance, what was measured, and the verdict."""
    spread, tolerance = row.get("spread"), row["tolerance"]
    measured = _text(row["ours"], ".2f", ".0f") + ("" if spread is None else f" +- {spread:.2f}")
    limit = "" if tolerance is None else f"{tolerance:g}" if isinstance(tolerance, (int, float)) else str(tolerance)
    return _text(row["published"], "g", "g"), limit, measured, {True: "ok", False: "OUT", None: ""}[row["passed"]]


def panels(
    titles: Sequence[str], width: float = 5.0, height: float = 4.0, rows: int = 1, **shared: Any
) -> tuple[Any, list[Any]]:
    """A figure with a panel for each title, row by row, made without pyplot: nothing global, nothing to close."""
    from matplotlib.figure import Figure

    columns = -(-len(titles) // rows)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title, fontsize=11, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes


def histories(results: Sequence[noisysim.Result], name: str, lost: float) -> np.ndarray:
    """A history of several runs of the same length, (runs, epochs); `lost` fills what a divergence cut off."""
    values = np.full((len(results), results[0].config["epochs"]), lost, dtype=float)
    for row, result in zip(values, results, strict=True):
        row[: len(result.history[name])] = result.history[name]
    return values


def plain(value: Any) -> Any:
    """The same as JSON knows it: NumPy's arrays and numbers as Python's, what is not finite as null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(values: Any, alone: str, listed: str) -> str:
    """A number, or several with strokes between; nothing for None, a dash for what was not finite."""
    if isinstance(values, list):
        return "/".join("-" if v is None else format(v, listed) for v in values)
    return "" if values is None else values if isinstance(values, str) else format(values, alone)
