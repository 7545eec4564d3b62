"""Backpropagation through a copy of its own: exact where nothing is hidden, astray where no controller keeps a copy."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, conv, learners, pool

SGD = {"optimizer": "sgd", "learning_rate": 0.1}
SHADOW = "shadow:copy_optimizer=sgd,copy_rate=0.1,starts={}"
IMAGE = [(2, 6, 5), conv(3, 3, padding=1, activation="tanh"), pool(2, 1), conv(4, 2), 4]


def taught(layers, task, optimizer, updates, chips=1, starts=3, device="ideal"):
    """A chip that a shadow taught by its own loop, the rule's state, and the next gradient beside the true one."""
    settings = f"shadow:copy_optimizer={optimizer.name},copy_rate=0.1,starts={starts}"
    learner = learners.get(settings)
    chip = Chip(layers, device, seed=3, init="zero", bias=True, chips=chips, oracle=True)
    state = learner.init(chip.architecture, seed=5, offers=chip.offers, floor=0.0, chips=chips)
    memory = optimizer.init([(chips * n, m) for n, m in chip.network.shapes])
    for k in range(updates + 1):
        batch = task(k)
        observed = chip.passes(batch, learner.drives(state, len(batch.inputs)), training=True)
        truth = chip.oracle(batch).gradient(observed[0])
        gradient, state = learner.update(state, observed)
        if k < updates:
            changes, memory = optimizer.update(gradient, memory, 0.1)
            chip.program(changes)
    return chip, state, gradient, truth


def batches(n_in, n_out, rows=12, chips=1):
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((rows * chips, n_in)).astype(np.float32)
    targets = np.eye(n_out, dtype=np.float32)[rng.integers(0, n_out, rows * chips)]
    return lambda k: noisysim.Batch(inputs, targets, noisysim.losses.get("cce"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("layers", [[6, 5, 3], IMAGE], ids=["dense", "convolution"])
@pytest.mark.parametrize("chips", [1, 2])
def test_on_an_exact_chip_its_gradient_is_the_true_one(layers, optimizer, chips):
    """Of a chip that started at zero the copy is the weights, after the first updates and after more."""
    n_in = 60 if layers is IMAGE else 6
    task = batches(n_in, layers[-1], chips=chips)
    for updates in (3, 8):
        _, _, gradient, truth = taught(layers, task, noisysim.optimizers.get(optimizer), updates, chips)
        for one, other in zip(gradient, truth, strict=True):
            assert np.abs(other).max() > 0
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)


def test_its_first_updates_ask_for_weights_of_he():
    """All there after `starts` updates of SGD, uniform with the variance 2 / inputs, biases none."""
    chip, *_ = taught([100, 80, 3], batches(100, 3), noisysim.optimizers.get("sgd"), 3)
    weights = chip.weights()
    first = weights["0.weight"]
    assert first.std() == pytest.approx(np.sqrt(2 / 100), rel=0.03)
    assert np.abs(first).max() <= np.sqrt(6 / 100) * (1 + 1e-5)
    assert not weights["0.bias"].any()


def test_it_asks_for_the_output_error_alone():
    rule = learners.get("shadow")
    assert rule.requires() == {"output_error"}
    state = rule.init([6, 5, 3], offers=frozenset({"output_error"}))
    assert rule.drives(state, 4)[0].output_error
    with pytest.raises(ValueError, match="needs output_error"):
        rule.init([6, 5, 3], offers=frozenset({"perturbation"}))


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.runs), pytest.param(1, marks=pytest.mark.thorough)])
def test_a_controller_without_a_copy_hides_the_weights_from_it(seed):
    """Stated before: with a copy it is within 6 points of the oracle, without one at least 15 points below it.

    On a crossbar whose writes miss by 5 % of the range of a cell: at 3 % the last bits of a run decided. At 5 % five
    seeds of the benchmark have 70.6 +- 6.1 with the oracle, 14.4 +- 7.7 without, and 95.9 +- 1.1 with a copy.
    """
    accuracy = {}
    for controller in ("copy", "increment"):
        device = f"crossbar:controller={controller},program_noise=0.05"
        given = {"device": device, "layers": [64, 32], "seed": seed, "progress": False, **SGD}
        shadow = noisysim.run(learner=SHADOW.format(25), init="zero", **given)
        oracle = noisysim.run(learner="bp", oracle=True, **given)
        assert not shadow.config["oracle"]
        accuracy[controller] = [100 * result.history["test_accuracy"][-1] for result in (shadow, oracle)]
    assert accuracy["copy"][0] > accuracy["copy"][1] - 6
    assert accuracy["increment"][0] < accuracy["increment"][1] - 15
    assert accuracy["increment"][1] > 45
