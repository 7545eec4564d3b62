"""`sweep`: the runs of a study, done by the processes of this machine or of a Dask cluster, and kept as they finish."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from noisysim import execution, running, writing
from noisysim.fields import Field, check, check_switch
from noisysim.progress import Tally
from noisysim.studies import journal, needs, table, worker
from noisysim.studies.cells import Cell, Cells, common
from noisysim.studies.grids import Plan
from noisysim.studies.study import Study
from noisysim.studies.table import Table

WRITE_SECONDS = 10.0
"""Least time between two writings of the study's file; what finishes between them is in its journal."""
SIDE_BY_SIDE = 16
"""Most seeds that run side by side in one worker: more gain little, and would be lost together."""
COUNT = Field("", 1, 4096, whole=True)


def sweep(
    task: Any = "digits",
    *,
    out: str | os.PathLike[str] | None = None,
    client: Any = None,
    workers: int | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    retry: bool = False,
    keep: str | os.PathLike[str] | None = None,
    retention: Sequence[float] = (),
    data: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    **arguments: Any,
) -> Study:
    """Run a grid of runs.

    Every argument of `noisysim.run` may be a list of values, `noisysim.grid` or `noisysim.by`: each list is an axis.
    The same call with the same `out` goes on where it was stopped, and may ask for more. A run that fails or diverges
    is labelled, and the others go on. Results do not depend on who computes them, but for the type of processor.

    Parameters
    ----------
    task : str or Task or arrays or path, or list of them
        As of `noisysim.run`. A list makes an axis.
    out : path
        The study's file (HDF5, readable as NetCDF-4). Left out, results are only returned.
    client : distributed.Client
        Of a Dask cluster. Left out, processes of this machine.
    workers : int
        How many of these. Left out, one a core (for a GPU, one).
    threads : int
        Threads a run. Left out, one on a cluster; here, cores that would be idle otherwise.
    overwrite : bool
        Replace an existing file of another study.
    retry : bool
        Do runs again that failed.
    keep : path
        Folder, seen by all workers, for the result file of every run: long runs go on from it when they are stopped.
    retention : list of float
        Seconds after the end of each run at which its chip is tested again (`noisysim.retention`):
        ``test_accuracy_after`` and ``test_loss_after`` over the dimension ``seconds``.
    data : path
        Folder of the data files, seen by all workers.
    progress : bool
        Show a progress bar. Left out, on a terminal only.
    **arguments
        Of `noisysim.run`.

    Returns
    -------
    Study
        After Ctrl-C as well: what is missing is labelled so.

    Raises
    ------
    ValueError, TypeError, OSError
        For bad input, before any work.
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
    times = running.check_times("sweep.retention", retention)
    for name, count in (("workers", workers), ("threads", threads)):
        if count is not None:
            check("sweep", name, count, COUNT)
    if client is not None and workers is not None:
        raise ValueError("sweep.workers are those of this machine: leave it out where a client is given")
    plan = Plan({"task": task, **arguments})
    if not plan.axes:
        plan = Plan({"task": task, **arguments, "seed": [arguments.get("seed", 0)]})
    asked = Cells(plan, data, times)
    if asked.rules and (keep is not None or times):
        raise ValueError("keep and retention make learners anew from their names: put yours into a file, and name that")
    arguments = {**plan.described(), **({"retention": times} if times else {})}
    keys, settings = [cell.key for cell in asked.cells], common([cell.plain for cell in asked.cells])
    found = Table(plan.axes, arguments, keys, *settings, times)
    path = None if out is None else Path(out)
    keep = _folder(keep)
    folder = None if data is None else os.fspath(data)
    options = {"data": folder, "keep": keep, "threads": threads, "retention": times}
    with _Keeper(found, path, overwrite, retry) as keeper:
        todo = [asked.cells[index] for index in found.missing]
        if todo:
            _do(todo, asked, keeper, client, workers, options, progress)
    return Study(found, path)


def _folder(keep: Any) -> str | None:
    if keep is None:
        return None
    Path(keep).mkdir(exist_ok=True)
    return os.fspath(Path(keep).absolute())


class _Keeper:
    """Puts what comes in into the table, the journal at once, the file now and then."""

    def __init__(self, found: Table, path: Path | None, overwrite: bool, retry: bool):
        self.found, self.path = found, path
        self._overwrite, self._retry = overwrite, retry
        self._journal: Any = None

    def __enter__(self) -> _Keeper:
        if self.path is None:
            return self
        writing.check(self.path)
        self._journal = journal.Journal(self.path)
        try:
            if self.path.exists():
                self._take_up(self.path)
            self._write()
        except BaseException:
            self._journal.close()
            raise
        return self

    def _take_up(self, path: Path) -> None:
        if self._overwrite:
            return
        earlier = Study.load(path).content
        missing = set(earlier.missing)
        lost = [k for k, key in enumerate(earlier.keys) if key not in self.found.at and k not in missing]
        if lost:
            raise FileExistsError(
                f"{path} holds {len(lost)} runs that this sweep does not ask for: give another path, or say "
                "overwrite=True"
            )
        self.found.take_up(earlier)
        if self._retry:
            for index, status in enumerate(self.found.texts["status"]):
                if status == "failed":
                    self.found.forget(index)

    def put(self, record: dict[str, Any]) -> None:
        """Keep a record; one that is there already is not kept twice."""
        if self.found.texts["status"][self.found.at[record["key"]]] != table.MISSING:
            return
        self.found.put(record)
        if self._journal is not None:
            self._journal.append(record)
            if time.monotonic() - self._written > max(WRITE_SECONDS, 20 * self._took):
                self._write()

    def _write(self) -> None:
        began = time.monotonic()
        assert self.path is not None
        table.write(self.path, self.found)
        self._journal.clear()
        self._written = time.monotonic()
        self._took = self._written - began

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._write()
            self._journal.close()


def _do(
    todo: list[Cell], asked: Cells, keeper: _Keeper, client: Any, workers: int | None, options: dict[str, Any],
    progress: bool | None,
) -> None:  # fmt: skip
    """Have runs done."""
    tally = Tally(len(keeper.found.keys), len(keeper.found.keys) - len(todo), progress)
    try:
        with _cluster(client, workers, todo, options) as (at_work, threads):
            options = {**options, "threads": options["threads"] or threads}
            alone = options["keep"] is not None or options["retention"]
            slots = max(1, sum(at_work.nthreads().values()))
            groups = deque([cell] for cell in todo) if alone else deque(_groups(todo, asked, slots))
            for record in _records(groups, asked, at_work, options):
                keeper.put(record)
                tally.add(record["status"] == "finished")
    except KeyboardInterrupt:
        tally.interrupted()
    finally:
        tally.stop()


def _groups(todo: list[Cell], asked: Cells, slots: int) -> Iterator[list[Cell]]:
    """Runs that a worker does together: seeds side by side, where that is faster and leaves no worker idle."""
    alike: dict[tuple, list[Cell]] = {}
    for cell in todo:
        alike.setdefault(cell.group, []).append(cell)
    most = min(SIDE_BY_SIDE, max(1, len(todo) // slots))
    for cells in alike.values():
        size = min(most, len(cells)) if asked.worth_stacking(cells[0], min(most, len(cells))) else 1
        yield from (cells[first : first + size] for first in range(0, len(cells), size))


def _records(groups: deque[list[Cell]], asked: Cells, client: Any, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What runs found, in the order in which they finish; twice as many are under way as there are threads."""
    distributed = needs.distributed()
    arrays = {crc: client.submit(_same, task, pure=False) for crc, task in asked.arrays.items()}
    under_way: dict[Any, list[Cell]] = {}
    finished = distributed.as_completed([], loop=client.loop)

    def submit() -> None:
        while groups and len(under_way) < 2 * max(1, sum(client.nthreads().values())):
            cells = groups.popleft()
            task = arrays.get(cells[0].plain["task"]["crc32"])
            rule = asked.rules.get(cells[0].plain["learner"].get("sha256", ""))
            future = client.submit(worker.work, [(c.key, c.plain) for c in cells], task, rule, options, pure=False)
            under_way[future] = cells
            finished.add(future)

    try:
        submit()
        for future in finished:
            cells = under_way.pop(future)
            yield from _outcome(future, cells)
            submit()
    finally:
        client.cancel(list(under_way))


def _outcome(future: Any, cells: list[Cell]) -> list[dict[str, Any]]:
    """The records of runs; of those that killed their workers one that says so."""
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if type(error).__name__ != "KilledWorker":
        raise RuntimeError(
            f"the cluster was lost ({future.status}: {error}); what has finished is kept, and the same call goes on"
        )
    return [
        {
            "key": cell.key, "status": "failed", "error": "its worker died again and again (out of memory?)",
            "warnings": str(error), "values": {}, "environment": {"backend": cell.plain["backend"]},
        }
        for cell in cells
    ]  # fmt: skip


def _same(value: Any) -> Any:
    """A task, where the scheduler can make it again if a worker is lost."""
    return value


@contextlib.contextmanager
def _cluster(client: Any, workers: int | None, todo: list[Cell], options: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """A client of workers, and the threads of each run: those that were given, or processes of this machine.

    They are started as programs of their own: a script that calls `sweep` needs no ``if __name__ == "__main__"``.
    """
    if client is not None:
        yield client, 1
        return
    cores = execution.available_cores()
    on_gpu = any(cell.plain["backend"] != "cpu" for cell in todo)
    count = workers or (1 if on_gpu else min(cores, len(todo)))
    threads = options["threads"] or max(1, cores // count)
    with _processes(count, threads) as cluster:
        distributed = needs.distributed()
        with distributed.Client(cluster, set_as_default=False) as at_work:
            at_work.wait_for_workers(1)
            yield at_work, threads


@contextlib.contextmanager
def _processes(count: int, threads: int) -> Iterator[Any]:
    """A scheduler in this process, and worker processes that end when it does, however it ends."""
    from dask import config as dask_config
    from distributed import Scheduler, SpecCluster

    from noisysim.studies.processes import Process

    here = {"host": "127.0.0.1", "dashboard": False}
    scheduler = {"cls": Scheduler, "options": {**here, "port": 0, "dashboard_address": "127.0.0.1:0"}}
    of_each = {**here, "nthreads": 1, "silence_logs": 50, "memory_limit": 0, "env": {"NOISYSIM_THREADS": str(threads)}}
    worker = {"cls": Process, "options": {"worker_kwargs": of_each}}
    with (
        dask_config.set({"distributed.logging.distributed": "error"}),
        SpecCluster(dict.fromkeys(range(count), worker), scheduler, worker, silence_logs=50) as cluster,
    ):
        yield cluster
