"""Embeddings: a column of an array for each class; who learns them, and what is no class."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip
from noisysim.networks.layers import embedding, one_hot, parse, recurrent

TOKENS = np.array([[3, 0, 6], [5, 2, 2]], np.float32)


def test_a_class_gives_its_column():
    chip = Chip([3, embedding(7, 4), "output()"], "ideal", seed=1)
    weight = chip.weights()["0.weight"]
    assert weight.shape == (4, 7, 1, 1)
    expected = weight[:, :, 0, 0].T[TOKENS.astype(int)]
    np.testing.assert_allclose(chip.predict(TOKENS).reshape(2, 3, 4), expected, rtol=1e-6)
    unknown = chip.predict(np.array([[3, 7, -1], [2.5, 1e9, 0]]))
    assert (unknown.reshape(2, 3, 4)[[0, 0, 1, 1], [1, 2, 0, 1]] == 0).all()
    marked = Chip([3, one_hot(7), 2], "ideal", seed=1)
    weight = marked.weights()["0.weight"].reshape(2, 7, 3)  # a dense layer sees the image channel by channel
    found = [sum(weight[:, int(token), step] for step, token in enumerate(row)) for row in TOKENS]
    np.testing.assert_allclose(marked.predict(TOKENS), found, rtol=1e-5, atol=1e-6)


def test_only_columns_of_classes_that_were_seen_have_a_gradient():
    chip = Chip([3, embedding(7, 4), recurrent(5, "gru"), 2], "ideal", seed=1, oracle=True)
    batch = noisysim.Batch(TOKENS, np.eye(2, dtype=np.float32), noisysim.losses.get("cce"))
    gradient = chip.oracle(batch).gradient(chip.forward(batch))
    assert np.flatnonzero(np.abs(gradient[0]).sum(axis=0)).tolist() == [0, 2, 3, 5, 6]


def words(n, seed):
    """Three numbers below 8; whether the first is the last."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 8, (n, 3))
    return tokens.astype(np.float32), (tokens[:, 0] >= 4).astype(int)


@pytest.mark.runs
@pytest.mark.parametrize("learner", ["bp", "danp", "fdfa"])
def test_rules_learn_what_classes_mean(learner):
    x, y = words(400, 1)
    test = words(200, 2)
    result = noisysim.run(
        noisysim.tasks.get((x, y, *test), standardise="none"), layers=["embedding(8, 6)", 12], device="crossbar",
        learner=learner, epochs=12, batch_size=10, seed=1, progress=False,
    )  # fmt: skip
    assert result.history["test_accuracy"][-1] > 0.9


def test_inputs_that_are_no_classes_are_refused():
    data = (*words(40, 1), *words(20, 2))
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 7, and one is .*standardise='none'"):
        noisysim.run(data, layers=["embedding(8, 6)"], device="ideal", epochs=1)
    with pytest.raises(ValueError, match="from 0 to 5, and one is "):
        noisysim.run(noisysim.tasks.get(data, standardise="none"), layers=["one_hot(6)", 4], device="ideal", epochs=1)


def test_texts_are_the_layers():
    for one in (embedding(100, 16), one_hot(5)):
        assert parse(repr(one)) == one
    with pytest.raises(ValueError, match="classes"):
        embedding(0, 4)
