"""The command that reproduces figures and tables of papers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from noisysim.cli.app import FAILED, SHORT_OUT, app
from noisysim.cli.lists import print_table
from noisysim.common import durations
from noisysim.runs import signals


@app.command
def reproduce(
    *names: str,
    everything: Annotated[bool, cyclopts.Parameter(name="--all", negative="")] = False,
    quick: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    seeds: int | None = None,
    only: Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
    out: Annotated[Path, SHORT_OUT] = Path("reproduced"),
    backend: str = "cpu",
    until: str | None = None,
    show: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    allow_other_source: Annotated[bool, cyclopts.Parameter(negative="")] = False,
) -> None:
    """Reproduce figures and tables of papers; without a name, list them.

    Published and measured values are printed side by side and kept, and so is each measurement: the same command
    continues what was stopped or killed, and measures nothing twice. The exit status is 1 if a value is outside its
    tolerance, or if a reproduction failed; 2 if what was asked for is not there; 75 at the time limit.

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
    only : list of str
        Rows to measure, by name; "*" stands for anything. Of the others what is kept is shown. Default: all.
    out : Path
        Folder for the tables, the figures, summary.md, and a folder of each with its measurements.
    backend : str
        Where the chips are simulated: "cpu", or "cuda", a GPU.
    until : str
        Time limit, such as "11h50m": stop that long after the start.
    show : bool
        Measure nothing: make the tables of what is kept.
    allow_other_source : bool
        Take what another version, or edited source, of noisysim has measured, and resume its runs; the table says so.
    """
    from noisysim import papers

    chosen = papers.names() if everything else names
    if not chosen:
        _list_reproductions()
        return
    options = papers.options(
        chosen, quick=quick, seeds=seeds, only=only or (), backend=backend, until=until, show=show,
        allow_other_source=allow_other_source,
    )  # fmt: skip
    reports = papers.run(chosen, out=out, options=options)
    if reports[-1].status == "stopped":
        sys.exit(signals.LIMIT_STATUS)
    if not all(report.passed for report in reports):
        sys.exit(FAILED)


def _list_reproductions() -> None:
    """A table of names, with titles and how long the two forms take."""
    from noisysim import papers

    rows = []
    for name in papers.names():
        module = papers.get(name)
        rows.append((name, papers.title(module), *map(durations.in_words, module.SECONDS)))
    print_table(("name", "what it is", "full", "quick"), rows)
