"""What runs the loops: one pool of threads, BLAS held at one thread, and the fixed partition of the work.

How a product is cut decides its last bits, so the cut is a function of shapes alone and never of the thread count.
Two pools of threads fight for the cores (each spins while the other works), so BLAS gets none of its own.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common.types import Array
from noisysim.compute import blas
from noisysim.networks.tiling import BLOCK_ROWS as BLOCK_ROWS

if TYPE_CHECKING:
    from threadpoolctl import LibController

BLOCK_UNITS = 256
"""About how many rows of a weight gradient or a decorrelation matrix one task computes."""
SERIAL_FLOPS = 8e6
"""Below this much work, some 80 µs, waking another thread for it (30 to 50 µs) costs more than it saves."""

_local = threading.local()


def available_cores() -> int:
    """Cores this process may use (``NOISYSIM_THREADS`` overrides)."""
    chosen = os.environ.get("NOISYSIM_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quiet() -> np.errstate:
    """Without NumPy's warnings of overflow: where a run diverges, the run reports it."""
    return np.errstate(over="ignore", invalid="ignore")


class _Job:
    """Independent tasks that threads take one after the other, each when it is done with the one before.

    What hands them out are counters of the interpreter's own, which need no lock.
    """

    def __init__(self, tasks: Sequence[Callable[[], object]]) -> None:
        self.tasks = tasks
        self.turns, self.ends = itertools.count(), itertools.count(1)
        self.finished = threading.Lock()
        self.finished.acquire()
        self.errors: dict[int, BaseException] = {}

    def work(self) -> None:
        """Do tasks until none is left; the last to end one says that all are done."""
        count = len(self.tasks)
        while (turn := next(self.turns)) < count:
            try:
                if not self.errors:
                    self.tasks[turn]()
            except BaseException as error:  # also an interrupt: no task of a job that has ended may still write
                self.errors[turn] = error
            if next(self.ends) == count:
                self.finished.release()

    def wait(self) -> None:
        """Until the tasks of all threads are done; raises the first error in the order of tasks."""
        interrupted = None
        while True:
            try:
                self.finished.acquire()
                break
            except KeyboardInterrupt as error:
                interrupted = error
                self.errors[len(self.tasks)] = error
        if self.errors:
            raise interrupted or self.errors[min(self.errors)]


class _Helpers:
    """Threads that wait for jobs, besides the ones that give them and work on them as well."""

    def __init__(self, count: int) -> None:
        self.jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self.count = count
        for k in range(count):
            threading.Thread(target=self._serve, name=f"noisysim_{k}", daemon=True).start()

    def _serve(self) -> None:
        with _quiet():
            while True:
                self.jobs.get().work()

    def run(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Run the tasks in this thread and in those that are free: one call over wakes each, not one a task."""
        job = _Job(tasks)
        for _ in range(min(self.count, len(tasks) - 1)):
            self.jobs.put(job)
        job.work()
        job.wait()


class _Pool:
    """The process's helpers, for each number of threads asked for; made on first use, made anew in a forked child."""

    def __init__(self) -> None:
        self.threads = available_cores()
        self.helpers: dict[tuple[int, int], _Helpers] = {}

    def run(self, tasks: Sequence[Callable[[], object]], flops: float) -> None:
        with _quiet():
            if self.threads == 1 or len(tasks) <= 1 or flops < SERIAL_FLOPS:
                for task in tasks:
                    task()
                return
            key = (os.getpid(), self.threads)
            if key not in self.helpers:
                self.helpers[key] = _Helpers(self.threads - 1)
            self.helpers[key].run(tasks)


_pool = _Pool()


def run(tasks: Sequence[Callable[[], object]], flops: float) -> None:
    """Run independent tasks, on the pool if the work (floating-point operations) is worth it."""
    with single_blas():
        _pool.run(tasks, flops)


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    blas.load()  # what compiled products call, before it is counted
    return ThreadpoolController().select(user_api="blas")


def blas_libraries() -> list[dict[str, Any]]:
    """What is known of each BLAS library that is loaded (`threadpoolctl`)."""
    return list(_blas().info())


class _Hold:
    """Counts the users that need BLAS at one thread; the first takes its threads away, the last gives them back."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()
        self.held: list[tuple[Any, int]] = []

    def __enter__(self) -> None:
        with self.lock:
            if self.count == 0:  # each library by itself: threadpoolctl's limiter describes all of them first
                counts = [(library, library.num_threads) for library in _blas().lib_controllers]
                self.held = [(library, threads) for library, threads in counts if threads != 1]
                for library, _ in self.held:
                    _give(library, 1)
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0:
                for library, threads in self.held:
                    _give(library, threads)


def _give(library: LibController, threads: int) -> None:
    """Set the number of threads of a BLAS library, whoever set it last.

    Since threadpoolctl 3.8 OpenBLAS belongs to the thread that has set it, and others are ignored; but the last one to
    leave a hold need not be the first that came.
    """
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(threads)
    release(force=True)


_hold = _Hold()


def single_blas() -> _Hold:
    """Hold BLAS at one thread in a ``with`` block; nested uses, from any thread, cost next to nothing."""
    return _hold


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use `count` threads in the block (``None``: as many as there are cores). Results do not depend on it."""
    before, _pool.threads = _pool.threads, count or available_cores()
    try:
        with single_blas():
            yield
    finally:
        _pool.threads = before


def spans(total: int, block: int) -> list[tuple[int, int]]:
    """Cut ``range(total)`` into blocks of `block`, the last one shorter."""
    return [(first, min(first + block, total)) for first in range(0, total, block)]


def unit_spans(total: int) -> list[tuple[int, int]]:
    """Cut the rows of a matrix into an even number of blocks of nearly the same size, in multiples of 16."""
    if total < BLOCK_UNITS:
        return [(0, total)]
    count = 2 * -(-total // (2 * BLOCK_UNITS))
    return spans(total, 16 * -(-total // (16 * count)))


def scratch(name: str, size: int, dtype: type = np.float32) -> Array:
    """A 1-D work array of this thread, at least `size` long; not initialised."""
    arrays: dict[str, Array] = _local.__dict__.setdefault("arrays", {})
    array = arrays.get(name)
    if array is None or array.size < size:
        if array is not None:
            array.fill(0)  # it is freed: its memory must not tell of a chip's lines
        array = arrays[name] = np.empty(size, dtype)
        _local.__dict__.setdefault("sets", {}).clear()
    return array


def scratch_set(key: Hashable, make: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    """Several work arrays of this thread, cut as `make` does it; made once for each key."""
    sets: dict[Hashable, tuple[Any, ...]] = _local.__dict__.setdefault("sets", {})
    if key not in sets:
        arrays = make()  # may grow an array, which empties the sets
        _local.sets[key] = arrays
        return arrays
    return sets[key]
