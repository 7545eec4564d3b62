"""Figures and tables of papers, reproduced: one module each, run by `noisysim reproduce`.

Such a module has a docstring, whose first line is its title; ``SECONDS``, about how long its full and its quick form
take on two cores; and a function ``reproduce(report)`` that measures by, and tells, a
`noisysim.papers.report.Report`, which keeps each measurement in a file of its own: what is there is not measured again.
The module ``dalm2025_fig2`` goes by the name ``dalm2025-fig2``. Modules without that function help the others.
"""

from __future__ import annotations

if __name__ != "noisysim.papers":
    raise ImportError("import noisysim.papers (this folder is the source of that package)")

import contextlib
import importlib
import io
import math
import pkgutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from noisysim.common.fields import Field, check, listed, unknown
from noisysim.compute import backends
from noisysim.runs import signals

from . import summary
from .parts import Options, check_only
from .report import Report

_FOUND = [name for _, name, _ in pkgutil.iter_modules(__path__)]
SEEDS = Field("", 1, 1000, "how many seeds", whole=True)


def names() -> list[str]:
    """Names of the reproductions there are."""
    return sorted(name.replace("_", "-") for name in _FOUND if hasattr(_module(name), "reproduce"))


def get(name: str) -> ModuleType:
    """The module of the reproduction called `name`."""
    if name not in names():
        raise unknown("reproduction", name, names())
    return _module(name.replace("-", "_"))


def title(module: ModuleType) -> str:
    """The first line of its docstring."""
    return (module.__doc__ or "").strip().partition("\n")[0]


def rows(name: str, options: Options) -> list[str]:
    """Names of the rows of a reproduction, in this form, that can be measured alone; no data are loaded for it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        report = Report(name, Path(folder), options=options._replace(measure=False, naming=True))
        get(name).reproduce(report)
    return [part.name for part in report.parts]


def options(
    wanted: Sequence[str],
    *,
    quick: bool = False,
    seeds: int | None = None,
    only: Sequence[str] = (),
    backend: str = "cpu",
    until: float | str | None = None,
    show: bool = False,
    allow_other_source: bool = False,
) -> Options:
    """What `run` is to do, checked before any work.

    Parameters
    ----------
    wanted : sequence of str
        Names.
    quick : bool
        Run the shortened forms.
    seeds : int
        Number of seeds. Default: 3, or 1 for the shortened forms.
    only : sequence of str
        Rows to measure of a single reproduction, by name; ``*`` stands for anything. Default: all.
    backend : str
        Where the loops run (`noisysim.run`).
    until : float or str
        Time limit (`noisysim.run`), from now.
    show : bool
        Measure nothing: make the tables of what is kept.
    allow_other_source : bool
        Take measurements of another source of noisysim too.

    Raises
    ------
    ValueError, TypeError
        For bad input; of an unknown row with all that there are.
    """
    for name in wanted:
        get(name)
    limit = signals.seconds(until)
    chosen = Options(
        quick, (1 if quick else 3) if seeds is None else check("reproduce", "seeds", seeds, SEEDS),
        backends.resolve(backend), tuple(only), not show, math.inf if limit is None else time.monotonic() + limit,
        allow_other_source,
    )  # fmt: skip
    if only and len(wanted) != 1:
        raise ValueError(f"rows are of one reproduction: name one, not {len(wanted)}")
    if only:
        check_only(wanted[0], only, rows(wanted[0], chosen))
    return chosen


def run(wanted: Sequence[str], *, out: Path, options: Options) -> list[Report]:
    """Run reproductions, print what they find beside what was published, and keep it.

    What is kept in `out` is not measured again. One that fails is reported, and the others continue.

    Parameters
    ----------
    wanted : sequence of str
        Names.
    out : Path
        Folder for a table (JSON) of each, its figures, ``summary.md``, which covers all tables in the folder, and a
        folder of each with its measurements.
    options : Options

    Returns
    -------
    list of Report
        How each of them ended; those after one that the time limit stopped are not begun.

    Raises
    ------
    FileNotFoundError
        If what is kept is to be shown, and nothing is.
    KeyboardInterrupt
        If one was interrupted, once the tables are written.
    """
    modules = {name: get(name) for name in wanted if options.measure or _has_kept(out, name, options)}
    if not modules:
        raise FileNotFoundError(f"{out} has nothing of {listed(list(wanted))}: measure first, or name another folder")
    out.mkdir(parents=True, exist_ok=True)
    reports: list[Report] = []
    try:
        for name, module in modules.items():
            reports.append(Report(name, out, title=title(module), options=options))
            _attempt(module, reports[-1])
            if reports[-1].status in ("interrupted", "stopped"):
                break
    finally:
        contents = [report.content for report in reports]
        if len(contents) > 1 or any(report.recalled for report in reports):
            print("\n" + "\n".join(map(summary.section, contents)))
        print("\n" + summary.verdicts(contents))
        print(summary.write(out, [name + form for name in names() for form in ("", "-quick")]))
    if reports[-1].status == "interrupted":
        raise KeyboardInterrupt
    return reports


def _has_kept(out: Path, name: str, options: Options) -> bool:
    """Whether a folder holds anything of a reproduction."""
    stem = options.stem(name)
    return (out / f"{stem}.json").exists() or (out / stem).is_dir()


def _attempt(module: ModuleType, report: Report) -> None:
    """Run one reproduction; whatever happens, its table says how it ended."""
    if not report.options.measure and not report.kept.folder.is_dir():
        report.recall()  # without its measurements it would be made of nothing
        return
    print(f"\n{report.title}\n", flush=True)
    try:
        module.reproduce(report)
    except KeyboardInterrupt:
        report.end("interrupted")
        raise
    except FileNotFoundError as error:
        report.end("failed", _lacking(error))
    except Exception as error:  # it is reported, and the next one runs
        report.end("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
        traceback.print_exc(file=sys.stderr)
    else:
        report.end("finished")


def _lacking(error: FileNotFoundError) -> str:
    """A task's error for missing data in one line: which they are, and what to do."""
    first, _, places = str(error).partition("\n")
    advice = "; name the folder that has them by NOISYSIM_DATA" if places else ""
    return first.removesuffix(" in any of") + advice


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
