"""The command that reproduces figures and tables of papers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from noisysim.cli.app import app
from noisysim.cli.lists import print_table


@app.command
def reproduce(
    *names: str,
    everything: Annotated[bool, cyclopts.Parameter(name="--all", negative="")] = False,
    quick: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    seeds: int | None = None,
    out: Path = Path("reproduced"),
    backend: str = "cpu",
) -> None:
    """Reproduce figures and tables of papers; without a name, list them.

    Published and measured values are printed side by side and kept. The exit status is 1 if a value is outside its
    tolerance, or if a reproduction failed.

    Parameters
    ----------
    names : str
        Reproductions by name. Default: only list them.
    everything : bool
        Run all of them.
    quick : bool
        Run the shortened forms, which take seconds.
    seeds : int
        Number of seeds to average over. Default: 3, or 1 for the shortened forms.
    out : Path
        Folder for the tables, the figures and summary.md.
    backend : str
        Where the chips are simulated: "cpu", or "cuda", a GPU.
    """
    from noisysim import papers

    chosen = papers.names() if everything else names
    if not chosen:
        _list_reproductions()
    elif not papers.run(chosen, out=out, quick=quick, seeds=seeds, backend=backend):
        sys.exit(1)


def _list_reproductions() -> None:
    """A table of names, with titles and how long the two forms take."""
    from noisysim import papers

    rows = []
    for name in papers.names():
        module = papers.get(name)
        rows.append((name, papers.title(module), *map(_duration, module.SECONDS)))
    print_table(("name", "what it is", "full", "quick"), rows)


def _duration(seconds: float) -> str:
    """About how long: in the largest unit of which it is two or more."""
    units = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if seconds >= 2 * u[1]), units[-1])
    return f"{seconds / size:.0f} {unit}"
