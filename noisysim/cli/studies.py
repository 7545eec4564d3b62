"""The commands for studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import cyclopts

from noisysim.cli.app import FAILED, INTERRUPTED, Json, Out, app


@app.command(name="sweep")
def sweep_study(
    path: Path,
    *,
    out: Out = None,
    scheduler: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    retry: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    timeout: float | None = None,
    keep: Path | None = None,
    data: Path | None = None,
    progress: bool | None = None,
    json: Json = False,
) -> None:
    """Run a study: a grid of runs, on the cores of this machine or a Dask cluster.

    The same command resumes a study that was stopped or killed. The exit status is 1 if runs failed; to diverge is a
    result.

    Parameters
    ----------
    path : Path
        Study file: TOML, with arguments of noisysim.run, where a list makes an axis; or a study's HDF5 file, to resume
        it.
    out : Path
        The study's file. Default: study.h5 beside study.toml.
    scheduler : str
        Address of a Dask scheduler, such as tcp://10.0.0.1:8786, or its scheduler file (JSON).
    workers : int
        Processes on this machine. Default: one per core.
    threads : int
        Threads per run.
    overwrite : bool
        Replace an existing file of another study.
    retry : bool
        Repeat runs that failed.
    timeout : float
        Seconds that a run may take before it is given up. Default: no limit.
    keep : Path
        Folder for the result file of every run.
    data : Path
        Folder of the data files.
    progress : bool
        Show progress: a bar on a terminal, one line in a notebook, elsewhere a line on stderr after ten seconds, then
        more and more rarely; True: every ten seconds. Default: yes.
    """
    from noisysim.cli.json_output import of_study, print_json
    from noisysim.studies import asking

    with asking.client(scheduler) as client:
        study = asking.sweep(
            path, out=out, client=client, workers=workers, threads=threads, overwrite=overwrite, retry=retry,
            timeout=timeout, keep=keep, data=data, progress=progress,
        )  # fmt: skip
    if json:
        print_json(of_study(study))
    else:
        print(study)
    if study.counts["missing"]:
        sys.exit(INTERRUPTED)
    if study.counts["failed"]:
        sys.exit(FAILED)


@app.command
def tune(
    path: Path,
    *,
    out: Out = None,
    choose: str = "stable",
    start: float = 1e-5,
    factor: float = 2.0,
    count: int = 15,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    workers: int | None = None,
    data: Path | None = None,
    progress: bool | None = None,
    json: Json = False,
) -> None:
    """Search for the learning rate of each setting of a study, by raising it until it no longer learns.

    Parameters
    ----------
    path : Path
        Study file (TOML), without learning_rate.
    out : Path
        File for the runs of the search. Default: study-rates.h5 beside study.toml.
    choose : str
        "stable", the largest rate up to which it learns, "loss", the one with the lowest training loss, or
        "validation_loss", the one with the lowest loss on validation data.
    start : float
        Lowest rate.
    factor : float
        Factor from one rate to the next.
    count : int
        Number of rates.
    overwrite : bool
        Replace an existing file of another search.
    workers : int
        Processes on this machine. Default: one per core.
    data : Path
        Folder of the data files.
    progress : bool
        Show progress: a bar on a terminal, one line in a notebook, elsewhere a line on stderr after ten seconds, then
        more and more rarely; True: every ten seconds. Default: yes.
    """
    from noisysim.cli.json_output import of_search, print_json
    from noisysim.studies import asking, tuning

    target, arguments = asking.apart(path, out, "-rates.h5"), asking.read(path)
    tuned = tuning.tune(
        **arguments, start=start, factor=factor, count=count, choose=choose, out=target, overwrite=overwrite,
        workers=workers, data=data, progress=progress,
    )  # fmt: skip
    if json:
        print_json(of_search(tuned))
    else:
        print(tuned)
