"""`sweep`: the runs of a study, done by the processes of this machine or of a Dask cluster, and kept as they finish."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from noisysim.common.arguments import argument
from noisysim.common.fields import Field, check, check_switch
from noisysim.compute import execution
from noisysim.runs import signals
from noisysim.runs.execute import check_apart
from noisysim.runs.progress import Tally
from noisysim.runs.retention import check_times
from noisysim.studies import needs
from noisysim.studies.cells import Cell, Cells, split_shared
from noisysim.studies.dispatch import Dispatch
from noisysim.studies.grids import Plan
from noisysim.studies.keeping import Keeper
from noisysim.studies.study import Study
from noisysim.studies.table import Table

if TYPE_CHECKING:
    from distributed import Client

SIDE_BY_SIDE = 16
"""Most seeds that run side by side in one worker: more gain little, and would be lost together."""
COUNT = Field("", 1, 4096, whole=True)
SECONDS = Field("s", 0.01, 1e9)


def sweep(
    task: Any = "digits",
    *,
    out: str | os.PathLike[str] | None = None,
    client: Client | None = None,
    workers: int | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    retry: bool = False,
    timeout: float | None = None,
    keep: str | os.PathLike[str] | None = None,
    retention: Sequence[float] = (),
    data: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **arguments: Any,
) -> Study:
    """Run a grid of runs.

    Every argument of `noisysim.run` may be a list of values, `noisysim.grid` or `noisysim.by`: each list is an axis.
    The same call with the same `out` resumes a study that was stopped, and may ask for more runs. A run that fails or
    diverges is labelled, and the others continue. Results depend on no worker, except for its type of processor.

    Parameters
    ----------
    task : str or Task or arrays or path, or list of them
        As of `noisysim.run`. A list makes an axis.
    out : path
        The study's file (HDF5, readable as NetCDF-4). Default: none, results are only returned.
    client : distributed.Client
        Of a Dask cluster. Default: processes on this machine.
    workers : int
        Number of these processes. Default: one per core (for a GPU, one).
    threads : int
        Threads per run. Default: one on a cluster; on this machine, cores that would else be idle.
    overwrite : bool
        Replace an existing file of another study.
    retry : bool
        Repeat runs that failed.
    timeout : float
        Seconds that a run may take on its worker, compilation included, before it is given up: labelled failed, with
        the error "timed out". Its worker is restarted, for which it needs a nanny (Dask's default). Default: no limit.
    keep : path
        Folder, seen by all workers, for the result file of every run: long runs resume from it after they were stopped.
    retention : list of float
        Seconds after the end of each run at which its chip is tested again (`noisysim.retention`):
        ``test_accuracy_after`` and ``test_loss_after`` over the dimension ``seconds``.
    data : path
        Folder of the data files, seen by all workers.
    progress : bool
        Show progress: a bar on a terminal, one line in a notebook, elsewhere a line on stderr after ten seconds, then
        more and more rarely; True: every ten seconds. Default: yes.
    **arguments
        Of `noisysim.run`.

    Returns
    -------
    Study
        After Ctrl-C as well: what is missing is labelled so. SIGTERM, SIGHUP and SIGXCPU end the process once what is
        done is kept and the workers have ended.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, before any work.
    ConnectionError
        If the cluster is lost, or none of its workers has the source of this noisysim. What has finished is kept.
    OSError
        If the study's file cannot be written in the end; what has finished is in its journal then.
    ImportError
        If Dask or xarray are not installed.

    Examples
    --------
    >>> import noisysim
    >>> study = noisysim.sweep(
    ...     learner=["danp", "bp"], device=noisysim.grid("crossbar", adc_bits=[4, 8]), seed=range(3),
    ...     layers=[16], epochs=2,
    ... )
    >>> study.counts["finished"]
    12
    >>> study.data.test_accuracy.dims
    ('learner', 'adc_bits', 'seed')
    """
    needs.distributed(), needs.xarray()
    overwrite, retry = check_switch("sweep.overwrite", overwrite), check_switch("sweep.retry", retry)
    progress = check_switch("sweep.progress", progress, None)
    times = check_times("sweep.retention", retention)
    for name, count in (("workers", workers), ("threads", threads)):
        if count is not None:
            check("sweep", name, count, COUNT)
    limit = None if timeout is None else check("sweep", "timeout", timeout, SECONDS)
    if client is not None and workers is not None:
        raise ValueError(f"{argument('sweep.workers')} are those of this machine: leave it out where a client is given")
    path = None if out is None else Path(out)
    for of_task, of_start in itertools.product(_each(task), _each(arguments.get("init"))):
        check_apart(path, of_task, of_start)
    plan = Plan({"task": task, **arguments})
    if not plan.axes:
        plan = Plan({"task": task, **arguments, "seed": [arguments.get("seed", 0)]})
    asked = Cells(plan, data, times)
    if asked.rules and (keep is not None or times):
        raise ValueError("keep and retention make learners anew from their names: put yours into a file, and name that")
    arguments = {**plan.described(), **({"retention": times} if times else {})}
    keys, settings = [cell.key for cell in asked.cells], split_shared([cell.plain for cell in asked.cells])
    table = Table(plan.axes, arguments, keys, *settings, times)
    keep = _folder(keep)
    folder = None if data is None else os.fspath(data)
    options = {"data": folder, "keep": keep, "retention": times}
    with signals.listening() as stop, Keeper(table, path, overwrite, retry) as keeper:
        todo = [asked.cells[index] for index in table.missing]
        if todo:
            _execute(todo, asked, keeper, _Workers(client, workers, threads, limit), options, progress, stop)
    return Study(table, path)


def _each(value: object) -> list[Any]:
    """The values of an argument that may be a list of them."""
    return value if isinstance(value, list) else [value]


def _folder(keep: str | os.PathLike[str] | None) -> str | None:
    if keep is None:
        return None
    Path(keep).mkdir(exist_ok=True)
    return os.fspath(Path(keep).absolute())


class _Workers(NamedTuple):
    """Where runs are executed.

    Attributes
    ----------
    client : distributed.Client or None
        Of a cluster; ``None`` for processes of this machine.
    processes, threads : int or None
        How many of these, and the threads of a run.
    timeout : float or None
        Seconds that a run may take.
    """

    client: Any
    processes: int | None
    threads: int | None
    timeout: float | None


def _execute(
    todo: list[Cell], asked: Cells, keeper: Keeper, workers: _Workers, options: dict[str, Any], progress: bool | None,
    stop: signals.Stop,
) -> None:  # fmt: skip
    """Execute runs, and keep their records."""
    tally = Tally(len(keeper.table.keys), len(keeper.table.keys) - len(todo), progress)
    try:
        with _cluster(workers, todo) as (at_work, threads):
            while workers.client is None and not at_work.nthreads() and not stop.reason:
                time.sleep(0.05)  # the first worker is starting
            options = {**options, "threads": workers.threads or threads}
            alone = options["keep"] is not None or options["retention"] or workers.timeout is not None
            slots = max(1, sum(at_work.nthreads().values()))
            groups = deque([cell] for cell in todo) if alone else deque(_groups(todo, asked, slots))
            dispatch = Dispatch(groups, asked, at_work, options, workers.timeout, workers.client is None, stop)
            with contextlib.closing(dispatch.records(tally.look)) as records:
                for record in records:
                    keeper.put(record)
                    tally.add(record["status"] == "finished")
        if stop.reason:
            tally.interrupted()
    except KeyboardInterrupt:
        tally.interrupted()
    finally:
        tally.stop()


def _groups(todo: list[Cell], asked: Cells, slots: int) -> Iterator[list[Cell]]:
    """Groups of runs for a worker: seeds side by side, where that is faster and leaves no worker idle."""
    alike: dict[tuple[int, ...], list[Cell]] = {}
    for cell in todo:
        alike.setdefault(cell.group, []).append(cell)
    most = min(SIDE_BY_SIDE, max(1, len(todo) // slots))
    for cells in alike.values():
        size = min(most, len(cells)) if asked.is_faster_side_by_side(cells[0], min(most, len(cells))) else 1
        yield from (cells[first : first + size] for first in range(0, len(cells), size))


@contextlib.contextmanager
def _cluster(workers: _Workers, todo: list[Cell]) -> Iterator[tuple[Any, int]]:
    """A client of workers, and the threads of each run: those that were given, or processes of this machine.

    They are started as programs of their own: a script that calls `sweep` needs no ``if __name__ == "__main__"``.
    """
    if workers.client is not None:
        yield workers.client, 1
        return
    cores = execution.available_cores()
    on_gpu = any(cell.plain["backend"] != "cpu" for cell in todo)
    count = workers.processes or (1 if on_gpu else min(cores, len(todo)))
    threads = workers.threads or max(1, cores // count)
    with _processes(count, threads) as cluster:
        distributed = needs.distributed()
        with distributed.Client(cluster, set_as_default=False) as at_work:
            yield at_work, threads


@contextlib.contextmanager
def _processes(count: int, threads: int) -> Iterator[Any]:
    """A scheduler in this process, and worker processes, which end with this process however it ends."""
    from dask import config as dask_config
    from distributed import Scheduler, SpecCluster

    from noisysim.studies.processes import Process

    here = {"host": "127.0.0.1", "dashboard": False}
    scheduler = {"cls": Scheduler, "options": {**here, "port": 0, "dashboard_address": "127.0.0.1:0"}}
    of_each = {**here, "nthreads": 1, "silence_logs": 50, "memory_limit": 0, "env": {"NOISYSIM_THREADS": str(threads)}}
    worker = {"cls": Process, "options": {"worker_kwargs": of_each}}
    # a connection that closes with the last process may say so after the cluster, and its silence, have ended
    logging.getLogger("distributed.batched").setLevel(logging.WARNING)
    with (
        dask_config.set({"distributed.logging.distributed": "error"}),
        SpecCluster(dict.fromkeys(range(count), worker), scheduler, worker, silence_logs=50) as cluster,  # type: ignore[no-untyped-call]
    ):
        yield cluster
