"""A perturbation strength of each layer: what lines get, what rules make of it, and what is refused."""

import contextlib
import html
import sys

import numpy as np
import pytest

import noisysim
from noisysim import Chip, cli, learners
from noisysim.common.fields import parse_spec
from noisysim.learners.perturbation import Perturbation
from noisysim.runs import loop

LAYERS, SIGMAS = [6, 5, 4, 3], (2e-3, 1e-2, 4e-3)
PERTURBING = sorted(name for name, rule in learners.LEARNERS.items() if issubclass(rule, Perturbation))
MORE = ["fg-a:error=scalar", "dfa:error=scalar", "learned-dfa:feedback_optimizer=sgd,feedback_rate=1.0"]
MORE += ["fdfa:feedback_optimizer=sgd,feedback_rate=1.0", "lg-fg-a:error=scalar", "fg-w:derivative=exact"]


def batch_of(n, rng, one=False):
    x = np.tile(rng.standard_normal(LAYERS[0]), (n, 1)) if one else rng.standard_normal((n, LAYERS[0]))
    targets = np.tile(np.eye(3, dtype=np.float32)[1], (n, 1))
    return noisysim.Batch(x.astype(np.float32), targets, noisysim.losses.get("cce"))


def learned(spec, sigma, samples, given=None):
    """Gradients and memory after an update of samples that are all the same."""
    learner = learners.get(spec, sigma=sigma)
    chip = Chip(LAYERS, "ideal", activation="tanh", seed=1)
    batch = batch_of(samples, np.random.default_rng(2), one=True)
    state = loop.prepare(learner, chip, batch, seed=5)
    observations = chip.passes(batch, learner.drives(state, samples))
    gradients, state = learner.update(state, observations, oracle=chip.oracle(batch))
    return [np.array(g) for g in gradients], {name: np.array(a) for name, a in state.memory.items()}


@pytest.mark.parametrize("spec", [*PERTURBING, *MORE])
def test_equal_strengths_are_one_strength_to_the_bit(spec):
    one, several = (learned(spec, sigma, 7) for sigma in (1e-2, [1e-2] * 3))
    for a, b in zip(one[0], several[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[1].keys() == several[1].keys()
    for name in one[1]:
        np.testing.assert_array_equal(one[1][name], several[1][name])


# ANP's estimate depends by its formula on how strongly each layer moves; Adam takes signs of what feedback learns
MEANS = sorted(
    {*PERTURBING, *MORE} - {"anp", "danp", "fdfa", "learned-fa", "learned-dfa", "fg-w", "fg-w:derivative=exact"}
)


@pytest.mark.parametrize("spec", [*MEANS, "fg-w:samples=4000", "fg-w:derivative=exact,samples=4000"])
def test_estimates_of_every_rule_do_not_depend_on_the_strengths(spec):
    """Means over thousands of draws for one sample; a strength taken for another is wrong by a factor of 4 to 25."""
    samples = 4 if "fg-w" in spec else 30_000
    (one, kept), (several, memory) = (learned(spec, sigma, samples) for sigma in (5e-3, SIGMAS))
    pairs = list(zip(one, several, strict=True))
    pairs += [(kept["feedback"], memory["feedback"])] if "feedback_rate" in spec else []
    for a, b in pairs:  # along each other; of feedback that starts at zero hidden layers learn nothing yet
        assert abs(np.vdot(a, b) - np.vdot(a, a)) <= 0.3 * np.vdot(a, a)


@pytest.mark.parametrize("spec", ["np", "anp", "fg-a:error=scalar", "fg-w"])
def test_each_layer_is_perturbed_by_its_own_strength(spec):
    learner, samples = learners.get(spec, sigma=SIGMAS), 40_000
    state = learner.init(LAYERS, floor=0.0, seed=3)
    assert state.sigma == max(SIGMAS)
    (drawn,) = learner.perturbations(state, samples)
    if spec != "fg-w":
        for layer, sigma in enumerate(SIGMAS):
            assert np.std(drawn[layer]) == pytest.approx(sigma, rel=0.02)
    else:
        assert np.std(drawn[1]) > 3 * np.std(drawn[0])


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        ([0.1, 0.2], r"'np'\.sigma has 2 numbers, but the network has 3 layers of weights"),
        ([], r"'np'\.sigma has 0 numbers"),
        ([0.1, 0, 0.2], r"'np'\.sigma of a layer must be above 0, not 0"),
        ([0.1, -1, 0.2], r"'np'\.sigma\[1\] must be a number >= 0, .*not -1"),
        ([0.1, "low", 0.2], r"'np'\.sigma\[1\] must be a number >= 0, .*not 'low'"),
        ([0.1, [0.1], 0.2], r"'np'\.sigma\[1\] must be a number >= 0, .*not \[0\.1\]"),
        ("low", r"'np'\.sigma must be a number >= 0, or a list with one for each layer, not 'low'"),
    ],
)
def test_strengths_that_do_not_fit_are_refused(sigma, message):
    with pytest.raises((ValueError, TypeError), match=message):
        noisysim.run(layers=[5, 4], learner={"name": "np", "sigma": sigma}, epochs=1)


def test_a_number_where_no_list_may_be_stays_a_number():
    with pytest.raises(TypeError, match="samples must be a whole number"):
        learners.get("np", samples=[1, 2])


def test_texts_with_lists():
    assert parse_spec("np:sigma=[0.1,0.2],samples=3") == ("np", {"sigma": [0.1, 0.2], "samples": 3})
    assert parse_spec("np:samples=3,sigma=(0.1, 0.2)") == ("np", {"samples": 3, "sigma": (0.1, 0.2)})
    assert learners.get("np:sigma=[0.1,0.2]").sigma == (0.1, 0.2)
    assert learners.get("np", sigma=np.array([0.1, 0.2])).sigma == (0.1, 0.2)
    assert learners.get(learners.describe(learners.get("np:sigma=[0.1,0.2]"))) == learners.NP(sigma=(0.1, 0.2))


# --- runs -----------------------------------------------------------------------------------------------------------


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6))
    return x[:40], np.arange(40) % 3, x[40:], np.arange(20) % 3


SETTINGS = {"layers": [5, 4], "device": "crossbar", "batch_size": 1, "epochs": 2, "progress": False, "seed": 3}


@pytest.mark.parametrize("rule", ["np", "inp", "danp"])
def test_small_updates_with_strengths_of_each_layer_resume_with_the_same_bits(rule, tmp_path):
    """Updates of one sample, which with one strength are made many in one call."""
    out, spec = tmp_path / "run.h5", f"{rule}:sigma=[0.02,0.05,0.1]"
    whole = noisysim.run(data(), learner=spec, **SETTINGS)
    noisysim.run(data(), learner=spec, out=out, **{**SETTINGS, "epochs": 1})
    again = noisysim.resume(out, task=data(), epochs=2, progress=False)
    for name, array in whole.content["arrays"]["state/chip"].items():
        np.testing.assert_array_equal(array, again.content["arrays"]["state/chip"][name], err_msg=name)
    assert again.config["learner"]["sigma"] == [0.02, 0.05, 0.1]
    assert not np.array_equal(
        whole.steps["train_loss"], noisysim.run(data(), learner=f"{rule}:sigma=0.05", **SETTINGS).steps["train_loss"]
    )


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["noisysim", *map(str, words)])
    with contextlib.suppress(SystemExit):
        cli.main()


def test_the_command_line_files_and_reports_take_a_list(tmp_path, monkeypatch, capsys):
    out, again, toml, page = (tmp_path / name for name in ("run.h5", "again.h5", "run.toml", "page.html"))
    common = ("--layers", 8, "--epochs", 1, "--batch-size", 200)
    command(monkeypatch, "run", *common, "--learner", "np:sigma=[0.02,0.1]", "--out", out)
    result = noisysim.load(out)
    assert result.config["learner"]["sigma"] == [0.02, 0.1]
    noisysim.report(result, page)
    assert "np:sigma=[0.02, 0.1]" in html.unescape(page.read_text())
    toml.write_text('layers = [8]\nepochs = 1\nbatch_size = 200\n[learner]\nname = "np"\nsigma = [0.02, 0.1]\n')
    command(monkeypatch, "run", "--config", toml, "--out", again)
    np.testing.assert_array_equal(noisysim.load(again).steps["train_loss"], result.steps["train_loss"])
    capsys.readouterr()


def test_a_strength_that_drowns_in_one_layer_is_warned_of():
    lost = noisysim.run(data(), learner="np:sigma=[1e-6,0.5,0.5]", **{**SETTINGS, "epochs": 1, "batch_size": 20})
    assert any("lost in the noise: sigma = 1e-06" in warning for warning in lost.warnings)


def test_studies_and_searches_take_lists_as_texts_and_instances(tmp_path):
    pytest.importorskip("xarray")
    common = {"layers": [5, 4], "epochs": 1, "batch_size": 20, "progress": False, "device": "ideal"}
    given = learners.get("np:sigma=[0.02,0.05,0.1]")
    study = noisysim.sweep(task=data(), learner=[given, "np"], out=tmp_path / "study.h5", **common)
    assert study.axes["learner"] == ["np:sigma=(0.02, 0.05, 0.1)", "np"]
    assert '"np:sigma=[0.02, 0.05, 0.1]",' in study.toml()
    grid = noisysim.grid("np", sigma=[[0.02, 0.05, 0.1], 0.05])
    several = noisysim.sweep(task=data(), learner=grid, out=tmp_path / "grid.h5", **common)
    assert several.axes["sigma"] == ["0.02-0.05-0.1", "0.05"]
    assert set(several.data.status.values.ravel()) == {"finished"}
    tuned = noisysim.tune(task=data(), learner=given, **{**common, "epochs": 3})
    assert set(tuned.study.axes) == {"learning_rate"}
