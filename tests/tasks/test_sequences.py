"""Sequences that ask for memory."""

import numpy as np
import pytest

import noisysim
from noisysim import tasks


def test_sums_are_those_of_the_marked_numbers():
    task = tasks.get("adding", steps=7, n_train=500, n_test=100, seed=3)
    assert (task.n_in, task.n_out, task.input_shape) == (14, 1, (1, 7, 2))
    batch = task.batch("train", slice(None))
    x = batch.inputs.reshape(-1, 7, 2)
    assert set(np.unique(x[..., 1])) == {0, 1}
    np.testing.assert_array_equal(x[:, :3, 1].sum(axis=1), 1)
    np.testing.assert_array_equal(x[:, 3:, 1].sum(axis=1), 1)
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(axis=1), batch.targets[:, 0], rtol=1e-6)
    counts = np.bincount(x[:, :3, 1].argmax(axis=1), minlength=3)  # three places alike: 500 draws, 4.5 standard errors
    assert np.abs(counts - 500 / 3).max() < 4.5 * np.sqrt(500 * 2 / 9)


def test_symbols_are_asked_for_after_the_delay():
    task = tasks.get("copy-memory", symbols=4, length=3, delay=5, n_train=200, n_test=50, seed=1)
    assert (task.n_in, task.n_out, task.input_shape) == (11 * 6, 11 * 5, (1, 11, 6))
    batch = task.batch("train", slice(None))
    said, wanted = batch.inputs.reshape(-1, 11, 6).argmax(axis=2), batch.targets.reshape(-1, 11, 5).argmax(axis=2)
    np.testing.assert_array_equal(said[:, :3], wanted[:, -3:])
    assert (said[:, 8] == 5).all()
    assert not said[:, 3:8].any()
    assert not said[:, 9:].any()
    assert not wanted[:, :8].any()
    assert set(said[:, :3].ravel()) == {1, 2, 3, 4}
    blank = np.eye(5)[0]
    mean = np.concatenate([np.tile(blank, (8, 1)), np.tile([0, *[1 / 4] * 4], (3, 1))]).astype(np.float32)
    loss = task.loss_function(np.tile(mean.ravel(), (200, 1)), batch.targets).mean()
    assert f"{loss:.4g}" in task.describe()["notes"][1]


@pytest.mark.parametrize("name", ["adding", "copy-memory"])
def test_a_seed_draws_the_same_and_another_other_samples(name):
    one, same, other = (tasks.get(name, n_train=20, n_test=10, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.batch("train", slice(None)).inputs, same.batch("train", slice(None)).inputs)
    assert (one.batch("train", slice(None)).inputs != other.batch("train", slice(None)).inputs).any()
    assert (one.batch("train", slice(0, 10)).inputs != one.batch("test", slice(None)).inputs).any()


def test_backpropagation_through_time_adds():
    """Below a quarter of what answering the mean costs, 1/12; one seed."""
    result = noisysim.run(
        "adding:steps=10,n_train=4000,n_test=500", layers=["recurrent(24, cell='lstm')"], device="ideal", learner="bp",
        epochs=6, batch_size=40, learning_rate=5e-3, bias=True, seed=1, progress=False,
    )  # fmt: skip
    assert result.history["test_loss"][-1] < 1 / 48


def test_every_step_may_be_an_output():
    result = noisysim.run(
        "copy-memory:length=2,delay=3,n_train=400,n_test=50", device="gaussian", learner="anp", epochs=2, seed=1,
        batch_size=40, progress=False,
    )  # fmt: skip
    assert result.history["test_loss"][-1] < result.history["test_loss"][0]
