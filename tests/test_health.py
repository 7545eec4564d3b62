"""What a run says of its own stability: divergence, and losses that rise while weights diffuse."""

import numpy as np
import pytest

import noisysim
from noisysim import health, learners
from noisysim.history import EPOCH, History


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


@pytest.mark.parametrize("loss", [np.nan, np.inf, 2e8])
def test_a_loss_out_of_all_bounds_is_divergence(loss):
    assert health.exploded(loss)
    told = health.divergence(recorded([2.0, 4.0], [1.0, 1.5], steps=(4.0, loss)), learners.get("np"))
    assert told.startswith(
        "diverged in epoch 3: the loss left all bounds; the training loss rose from 2 in epoch 1 to 4"
    )
    assert "activities grew from 1 to 1.5" in told
    assert health.divergence(recorded([], [], steps=(loss,)), learners.get("np")).endswith("; lower learning_rate")


def test_a_run_far_above_the_stable_rate_says_that_its_weights_diffuse():
    result = noisysim.run(learner="np:sigma=1e-3", device="ideal", learning_rate=0.1, epochs=8, progress=False)
    assert result.status == "finished"
    assert any(w.startswith("unstable: ") and "diffuse" in w for w in result.warnings)


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
