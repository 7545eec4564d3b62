"""What is noted of updates, on the host: when it is fetched changes nothing, and what diverges is known at once."""

import numpy as np
import pytest

from noisysim.compute import losses
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.runs import recorder
from noisysim.runs.health import EXPLODED
from noisysim.runs.history import History
from noisysim.runs.recorder import Recorder

N_OUT = 4


def a_recorder(chips, classification=True):
    return Recorder(History(chips=chips), "cpu", chips, classification)


def updates(chips, rows, count, rng):
    """Batches of one-hot targets, and what passes of them gave."""
    for _ in range(count):
        targets = np.eye(N_OUT, dtype=np.float32)[rng.integers(0, N_OUT, chips * rows)]
        batch = Batch(np.zeros((chips * rows, 3), np.float32), targets, losses.get("cce"))
        observed = []
        for _ in range(2):
            output = rng.standard_normal((chips * rows, N_OUT), dtype=np.float32)
            hidden = rng.standard_normal((chips * rows, 2), dtype=np.float32)
            observed.append(Observation([], [hidden, output], output, rng.exponential(size=chips * rows)))
        yield batch, observed


def note(one, batch, observed, **given):
    one.note(batch, [Drive(), Drive()], observed, **given)


@pytest.mark.parametrize("classification", [True, False], ids=["classes", "values"])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("chips", [1, 3])
def test_sums_are_those_of_one_update_after_another_whenever_they_are_fetched(chips, rows, classification, monkeypatch):
    expected, columns = np.zeros((7, chips)), []
    for k, (batch, observed) in enumerate(updates(chips, rows, 150, np.random.default_rng(0))):
        loss = observed[0].loss.reshape(chips, rows).sum(axis=1)
        hit = (observed[0].output.argmax(axis=1) == batch.targets.argmax(axis=1)).reshape(chips, rows).sum(axis=1)
        expected[0] += loss
        expected[1] += hit if classification else np.nan
        expected[2] += rows
        if k % 7 == 0:
            expected[3] += 1  # of noise everything differs
            expected[4] += 1
            expected[5] += np.square(observed[0].activities[0].reshape(chips, -1), dtype=np.float64).mean(axis=1)
            expected[6] += 1
        columns.extend(loss / rows)
    for kept, asked in ((1, 0), (64, 0), (64, 10), (150, 0), (151, 0)):
        monkeypatch.setattr(recorder, "KEPT", kept)
        one = a_recorder(chips, classification)
        for k, (batch, observed) in enumerate(updates(chips, rows, 150, np.random.default_rng(0))):
            note(one, batch, observed, looks=k % 7 == 0)
            if asked and k % asked == 0:
                one.fetch()
        one.fetch()
        np.testing.assert_array_equal(one.sums, expected)
        assert list(one._history.step["train_loss"]) == columns


@pytest.mark.parametrize("chips", [1, 3])
def test_chunks_of_an_update_are_one_update(chips):
    whole, parts = a_recorder(chips), a_recorder(chips)
    for batch, observed in updates(chips, 6, 5, np.random.default_rng(1)):
        note(whole, batch, observed, looks=False)
        for first in (0, 2, 4):
            rows = np.arange(6 * chips).reshape(chips, 6)[:, first : first + 2].ravel()
            some = [Observation([], [a[rows] for a in o.activities], o.output[rows], o.loss[rows]) for o in observed]
            note(parts, Batch(batch.inputs[rows], batch.targets[rows], batch.loss), some, looks=False, more=first < 4)
    whole.fetch()
    parts.fetch()
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=1e-12)
    np.testing.assert_array_equal(parts.sums[1:3], whole.sums[1:3])
    assert len(parts._history.step["train_loss"]) == 5 * chips


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.inf, 1e300, 4 * EXPLODED])
@pytest.mark.parametrize("chips", [1, 3])
def test_what_diverges_is_known_before_anything_is_fetched(chips, loss, resumed):
    """By the first update's loss, also where that was noted by a run that this one resumes."""
    one, rng = a_recorder(chips), np.random.default_rng(2)
    first, *later = updates(chips, 2, 4, rng)
    if resumed:
        one._history.step["train_loss"].extend([2.0] * chips)
    else:
        first[1][0].loss[:] = 2.0
        note(one, *first, looks=False)
    for batch, observed in later[:2]:
        observed[0].loss[:] = 1.9 * EXPLODED
        note(one, batch, observed, looks=False)
        assert not one.any_exploded
    batch, observed = later[2]
    observed[0].loss[-2:] = loss
    note(one, batch, observed, looks=False)
    assert one.exploded.tolist() == [False] * (chips - 1) + [True]
    assert one.any_exploded
    one.fetch()
    assert len(one._history.step["train_loss"]) == 4 * chips  # what diverged is in it
