"""Runs that start from given weights: what is recorded, repeated, resumed, swept and shown."""

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Chip, batch_norm, conv, pool
from noisysim.common import named_arrays
from noisysim.reporting import command, settings
from noisysim.reporting.report import report
from noisysim.runs import config, storage
from noisysim.runs.health import percent
from noisysim.runs.side_by_side import run_side_by_side
from noisysim.studies.cells import Cells
from noisysim.studies.grids import Plan

BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)).astype(np.float32), np.arange(60) % 3
DATA = (X[:48], Y[:48], X[48:], Y[48:])
TASK = "student-teacher:n_in=6,n_out=3,n_train=48,n_test=12"
SETTINGS = {"task": TASK, "layers": [5], "batch_size": 12, "epochs": 2, "learning_rate": 0.01, "progress": False}
W = [RNG.normal(0, 0.4, (5, 6)).astype(np.float32), RNG.normal(0, 0.4, (3, 5)).astype(np.float32)]


def run(**given):
    return noisysim.run(**{**SETTINGS, **given})


def weights_of(result):
    """What the chip of a run held at the end."""
    return result.content["arrays"]["state/chip"]["weights"]


def same(one, other):
    """Two results hold the same learning, bit for bit."""
    for group in ("history/epoch", "history/step"):
        for name, column in one.content["arrays"][group].items():
            np.testing.assert_array_equal(column, other.content["arrays"][group][name], name)
    np.testing.assert_array_equal(weights_of(one), weights_of(other))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.npz"
    named_arrays.write(path, {"fc1.weight": W[0], "fc2.weight": W[1]})
    return path


def copied(monkeypatch, folder):
    """Copies of a run's file at each of its checkpoints, until the patch is undone."""
    copies, write = [], storage.write

    def keep(path, content):
        write(path, content)
        copies.append(shutil.copy(path, folder / f"{len(copies)}.h5"))

    monkeypatch.setattr(storage, "write", keep)
    return copies


# --- where it starts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chips", [1, 3])
def test_a_run_starts_from_the_weights_it_was_given(chips, backend):
    """With a rate of zero it also ends there."""
    result = run(init=W, device="ideal", learner="np", learning_rate=0.0, chips=chips, backend=backend)
    expected = np.concatenate([np.tile(w, (chips, 1)).ravel() for w in W])
    np.testing.assert_array_equal(weights_of(result), expected)
    assert result.cost["updates"] == 8


def test_weights_in_any_form_give_the_same_run(file, tmp_path):
    named_arrays.write(tmp_path / "w.safetensors", {"a.0.weight": W[0], "a.1.weight": W[1]})
    chip = Chip([6, 5, 3], "ideal", init=W)
    forms = [W, {"0.weight": W[0], "1.weight": W[1]}, file, str(file), tmp_path / "w.safetensors", chip, iter(W)]
    results = [run(init=form) for form in forms]
    for other in results[1:]:
        same(results[0], other)
    drawn = run()
    assert not np.array_equal(drawn.steps["train_loss"], results[0].steps["train_loss"])


def test_a_network_keeps_what_it_had_learned():
    """Trained on one device, deployed on another: the first test is as good as the last one was."""
    first = noisysim.run("digits", layers=[32], device="ideal", learner="bp", epochs=3, seed=1, progress=False)
    chip = Chip([64, 32, 10], "ideal", seed=1)
    assert first.history["test_accuracy"][-1] > 0.85
    arrays = np.split(weights_of(first), [64 * 32])
    arrays = [arrays[0].reshape(32, 64), arrays[1].reshape(10, 32)]
    again = noisysim.run(
        "digits", layers=[32], device="crossbar", learner="np", init=arrays, learning_rate=0.0, epochs=1, progress=False
    )
    assert abs(again.history["test_accuracy"][0] - first.history["test_accuracy"][-1]) < 0.05
    assert chip.clipped == [0, 0]


class Tensor:
    """An array of another library."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


def test_arrays_of_other_libraries_are_taken_as_they_are():
    state = {f"fc{k + 1}.weight": Tensor(w) for k, w in enumerate(W)}
    same(run(init=state), run(init=W))


def test_runs_side_by_side_start_alike():
    given = {"init": W, "device": "crossbar", "learner": "np", "task": DATA}
    together = run_side_by_side([1, 2], **{**SETTINGS, **given})
    for seed, result in zip((1, 2), together, strict=True):
        alone = run(seed=seed, **given)
        np.testing.assert_array_equal(result.steps["train_loss"], alone.steps["train_loss"])
        assert result.config == alone.config
        assert result.warnings == alone.warnings


def test_bad_weights_are_refused_before_a_file_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"init: layer 2's weights must be \(3, 5\), not \(5, 3\): it is transposed"):
        run(init=[W[0], W[1].T], out=tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())


# --- from other runs ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a network with everything: convolutions, normalisation, biases, decorrelation, on a noisy device."""
    rng = np.random.default_rng(3)
    images = rng.normal(size=(60, 1, 6, 6)).astype(np.float32)
    data = (images[:48], np.arange(48) % 3, images[48:], np.arange(12) % 3)
    layers = [conv(2, 3), batch_norm(), pool(2), 4]
    given = {"task": data, "layers": layers, "batch_size": 12, "progress": False, "bias": True, "seed": 2}
    path = tmp_path_factory.mktemp("trained") / "first.h5"
    return given, noisysim.run(**given, device="crossbar", learner="danp", learning_rate=0.02, epochs=3, out=path)


def outputs(chip, x):
    return np.asarray(chip.forward(x).output)


@pytest.mark.parametrize("form", ["result", "loaded", "file", "record", "chip", "chip's file", "arrays"])
def test_a_run_starts_where_another_ended(form, trained, tmp_path):
    given, first = trained
    chip = first.chip(oracle=True)
    chip.save(tmp_path / "chip.h5")
    record = {"from": "file", "path": str(first.path), "sha256": hashlib.sha256(first.path.read_bytes()).hexdigest()}
    forms = {
        "result": first, "loaded": noisysim.load(first.path), "file": str(first.path), "record": record, "chip": chip,
        "chip's file": tmp_path / "chip.h5", "arrays": chip.weights(),
    }  # fmt: skip
    still = {"device": "ideal", "learner": "np", "learning_rate": 0.0, "epochs": 1}
    other = noisysim.run(**given, **still, init=forms[form])
    held = other.chip(oracle=True).weights()
    moved = [name for name, array in chip.weights().items() if not np.array_equal(held[name], array)]
    assert moved == ["0.running_mean", "0.running_var"]  # which follow the activities
    kind = {"loaded": "result", "chip's file": "file", "record": "file"}.get(form, form)
    assert other.config["init"]["from"] == kind
    assert other.config["init"].get("path") == {
        "result": str(first.path), "loaded": str(first.path), "file": str(first.path), "record": str(first.path),
        "chip's file": str(tmp_path / "chip.h5"),
    }.get(form)  # fmt: skip


def test_a_run_from_a_result_is_repeated_from_its_file_unless_that_is_another(trained, tmp_path):
    given, first = trained
    settings = {**given, "device": "ideal", "learner": "np", "learning_rate": 0.0, "epochs": 1}
    first.save(tmp_path / "first.h5")
    for init in (first, first.path):
        record = noisysim.run(**settings, init=init).config["init"]
        assert noisysim.run(**settings, init=record).config["init"] == record
    other = noisysim.run(**settings)
    other.save(tmp_path / "first.h5", overwrite=True)
    for init in (record, {**record, "from": "result"}):
        with pytest.raises(ValueError, match="is not the one recorded: it was changed since"):
            noisysim.run(**settings, init={**init, "path": str(tmp_path / "first.h5")})


def test_a_network_goes_on_learning_another_task_on_another_device_by_another_rule(trained):
    given, first = trained
    images, labels = given["task"][0], (given["task"][1] + 1) % 3
    other = {**given, "task": (images[:36], labels[:36], images[36:], labels[36:])}
    second = noisysim.run(**other, device="pcm", learner="dfa", init=first, epochs=1)
    third = noisysim.run(**other, device="crossbar", learner="danp", init=second, epochs=1)
    assert (second.status, third.status) == ("finished", "finished")
    fourth = third.chip(oracle=True)
    x = images[:8].reshape(8, -1)
    plain = Chip(fourth.architecture.input_shape and [(1, 6, 6), *given["layers"], 3], "ideal", bias=True, init=third)
    exact = Chip([(1, 6, 6), *given["layers"], 3], "ideal", bias=True, init=fourth)
    np.testing.assert_array_equal(outputs(plain, x), outputs(exact, x))
    np.testing.assert_allclose(outputs(plain, x), outputs(fourth, x), atol=0.5)


def test_of_several_chips_one_has_to_be_taken(tmp_path):
    several = run(device="crossbar", learner="np", chips=2)
    with pytest.raises(
        ValueError, match="init: the source has 2 chips, each with weights of its own: give those of one"
    ):
        run(init=several)
    one = {name: array[1] for name, array in several.chip(oracle=True).weights().items()}
    assert run(init=one).config["init"]["from"] == "arrays"


def test_files_that_hold_no_chip(tmp_path):
    import h5py

    with h5py.File(tmp_path / "study.h5", "w") as file:
        file.attrs["format"] = "noisysim study"
    with h5py.File(tmp_path / "keras.h5", "w") as file:
        file["dense/kernel:0"] = W[0].T
    for name, said in (("study", "is a study of many runs"), ("keras", "is not a whole noisysim result file")):
        with pytest.raises(ValueError, match=said) as caught:
            run(init=tmp_path / f"{name}.h5")
        assert len(str(caught.value).splitlines()) == 1
    side = run_side_by_side([1], **{**SETTINGS, "task": DATA})[0]
    with pytest.raises(ValueError, match="holds no state of its chip"):
        run(init=side)


OWN_DEVICE = """
from typing import NamedTuple


class Own(NamedTuple):
    amplitude: float = 0.05


def readout(i, energy, z, u, d):
    return i + d.amplitude * z
"""


def test_it_is_said_how_weights_of_a_moved_device_are_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN_DEVICE)
    first = run(device="own.py", epochs=1, out="{run}.h5")
    first.chip().save("chip.h5")
    Path("own.py").rename("moved.py")
    ways = {
        "{run}.h5": lambda: noisysim.load("{run}.h5").chip(device="moved.py", oracle=True),
        "chip.h5": lambda: noisysim.Chip.load("chip.h5", device="moved.py", oracle=True),
    }
    said = {
        "{run}.h5": "give init=noisysim.load('{run}.h5').chip(device='new/place.py', oracle=True)",
        "chip.h5": "give init=noisysim.Chip.load('chip.h5', device='new/place.py', oracle=True)",
    }
    for path, way in ways.items():
        with pytest.raises(FileNotFoundError) as caught:
            run(init=path, device="moved.py")
        assert str(caught.value).endswith(f"if the recorded file was moved, {said[path]}")
        assert isinstance(pickle.loads(pickle.dumps(caught.value)), FileNotFoundError)  # as sweeps send it
        assert run(init=way(), device="moved.py", epochs=1).status == "finished"


def test_a_run_does_not_replace_what_it_begins_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named_arrays.write("w.npz", {"0.weight": W[0], "1.weight": W[1]})
    rows = [",".join(map(str, (*x, y))) for x, y in zip(X, Y, strict=True)]
    Path("t.csv").write_text("\n".join(["a,b,c,d,e,f,kind", *rows]) + "\n")
    Path("link.h5").symlink_to("w.npz")
    before = [Path(name).read_bytes() for name in ("w.npz", "t.csv")]
    given = {"overwrite": True, "epochs": 1}
    for out, task in (("t.csv", "t.csv:target=kind"), ("./t.csv", {"name": "t.csv", "target": "kind"})):
        with pytest.raises(ValueError, match=r"t\.csv': it is the task's data itself; give another path"):
            run(task=task, out=out, **given)
    for out in ("w.npz", "link.h5"):
        with pytest.raises(ValueError, match="it is the file of initial weights itself; give another path"):
            run(init="w.npz", out=out, **given)
    assert [Path(name).read_bytes() for name in ("w.npz", "t.csv")] == before
    with pytest.raises(FileExistsError, match=r"w\.npz exists: .*, or say overwrite=True$"):
        run(out="w.npz")  # which is none that could be resumed
    run(out="run.h5")
    with pytest.raises(FileExistsError, match=r"another path, resume it \(noisysim resume run\.h5\), or say overwrite"):
        run(out="run.h5")


# --- clipped --------------------------------------------------------------------------------------------------------


def test_a_run_says_what_was_clipped_and_says_it_again_when_resumed(tmp_path, monkeypatch):
    large = [W[0].copy(), np.full_like(W[1], 100)]
    large[0][0, :3] = 100
    copies = copied(monkeypatch, tmp_path)
    given = {"task": DATA, "init": large, "device": "crossbar", "learner": "np"}
    whole = run(**given, checkpoint_seconds=0, out=tmp_path / "run.h5")
    monkeypatch.undo()
    said = "initial weights beyond the range of the device's cells were clipped: 10 % of layer 1, 100 % of layer 2; "
    assert any(text.startswith(said) for text in whole.warnings)
    resumed = noisysim.resume(copies[3], task=DATA, progress=False)
    same(whole, resumed)
    assert resumed.warnings == whole.warnings
    assert run_side_by_side([0], **{**SETTINGS, **given})[0].warnings == whole.warnings


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0 %"), (1e-7, "less than 0.01 %"), (0.0123, "1.23 %"), (0.9333, "93.3 %"), (1.0, "100 %")],
)
def test_shares_are_said_in_plain_numbers(share, said):
    assert percent(share) == said


def test_a_run_whose_weights_are_scaled_to_the_span_clips_nothing():
    large = [W[0], 100 * W[1]]
    result = run(init=large, device="crossbar", learner="np", weight_scaling="array")
    assert not any("clipped" in text for text in result.warnings)


@pytest.mark.parametrize("init", ["he", W])
def test_a_run_whose_weights_fit_says_nothing_of_it(init):
    assert not any("clipped" in text for text in run(init=init, device="crossbar", learner="np").warnings)


# --- from another network -------------------------------------------------------------------------------------------

DIFFERS = "initial weights: activation of layer 1 is tanh in the network they are from, leaky_relu here"


def test_a_run_says_what_the_network_of_its_weights_differs_in(tmp_path, monkeypatch):
    chip = Chip([6, 5, 3], "ideal", "tanh")
    chip.save(tmp_path / "chip.h5")
    copies = copied(monkeypatch, tmp_path)
    given = {"device": "crossbar", "learner": "np"}
    whole = run(init=tmp_path / "chip.h5", checkpoint_seconds=0, out=tmp_path / "run.h5", **given)
    monkeypatch.undo()
    assert whole.warnings.count(DIFFERS) == 1
    resumed = noisysim.resume(copies[3], progress=False)
    same(whole, resumed)
    assert (resumed.warnings, resumed.config) == (whole.warnings, whole.config)
    again = noisysim.run(**config.read(tmp_path / "run.h5", ("init", *config.SETTINGS)), progress=False)
    assert (again.warnings, again.config) == (whole.warnings, whole.config)
    toml = command.reproduction(whole.config).toml
    (tmp_path / "run.toml").write_text(toml)
    assert noisysim.run(**config.read(tmp_path / "run.toml", config.SETTINGS), progress=False).config == whole.config
    assert run_side_by_side([0], **{**SETTINGS, **given, "task": DATA, "init": chip})[0].warnings.count(DIFFERS) == 1
    assert DIFFERS not in run(init=whole, **given).warnings


def test_each_run_of_a_study_says_what_its_own_network_differs_in():
    chip = Chip([6, 5, 3], "ideal", "tanh")
    given = {name: value for name, value in SETTINGS.items() if name != "progress"}
    requested = Cells(Plan({**given, "init": chip, "activation": ["tanh", "leaky_relu", "relu"]}))
    records = [cell.plain["init"] for cell in requested.cells]
    assert [record.get("notes", []) for record in records] == [[], [DIFFERS], [DIFFERS.replace("leaky_relu", "relu")]]
    assert len(requested.weights) == 1


def test_a_first_layer_from_keras_sees_colour_images_as_keras_does():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(60, 2, 2, 3)).astype(np.float32)  # channels last
    kernel, last = rng.normal(size=(12, 5)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)
    hidden = images.reshape(60, -1) @ kernel
    labels = (np.where(hidden > 0, hidden, 0.01 * hidden) @ last).argmax(axis=1)
    data = (images[:48], labels[:48], images[48:], labels[48:])
    named = {"dense/kernel": kernel, "dense_1/kernel": last}
    task = noisysim.tasks.get(data, standardise="none", axes="nhwc")
    result = run(task=task, init=named, device="ideal", learner="np", learning_rate=0.0, epochs=1)
    assert result.history["test_accuracy"][-1] == 1.0
    assert any("was taken to see images pixel by pixel" in text for text in result.warnings)


# --- recorded -------------------------------------------------------------------------------------------------------


def test_the_record_of_a_file_names_it_with_its_hash(file, tmp_path):
    result = run(init=file, out=tmp_path / "run.h5")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert result.config["init"] == {"from": "file", "path": str(file), "sha256": digest}
    loaded = noisysim.load(tmp_path / "run.h5")
    assert loaded.config == json.loads(json.dumps(result.config)) == result.config
    assert f"from {file} [{digest[:12]}]" in loaded.summary()


def test_the_record_of_arrays_holds_their_hash():
    first, second, other = (run(init=init).config["init"] for init in (W, iter(W), [-W[0], W[1]]))
    assert first.keys() == {"from", "sha256"}
    assert first == second != other
    assert first["from"] == "arrays"
    assert run().config["init"] == "he"


def test_a_run_is_repeated_from_its_file(file, tmp_path):
    path = tmp_path / "run.h5"
    whole = run(init=file, out=path)
    arguments = config.read(path, ("init", *config.SETTINGS))
    same(noisysim.run(**arguments, progress=False), whole)
    named_arrays.write(file, {"fc1.weight": -W[0], "fc2.weight": W[1]})
    with pytest.raises(ValueError, match=r"w.npz' is not the one recorded: it was changed since"):
        noisysim.run(**arguments, progress=False)
    run(init=W, out=path, overwrite=True)
    with pytest.raises(ValueError, match="the run began with weights of arrays that its file does not hold: give them"):
        noisysim.run(**config.read(path, config.SETTINGS), progress=False)


@pytest.mark.parametrize("damage", [3, None, ["he"], {"from": "file", "path": 3}, {"from": "x", "sha256": "0" * 64}])
def test_a_file_with_another_record_is_refused(damage, file, tmp_path):
    import h5py

    run(init=file, out=tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as content:
        text = {**json.loads(content["config"][()]), "init": damage}
        del content["config"]
        content["config"] = json.dumps(text)
    with pytest.raises(ValueError, match=r"is not a whole noisysim result file \(.*init") as caught:
        noisysim.load(tmp_path / "run.h5")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layers", [[5], [5, batch_norm(), 4]], ids=["dense", "normed"])
def test_a_run_is_resumed_without_its_weights(layers, backend, file, tmp_path, monkeypatch):
    named = {"0.weight": W[0], "1.weight": W[1]}
    if len(layers) > 1:
        moments = {"0.running_mean": np.full(5, 0.3), "0.running_var": np.full(5, 2.0)}
        named = {"0.weight": W[0], **moments, "1.weight": np.ones((4, 5)), "2.weight": np.ones((3, 4))}
    named_arrays.write(file, named)
    copies = copied(monkeypatch, tmp_path)
    given = {"device": "crossbar", "learner": "danp", "backend": backend, "layers": layers}
    whole = run(init=file, checkpoint_seconds=0, out=tmp_path / "run.h5", **given)
    monkeypatch.undo()
    file.unlink()
    for copy in (copies[0], copies[3]):
        resumed = noisysim.resume(copy, progress=False)
        same(resumed, whole)
        assert resumed.config == whole.config
        assert resumed.warnings == whole.warnings
    tests = noisysim.retention(tmp_path / "run.h5", [0])
    assert np.isfinite(tests["test_loss"]).all()


# --- shown ----------------------------------------------------------------------------------------------------------


def test_how_to_repeat_a_run_names_its_weights(file, tmp_path):
    result = run(init=file, out=tmp_path / "run.h5")
    found = command.reproduction(result.config)
    assert f"--init {file}" in found.command
    assert result.config["init"]["sha256"] in found.toml
    assert any(result.config["init"]["sha256"] in note for note in found.notes)
    by_hand = command.reproduction(run(init=W).config)
    assert (by_hand.command, by_hand.toml) == ("", "")
    assert "config['init'] = ...  # the same weights, given arrays [" in by_hand.python


def test_a_table_and_a_report_name_the_weights(file, tmp_path):
    result = run(init=file, out=tmp_path / "run.h5")
    shown = {one.name: one for one in settings.run(result.config).settings}["init"]
    assert shown.changed
    assert shown.value == f"{file} [{result.config['init']['sha256'][:12]}]"
    assert str(file) in report(tmp_path / "run.h5", tmp_path / "run.html").read_text()


def test_toml_gives_what_the_arguments_give(file, tmp_path):
    toml = command.reproduction(run(init=file).config).toml
    (tmp_path / "run.toml").write_text(toml)
    same(noisysim.run(**config.read(tmp_path / "run.toml", config.SETTINGS), progress=False), run(init=file))


# --- swept ----------------------------------------------------------------------------------------------------------


def test_which_initial_weights_are_an_axis(file):
    chip = Chip([6, 5, 3], "ideal")
    alone = [W, [(W[0], None), (W[1], None)], tuple(W), {"0.weight": W[0]}, str(file), file, chip, np.ones((3, 6))]
    for init in alone:
        assert Plan({"init": init}).axes == {}
        assert Plan({"init": init}).at({})["init"] is init
    axes = Plan({"init": ["he", str(file), file.with_name("v.npz"), {"0.weight": W[0]}, chip]}).axes
    assert axes == {"init": ["he", "w.npz", "v.npz", "weights 4", "weights 5"]}
    assert Plan({"init": ["a/w.npz", "b/w.npz"]}).axes == {"init": ["a/w.npz", "b/w.npz"]}
    with pytest.raises(ValueError, match=r"init has a value twice: w\.npz"):
        Plan({"init": ["w.npz", "w.npz"]})


def test_lists_of_arrays_are_an_axis(file):
    chip = Chip([6, 5, 3], "ideal")
    pairs = [(W[0], W[0][:, 0]), (W[1], W[1][:, 0])]
    flat = [array for pair in pairs for array in pair]
    for lists in (
        [W, W],
        ["he", W],
        [tuple(W), file],
        [pairs, W],
        [flat, pairs],
        [[pairs[0]]],
        [chip, [W[0].tolist()]],
    ):
        plan = Plan({"init": lists})
        assert len(plan.axes["init"]) == len(lists)
        assert all(plan.at({"init": k})["init"] is init for k, init in enumerate(lists))
    for alone in (pairs, flat, [W[0]], [list(pair) for pair in pairs], [w.tolist() for w in W], [pairs[0]]):
        assert Plan({"init": alone}).axes == {}


def test_arguments_of_a_study_are_plain(file):
    for init, expected in (
        (W, "arrays"),
        (file, str(file)),
        (["he", file], ["he", str(file)]),
        ({"a": W[0]}, "arrays"),
        (["he", W], ["he", "arrays"]),
        ([W, W], ["arrays", "arrays"]),
    ):
        assert Plan({"init": init}).described() == {"init": expected}


def test_a_sweep_over_initial_weights(file, tmp_path):
    pytest.importorskip("distributed")
    pytest.importorskip("xarray")
    given = {"layers": [5], "batch_size": 12, "epochs": 1, "learning_rate": 0.01, "learner": "np", "device": "crossbar"}
    arrays = {"0.weight": -W[0], "1.weight": W[1]}
    chip = Chip([6, 5, 3], "ideal", "tanh", init=W)
    study = noisysim.sweep(
        out=tmp_path / "study.h5",
        task=TASK,
        init=["he", str(file), arrays, W, chip],
        workers=1,
        progress=False,
        **given,
    )
    found = study.data["test_loss"].values
    alone = [run(**{**given, "init": init}).history["test_loss"][-1] for init in ("he", file, arrays, W, W)]
    np.testing.assert_array_equal(found, alone)
    assert [DIFFERS in text for text in study.data["warnings"].values] == [False] * 4 + [True]
    page = report(study, tmp_path / "study.html").read_text()
    assert all(label in page for label in ("he", "w.npz", "weights 3", "weights 4"))


def test_a_study_of_two_files_is_reported(file, tmp_path):
    """What their records have in common is no record."""
    pytest.importorskip("distributed")
    pytest.importorskip("xarray")
    named_arrays.write(tmp_path / "v.npz", {"0.weight": -W[0], "1.weight": W[1]})
    inits = [str(file), str(tmp_path / "v.npz")]
    given = {"layers": [5], "batch_size": 12, "epochs": 1, "learning_rate": 0.01, "learner": "np", "init": inits}
    study = noisysim.sweep(TASK, out=tmp_path / "study.h5", workers=1, progress=False, **given)
    page = report(study, tmp_path / "study.html").read_text()
    assert all(path in page for path in inits)
    assert f"init = {json.dumps(inits)}" in study.toml()


# --- convolutions ---------------------------------------------------------------------------------------------------


def test_a_run_with_convolutions_and_statistics_starts_where_it_should():
    rng = np.random.default_rng(3)
    images = rng.normal(size=(40, 1, 6, 6)).astype(np.float32)
    data = (images[:32], np.arange(32) % 3, images[32:], np.arange(8) % 3)
    layers = [conv(2, 3), batch_norm(), pool(2), 4]
    named = {
        "conv.weight": rng.normal(size=(2, 1, 3, 3)), "bn.running_mean": np.array([0.3, -0.2]),
        "bn.running_var": np.array([4.0, 9.0]), "fc1.weight": rng.normal(size=(4, 8)),
        "fc2.weight": rng.normal(size=(3, 4)),
    }  # fmt: skip
    given = {"task": data, "layers": layers, "init": named, "device": "ideal", "learner": "np", "learning_rate": 0.0}
    result = noisysim.run(**given, batch_size=32, epochs=1, seed=0, progress=False)
    held = result.content["arrays"]["state/chip"]
    assert np.array_equal(np.sort(held["weights"][:18]), np.sort(named["conv.weight"].astype(np.float32).ravel()))
    assert 3.0 < held["statistics"][1, 0] <= 9.0  # one batch of steady ones from there
