"""Processes that are killed or get a signal, and several that write one file."""

import contextlib
import functools
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import noisysim
from noisysim.common import writing
from noisysim.runs import storage

from . import GIVEN, bits, check_folder, check_line, check_survived, make_foreign, same, undisturbed

SIGNALS = {"kill": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP, "SIGXCPU": signal.SIGXCPU,
           "SIGINT": signal.SIGINT}  # fmt: skip


def child(work):
    """Do something in a process of its own, which ends without a trace; its number."""
    number = os.fork()
    if number:
        return number
    status = 99
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1), os.dup2(nowhere.fileno(), 2)
        status = work() or 0
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def ended(number):
    """How a process ended: its exit status, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def start(path, how, **changed):
    """A run, or a resumed one, in a process of its own, with a checkpoint after every update."""
    given = {**GIVEN, **changed}

    def work():
        writing.os.fsync = lambda number: None  # kills, not power cuts: the disk may take its time
        if how == "resume":
            noisysim.resume(path, threads=1, progress=False, checkpoint_seconds=0)
        else:
            noisysim.run(**given, out=path, overwrite=True, checkpoint_seconds=0)

    return child(work)


@functools.cache
def duration():
    """About the seconds that a run takes in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        undisturbed()
        began = time.monotonic()
        assert ended(start(Path(folder, "run.h5"), "run")) == 0
        return time.monotonic() - began


def cut_short(folder, chance, number):
    """A run that gets a signal at a random moment, is resumed and gets it again, and is resumed to its end.

    Returns
    -------
    int
        How often the signal came before the end.
    """
    folder, came = Path(folder), 0
    path = folder / "run.h5"
    make_foreign(folder)
    for _ in range(2):
        process = start(path, "resume" if path.exists() else "run")
        time.sleep(chance.uniform(0, duration()))
        os.kill(process, number)
        status = ended(process)
        came += status != 0
        # before it listens a signal ends it at once, and Ctrl-C raises
        assert status in (0, -number, *((130,) if number == signal.SIGINT else ())), status
        if path.exists():
            storage.read(path)
    check_survived(folder, path)
    return came


def rivals(folder, chance):
    """Two runs given one path at about the same time: one has it, the other is told so; how many were told."""
    folder = Path(folder)
    path = folder / "run.h5"
    make_foreign(folder)

    def work(seed):
        try:
            noisysim.run(**{**GIVEN, "seed": seed}, out=path, overwrite=True, checkpoint_seconds=0)
        except BlockingIOError as error:
            check_line(str(error))
            return 3 if f"cannot write '{path}': process " in str(error) else 4

    processes = []
    for seed in (0, 1):
        processes.append(child(lambda seed=seed: work(seed)))
        time.sleep(chance.uniform(0, duration() / 2))
    statuses = [ended(one) for one in processes]
    assert set(statuses) <= {0, 3}, statuses
    assert 0 in statuses
    assert any(same(bits(path), undisturbed(seed=seed)) for seed, s in enumerate(statuses) if s == 0)
    check_folder(folder, path)
    return statuses.count(3)


def crowd(folder, chance, seconds=1.0):
    """Processes that count in one file, each time holding it, and are killed in the middle: no count is lost.

    Returns
    -------
    int
        How often the path was held.
    """
    path, log = Path(folder, "count"), Path(folder, "log")
    path.write_bytes(b"0")
    log.touch()

    def work():
        writing.os.fsync = lambda number: None
        while True:
            with contextlib.suppress(BlockingIOError), writing.hold(path) as held:
                count = int(path.read_bytes()) + 1
                held.write(str(count).encode())
                with open(log, "ab", buffering=0) as lines:
                    lines.write(f"{count}\n".encode())

    end, killed = time.monotonic() + seconds, 0
    processes = [child(work) for _ in range(3)]
    while time.monotonic() < end:
        time.sleep(chance.uniform(0, 0.05))
        victim = processes.pop(chance.randrange(3))
        os.kill(victim, signal.SIGKILL)
        ended(victim)
        killed += 1
        processes.append(child(work))
    for one in processes:
        os.kill(one, signal.SIGKILL)
        ended(one)
    # one killed between its write and its line counted without saying so; no count is said twice
    said = [int(line) for line in log.read_bytes().split()]
    assert len(set(said)) == len(said), "two held the path at once"
    assert said == sorted(said)
    assert int(path.read_bytes()) - len(said) <= killed + 3
    writing.replace(path, b"0")
    assert sorted(os.listdir(folder)) == ["count", "log"]
    return len(said)
