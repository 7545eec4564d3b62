"""Runs of models from elsewhere: their layers and weights in result files, saved chips, studies and further runs."""

import json
import pickle

import numpy as np
import pytest

import noisysim
from noisysim import networks
from noisysim.cli.commands import app
from noisysim.networks.importing import models
from noisysim.runs import config

onnx = pytest.importorskip("onnx", reason="models from elsewhere need the package onnx")
pytest.importorskip("onnxruntime", reason="the models are made with ONNX Runtime")

from onnx_graphs import Builder, answers  # noqa: E402  # which imports onnx

pytestmark = pytest.mark.runs


def branching():
    """A network of digits, whose input is flat though it sees images."""
    g = Builder((64,), seed=3)
    x = g.op("Relu", g.norm(g.conv(g.op("Reshape", "x", np.array([-1, 1, 8, 8])), 4, 3)))
    x = g.op("Add", x, g.conv(x, 4, 3, pads=[1] * 4))
    return g.proto(g.dense(g.op("Flatten", g.op("Relu", x)), 10))


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "model.onnx"
    onnx.save(branching(), place)
    return place


def learn(layers, **settings):
    chosen = {"learner": "danp", "device": "crossbar", "epochs": 1, **settings}
    return noisysim.run("digits", layers=layers, **chosen)


def test_a_run_begins_with_the_model(path):
    """On exact hardware, with nothing learned, predictions are the model's."""
    result = learn(path, device="ideal", learning_rate=1e-30)
    x = noisysim.tasks.get("digits").batch("test", slice(0, 5)).inputs
    np.testing.assert_allclose(result.chip().predict(x), answers(branching(), x), rtol=1e-4, atol=1e-4)


def test_layers_are_texts_and_weights_a_record(path):
    result = learn(path)
    assert result.config["layers"] == [
        "conv1 = conv(4, 3, activation='relu')", "conv2 = conv(4, 3, padding=1, activation='linear')",
        "add()(conv1, conv2)", "activate(activation='relu')",
    ]  # fmt: skip
    assert result.config["bias"] is True
    assert result.config["init"]["from"] == "model"
    assert result.config["init"]["path"] == str(path)


def test_it_is_resumed_without_the_file(path, tmp_path):
    out = tmp_path / "run.h5"
    whole = learn(path, epochs=2)
    learn(path, out=out)
    path.unlink()
    resumed = noisysim.resume(out, epochs=2)
    np.testing.assert_array_equal(resumed.history["test_loss"], whole.history["test_loss"])


def test_its_configuration_runs_again_to_the_same_bits(path, tmp_path):
    out = tmp_path / "run.h5"
    for settings in ({}, {"fold_batch_norm": False, "learned_norms": True}):
        first = learn(networks.load(path, **settings), out=out, overwrite=True)
        again = noisysim.run(**config.read(out, config.SETTINGS))
        np.testing.assert_array_equal(again.history["test_loss"], first.history["test_loss"])


def test_a_changed_file_is_not_taken_for_the_recorded_one(path, tmp_path):
    learn(path, out=tmp_path / "run.h5")
    proto = branching()
    proto.graph.initializer[1].raw_data = bytes(len(proto.graph.initializer[1].raw_data))
    onnx.save(proto, path)
    with pytest.raises(ValueError, match="SHA-256"):
        noisysim.run(**config.read(tmp_path / "run.h5", config.SETTINGS))


def test_saved_chips_are_the_same(path, tmp_path):
    chip = noisysim.Chip(networks.load(path), "crossbar", seed=4)
    chip.save(tmp_path / "chip.h5")
    path.unlink()
    x = np.random.default_rng(0).normal(size=(3, 64))
    np.testing.assert_array_equal(noisysim.Chip.load(tmp_path / "chip.h5").predict(x), chip.copy().predict(x))


def test_a_study_takes_it(path, tmp_path):
    pytest.importorskip("xarray", reason="studies need the extra [sweep]")
    study = noisysim.sweep("digits", layers=str(path), learner=["danp", "bp"], epochs=1, seed=[0], workers=1)
    assert study.data["test_loss"].sel(learner="danp").item() == learn(path).history["test_loss"][-1]


def test_several_models_are_an_axis_of_a_study(path, tmp_path):
    pytest.importorskip("xarray", reason="studies need the extra [sweep]")
    g = Builder((64,), seed=5)
    other = tmp_path / "other.onnx"
    onnx.save(g.proto(g.dense(g.op("Tanh", g.dense("x", 12)), 10)), other)
    study = noisysim.sweep(
        "digits", layers=[str(path), networks.load(other)], epochs=1, workers=1, out=tmp_path / "s.h5"
    )
    assert study.data["test_loss"].sizes["layers"] == 2
    assert study.data["test_loss"].values[0] == learn(path).history["test_loss"][-1]
    assert study.data["layers"].values.tolist() == [str(path), str(other)]


SETTINGS = {
    "fold_batch_norm=False": {"fold_batch_norm": False},
    "output=t4,input_shape=[64]": {"output": "t4", "input_shape": [64]},
    "learned_norms=True , fold_batch_norm=False": {"fold_batch_norm": False, "learned_norms": True},
}


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_follow_the_name_of_a_file(path, text):
    network, named = networks.load(path, **SETTINGS[text]), models.opened(f"{path}:{text}")
    assert (named.layers, named.settings) == (network.layers, network.settings)
    again = models.opened(str(network))
    assert (again.layers, again.settings, str(again)) == (network.layers, network.settings, str(network))
    by_name = noisysim.Chip(f"{path}:{text}", "ideal")
    by_weights = noisysim.Chip(list(network.layers), "ideal", bias=network.bias, init=str(network))
    for name, array in network.weights().items():
        np.testing.assert_array_equal(by_name.weights()[name], array)
        np.testing.assert_array_equal(by_weights.weights()[name], array)


def test_a_study_reads_models_as_it_was_asked_to(path, tmp_path):
    """Its own record reads them in the same way."""
    pytest.importorskip("xarray", reason="studies need the extra [sweep]")
    asked = [path, networks.load(path, fold_batch_norm=False)]
    study = noisysim.sweep("digits", layers=asked, epochs=1, workers=1, out=tmp_path / "s.h5")
    labels = [str(path), f"{path}:fold_batch_norm=False"]
    assert study.data["layers"].values.tolist() == labels
    for label, network in zip(labels, asked, strict=True):
        loss = study.data["test_loss"].sel(layers=label).item()
        assert loss == learn(network).history["test_loss"][-1] == learn(label).history["test_loss"][-1]
    assert study.arguments["layers"] == labels


def test_unknown_settings_of_a_model_are_refused(path):
    for text, said in {"outptu=t4": "has no field 'outptu'; did you mean 'output'", "t4": "cannot read 't4'"}.items():
        with pytest.raises(ValueError, match=said):
            learn(f"{path}:{text}")
    with pytest.raises(FileNotFoundError, match=r"none\.onnx"):
        learn("none.onnx:output=t4")


def test_the_command_line_reads_and_shows_models_with_settings(path, capsys):
    with pytest.raises(SystemExit, match="0"):
        app(["networks", "show", f"{path}:fold_batch_norm=False"])
    assert "batch_norm" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        app(["networks", "show", str(path), "--task", "digits", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["products"] == sum(part["products"] for part in shown["parts"]) > 0
    assert shown["notes"] == []
    with pytest.raises(ValueError, match=r"64 inputs.*10 outputs, the task.* and 3"):
        app(["networks", "show", str(path), "--outputs", "3"])
    with pytest.raises(SystemExit, match="0"):
        app(["deploy", f"{path}:fold_batch_norm=False", "--task", "digits", "--device", "ideal", "--json"])
    read = json.loads(capsys.readouterr().out)
    assert read["exact_accuracy"] == noisysim.deploy(networks.load(path, fold_batch_norm=False)).exact_accuracy


def test_explicit_weights_replace_the_models(path):
    drawn = learn(path, init="he")
    assert drawn.config["init"] == "he"
    chip = noisysim.Chip(path, "ideal", init="zero")
    assert not chip.weights()["0.weight"].any()


def test_what_there_is_to_know_of_it_is_a_warning(tmp_path):
    g = Builder((64,))
    path, weight = tmp_path / "model.onnx", g.weight(64, 64)
    logits = g.dense(g.op("Relu", g.op("MatMul", g.op("Relu", g.op("MatMul", "x", weight)), weight)), 10)
    onnx.save(g.proto(g.op("Softmax", logits)), path)
    warnings = learn(path).warnings
    assert any("'c0' are used several times" in one for one in warnings)
    assert any(f"output={logits!r} leaves it out" in one for one in warnings)
    assert networks.load(path, output=logits).notes == networks.load(path).notes[:1]


def test_the_command_line_takes_it(path, tmp_path):
    words = ["--layers", str(path), "--epochs", "1", "--out", str(tmp_path / "run.h5")]
    with pytest.raises(SystemExit, match="0"):
        app(["run", *words, "--no-progress"])
    assert noisysim.load(tmp_path / "run.h5").config["init"]["path"] == str(path)


def test_a_run_is_written_as_a_model_from_the_command_line(path, tmp_path):
    run, out = tmp_path / "run.h5", tmp_path / "out.onnx"
    result = learn(path, out=run)
    with pytest.raises(SystemExit, match="0"):
        app(["weights", str(run), str(out)])
    written, chip = networks.load(out), result.chip(oracle=True)
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    exact = noisysim.Chip(list(written.layers), "ideal", bias=written.bias, init=chip)
    image = x.reshape(3, *written.input_shape)
    np.testing.assert_allclose(exact.predict(x), answers(onnx.load(out), image, "input"), rtol=1e-4, atol=1e-5)


def test_it_is_deployed(path):
    """On exact hardware nothing is lost of what the model does."""
    deployed = noisysim.deploy(path, task="digits", device="ideal")
    result = learn(path, device="ideal", learning_rate=1e-30)
    np.testing.assert_allclose(np.ravel(deployed.test_accuracy)[0], deployed.exact_accuracy)
    np.testing.assert_allclose(deployed.exact_accuracy, result.history["test_accuracy"][-1])
    assert noisysim.deploy(networks.load(path), task="digits").exact_accuracy == deployed.exact_accuracy


def test_networks_are_pickled_and_copied(path):
    network = networks.load(path, fold_batch_norm=False)
    again = pickle.loads(pickle.dumps(network))
    assert again.layers == network.layers
    for name, array in network.weights().items():
        np.testing.assert_array_equal(again.weights()[name], array)
    assert again.fitted((1, 8, 8), 10).layers[0] == (1, 8, 8)


def test_without_layers_initial_weights_bring_theirs(path):
    result = noisysim.run("digits", init=path, device="ideal", epochs=1, learning_rate=1e-30)
    assert result.config["layers"] == learn(path, device="ideal").config["layers"]
    assert result.config["init"]["from"] == "model"


def test_the_weights_alone_may_be_taken(path):
    network = networks.load(path)
    chip = noisysim.Chip(list(network.layers), "ideal", bias=True, init=path)
    for name, array in network.weights().items():
        np.testing.assert_array_equal(chip.weights()[name], array)


def test_a_model_of_other_sizes_is_refused(path):
    with pytest.raises(ValueError, match=r"64 inputs \(64,\) and 144 outputs, the task 64 \(8, 8\) and 10"):
        learn(networks.load(path, output="t5"))
    with pytest.raises(ValueError, match="the task 3072"):
        noisysim.run((np.random.default_rng(0).normal(size=(100, 3072)), np.arange(100) % 10), layers=path)


def test_images_fit_however_the_task_holds_them(tmp_path):
    """An image of the model is a flat sample of the task, and the other way round."""
    g = Builder((1, 8, 8))
    proto = g.proto(g.dense(g.op("Flatten", g.op("Tanh", g.conv("x", 3, 3, strides=[2, 2]))), 10))
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    x = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    network = networks.load(path)
    for shape in ((64,), (8, 8), (1, 8, 8)):
        chip = noisysim.Chip(network.fitted(shape, 10), "ideal")
        np.testing.assert_allclose(chip.predict(x), answers(proto, x.reshape(4, 1, 8, 8)), rtol=1e-4, atol=1e-5)
    assert network.layers[0] == (1, 8, 8)
