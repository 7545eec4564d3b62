"""Hands runs to the workers of a Dask cluster, and collects their records.

A worker that has other source than this process is refused: it would compute other bits. A run that takes longer than
it may is given up, with its worker. A worker that dies is Dask's to replace: its runs go to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import time
import uuid
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from noisysim.runs import environment
from noisysim.runs.signals import Stop
from noisysim.studies import worker
from noisysim.studies.cells import Cell, Cells

TICK = 0.2
"""Seconds between two polls of what raises no event: signals, runs that hang, workers that are gone."""
ALONE = 30.0
"""Seconds without any usable worker after which the study ends: one may just be restarting."""
DEATHS = 3
"""Workers that a run may kill before it counts as failed (Dask's default)."""
DIED = "its worker died repeatedly (out of memory?)"
_GONE = (OSError, RuntimeError, asyncio.TimeoutError, asyncio.CancelledError)
"""What Dask raises when a connection is gone."""


class ClusterError(ConnectionError):
    """The workers, or their scheduler, are gone or unusable."""


class Job(NamedTuple):
    """Runs that were handed out together.

    Attributes
    ----------
    cells : list of Cell
    allowed : list of str or None
        Addresses of the workers that may do them; all if ``None``.
    """

    cells: list[Cell]
    allowed: list[str] | None


class Dispatch:
    """Runs the cells of a study on workers.

    Parameters
    ----------
    groups : deque of list of Cell
        Runs that a worker does together.
    requested : Cells
    client : distributed.Client
    options : dict
        Of `noisysim.studies.worker.work`.
    timeout : float or None
        Seconds that a run may take; groups are then single runs.
    local : bool
        Whether the workers are processes of this machine, to which no others can come.
    stop : Stop
    """

    def __init__(
        self, groups: deque[list[Cell]], requested: Cells, client: Any, options: dict[str, Any], timeout: float | None,
        local: bool, stop: Stop,
    ):  # fmt: skip
        self._groups, self._requested, self._client = groups, requested, client
        self._timeout, self._local, self._stop = timeout, local, stop
        self._topic = f"noisysim-{uuid.uuid4().hex}"
        self._options = {**options, "source": environment.source_hash(), "announce": self._topic}
        self._arrays = {crc: client.submit(_identity, task, pure=False) for crc, task in requested.arrays.items()}
        self._weights = {sha: client.submit(_identity, given, pure=False) for sha, given in requested.weights.items()}
        self._under_way: dict[Any, Job] = {}
        self._began: dict[str, tuple[float, str]] = {}  # by key: when, and on which worker
        self._refused: dict[str, str] = {}  # by address: what is there
        self._deaths: Counter[str] = Counter()  # by key: workers that went while it ran on them
        self._alone: float | None = None  # since when no worker is left that is not refused
        self._said = False  # that there is none at all
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()  # futures that ended, and runs that began

    def records(self, look: Callable[[], None]) -> Generator[dict[str, Any], None, None]:
        """The records of runs, in the order in which they finish; twice as many are submitted as there are threads.

        Parameters
        ----------
        look : callable
            Called every now and then, also while no run finishes.

        Raises
        ------
        ClusterError
            If the scheduler is gone, or no worker has this source.
        """
        try:
            self._client.subscribe_topic(self._topic, lambda event: self._events.put(event[1]))
            self._submit()
            looked = time.monotonic()
            while self._under_way or self._groups:
                with contextlib.suppress(queue.Empty):
                    yield from self._received(self._events.get(timeout=TICK))
                if self._stop.reason:
                    return
                if time.monotonic() - looked > TICK:
                    yield from self._overdue()
                    yield from self._look_for_workers()
                    look()
                    looked = time.monotonic()
                self._submit()
        except ClusterError:
            raise
        except _GONE as error:
            raise _lost(error) from None
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(self._under_way))
                self._client.unsubscribe_topic(self._topic)

    def _submit(self) -> None:
        if not self._groups:
            return
        threads = {a: n for a, n in self._client.nthreads().items() if a not in self._refused}
        if self._refused and not threads:
            return
        while self._groups and len(self._under_way) < 2 * max(1, sum(threads.values())):
            cells = self._groups.popleft()
            task = self._arrays.get(cells[0].plain["task"]["crc32"])
            rule = self._requested.rules.get(cells[0].plain["learner"].get("sha256", ""))
            init = cells[0].plain["init"]
            initial = None if isinstance(init, str) else self._weights[init["sha256"]]
            allowed = list(threads) if self._refused else None
            future = self._client.submit(
                worker.work, [(c.key, c.plain) for c in cells], task, rule, initial, self._options, pure=False,
                workers=allowed,
            )  # fmt: skip
            self._under_way[future] = Job(cells, allowed)
            future.add_done_callback(self._events.put)

    def _received(self, event: Any) -> list[dict[str, Any]]:
        """The records that an event brings."""
        if isinstance(event, dict):
            self._began[event["key"]] = time.monotonic(), event["worker"]
            return []
        job = self._under_way.pop(event, None)
        if job is None:  # given up before
            return []
        self._began.pop(job.cells[0].key, None)
        if event.status != "finished":
            return _died(event, job.cells)
        reply = event.result()
        # of a version that did not tell its source there are only records
        source = reply if isinstance(reply, dict) else {"version": "older", "source": "not told"}
        if source["source"] == self._options["source"]:
            records: list[dict[str, Any]] = reply["records"]
            return records
        for address in self._client.who_has([event])[event.key]:
            self._refuse(address, f"noisysim {source['version']}, source {source['source'][:12]}")
        self._groups.appendleft(job.cells)
        return []

    def _refuse(self, address: str, there: str) -> None:
        if address not in self._refused:
            this = f"noisysim {environment.version()}, source {self._options['source'][:12]}"
            warnings.warn(
                f"worker {address} is refused, as it would compute other bits: it has {there}, here is {this}; its "
                "runs go to others",
                RuntimeWarning,
                stacklevel=2,
            )
        self._refused[address] = there

    def _look_for_workers(self) -> Iterator[dict[str, Any]]:
        """Resubmit what waits for a worker that is gone; end if all workers left are refused."""
        if not self._refused and not self._local:  # Dask hands out again, and other workers may come
            self._tell_that_it_waits()
            return
        fit = set(self._client.nthreads()) - set(self._refused)
        for future, job in list(self._under_way.items()):
            if job.allowed is not None and not fit.intersection(job.allowed) and future.status == "pending":
                del self._under_way[future]
                self._client.cancel([future])
                key = job.cells[0].key
                self._deaths[key] += self._began.pop(key, None) is not None
                if self._deaths[key] > DEATHS:
                    yield from (_failed(cell, DIED, "") for cell in job.cells)
                else:
                    self._groups.appendleft(job.cells)
        self._alone = None if fit else self._alone or time.monotonic()
        if self._alone is None or time.monotonic() - self._alone < ALONE:
            return
        if not self._refused:
            raise _lost("all workers are gone")
        raise ClusterError(
            f"no worker has this noisysim (version {environment.version()}, source {self._options['source'][:12]}): "
            "install it on the workers; what has finished is kept, and the same call resumes the study"
        )

    def _tell_that_it_waits(self) -> None:
        """Warn once if there has been no worker for long."""
        if self._client.nthreads():
            self._alone = None
            return
        now = time.monotonic()
        self._alone = self._alone or now
        if now - self._alone >= ALONE and not self._said:
            self._said = True
            warnings.warn("the cluster has no worker: the study waits for one", RuntimeWarning, stacklevel=2)

    def _overdue(self) -> list[dict[str, Any]]:
        """The records of runs that have taken too long; their workers are restarted."""
        if self._timeout is None:
            return []
        now, workers = time.monotonic(), self._client.nthreads()
        # one whose worker is gone is handed to another, which tells when it begins
        late = {
            key: place
            for key, (began, place) in self._began.items()
            if now - began > self._timeout and place in workers
        }
        if not late:
            return []
        given_up = [future for future, job in self._under_way.items() if job.cells[0].key in late]
        cells = [self._under_way.pop(future).cells[0] for future in given_up]
        self._began = {key: place for key, place in self._began.items() if key not in late}
        self._client.cancel(given_up, force=True)
        self._restart(sorted(set(late.values())))
        return [_failed(cell, f"timed out: not done after {self._timeout:g} s", "") for cell in cells]

    def _restart(self, workers: list[str]) -> None:
        for address in workers:
            try:
                self._client.restart_workers([address], timeout=10, raise_for_error=False)
            except (ValueError, KeyError):  # it has no nanny, so that it cannot be replaced
                self._client.run(os._exit, 1, workers=[address], wait=False, on_error="ignore")


def _died(future: Any, cells: list[Cell]) -> list[dict[str, Any]]:
    """The records of runs that killed their workers."""
    error = future.exception() if future.status == "error" else future.status
    if type(error).__name__ != "KilledWorker":
        raise _lost(error)
    return [_failed(cell, DIED, str(error)) for cell in cells]


def _failed(cell: Cell, error: str, warned: str) -> dict[str, Any]:
    return {
        "key": cell.key, "status": "failed", "error": error, "warnings": warned, "values": {},
        "environment": {"backend": cell.plain["backend"]},
    }  # fmt: skip


def _lost(error: object) -> ClusterError:
    reason = " ".join(str(error).split())
    return ClusterError(
        f"the cluster was lost ({reason}): what has finished is kept, and the same call resumes the study"
    )


def _identity(value: Any) -> Any:
    """The value itself: submitted, so that the scheduler can send it again if a worker is lost."""
    return value
