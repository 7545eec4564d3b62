"""What a report says to repeat a run with parts of the user's own, carried out: it is the same run."""

import hashlib
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import noisysim
from noisysim import cli
from noisysim.learners import BP
from noisysim.learners.optimizers import SGD
from noisysim.losses import Loss
from noisysim.reporting import command
from noisysim.runs import api, config

DOCS = Path(__file__).parents[2] / "docs" / "your-own-parts.md"
FILES = dict(
    re.findall(r"```python\n# (\w+\.py): the whole file\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
)
FILES["chip.py"] = """
from typing import NamedTuple

class Chip(NamedTuple):
    amplitude: float = 0.05

def readout(i, energy, z, u, d):
    return i + d.amplitude * z
"""
TEACHER = "student-teacher:n_in=6,n_train=40,n_test=10"
GIVEN = {
    "task": TEACHER, "layers": [5], "device": "ideal", "learner": "bp", "optimizer": "sgd", "batch_size": 8,
    "epochs": 1, "learning_rate": 1e-3,
}  # fmt: skip
PARTS = {
    "task": ("bars.py", {"task": "bars.py:noise=0.8"}),
    "loss": ("huber.py", {"task": f"{TEACHER},loss=huber.py"}),
    "device": ("chip.py", {"device": "chip.py:amplitude=0.2"}),
    "learner": ("clipped.py", {"learner": "clipped.py:limit=0.5"}),
    "optimizer": ("lion.py", {"optimizer": "lion.py:beta=0.95"}),
    "activation": ("swish.py", {"activation": "swish.py"}),
    "layer": ("swish.py", {"layers": ["dense(5, activation='swish.py')"]}),
    "diagnostic": ("active.py", {"diagnostics": ["active.py:threshold=0.5", "weight_norm"], "every": 2}),
}


@dataclass(frozen=True)
class Mine(BP):
    """A rule without a name that finds it."""

    name: ClassVar[str] = "mine"


@dataclass(frozen=True)
class Steps(SGD):
    """An optimizer without one."""

    name: ClassVar[str] = "steps"


def bent(a):
    """A half of what is positive."""
    return 0.5 * a if a > 0 else 0.1 * a


def bent_slope(a):
    """Its derivative."""
    return 0.5 if a > 0 else 0.1


def square(output, targets):
    """Squares."""
    return ((output - targets) ** 2).sum(axis=1, dtype=np.float64)


def square_error(output, targets):
    """Their derivative."""
    return 2 * (output - targets)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text)


def say(monkeypatch, line):
    """Run a command of a report."""
    program, *words = shlex.split(line.replace("\\\n", " "))
    assert program == "noisysim"
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code


def assert_same(result, first):
    assert result.config == first.config
    for name, values in first.history.items():
        np.testing.assert_array_equal(result.history[name], values)


def exec_python(text, **filled):
    """The run of a recipe in Python, with what its reader fills in."""
    for name, value in filled.items():
        text = re.sub(
            rf"(config\['{name}'\]|config\['task'\]\['settings'\]\['{name}'\]) = \.\.\.", rf"\1 = {value}", text
        )
    assert "..." not in text
    space = dict(globals())
    exec(text.replace("noisysim.run(", "again = noisysim.run("), space)
    return space["again"]


@pytest.mark.parametrize(("file", "given"), PARTS.values(), ids=PARTS)
def test_a_part_from_a_file_is_named_by_the_command_and_by_the_file(file, given, monkeypatch):
    first = noisysim.run(**{**GIVEN, **given}, out="run.h5", progress=False)
    found = command.reproduction(first.config, "again.h5")
    assert file in found.command
    assert "--config" not in found.command
    sha256 = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert sum(note.endswith(f" {file}, SHA-256 {sha256}.") for note in found.notes) == 1
    assert not re.search("source|identity|title|def ", found.toml + found.command)
    say(monkeypatch, found.command)
    assert_same(noisysim.load("again.h5"), first)
    Path("run.toml").write_text(found.toml)
    assert_same(noisysim.run(**config.read("run.toml", api.ARGUMENTS), progress=False), first)
    Path(file).write_text(FILES[file] + "\nraise SystemExit('executed')\n")
    assert command.reproduction(first.config, "again.h5") == found
    if "layers" not in given:
        with pytest.raises(ValueError, match="is not the one recorded"):
            noisysim.run(**config.read("run.toml", api.ARGUMENTS))


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_from_a_file_is_named_in_python(kind):
    other = {"optimizer": Steps()} if kind == "learner" else {"learner": Mine()}
    first = noisysim.run(**{**GIVEN, **PARTS[kind][1], **other}, out="run.h5", progress=False)
    found = command.reproduction(first.config, "run.h5")
    assert (found.command, found.toml) == ("", "")
    filled = {"optimizer": "Steps()"} if kind == "learner" else {"learner": "Mine()"}
    assert_same(exec_python(found.python, **filled), first)


def test_functions_that_are_objects_are_filled_in_in_python():
    task = {"name": "student-teacher", "n_in": 6, "n_train": 40, "n_test": 10}
    own = {"task": {**task, "loss": Loss("square", square, square_error)}, "activation": bent}
    first = noisysim.run(**{**GIVEN, **own}, out="run.h5", progress=False)
    found = command.reproduction(first.config, "run.h5")
    assert (found.command, found.toml) == ("", "")
    filled = {"activation": "bent", "loss": "Loss('square', square, square_error)"}
    assert_same(exec_python(found.python, **filled), first)


def test_a_file_that_no_word_can_name_is_named_by_the_configuration(monkeypatch):
    Path("a,b.py").write_text(FILES["huber.py"])
    task = {"name": "student-teacher", "n_in": 6, "n_train": 40, "n_test": 10, "loss": "a,b.py"}
    first = noisysim.run(**{**GIVEN, "task": task}, progress=False)
    found = command.reproduction(first.config, "again.h5")
    assert found.command == "noisysim run --config run.toml --out again.h5"
    Path("run.toml").write_text(found.toml)
    say(monkeypatch, found.command)
    assert_same(noisysim.load("again.h5"), first)


def test_what_steers_a_run_is_part_of_its_recipe(monkeypatch):
    steered = {
        "schedule": "cosine:final=0.1", "validation": 0.25, "weight_decay": 0.01, "clip": 0.5, "calibration": 16,
        "callbacks": ["early-stopping:patience=3", "early-stopping:monitor=train_loss"], "epochs": 2,
    }  # fmt: skip
    first = noisysim.run(**{**GIVEN, **steered}, progress=False)
    found = command.reproduction(first.config, "again.h5")
    assert "--validation 0.25" in found.command
    assert "--config" not in found.command
    say(monkeypatch, found.command)
    assert_same(noisysim.load("again.h5"), first)
    Path("run.toml").write_text(found.toml)
    assert_same(noisysim.run(**config.read("run.toml", api.ARGUMENTS), progress=False), first)


def test_frozen_layers_are_part_of_its_recipe(monkeypatch):
    first = noisysim.run(**{**GIVEN, "layers": [5, 4], "learner": "np", "frozen": [1, -1]}, progress=False)
    found = command.reproduction(first.config, "again.h5")
    assert "--frozen 1 3" in found.command
    say(monkeypatch, found.command)
    assert_same(noisysim.load("again.h5"), first)


def test_what_only_python_has_of_it_is_filled_in_in_python():
    def half(epoch):
        return 0.5**epoch

    first = noisysim.run(**GIVEN, schedule=half, callbacks=[print], progress=False)
    found = command.reproduction(first.config, "again.h5")
    assert (found.command, found.toml) == ("", "")
    assert "config['schedule'] = ...  # " in found.python
    assert "config['callbacks'] = [...]" in found.python
