"""What becomes of result files when disks fail, processes end and files come from anybody (``support/faults``)."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

import noisysim
from noisysim.common import hdf5, writing
from noisysim.runs import signals, storage

import faults
from faults import disk, files, processes

PLACE = Path(faults.__file__).parent


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A result file that may be resumed, as it was written and without its seal."""
    folder = tmp_path_factory.mktemp("sample")
    for name, content in zip(("sealed.h5", "plain.h5"), files.sample(), strict=True):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def path(sample, tmp_path):
    return Path(shutil.copy(sample / "plain.h5", tmp_path / "run.h5"))


# --- disks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [5, pytest.param(1, marks=pytest.mark.thorough)])
def test_whichever_operation_fails_a_whole_file_is_left_and_nothing_else(each, tmp_path):
    """Each fifth of a run's operations on files in turn, with one of the errors, alone or with all that follow."""
    count, found = disk.operations(30), []
    assert count > 30
    for k in range(0, count, each):
        folder = tmp_path / str(k)
        folder.mkdir()
        found.append(disk.run(disk.Disk(k, disk.ERRORS[k % 3], on=k % 2 == 1), folder, 30))
    assert {"finished", "failed", "failed, the old file is there"} == set(found)


def test_a_disk_may_take_a_part_of_what_it_is_given(tmp_path):
    assert disk.run(disk.Disk(short=True), tmp_path, 30) == "finished"


LIMITED = """
import resource, sys, noisysim
given = dict(task="student-teacher:n_in=6,n_train=40,n_test=10", layers=[5], epochs=2, progress=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
noisysim.run(**given, out=sys.argv[1])
"""


def test_a_limit_on_the_size_of_files_is_one_error_and_no_crash(tmp_path):
    target = tmp_path / "run.h5"
    done = subprocess.run([sys.executable, "-c", LIMITED, target, "20000"], capture_output=True, text=True)
    assert done.returncode == 1, done
    assert done.stderr.splitlines()[-1] == f"OSError: cannot write '{target}': File too large"
    assert os.listdir(tmp_path) == []


# --- one writer -----------------------------------------------------------------------------------------------------


def test_a_path_is_held_by_one(tmp_path):
    target = tmp_path / "run.h5"
    with writing.hold(target):
        said = rf"^cannot write '{target}': process {os.getpid()} on \S+ is writing it$"
        with pytest.raises(BlockingIOError, match=said):
            noisysim.run(**faults.GIVEN, out=target)
        (tmp_path / "link.h5").symlink_to(target)
        with pytest.raises(BlockingIOError, match=r"link\.h5"):
            writing.hold(tmp_path / "link.h5")
        writing.hold(tmp_path / "run1.h5").release()
    noisysim.run(**faults.GIVEN, out=target)
    assert sorted(os.listdir(tmp_path)) == ["link.h5", "run.h5"]


def test_a_lock_does_not_outlive_its_process_not_even_in_what_it_forked(tmp_path):
    (folder := tmp_path / "runs").mkdir()
    target, held = folder / "run.h5", tmp_path / "held"

    def work():
        with writing.hold(target):
            if not os.fork():  # here it is no longer held
                writing.replace(held, str(os.getpid()).encode())
            time.sleep(60)

    holder = processes.child(work)
    while not held.exists():
        time.sleep(0.01)
    with pytest.raises(BlockingIOError):
        writing.hold(target)
    os.kill(holder, signal.SIGKILL)
    processes.ended(holder)
    try:
        writing.replace(target, b"mine")
    finally:
        os.kill(int(held.read_text()), signal.SIGKILL)
    assert os.listdir(folder) == ["run.h5"]


def test_without_locks_a_warning_is_given_and_drafts_of_others_are_left(tmp_path):
    draft = tmp_path / ".run.h5.4242.part"
    draft.touch()
    failing = disk.Disk(0, errno.ENOLCK, on=True)
    failing._failing, failing._at = "flock", None
    with failing.in_use(), pytest.warns(RuntimeWarning, match="on a file system without locks"):
        writing.replace(tmp_path / "run.h5", b"mine")
    assert sorted(os.listdir(tmp_path)) == [".run.h5.4242.part", "run.h5"]
    writing.replace(tmp_path / "run.h5", b"mine")
    assert os.listdir(tmp_path) == ["run.h5"]


NAMES = ["r[1].h5", "a**b.h5", "run?.h5", ".hidden.h5", "with space\n.h5", "ö" * 100, "-o.h5"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_no_patterns(name, tmp_path):
    own, others = tmp_path / f".{name}.4242.part", tmp_path / ".run.h5.b.4242.part"
    own.touch(), others.touch(), (tmp_path / ".r1.h5.4242.part").touch()
    writing.replace(tmp_path / name, b"x")
    assert sorted(os.listdir(tmp_path)) == sorted([name, ".r1.h5.4242.part", ".run.h5.b.4242.part"])


def test_a_name_whose_draft_would_be_too_long_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(noisysim.runs.api, "Training", None)
    with pytest.raises(OSError, match=r"cannot write '.*': File name too long"):
        noisysim.run(**faults.GIVEN, out=tmp_path / ("x" * 250))
    assert os.listdir(tmp_path) == []


def test_processes_that_write_one_file_and_are_killed_lose_no_write(tmp_path):
    assert processes.crowd(tmp_path, random.Random(0), seconds=0.7) > 5


def test_of_two_runs_on_one_path_one_is_told(tmp_path):
    refused = 0
    for seed in range(2):
        (folder := tmp_path / str(seed)).mkdir()
        refused += processes.rivals(folder, random.Random(seed))
    assert refused <= 2


# --- kills and signals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", processes.SIGNALS)
def test_a_run_that_is_cut_short_at_any_moment_is_resumed_to_the_same_bits(name, tmp_path):
    for seed in range(3 if name == "kill" else 1):
        (folder := tmp_path / str(seed)).mkdir()
        processes.cut_short(folder, random.Random(f"{name}{seed}"), processes.SIGNALS[name])


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None], ids=["nohup", "own"])
def test_handlers_of_the_program_stay(handler):
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with signals.listening() as stop:
            assert signal.getsignal(signal.SIGHUP) is handler
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.reason == ""
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_interrupts_at_once():
    with signals.listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "interrupted"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("90s", 90),
        ("11h50m", 42600),
        ("1d12h", 129600),
        ("1.5h", 5400),
        ("90", 90),
        ("2min", 120),
        (0.5, 0.5),
        (None, None),
    ],
)
def test_time_limits_are_read(until, seconds):
    assert signals.seconds(until) == seconds


# --- files from anybody ---------------------------------------------------------------------------------------------


CIRCLES = 1.0
"""Seconds of the processor after which HDF5 is taken to go round in circles."""


def read_in_a_child(contents, path, check):
    """Read many files in a process of its own, which must not crash; returns how many HDF5 did not come back from.

    Reading one takes milliseconds of the processor, and no more than `CIRCLES`; no handler could run while HDF5 does.
    """
    done, hung = path.with_suffix(".done"), 0
    done.write_text("0")

    def work():
        for k in range(int(done.read_text()), len(contents)):
            done.write_text(str(k + 1))
            path.write_bytes(contents[k])
            signal.setitimer(signal.ITIMER_PROF, CIRCLES)
            signal.alarm(10)
            check(contents[k])

    while (status := processes.ended(processes.child(work))) in (-signal.SIGALRM, -signal.SIGPROF):
        hung += 1
    assert status == 0
    return hung


def refused(path):
    """The one line with which a file is refused; "" if it is not."""
    try:
        storage.read(path)
    except ValueError as error:
        faults.check_line(str(error))
        return str(error)
    return ""


def test_a_file_cut_at_any_length_is_refused(tmp_path):
    sealed, plain = files.sample()
    cut = [sealed[:n] for n in files.lengths(sealed)]
    assert len(cut) > 200
    target = tmp_path / "cut.h5"

    def check(content):
        whole = len(plain) <= len(content) < len(plain) + len(hdf5._MARK)  # but for the seal
        assert bool(refused(target)) != whole, len(content)

    assert read_in_a_child(cut, target, check) == 0
    for length in (0, 100, len(plain) // 2):
        target.write_bytes(sealed[:length])
        assert files.outcomes(target) == {"one line": 5}


def test_a_damaged_file_is_refused_by_its_seal(tmp_path, sample):
    sealed, target, whole = files.sample()[0], tmp_path / "damaged.h5", faults.bits(sample / "sealed.h5")

    def check(content):
        assert "it was damaged" in refused(target) or content[-82:] != sealed[-82:] or content == sealed
        assert refused(target) or faults.same(faults.bits(target), whole)

    damaged = [files.damage(sealed, random.Random(seed)) for seed in range(300)]
    assert read_in_a_child(damaged, target, check) == 0
    target.write_bytes(sealed[:9000] + b"\xff" + sealed[9001:])
    assert files.outcomes(target) == {"one line": 5}


def test_a_damaged_file_without_a_seal_is_read_or_refused_in_one_line(tmp_path):
    plain, target = files.sample()[1], tmp_path / "damaged.h5"
    contents = [files.damage(plain, random.Random(seed)) for seed in range(150)]
    assert read_in_a_child(contents, target, lambda _: refused(target)) <= 3  # HDF5 may go round in circles
    files.damaged(target, random.Random(3), sealed=False)


def test_an_edit_with_h5py_takes_the_seal_off(tmp_path, sample):
    target = Path(shutil.copy(sample / "sealed.h5", tmp_path / "run.h5"))
    with h5py.File(target, "r+") as file:
        file.attrs["status"] = "running"
    assert noisysim.load(target).status == "running"


STRUCTURES = {
    "removed": "no text 'config'", "external storage": "another file", "virtual": "another file",
    "huge": "declares 8,000,000,000,000,000 bytes", "packed": "declares 8,000,000,000,000 bytes",
    "external link": "a link out of its place", "soft link": "a link out of its place",
    "loop": "a link out of its place",
    "circle": "under two names", "twice": "under two names", "group": "no text 'config'", "type": "no text 'config'",
}  # fmt: skip


@pytest.mark.parametrize(("number", "said"), [*enumerate(STRUCTURES.values())], ids=STRUCTURES)
def test_what_points_out_of_a_file_or_holds_less_than_it_says_is_refused(number, said, path):
    with h5py.File(path, "r+") as file:
        files.STRUCTURES[number](file, "config")
    assert f"{path} is not a whole noisysim result file (" in refused(path)
    assert said in refused(path)


def test_hostile_texts_and_arrays_give_a_result_or_one_line(tmp_path):
    for seed in range(5):
        files.hostile(tmp_path / "hostile.h5", random.Random(seed))


def test_every_value_of_a_text_may_be_missing_or_another(path):
    """Read only: no error but the one line."""
    plain, chance, count = path.read_bytes(), random.Random(0), 0
    for name in ("config", "environment", "warnings", "cost"):
        with h5py.File(path, "r") as file:
            value = files.json.loads(file[name][()])
        at = list(files.places(value))
        for where in chance.sample(at, min(len(at), 25)):
            new = chance.choice(files.VALUES)
            path.write_bytes(plain)
            files.rewrite(path, name, files.json.dumps(files.changed(value, where, new)))
            if not refused(path):
                faults.check_line(noisysim.load(path).summary().replace("\n", " "))
            count += 1
    assert count > 40


def test_a_text_nested_deeply_is_refused(path):
    files.rewrite(path, "config", "[" * 200_000 + "]" * 200_000)
    assert "config is nested too deeply" in refused(path)


def test_a_terminal_is_given_no_commands(path):
    with h5py.File(path, "r") as file:
        config = files.json.loads(file["config"][()])
    config["task"]["name"] = "\x1b]0;title\x07\x1b[2Jdigits\u202e\r"
    files.rewrite(path, "config", files.json.dumps(config))
    assert "]0;title[2Jdigits (24 training" in noisysim.load(path).summary()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind, tmp_path):
    target = tmp_path / "run.h5"
    make = {"pipe": lambda: os.mkfifo(target), "folder": target.mkdir, "device": lambda: target.symlink_to("/dev/zero")}
    make[kind]()
    assert files.outcomes(target) == {"one line": 5}


EVIL = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n"


@pytest.mark.parametrize("sha256", [KeyError, None, "", 0, "0" * 63, ["0" * 64], "0" * 64, "F" * 64])
@pytest.mark.parametrize("part", ["device", "learner"])
def test_a_file_that_a_result_names_is_not_executed_without_its_hash(part, sha256, path, tmp_path):
    evil = tmp_path / "evil.py"
    evil.write_text(EVIL)
    with h5py.File(path, "r") as file:
        config = files.json.loads(file["config"][()])
    for name in (str(evil), f"{evil}:sha256=None"):
        hashes = {} if sha256 is KeyError else {"sha256": sha256}
        files.rewrite(path, "config", files.json.dumps({**config, part: {"name": name, **hashes}}))
        for use in (noisysim.resume, lambda p: noisysim.retention(p, [1.0]), lambda p: noisysim.load(p).summary()):
            if sha256 == "0" * 64 and use not in (noisysim.resume,):
                continue  # another file's: it may be looked at
            with pytest.raises(ValueError, match=r"without its SHA-256|is not the one recorded"):
                use(path)
        assert not evil.with_suffix(".ran").exists()


def test_files_of_the_version_before_are_read(path):
    """They have no seal; their layout is the same."""
    assert not hdf5._SEAL.search(path.read_bytes())
    assert noisysim.load(path).status == "stopped"
    assert noisysim.resume(path, threads=1, progress=False).status == "finished"
    assert hdf5._SEAL.search(path.read_bytes())


def test_memory_for_a_result_is_that_of_its_bytes(tmp_path):
    """Written through memory: about once the size of the file, beside what it is made of."""
    script = """
import resource, sys, numpy as np
from noisysim.common import hdf5
values = np.ones(16_000_000, np.float32)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
with hdf5.replaced(sys.argv[1] + "/small.h5") as file: file["x"] = values[:1000]
before = peak()
with hdf5.replaced(sys.argv[1] + "/large.h5") as file: file["x"] = values
print((peak() - before) / values.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.6


def test_numbers_of_this_process_are_not_left_open(tmp_path):
    before = sorted(os.listdir("/dev/fd"))
    for _ in range(3):
        writing.replace(tmp_path / "x", b"x")
        with writing.hold(tmp_path / "x"), pytest.raises(BlockingIOError):
            writing.hold(tmp_path / "x")
    assert sorted(os.listdir("/dev/fd")) == before
