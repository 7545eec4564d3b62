"""Figures and tables of papers, reproduced: one module each, run by `noisysim reproduce`.

Such a module has a docstring, whose first line is its title; ``SECONDS``, about how long its full and its quick form
take on two cores; and a function ``reproduce(report)`` that measures, and tells a `noisysim.papers.report.Report`. The
module ``dalm2025_fig2`` goes by the name ``dalm2025-fig2``. Modules without that function help the others.
"""

from __future__ import annotations

if __name__ != "noisysim.papers":
    raise ImportError("import noisysim.papers (this folder is the source of that package)")

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from noisysim.common.fields import Field, check, unknown

from . import summary
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


def run(
    wanted: Sequence[str],
    *,
    out: Path,
    quick: bool = False,
    seeds: int | None = None,
    backend: str = "cpu",
) -> bool:
    """Run reproductions, print what they find beside what was published, and keep it.

    One that fails is reported, and the others continue.

    Parameters
    ----------
    wanted : sequence of str
        Names.
    out : Path
        Folder for a table (JSON) of each, its figures, and ``summary.md``, which covers all tables in the folder.
    quick : bool
        Run the shortened forms.
    seeds : int
        Number of seeds. Default: 3, or 1 for the shortened forms.
    backend : str
        Where the loops run (`noisysim.run`).

    Returns
    -------
    bool
        Whether all of them finished with nothing outside its tolerance.
    """
    modules = {name: get(name) for name in wanted}
    count = (1 if quick else 3) if seeds is None else check("reproduce", "seeds", seeds, SEEDS)
    out.mkdir(parents=True, exist_ok=True)
    reports: list[Report] = []
    try:
        for name, module in modules.items():
            reports.append(Report(name, out, title=title(module), quick=quick, seeds=count, backend=backend))
            _attempt(module, reports[-1])
    finally:
        contents = [report.content for report in reports]
        if len(contents) > 1:
            print("\n" + "\n".join(map(summary.section, contents)))
        print("\n" + summary.verdicts(contents))
        print(summary.write(out, [name + form for name in names() for form in ("", "-quick")]))
    return all(report.passed for report in reports)


def _attempt(module: ModuleType, report: Report) -> None:
    """Run one reproduction; whatever happens, its table says how it ended."""
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
