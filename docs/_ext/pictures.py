"""What sphinx-gallery is told of noisysim's scripts: where they run, and which of their pictures are shown.

Shown are the PNG files that a block wrote into the working folder and, where it wrote
none, a matplotlib Figure that is its last expression.
"""

from __future__ import annotations

import atexit
import shutil
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_SCRATCH = Path(__file__).parents[1] / "_build" / "scripts"
atexit.register(shutil.rmtree, _SCRATCH, ignore_errors=True)
_OTHERS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings of packages that noisysim uses, which are not about what a script does."""


def scratch(folder: Path) -> str:
    """A copy of a folder of scripts, in which they run: what they write is gone when the build ends."""
    copy = _SCRATCH / folder.name
    shutil.rmtree(copy, ignore_errors=True)
    return str(shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__")))


def scrape(block: Any, variables: dict[str, Any], gallery: dict[str, Any]) -> str:
    """The pictures of one block, for sphinx-gallery; `variables` are those of its script."""
    shown, folder = [], Path(variables["src_file"]).parent
    known = variables.setdefault("pictures", {})  # files that were shown, and when each was written
    for path in sorted(folder.glob("*.png"), key=lambda p: p.stat().st_mtime_ns):
        written = path.stat().st_mtime_ns
        if known.get(path) != written:
            known[path] = written
            shown.append(next(variables["image_path_iterator"]))
            shutil.copy(path, shown[-1])
    figure = variables["example_globals"].get("___")  # sphinx-gallery's name of the last expression there was
    if isinstance(figure, Figure) and figure is not variables.get("figure"):
        variables["figure"] = figure
        if not shown:  # plot("file.png") gives the figure that it has just written
            shown.append(next(variables["image_path_iterator"]))
            figure.savefig(shown[-1], dpi=100)
    return str(figure_rst(shown, gallery["src_dir"]))


def reset(gallery: dict[str, Any], name: str) -> None:
    """Before and after each script: nothing of the one before it is left, and warnings stop the build."""
    for copy in map(Path, gallery["examples_dirs"]):
        sources = Path(gallery["src_dir"]) / copy.name
        for path in copy.iterdir():
            if not (sources / path.name).exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    pyplot.close("all")
    matplotlib.use("agg")
    matplotlib.rcdefaults()
    warnings.simplefilter("error")
    for category in _OTHERS:
        warnings.simplefilter("ignore", category)
