"""Running statistics of batch normalisation: they follow the data, whatever the size of the batches."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, Drive, batch_norm, conv
from noisysim.chip.normalisation import BATCH, Normalisation
from noisysim.compute import backends
from noisysim.networks.building import architecture

import naive

DENSE, IMAGES = [5, 8, batch_norm(), 2], [(1, 4, 4), conv(3, 2), batch_norm(), 2]
UNITS = 24


def alone(chips=1):
    return Normalisation(architecture([4, UNITS, batch_norm(), 2]), chips)


def lines(rng, samples, positions=None, units=UNITS):
    """Activities, each unit with a mean and a spread of its own, (samples, [positions,] units)."""
    shape = (samples, units) if positions is None else (samples, positions, units)
    k = np.arange(units)
    return (k - 5 + (0.2 + k) * rng.standard_normal(shape)).astype(np.float32)


def close(norm, seen, rate=0.1, variance=1.0):
    expected = naive.running_statistics(seen, rate, variance)
    np.testing.assert_allclose(norm.statistics, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(norm.norms, naive.norm_of(*expected, 1e-5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("sizes", [[1] * 40, [2] * 20, [3, 1] * 9, [40, 40, 1, 40], [5, 100, 7], [1]])
@pytest.mark.parametrize("positions", [None, 1, 6])
def test_statistics_are_those_of_all_values_seen_with_weights_that_fade(rate, sizes, positions):
    norm, rng = alone(), np.random.default_rng(0)
    seen = [lines(rng, n, positions) for n in sizes]
    norm.start(0, seen[0])
    for activities in seen[1:]:
        norm.track(0, activities, rate)
    close(norm, seen, rate)


def test_a_start_forgets_and_a_rate_of_zero_stays():
    norm, rng = alone(), np.random.default_rng(1)
    first, second = lines(rng, 50), lines(rng, 20) + 100
    norm.start(0, first)
    norm.track(0, lines(rng, 50), 0.1)
    norm.start(0, second)
    close(norm, [second])
    norm.track(0, first, 0.0)
    close(norm, [second])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 32, 100])
@pytest.mark.parametrize("positions", [None, 4])
def test_the_running_variance_is_the_true_one_at_any_batch_size(size, positions):
    """Of normal values; 5 standard errors of the units' mean, 6 of each, for the window of at least 639 values."""
    norm, rng = alone(), np.random.default_rng(2)
    norm.start(0, lines(rng, size, positions))
    for _ in range(2000 // size + 60):
        norm.track(0, lines(rng, size, positions), 0.1)
    k = np.arange(UNITS)
    free = 2 * BATCH / 0.1 - 1
    ratio = norm.statistics[1] / (0.2 + k) ** 2
    assert abs(ratio.mean() - 1) < 5 * np.sqrt(2 / free / UNITS)
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / free)
    off = (norm.statistics[0] - (k - 5)) / (0.2 + k)
    assert np.abs(off).max() < 6 / np.sqrt(free)


@pytest.mark.parametrize(("whole", "last"), [(100, 1), (100, 10), (1000, 7), (32, 1)])
def test_a_short_last_batch_pulls_no_more_than_its_share(whole, last):
    """Of an outlier in it the mean takes the share of its samples; a whole batch would take `rate`."""
    rng = np.random.default_rng(3)
    norm = alone()
    norm.start(0, lines(rng, whole))
    for _ in range(100):
        norm.track(0, lines(rng, whole), 0.1)
    before = norm.statistics.copy()
    norm.track(0, np.full((last, UNITS), 1e3, np.float32), 0.1)
    share = (norm.statistics[0] - before[0]) / (1e3 - before[0])
    np.testing.assert_allclose(share, 0.1 * last / whole, rtol=0.05)


def test_statistics_follow_data_that_move():
    norm, rng = alone(), np.random.default_rng(4)
    norm.start(0, lines(rng, 1))
    for shift in (0.0, 300.0):
        for _ in range(8000):
            norm.track(0, lines(rng, 1) + np.float32(shift), 0.1)
    assert np.abs(norm.statistics[0] - (np.arange(UNITS) - 5 + 300)).max() < 6 * (UNITS + 1) / np.sqrt(320)
    assert (norm.statistics[1] < 2 * (0.2 + np.arange(UNITS)) ** 2).all()


def test_of_a_few_values_the_layer_tells_the_scale():
    """No unit is divided by a variance that chance has made tiny; a layer of which nothing varied stays as it was."""
    rng = np.random.default_rng(5)
    for seen in ([lines(rng, 1)], [lines(rng, 1) for _ in range(3)], [lines(rng, 3)]):
        norm = alone()
        norm.start(0, seen[0])
        for activities in seen[1:]:
            norm.track(0, activities, 0.1)
        close(norm, seen)
        assert len(set(norm.statistics[1])) == 1
        assert norm.statistics[1][0] > 1
    norm = alone()
    norm.start(0, np.zeros((1, UNITS), np.float32))
    np.testing.assert_array_equal(norm.statistics, [np.zeros(UNITS), np.ones(UNITS)])
    norm.start(0, np.full((9, UNITS), 3, np.float32))
    np.testing.assert_array_equal(norm.statistics, [np.full(UNITS, 3), np.ones(UNITS)])


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (1, 4, 2), (40, 3)])
def test_chips_side_by_side_have_the_statistics_of_each_alone_to_the_bit(sizes):
    rng, chips = np.random.default_rng(6), 3
    batches = [[lines(rng, n, 2) * (m + 1) for m in range(chips)] for n in sizes]
    stack, each = alone(chips), [alone() for _ in range(chips)]
    for k, batch in enumerate(batches):
        if k == 0:
            stack.start(0, np.concatenate(batch))
        else:
            stack.track(0, np.concatenate(batch), 0.2)
        for norm, own in zip(each, batch, strict=True):
            if k == 0:
                norm.start(0, own)
            else:
                norm.track(0, own, 0.2)
    np.testing.assert_array_equal(stack.statistics, np.concatenate([n.statistics for n in each], axis=1))
    np.testing.assert_array_equal(stack.norms, np.concatenate([n.norms for n in each], axis=1))


@pytest.mark.gpu
def test_statistics_on_a_gpu_are_those_on_the_cpu():
    cuda, rng = backends.get("cuda"), np.random.default_rng(8)
    norm, there = alone(2), Normalisation(architecture([4, UNITS, batch_norm(), 2]), 2, cuda.xp)
    for k, n in enumerate((1, 1, 4, 40, 3)):
        activities = lines(rng, 2 * n, 3)
        for one, own in ((norm, activities), (there, cuda.put(activities))):
            if k == 0:
                one.start(0, own)
            else:
                one.track(0, own, 0.1)
        np.testing.assert_allclose(cuda.take(there.statistics), norm.statistics, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layers", [DENSE, IMAGES])
@pytest.mark.parametrize("device", ["ideal", "gaussian:sigma=0.05"])
@pytest.mark.parametrize("calibrated", [1, 200])
def test_a_chip_that_learns_sample_by_sample_knows_its_lines(layers, device, calibrated):
    """Calibrated on one sample or on many; the passes of single samples are by running statistics."""
    chip = Chip(layers, device, seed=1)
    x = np.random.default_rng(7).standard_normal((600, chip.sizes[0])).astype(np.float32)
    chip.calibrate(x[:calibrated])
    for k in range(600):
        observation = chip.passes(x[k : k + 1], [Drive()], training=True)[0]
        assert not observation.norms_of_batch
        chip.track(observation.activities)
    whole = chip.forward(x)
    mean, variance = naive.statistics(whole.activities[0].astype(float))
    shift, scale = whole.norms[0]
    assert np.abs((shift - mean) / np.sqrt(variance)).max() < 0.3
    np.testing.assert_allclose(scale * np.sqrt(variance), 1, atol=0.25)


def two_classes(rows=300):
    x = np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    return x, y, x, y


@pytest.mark.parametrize(("device", "learner"), [("ideal", "danp"), ("ideal", "bp"), ("gaussian", "danp")])
def test_rules_learn_behind_batch_norm_sample_by_sample(device, learner):
    given = {"device": device, "learner": learner, "epochs": 4, "progress": False}
    result = noisysim.run(two_classes(), layers=[8, batch_norm(), 8], batch_size=1, **given)
    assert result.status == "finished"
    assert result.history["test_accuracy"][-1] > 0.8


def test_a_run_that_learns_sample_by_sample_is_resumed_and_stacked_to_the_bit(tmp_path, monkeypatch):
    from noisysim.runs import side_by_side, training

    given = {"layers": [4, batch_norm(), 4], "device": "gaussian", "batch_size": 1, "epochs": 2, "progress": False}
    data = two_classes(60)
    whole = noisysim.run(data, seed=3, **given)
    update, path = training.Training._update, tmp_path / "run.h5"

    def interrupted(self, rows):
        update(self, rows)
        if self.done == 70:
            self.status = "interrupted"

    monkeypatch.setattr(training.Training, "_update", interrupted)
    assert noisysim.run(data, seed=3, out=path, **given).status == "interrupted"
    monkeypatch.undo()
    after = noisysim.resume(path, task=data)
    np.testing.assert_array_equal(after.steps["train_loss"], whole.steps["train_loss"])
    for name, array in whole.content["arrays"]["state/chip"].items():
        np.testing.assert_array_equal(after.content["arrays"]["state/chip"][name], array, err_msg=name)
    both = side_by_side.run_side_by_side([3, 4], task=data, **given)
    np.testing.assert_array_equal(both[0].steps["train_loss"], whole.steps["train_loss"])
