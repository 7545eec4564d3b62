"""Chips that are calibrated before they are tested: the ranges of converters, and running statistics."""

import numpy as np
import pytest

import noisysim
from noisysim.chip.chip import Chip

NORMED = {
    "task": "digits", "layers": ["conv(4, 3)", "batch_norm()", "pool(2)", 12, "batch_norm()"], "learner": "fdfa",
    "batch_size": 100, "progress": False,
}  # fmt: skip
DENSE = {"task": "digits", "layers": [12], "learner": "np:sigma=0.5", "batch_size": 100, "progress": False}
NETWORKS = {"normalised": NORMED, "dense": DENSE}


@pytest.fixture
def calibrated(monkeypatch):
    """How many samples chips were calibrated by, call after call."""
    calls, calibrate = [], Chip.calibrate

    def counted(chip, x):
        calls.append(len(getattr(x, "inputs", x)))
        calibrate(chip, x)

    monkeypatch.setattr(Chip, "calibrate", counted)
    return calls


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chip_is_calibrated_before_each_test(name, calibrated):
    found = noisysim.run(**NETWORKS[name], device="crossbar", epochs=3, calibration=64)
    assert calibrated == [100, 64, 64, 64]  # the first at the start, by a batch
    usual = noisysim.run(**NETWORKS[name], device="crossbar", epochs=3)
    assert calibrated[4:] == [100]
    passes = 3 if name == "normalised" else 1  # one for the statistics of each layer that has some, one for ranges
    assert found.cost["passes"] - usual.cost["passes"] == 3 * passes
    assert "calibration" not in usual.config
    assert found.history["test_loss"][0] != usual.history["test_loss"][0]
    assert found.history["train_loss"][0] == usual.history["train_loss"][0]
    assert "calibrated by 64 samples before tests" in found.summary()
    assert "calibrated" not in usual.summary()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("chips", [1, 2])
def test_a_run_that_was_tested_later_is_as_one_that_was_calibrated(name, chips):
    asked = {**NETWORKS[name], "device": "ideal", "epochs": 1, "chips": chips}
    found = noisysim.run(**asked, calibration=64)
    later = noisysim.retention(noisysim.run(**asked), [0.0], calibration=64)
    assert np.array_equal(later["test_loss"][0], found.history["test_loss"][0])
    for own in ({}, {"calibration": 64}):
        assert np.array_equal(noisysim.retention(found, [0.0], **own)["test_loss"], later["test_loss"])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_resumes_to_the_same_bits(name, tmp_path):
    asked = {**NETWORKS[name], "device": "pcm", "calibration": 64}
    noisysim.run(**asked, epochs=1, out=tmp_path / "run.h5")
    resumed = noisysim.resume(tmp_path / "run.h5", epochs=3, progress=False)
    whole = noisysim.run(**asked, epochs=3)
    for column in ("train_loss", "test_loss", "passes"):
        assert np.array_equal(resumed.history[column], whole.history[column])


def test_runs_side_by_side_are_as_alone():
    asked = {**NORMED, "device": "crossbar", "epochs": 2, "calibration": 64}
    study = noisysim.sweep(**asked, seed=[3, 4])
    for seed in (3, 4):
        alone = noisysim.run(**asked, seed=seed)
        assert np.array_equal(study.data.test_loss_by_epoch.sel(seed=seed), alone.history["test_loss"])


def test_ranges_that_large_perturbations_widened_are_narrowed():
    ranges = {}
    for calibration in (0, 64):
        asked = {**DENSE, "learner": "np:sigma=20", "learning_rate": 0.0, "device": "crossbar"}
        chip = noisysim.run(**asked, epochs=1, calibration=calibration).chip()
        ranges[calibration] = chip._hidden.ranges.copy()
    assert (ranges[64] < 0.5 * ranges[0]).all()


def test_statistics_follow_weights_that_were_written_at_last():
    asked = {**NORMED, "device": "ideal", "learner": "bp", "learning_rate": 0.05, "epochs": 1}
    lagging, followed = (noisysim.run(**asked, calibration=n).history["test_loss"][-1] for n in (0, 512))
    assert followed < lagging


def test_what_is_no_number_of_samples_is_refused():
    with pytest.raises(ValueError, match="calibration must be a whole number from 0 to 4096, samples, not -1"):
        noisysim.retention("no.h5", [0.0], calibration=-1)
