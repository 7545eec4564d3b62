"""The files that callbacks write: whose they are, and where, when a run is resumed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import callbacks
from noisysim.runs import callback_files

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(60, 6)).astype(np.float32), np.arange(60) % 3
GIVEN = {"task": (X, Y), "layers": [5], "batch_size": 11, "device": "crossbar", "learner": "danp", "seed": 2}
RESUMED = {"task": (X, Y), "progress": False}
LOG, BEST = "csv-log:path=log.csv", "keep-best:path=best.h5,monitor=train_loss"


def run(**given):
    return noisysim.run(**{**GIVEN, "epochs": 1, "progress": False, **given})


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A directory to begin runs in, beside another one."""
    for name in ("home", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def strange(callback):
    """Put another run's file where a callback would write; what it holds."""
    if callback == LOG:
        run(seed=9, callbacks=[LOG])
    else:
        run(seed=9, callbacks=[BEST], overwrite=True)
    return Path("log.csv" if callback == LOG else "best.h5").read_bytes()


@pytest.mark.parametrize("callback", [LOG, BEST])
def test_a_callback_that_is_new_to_a_resumed_run_replaces_no_file(callback, home):
    run(out="run.h5")
    before = strange(callback)
    name = callback.partition(":")[0]
    with pytest.raises(FileExistsError, match=rf"callback '{name}': .* exists and was not written by this run: move"):
        noisysim.resume("run.h5", epochs=2, callbacks=[callback], **RESUMED)
    assert Path("log.csv" if callback == LOG else "best.h5").read_bytes() == before
    assert len(noisysim.load("run.h5").history["test_loss"]) == 1


@pytest.mark.parametrize("callback", [LOG, BEST])
def test_a_file_of_another_run_in_the_place_of_the_runs_own_is_left_alone(callback, home):
    run(out="run.h5", callbacks=[callback])
    Path("log.csv" if callback == LOG else "best.h5").unlink()
    before = strange(callback)
    if callback == BEST:  # the same seed does not make it the same run
        changed = noisysim.load("best.h5")
        changed.environment["started"] = "2000-01-01T00:00:00+00:00"
        changed.save("best.h5", overwrite=True)
        before = Path("best.h5").read_bytes()
    with pytest.raises(FileExistsError, match=r"exists and was not written by this run"):
        noisysim.resume("run.h5", epochs=2, **RESUMED)
    assert Path("log.csv" if callback == LOG else "best.h5").read_bytes() == before


def test_a_run_resumed_in_another_directory_writes_where_it_began(home, monkeypatch):
    run(epochs=3, callbacks=["csv-log:path=whole.csv"])
    run(out="run.h5", callbacks=[LOG, BEST])
    monkeypatch.chdir(home.parent / "other")
    Path("log.csv").write_text("precious")
    noisysim.resume("../home/run.h5", epochs=2, **RESUMED)
    assert Path("log.csv").read_text() == "precious"
    assert not Path("best.h5").exists()
    noisysim.resume("../home/run.h5", epochs=3, callbacks=[LOG, BEST], **RESUMED)  # as they are recorded
    assert (home / "log.csv").read_text() == (home / "whole.csv").read_text()
    best = noisysim.load(home / "best.h5").history["train_loss"]
    assert len(best) == int(np.argmin(noisysim.load(home / "run.h5").history["train_loss"])) + 1
    assert [path.name for path in Path().iterdir()] == ["log.csv"]


def test_a_run_that_was_moved_with_its_files_writes_beside_itself(home, monkeypatch):
    Path("results").mkdir()
    run(out="results/run.h5", callbacks=[LOG])
    before = Path("log.csv").read_text()
    shutil.copytree(home, home.parent / "copy")
    noisysim.resume("../copy/results/run.h5", epochs=2, **RESUMED)
    assert Path("log.csv").read_text() == before
    assert len(Path("../copy/log.csv").read_text().splitlines()) == 3


def test_a_kept_file_is_a_run_that_began_in_the_same_directory(home, monkeypatch):
    Path("kept").mkdir()
    best = BEST.replace("best.h5", "kept/best.h5")
    run(out="run.h5", callbacks=[best, LOG])
    assert noisysim.load("kept/best.h5").environment["folder"] == ".."
    noisysim.resume("run.h5", epochs=2, **RESUMED)
    monkeypatch.chdir(home.parent / "other")
    noisysim.resume("../home/kept/best.h5", epochs=3, callbacks=[LOG], **RESUMED)
    assert len((home / "log.csv").read_text().splitlines()) == 4
    assert list(Path().iterdir()) == []


def test_a_path_given_when_a_run_is_resumed_elsewhere_is_one_of_that_directory(home, monkeypatch):
    run(out="run.h5", callbacks=[BEST])
    monkeypatch.chdir(home.parent / "other")
    noisysim.resume("../home/run.h5", epochs=2, callbacks=["csv-log:path=new.csv"], **RESUMED)
    assert len(Path("new.csv").read_text().splitlines()) == 3
    monkeypatch.chdir(home)
    result = noisysim.resume("run.h5", epochs=3, **RESUMED)
    assert result.config["callbacks"][0]["path"] == "../other/new.csv"
    assert len(Path("../other/new.csv").read_text().splitlines()) == 4
    assert not Path("new.csv").exists()


def test_where_a_run_began_is_recorded_as_seen_from_its_file(home):
    log = [callbacks.CSVLog("log.csv")]
    inside, beside, elsewhere = (Path(one) for one in ("results/run.h5", "run.h5", "../other/run.h5"))
    folders = [callback_files.recorded_folder(log, path).get("folder") for path in (inside, beside, elsewhere)]
    assert folders == ["..", ".", str(home)]
    assert callback_files.recorded_folder([callbacks.EarlyStopping()], inside) == {}
    assert callback_files.recorded_folder(log, None) == {}
    assert "folder" not in run(out="run.h5", callbacks=["early-stopping:monitor=train_loss"]).environment


TWICE = {
    "files": (["csv-log:path=x", "keep-best:path=./x,monitor=train_loss"], "callbacks 'csv-log' and 'keep-best' would"),
    "kind": (["csv-log:path=x", "csv-log:path=x"], "callbacks 'csv-log' and 'csv-log 2' would both write x"),
    "folder": (["csv-log:path=x", "tensorboard:folder=x"], "callbacks 'csv-log' and 'tensorboard' would both write x"),
    "log": (["csv-log:path=run.h5"], "callback 'csv-log' cannot write run.h5, which is the run's own file"),
    "board": (["tensorboard:folder=run.h5"], "callback 'tensorboard' cannot write run.h5, which is the run's own file"),
}


@pytest.mark.parametrize(("specs", "said"), TWICE.values(), ids=TWICE)
def test_no_two_write_the_same_file(specs, said, home, monkeypatch):
    monkeypatch.setattr(noisysim.runs.api, "Training", None)
    with pytest.raises(ValueError, match=said):
        run(callbacks=specs, out="run.h5", overwrite=True)


def test_a_path_that_cannot_be_written_costs_that_file_not_the_run(home):
    def save(event):
        event.save("../other" if event.epoch == 1 else "no/x.h5")

    with pytest.warns(RuntimeWarning) as warned:
        result = run(epochs=2, callbacks=[save], out="run.h5")
    assert result.status == "finished"
    said = [str(one.message) for one in warned if "callback 'save'" in str(one.message)]
    assert "cannot write '../other': it is not a file" in said[0]
    assert "there is no folder" in said[1]
    assert len(noisysim.load("run.h5").history["test_loss"]) == 2
