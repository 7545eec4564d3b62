"""The command line: `noisysim run`, `resume`, `show`, `plot` and the lists."""

import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
import typing
from pathlib import Path

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import devices, learners, tasks
from noisysim.chip import diagnostics
from noisysim.cli import commands
from noisysim.cli.signatures import words_for
from noisysim.common import fields
from noisysim.learners import optimizers
from noisysim.runs import config
from noisysim.runs.api import ARGUMENTS
from noisysim.runs.signals import ENDING
from noisysim.runs.training import Training

from command_line import command_line as command_line

FAST = shlex.split("run student-teacher:n_in=6,n_train=40,n_test=10 --layers 5 --batch-size 8 --epochs 2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A result file."""
    path = tmp_path_factory.mktemp("cli") / "run.h5"
    noisysim.run("student-teacher:n_in=6,n_train=40,n_test=10", layers=[5], batch_size=8, epochs=2, out=path,
                 device="crossbar:adc_bits=6", learner="np:samples=2", optimizer="sgd:momentum=0.5", seed=5,
                 learning_rate=0.02, learning_rate_decay=0.5, bias=True, progress=False)  # fmt: skip
    return path


def history(path):
    with h5py.File(path, "r") as file:
        return {f"{group}/{name}": file[f"history/{group}/{name}"][()] for group in file["history"]
                for name in file[f"history/{group}"]}  # fmt: skip


def same(a, b):
    first, second = history(a), history(b)
    return first.keys() == second.keys() and all(np.array_equal(first[n], second[n], equal_nan=True) for n in first)


# --- as a program ---------------------------------------------------------------------------------------------------


def program(*words, folder=None):
    found = Path(sys.executable).with_name("noisysim")
    command = [str(found)] if found.exists() else [sys.executable, "-c", "from noisysim import cli; cli.main()"]
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=300, cwd=folder, check=False)


def test_the_program_runs_and_shows(tmp_path):
    words = [*FAST, "--device", "crossbar", "--out", "run.h5", "--plot", "curve.svg", "--no-progress"]
    ran = program(*words, folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["task", "network", "device", "learner", "optimizer", "epochs"]
    assert "student-teacher" in lines[0]
    assert "6-5-10" in lines[1]
    assert "<svg" in (tmp_path / "curve.svg").read_text()
    shown = program("show", "run.h5", folder=tmp_path)
    assert shown.returncode == 0
    assert shown.stdout.startswith(ran.stdout.partition("   figure")[0])


def test_an_error_is_one_line_and_exit_code_2(tmp_path):
    ran = program("run", "--device", "crosbar", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("noisysim: unknown device 'crosbar'; did you mean 'crossbar'?")
    assert len(ran.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []


# --- run ------------------------------------------------------------------------------------------------------------


def test_a_run_starts_from_a_file_of_weights(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("w.npz", **{"fc1.weight": rng.normal(size=(5, 6)), "fc2.weight": rng.normal(size=(3, 5))})
    words = [*FAST, "--init", "w.npz", "--device", "crossbar", "--learner", "np", "--out", "run.h5"]
    code, out, _ = call(*words[:1], "student-teacher:n_in=6,n_out=3,n_train=40,n_test=10", *words[2:])
    assert code == 0
    assert re.search(r"weights +from w\.npz \[[0-9a-f]{12}\]", out)
    assert call("run", "--config", "run.h5", "--out", "again.h5")[0] == 0
    assert same("run.h5", "again.h5")
    assert '"from": "file"' in call("show", "run.h5", "--config")[1]
    code, out, err = call("run", "--config", "run.h5", "--layers", "4", "--out", "other.h5")
    assert (code, out) == (2, "")
    assert "init: layer 1's weights ('fc1') must be (4, 6), not (5, 6)" in err
    assert len(err.splitlines()) == 1
    assert not Path("other.h5").exists()


def test_words_become_arguments(call, tmp_path):
    """Every argument said on the command line is the one that `noisysim.run` gets."""
    words = shlex.split(
        "run digits:loss=mse --layers 6 5 --device crossbar:adc_bits=6 --learner danp:samples=2 --optimizer "
        "sgd:momentum=0.5 --learning-rate 0.01 --learning-rate-decay 0.5 --batch-size 500 --epochs 2 --activation "
        "leaky_relu --bias --inject digital --backend cpu --seed 7 --oracle --threads 1 --checkpoint-seconds 5 "
        "--no-progress --out"
    )
    path = tmp_path / "said.h5"
    assert call(*words, path)[::2] == (0, "")
    noisysim.run("digits:loss=mse", layers=[6, 5], device="crossbar:adc_bits=6", learner="danp:samples=2",
                 optimizer="sgd:momentum=0.5", learning_rate=0.01, learning_rate_decay=0.5, batch_size=500, epochs=2,
                 bias=True, inject="digital", seed=7, oracle=True, threads=1, out=tmp_path / "called.h5")  # fmt: skip
    assert same(path, tmp_path / "called.h5")
    assert noisysim.load(path).config == noisysim.load(tmp_path / "called.h5").config
    assert call(*words, path)[0] == 2  # it exists
    assert call(*words, path, "--overwrite")[0] == 0
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["x"], file["y"] = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    code, out, _ = call("run", "--task", tmp_path / "own.h5", "--epochs", 1, "--data", tmp_path)
    assert code == 0
    assert "network  4-64-2" in out


def test_help_names_every_argument_and_says_what_the_docstring_says(call):
    code, out, _ = call("run", "--help")
    assert code == 0
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", out).split())
    section = inspect.getdoc(noisysim.run).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    documented = dict(re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", section, re.MULTILINE))
    assert set(documented) == set(ARGUMENTS)
    for name, text in documented.items():
        assert f"--{name.replace('_', '-')}" in said
        assert " ".join(text.split()) in said
    assert "--config" in said
    assert "--plot" in said
    assert "--no-bias" in said


def test_resume_has_the_help_of_its_docstring(call):
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", call("resume", "--help")[1]).split())
    for name in inspect.signature(noisysim.resume).parameters:
        assert f"--{name.replace('_', '-')}" in said
    assert "The run's result file." in said


TOML = """
task = "student-teacher:n_in=6,n_train=40,n_test=10"
layers = [5]
epochs = 2
batch_size = 8
seed = 5
learner = "np:samples=2"
learning_rate = 0.02
learning_rate_decay = 0.5
bias = true
[device]
name = "crossbar"
adc_bits = 6
[optimizer]
name = "sgd"
momentum = 0.5
"""


def test_a_toml_file_and_a_result_file_run_again(call, finished, tmp_path):
    (tmp_path / "run.toml").write_text(TOML)
    for number, source in enumerate((tmp_path / "run.toml", finished)):
        path = tmp_path / f"again{number}.h5"
        assert call("run", "--config", source, "--out", path)[::2] == (0, "")
        assert same(path, finished)
        assert noisysim.load(path).config == noisysim.load(finished).config


@pytest.mark.parametrize("form", ["toml", "h5"])
def test_what_is_said_comes_before_the_configuration(call, finished, tmp_path, form):
    source = finished
    if form == "toml":
        source = tmp_path / "run.toml"
        source.write_text(TOML)
    path = tmp_path / "other.h5"
    words = shlex.split("--epochs 1 --no-bias --layers 4 3 --device gaussian --seed 6 --learner danp:sigma=0.02")
    assert call("run", "--config", source, *words, "--out", path)[0] == 0
    chosen, stored = noisysim.load(path).config, noisysim.load(finished).config
    changed = {name for name in stored if chosen[name] != stored[name]}
    # another seed draws another teacher: the task's CRC-32 and notes tell
    assert changed == {"epochs", "bias", "layers", "device", "seed", "learner", "task"}
    assert (chosen["epochs"], chosen["bias"], chosen["layers"]) == (1, False, [4, 3])
    assert chosen["device"] == {"name": "gaussian", "sigma": 1e-3}
    assert chosen["learner"]["samples"] == 1


# --- resume, show, plot ---------------------------------------------------------------------------------------------


def test_resume_of_a_finished_run_shows_it(call, finished):
    before = finished.read_bytes()
    code, out, err = call("resume", finished)
    assert (code, err) == (0, "")
    assert out == f"{noisysim.load(finished)}\n"
    assert finished.read_bytes() == before


def test_show(call, finished):
    code, out, err = call("show", finished)
    assert (code, err) == (0, "")
    assert out.startswith(noisysim.load(finished).summary())
    assert re.search(r"^ +host  noisysim \S+, python 3\.", out, re.MULTILINE)
    assert '"learning_rate_decay": 0.5' in call("show", finished, "--config")[1]


def test_plot(call, finished, tmp_path):
    code, out, err = call("plot", finished)
    assert (code, err) == (0, "")
    assert out == f"{finished.with_suffix('.png')}\n"
    assert finished.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert call("plot", finished, "--out", tmp_path / "curve.pdf")[0] == 0
    assert (tmp_path / "curve.pdf").read_bytes().startswith(b"%PDF")


# --- lists ----------------------------------------------------------------------------------------------------------

LISTS = {
    "devices": (devices.names(), devices.kind),
    "learners": (learners.names(), lambda name: type(learners.get(name))),
    "tasks": (tasks.names(), tasks.settings),
    "optimizers": (optimizers.names(), lambda name: type(optimizers.get(name))),
    "diagnostics": (diagnostics.names(), lambda name: type(diagnostics.get(name))),
}


@pytest.mark.parametrize("command", LISTS)
def test_a_list_has_a_line_for_each(call, command):
    code, out, err = call(command)
    assert (code, err) == (0, "")
    out = out.partition("\n\n")[0]  # presets have a table of their own
    first = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert first == ["name", *LISTS[command][0]]
    assert all(len(line.split()) > 3 for line in out.splitlines()[1:])


@pytest.mark.parametrize(("command", "name"), [(c, n) for c, (names, _) in LISTS.items() for n in names])
def test_a_list_has_a_line_for_each_field_of_one(call, command, name):
    code, out, err = call(command, name)
    assert (code, err) == (0, "")
    cls = LISTS[command][1](name)
    line = tasks.about(name) if command == "tasks" else inspect.getdoc(cls).partition("\n")[0]
    assert line in out
    for field, spec in fields.declared(cls).items():
        line = next(line for line in out.splitlines() if line.startswith(f"{field} "))
        assert spec.unit in line
        assert spec.doc.split()[0] in line
        assert re.match(rf"{field}\s+\S+", line)


@pytest.mark.parametrize(("command", "words"), [("losses", "cce mse"), ("activations", "leaky_relu relu tanh")])
def test_what_has_no_settings_has_a_line_each(call, command, words):
    code, out, err = call(command)
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert all(len(lines[name].split()) > 2 for name in words.split())
    assert call(command, *words.split())[1].count("\n") >= len(words.split())


RULE = '''"""A rule of a user's own."""
from dataclasses import dataclass
from typing import Annotated, ClassVar
from noisysim.common.fields import Field
from noisysim.learners import NP


@dataclass(frozen=True)
class Mine(NP):
    """Perturbs as no other rule."""

    name: ClassVar[str] = "mine"
    zeal: Annotated[float, Field("V", 0, 7, "how eagerly")] = 3.0
'''
DEVICE = '''"""A device of a user's own."""
from typing import Annotated, NamedTuple
from noisysim.devices import Field


class Mine(NamedTuple):
    """A line with a wobble."""

    wobble: Annotated[float, Field("S", 0, 7, "how much")] = 3.0


def readout(i, energy, z, u, d):
    return i + d.wobble * z
'''


@pytest.mark.parametrize(
    ("command", "text", "line", "field"),
    [("learners", RULE, "Perturbs as no other rule.", r"zeal +3.0 +V +a number from 0 to 7 +how eagerly"),
     ("devices", DEVICE, "A line with a wobble.", r"wobble +3.0 +S +a number from 0 to 7 +how much")],
)  # fmt: skip
def test_parts_in_files_are_listed_beside_others(call, tmp_path, command, text, line, field):
    path = tmp_path / "mine.py"
    path.write_text(text)
    other = LISTS[command][0][0]
    code, out, err = call(command, path, other)
    assert (code, err) == (0, "")
    mine, _, builtin = out.partition("\n\n")
    assert mine.startswith(line)
    assert re.search(field, mine)
    assert inspect.getdoc(LISTS[command][1](other)).partition("\n")[0] in builtin
    setting = field.partition(" ")[0]
    assert re.search(rf"^{setting} +1(\.0)? +3\.0 ", call(command, f"{path}:{setting}=1")[1], re.MULTILINE)
    assert call(command, f"{path}:{setting}=3.0", "--all")[1].count("\n") >= mine.count("\n")
    assert f"has no field 'x{setting}'; did you mean {setting!r}?" in call(command, f"{path}:x{setting}=1")[2]
    assert f"{setting} must be a number from 0 to 7" in call(command, f"{path}:{setting}=8")[2]
    assert f"{setting} must be a number from 0 to 7" in call(command, f"{path}:{setting}=much")[2]


def test_of_a_preset_what_is_not_at_its_default_is_listed(call, tmp_path):
    preset, usual = devices.presets.find("ecram"), devices.defaults(devices.kind("pulsed"))
    changed = {name for name, value in preset.fields.items() if value != usual[name]}
    code, out, err = call("devices", "ecram")
    assert (code, err) == (0, "")
    listed = {line.split()[0]: line.split()[1:3] for line in out.splitlines() if re.match(r"[a-z_]+ {2,}-?[0-9]", line)}
    assert listed == {name: [repr(preset.fields[name]), repr(usual[name])] for name in changed}
    assert f"\n{len(usual) - len(changed)} other fields are at their defaults: --all lists them\n" in out
    whole = call("devices", "ecram", "--all")[1]
    assert all(re.search(rf"^{name} ", whole, re.MULTILINE) for name in usual)
    assert "--all" not in whole
    (tmp_path / "my_fit.toml").write_text('device = "crossbar"\n[fields]\nadc_bits = 5\ndac_bits = 8\n')
    out = call("devices", f"{tmp_path / 'my_fit.toml'}:slices=2")[1]
    assert re.search(r"^adc_bits +5 +8 +bits", out, re.MULTILINE)
    assert re.search(r"^slices +2 +1 ", out, re.MULTILINE)
    assert "dac_bits" not in out


def test_out_is_o_wherever_it_is():
    every = [[name] for name in commands.app if not name.startswith("-")]
    every += [["devices", "show"], ["devices", "fit"], ["networks", "show"]]
    writing = []
    for words in every:
        for one in commands.app[words[0]].parse_commands(words[1:])[1][-1].assemble_argument_collection():
            if "--out" in one.names:
                assert "-o" in one.names
                writing.append(" ".join(words))
    assert {"run", "deploy", "sweep", "tune", "plot", "report", "predict", "weights", "reproduce"} <= set(writing)
    assert {"devices show", "devices fit"} <= set(writing)


def test_o_writes_what_out_writes(call, tmp_path):
    assert call(*FAST, "-o", tmp_path / "run.h5")[::2] == (0, "")
    assert call("plot", tmp_path / "run.h5", "-o", tmp_path / "a.svg") == (0, f"{tmp_path / 'a.svg'}\n", "")
    assert call("weights", tmp_path / "run.h5", "-o", tmp_path / "w.npz") == (0, f"{tmp_path / 'w.npz'}\n", "")


def test_a_file_that_is_none_is_one_line(call, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("class A(:")
    code, out, err = call("learners", path)
    assert (code, out) == (2, "")
    assert err.startswith(f"noisysim: {path}:1: invalid syntax")


def test_words_follow_the_types_of_arguments():
    hints = typing.get_type_hints(noisysim.run)
    kinds = {name: words_for(hint) for name, hint in hints.items() if name != "return"}
    assert {name for name, kind in kinds.items() if kind is bool} == {"bias", "oracle", "overwrite", "progress"}
    assert {n for n, kind in kinds.items() if kind is int} == {
        "batch_size",
        "epochs",
        "seed",
        "every",
        "chips",
        "threads",
        "calibration",
    }
    assert {n for n, kind in kinds.items() if kind is float} == {
        "learning_rate", "learning_rate_decay", "weight_decay", "clip", "checkpoint_seconds",
    }  # fmt: skip
    lists = {name for name, kind in kinds.items() if typing.get_args(kind)[:1] == (list[str],)}
    assert lists == {"layers", "diagnostics", "callbacks", "frozen"}
    assert typing.get_args(words_for(typing.get_type_hints(noisysim.retention)["seconds"]))[0] == list[float]


def test_a_switch_is_not_said_to_be_a_number(call):
    assert re.search(r"standardise_targets\s+False\s+True or False", call("tasks", "student-teacher")[1])


def test_a_run_is_steered_and_made_longer(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steered = ["--validation", "0.25", "--schedule", "cosine:epochs=4", "--weight-decay", "0.1", "--clip", "0.5"]
    steered += ["--device", "crossbar:controller=copy"]
    code, out, err = call(*FAST, *steered, "--callbacks", "csv-log:path=log.csv", "early-stopping", "--out", "run.h5")
    assert (code, err) == (0, "")
    assert re.search(r"validation  loss \S+\n", out)
    assert "schedule cosine(final=0.0, epochs=4, warm_up=0), weight decay 0.1, clipped at norm 0.5" in out
    assert call("resume", "run.h5", "--epochs", 4)[0] == 0
    assert len(Path("log.csv").read_text().splitlines()) == 5
    code, _, err = call("resume", "run.h5", "--epochs", 3)
    assert code == 2
    assert err.startswith("noisysim: --epochs 3: run.h5 has done 4 epochs, and cannot have fewer")


def test_a_run_that_a_callback_stopped_exits_with_0(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stop = "early-stopping:monitor=train_loss,patience=1,min_delta=1000"
    code, out, err = call(*FAST[:-2], "--epochs", 9, "--callbacks", stop, "--out", "run.h5")
    assert (code, err) == (0, "")
    assert "stopped  early-stopping: train_loss was best" in out
    assert "stopped  early-stopping: train_loss was best" in call("show", "run.h5")[1]


# --- errors ---------------------------------------------------------------------------------------------------------

WRONG = {
    "device": ("run --device crosbar", "unknown device 'crosbar'; did you mean 'crossbar'"),
    "field": ("run --device crossbar:adc_bit=3", "no field 'adc_bit'; did you mean 'adc_bits'"),
    "decay": ("run --optimizer adam:weight_decay=0.1", "an argument of the run: --weight-decay"),
    "value": ("run --device crossbar:adc_bits=99", "crossbar.adc_bits must be .* not 99"),
    "learner": ("run --learner dnap", "unknown learner 'dnap'"),
    "task": ("run digts", "unknown task 'digts'; did you mean 'digits'"),
    "negative": ("run --epochs -1", "--epochs must be a whole number from 1 .* not -1"),
    "nan": ("run --learning-rate nan", "--learning-rate must be a number .* not nan"),
    "no-number": ("run --epochs many", "--epochs.*many"),
    "option": ("run --epoch 3", "(?i)unknown option.*--epoch"),
    "command": ("rnu", '(?i)unknown command "rnu"'),
    "too-many": ("run digits mnist", "mnist"),
    "no-path": ("show", "(?i)path.* requires"),
    "no-file": ("show nothing.h5", "no result file nothing.h5"),
    "no-file-to-resume": ("resume nothing.h5", "no result file nothing.h5"),
    "no-file-to-plot": ("plot nothing.h5", "no result file nothing.h5"),
    "no-config": ("run --config nothing.toml", "no configuration file nothing.toml"),
    "no-folder": ("run --out nowhere/run.h5", "there is no folder"),
    "no-picture": ("run --plot curve.gfi", "a picture file ends in one of .*png.* not 'curve.gfi'"),
    "no-picture-folder": ("run --plot nowhere/curve.png", "cannot write 'nowhere/curve.png': there is no folder"),
    "unknown-device-to-list": ("devices crosbar", "unknown device 'crosbar'"),
    "unknown-learner-to-list": ("learners x", "unknown learner 'x'"),
    "unknown-task-to-list": ("tasks x", "unknown task 'x'"),
    "switch": ("run --bias=maybe", "bias"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_errors_are_one_line(call, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noisysim.runs.api, "Training", None)  # none of them gets this far
    code, out, err = call(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("noisysim: ")
    assert len(err.splitlines()) == 1
    assert re.search(said, err)
    assert os.listdir(tmp_path) == []


def test_a_picture_that_cannot_be_drawn_costs_no_result(call, tmp_path, monkeypatch):
    """The file of the run is whole even where the picture's folder went away meanwhile."""
    path = tmp_path / "run.h5"
    monkeypatch.setattr(commands.runs.plots, "check_writable", lambda path: None)
    assert call(*FAST, "--out", path, "--plot", tmp_path / "gone" / "curve.png")[0] == 2
    assert noisysim.load(path).status == "finished"


def test_ctrl_c_before_the_first_update_is_no_traceback(call, monkeypatch):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "resolve", interrupt)
    assert call("run") == (130, "", "")


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_run_that_a_signal_ended_is_saved_and_exits_with_128_and_its_number(number, call, monkeypatch, tmp_path):
    """At the first update; what is sent again, as by `timeout`, changes nothing."""
    update = Training._update

    def send(training, rows):
        update(training, rows)
        os.kill(os.getpid(), number)
        if number != signal.SIGINT:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_update", send)
        code, out, err = call(*FAST, "--out", tmp_path / "run.h5")
    assert (code, err) == (128 + number, "")
    assert f"resume  noisysim resume {tmp_path / 'run.h5'}" in out
    assert os.listdir(tmp_path) == ["run.h5"]
    assert noisysim.load(tmp_path / "run.h5").status == "interrupted"
    assert noisysim.load(tmp_path / "run.h5").cost["updates"] == 1
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    assert call("resume", tmp_path / "run.h5")[0] == 0
    whole = noisysim.run(FAST[1], layers=[5], batch_size=8, epochs=2)
    assert (noisysim.load(tmp_path / "run.h5").steps["train_loss"] == whole.steps["train_loss"]).all()


def test_a_time_limit_ends_a_run_cleanly(call, tmp_path):
    """Again and again: a limit that has passed when learning begins still lets an update be done."""
    path, codes = tmp_path / "run.h5", [call(*FAST, "--out", tmp_path / "run.h5", "--until", "0.001s")[0]]
    assert noisysim.load(path).status == "stopped"
    assert "(stopped)" in call("show", path)[1]
    while codes[-1] and len(codes) < 20:
        code, out, err = call("resume", path, "--until", "0.001")
        assert ("noisysim resume" in out, err) == (code != 0, "")
        codes.append(code)
    assert codes == [75] * 10 + [0]
    whole = noisysim.run(FAST[1], layers=[5], batch_size=8, epochs=2)
    assert (noisysim.load(path).history["test_loss"] == whole.history["test_loss"]).all()


@pytest.mark.parametrize("until", ["", "0", "-1s", "soon", "11h 50m", "1h2", "nan", "5x"])
def test_a_time_limit_that_is_none_is_refused(until, call):
    code, _, err = call(*FAST, f"--until={until}")
    assert code == 2
    assert err == (f"noisysim: --until must be a time such as '11h50m', '90s' or a number of seconds, not {until!r}\n")


BARE = {
    "devices": "from typing import NamedTuple\n\n\nclass A(NamedTuple):\n    s: float = 0.1\n\n\n"
               "def readout(i, energy, z, u, d):\n    return i + d.s * z\n",
    "learners": "from dataclasses import dataclass\nfrom typing import ClassVar\n\n"
                "from noisysim.learners import DANP\n\n\n@dataclass(frozen=True)\n"
                "class A(DANP):\n    name: ClassVar[str] = \"mine\"\n    s: float = 0.1\n",
}  # fmt: skip


@pytest.mark.parametrize("command", BARE)
def test_a_part_without_a_docstring_has_no_line_in_place_of_one(call, tmp_path, command):
    """Python's own line on a class of fields, "A(s: float = 0.1)", says nothing."""
    source = tmp_path / "bare.py"
    source.write_text(BARE[command])
    code, out, err = call(command, source)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["field", "default", "unit", "allowed", "meaning"]
    part = {"devices": devices, "learners": learners}[command].get(str(source))
    assert "A(" not in getattr(part, "_repr_html_", str)()
