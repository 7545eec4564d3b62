"""What a reproduction reports to: measurements, published numbers beside its own, words, figures, and their files."""

from __future__ import annotations

import contextlib
import json
import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import noisysim
from noisysim.runs import environment, signals, storage

from .kept import Kept
from .parts import NotMeasuredError, Options, Part, far, matches, usable
from .summary import cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report:
    """One reproduction's table, printed as it comes and kept in ``<out>/<name>.json``.

    What is measured is measured by `runs`, `run` and `measure`, and kept in the folder ``<out>/<name>``: what is there
    is not measured again. Where it may not be (`Options`), or was stopped, they raise `NotMeasuredError`, which ends a
    block of `part` or `derived`, and nothing else. The files of a quick form end in ``-quick``, so that they never
    replace those of the full one.

    Parameters
    ----------
    name : str
        Of the reproduction.
    out : Path
        Folder for its files.
    title : str
    options : Options
        Also one by one, by name.
    """

    def __init__(self, name: str, out: Path, *, title: str = "", options: Options | None = None, **more: Any):
        self.options = Options(**more) if options is None else options
        self.name, self.title = name, title or name
        self.quick, self.seeds, self.backend = self.options[:3]
        self.out, self.stem = out, self.options.stem(name)
        self.kept = Kept(out / self.stem, self.options.allow_other_source)
        self.started, where = time.perf_counter(), environment.describe(self.backend)
        self.parts: list[Part] = []
        self._part: Part | None = None
        self._halted = ""  # "interrupted" or "stopped": nothing is measured from then on
        self.recalled = False  # whether it is a table that was made before
        self._counted = 0.0  # seconds of measurements that rows have told of
        self.content: dict[str, Any] = {
            "name": name, "title": self.title, "quick": self.quick, "seeds": self.seeds, "status": "running",
            "error": "", "where": {"date": where.pop("started"), **where, "seconds": 0}, "settings": {}, "said": [],
            "figures": [], "missing": [], "rows": [],
        }  # fmt: skip

    @property
    def status(self) -> str:
        """How it ended, as finished, partial (what was asked for is done), stopped, interrupted or failed."""
        return str(self.content["status"])

    @property
    def passed(self) -> bool:
        """Whether it finished, or what was asked for did, with nothing outside its tolerance."""
        ended = self.status in ("finished", "partial")
        return ended and all(r["passed"] is not False for r in self.content["rows"])

    # --- measuring ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A block that measures, and makes the rows of what it has measured.

        Its rows say so if not all of it is measured, and are not judged then.

        Parameters
        ----------
        name : str
            By which it can be asked for alone; the same in every run of this form.
        """
        only = self.options.only
        part = self._part = Part(name, not only or matches(name, only))
        self.parts.append(part)
        try:
            yield
        except NotMeasuredError:
            part.lack()
            if part.progress and not part.rows:
                self.row(name, None)
        finally:
            self._part = None
            self.content["missing"] += [name] if not part.complete and not part.rows else []

    @contextlib.contextmanager
    def derived(self) -> Iterator[None]:
        """A block that works something out of what parts gave: left where one of them is not complete."""
        with contextlib.suppress(NotMeasuredError):
            yield

    @property
    def progress(self) -> str:
        """How far the part is whose rows are being made; "" if it is complete so far."""
        return self._part.progress if self._part else ""

    def data(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives that measurements need: a task, a rate from theory.

        Where rows are only named it is not called: that ends a block of `part`, and gives None outside of one.
        """
        if not self.options.naming:
            return function(*arguments)
        if self._part:
            raise NotMeasuredError
        return None

    def runs(self, *, seeds: int | None = None, partial: bool = False, **settings: Any) -> list[noisysim.Result]:
        """`noisysim.run` with these settings, once for each seed.

        Parameters
        ----------
        seeds : int
            How many. Default: those of the report.
        partial : bool
            Whether the caller can do with fewer seeds or epochs: if not all are complete it gets those that are, or
            the one that is furthest.
        **settings
            What decides what the run computes.

        Raises
        ------
        NotMeasuredError
            If there is not enough.
        """
        count = self.seeds if seeds is None else seeds
        results = [self._run({"backend": self.backend, **settings, "seed": seed}) for seed in range(count)]
        progress, there = far(results), usable(results)
        if len(there) == count and not any(storage.is_cut_short(one.content) for one in there):
            return there
        if self._part:
            self._part.complete, self._part.progress = False, progress
        if partial and there:
            return there
        raise NotMeasuredError(progress)

    def run(self, seed: int, **settings: Any) -> noisysim.Result:
        """`noisysim.run` with these settings and one seed, complete."""
        result = self._run({"backend": self.backend, **settings, "seed": seed})
        if result is None or storage.is_cut_short(result.content):
            if self._part and result is not None:
                self._part.progress = f"{self._part.measured} measurements so far, and {far([result])} of the next"
            raise NotMeasuredError
        return result

    def _run(self, settings: dict[str, Any]) -> noisysim.Result | None:
        if self.options.naming:
            return None
        left = self.options.end - time.monotonic()
        result = self.kept.run(
            settings,
            may_run=self._may_measure(),
            until=None if left == math.inf else max(left, 1e-3),
            progress=False if self.quick else None,
        )
        self._say_notes()
        if result is None:
            return None
        if storage.is_cut_short(result.content):
            self._halted = self._halted or (result.status if result.status in ("interrupted", "stopped") else "")
        elif self._part:
            self._part.measured += 1
        return result

    def measure(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """What a function gives: numbers, texts and arrays, in lists and dicts; tuples have become lists.

        Parameters
        ----------
        function : callable
            Of a module of the package, whose value depends on its arguments alone.
        **arguments
            Numbers, texts, lists, dicts, tasks, learners, losses.

        Raises
        ------
        NotMeasuredError
            If it is not kept, and is not to be measured now.
        """
        found = None if self.options.naming else self.kept.value(function, arguments)
        self._say_notes()
        if found is None:
            if not self._may_measure():
                raise NotMeasuredError
            left = self.options.end - time.monotonic()
            try:
                with signals.interrupting(None if left == math.inf else max(left, 1e-3)) as stop:
                    found = self.kept.measure(function, arguments)
            except KeyboardInterrupt:
                if not stop.reason:
                    raise
                self._halted = stop.reason
                raise NotMeasuredError from None
        if self._part:
            self._part.measured += 1
        return found.value

    def _may_measure(self) -> bool:
        """Whether anything is to be measured where this is asked."""
        if not self._halted and time.monotonic() >= self.options.end:
            self._halted = "stopped"
        return self.options.measure and not self._halted and (self._part is None or self._part.asked)

    def _say_notes(self) -> None:
        for note in self.kept.notes:
            if note not in self.content["said"]:
                self.say(note)

    # --- telling ------------------------------------------------------------------------------------------------------

    def row(
        self,
        name: str,
        ours: Any,
        published: Any = None,
        tolerance: float | str | None = None,
        spread: float | None = None,
        passed: bool | None = None,
        seconds: float | None = None,
        note: str = "",
        **more: Any,
    ) -> None:
        """Add a row and print it; it is not judged if it is of a part that is not complete.

        Parameters
        ----------
        name : str
        ours, published : float or sequence of float
            What came out, and what is known; ``None`` for nothing yet.
        tolerance : float or str
            Passed is |ours - published| <= tolerance, for every value, unless `passed` says otherwise; with neither
            the row is not judged. Words (">= 3") say what `passed` was judged by.
        spread : float
            Standard deviation of `ours` over seeds.
        seconds : float
            How long it took. Default: the measurements since the last row.
        note : str
            Printed at the end of the row, not kept.
        **more
            Kept, not printed.
        """
        known = published is not None and ours is not None
        if passed is None and known and isinstance(tolerance, (int, float)):
            passed = bool(np.abs(np.subtract(ours, published)).max() <= tolerance)
        rounded = None if ours is None else np.round(ours, 3)
        entry = {"name": name, "published": published, "tolerance": tolerance, "ours": rounded}
        entry["passed"] = None if passed is None or self.progress else bool(passed)
        if self.progress:
            entry["progress"] = self.progress
        if spread is not None:
            entry["spread"] = round(float(spread), 3)
        if seconds is None:
            self._counted, seconds = self.kept.seconds, self.kept.seconds - self._counted
        entry = plain({**entry, "seconds": round(seconds, 1), **more})
        rows = self.content["rows"]
        if not rows:
            print(f"{'':46} {'published':>19} {'tolerance':>9} {'measured':>16}  {'':3} {'s':>5}")
        rows.append(entry)
        if self._part:
            self._part.rows += 1
        published, tolerance, measured, verdict = cells(entry)
        note = f"{self.progress}; {note}" if self.progress and note else self.progress or note
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

    def find(self, name: str) -> dict[str, Any]:
        """The row of that name.

        Raises
        ------
        NotMeasuredError
            If there is none, or it is of a part that is not complete.
        """
        for row in self.content["rows"]:
            if row["name"] == name and "progress" not in row:
                return dict(row)
        raise NotMeasuredError(name)

    def end(self, status: str, error: str = "") -> None:
        """Say how it ended: finished, failed or interrupted; finished may turn out to be less."""
        if status == "finished":
            complete = all(part.complete for part in self.parts)
            status = self._halted or ("finished" if complete else "partial")
        self.content["status"], self.content["error"] = status, error
        if error:
            print(f"{self.name} {status}: {error}", flush=True)
        if self.content["missing"]:
            print(f"not measured yet: {'; '.join(self.content['missing'])}", flush=True)
        if self.kept.reused:
            print(f"{self.kept.reused} measurements were there already, in {self.kept.folder}", flush=True)
        self.write()

    def recall(self) -> None:
        """Take the table as it is kept, and change nothing."""
        self.content, self.recalled = json.loads(self._table.read_text(encoding="utf-8")), True

    @property
    def _table(self) -> Path:
        return self.out / f"{self.stem}.json"

    def write(self) -> None:
        """Keep what there is so far."""
        here = time.perf_counter() - self.started
        self.content["where"]["seconds"] = round(self.kept.seconds or here, 1)
        rows = ",\n".join("  " + json.dumps(r) for r in self.content["rows"])
        head = json.dumps({k: v for k, v in self.content.items() if k != "rows"}, indent=1)
        self._table.write_text(f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")


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
    """A history of several runs of the same length, (runs, epochs); `lost` fills what a divergence cut off.

    One that is under way decides how many epochs there are.
    """
    under_way = [len(one.history[name]) for one in results if storage.is_cut_short(one.content)]
    values = np.full((len(results), min([results[0].config["epochs"], *under_way])), lost, dtype=float)
    for row, result in zip(values, results, strict=True):
        known = result.history[name][: len(row)]
        row[: len(known)] = known
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
