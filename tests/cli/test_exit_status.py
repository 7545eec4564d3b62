"""What the program ends with: an exit status for scripts, and silence where its reader has left."""

import json
import os
import signal
import subprocess
import sys

import pytest

import noisysim
from noisysim.cli import commands
from noisysim.compute.backends import BackendError
from noisysim.runs.events import CallbackError

from command_line import PROGRAM
from command_line import command_line as command_line

TASK = "student-teacher:n_in=6,n_train=40,n_test=10"
LISTINGS = [
    "devices", "devices ecram --all", "devices --json", "learners danp", "tasks", "networks", "networks show lenet-5",
    "networks show lenet-5 --json", "optimizers", "losses", "activations", "diagnostics", "schedules", "callbacks",
    "reproduce", "show RUN", "show RUN --json", "show STUDY", "show STUDY --json", "completion bash", "--help",
    "run --help",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run and a study."""
    place = tmp_path_factory.mktemp("status")
    noisysim.run(TASK, layers=[5], batch_size=8, epochs=2, out=place / "run.h5", progress=False)
    noisysim.sweep(TASK, layers=[5], batch_size=8, epochs=1, seed=[0, 1], out=place / "study.h5", workers=1,
                   progress=False)  # fmt: skip
    return place


def words_of(listing, folder):
    return listing.replace("RUN", str(folder / "run.h5")).replace("STUDY", str(folder / "study.h5")).split()


LEFT = """
import contextlib, gc, json, os, sys, tempfile
from noisysim import cli

listings = json.loads(sys.argv[1])
for word in "devices", "networks", "reproduce":  # which import what most listings need
    sys.argv = ["noisysim", word]
    with contextlib.suppress(SystemExit):
        cli.main()
sys.stdout.flush()
gc.freeze()  # each child would copy all of it as it ends
answers = []
for words in listings:
    reader, out = os.pipe()
    os.close(reader)
    said = tempfile.TemporaryFile()
    if not os.fork():
        os.dup2(out, 1)
        os.dup2(said.fileno(), 2)
        break
    os.close(out)
    status = os.waitstatus_to_exitcode(os.wait()[1])
    said.seek(0)
    answers.append([status, said.read().decode()])
else:
    print(json.dumps(answers))
    sys.exit()
sys.argv = ["noisysim", *words]
cli.main()
"""


@pytest.fixture(scope="module")
def left(folder):
    """How each listing ended that nobody read, and what it said: programs forked where all is imported."""
    asked = json.dumps([words_of(one, folder) for one in LISTINGS])
    done = subprocess.run([*PROGRAM[:2], LEFT, asked], capture_output=True, text=True, check=True)
    return dict(zip(LISTINGS, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_reader_that_leaves_is_no_error(listing, left):
    assert left[listing] == [128 + signal.SIGPIPE, ""]


@pytest.mark.parametrize("listing", ["show RUN", "devices --json"])
def test_a_reader_that_leaves_an_unbuffered_program_is_no_error(listing, folder):
    space = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.Popen(
        [*PROGRAM, *words_of(listing, folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=space
    )
    done.stdout.close()
    with done.stderr:
        assert done.stderr.read() == b""
    assert done.wait() == 128 + signal.SIGPIPE


def test_head_of_a_long_listing_is_silent(folder):
    line = f"set -o pipefail; {' '.join(PROGRAM[:2])} '{PROGRAM[2]}' devices --json | head -c 10"
    done = subprocess.run(["bash", "-c", line], capture_output=True)
    assert (done.stdout[:1], done.stderr, done.returncode) == (b"[", b"", 128 + signal.SIGPIPE)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
@pytest.mark.parametrize("listing", ["learners", "devices --json"])
def test_an_output_that_is_full_is_one_line_and_status_1(listing):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, *listing.split()], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["noisysim: [Errno 28] No space left on device"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("run --epoch 3", 2),
        ("rnu", 2),
        ("show", 2),
        ("show none.h5", 2),
        ("run --device crosbar", 2),
        ("run --epochs -1", 2),
        ("learners x", 2),
        ("completion tcsh", 2),
        ("reproduce nothing", 2),
        ("--help", 0),
        ("--version", 0),
    ],
)
def test_what_is_asked_for_wrongly_ends_with_2(call, words, status):
    code, _, err = call(*words.split())
    assert (code, len(err.splitlines())) == (status, status and 1)


TAKE_FILES = [
    "devices fit GIVEN", "plot GIVEN", "predict RUN GIVEN", "report GIVEN", "resume GIVEN", "show GIVEN", "sweep GIVEN",
    "retention GIVEN --seconds 1", "run --config GIVEN", "run --init GIVEN", "run --layers GIVEN", "test GIVEN",
    "tune GIVEN", "weights GIVEN --out w.npz",
]  # fmt: skip


@pytest.mark.parametrize("command", TAKE_FILES)
@pytest.mark.parametrize("given", ["missing.csv", "missing.h5", "missing.onnx", ".", "..", "folder.h5"])
@pytest.mark.covering(1)
def test_what_is_no_file_is_named(call, tmp_path, monkeypatch, folder, command, given):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.h5").mkdir()
    code, _, err = call(*words_of(command.replace("GIVEN", given), folder))
    assert (code, len(err.splitlines())) == (2, 1)
    assert given in err
    assert "Errno" not in err
    assert "Posix" not in err


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("no"), 2), (FileExistsError("no"), 2), (PermissionError("no"), 2), (OSError("no"), 1),
     (BlockingIOError("no"), 1), (MemoryError("no"), 1), (ImportError("no"), 1), (BackendError("no"), 1),
     (CallbackError("no"), 1), (KeyboardInterrupt(), 130)],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_the_kind_of_an_error_decides(call, monkeypatch, error, status):
    def fail(**_):
        raise error

    monkeypatch.setattr(commands.runs.api, "run", fail)
    code, out, err = call("run")
    assert (code, out, err) == (status, "", "" if status == 130 else "noisysim: no\n")


DIVERGING = ["run", TASK, "--layers", "5", "--epochs", "3", "--learner", "bp", "--optimizer", "sgd", "--device",
             "ideal", "--learning-rate", "1e6", "--activation", "linear", "--batch-size", "8"]  # fmt: skip


def test_a_run_that_diverged_ends_with_1_and_is_kept(call, tmp_path):
    code, out, err = call(*DIVERGING, "--out", tmp_path / "run.h5")
    assert (code, err) == (1, "")
    assert "(diverged)" in out
    assert noisysim.load(tmp_path / "run.h5").status == "diverged"
    assert call("resume", tmp_path / "run.h5")[0] == 1
    assert call("show", tmp_path / "run.h5")[0] == 0  # which shows what there is
    code, out, _ = call("show", tmp_path / "run.h5", "--json")
    assert (code, json.loads(out)["status"]) == (0, "diverged")


def test_ctrl_c_while_the_program_loads_ends_with_130_without_a_traceback():
    code = """
import signal, sys
from noisysim import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background of a shell ignores
class Late:
    def find_spec(self, name, *_):
        if name == "noisysim.cli.runs":
            try:
                signal.raise_signal(signal.SIGINT)
            except BaseException:  # as much does that loads
                pass
sys.meta_path.insert(0, Late())
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_ends_with_130(tmp_path):
    words = ["run", "--epochs", "100000", "--out", str(tmp_path / "run.h5"), "--checkpoint-seconds", "0"]
    done = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while done.poll() is None and not (tmp_path / "run.h5").exists():
        pass
    done.send_signal(signal.SIGINT)
    out, err = done.communicate(timeout=120)
    assert (done.returncode, "Traceback" in err) == (130, False)
    assert not out or "(interrupted)" in out
