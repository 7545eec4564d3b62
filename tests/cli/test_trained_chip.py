"""The commands that use the trained chip of a run: test, predict, weights."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim.common import named_arrays

from command_line import command_line as command_line

RNG = np.random.default_rng(7)
X = RNG.normal(size=(120, 3)).round(3)
DEVICE = """
from typing import NamedTuple


class Own(NamedTuple):
    amplitude: float = 0.05


def readout(i, energy, z, u, d):
    return i + d.amplitude * z
"""
KINDS = np.array(["ant", "bee"])[(X[:, 0] > X[:, 1]).astype(int)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of samples with text labels, and a run that learned it."""
    place = tmp_path_factory.mktemp("cli")
    lines = ["a,b,c,kind", *(f"{a},{b},{c},{kind}" for (a, b, c), kind in zip(X, KINDS, strict=True))]
    (place / "t.csv").write_text("\n".join(lines) + "\n")
    noisysim.run(f"{place / 't.csv'}:target=kind", layers=[5], learner="bp", learning_rate=0.01, epochs=15, seed=1,
                 progress=False, out=place / "run.h5")  # fmt: skip
    return place


def test_a_test_prints_what_the_result_gives(folder, call):
    result = noisysim.load(folder / "run.h5")
    assert call("test", folder / "run.h5") == (0, f"{result.test()}\n", "")
    said = call("test", folder / "run.h5", "--task", folder / "t.csv", "--n-reads", 3)
    assert said == (0, f"{result.test(folder / 't.csv', n_reads=3)}\n", "")
    assert "120 samples" in said[1]
    chip = result.chip()
    chip.wait(100.0)
    assert call("test", folder / "run.h5", "--wait", 100)[1] == f"{result.test(chip=chip)}\n"


def test_predictions_are_printed_or_written_as_csv(folder, call, tmp_path):
    result = noisysim.load(folder / "run.h5")
    code, out, err = call("predict", folder / "run.h5", folder / "t.csv")
    assert (code, err) == (0, "")
    assert [row["label"] for row in csv.DictReader(io.StringIO(out))] == result.predict(X).tolist()
    np.save(tmp_path / "x.npy", X)
    code, out, err = call("predict", folder / "run.h5", tmp_path / "x.npy", "--proba", "-o", tmp_path / "p.csv")
    assert (code, out, err) == (0, f"{tmp_path / 'p.csv'}\n", "")
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert list(rows[0]) == ["p(ant)", "p(bee)"]
    shares = [[float(value) for value in row.values()] for row in rows]
    np.testing.assert_allclose(shares, result.predict(X, proba=True))
    assert call("predict", folder / "run.h5", tmp_path / "x.npy", "-o", tmp_path / "p.csv")[0] == 2
    assert call("predict", folder / "run.h5", tmp_path / "x.npy", "-o", tmp_path / "p.csv", "--overwrite")[0] == 0


def test_answers_of_several_chips_and_of_values_have_columns_of_their_own(call, tmp_path):
    values = np.stack([X[:, 0] + 1000, X[:, 1] - 5], axis=1)
    noisysim.run((X, values), layers=[5], epochs=2, chips=2, progress=False, out=tmp_path / "run.h5")
    np.save(tmp_path / "x.npy", X)
    code, out, _ = call("predict", tmp_path / "run.h5", tmp_path / "x.npy")
    rows = list(csv.reader(io.StringIO(out)))
    assert (code, rows[0]) == (0, ["y0 (chip 0)", "y1 (chip 0)", "y0 (chip 1)", "y1 (chip 1)"])
    found = np.array(rows[1:], float).reshape(120, 2, 2)
    np.testing.assert_allclose(found.swapaxes(0, 1), noisysim.load(tmp_path / "run.h5").predict(X))


@pytest.mark.parametrize("ending", named_arrays.FORMATS)
def test_weights_are_written_by_name(folder, call, tmp_path, ending):
    out = tmp_path / f"w{ending}"
    assert call("weights", folder / "run.h5", out) == (0, f"{out}\n", "")
    expected = noisysim.load(folder / "run.h5").chip(oracle=True).weights()
    written = named_arrays.read(out)
    assert list(written) == list(expected) == ["0.weight", "1.weight"]
    assert all((written[name] == expected[name]).all() for name in expected)
    code, _, said = call("weights", folder / "run.h5", out)
    assert (code, said) == (2, f"noisysim: {out} exists: give another path, or say --overwrite\n")
    again = noisysim.run(f"{folder / 't.csv'}:target=kind", layers=[5], device="ideal", init=out, epochs=1,
                         progress=False)  # fmt: skip
    assert again.config["init"]["path"] == str(out)


@pytest.mark.parametrize("name", ["run.h5", "link.csv", "t.csv", "./t.csv"])
def test_what_is_read_is_never_written_over(folder, call, tmp_path, monkeypatch, name):
    for file in ("run.h5", "t.csv"):
        shutil.copy(folder / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    Path("link.csv").symlink_to("run.h5")
    Path("link.npz").symlink_to("run.h5")
    Path("link.html").symlink_to("run.h5")
    before = [Path(file).read_bytes() for file in ("run.h5", "t.csv")]
    code, _, err = call("predict", "run.h5", "t.csv", "--out", name, "--overwrite")
    assert code == 2
    assert ("must end in .csv, not 'run.h5'" if name == "run.h5" else "itself; give another path") in err
    for words in (("weights", "run.h5", "link.npz"), ("report", "run.h5", "--out", "link.html")):
        code, _, err = call(*words, "--overwrite")
        assert (code, "itself; give another path" in err) == (2, True)
    assert [Path(file).read_bytes() for file in ("run.h5", "t.csv")] == before


def test_a_moved_device_file_is_named_in_each_command(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(DEVICE)
    noisysim.run((X, KINDS), layers=[4], learner="np", device="own.py", epochs=1, progress=False, out="run.h5")
    np.save("x.npy", X)
    np.savez("xy.npz", x=X, y=KINDS)
    expected = call("predict", "run.h5", "x.npy")
    assert expected[0] == 0
    Path("own.py").rename("moved.py")
    for words in (("predict", "run.h5", "x.npy"), ("weights", "run.h5", "w.npz"), ("test", "run.h5")):
        code, _, err = call(*words)
        assert (code, "say where it is now: --device new/place.py" in err) == (2, True)
    assert call("predict", "run.h5", "x.npy", "--device", "moved.py") == expected
    assert call("weights", "run.h5", "w.npz", "--device", "moved.py")[0] == 0
    assert "give samples" in call("test", "run.h5", "--device", "moved.py")[2]  # the data, which were arrays
    Path("other.py").write_text(f"{DEVICE}\n")
    assert "not the one recorded" in call("predict", "run.h5", "x.npy", "--device", "other.py")[2]


WRONG = {
    "no-run": (("test", "none.h5"), "no result file none.h5"),
    "task": (("test", "run.h5", "--task", "digit"), "unknown task 'digit'; did you mean 'digits'"),
    "wait": (("test", "run.h5", "--wait", "-1"), "seconds must be a number from 0"),
    "samples": (("predict", "run.h5", "none.csv"), "no file 'none.csv'"),
    "ending": (("predict", "run.h5", "t.txt"), "samples must be in a file .csv"),
    "reads": (("predict", "run.h5", "t.csv", "--n-reads", "0"), "--n-reads must be a whole number from 1"),
    "folder": (("predict", "run.h5", "t.csv", "-o", "none/x.csv"), "there is no folder"),
    "table": (("predict", "run.h5", "t.csv", "-o", "x.xlsx"), "out must end in .csv, not 'x.xlsx'"),
    "no-ending": (("predict", "run.h5", "t.csv", "-o", "answers"), "out must end in .csv, not 'answers'"),
    "weights": (("weights", "run.h5", "w.pt"), "ends in .npz or .safetensors, not 'w.pt'"),
    "study": (("weights", "t.csv", "w.npz"), "is not a whole noisysim result file"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_mistakes_are_one_line(folder, call, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    code, out, err = call(*words)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err
