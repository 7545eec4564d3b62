"""Compiling ahead: other processes compile, on other cores, what this one is going to call, into the same cache.

A chip says beforehand which functions it will call, and for which types (`expect`). When this process has to compile
something, and more than a few of these are not in the cache, it starts helpers. A helper compiles what is needed last,
then what is needed before that, while this process compiles what it arrives at. Where it arrives at a function that a
helper is at, it waits for that. What a helper does not deliver, as it died, hangs or cannot write, is compiled here: a
helper makes nothing wrong, only late.

Helpers are started by ``subprocess``, get their work over a pipe and end with it, or with this process.
``NOISYSIM_COMPILE_AHEAD=0`` switches them off.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import pickle
import queue
import select
import struct
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from noisysim.compute.jit import cache
from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Compiled

SWITCH = "NOISYSIM_COMPILE_AHEAD"
FEW = 6
"""Fewer functions than this are compiled before a helper has imported what it needs."""
MOST = 2
"""Helpers at once: each compiles anew what the functions of others call as well."""
PATIENCE = 60.0
"""Seconds after which a helper that does not deliver a function counts as one that hangs."""
LAST = 32
"""Of how many passes and cells it is kept what they said, as long as nothing is missing."""
Key: TypeAlias = tuple[str, tuple[Any, ...]]
"""The name of a function's machine code, and the types that it is compiled for."""
_LENGTH = struct.Struct("!I")
_START = "import sys; sys.path[:] = sys.argv[1:]; from noisysim.compute.jit import ahead; ahead.serve()"


class Job(NamedTuple):
    """A function, and the types that it is compiled for.

    Attributes
    ----------
    function : compiled function
    types : tuple
    made : (callable, tuple) or None
        What makes it in another process, a function of the package and arguments that can be pickled; None for a
        function of a module, which is found by its name.
    """

    function: Compiled
    types: tuple[Any, ...]
    made: tuple[Any, tuple[Any, ...]] | None = None

    @property
    def key(self) -> Key:
        """What tells jobs apart."""
        return self.function._cache.name, self.types

    @property
    def found(self) -> bool:
        """Whether it is compiled, here or in the cache."""
        function = self.function
        return self.types in function.overloads or function._cache.holds(self.types, function.targetctx)

    def packed(self) -> bytes:
        """For a helper: how it gets the function, and the types."""
        plain = self.function.py_func
        content = pickle.dumps((self.made or (_of_module, (plain.__module__, plain.__name__)), self.types))
        return _LENGTH.pack(len(content)) + content


def _of_module(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


Expected: TypeAlias = Callable[[], Iterable[Job]]


# --- in this process ------------------------------------------------------------------------------------------------


def expect(jobs: Expected, cores: int) -> None:
    """Say which functions will be called.

    Parameters
    ----------
    jobs : bound method
        Gives them, in the order of need. It is asked if something has to be compiled, and does not keep its object.
    cores : int
        How many there are to compile them on.
    """
    if JIT and cores > 1 and os.environ.get(SWITCH) != "0" and _has_interpreter():
        _jobs.expect(weakref.WeakMethod(jobs), min(cores - 1, MOST))


def _has_interpreter() -> bool:
    """Whether there is one to start: in a frozen or embedding program the executable is that program."""
    return "python" in os.path.basename(sys.executable or "") and not hasattr(sys, "frozen")


@contextlib.contextmanager
def announced(told: Callable[[], object]) -> Iterator[None]:
    """Meanwhile call `told` once, when more than a few functions are missing: seconds pass until they are compiled."""
    _jobs.told, before = told, _jobs.told
    try:
        yield
    finally:
        _jobs.told = before


def delivered(name: str, types: tuple[Any, ...]) -> bool:
    """Before a function is compiled here: whether a helper was at it, which is now done, and in the cache, or lost."""
    return _jobs.delivered((name, types))


class _Jobs:
    """What is expected and not compiled yet, in the order of need, and who is at what."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.said: deque[Callable[[], Expected | None]] = deque(maxlen=LAST)
        self.waiting: dict[Key, Job] = {}
        self.at_work: dict[Key, _Helper] = {}
        self.helpers: list[_Helper] = []
        self.most = 0  # helpers that there may be
        self.failed = False  # a helper did not do what it should: there is no other
        self.told: Callable[[], object] | None = None

    def expect(self, jobs: Callable[[], Expected | None], most: int) -> None:
        with self.changed:
            self.most = most
            self.said.append(jobs)

    def start(self) -> None:
        """Look for what is expected in the cache, and start helpers where there is enough for them to do."""
        while self.said:
            with contextlib.suppress(Exception):  # of hooks: whoever needs them meets it
                if (jobs := self.said.popleft()()) is not None:
                    self.waiting |= {job.key: job for job in jobs() if not job.found}
        if self.helpers or self.failed or len(self.waiting) < FEW:
            return
        told, self.told = self.told, None
        if told is not None:
            told()
        place = cache.folder()
        if place is not None and os.access(place, os.W_OK):
            self.helpers = [_Helper(self) for _ in range(self.most)]
            for helper in self.helpers:
                helper.start()

    def take(self, helper: _Helper) -> Job | None:
        """A helper's next job: what is needed last."""
        with self.changed:
            if not self.waiting:
                self.helpers.remove(helper)
                return None
            key, job = self.waiting.popitem()
            self.at_work[key] = helper
            return job

    def leave(self, job: Job, failed: bool = False) -> None:
        """A helper is done with a job, or failed at it."""
        with self.changed:
            helper = self.at_work.pop(job.key)
            if failed:
                self.failed = True
                self.helpers.remove(helper)
            self.changed.notify_all()

    def delivered(self, key: Key) -> bool:
        with self.changed:
            self.start()
            self.waiting.pop(key, None)
            if key not in self.at_work:
                return False
            if not self.changed.wait_for(lambda: key not in self.at_work, PATIENCE):
                self.at_work[key].kill()
            return True


class _Helper(threading.Thread):
    """The thread that starts a process which compiles, and hands it one job after the other."""

    def __init__(self, jobs: _Jobs):
        super().__init__(name="noisysim_ahead", daemon=True)
        self.jobs = jobs
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        done: bool | None = None
        while (job := self.jobs.take(self)) is not None:
            done = False
            with contextlib.suppress(Exception):  # it cannot be started, or has ended; or the job cannot be pickled
                done = self.compiled(job)
            self.jobs.leave(job, failed=not done)
            if not done:
                break
        if self.process is not None:
            self.process.kill()
            self.process.communicate()  # closes pipes, and leaves no process that waits to be collected

    def compiled(self, job: Job) -> bool:
        """Have a job done by the process; whether it was."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _START, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env={**os.environ, SWITCH: "0"},
            )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(job.packed())
        self.process.stdin.flush()
        return bool(self.process.stdout.read(1))

    def kill(self) -> None:
        """End the process, and with it the thread."""
        if self.process is not None:
            self.process.kill()


_jobs = _Jobs()


def _forget() -> None:
    """In a forked child: its parent's helpers are not its own."""
    global _jobs
    _jobs = _Jobs()


@atexit.register
def _end() -> None:
    """No helper outlives this process, nor waits to be collected."""
    for helper in list(_jobs.helpers):
        helper.kill()
        helper.join(1.0)


os.register_at_fork(after_in_child=_forget)


# --- in a helper ----------------------------------------------------------------------------------------------------


def serve() -> None:
    """Compile the functions that are asked for on standard input, and answer each with a byte; ends with the parent."""
    answers = os.dup(1)
    os.dup2(2, 1)  # where what else writes there goes, which nobody reads
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    from noisysim.common.garbage import uncollected  # which no machine code depends on: see `sources`

    threading.Thread(target=_receive, args=(jobs, os.getppid()), daemon=True).start()
    while True:
        job = jobs.get()
        with contextlib.suppress(Exception), uncollected():  # the parent finds nothing, and compiles it itself
            (make, arguments), types = pickle.loads(job)
            make(*arguments).compile(types)
        os.write(answers, b".")


def _receive(jobs: queue.SimpleQueue[bytes], parent: int) -> None:
    """Pass jobs on; end this process when the parent has ended, or closed its end."""
    with open(0, "rb") as asked:
        while True:
            if not select.select([asked], [], [], 1.0)[0]:
                if os.getppid() == parent:
                    continue
                os._exit(0)  # a child that the parent forked may hold its end open
            length = asked.read(_LENGTH.size)
            if not length:
                os._exit(0)
            jobs.put(asked.read(*_LENGTH.unpack(length)))
