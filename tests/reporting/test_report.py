"""Reports: what a page says, that it stands alone, and that its command and its TOML give the run again."""

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import h5py
import numpy as np
import pytest
import tomli_w

import noisysim
from noisysim import cli
from noisysim.cli import commands
from noisysim.learners import Learner
from noisysim.reporting import command, pages, settings
from noisysim.reporting import report as reporting
from noisysim.reporting.report import render
from noisysim.runs import api, config

from study_pages import AXES, HOSTILE, accuracy_of, finished, small, study_of

USUAL = {
    name: p.default for name, p in inspect.signature(api.run).parameters.items()
    if name in (*config.SETTINGS, "data")
}  # fmt: skip
GIVEN = {"layers": [16], "epochs": 2, "progress": False}


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and whether every element is closed."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "run.h5"
    return noisysim.run(device="crossbar:adc_bits=6", diagnostics=["angle", "passed_share"], out=path, **GIVEN)


@pytest.fixture(scope="module")
def text(result):
    return render(result)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def check_alone(text):
    """Nothing outside the page is named, nothing in it runs, ids are unique and references lead somewhere."""
    page = Page(text)
    names = {tag for tag, _ in page.elements}
    assert names.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base", "audio", "video"})
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:image/png;base64,"))
            for target in re.findall(r"url\(#([^)]*)\)", value or ""):
                assert target in ids
            if name.endswith("href") and value.startswith("#"):
                assert value[1:] in ids
            if name == "aria-labelledby":
                assert value in ids
    assert "@import" not in text
    assert "url(http" not in text
    return page


# --- the page of a run ----------------------------------------------------------------------------------------------


def test_a_page_stands_alone(text):
    page = check_alone(text)
    assert page.all("html") == [{"lang": "en"}]
    assert [a["name"] for a in page.all("meta") if "name" in a] == ["viewport", "color-scheme", "generator"]
    assert all(a["scope"] in ("col", "row") for a in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert len(page.all("h1")) == 1
    assert len(page.all("svg")) == len(page.all("figure")) == len(page.all("figcaption")) == 4
    assert all(a["role"] == "img" and len(a["aria-label"]) > 10 for a in page.all("svg"))


def test_a_page_says_what_the_run_found(page, result):
    assert "danp on crossbar: digits" in page.text
    assert f"Test accuracy {100 * result.history['test_accuracy'][-1]:.1f} %" in page.text
    assert f"Test loss {result.history['test_loss'][-1]:.4g}" in page.text
    assert "Epochs 2 of 2 90 updates" in page.text
    for name in ("passes", "mvms", "adc_conversions", "cells_programmed", "pulses"):
        assert f"{pages.words(name)} {result.cost[name]:,}" in page.text
    # two passes for each of 1437 samples an epoch, of two layers each
    assert f"MVMs {result.cost['mvms']:,} {result.cost['mvms'] / 90:,.0f} {result.cost['mvms'] / 2874:.3g}" in page.text
    assert "adc_bits 6 8 bits resolution of" in page.text
    assert all(str(value) in page.text for value in result.environment.values())
    assert "angle: Angle between the update's gradient and the true one, degrees." in page.text


def test_what_the_adc_lets_through_is_said_in_words(page, result):
    share = 100 * result.history["passed_share"][-1]
    table = page.text.partition("2 epochs")[2].partition("Diagnostics")[0]
    assert "Differences seen: share of activities that differ" in table
    assert "Differences seen 1 " in table  # the last heading, before the rows
    assert f"{share:.1f} %" in table
    assert "Passed share" not in page.text


def test_svg_texts_are_texts(page):
    assert "accuracy (%)" in page.texts
    assert "angle to the true gradient (degrees)" in page.texts


def test_the_same_run_gives_the_same_bytes(result, tmp_path):
    """Also in another process, where texts hash otherwise."""
    first = noisysim.report(result, tmp_path / "a.html")
    assert first == tmp_path / "a.html"
    where = {**os.environ, "PYTHONHASHSEED": "7"}
    words = ["-m", "noisysim", "report", result.path, "-o", tmp_path / "b.html"]
    subprocess.run([sys.executable, *words], env=where, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "b.html").read_bytes() == first.read_bytes()
    assert b"\r" not in first.read_bytes()


def test_long_runs_are_thinned():
    result = noisysim.run("student-teacher:n_in=6,n_train=40,n_test=10", layers=[5], batch_size=8, epochs=120,
                          progress=False)  # fmt: skip
    page = check_alone(render(result))
    best = int(np.argmin(result.history["test_loss"]))
    table = page.text.partition("of 120 epochs, evenly chosen")[2].partition("Cost on the chip")[0]
    rows = re.findall(r"(?<!\S)(\d+) \d+\.?\d* \d+\.?\d* 0\.\d+", table)
    assert {"1", "120", f"{best + 1}"} <= set(rows)
    assert len(rows) in (19, 20)
    assert "Test accuracy" not in page.text
    assert "%" not in page.text.partition("Learning")[0]


def test_several_chips_are_means_and_spreads():
    result = noisysim.run(chips=3, device="crossbar", **GIVEN)
    page = check_alone(render(result))
    last = 100 * result.history["test_accuracy"][-1]
    assert f"Test accuracy {last.mean():.1f} ± {last.std(ddof=1):.1f} %" in page.text
    row = page.text.partition("How the chips differ")[2]
    assert f"{last.min():.1f} %" in row
    assert f"{last.max():.1f} %" in row
    assert len(page.all("figure")) == 3
    assert "--chips 3" in page.text


def test_warnings_and_unfinished_runs_are_prominent(result):
    content = {**result.content, "status": "interrupted", "warnings": ["only 3 % of <it> got through"]}
    page = Page(render(noisysim.Result(content, Path("folder-of-mine/it's.h5"))))
    head = page.text.partition("Learning")[0]
    assert "What the run warned of only 3 % of <it> got through" in head
    assert "interrupted (interrupted before its end)" in head
    assert "noisysim resume" in head
    assert "folder-of-mine" not in page.text


def test_a_run_without_an_epoch_has_a_page(result):
    arrays = {
        group: {name: array[:0] for name, array in columns.items()} if group.startswith("history/") else columns
        for group, columns in result.content["arrays"].items()
    }
    content = {**result.content, "status": "running", "arrays": arrays, "cost": dict.fromkeys(result.cost, 0)}
    page = check_alone(render(noisysim.Result(content, None)))
    assert "Epochs 0 of 2" in page.text
    assert "Not defined in this run: angle, passed_share." in page.text
    assert page.all("svg") == []


def test_values_that_are_not_finite_have_a_page(result):
    epoch = {n: np.full_like(a, np.nan) for n, a in result.history.items()}
    arrays = {**result.content["arrays"], "history/epoch": epoch}
    page = check_alone(render(noisysim.Result({**result.content, "status": "diverged", "arrays": arrays}, None)))
    assert "diverged" in page.text
    assert f"Test loss {pages.NONE}" in page.text


def test_large_figures_become_pictures(result, monkeypatch):
    from noisysim.reporting import figures

    monkeypatch.setattr(figures, "LARGEST", 1000)
    page = check_alone(render(result))
    assert len(page.all("img")) == 4
    assert all(len(a["alt"]) > 10 and int(a["width"]) > 400 for a in page.all("img"))


# --- names that want to be more than names --------------------------------------------------------------------------


def test_hostile_names_are_texts(result, tmp_path):
    settings = json.loads(json.dumps(result.config))
    settings["device"] = {
        "name": f"{HOSTILE}.py", HOSTILE: HOSTILE, "sha256": "0" * 64,
        "source": f"class Chip(NamedTuple):\n    x: Annotated[float, Field({HOSTILE!r}, 0, 1, {HOSTILE!r})] = 1.0\n",
        "x": 1.5,
    }  # fmt: skip
    settings["task"] = {**settings["task"], "name": f"{HOSTILE}.h5", "notes": [HOSTILE]}
    content = {**result.content, "config": settings, "warnings": [HOSTILE], "environment": {HOSTILE: HOSTILE}}
    text = render(noisysim.Result(content, Path(f"{HOSTILE}.h5")))
    page = check_alone(text)
    said = " ".join(HOSTILE.split())
    assert page.text.count(said) > 8
    assert "<svg onload" not in text.replace("&lt;svg onload", "")


def test_the_source_of_a_recorded_device_is_read_and_not_executed():
    source = (
        "raise SystemExit\n"
        "class Chip(NamedTuple):\n"
        "    a: Annotated[float, Field('V', 0, 1, 'a voltage')] = 0.5\n"
        "    b: Annotated[float, fields.Field(doc='words', unit=UNIT)] = 2.0\n"
        "    c: float = COMPUTED\n"
    )
    described = {"name": "chips/my.py", "a": 0.25, "b": 2.0, "c": 3.0, "source": source, "sha256": "0" * 64}
    group = settings.groups({"device": described, "task": {}})[0]
    assert group.title == "Device chips/my.py"
    assert [(s.name, s.value, s.default, s.unit, s.meaning, s.changed) for s in group.settings] == [
        ("a", "0.25", "0.5", "V", "a voltage", True),
        ("c", "3", "", "", "", True),
        ("b", "2", "2", "", "words", False),
    ]
    described["source"] = "no python ("
    assert all(s.changed for s in settings.groups({"device": described, "task": {}})[0].settings)


# --- the command that gives the run again ---------------------------------------------------------------------------

CHIP = """
from typing import NamedTuple


class Chip(NamedTuple):
    amplitude: float = 0.05


def readout(i, energy, z, u, d):
    return i + d.amplitude * z
"""
TEACHER = "student-teacher:n_in=6,n_train=40,n_test=10"
AGAIN = {
    "defaults": {},
    "device": {"device": "crossbar:adc_bits=6,read_noise=0.123456789012345,levels=0,fano=1e-30"},
    "completed": {"device": "pcm_hermes:adc_bits=7"},
    "network": {"layers": ["conv(4, 3, stride=1, padding='same')", "batch_norm(rate=0.2)", "pool(2)", "dropout(0.25)",
                           "dense(12, activation='tanh')", 7]},
    "no-hidden-layer": {"layers": []},
    "named-network": {"layers": "bacho-2-layers-800", "activation": "relu"},
    "learner": {"learner": "np:samples=3,sigma=0.01,normalise=True", "optimizer": "sgd:momentum=0.5"},
    "oracle": {"learner": "bp"},
    "granted": {"learner": "danp", "oracle": True},
    "numbers": {"learning_rate": 1e-7, "learning_rate_decay": 1.0, "batch_size": 7, "epochs": 3, "seed": 2**63 - 1},
    "switches": {"bias": True, "inject": "digital", "init": "glorot", "activation": "tanh"},
    "diagnostics": {"diagnostics": ["angle", "bias:samples=50", "mean_angle"], "every": 7},
    "every": {"every": 9},
    "chips": {"chips": 4},
    "task": {"task": "digits:loss=mse,standardise=feature"},
    "teacher": {"task": TEACHER, "seed": 5},
    "autoencoding": {"task": "autoencoding:of=digits,noise=0.3"},
    "measured": {"device": {"name": "measured", "table": "curves, of a = cell.csv"}},
    "measured-span": {"device": {"name": "measured", "table": "curves.csv", "g_min": 1.5, "write_noise": 0.1}},
    "device-file": {"device": "my chip.py:amplitude=0.2"},
    "device-path": {"device": "chips/my,chip.py"},
    "own-data": {"task": "own data.h5"},
    "own-data-settings": {"task": "own data.h5:standardise_targets=False,loss=mse"},
    "dash": {"task": "-dash.hdf5"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the files that the runs name."""
    monkeypatch.chdir(tmp_path)
    Path("chips").mkdir()
    for path in ("my chip.py", "chips/my,chip.py"):
        Path(path).write_text(CHIP)
    rows = "".join(f"{p},{1 + 0.1 * p},{3 - 0.1 * p}\n" for p in range(21))
    for path in ("curves, of a = cell.csv", "curves.csv"):
        Path(path).write_text(f"pulse,up,down\n{rows}")
    for path in ("own data.h5", "-dash.hdf5"):
        with h5py.File(path, "w") as file:
            file["x"], file["y"] = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    return tmp_path


def resolved(given):
    """The resolved configuration of a call of `noisysim.run`, as a result file has it."""
    return json.loads(json.dumps(config.resolve(**{**USUAL, **given}).plain()))


@pytest.fixture
def spoken(monkeypatch):
    """What a command line asks of `noisysim.run`."""
    asked = []

    def run(**given):
        asked.append(given)
        return SimpleNamespace(status="finished")

    monkeypatch.setattr(commands.runs.api, "run", run)

    def speak(line):
        program, *words = shlex.split(line)
        assert program == "noisysim"
        monkeypatch.setattr(sys, "argv", [program, *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
        return asked.pop()

    return speak


@pytest.mark.pythons
@pytest.mark.parametrize("given", AGAIN.values(), ids=AGAIN)
def test_the_command_and_the_file_give_the_configuration_again(given, folder, spoken):
    before = resolved(given)
    found = command.reproduction(before, "it's.h5")
    Path("run.toml").write_text(found.toml)
    asked = spoken(found.command.replace("\\\n", " "))
    assert asked.pop("out") == "it's.h5"
    assert resolved(asked) == before
    assert resolved(config.read("run.toml", api.ARGUMENTS)) == before


def test_the_command_runs_as_a_shell_reads_it(result, page, tmp_path):
    """To the bits of the run, from the page's own text."""
    line = next(text for text in page.texts if text.startswith("noisysim run"))
    line = line.replace("noisysim", f"{shlex.quote(sys.executable)} -m noisysim", 1)
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    again = noisysim.load(tmp_path / "run.h5")
    assert again.config == result.config
    for name, values in result.history.items():
        np.testing.assert_array_equal(again.history[name], values)


def test_files_are_named_with_their_hashes(folder):
    import hashlib

    found = command.reproduction(resolved({"device": "my chip.py", "task": "own data.h5"}))
    sha256 = hashlib.sha256(CHIP.encode()).hexdigest()
    assert found.notes[0] == f"Device my chip.py, SHA-256 {sha256}."
    assert re.fullmatch(r"Task file own data\.h5: CRC-32 of the arrays [0-9a-f]{8}\.", found.notes[1])
    Path("my chip.py").write_text(CHIP.replace("0.05", "0.06"))
    Path("run.toml").write_text(found.toml)
    with pytest.raises(ValueError, match="not the one recorded"):
        resolved(config.read("run.toml", api.ARGUMENTS))
    measured = command.reproduction(resolved({"device": {"name": "measured", "table": "curves.csv"}}))
    assert re.fullmatch(r"Data file of the device curves\.csv, SHA-256 [0-9a-f]{64}\.", measured.notes[0])


@dataclass(frozen=True)
class Own(Learner):
    """A rule of somebody's own."""

    name: ClassVar[str] = "own rule"


def test_what_only_python_has_no_command_can_give(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 4))
    y = (x[:, 0] > 0).astype(int)
    monkeypatch.chdir(tmp_path)
    first = noisysim.run((x, y), layers=[5], epochs=1, device="crossbar", out="arrays.h5", progress=False)
    found = command.reproduction(first.config, "arrays.h5")
    assert (found.command, found.toml) == ("", "")
    space = {"noisysim": noisysim, "x": x, "y": y}
    python = found.python.replace("arrays = ...", "arrays = (x, y)").replace("noisysim.run(", "again = noisysim.run(")
    exec(python, space)
    np.testing.assert_array_equal(space["again"].history["train_loss"], first.history["train_loss"])
    assert "A command cannot" in Page(render(first)).text
    own = {**first.config, "learner": {"name": "own rule", "decorrelation": 0.0}}
    assert "config['learner'] = ...  # own rule" in command.reproduction(own).python
    made = {**resolved({}), "device": {"name": "__main__.Mine", "sha256": "0" * 64, "source": ""}}
    line = "devices.get_recorded(config['device'], ...)  # an instance of __main__.Mine"
    assert line in command.reproduction(made).python


# --- where it is written --------------------------------------------------------------------------------------------


def test_a_page_is_not_replaced_unasked(result, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "render", lambda source: "<p>ü</p>\n")
    path = noisysim.report(result.path, tmp_path / "page.html")
    before = path.read_bytes()
    assert before == "<p>ü</p>\n".encode()
    with pytest.raises(FileExistsError, match=r"page\.html exists"):
        noisysim.report(result, path)
    assert noisysim.report(str(result.path), str(path), overwrite=True) == path
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_bad_input_is_refused(result, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.html, not 'page\.pdf'"):
        noisysim.report(result, "page.pdf")
    with pytest.raises(FileNotFoundError, match="no result file"):
        noisysim.report(tmp_path / "no.h5", tmp_path / "page.html")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        noisysim.report(result, tmp_path / "no" / "page.html")
    with pytest.raises(TypeError, match=r"report\.out must be a path"):
        noisysim.report(result, 3)
    with pytest.raises(TypeError, match="a report is of a file"):
        noisysim.report({}, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(result, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reporting, "render", lambda source: noisysim.load(source).status)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["noisysim", "report", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code

    page = result.path.with_suffix(".html")
    page.unlink(missing_ok=True)
    assert not call(result.path)
    assert capsys.readouterr().out == f"{page}\n"
    assert call(result.path) == 2
    assert capsys.readouterr().err == f"noisysim: {page} exists: give another path, or say --overwrite\n"
    assert not call(result.path, "--overwrite")
    assert not call(result.path, "-o", tmp_path / "other.html")
    assert (tmp_path / "other.html").read_bytes() == page.read_bytes()
    assert call(tmp_path / "no.h5") == 2
    assert capsys.readouterr().err.startswith("noisysim: no result file")
    assert call(result.path, "-o", tmp_path / "x.txt") == 2
    assert capsys.readouterr().err.startswith("noisysim: a report's name ends in .html")


# --- studies --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study():
    return study_of(AXES, small, Path("study.h5"))


@pytest.fixture(scope="module")
def study_text(study):
    return render(study)


def test_the_page_of_a_study(study, study_text):
    page = check_alone(study_text)
    assert "Study of learner × adc_bits × read_noise × seed on digits" in page.text
    # the best setting is bp, 8 bits, no noise: 0.74 and 0.76
    assert "Best test accuracy 75.0 ± 1.4 % learner = bp, adc_bits = 8, read_noise = 0" in page.text
    assert "Runs 24 Finished 21 1 diverged, 1 failed, 1 missing" in page.text
    assert "only 1 % passed (21 runs, numbers of one)" in page.text
    assert (
        f"learner=danp, adc_bits=4, read_noise=0.05, seed=1 failed ValueError: {' '.join(HOSTILE.split())}" in page.text
    )
    assert "diverged the loss grew" in page.text
    assert "Traceback" not in page.text
    assert "noisysim sweep study.h5" in page.text.partition("Results")[0]
    assert "danp 4 0.05 1 of 2 47.0 %" in page.text
    assert "bp 6 0 2 of 2 69.0 ± 1.4 %" in page.text
    assert "Passes 210 10 10 10" in page.text
    assert "cpu a <b>" in page.text
    # against both numbers, a map of them, against epochs
    assert len(page.all("svg")) == len(page.all("figcaption")) == 4
    assert render(study) == study_text


def test_the_study_file_asks_for_the_same_study(study, study_text):
    from noisysim.studies import cells, grids

    page = Page(study_text)
    assert "noisysim sweep study.toml --out study.h5" in page.texts
    text = next(text for text in page.texts if text.startswith("task = "))
    assert text.rstrip("\n") == study.toml().rstrip("\n")
    tomllib = pytest.importorskip("tomllib")
    again = cells.Cells(grids.Plan(tomllib.loads(text))).cells
    assert {cell.key for cell in again} == set(study.content.keys)


def test_a_large_study_shows_its_best_and_its_worst():
    axes = {**AXES, "device": {"name": "crossbar", "adc_bits": list(range(4, 13)),
                               "read_noise": [k / 1000 for k in range(13)]}, "seed": 0}  # fmt: skip
    study = study_of(axes, lambda index, plain: finished(accuracy_of(plain)))
    page = check_alone(render(study))
    assert "of 234 settings the best 100 and the worst 100" in page.text
    table = page.text.partition("of 234 settings")[2].partition("Cost")[0]
    rows = re.findall(r"(danp|bp) (\S+) (\S+) 1 of 1 (\S+) %", table)
    assert len(rows) == 200
    shown = [float(row[3]) for row in rows]
    assert shown == sorted(shown, reverse=True)
    assert rows[0][:3] == ("bp", "12", "0")
    assert rows[-1][:3] == ("danp", "4", "0.012")


def test_a_study_without_any_finished_run_has_a_page():
    study = study_of(AXES, lambda index, plain: {"status": "failed", "error": "no memory", "values": {}})
    page = check_alone(render(study))
    assert "Finished 0 24 failed" in page.text
    assert page.all("svg") == []
    empty = check_alone(render(study_of(AXES, lambda index, plain: None)))
    assert "24 missing" in empty.text


def test_a_study_of_a_regression_shows_losses():
    axes = {"task": TEACHER, "layers": [[5], [6, 5]], "learner": ["danp", "np"]}
    values = {"test_accuracy": np.nan, "train_accuracy": np.nan, "train_loss": 1.0, "elapsed": 1.0}
    study = study_of(axes, lambda index, plain: {
        "status": "finished", "values": {**values, "test_loss": 2.0 + index}})  # fmt: skip
    page = check_alone(render(study))
    assert "Best test loss 2 " in page.text
    assert "accuracy" not in page.text.partition("What all runs share")[0]
    assert len(page.all("svg")) == 1


def test_a_study_of_several_chips_and_of_one_run():
    axes = {"chips": 3, "learner": ["danp", "np"], "layers": [16]}
    values = {"test_accuracy": [0.5, 0.6, 0.7], "test_loss": [1.0, 2.0, 3.0], "elapsed": 1.0}
    page = check_alone(render(study_of(axes, lambda index, plain: {"status": "finished", "values": values})))
    assert "danp 1 of 1 60.0 ± 10.0 % 2.0 ± 1.0 1" in page.text
    single = study_of({"layers": [16], "seed": [4]}, lambda index, plain: finished(0.5))
    text = check_alone(render(single)).text
    assert "Study of one run on digits" in text
    assert "Best test accuracy 50.0 %" in text


def test_numbers_on_a_map_are_legible():
    """They stand out from the map's colours by 4.5 to 1 or more (WCAG 2.2, 1.4.3)."""
    from matplotlib import colormaps

    from noisysim.reporting.study_figures import ink

    chosen = set()
    for ground in colormaps["viridis"](np.linspace(0, 1, 256)):
        linear = np.where(ground[:3] <= 0.04045, ground[:3] / 12.92, ((ground[:3] + 0.055) / 1.055) ** 2.4)
        luminance = linear @ (0.2126, 0.7152, 0.0722)
        chosen.add(ink(ground))
        assert (1.05 / (luminance + 0.05) if ink(ground) == "white" else (luminance + 0.05) / 0.05) > 4.5
    assert chosen == {"black", "white"}


def test_names_survive_toml():
    """What `tomli_w` writes of any text is read again."""
    tomllib = pytest.importorskip("tomllib")
    values = {"device": {"name": f"{HOSTILE}\x7f\t\n.py", "x": 1e-7, "y": True, "z": 2**62}}
    assert tomllib.loads(tomli_w.dumps(values)) == values
