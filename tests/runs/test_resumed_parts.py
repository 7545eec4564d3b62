"""Parts of a run's own that are looked for again: moved, edited, or given as objects."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import noisysim
from noisysim.common.user_files import with_article
from noisysim.compute.losses import Loss
from noisysim.runs import storage
from noisysim.runs.resuming import recorded_config

GIVEN = {"layers": [5], "batch_size": 11, "epochs": 1, "learning_rate": 1e-3, "device": "ideal", "progress": False}
TASK = {"name": "student-teacher", "n_in": 6, "n_train": 44, "n_test": 9, "n_out": 3}
LOSS = """
import numpy as np

def huber(output, targets):
    return (0.5 * (output - targets) ** 2).sum(axis=1, dtype=np.float64)

def huber_error(output, targets):
    return output - targets
"""
ACTIVATION = """
def bent(a):
    return 0.5 * a if a > 0 else 0.1 * a

def bent_slope(a):
    return 0.5 if a > 0 else 0.1
"""
LEARNER = """
from dataclasses import dataclass
from typing import ClassVar
from noisysim.learners import BP

@dataclass(frozen=True)
class Mine(BP):
    name: ClassVar[str] = "mine"
    FACTOR: ClassVar[float] = 1.0
"""
OPTIMIZER = """
from dataclasses import dataclass
from typing import ClassVar
from noisysim.learners.optimizers import SGD

@dataclass(frozen=True)
class Mine(SGD):
    name: ClassVar[str] = "mine"
"""
DIAGNOSTIC = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from noisysim.diagnostics import Diagnostic

@dataclass(frozen=True)
class Largest(Diagnostic):
    name: ClassVar[str] = "largest"

    def measure(self, probe):
        return np.array([np.abs(g).max() for g in probe.estimated])
"""
BARS = """
from typing import Annotated, NamedTuple
import numpy as np
from noisysim.common.fields import Field
from noisysim.tasks import Split, make
from noisysim.tasks.base import ClassLoss, Standardise

class BarsSettings(NamedTuple):
    size: Annotated[int, Field("", 2, 9, whole=True)] = 4
    standardise: Standardise = "global"
    loss: ClassLoss = "cce"

def load_bars(settings: BarsSettings, data, seed):
    generator = np.random.default_rng(seed)
    labels = np.arange(40) % settings.size
    inputs = generator.normal(size=(40, settings.size)).astype(np.float32)
    split = Split(inputs, labels)
    return make("bars", [split, split], settings, {"layers": [4], "batch_size": 8, "epochs": 1}, n_out=settings.size)
"""
SOURCES = {
    "task": BARS, "loss": LOSS, "activation": ACTIVATION, "learner": LEARNER, "optimizer": OPTIMIZER,
    "diagnostics": DIAGNOSTIC,
}  # fmt: skip
KINDS = sorted(SOURCES)


def bent(a):
    return 0.5 * a if a > 0 else 0.1 * a


def bent_slope(a):
    return 0.5 if a > 0 else 0.1


def using(kind, spec):
    """Arguments of a run that uses a part."""
    given = {"task": TASK, "learner": "bp", "optimizer": "sgd", **GIVEN}
    if kind == "loss":
        return {**given, "task": {**TASK, "loss": spec}}
    if kind == "task":
        return {**given, "task": f"{spec}:size=5"}
    return {**given, kind: [spec] if kind == "diagnostics" else spec}


def again(kind, spec):
    """Arguments of `noisysim.resume` that give a part once more."""
    return {"task": {**TASK, "loss": spec}} if kind == "loss" else {kind: [spec] if kind == "diagnostics" else spec}


def interrupted(**given):
    """The file of a run that can be resumed, with nothing left to learn."""
    noisysim.run(**given, out="run.h5")
    with h5py.File("run.h5", "r+") as file:
        file.attrs["status"] = "interrupted"


def asked(allow_other_source=False, **parts):
    """What `noisysim.resume` finds out before it continues."""
    every = dict.fromkeys(("task", "device", "learner", "optimizer", "activation", "loss"))
    parts = {**every, "diagnostics": [], **parts}
    return recorded_config(storage.read(Path("run.h5")), Path("run.h5"), parts, None, allow_other_source)


@pytest.fixture(params=KINDS)
def kind(request, tmp_path, monkeypatch):
    """A kind of part, of which a run used one from the file mine.py."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SOURCES[request.param])
    interrupted(**using(request.param, "mine.py"))
    return request.param


def test_files_that_were_moved_or_edited(kind):
    what = {"diagnostics": "diagnostic 'mine.py'"}.get(kind, kind)
    Path("new").mkdir()
    shutil.copy("mine.py", "new/place.py")
    assert asked(**again(kind, "new/place.py"))[1] == []
    Path("mine.py").write_text(SOURCES[kind] + "\nCHANGED = 1\n")
    for given in ({}, again(kind, "mine.py")):
        with pytest.raises(ValueError, match=r"is not the one recorded|other code than the run's, in its file"):
            asked(**given)
        assert asked(allow_other_source=True, **given)[1] == [
            f"resumed with {with_article(what)} of other code, in its file"
        ]
    Path("mine.py").unlink()
    assert asked(**again(kind, "new/place.py"))[1] == []
    assert noisysim.resume("run.h5", **again(kind, "new/place.py"), progress=False).status == "finished"
    tested = noisysim.retention("run.h5", [1], **again(kind, "new/place.py"))
    assert np.isfinite(tested["test_loss"]).all()


def test_another_loss_is_refused_as_the_file_of_it_is_given_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("huber.py").write_text(LOSS)
    interrupted(**using("loss", "huber.py"))
    Path("huber.py").write_text(LOSS.replace("0.5 *", "0.25 *"))
    with pytest.raises(ValueError, match="the loss has other code than the run's, in its file; allow_other_source"):
        noisysim.resume("run.h5", **again("loss", "huber.py"))
    with pytest.raises(ValueError, match=r"other task settings than these: loss 'huber.py', now 'mse'"):
        noisysim.resume("run.h5", **again("loss", "mse"))
    result = noisysim.resume("run.h5", **again("loss", "huber.py"), allow_other_source=True, progress=False)
    assert result.warnings[-1] == "resumed with a loss of other code, in its file"


def test_objects_that_are_pairs_of_functions_are_given_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = noisysim.losses.Loss("own", own_loss, own_loss_error)
    interrupted(**{**using("loss", own), "activation": bent})
    with pytest.raises(ValueError, match="give it again"):
        asked(activation=bent)
    with pytest.raises(ValueError, match="give it again"):
        asked(task={**TASK, "loss": own})
    assert asked(task={**TASK, "loss": own}, activation=bent)[1] == []
    with pytest.raises(ValueError, match="the run's activation is another: 'tanh'"):
        asked(task={**TASK, "loss": own}, activation="tanh")
    with pytest.raises(ValueError, match=r"the loss has other code than the run's, in .*own_loss"):
        asked(task={**TASK, "loss": Loss("own", other_loss, own_loss_error)}, activation=bent)
    monkeypatch.setattr(bent, "__code__", (lambda a: 0.4 * a if a > 0 else 0.1 * a).__code__)
    with pytest.raises(ValueError, match="the activation has other code than the run's, in bent"):
        asked(task={**TASK, "loss": own}, activation=bent)
    notes = asked(True, task={**TASK, "loss": own}, activation=bent)[1]
    assert notes == ["resumed with an activation of other code, in bent"]


def test_an_edited_activation_of_a_layer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(ACTIVATION)
    interrupted(**{**using("learner", "bp"), "layers": ["dense(5, activation='mine.py')"]})
    assert asked()[1] == []
    Path("mine.py").write_text(ACTIVATION.replace("0.1", "0.2"))
    with pytest.raises(ValueError, match="is not the one recorded"):
        asked()
    assert asked(True)[1] == ["resumed with an activation 'mine.py' of other code, in its file"]


def own_loss(output, targets):
    return ((output - targets) ** 2).sum(axis=1, dtype=np.float64)


def own_loss_error(output, targets):
    return 2 * (output - targets)


def other_loss(output, targets):
    return 2 * ((output - targets) ** 2).sum(axis=1, dtype=np.float64)
