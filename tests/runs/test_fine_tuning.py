"""Networks that were trained exactly, deployed on a noisy chip and fine-tuned there.

Means of several seeds, with margins stated before looking at them; runs differ in their last bits between processors.
"""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, learners, optimizers, tasks

SEEDS = range(4)
DEPLOYED = {"layers": [64], "device": "pcm_hermes", "progress": False}


def trained(seed):
    """A chip without noise that has learned the digits by backpropagation."""
    task, rule, optimizer = tasks.get("digits"), learners.get("bp"), optimizers.get("adam")
    chip = Chip([task.n_in, 64, task.n_out], "ideal", seed=seed)
    memory, state = optimizer.init(chip.network.shapes), noisysim.prepare(rule, chip, next(task.batches(32, seed=seed)))
    for epoch in range(10):
        for batch in task.batches(32, seed=seed, epoch=epoch):
            gradients, state = rule.update(state, chip.passes(batch, rule.drives(state, 32)), oracle=chip.oracle(batch))
            updates, memory = optimizer.update(gradients, memory, 1e-3)
            chip.program(updates)
    return chip


@pytest.fixture(scope="module")
def networks():
    return [trained(seed) for seed in SEEDS]


def accuracy(networks, **given):
    """Percent, mean of the seeds after the last epoch."""
    runs = [noisysim.run(**{**DEPLOYED, **given}, seed=s, init=networks[s]) for s in SEEDS]
    return 100 * np.mean([run.history["test_accuracy"][-1] for run in runs])


@pytest.mark.runs
def test_decorrelated_rules_fine_tune_as_well_as_plain_ones(networks):
    """At most a point worse than ANP and what was deployed; compensated better; with inputs turned a point worse."""
    learning = {"epochs": 5, "learning_rate": 3e-4}
    deployed = accuracy(networks, learner="anp", epochs=1, learning_rate=0.0)
    anp, danp = (accuracy(networks, learner=name, **learning) for name in ("anp", "danp"))
    inputs = accuracy(networks, learner="danp", decorrelate="inputs", **learning)
    assert danp >= max(anp, deployed) - 1
    assert danp >= inputs + 1
    assert accuracy(networks, learner="danp", decorrelate="compensated", **learning) >= max(danp, deployed)


@pytest.mark.runs
def test_decorrelation_alone_does_not_undo_a_network(networks):
    """An epoch without learning: on an exact device not one answer changes, where it turns updates."""
    still = {"learner": "danp:decorrelation=0.01", "epochs": 3, "learning_rate": 0.0}
    plain, updates, inputs = (
        np.array([
            noisysim.run(**{**DEPLOYED, "device": "ideal"}, **more, seed=s, init=networks[s]).history["test_loss"]
            for s in SEEDS
        ])
        for more in (still | {"learner": "anp"}, still, still | {"decorrelate": "inputs"})
    )  # fmt: skip
    assert np.array_equal(plain, updates)
    assert (inputs[:, -1] > 1.2 * plain[:, -1]).all()


@pytest.mark.runs
def test_scales_keep_more_of_a_deployed_network(networks):
    """Accuracy lost by the write alone: by column at most two thirds of that of the fixed scale."""
    still = {"learner": "anp", "epochs": 1, "learning_rate": 0.0}
    exact = accuracy(networks, **still, device="ideal")
    fixed, column = (exact - accuracy(networks, **still, weight_scaling=s) for s in ("fixed", "column"))
    assert fixed > 0.5
    assert column <= 2 / 3 * fixed
