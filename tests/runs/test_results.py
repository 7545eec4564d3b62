"""Results: the file and its layout, saving and loading, summaries, figures."""

import base64
import errno
import itertools
import json
import os
import re
import stat

import h5py
import matplotlib.image
import numpy as np
import pytest

import noisysim
from noisysim.common import writing
from noisysim.runs import storage
from noisysim.runs.history import EPOCH, STEP

GIVEN = {"layers": [5], "batch_size": 16, "epochs": 3, "device": "crossbar", "learner": "danp", "learning_rate": 0.1,
         "progress": False}  # fmt: skip


def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(75, 6)).astype(np.float32)
    return x, x[:, :3].argmax(axis=1)


@pytest.fixture(scope="module")
def result():
    return noisysim.run(arrays(), **GIVEN)


@pytest.fixture(scope="module")
def regression():
    return noisysim.run("student-teacher:n_in=6,n_train=40,n_test=10", **GIVEN)


@pytest.fixture
def path(result, tmp_path):
    storage.write(tmp_path / "run.h5", result.content)
    return tmp_path / "run.h5"


# --- the file -------------------------------------------------------------------------------------------------------


def test_the_layout_is_the_documented_one(path, result):
    """Read with plain h5py and json, as `noisysim.runs.storage` describes it."""
    with h5py.File(path, "r") as file:
        assert dict(file.attrs) == {
            "format": "noisysim run", "version": 3, "status": "finished", "elapsed": result.elapsed,
        }  # fmt: skip
        assert set(file) == {"config", "environment", "warnings", "cost", "history", "state"}
        config, environment, warnings, cost = (
            json.loads(file[name][()]) for name in ("config", "environment", "warnings", "cost")
        )
        assert config["seed"] == 0
        assert config["device"]["adc_bits"] == 8
        assert config["learner"] == {
            "name": "danp", "decorrelation": 1e-3, "normalise": False, "samples": 1, "sigma": 0.0, "baseline": "auto",
            "loss": "sample",
        }  # fmt: skip
        assert config["init"] == "he"
        assert config["task"]["n_train"] == 60
        assert config["learning_rate_decay"] == 1  # what was left out is resolved
        assert config["optimizer"] == {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}
        assert environment["noisysim"] == noisysim.__version__
        assert warnings == []
        assert cost["updates"] == 12
        assert set(file["history/epoch"]) == set(EPOCH)
        assert set(file["history/step"]) == set(STEP)
        for name in EPOCH:
            assert (file[f"history/epoch/{name}"].dtype, file[f"history/epoch/{name}"].shape) == (np.float64, (3,))
        assert file["history/step/train_loss"].shape == (12,)
        assert file["history/step/train_loss"].dtype == np.float64
        assert set(file["state"]) == {"chip", "learner", "optimizer", "progress", "task"}
        assert file["state/chip/weights"].shape == (6 * 5 + 5 * 3,)


def test_documented_groups_are_the_written_ones(path):
    said = re.findall(r"^    /(\w+)", storage.__doc__, re.MULTILINE)
    with h5py.File(path, "r") as file:
        assert set(said) == set(file)


def test_loading_gives_the_result_back(path, result):
    loaded = noisysim.load(path)
    for name in ("status", "config", "environment", "warnings", "cost", "elapsed"):
        assert getattr(loaded, name) == getattr(result, name)
    assert loaded.history.keys() == result.history.keys()
    for mine, other in ((loaded.history, result.history), (loaded.steps, result.steps)):
        assert all(np.array_equal(mine[name], other[name], equal_nan=True) for name in other)
    assert loaded.path == path
    assert loaded.summary() == result.summary()
    assert noisysim.load(str(path)).summary() == result.summary()


def test_saving_twice_needs_overwrite(result, tmp_path):
    target = tmp_path / "saved.h5"
    result.save(target)
    first = target.read_bytes()
    with pytest.raises(FileExistsError, match=r"saved\.h5 exists: .*overwrite=True"):
        result.save(target)
    assert target.read_bytes() == first
    result.save(str(target), overwrite=True)
    assert noisysim.load(target).summary() == result.summary()
    assert os.listdir(tmp_path) == ["saved.h5"]


def test_out_is_what_save_writes(tmp_path, result):
    noisysim.run(arrays(), **GIVEN, out=tmp_path / "out.h5")
    result.save(tmp_path / "saved.h5")
    with h5py.File(tmp_path / "out.h5") as a, h5py.File(tmp_path / "saved.h5") as b:
        names = []
        a.visit(names.append)
        datasets = [n for n in names if isinstance(a[n], h5py.Dataset) and n != "environment"]
        assert len(datasets) > 20
        for name in datasets:
            assert np.array_equal(a[name][()], b[name][()], equal_nan=a[name].dtype.kind == "f")


def test_a_link_is_followed(result, tmp_path):
    (tmp_path / "link.h5").symlink_to(tmp_path / "elsewhere.h5")
    result.save(tmp_path / "link.h5")
    result.save(tmp_path / "link.h5", overwrite=True)
    assert (tmp_path / "link.h5").is_symlink()
    assert noisysim.load(tmp_path / "elsewhere.h5").status == "finished"
    assert sorted(os.listdir(tmp_path)) == ["elsewhere.h5", "link.h5"]


# --- nothing recorded is lost ---------------------------------------------------------------------------------------


def refuse(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


FAILURES = {
    "making": lambda patch: patch.setattr(h5py.Group, "create_dataset", refuse),
    "writing": lambda patch: patch.setattr(os, "write", refuse),
    "to-disk": lambda patch: patch.setattr(os, "fsync", refuse),
    "renaming": lambda patch: patch.setattr(os, "replace", refuse),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_write_that_fails_leaves_the_old_file(failure, path, result, monkeypatch):
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        failure(patch)
        with pytest.raises(OSError, match="No space left on device"):
            result.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["run.h5"]
    assert noisysim.load(path).status == "finished"


def test_the_file_is_flushed_before_it_takes_the_place_of_the_old_one(path, result, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def flush(number):
        done.append(stat.S_ISDIR(os.fstat(number).st_mode) or os.fstat(number).st_size)
        fsync(number)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    with writing.hold(path) as held:
        done.clear()
        storage.write(held, result.content)
    assert done == [path.stat().st_size, "replace", True]  # the whole draft, and the folder once it has the new name


def run_on_a_disk_that_fills(monkeypatch, target, full):
    """A run of 5 epochs whose n-th writings of its file (0 is the one before learning) meet a full disk."""
    write, counts, seen = storage.write, itertools.count(), []

    def fill(held, content):
        with monkeypatch.context() as patch:
            if next(counts) in full:
                patch.setattr(os, "write", refuse)
            write(held, content)

    def look(held, content):
        try:
            fill(held, content)
        finally:
            epochs = len(noisysim.load(target).history["test_loss"]) if target.exists() else None
            seen.append((epochs, sorted(os.listdir(target.parent))))

    monkeypatch.setattr(storage, "write", look)
    try:
        return noisysim.run(arrays(), **{**GIVEN, "epochs": 5}, out=target), seen
    except OSError as error:
        return error, seen
    finally:
        monkeypatch.setattr(storage, "write", write)


def test_a_disk_that_is_full_for_a_while_costs_checkpoints_not_the_run(tmp_path, monkeypatch):
    target = tmp_path / "run.h5"
    with pytest.warns(RuntimeWarning, match=r"run\.h5': No space left on device; the run continues") as warned:
        result, seen = run_on_a_disk_that_fills(monkeypatch, target, {2, 3})
    assert len(warned) == 1
    assert [epochs for epochs, _ in seen] == [0, 1, 1, 1, 4, 5, 5]
    assert all(names == [".run.h5.lock", "run.h5"] for _, names in seen)  # no draft is left
    assert os.listdir(tmp_path) == ["run.h5"]
    assert result.status == "finished"
    undisturbed = noisysim.run(arrays(), **{**GIVEN, "epochs": 5})
    assert np.array_equal(noisysim.load(target).steps["train_loss"], undisturbed.steps["train_loss"])
    assert noisysim.load(target).warnings == undisturbed.warnings


def test_a_disk_that_is_full_at_the_end_is_one_line_and_the_last_checkpoint_is_resumed(tmp_path, monkeypatch):
    target = tmp_path / "run.h5"
    with pytest.warns(RuntimeWarning, match="the run continues"):
        error, _ = run_on_a_disk_that_fills(monkeypatch, target, {4, 5, 6})
    assert str(error) == (
        f"cannot write '{target}': No space left on device; the last checkpoint is complete: noisysim resume {target}"
    )
    assert error.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["run.h5"]
    assert len(noisysim.load(target).history["test_loss"]) == 3
    assert noisysim.resume(target, task=arrays(), progress=False).status == "finished"


def test_a_disk_that_is_full_from_the_start_is_an_error_before_any_work(tmp_path, monkeypatch):
    error, seen = run_on_a_disk_that_fills(monkeypatch, tmp_path / "run.h5", {0})
    assert str(error) == f"cannot write '{tmp_path / 'run.h5'}': No space left on device"
    assert len(seen) == 1
    assert os.listdir(tmp_path) == []


# --- summary --------------------------------------------------------------------------------------------------------


def test_the_summary_says_what_was_run_and_what_came_out(result):
    text = result.summary()
    assert repr(result) == text
    rows = dict(result.rows())
    assert " ".join(rows) == "task network device learner optimizer epochs train test cost digital note"
    assert rows["task"] == "arrays (60 training and 15 test samples)"
    assert rows["network"] == "6-5-3, leaky_relu"
    assert rows["device"] == "crossbar"  # of its many fields those that are not at their defaults
    assert rows["learner"].startswith("danp(decorrelation=0.001, normalise=False, samples=1")
    assert rows["optimizer"] == "adam(beta1=0.9, beta2=0.999, epsilon=1e-07), rate 0.1"
    assert re.fullmatch(r"3 of 3 \(finished\), \d+\.\d s", rows["epochs"])
    for split in ("train", "test"):
        loss, accuracy = result.history[f"{split}_loss"][-1], result.history[f"{split}_accuracy"][-1]
        assert rows[split] == f"loss {loss:.4g}, accuracy {100 * accuracy:.1f} %"
    assert "30 passes for 12 updates (2.50 each)" in rows["cost"]
    assert rows["note"] == "x and y split 60/15 by the permutation of seed 0"
    # the values stand in one column
    assert {line[:9].strip() for line in text.splitlines()} == set(rows)


def test_the_notebook_shows_the_table_and_the_curves(result):
    page = result._repr_html_()
    assert page.count("<tr>") == len(result.rows())
    found = re.search(r'<img alt="learning curves" src="data:image/png;base64,([A-Za-z0-9+/=]+)">', page)
    assert base64.b64decode(found[1]).startswith(b"\x89PNG")


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_a_figure_is_written_in_the_format_of_its_name(result, suffix, start, tmp_path):
    target = tmp_path / f"curve.{suffix}"
    figure = result.plot(target)
    assert target.read_bytes().startswith(start)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy (%)"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"epoch"}


def test_a_figure_without_a_path_writes_nothing(result, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert type(result.plot()).__name__ == "Figure"
    assert os.listdir(tmp_path) == []


def test_a_figure_shows_the_recorded_values(result):
    loss, accuracy = result.plot().axes
    drawn = {line.get_label(): line.get_xydata() for line in loss.lines}
    assert np.array_equal(drawn["each batch"][:, 1], result.steps["train_loss"])
    assert np.allclose(drawn["each batch"][:4, 0], [0.125, 0.375, 0.625, 0.875])
    assert np.array_equal(drawn["training, epoch mean"][:, 1], result.history["train_loss"])
    assert np.array_equal(drawn["test"], np.stack([[1, 2, 3], result.history["test_loss"]], axis=1))
    drawn = {line.get_label(): line.get_ydata() for line in accuracy.lines}
    assert np.array_equal(drawn["test"], 100 * result.history["test_accuracy"])


def test_many_batches_are_drawn_as_means(regression):
    content = regression.content
    steps = np.arange(1000.0)
    grown = {**content["arrays"], "history/step": {"train_loss": steps}}
    panel = noisysim.Result({**content, "arrays": grown}, None).plot().axes[0]
    line = panel.lines[0]
    assert line.get_label() == "mean of 3 batches"
    assert np.allclose(line.get_ydata()[:2], [1, 4])
    assert line.get_ydata()[-1] == 999  # the last one stands alone
    assert len(line.get_ydata()) == 334


def ranged(regression, losses):
    content = regression.content
    epochs = {name: np.resize(np.asarray(losses, float), 3) for name in content["arrays"]["history/epoch"]}
    epochs["test_accuracy"] = np.full(3, np.nan)
    changed = {**content["arrays"], "history/epoch": epochs, "history/step": {"train_loss": np.asarray(losses, float)}}
    return noisysim.Result({**content, "arrays": changed}, None).plot()


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([3.0, 2.0, 1.0], "linear"),
        ([100.0, 1.0, 0.5], "log"),
        ([1.0, 1e-3, 1e-7], "log"),
        ([0.0, 0.0, 0.0], "linear"),
        ([1.0, np.inf, np.nan], "linear"),
        ([1.0, 1e30, np.nan], "log"),
        ([1e-30, 1e-310, 0.0], "log"),
    ],
)
def test_the_scale_suits_the_losses(regression, losses, scale, tmp_path):
    figure = ranged(regression, losses)
    assert figure.axes[0].get_yscale() == scale
    assert figure.axes[0].get_ylabel() == ("loss" if scale == "linear" else "loss (log scale)")
    figure.savefig(tmp_path / "curve.png")


def test_a_figure_is_not_blank(result, regression, tmp_path):
    for name, chosen in (("a", result), ("b", regression)):
        chosen.plot(tmp_path / f"{name}.png")
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert (picture[..., :3] < 0.9).any(axis=2).mean() > 0.005


def test_plotting_leaves_pyplot_alone(result):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    result.plot()
    assert plt.get_fignums() == before
