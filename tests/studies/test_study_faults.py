"""Faults done on purpose to the files of studies: full disks, damaged bytes, sweeps that are killed, two at once.

Each is done at every place, or at as many as take some seconds; ``NOISYSIM_FAULTS=500``, with pytest on this file,
does 500 times as many of the random ones.
"""

import contextlib
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import noisysim
from noisysim.cli.studies import tune
from noisysim.common import hdf5, locking, writing
from noisysim.studies import asking, engine, journal, keeping, table

pytest.importorskip("distributed")
pytest.importorskip("xarray")
SMALL = {"task": "student-teacher:n_in=5,n_out=3,n_train=24,n_test=6", "layers": [4], "epochs": 1, "learner": "bp"}
SEEDS = range(4)
TIMES = int(os.environ.get("NOISYSIM_FAULTS", "1"))
OPERATIONS = ("open", "write", "fsync", "replace", "unlink", "ftruncate")


def record(key, accuracy):
    """What a worker says of a run."""
    return {
        "key": key, "status": "finished", "error": "", "warnings": "", "environment": {"cpu": "a"},
        "values": {"test_accuracy": accuracy, "test_accuracy_by_epoch": [accuracy / 2, accuracy], "passes": 7},
    }  # fmt: skip


def accuracy(seed):
    return 1 / (2 + seed)


@pytest.fixture
def instead_of_work(monkeypatch):
    """A sweep whose runs cost nothing: a list of the seeds that were done, in order."""
    done = []

    def pretend(todo, asked, keeper, *_):
        for cell in todo:
            done.append(cell.plain["seed"])
            keeper.put(record(cell.key, accuracy(cell.plain["seed"])))

    monkeypatch.setattr(engine, "_execute", pretend)
    monkeypatch.setattr(keeping, "WRITE_SECONDS", -1.0)  # the file is written after every second run
    return done


def sweep(path, **options):
    return noisysim.sweep(**SMALL, seed=SEEDS, out=path, **options)


def check_line(text):
    assert "\n" not in text
    assert "Traceback" not in text


def check_good(study):
    """What is there is right, what is not is missing; how much is there."""
    here = study.content.texts["status"] == "finished"
    assert set(study.content.texts["status"]) <= {"finished", "missing"}
    if here.any():
        right = np.array([accuracy(seed) for seed in study.axes["seed"]])
        np.testing.assert_array_equal(study.content.columns["test_accuracy"][here], right[here])
    return int(here.sum())


# --- a disk that fails ----------------------------------------------------------------------------------------------


class Disk:
    """Stands for `os` where studies are written: the operation of number `at` fails, or all from there on."""

    def __init__(self, at=-1, error=0, on=False):
        self.done, self._at, self._error, self._on = 0, at, error, on

    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in OPERATIONS:
            return function

        def operation(*arguments, **keywords):
            number, self.done = self.done, self.done + 1
            if number == self._at or (self._on and number > self._at >= 0):
                if name == "write":
                    function(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])  # a part comes through
                raise OSError(self._error, os.strerror(self._error))
            return None if name == "fsync" else function(*arguments, **keywords)

        return operation

    @contextlib.contextmanager
    def in_use(self):
        writing.os = locking.os = journal.os = self
        try:
            yield self
        finally:
            writing.os = locking.os = journal.os = os


def keep_all(path):
    """What a sweep does with its files, its runs costing nothing: the seeds that were done."""
    done = []
    found = a_table(SEEDS)
    with keeping.Keeper(found, path, overwrite=False, retry=False) as keeper:
        for index in found.missing:
            done.append(int(index))
            keeper.put(record(f"k{index}", accuracy(int(index))))
    assert check_good(noisysim.Study(found, path)) == len(SEEDS)
    return done


def a_table(seeds):
    return table.Table(
        {"seed": seeds}, {"seed": list(seeds)}, [f"k{s}" for s in seeds], {"a": 1}, [{"seed": s} for s in seeds]
    )


def operations(path):
    with Disk().in_use() as disk:
        keep_all(path)
    return disk.done


FAULTS = [(errno.ENOSPC, False), (errno.EIO, True), *[(errno.EIO, False), (errno.ENOSPC, True)] * (TIMES > 1)]


@pytest.mark.parametrize(("error", "on"), FAULTS)
def test_a_disk_that_fails_at_any_operation_costs_no_run_that_was_kept(error, on, tmp_path, monkeypatch):
    outcomes = Counter()
    runs, append = [], journal.Journal.append  # the clock: the file is written after every second run
    monkeypatch.setattr(keeping, "time", SimpleNamespace(monotonic=lambda: len(runs)))
    monkeypatch.setattr(journal.Journal, "append", lambda self, one: (runs.append(1), append(self, one)))
    monkeypatch.setattr(keeping, "WRITE_SECONDS", 1.5)
    total = operations(tmp_path / "count.h5")
    assert total > 40
    for at in range(total):
        folder = tmp_path / f"{at}"
        folder.mkdir()
        path = folder / "study.h5"
        with warnings.catch_warnings(record=True) as said, Disk(at, error, on).in_use():
            warnings.simplefilter("always")
            try:
                assert keep_all(path) == list(SEEDS)
                outcome = "finished"
            except OSError as failed:
                outcome = str(failed)
        for one in said:
            check_line(str(one.message))
        assert len(said) <= 1
        if outcome != "finished":
            check_line(outcome)
            assert str(folder) in outcome
        kind = "kept" if "same call resumes" in outcome else "lost" if "runs are lost" in outcome else "not begun"
        outcomes[outcome if outcome == "finished" else kind] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a write that failed is no damage
            done = keep_all(path)
        if outcome == "finished" or kind == "kept":
            assert done == []
        assert check_good(noisysim.load(path)) == len(SEEDS)
        assert not journal.beside(path).exists()
    assert outcomes["not begun"]
    assert outcomes["finished"] or on
    assert outcomes["lost"] or not on


# --- what is damaged ------------------------------------------------------------------------------------------------


def kept(path, seeds=SEEDS, old=False):
    """A study whose file has no run and whose journal has all; keys, and the journal's bytes."""
    table.write(path, a_table(seeds))
    lines = journal.Journal(path)
    for seed in seeds:
        lines.append(record(f"k{seed}", accuracy(seed)))
    lines.close()
    if old:
        content = b"".join(json.dumps(record(f"k{seed}", accuracy(seed))).encode() + b"\n" for seed in seeds)
        journal.beside(path).write_bytes(content)
    return journal.beside(path).read_bytes()


def load(path):
    """A study, and what was warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        study = noisysim.load(path)
        study.summary()
    for one in said:
        check_line(str(one.message))
    return study, [str(one.message) for one in said]


@pytest.mark.parametrize("old", [False, True], ids=["checksums", "older"])
def test_a_journal_cut_anywhere_has_every_whole_record(old, tmp_path):
    path = tmp_path / "study.h5"
    content = kept(path, old=old)
    for length in range(0, len(content), 1 + len(content) // (150 * TIMES)):
        journal.beside(path).write_bytes(content[:length])
        study, said = load(path)
        whole = content[:length].count(b"\n") + (not old and content[length : length + 1] == b"\n")
        assert check_good(study) == whole
        assert not said  # a crash leaves such a journal


def test_damage_to_a_journal_costs_no_other_record(tmp_path):
    """Blocks of zeros, bytes that changed, pieces that are gone: those records that are whole are there."""
    path = tmp_path / "study.h5"
    content, chance = kept(path), random.Random(1)
    ends = np.cumsum([len(line) + 1 for line in content.split(b"\n")[:-1]])
    for _ in range(150 * TIMES):
        data, first, length = bytearray(content), chance.randrange(len(content)), chance.choice([1, 1, 2, 16, 200, 600])
        kind = chance.choice(["zeros", "noise", "gone", "newlines"])
        last = min(first + length, len(content))
        new = {"zeros": bytes(last - first), "noise": chance.randbytes(last - first), "gone": b""}
        data[first:last] = new.get(kind, b"\n" * (last - first))
        journal.beside(path).write_bytes(bytes(data))
        study, said = load(path)
        hit = {k for k in range(len(ends)) if first < ends[k] - 1 and last > (ends[k - 1] if k else 0)}
        assert check_good(study) >= len(ends) - len(hit)
        assert all(study.content.texts["status"][k] == "finished" for k in set(range(len(ends))) - hit)
        assert len(said) <= 1
        if said:
            assert f"{journal.beside(path)} is damaged in line" in said[0]


@pytest.mark.parametrize("old", [False, True], ids=["checksums", "older"])
def test_what_is_damaged_is_named_set_aside_and_run_again(old, tmp_path, instead_of_work):
    path = tmp_path / "study.h5"
    sweep(path)
    keys = noisysim.load(path).content.keys
    empty = noisysim.load(path).content
    for index in range(len(keys)):
        empty.forget(index)
    table.write(path, empty)
    lines = journal.Journal(path)
    for seed, key in enumerate(keys):
        lines.append(record(key, accuracy(seed)))
    lines.close()
    content = journal.beside(path).read_bytes().split(b"\n")
    if old:
        content = [line.partition(b" ")[2].partition(b" ")[2] for line in content]
    content[1], content[3] = bytes(len(content[1])), content[3][:40]
    journal.beside(path).write_bytes(b"\n".join(content))
    instead_of_work.clear()
    with pytest.warns(RuntimeWarning, match="journal is damaged in lines 2, 4") as said:
        assert check_good(noisysim.load(path)) == 2
    with pytest.warns(
        RuntimeWarning, match=r"journal is damaged in lines 2, 4: set aside in .*journal\.damaged"
    ) as said:
        assert check_good(sweep(path)) == len(SEEDS)
    assert len(said) == 1
    assert instead_of_work == [1, 3]
    aside = journal.beside(path).with_name("study.h5.journal.damaged")
    assert aside.read_bytes() == content[1] + b"\n" + content[3] + b"\n"
    assert not journal.beside(path).exists()
    assert sweep(path).counts["finished"] == len(SEEDS)


def test_a_study_whose_file_is_gone_takes_up_its_journal(tmp_path, instead_of_work):
    path = tmp_path / "study.h5"
    sweep(path)
    keys = noisysim.load(path).content.keys
    lines = journal.Journal(path)
    for seed in (0, 2):
        lines.append(record(keys[seed], accuracy(seed)))
    lines.close()
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="is not a whole noisysim study"):
        sweep(path)
    path.unlink()
    with pytest.raises(FileExistsError, match="1 runs that this sweep does not ask for"):
        noisysim.sweep(**SMALL, seed=[0], out=path)
    instead_of_work.clear()
    assert check_good(sweep(path)) == len(SEEDS)
    assert instead_of_work == [1, 3]


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "older"])
def test_a_study_file_cut_or_damaged_anywhere_is_refused_in_one_line(sealed, tmp_path):
    """Files of older versions have no seal: of them this holds if they are cut."""
    path = tmp_path / "study.h5"
    found = a_table([0, 1])
    for seed in (0, 1):
        found.put(record(f"k{seed}", accuracy(seed)))
    table.write(path, found)
    content, chance = path.read_bytes(), random.Random(2)
    if not sealed:
        content = content[: -hdf5._SEAL_LENGTH]
    for number in range(120 * TIMES):
        data, first = bytearray(content), chance.randrange(len(content) - hdf5._SEAL_LENGTH)
        if number % 3 == 0 or not sealed:
            del data[first:]
        else:
            length = chance.choice([1, 8, 512])
            data[first : first + length] = bytes(byte ^ 0x55 for byte in data[first : first + length])
        path.write_bytes(bytes(data))
        with pytest.raises((ValueError, OSError), match=re.escape(str(path))) as failed:
            noisysim.load(path)
        check_line(str(failed.value))


# --- processes ------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys
import noisysim

noisysim.sweep("student-teacher:n_in=5,n_out=3,n_train=24,n_test=6", layers=[4], epochs=400, learner="bp",
               learning_rate=[1e-3 * (1 + k / 100) for k in range(8)], seed=[0], workers=2, out=sys.argv[1],
               progress=False)
"""


STUDY = """
task = "student-teacher:n_in=5,n_out=3,n_train=24,n_test=6"
layers = [4]
epochs = 400
learner = "bp"
learning_rate = [1e-3, 1.1e-3, 1.2e-3, 1.3e-3, 1.4e-3, 1.5e-3, 1.6e-3, 1.7e-3]
"""


def script(path):
    """A process that sweeps."""
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], stderr=subprocess.PIPE, text=True)


def command(path):
    """The command line that does."""
    study = path.with_suffix(".toml")
    study.write_text(STUDY)
    words = [sys.executable, "-m", "noisysim", "sweep", str(study), "--workers", "2", "--no-progress"]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def descendants(number):
    """The numbers of the processes that a process has started, and of those that these have."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (place / "stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z":
                parents.setdefault(int(parent), []).append(int(place.name))
    found, todo = [], [number]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def workers_of(number):
    """Of its descendants those that are processes of `multiprocessing`, as workers are: others come and go."""
    found = []
    for one in descendants(number):
        with contextlib.suppress(OSError):
            if b"multiprocessing.spawn" in Path(f"/proc/{one}/cmdline").read_bytes():
                found.append(one)
    return found


def alive(numbers):
    found = []
    for number in numbers:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0] != "Z":
                found.append(number)
    return found


def gone(numbers, seconds=5):
    end = time.monotonic() + seconds
    while alive(numbers) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(numbers)


def when(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)  # seldom: looking through processes and files takes from those who are waited for


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")


@needs_proc
@pytest.mark.parametrize("delay", [None, 0.0, *[None, 0.3] * (TIMES - 1)])
def test_workers_are_gone_with_their_sweep_even_while_they_register(delay, tmp_path):
    """Killed once a run is kept, or as soon as the first worker process is there: within 5 s none is left."""
    path = tmp_path / "study.h5"
    process = script(path)
    if delay is None:
        when(lambda: len(journal.read(path)[0]) or (path.exists() and noisysim.load(path).counts["finished"]))
    else:
        when(lambda: workers_of(process.pid))
        time.sleep(delay)
    assert workers_of(process.pid)
    left = descendants(process.pid)
    process.kill()
    process.communicate()
    assert gone(left)
    if path.exists():
        assert noisysim.load(path).counts["failed"] == 0


SIGNALS = [(command, signal.SIGTERM), *[(script, signal.SIGHUP), (script, signal.SIGTERM)] * (TIMES > 1)]


@needs_proc
@pytest.mark.parametrize(("start", "number"), SIGNALS)
def test_a_signal_keeps_what_is_done_and_ends_all_processes(start, number, tmp_path):
    path = tmp_path / "study.h5"
    process = start(path)
    when(lambda: len(journal.read(path)[0]))
    workers = descendants(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (128 + number if start is command else -number)
    assert gone(workers)
    assert errors == ""
    counts = noisysim.load(path).counts
    assert counts["finished"] >= 1
    assert counts["finished"] + counts["missing"] == 8
    assert {one for one in os.listdir(tmp_path) if not one.endswith(".toml")} == {"study.h5"}


def test_two_sweeps_on_one_file(tmp_path, instead_of_work):
    path = tmp_path / "study.h5"
    with writing.hold(path), pytest.raises(BlockingIOError, match=f"process {os.getpid()} on .* is writing it"):
        sweep(path)
    assert check_good(sweep(path)) == len(SEEDS)


def test_a_file_system_without_locks_is_one_warning_and_the_study_goes_on(tmp_path, monkeypatch, instead_of_work):
    def none(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locking.fcntl, "flock", none)
    with pytest.warns(RuntimeWarning, match="file system without locks") as said:
        assert check_good(sweep(tmp_path / "study.h5")) == len(SEEDS)
    assert len(said) == 1


def test_a_study_is_not_written_over_what_it_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("weights.npz", **{"0.weight": np.ones((1, 2)), "1.weight": np.ones((1, 1))})
    Path("data.csv").write_text("a,b,y\n" + "".join(f"{n},{n % 3},{n % 2}\n" for n in range(30)))
    Path("study.toml").write_text("task = ['data.csv', 'digits']\nlayers = [1]\ninit = 'weights.npz'\nseed = [0, 1]\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name, said in (
        ("data.csv", "the task's data"), ("weights.npz", "the file of initial weights"),
        ("study.toml", "the study file"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"it is {said} itself; give another path"):
            asking.sweep(Path("study.toml"), out=Path(name), overwrite=True)
    with pytest.raises(ValueError, match="it is the study file itself; give another path"):
        tune(Path("study.toml"), out=Path("study.toml"), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
