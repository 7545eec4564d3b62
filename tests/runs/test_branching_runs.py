"""Runs of networks that branch: they learn, are resumed to the bit, and are told in every form."""

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import batch_norm, cli, conv, dense, learners, residual
from noisysim.networks.layers import plain

import branching

RESNET = [
    conv(8, 3, padding="same"), batch_norm(), residual([conv(8, 3, padding="same"), batch_norm(), conv(8, 3, 1, 1)]),
    residual([conv(12, 3, 2, 1)], [conv(12, 1, 2)]), noisysim.average_pool(2),
]  # fmt: skip
TEXTS = [
    "conv(8, 3, padding='same')", "batch_norm()",
    "residual([conv(8, 3, padding='same'), batch_norm(), conv(8, 3, padding=1)])",
    "residual([conv(12, 3, stride=2, padding=1)], shortcut=[conv(12, 1, stride=2)])", "average_pool(size=2)",
]  # fmt: skip
WIRED = ["a = 12", "b = dense(12, activation='tanh')(input)", "concat()(a, b)", "residual(['add()(a, b)', 24])"]
SMALL = {"device": "ideal", "epochs": 1, "batch_size": 300, "progress": False, "seed": 2}


def stored(path):
    """Weights, losses and settings of a finished run."""
    with h5py.File(path, "r") as file:
        return file["state/chip/weights"][()], file["history/step/train_loss"][()], file["config"][()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(stored(one)[:2], stored(other)[:2], strict=True))


@pytest.mark.runs
def test_a_residual_network_learns_digits():
    result = noisysim.run(
        "digits", layers=RESNET, learner="bp", device="ideal", optimizer="adam", learning_rate=5e-3, batch_size=50,
        epochs=4, seed=1, progress=False,
    )  # fmt: skip
    assert result.history["test_accuracy"][-1] > 0.9


@pytest.mark.parametrize("learner", ["danp", "bp", "dfa", "inp"])
def test_a_run_is_resumed_to_the_bit_with_any_number_of_threads(tmp_path, learner):
    settings = {**SMALL, "layers": RESNET, "learner": learner, "device": "crossbar:read_noise=0.01"}
    noisysim.run("digits", **{**settings, "epochs": 2}, threads=2, out=tmp_path / "whole.h5")
    noisysim.run("digits", **settings, threads=1, out=tmp_path / "half.h5")
    noisysim.resume(tmp_path / "half.h5", epochs=2)
    assert same(tmp_path / "whole.h5", tmp_path / "half.h5")


def test_a_run_with_digital_layers_is_resumed_to_the_bit(tmp_path):
    layers = [
        "conv(4, 3, stride=2, digital=True)",
        "conv(8, 3)",
        "batch_norm(learned=True)",
        "layer_norm(learned=True)",
    ]
    settings = {**SMALL, "layers": layers, "learner": "danp", "device": "crossbar:read_noise=0.01"}
    whole = noisysim.run("digits", **{**settings, "epochs": 2}, threads=2, out=tmp_path / "whole.h5")
    noisysim.run("digits", **settings, threads=1, out=tmp_path / "half.h5")
    resumed = noisysim.resume(tmp_path / "half.h5", epochs=2)
    assert resumed.config["layers"] == layers
    x = np.ones((2, 64))
    np.testing.assert_array_equal(resumed.chip().predict(x), whole.chip().predict(x))
    assert same(tmp_path / "whole.h5", tmp_path / "half.h5")


@pytest.mark.parametrize("name", [name for name in branching.NETS if "windows" not in name])
def test_chips_side_by_side_learn_what_each_learns_by_itself(name):
    layers = branching.NETS[name]
    rng = np.random.default_rng(4)
    x = rng.standard_normal((40, *([layers[0]] if isinstance(layers[0], int) else layers[0]))).astype(np.float32)
    n_out = noisysim.Chip(layers, "ideal").network.n_out
    labels = np.arange(40) % n_out
    hidden = layers[1:] if layers[-1].name == "output" else layers[1:-1]
    settings = {
        **SMALL,
        "layers": hidden,
        "learner": "anp:sigma=0.02" if name == "digital" else "anp",  # a strength that is chosen is one for all chips
        "device": "crossbar",
        "batch_size": 8,
        "activation": "tanh",
    }
    together = noisysim.run((x, labels), chips=2, **settings)
    assert np.isfinite(together.steps["train_loss"]).all()
    alone = noisysim.run((x, labels), **settings)
    np.testing.assert_array_equal(np.asarray(together.steps["train_loss"])[:, 0], alone.steps["train_loss"])


def test_every_form_of_a_list_is_the_same_network(tmp_path, monkeypatch, capsys):
    assert plain(RESNET) == TEXTS
    noisysim.run("digits", layers=RESNET, **SMALL, out=tmp_path / "layers.h5")
    noisysim.run("digits", layers=TEXTS, **SMALL, out=tmp_path / "texts.h5")
    assert noisysim.load(tmp_path / "layers.h5").config["layers"] == TEXTS
    words = ["--device", "ideal", "--epochs", "1", "--batch-size", "300", "--no-progress", "--seed", "2"]
    toml = tmp_path / "run.toml"
    toml.write_text(f'task = "digits"\nlayers = {TEXTS!r}\n')
    for out, given in (("line.h5", ["digits", "--layers", *TEXTS]), ("toml.h5", ["--config", str(toml)])):
        monkeypatch.setattr("sys.argv", ["noisysim", "run", *given, *words, "--out", str(tmp_path / out)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        assert not leaving.value.code, capsys.readouterr().err
    monkeypatch.setattr(
        "sys.argv", ["noisysim", "run", "--config", str(tmp_path / "line.h5"), "--out", str(tmp_path / "again.h5")]
    )
    with pytest.raises(SystemExit):
        cli.main()
    for other in ("texts.h5", "line.h5", "toml.h5", "again.h5"):
        assert same(tmp_path / "layers.h5", tmp_path / other), other


def test_wired_lists_are_recorded_and_read_again(tmp_path):
    result = noisysim.run("digits", layers=WIRED, **SMALL, out=tmp_path / "wired.h5")
    assert result.config["layers"] == [
        "a = dense(12)", "b = dense(12, activation='tanh')(input)", "concat()(a, b)",
        "residual(['add()(a, b)', dense(24)])",
    ]  # fmt: skip
    noisysim.run("digits", layers=result.config["layers"], **SMALL, out=tmp_path / "again.h5")
    assert same(tmp_path / "wired.h5", tmp_path / "again.h5")
    noisysim.resume(tmp_path / "wired.h5", epochs=2)
    assert "a = dense(12)" in noisysim.load(tmp_path / "wired.h5").summary()


def test_a_chip_of_a_branching_network_is_used_afterwards(tmp_path):
    result = noisysim.run("digits", layers=RESNET, **SMALL, out=tmp_path / "run.h5")
    chip = noisysim.load(tmp_path / "run.h5").chip()
    tested = result.test()
    assert tested.accuracy == pytest.approx(result.history["test_accuracy"][-1])
    x = np.zeros((3, 64), np.float32)
    assert chip.predict(x).shape == (3, 10)


@pytest.mark.parametrize("rule", ["np", "dbp"])
def test_diagnostics_look_at_branching_networks(rule):
    result = noisysim.run(
        "digits", layers=["conv(4, 3)", residual([conv(4, 1)]), dense(8)], **SMALL, learner=learners.get(rule),
        diagnostics=["angle", "weight_norm"], oracle=True,
    )  # fmt: skip
    assert all(np.isfinite(values).all() for values in result.diagnostics.values())
