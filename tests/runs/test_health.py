"""What a run says of its own stability: divergence, and losses that rise while weights diffuse."""

import re

import numpy as np
import pytest

import noisysim
from noisysim import learners
from noisysim.runs import health, side_by_side
from noisysim.runs.history import EPOCH, History


def recorded(losses, activity, steps=(4.0,)):
    """A history of whole epochs with these losses and activities."""
    history = History()
    for name in EPOCH:
        history.epoch[name].extend([np.nan] * len(losses))
    history.epoch["train_loss"][:] = type(history.epoch["train_loss"])("d", losses)
    history.epoch["activity_rms"][:] = type(history.epoch["activity_rms"])("d", activity)
    history.step["train_loss"].extend(steps)
    return history


def said(losses, activity, learner="anp"):
    return health.warnings(recorded(losses, activity), learners.get(learner), 0.0, 0.0, 0)


def test_a_rise_after_the_minimum_is_told_with_what_the_activities_did():
    (told,) = said([2.0, 1.0, 1.2, 1.5], [1.0, 1.2, 1.5, 2.0])
    assert told.startswith("unstable: the training loss rose from 1 in epoch 2 to 1.5")
    assert "activities grew from 1 to 2" in told
    assert "normalise=True" in told
    assert "'copy'" in told  # the default device refuses it without
    assert "average more samples" in told


def test_a_loss_that_stays_above_the_first_batchs_is_told():
    (told,) = said([9.0, 8.0, 7.0], [3.0, 3.0, 3.0])
    assert told.startswith("unstable: the training loss rose from 4 at the first batch to 7")


def test_normalised_weights_are_not_told_to_be_normalised():
    (told,) = said([2.0, 1.0, 1.5], [1.0, 1.2, 2.0], "anp:normalise=True")
    assert "normalise" not in told


def test_where_nothing_grew_the_rate_alone_is_blamed():
    (told,) = said([2.0, 1.0, 1.5], [1.0, 1.0, 1.05], "bp")
    assert "diffuse" not in told
    assert told.endswith("; lower learning_rate")


@pytest.mark.parametrize(
    "losses", [[2.0, 1.0], [1.0, 2.0], [2.0, 1.0, 1.2], [1.0, 2.0, 1.9], [3.0, 2.0, 1.0], []]
)  # too short, too little, falling again
def test_what_is_not_instability(losses):
    assert said(losses, [1.0] * len(losses)) == []


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, 5e8])
def test_a_loss_out_of_all_bounds_is_divergence(loss):
    assert health.exploded(loss, 4.0)
    fault = health.learner_fault(recorded([2.0, 4.0], [1.0, 1.5], steps=(4.0, loss)), learners.get("np"), health.USUAL)
    assert fault.startswith("the loss grew without bound; the training loss rose from 2 in epoch 1 to 4")
    assert "activities grew from 1 to 1.5" in fault
    at_once = health.learner_fault(recorded([], [], steps=(4.0, loss)), learners.get("np"), health.USUAL)
    assert at_once.endswith("without bound; lower learning_rate")


def test_the_bound_of_a_loss_is_relative_to_the_first_batchs():
    assert not health.exploded(1e12, 2e10)
    assert health.exploded(3e18, 2e10)
    assert health.exploded(2e8, 1e-3)
    assert health.exploded(1.0, np.nan)
    assert health.exploded(np.array([1e9, 1e9, np.nan]), np.array([1.0, 1e3, 1e3])).tolist() == [True, False, True]


# --- what diverged, and advice that helps ----------------------------------------------------------------------------


def unscaled(kind):
    """Inputs, or targets, as large as pixels, or house prices."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((160, 8))
    y = x @ rng.standard_normal(8)
    return (125 + 50 * x, (y > 0).astype(int)) if kind == "inputs" else (x, 2e5 + 3e4 * y)


def trained(data, learner, task, **given):
    resolved = noisysim.tasks.get(data, **task)
    return noisysim.run(resolved, device="ideal", learner=learner, layers=[6], epochs=2, progress=False, **given)


@pytest.mark.parametrize("batch_size", [32, 1])
@pytest.mark.parametrize("rate", [None, 0.0])
def test_a_decorrelation_that_diverges_is_named_and_its_advice_helps(rate, batch_size):
    """At a learning rate of 0 the learner is not to blame."""
    data, given = unscaled("inputs"), {"learning_rate": rate, "batch_size": batch_size}
    result = trained(data, "danp", {"standardise": "none"}, **given)
    assert result.status == "diverged"
    (said,) = result.warnings
    assert said.startswith("diverged in epoch 1: the decorrelation of layer 1's inputs grew without bound")
    assert "learning_rate" not in said
    scale, step = re.search(r"\((standardise='global')\).* or set (decorrelation=\S+) in", said).groups()
    assert scale == "standardise='global'"
    assert trained(data, "danp", {}, **given).status == "finished"
    assert trained(data, f"danp:{step}", {"standardise": "none"}, **given).status == "finished"


def test_of_runs_side_by_side_it_is_told_as_of_one_alone():
    task = noisysim.tasks.get(2 * unscaled("inputs"), standardise="none")  # the same to train and to test
    given = {"device": "ideal", "learner": "danp", "layers": [6], "epochs": 1, "progress": False}
    several = side_by_side.run_side_by_side([1, 2], task=task, **given)
    for seed, result in zip((1, 2), several, strict=True):
        assert result.status == "diverged"
        assert result.warnings == noisysim.run(task, seed=seed, **given).warnings
    (said,) = noisysim.run(task, seed=1, chips=2, **given).warnings
    assert "the decorrelation of layer 1's inputs grew" in said


def test_a_hidden_layers_decorrelation_that_diverges_is_named():
    """Independent inputs near 1, but a layer of units that all go with each other."""
    x = np.random.default_rng(0).standard_normal((160, 4))
    given = {
        "device": "ideal", "layers": [60], "activation": "sigmoid", "learning_rate": 0.0, "epochs": 6,
        "progress": False,
    }  # fmt: skip
    result = noisysim.run((x, x[:, :2]), learner="bp:decorrelation=0.3", **given)
    assert result.warnings[0].startswith("diverged in epoch ")
    assert "the decorrelation of layer 2's inputs grew without bound" in result.warnings[0]
    step = re.search(r"; set (decorrelation=\S+) in", result.warnings[0])[1]
    assert noisysim.run((x, x[:, :2]), learner=f"bp:{step}", **given).status == "finished"


@pytest.mark.parametrize("learner", ["bp:decorrelation=1e-3", "danp", "np"])
def test_a_learner_that_diverges_is_named_with_or_without_decorrelation(learner):
    given = {"device": "ideal", "layers": [8], "optimizer": "sgd", "learning_rate": 1e4, "epochs": 2}
    result = noisysim.run("digits", learner=learner, **given, progress=False)
    assert result.status == "diverged"
    assert "lower learning_rate" in result.warnings[0]
    assert "decorrelation" not in result.warnings[0]


def test_targets_that_diverge_are_told_to_be_scaled_and_that_helps():
    data, given = unscaled("targets"), {"optimizer": "sgd"}
    result = trained(data, "danp", {"standardise_targets": False}, **given)
    (said,) = result.warnings
    assert "lower learning_rate, or let the task standardise the targets (standardise_targets=True)" in said
    scaled = trained(data, "danp", {}, **given)
    assert scaled.status == "finished"
    assert scaled.warnings == []


def test_large_targets_are_told_of_and_no_divergence():
    """Losses of 1e10 from the first batch on, which hardly move."""
    result = trained(unscaled("targets"), "bp", {"standardise_targets": False}, learning_rate=1e-12)
    assert result.status == "finished"
    (said,) = result.warnings
    assert re.match(r"the targets' RMS is 2\.\d+e\+05, far from 1", said)
    assert "standardise_targets=True" in said


@pytest.mark.parametrize(("size", "told"), [(0.02, True), (0.3, False), (3.0, False), (30.0, True)])
def test_targets_are_told_of_where_they_are_far_from_one(size, told):
    x = np.random.default_rng(0).standard_normal((60, 4))
    data = x, size * x[:, :2]
    result = trained(data, "bp", {"standardise_targets": False})
    assert any("targets' RMS" in w for w in result.warnings) == told
    assert not any("targets' RMS" in w for w in trained(data, "bp", {}).warnings)


def test_a_first_loss_that_is_not_finite_is_nobodys_learning_rate():
    history = recorded([], [], steps=(np.inf,))
    scales = health.Scales(1.0, 1e30)
    said = health.divergence(history, health.learner_fault(history, learners.get("bp"), scales))
    assert said == (
        "diverged in epoch 1: the loss of the first batch is non-finite, before anything was learned; scale the "
        "targets, whose RMS is 1e+30"
    )


@pytest.mark.runs
def test_a_run_far_above_the_stable_rate_says_that_its_weights_diffuse():
    result = noisysim.run(learner="np:sigma=1e-3", device="ideal", learning_rate=0.1, epochs=8, progress=False)
    assert result.status == "finished"
    assert any(w.startswith("unstable: ") and "diffuse" in w for w in result.warnings)


@pytest.mark.runs
def test_weights_that_are_normalised_do_not_grow():
    # the RMS is fixed exactly, whatever the updates do; without it the norm grows from each look to the next
    grown, kept = (
        noisysim.run(
            learner=f"np:normalise={on}", device="ideal", learning_rate=3e-3, epochs=10, progress=False, every=100,
            diagnostics=["weight_norm"],
        ).diagnostics["weight_norm"]
        for on in (False, True)
    )  # fmt: skip
    assert (np.diff(grown, axis=0) > 0).all()
    np.testing.assert_allclose(kept[1:], kept[1:2].repeat(len(kept) - 1, axis=0), rtol=1e-5)
