"""Parts of every kind from users' files and from installed packages: listed, used, described and found again."""

import copy
import importlib
import inspect
import json
import pickle
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import callbacks, schedules
from noisysim.chip import diagnostics
from noisysim.common import user_files
from noisysim.common.identity import RECORD
from noisysim.common.user_files import UserError, plural
from noisysim.compute import losses
from noisysim.learners import optimizers
from noisysim.networks import activations
from noisysim.runs import api, storage
from noisysim.runs import config as configuration
from noisysim.studies import worker

TASK = "student-teacher:n_in=6,n_train=44,n_test=9,n_out=3"
GIVEN = {"layers": [5], "batch_size": 11, "epochs": 2, "learning_rate": 1e-3, "device": "ideal", "progress": False}

HEAD = """
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple
import numpy as np
from noisysim.common.fields import Field
"""
SOURCES = {
    "learner": HEAD + '''
from noisysim.learners import NP

@dataclass(frozen=True)
class Half(NP):
    """Half of what node perturbation asks for."""

    name: ClassVar[str] = "half"
    share: Annotated[float, Field("", 0, 1, "of the gradient")] = 0.5

    def update(self, state, observations, *, oracle=None, out=None):
        gradient, state = super().update(state, observations, oracle=oracle)
        return [np.float32(self.share) * g for g in gradient], state
''',
    "optimizer": HEAD + '''
@dataclass(frozen=True)
class Lion:
    """The sign of a mixture of gradient and momentum."""

    name: ClassVar[str] = "lion"
    beta: Annotated[float, Field("", 0, 1, "share of the momentum that is kept")] = 0.95

    def init(self, shapes, xp=np):
        return {"momentum": [xp.zeros(s, np.float32) for s in shapes]}

    def update(self, gradients, state, rate):
        kept = np.float32(self.beta)
        state["momentum"] = [kept * m + (1 - kept) * g for m, g in zip(state["momentum"], gradients)]
        return [np.float32(-rate) * np.sign(m) for m in state["momentum"]], state
''',
    "diagnostic": HEAD + '''
from noisysim.diagnostics import Diagnostic

@dataclass(frozen=True)
class Largest(Diagnostic):
    """Largest element of the gradient."""

    name: ClassVar[str] = "largest"
    scale: Annotated[float, Field("", 0, 10, "a factor")] = 1.0

    def measure(self, probe):
        return np.array([self.scale * np.abs(g).max() for g in probe.estimated])
''',
    "loss": HEAD + '''
def absolute(output, targets):
    """Sum of absolute differences."""
    return np.abs(output - targets).sum(axis=1, dtype=np.float64)

def absolute_error(output, targets):
    """Their signs."""
    return np.sign(output - targets)
''',
    "activation": HEAD + '''
_HALF = np.float32(0.5)

def _gate(a):
    return _HALF * (np.float32(1.0) + np.tanh(_HALF * a))

def swish(a):
    """a times its sigmoid."""
    return a * _gate(a)

def swish_slope(a):
    """Its derivative."""
    g = _gate(a)
    return g + a * g * (np.float32(1.0) - g)
''',
    "task": HEAD + '''
from noisysim.tasks import Split, make

class ParitySettings(NamedTuple):
    """Settings of parity."""

    n: Annotated[int, Field("", 8, 1000, "samples", whole=True)] = 40
    standardise: Annotated[str, Field(choices=("global", "none"))] = "global"
    loss: Annotated[str, Field(choices=("cce", "mse"))] = "cce"

def load_parity(settings: ParitySettings, data, seed):
    """Parity of four bits."""
    bits = np.random.default_rng(seed).integers(0, 2, (settings.n, 4))
    split = Split(bits.astype(np.float32), (bits.sum(axis=1) % 2).astype(np.int64))
    return make("parity", [split, split], settings, {"layers": [4], "batch_size": 8, "epochs": 1}, n_out=2)
''',
    "device": HEAD + '''
class Noisy(NamedTuple):
    """Lines with noise."""

    amplitude: Annotated[float, Field("", 0, 1, "of the lines", noise="read")] = 0.01

def readout(i, energy, z, u, d):
    return i + d.amplitude * z
''',
}  # fmt: skip
SETTING = {
    "learner": "share=0.25", "optimizer": "beta=0.5", "diagnostic": "scale=2.0", "task": "n=24",
    "device": "amplitude=0.02", "loss": "", "activation": "",
}  # fmt: skip
REGISTRIES = {
    "learner": noisysim.learners.REGISTRY, "optimizer": optimizers.REGISTRY, "diagnostic": diagnostics.REGISTRY,
    "loss": losses.REGISTRY, "activation": activations.REGISTRY, "task": noisysim.tasks.REGISTRY,
    "device": noisysim.devices.REGISTRY,
}  # fmt: skip
KINDS = sorted(SOURCES)


def with_setting(kind, name):
    return f"{name}:{SETTING[kind]}" if SETTING[kind] else name


def use(kind, spec):
    """Arguments of a run that uses a part."""
    given = {"task": TASK, "learner": "bp", "optimizer": "sgd", **GIVEN}
    if kind == "diagnostic":
        return {**given, "learner": "np", "diagnostics": [spec]}
    if kind == "loss":
        return {**given, "task": {"name": "student-teacher", "n_in": 6, "n_train": 44, "n_test": 9, "loss": spec}}
    if kind in ("learner", "device"):
        given["learner"] = "np"
    return {**given, kind: spec}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, source in SOURCES.items():
        Path(f"my_{kind}.py").write_text(source)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that brings one part of every kind."""
    info = tmp_path / "site" / "thirdparty-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    lines = []
    for kind, source in SOURCES.items():
        (tmp_path / "site" / f"thirdparty_{kind}.py").write_text(source)
        lines += [f"[noisysim.{plural(kind)}]", f"their-{kind} = thirdparty_{kind}"]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(tmp_path)
    yield
    for kind in SOURCES:
        sys.modules.pop(f"thirdparty_{kind}", None)


def stored(path):
    """What a result file holds, the time that was taken apart."""
    with h5py.File(path, "r") as file:
        arrays = {}
        file.visititems(arrays.__setitem__)
        kept = {n: item[()] for n, item in arrays.items() if isinstance(item, h5py.Dataset) and "elapsed" not in n}
        return {n: v if isinstance(v, bytes) else v.tobytes() for n, v in kept.items() if n != "environment"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_from_a_file_is_described_and_found_again(files, kind):
    registry, spec = REGISTRIES[kind], with_setting(kind, f"my_{kind}.py")
    part = registry.get(spec)
    described = registry.describe(part)
    assert described["name"] == f"my_{kind}.py"
    assert described["source"] == SOURCES[kind]
    again = registry.get(described)
    assert registry.describe(again) == described
    assert registry.text(part) == spec
    assert registry.about(f"my_{kind}.py")[-1] == "."
    assert set(registry.fields(f"my_{kind}.py")) == set(registry.defaults(f"my_{kind}.py"))
    with pytest.raises(ValueError, match="is not the one recorded"):
        registry.get({**described, "sha256": "0" * 64})
    Path(f"my_{kind}.py").write_text(SOURCES[kind] + "\nraise SystemExit('executed')\n")
    with pytest.raises(ValueError, match="is not the one recorded"):
        registry.get(described)


CHILD = """
import json, pickle, sys
from pathlib import Path
parts = pickle.loads(Path(sys.argv[1]).read_bytes())
print(json.dumps({kind: [type(part).__name__, str(part).partition(" at ")[0]] for kind, part in parts.items()}))
"""


@pytest.mark.parametrize("there", [True, False])
def test_parts_from_files_are_unpickled_in_other_processes(files, there):
    """By their record, since no other process has their modules; without the file, by the source in it."""
    parts = {kind: REGISTRIES[kind].get(with_setting(kind, f"my_{kind}.py")) for kind in KINDS if kind != "task"}
    Path("parts.pickle").write_bytes(pickle.dumps(parts))
    if not there:
        for kind in KINDS:
            Path(f"my_{kind}.py").unlink()
    said = subprocess.run([sys.executable, "-c", CHILD, "parts.pickle"], check=True, capture_output=True, text=True)
    expected = {kind: [type(part).__name__, str(part).partition(" at ")[0]] for kind, part in parts.items()}
    assert json.loads(said.stdout) == expected


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "task"])
def test_a_part_from_a_file_is_copied_as_it_was_loaded(files, kind):
    registry = REGISTRIES[kind]
    part = registry.get(with_setting(kind, f"my_{kind}.py"))
    Path(f"my_{kind}.py").write_text("raise SystemExit('executed')\n")
    for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert type(other) is type(part)
        assert registry.describe(other) == registry.describe(part)
    built_in = registry.get(next(iter(name for name in registry.names() if name != f"my_{kind}")))
    assert registry.describe(pickle.loads(pickle.dumps(built_in))) == registry.describe(built_in)


@pytest.fixture
def cut(monkeypatch):
    """Run to the end with the file whole.h5, and leave the checkpoint of the first epoch in cut.h5 and again.h5."""
    write = storage.write

    def keep(path, content):
        write(path, content)
        if content["status"] == "running" and len(content["arrays"]["history/epoch"]["train_loss"]) == 1:
            shutil.copy(path, "cut.h5")
            shutil.copy(path, "again.h5")

    def run(**given):
        monkeypatch.setattr(storage, "write", keep)
        result = noisysim.run(**given, out="whole.h5")
        monkeypatch.setattr(storage, "write", write)
        return result

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_from_a_file_learns_and_is_resumed(files, kind, cut):
    cut(**use(kind, with_setting(kind, f"my_{kind}.py")))
    assert noisysim.resume("cut.h5", progress=False).status == "finished"
    whole, resumed = stored("whole.h5"), stored("cut.h5")
    assert [name for name in whole if whole[name] != resumed.get(name)] == []
    Path(f"my_{kind}.py").write_text(SOURCES[kind] + "\nraise SystemExit('executed')\n")
    with pytest.raises(ValueError, match="is not the one recorded"):
        noisysim.resume("again.h5", progress=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_an_installed_package_is_listed_and_learns(package, kind, cut):
    registry, name = REGISTRIES[kind], f"their-{kind}"
    assert name in registry.names()
    assert f"thirdparty_{kind}" not in sys.modules
    spec = with_setting(kind, name)
    described = registry.describe(registry.get(spec))
    assert described["name"] == name
    assert registry.describe(registry.get(described)) == described
    assert registry.text(registry.get(spec)) == spec
    result = cut(**use(kind, spec))
    assert np.isfinite(result.history["train_loss"]).all()
    assert noisysim.resume("cut.h5", progress=False).status == "finished"


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_from_a_file_is_taken_as_an_object(files, kind):
    registry = REGISTRIES[kind]
    part = registry.get(f"my_{kind}.py")
    if kind == "task":
        assert noisysim.tasks.get(part) is part
    else:
        assert registry.describe(registry.get(part)) == registry.describe(part)


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("student-teacher:loss=my_loss.py", None),
        ("student-teacher: n_in=6, loss = my_loss.py", None),
        ("my_task.py:n=24,loss=my_loss.py", ("my_task.py", "n=24,loss=my_loss.py")),
        ("a:b/my_task.py", ("a:b/my_task.py", "")),
        ("./a:b=c/my_task.py", ("./a:b=c/my_task.py", "")),
    ],
)
def test_a_file_among_settings_is_not_the_part_itself(spec, file):
    assert user_files.split(spec) == file


def test_a_loss_of_a_file_is_named_among_the_settings_of_a_task(files):
    task = noisysim.tasks.get("student-teacher:n_in=6,n_train=44,n_test=9,loss=my_loss.py")
    assert task.loss == "my_loss.py"
    assert noisysim.tasks.REGISTRY.text(task).endswith("loss=my_loss.py")


def test_a_report_shows_a_diagnostic_of_a_file(files):
    result = noisysim.run(**use("diagnostic", "my_diagnostic.py"))
    assert result.plot(what="diagnostics").axes[0].get_ylabel() == "largest"
    noisysim.report(result, "run.html")
    assert "largest of each layer against updates" in Path("run.html").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_an_unknown_home_is_missing(kind):
    with pytest.raises(FileNotFoundError, match=f"no {kind} file '~no-such-user/mine.py'"):
        REGISTRIES[kind].get("~no-such-user/mine.py")


def test_a_layer_may_have_an_activation_of_a_file(files, cut):
    layers = ["dense(5, activation='my_activation.py')"]
    one = cut(task=TASK, **{**GIVEN, "layers": layers}, learner="bp")
    other = noisysim.run(TASK, **GIVEN, learner="bp", activation="my_activation.py")
    assert np.array_equal(one.history["train_loss"], other.history["train_loss"])
    Path("my_activation.py").write_text(SOURCES["activation"] + "\nraise SystemExit('executed')\n")
    with pytest.raises(ValueError, match="is not the one recorded"):
        noisysim.resume("cut.h5", progress=False)


def test_a_task_with_a_name_may_have_a_loss_of_a_file(files):
    task = noisysim.tasks.get("digits:loss=my_loss.py,standardise=feature")
    assert (task.name, task.loss, task.settings["standardise"]) == ("digits", "my_loss.py", "feature")
    assert noisysim.tasks.REGISTRY.text(task) == "digits:standardise=feature,loss=my_loss.py"
    assert noisysim.tasks.get(noisysim.tasks.REGISTRY.text(task)).crc32 == task.crc32


def test_an_activation_computes_what_its_functions_say(files):
    chip = noisysim.Chip([4, 6, 3], "ideal", "my_activation.py", seed=1, oracle=True)
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    observed = chip.forward(x)
    a = observed.activities[0].astype(np.float64)
    assert np.allclose(observed.inputs[1], a / (1 + np.exp(-a)), atol=1e-5)


def test_an_edited_activation_is_another_one(files):
    old = noisysim.Chip([4, 6, 3], "ideal", "my_activation.py", seed=1)
    Path("my_activation.py").write_text(SOURCES["activation"].replace("return a * _gate(a)", "return _gate(a)"))
    new = noisysim.Chip([4, 6, 3], "ideal", "my_activation.py", seed=1)
    x = np.ones((2, 4), np.float32)
    assert not np.allclose(old.forward(x).output, new.forward(x).output)


WRONG = {
    "an optimizer without update": (
        "optimizer",
        "def update",
        "def renew",
        r"defines no optimizer class; class Lion is none",
    ),
    "an optimizer that takes less": (
        "optimizer",
        "gradients, state, rate",
        "gradients",
        r"my_optimizer\.py:17: update must be",
    ),
    "an optimizer that is no dataclass": (
        "optimizer",
        "@dataclass(frozen=True)\n",
        "",
        "write @dataclass",
    ),
    "a diagnostic without measure": (
        "diagnostic",
        "def measure",
        "def look",
        r"Largest does not define measure\(self, probe\)",
    ),
    "a loss without a derivative": (
        "loss",
        "def absolute_error",
        "def slope",
        r"defines the functions absolute and slope: a loss file has one",
    ),
    "a loss that sums": (
        "loss",
        "sum(axis=1, ",
        "sum(",
        r"the value of outputs \(3, 2\) must be finite float64",
    ),
    "an activation of two": (
        "activation",
        "swish(a)",
        "swish(a, b)",
        r"swish must take 1 arguments",
    ),
    "an activation that is infinite": (
        "activation",
        "a * _gate(a)",
        "a / 0 * np.inf",
        r"at -3 must be one finite number",
    ),
    "an activation that returns nothing": (
        "activation",
        "return a * _gate(a)",
        "return None",
        r"at -3 must be one finite number, but returned None",
    ),
    "a loss with NaN": (
        "loss",
        "dtype=np.float64)",
        "dtype=np.float64) * np.nan",
        r"must be finite float64 of shape \(3,\), not float64 \(3,\) with NaN",
    ),
    "an activation that raises": (
        "activation",
        "return a * _gate(a)",
        "return b",
        r"raised NameError",
    ),
    "a task without a loader": (
        "task",
        "def load_parity",
        "def parity",
        r"defines no function load_NAME",
    ),
    "a task of other arguments": (
        "task",
        "data, seed)",
        "seed)",
        r"load_parity must be function load_NAME",
    ),
    "a task without annotation": (
        "task",
        ": ParitySettings,",
        ",",
        r"must be annotated with a NamedTuple class",
    ),
    "a task without a loss": (
        "task",
        '    loss: Annotated[str, Field(choices=("cce", "mse"))] = "cce"\n',
        "",
        "lack loss",
    ),
    "a task that raises": (
        "task",
        "bits = np",
        "bits = 1 / 0; np",
        r"my_task\.py:18: load_parity raised ZeroDivisionError",
    ),
    "a task that returns nothing": (
        "task",
        "return make",
        "make",
        r"must return a noisysim\.tasks\.Task, not NoneType",
    ),
}


@pytest.mark.parametrize(("kind", "text", "other", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_file_is_one_line(files, kind, text, other, said):
    assert text in SOURCES[kind]
    Path(f"my_{kind}.py").write_text(SOURCES[kind].replace(text, other))
    with pytest.raises(UserError, match=said) as caught:
        noisysim.run(**use(kind, f"my_{kind}.py"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_thread_waits_for_a_file_that_another_one_executes(files, kind):
    Path("slow.py").write_text("import time\ntime.sleep(0.2)\n" + SOURCES[kind])
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(REGISTRIES[kind].get("slow.py"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 3


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("device", "say where it is now: device='new/place.py'"),
        ("task", "say where it is now: task='new/place.py'"),
        ("diagnostic", "say where it is now: diagnostics=['new/place.py']"),
        ("loss", "put it back there"),
        ("activation", "put it back there"),
    ],
)
def test_what_is_said_of_a_moved_file_can_be_done(files, kind, place):
    described = REGISTRIES[kind].describe(REGISTRIES[kind].get(f"my_{kind}.py"))
    Path(f"my_{kind}.py").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(f"if the recorded file was moved, {place}") + "$"):
        REGISTRIES[kind].get(described)
    argument = place.partition(": ")[2].partition("=")[0]
    assert not argument or argument in inspect.signature(noisysim.resume).parameters


MORE = {
    "loss": ("\ndef other(o, t): ...\ndef other_error(o, t): ...", "the functions absolute and other: a loss"),
    "activation": ("\ndef f(a): ...\ndef f_slope(a): ...", "the functions swish and f: an activation"),
    "device": ("\nclass Other(NamedTuple): ...", "the NamedTuple classes Noisy and Other: a device"),
}


@pytest.mark.parametrize("kind", MORE)
def test_a_file_of_two_parts_is_refused(files, kind):
    text, named = MORE[kind]
    Path(f"my_{kind}.py").write_text(SOURCES[kind] + text)
    with pytest.raises(UserError, match=f"{named} file has one"):
        REGISTRIES[kind].get(f"my_{kind}.py")


@pytest.mark.parametrize("kind", ["learner", "optimizer", "diagnostic", "device"])
def test_a_class_in_the_place_of_a_part_is_said_to_be_one(files, kind):
    cls = type(REGISTRIES[kind].get(f"my_{kind}.py"))
    with pytest.raises(TypeError, match=rf": write {cls.__name__}\(\)$"):
        REGISTRIES[kind].get(cls)
    with pytest.raises(TypeError, match=r"int'>$"):
        REGISTRIES[kind].get(int)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapping_without_a_name_is_refused(kind):
    with pytest.raises(TypeError, match=r"needs a 'name' beside its settings, but has none$"):
        REGISTRIES[kind].get({})


def test_settings_of_parts_without_any_are_refused(files):
    with pytest.raises(ValueError, match="activation 'swish' has no settings: leave out slope"):
        noisysim.Chip([4, 3], "ideal", "my_activation.py:slope=1")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"loss": "my_loss.py"}, "digits"),
        ({}, "my_task.py"),
        ({"name": "my_task.py"}, "digits"),
        ({}, "digits:loss=my_loss.py,n=1"),
        ({}, "digits:loss=my_loss.py"),
    ],
)
def test_a_result_file_executes_no_file_without_a_hash(files, settings, name):
    noisysim.run("digits", layers=[4], epochs=1, learner="bp", device="ideal", out="run.h5", progress=False)
    for kind in ("loss", "task"):
        Path(f"my_{kind}.py").write_text("raise SystemExit('executed')")
    with h5py.File("run.h5", "r+") as file:
        config = json.loads(file["config"][()])
        config["task"]["name"] = name
        config["task"]["settings"].update(settings)
        del file["config"]
        file["config"] = json.dumps(config)
    message = ""
    try:
        noisysim.run(**configuration.read("run.h5", api.ARGUMENTS), progress=False)
    except ValueError as error:
        message = str(error)
    assert "executed" not in message
    assert message or "name" in settings  # which is then not the task's


@pytest.mark.parametrize("ending", [".py", r"\x2epy"])
def test_a_layer_of_a_result_file_neither(files, ending):
    noisysim.run(TASK, **GIVEN, learner="bp", out="run.h5")
    Path("my_activation.py").write_text("raise SystemExit('executed')")
    with h5py.File("run.h5", "r+") as file:
        config = json.loads(file["config"][()])
        config["layers"] = [f"dense(3, activation='my_activation{ending}')"]
        del file["config"]
        file["config"] = json.dumps(config)
    with pytest.raises(ValueError, match="without its SHA-256"):
        noisysim.resume("run.h5", progress=False)


RESERVED = {
    "learner": ("share:", "{}:"), "optimizer": ("beta:", "{}:"), "diagnostic": ("scale:", "{}:"), "task": ("n:", "{}:"),
    "device": ("amplitude:", "{}:"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORD)
@pytest.mark.parametrize("kind", RESERVED)
def test_a_setting_cannot_have_a_name_that_records_need(files, kind, name):
    text, other = RESERVED[kind]
    if kind in ("learner", "optimizer", "diagnostic") and name == "name":
        return  # which these have as a class variable
    Path(f"my_{kind}.py").write_text(SOURCES[kind].replace(text, other.format(name)))
    with pytest.raises(UserError, match=f"cannot be called {name!r}, which the record of a run needs"):
        REGISTRIES[kind].get(f"my_{kind}.py")


@pytest.mark.parametrize("name", ["data", "seed"])
def test_a_setting_of_a_task_cannot_be_what_every_loader_is_given(files, name):
    Path("my_task.py").write_text(SOURCES["task"].replace("n:", f"{name}:"))
    with pytest.raises(UserError, match=f"cannot be called {name!r}, which every loader is given"):
        noisysim.tasks.get("my_task.py")


@pytest.mark.parametrize("kind", ["device", "learner", "optimizer", "diagnostic"])
def test_a_module_that_is_loaded_anew_is_described_as_it_is(kind, tmp_path, monkeypatch):
    """As in a notebook that edits a module: the record is of the class that was given."""
    path = tmp_path / f"reloaded_{kind}.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    setting = SETTING[kind].partition("=")[0]
    described = []
    for text in (SOURCES[kind], re.sub(rf"({setting}: .*\] = )[\d.]+", r"\g<1>0.125", SOURCES[kind])):
        path.write_text(text)
        importlib.invalidate_caches()
        old = sys.modules.get(path.stem)
        module = importlib.import_module(path.stem) if old is None else importlib.reload(old)
        (cls,) = REGISTRIES[kind]._form.defined(module).values()
        described.append(REGISTRIES[kind].describe(REGISTRIES[kind].get(cls())))
    first, second = described
    assert second[setting] == 0.125 != first[setting]
    assert second != {**first, setting: 0.125}  # the record of its code is another, too
    sys.modules.pop(path.stem)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_makes_files_of_any_line_ends(files, kind, ending, mark, tmp_path, monkeypatch):
    content = (mark + SOURCES[kind]).replace("\n", ending).encode()
    Path(f"my_{kind}.py").write_bytes(content)
    recorded = REGISTRIES[kind].describe(REGISTRIES[kind].get(f"my_{kind}.py"))
    Path(f"my_{kind}.py").unlink()
    monkeypatch.setattr(user_files, "_PLACED", {})
    user_files.place_recorded([{"part": json.loads(json.dumps(recorded))}])
    assert Path(user_files._PLACED[f"my_{kind}.py"]).read_bytes() == content
    assert REGISTRIES[kind].describe(REGISTRIES[kind].get(recorded)) == recorded


def test_a_worker_takes_no_file_of_another_process(files, tmp_path, monkeypatch):
    recorded = REGISTRIES["loss"].describe(losses.get("my_loss.py"))
    Path("my_loss.py").unlink()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(user_files, "_PLACED", {})
    user_files._folder.cache_clear()
    planted = tmp_path / f"noisysim-{recorded['sha256'][:16]}" / "my_loss.py"
    planted.parent.mkdir()
    planted.write_text("raise SystemExit('executed')")
    user_files.place_recorded([recorded])
    assert losses.get("my_loss.py").name == "absolute"
    user_files._folder.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_of_a_study_makes_the_files_that_it_lacks(files, kind, tmp_path, monkeypatch):
    result = noisysim.run(**use(kind, with_setting(kind, f"my_{kind}.py")))
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path / "worker")
    with monkeypatch.context() as patched:
        patched.setattr(user_files, "_PLACED", {})
        given = worker._arguments(json.loads(json.dumps(result.config)), None, None, None, None)
        done = noisysim.run(**given, progress=False)
    assert done.config == result.config
    assert np.array_equal(done.steps["train_loss"], result.steps["train_loss"])


def test_the_package_s_own_functions_are_its_own_parts():
    assert losses.get(losses.cross_entropy) is losses.LOSSES["cce"]
    assert activations.get(activations.relu) == activations.ACTIVATIONS["relu"]


BARE = """
    whole: int = 2
    ranged: Annotated[int, Field("epochs", 0, 9)] = 3
    real: float = 1.0
"""
CALLBACK = (
    HEAD
    + '''
from noisysim.callbacks import Callback

@dataclass
class Quiet(Callback):
    """Does nothing."""

    name: ClassVar[str] = "quiet"
    first: float = 1.0
'''
)
SCHEDULE = (
    HEAD
    + '''
from noisysim.schedules import Schedule

@dataclass(frozen=True)
class Flat(Schedule):
    """Changes nothing."""

    name: ClassVar[str] = "flat"
    first: float = 1.0

    def factor(self, epoch, epochs, history):
        return 1.0
'''
)
DECLARING = {
    "callback": (CALLBACK, callbacks.REGISTRY), "schedule": (SCHEDULE, schedules.REGISTRY),
    **{kind: (SOURCES[kind], REGISTRIES[kind]) for kind in ("learner", "optimizer", "diagnostic", "task", "device")},
}  # fmt: skip


@pytest.mark.parametrize("kind", DECLARING)
def test_an_int_field_takes_whole_numbers_as_such(kind, tmp_path, monkeypatch):
    """Also where its annotation does not say so; other numbers are floats."""
    source, registry = DECLARING[kind]
    monkeypatch.chdir(tmp_path)
    declaring = re.sub(
        r"(\n    \w+: (float|Annotated\[\w+, Field\(.*\)\]) = )", lambda m: BARE.rstrip() + m[0], source, count=1
    )
    Path("plain.py").write_text(declaring)

    def values(spec):
        described = registry.describe(registry.get(spec))
        return [described.get("settings", described)[name] for name in ("whole", "ranged", "real")]

    assert [(value, type(value)) for value in values("plain.py:whole=4,ranged=5.0,real=2")] == [
        (4, int),
        (5, int),
        (2.0, float),
    ]
    for setting in ("whole=2.5", "ranged=2.5", "ranged=10"):
        with pytest.raises(ValueError, match=rf"{setting.partition('=')[0]} must be a whole number"):
            registry.get(f"plain.py:{setting}")


def test_a_str_field_takes_a_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain.py").write_text(CALLBACK + '    word: str = "a"\n')
    assert callbacks.get("plain.py:word=b").word == "b"
    with pytest.raises(TypeError, match="word must be a text, not 3"):
        callbacks.get("plain.py:word=3")
