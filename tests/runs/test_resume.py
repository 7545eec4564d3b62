"""Runs that are cut short: killed, interrupted, or stopped at any checkpoint, they go on to the very same bits."""

import copy
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import learners
from noisysim.runs import api, storage

import thorough

PATIENCE = 120  # seconds; a machine that is busy with other work is no failure


def data(path):
    """Every dataset of a result file that must not depend on what happened to the run."""
    found = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset) and name.startswith(("history/", "state/", "cost", "warnings", "config")):
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        found["status"] = file.attrs["status"]
        file.visititems(take)
    return found


def differences(a, b):
    """Names of the datasets in which two result files are not the same, bit for bit."""
    first, second = data(a), data(b)
    assert {"history/epoch/test_loss", "history/step/train_loss", "state/chip/weights", "cost"} <= first.keys()
    same = {n for n in first.keys() & second.keys() if np.array_equal(first[n], second[n], equal_nan=_floats(first[n]))}
    return sorted((first.keys() | second.keys()) - same)


def _floats(value):
    return getattr(value, "dtype", np.dtype(object)).kind == "f"


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(60, 6)).astype(np.float32), np.arange(60) % 3


class Moments:
    """All moments a run could be cut short, as files that are written when they are asked for."""

    def __init__(self, folder, contents):
        self.folder, self.contents = folder, contents

    def __len__(self):
        return len(self.contents)

    def __getitem__(self, index):
        number = range(len(self))[index]
        path = self.folder / f"copy{number}.h5"
        if not path.exists():
            storage.write(path, self.contents[number])
        return path


def history_of_files(monkeypatch, folder, **given):
    """Run with a checkpoint after every update: its file, and its `Moments`."""
    contents = []
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", lambda place, content: contents.append(copy.deepcopy(content)))
        noisysim.run(**given, out=folder / "whole.h5", checkpoint_seconds=0, progress=False)
    storage.write(folder / "whole.h5", contents[-1])
    return folder / "whole.h5", Moments(folder, contents)


CASES = {
    "danp-crossbar-adam": {"device": "crossbar", "learner": "danp", "optimizer": "adam"},
    "np-crossbar-momentum": {"device": "crossbar:controller=copy", "learner": "np", "optimizer": "sgd:momentum=0.9"},
    "danp-3-tiles-decay": {
        "device": "crossbar:tile_rows=4", "learner": "danp:samples=3", "optimizer": "sgd", "learning_rate_decay": 0.5,
    },
    "dinp-ideal-noisy-baseline": {"device": "ideal", "learner": "dinp:baseline=noisy,samples=2", "bias": True},
    "dbp-gaussian": {"device": "gaussian", "learner": "dbp", "layers": [5, 4]},
    "danp-crossbar-turned": {
        "device": "crossbar", "learner": "danp:decorrelation=0.05", "decorrelate": "updates", "bias": True,
    },
    "danp-crossbar-compensated": {
        "device": "crossbar:controller=copy", "learner": "danp:decorrelation=0.05", "decorrelate": "compensated",
    },
    "danp-crossbar-scaled-given": {
        "device": "crossbar", "learner": "danp:decorrelation=0.05", "weight_scaling": "column",
        "init": [np.linspace(-0.3, 0.2, 30).reshape(5, 6), np.linspace(0.1, -0.1, 50).reshape(10, 5)],
    },
    "np-crossbar-whole": {"device": "crossbar", "learner": "np:sigma=0.1", "inject": "digital", "batch_size": 48},
}  # fmt: skip
# what rules remember beside their step: 24 updates, so that covariances are inverted on the way
MEMORIES = {
    "fg-w": ({"device": "crossbar:controller=copy", "learner": "fg-w:normalise=True"}, ""),
    "fg-a": ({"learner": "fg-a:error=scalar"}, ""),
    "lg-fg-a": ({"learner": "lg-fg-a"}, "readouts readouts_first readouts_second readouts_steps"),
    "fa": ({"learner": "fa"}, "feedback"),
    "dfa": ({"learner": "dfa:error=scalar"}, "feedback"),
    "dkp": ({"learner": "dkp"}, "feedback feedback_first feedback_second feedback_steps"),
    "fdfa": ({"learner": "fdfa:samples=2"}, "feedback feedback_first feedback_second feedback_steps"),
    "fdfa-sgd": ({"learner": "fdfa:feedback_optimizer=sgd"}, "feedback feedback_velocity"),
    "fdfa-exact": ({"learner": "fdfa:derivative=exact"}, "feedback feedback_first feedback_second feedback_steps"),
    "learned-fa": ({"learner": "learned-fa:warmup=10"}, "feedback feedback_first feedback_second feedback_steps"),
    "learned-dfa": (
        {"learner": "learned-dfa:fit=least_squares"},
        "feedback feedback_first feedback_second feedback_steps products squares",
    ),
    "reinforce": ({"learner": "reinforce"}, ""),
    "shadow": ({"learner": "shadow:starts=5"}, "copy copy_first copy_second copy_steps start"),
    "canp": ({"learner": "canp"}, "covariance inverse"),
    "dcanp": ({"learner": "dcanp:samples=2,window=3"}, "covariance inverse"),
}


def test_every_learner_is_among_the_cases():
    tried = {given["learner"].partition(":")[0] for given in [*CASES.values(), *(g for g, _ in MEMORIES.values())]}
    assert tried >= set(learners.names()) - {"bp", "inp", "dnp", "anp"}  # as dbp, dinp, np and danp, but one number


def learned(path):
    """What a learner remembers in a file, beside its step and the size of its perturbation."""
    with h5py.File(path, "r") as file:
        return {name: item[()] for name, item in file["state/learner"].items() if name not in ("step", "sigma")}


@pytest.mark.parametrize(("given", "remembered"), MEMORIES.values(), ids=MEMORIES)
def test_a_run_goes_on_with_what_its_learner_remembers(given, remembered, tmp_path, monkeypatch):
    given = {
        "task": "student-teacher:n_in=6,n_train=44,n_test=9,n_out=3", "layers": [5, 4], "batch_size": 11, "epochs": 6,
        "device": "crossbar", **given,
    }  # fmt: skip
    whole, copies = history_of_files(monkeypatch, tmp_path, **given)
    chosen = [copies[k] for k in (0, 3, 20)]  # before the first update; among the first; before an inversion
    memories = [learned(path) for path in (*chosen, whole)]
    assert all(set(one) == set(remembered.split()) for one in memories)
    fixed = given["learner"].partition(":")[0] in ("fa", "dfa") or not remembered
    assert fixed or any(not np.array_equal(memories[0][name], memories[-1][name]) for name in memories[0])
    for path in chosen:
        noisysim.resume(path, progress=False)
        assert differences(path, whole) == []


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
def test_a_run_goes_on_from_any_checkpoint(given, tmp_path, monkeypatch):
    """A regression (NaN accuracies in the sums) and a last batch that is shorter than the others."""
    task = "student-teacher:n_in=6,n_train=48,n_test=9"
    given = {"task": task, "layers": [5], "batch_size": 11, "epochs": 3, **given}
    whole, copies = history_of_files(monkeypatch, tmp_path, **given)
    updates = 3 * -(-48 // given["batch_size"])
    assert len(copies) >= updates
    chosen = random.Random(1).sample(range(len(copies)), min(3, len(copies)))
    for path in [copies[k] for k in (0, -2, *chosen)]:
        noisysim.resume(path, progress=False)
        assert differences(path, whole) == []


def test_a_resumed_run_is_the_same_on_other_threads_and_keeps_its_environment(tmp_path, monkeypatch):
    given = {"task": "digits", "layers": [128], "batch_size": 1437, "epochs": 3}
    whole, copies = history_of_files(monkeypatch, tmp_path, **given)
    with h5py.File(copies[2], "r+") as file:
        environment = {**json.loads(file["environment"][()]), "cpu": "where it was begun"}
        del file["environment"]
        file["environment"] = json.dumps(environment)
    before = noisysim.load(copies[2])
    after = noisysim.resume(copies[2], threads=1, checkpoint_seconds=0.5, progress=False)
    assert differences(copies[2], whole) == ["warnings"]
    assert after.warnings[-1].startswith("resumed on another host, whose last bits may differ: cpu where it was begun")
    assert after.environment == environment
    assert after.elapsed > before.elapsed
    assert before.status == "running"
    assert "noisysim resume" in before.summary()
    assert after.status == "finished"
    assert "noisysim resume" not in after.summary()


# --- killed ---------------------------------------------------------------------------------------------------------

CHILD = "import json, sys, noisysim; noisysim.run(**json.loads(sys.argv[1]))"
AGAIN = "import sys, noisysim; noisysim.resume(sys.argv[1], checkpoint_seconds=0.05)"


def updates_done(path):
    """Updates that the last whole checkpoint holds; -1 before there is one."""
    if not path.exists():
        return -1
    with h5py.File(path, "r") as file:
        return len(file["history/step/train_loss"])


def stop_after(process, path, updates, how):
    """Send a signal when the file holds that many updates."""
    limit = time.monotonic() + PATIENCE
    while updates_done(path) < updates:
        assert process.poll() is None, f"ended by itself: {process.communicate()}"
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(how)
    said = process.communicate(timeout=PATIENCE)
    return process.returncode, *said


def start(*words):
    environment = {**os.environ, "COLUMNS": "300"}
    return subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


KILLED = {
    "danp-adam": {"learner": "danp"},
    "np-momentum-decay": {
        "learner": "np", "optimizer": "sgd:momentum=0.9", "learning_rate": 1e-3, "learning_rate_decay": 0.8,
    },
    "canp": {"learner": "canp", "batch_size": 16},
}  # fmt: skip


@pytest.mark.parametrize("name", thorough.some(KILLED, ("danp-adam",)))  # others' states are resumed above
def test_kill_dash_nine_twice_costs_nothing(name, tmp_path):
    given = {"task": "digits", "layers": [24], "batch_size": 4, "epochs": 7, "device": "crossbar", "seed": 7}
    given |= KILLED[name]
    assert noisysim.run(**given, out=tmp_path / "whole.h5", progress=False).status == "finished"
    path = tmp_path / "killed.h5"
    epoch = -(-1437 // given["batch_size"])  # updates
    moments = random.Random(str(given))
    first, second = moments.randrange(0, 2 * epoch), moments.randrange(2 * epoch + 50, 4 * epoch)
    settings = json.dumps({**given, "out": str(path), "checkpoint_seconds": 0.05})
    for words, updates in (((CHILD, settings), first), ((AGAIN, str(path)), second)):
        assert stop_after(start("-c", *words), path, updates, signal.SIGKILL)[0] == -signal.SIGKILL
        assert noisysim.load(path).status == "running"
    assert updates_done(path) < 7 * epoch
    noisysim.resume(path, progress=False)
    assert differences(path, tmp_path / "whole.h5") == []


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path):
    given = {"task": "digits", "layers": [24], "batch_size": 4, "epochs": 5, "seed": 3}
    noisysim.run(**given, out=tmp_path / "whole.h5", progress=False)
    path = tmp_path / "stopped.h5"
    words = shlex.split("run digits --layers 24 --batch-size 4 --epochs 5 --seed 3 --checkpoint-seconds 0.05 --out")
    process = start("-c", "from noisysim import cli; cli.main()", *words, str(path))
    code, out, err = stop_after(process, path, 300, signal.SIGINT)
    assert code == 130
    assert "Traceback" not in err
    assert f"noisysim resume {path}" in out
    assert "(interrupted)" in out
    result = noisysim.load(path)
    assert result.status == "interrupted"
    assert 300 <= len(result.steps["train_loss"]) < 5 * 360
    assert result.cost["updates"] == len(result.steps["train_loss"])  # the last update was finished, and is counted
    noisysim.resume(path, progress=False)
    assert differences(path, tmp_path / "whole.h5") == []


# --- what cannot be gone on with ------------------------------------------------------------------------------------


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    path = tmp_path / "run.h5"
    ran = noisysim.run(arrays(), layers=[5], epochs=2, out=path, progress=False)
    before = path.read_bytes()
    again = noisysim.resume(path)  # of arrays, and without them: there is nothing left to learn
    assert path.read_bytes() == before
    assert again.status == "finished"
    assert again.summary() == ran.summary()


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """The file of a whole run that learned arrays, and that of one cut short."""
    whole, copies = history_of_files(monkeypatch, tmp_path, task=arrays(), layers=[5], epochs=2)
    return whole, copies[2]


def test_arrays_have_to_be_given_again(cut):
    whole, path = cut
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"learned arrays that its file does not hold.*task=\(x, y, \.\.\.\)"):
        noisysim.resume(path)
    assert path.read_bytes() == before
    assert noisysim.resume(path, task=arrays(), progress=False).status == "finished"
    assert differences(path, whole) == []


def test_other_data_are_refused(cut):
    path = cut[1]
    x, y = arrays()
    x[7, 3] = np.nextafter(x[7, 3], np.float32(9))
    with pytest.raises(ValueError, match=r"other data than these \(CRC-32 [0-9a-f]{8}, now [0-9a-f]{8}\)"):
        noisysim.resume(path, task=(x, y))
    with pytest.raises(ValueError, match="other data"):
        noisysim.resume(path, task="digits")


def test_the_settings_of_a_task_come_back_with_its_arrays(tmp_path, monkeypatch):
    task = noisysim.tasks.get(arrays(), standardise="feature", loss="mse")
    whole, copies = history_of_files(monkeypatch, tmp_path, task=task, layers=[5], epochs=2)
    with pytest.raises(ValueError, match=r"other task settings than these: .*standardise 'feature', now 'global'"):
        noisysim.resume(copies[1], task=noisysim.tasks.get(arrays()))
    noisysim.resume(copies[1], task=arrays(), progress=False)
    assert differences(copies[1], whole) == []


def test_an_hdf5_task_that_changed_is_refused(tmp_path, monkeypatch):
    source = tmp_path / "own.h5"
    with h5py.File(source, "w") as file:
        file["x"], file["y"] = arrays()
    whole, copies = history_of_files(monkeypatch, tmp_path, task=str(source), layers=[5], epochs=2)
    noisysim.resume(copies[1], progress=False)
    assert differences(copies[1], whole) == []
    with h5py.File(source, "r+") as file:
        file["x"][0, 0] += 1
    with pytest.raises(ValueError, match="other data"):
        noisysim.resume(copies[2])
    source.unlink()
    with pytest.raises(FileNotFoundError, match=f"no task file '{source}'"):
        noisysim.resume(copies[2])


DAMAGE = {
    "no-state": lambda file: file.pop("state"),
    "no-weights": lambda file: file.pop("state/chip/weights"),
    "no-position": lambda file: file.pop("state/progress/position"),
    "other-shape": lambda file: (file.pop("state/chip/weights"), file.create_dataset("state/chip/weights", data=[1.0])),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_state_that_is_not_whole_is_one_clear_error(damage, cut):
    path = cut[1]
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(ValueError, match=f"{path} holds no complete state to resume from"):
        noisysim.resume(path, task=arrays())


BAD = {
    "threads": ({"threads": 0}, ValueError, r"run\.threads must be a whole number from 1.*not 0"),
    "threads-type": ({"threads": "two"}, TypeError, r"run\.threads.*not 'two'"),
    "seconds": ({"checkpoint_seconds": -1}, ValueError, r"run\.checkpoint_seconds must be a number >= 0.*not -1"),
    "seconds-nan": ({"checkpoint_seconds": float("nan")}, ValueError, r"run\.checkpoint_seconds.*not nan"),
    "progress": ({"progress": "yes"}, TypeError, r"run\.progress must be True or False, not 'yes'"),
    "data": ({"data": "/no/such/folder"}, FileNotFoundError, r"run\.data: there is no folder '/no/such/folder'"),
}


@pytest.mark.parametrize(("given", "kind", "said"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_before_any_work(given, kind, said, cut, monkeypatch):
    monkeypatch.setattr(api, "Training", None)
    with pytest.raises(kind, match=said):
        noisysim.resume(cut[1], task=arrays(), **given)
