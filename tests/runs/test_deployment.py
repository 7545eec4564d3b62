"""Deploying: a trained network on chips of a device, now and later, and a run that begins there."""

import json

import numpy as np
import pytest

import noisysim
from noisysim import Chip, Deployment, Drive
from noisysim.cli import main
from noisysim.common import openers

from command_line import command_line as command_line

LAYERS = ["conv(4, 3, padding=1)", "residual([conv(4, 3, padding=1)])", "average_pool(2)"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on exact hardware, and its file."""
    path = tmp_path_factory.mktemp("deploy") / "run.h5"
    return noisysim.run(
        "digits", layers=LAYERS, device="ideal", learner="bp", epochs=2, bias=True, activation="relu", seed=1, out=path,
        progress=False,
    )  # fmt: skip


def test_on_exact_hardware_nothing_is_lost(trained):
    found = noisysim.deploy(trained, device="ideal", task="digits", seconds=[0, 3600])
    assert found.test_accuracy[:, 0].tolist() == [trained.history["test_accuracy"][-1]] * 2
    assert found.exact_accuracy == found.test_accuracy[0, 0]
    assert all(layer.snr == np.inf and layer.clipped == layer.saturated == 0 for layer in found.layers)


def test_chips_differ_and_age(trained):
    found = noisysim.deploy(trained, device="pcm", task="digits", seconds=[0, 86400, 3e7], chips=3, seed=5)
    assert found.test_loss.shape == found.test_accuracy.shape == (3, 3)
    assert len(set(found.test_loss[0])) == 3
    assert found.test_loss[0].mean() < found.test_loss[2].mean()
    assert found.test_loss[0].min() > found.exact_loss
    assert [layer.shape for layer in found.layers] == Chip([(1, 8, 8), *LAYERS, 10], "ideal", bias=True).network.shapes
    assert all(5 < layer.snr < 40 for layer in found.layers)
    cells = 2 * sum(a * b for a, b in (layer.shape for layer in found.layers))
    assert found.cost["cells_programmed"] == cells
    again = noisysim.deploy(trained, device="pcm", task="digits", seconds=[0, 86400, 3e7], chips=3, seed=5)
    np.testing.assert_array_equal(found.test_loss, again.test_loss)


def test_a_chip_alone_is_the_first_of_several(trained):
    several = noisysim.deploy(trained, device="crossbar", task="digits", chips=2, seed=4)
    alone = noisysim.deploy(trained, device="crossbar", task="digits", seed=4)
    np.testing.assert_array_equal(several.test_loss[:, 0], alone.test_loss[:, 0])


@pytest.mark.parametrize("form", ["result", "run's file", "chip", "chip's file", "list"])
def test_a_network_comes_in_many_forms(trained, tmp_path, form):
    chip = trained.chip(oracle=True)
    chip.save(tmp_path / "chip.h5")
    network, more = {
        "result": (trained, {}), "run's file": (trained.path, {}), "chip": (chip, {}),
        "chip's file": (str(tmp_path / "chip.h5"), {}),
        "list": (LAYERS, {"init": chip.weights(), "bias": True, "activation": "relu"}),
    }[form]  # fmt: skip
    found = noisysim.deploy(network, device="crossbar", task="digits", seed=2, **more)
    expected = noisysim.deploy(trained, device="crossbar", task="digits", seed=2)
    np.testing.assert_array_equal(found.test_loss, expected.test_loss)


def test_a_model_from_elsewhere_is_deployed(trained, tmp_path):
    pytest.importorskip("onnx", reason="reads an ONNX file")
    trained.to_onnx(tmp_path / "model.onnx")
    found = noisysim.deploy(tmp_path / "model.onnx", device="crossbar", task="digits", seed=2)
    expected = noisysim.deploy(trained, device="crossbar", task="digits", seed=2)
    assert found.exact_accuracy == expected.exact_accuracy
    np.testing.assert_allclose(found.exact_loss, expected.exact_loss, rtol=1e-4)
    assert abs(found.test_accuracy[0, 0] - expected.test_accuracy[0, 0]) < 0.05


def test_its_file_is_read_again_and_is_where_a_run_begins(trained, tmp_path):
    path = tmp_path / "deploy.h5"
    found = noisysim.deploy(trained, device="pcm", task="digits", seconds=[0, 60], chips=2, out=path)
    loaded = Deployment.load(path)
    assert repr(loaded) == repr(found)
    assert isinstance(openers.opened(path), Chip)
    result = noisysim.run("digits", init=path, device="pcm", learner="anp", epochs=1, progress=False)
    assert result.config["layers"] == trained.config["layers"]
    assert (result.config["activation"], result.config["bias"]) == ("relu", True)
    assert result.config["init"]["path"] == str(path)
    named = noisysim.run("digits", layers=LAYERS, init=path, bias=True, activation="relu", epochs=1, progress=False)
    assert named.config["layers"] == trained.config["layers"]
    assert repr(noisysim.load(path)) == repr(found)
    with pytest.raises(ValueError, match=r"deploy\.h5 .*it is of a deployment: noisysim\.load reads it"):
        noisysim.resume(path)
    trained.chip().save(tmp_path / "chip.h5")
    with pytest.raises(ValueError, match="no deployment"):
        Deployment.load(tmp_path / "chip.h5")


def test_converters_that_are_too_narrow_clip():
    chip = Chip([64, 10], "crossbar:adc_range=0.05", seed=1)
    x = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)
    observed = chip.forward(x)
    (share,) = chip.saturated(observed.inputs)
    lines = observed.activities[0]
    at_the_end = np.mean(np.abs(lines) >= 0.999 * np.abs(lines).max())
    assert abs(share - at_the_end) < 0.1
    assert share > 0.5
    wide = Chip([64, 10], "crossbar:adc_range=100", seed=1)
    assert wide.saturated(wide.passes(x, [Drive()])[0].inputs) == [0.0]
    assert Chip([64, 10], "ideal").saturated(observed.inputs) == [0.0]


def test_the_span_of_cells_can_stand_for_the_largest_weights(trained):
    weights = {name: 4 * array for name, array in trained.chip(oracle=True).weights().items()}
    network = {"init": weights, "bias": True, "activation": "relu", "device": "pcm", "task": "digits"}
    fixed, scaled = (noisysim.deploy(LAYERS, weight_scaling=how, **network).layers for how in ("fixed", "column"))
    assert max(layer.clipped for layer in fixed) > 0.02
    assert max(layer.clipped for layer in scaled) == 0
    assert all(a.snr > b.snr for a, b in zip(scaled, fixed, strict=True))
    with pytest.raises(ValueError, match="unknown weight_scaling 'row'"):
        noisysim.deploy(trained, weight_scaling="row")


def test_what_cannot_be_deployed_says_why(trained, tmp_path):
    with pytest.raises(ValueError, match="needs weights"):
        noisysim.deploy(LAYERS, device="pcm", task="digits")
    x, y = np.random.default_rng(0).random((8, 5)), np.arange(8) % 2
    with pytest.raises(ValueError, match="64 inputs and 10 outputs"):
        noisysim.deploy(trained, device="pcm", task=(x, y, x, y))
    with pytest.raises(ValueError, match="rising"):
        noisysim.deploy(trained, device="pcm", task="digits", seconds=[60, 0])
    (tmp_path / "there.h5").write_text("mine")
    with pytest.raises(FileExistsError):
        noisysim.deploy(trained, device="pcm", task="digits", out=tmp_path / "there.h5")


def test_the_command_prints_tables_and_writes_a_figure_and_a_page(trained, tmp_path, capsys, monkeypatch):
    out, picture, page = (str(tmp_path / name) for name in ("d.h5", "d.png", "d.html"))
    monkeypatch.setattr("sys.argv", [
        "noisysim", "deploy", str(trained.path), "--device", "pcm", "--task", "digits", "--seconds", "0", "3600",
        "--chips", "2", "--out", out, "--plot", picture, "--page", page,
    ])  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    for words in ("digits on pcm, 2 chips", "3600", "dB", "cells programmed", picture, page):
        assert words in printed
    text = (tmp_path / "d.html").read_text()
    for words in ("Now and later", "Signal to noise", "1 h", "<svg"):
        assert words in text
    assert (tmp_path / "d.png").stat().st_size > 5000


def test_commands_show_draw_and_report_its_file(trained, tmp_path, call):
    path = tmp_path / "deploy.h5"
    found = noisysim.deploy(trained, device="pcm", task="digits", seconds=[0, 60], chips=2, out=path)
    assert call("show", path) == (0, f"{found}\n", "")
    code, out, _ = call("show", path, "--json")
    told = json.loads(out)
    assert (code, told["kind"], told["seconds"]) == (0, "deployment", [0, 60])
    assert told["test_accuracy"] == found.test_accuracy.tolist()
    assert call("plot", path)[:2] == (0, f"{tmp_path / 'deploy.png'}\n")
    assert (tmp_path / "deploy.png").stat().st_size > 5000
    assert call("report", path)[:2] == (0, f"{tmp_path / 'deploy.html'}\n")
    assert "Now and later" in (tmp_path / "deploy.html").read_text()
    for words in (["show", path, "--config"], ["plot", path, "--what", "curves"], ["plot", path, "--hue", "seed"]):
        code, out, err = call(*words)
        assert (code, out, "deploy.h5 is" in err) == (2, "", True)


# --- whose data it is tested on ---------------------------------------------------------------------------------------


def chance(path, seed=0):
    """Labels that nothing tells of: what was learned is known by heart, what was not by chance."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(200, 64)).round(4), rng.integers(0, 10, 200)
    np.savetxt(path, np.c_[x, y], delimiter=",", fmt=["%.4f"] * 64 + ["%d"])
    return x, y


TRAINED = {"layers": [64], "device": "ideal", "learner": "bp", "epochs": 60, "progress": False}


def test_a_run_is_tested_on_its_own_task(tmp_path):
    """With its standardisation and the split of its seed, be it given again or not; arrays have to be given."""
    x, y = chance(tmp_path / "chance.csv")
    run = noisysim.run(tmp_path / "chance.csv", seed=5, out=tmp_path / "run.h5", **TRAINED)
    for network in (run, tmp_path / "run.h5"):
        for task in (None, tmp_path / "chance.csv"):
            found = noisysim.deploy(network, device="ideal", task=task)
            assert found.exact_accuracy == pytest.approx(run.history["test_accuracy"][-1])
    scaled = noisysim.run("digits:standardise=feature", **{**TRAINED, "epochs": 1})
    found = noisysim.deploy(scaled, device="ideal")
    assert found.exact_accuracy == pytest.approx(scaled.history["test_accuracy"][-1])
    of_arrays = noisysim.run((x, y), seed=5, **TRAINED)
    with pytest.raises(ValueError, match=r"this run learned arrays .* give task=\(x_train, y_train, x_test, y_test\)"):
        noisysim.deploy(of_arrays, device="ideal")
    found = noisysim.deploy(of_arrays, device="ideal", task=(x, y))
    assert found.exact_accuracy == pytest.approx(of_arrays.history["test_accuracy"][-1])


@pytest.mark.parametrize("as_file", [False, True])
def test_a_start_from_a_run_that_learned_what_is_tested_is_told(tmp_path, as_file):
    chance(tmp_path / "chance.csv")
    run = noisysim.run(tmp_path / "chance.csv", seed=5, out=tmp_path / "run.h5", **{**TRAINED, "epochs": 1})
    more = {**TRAINED, "epochs": 1, "init": tmp_path / "run.h5" if as_file else run}
    said = noisysim.run(tmp_path / "chance.csv", seed=6, **more).warnings
    assert any("as seed 5 splits it, and is tested here on the split of seed 6" in one for one in said)
    assert not any("split" in one for one in noisysim.run(tmp_path / "chance.csv", seed=5, **more).warnings)
    other = noisysim.tasks.get(tmp_path / "chance.csv", standardise="global", seed=5)
    said = noisysim.run(other, seed=6, **more).warnings
    assert [one for one in said if "init:" in one] == [
        f"init: its network learned {other.name!r} with standardise='feature', here it is 'global'"
    ]


def test_a_deployment_is_not_written_over_what_it_is_made_of(trained, tmp_path):
    chance(tmp_path / "chance.csv")
    run = noisysim.run(tmp_path / "chance.csv", out=tmp_path / "run.h5", **{**TRAINED, "epochs": 1})
    before = (tmp_path / "run.h5").read_bytes(), (tmp_path / "chance.csv").read_bytes()
    for network in (run, tmp_path / "run.h5"):
        with pytest.raises(ValueError, match="it is the network itself; give another path"):
            noisysim.deploy(network, device="ideal", out=tmp_path / "run.h5", overwrite=True)
        with pytest.raises(ValueError, match="it is the task's data itself; give another path"):
            noisysim.deploy(
                network, device="ideal", task=tmp_path / "chance.csv", out=tmp_path / "chance.csv", overwrite=True
            )
    assert ((tmp_path / "run.h5").read_bytes(), (tmp_path / "chance.csv").read_bytes()) == before
