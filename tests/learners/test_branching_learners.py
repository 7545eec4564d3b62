"""Every learning rule on networks that branch: it makes an update, or says in one line why it cannot."""

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, learners
from noisysim.compute import losses

import branching

RNG = np.random.default_rng(0)
KINDS = ["residual", "concat", "gate", "nested", "wired", "groups", "ends in a sum", "learned norms", "digital"]
TEACHING = {"fa", "dfa", "dkp", "fdfa", "learned-fa", "learned-dfa", "fg-a", "lg-fg-a", "reinforce"}
"""Rules that take the error of the output for that of the last layer."""
SLOW_STARTERS = {"learned-fa", "learned-dfa"}
"""Rules whose feedback is zero at first."""


def refused(rule, name):
    """What is said of a rule that cannot learn a network; "" of one that can."""
    if name == "ends in a sum" and rule in TEACHING:
        return "teaches the last layer by the error of the output"
    return "defined for chains of layers only" if rule == "learned-fa" and name != "groups" else ""


def chip_and_data(name, device, **settings):
    chip = Chip(branching.NETS[name], device, "tanh", seed=1, **settings)
    x = RNG.standard_normal((9, chip.network.sizes[0])).astype(np.float32)
    t = np.eye(chip.network.n_out, dtype=np.float32)[RNG.integers(chip.network.n_out, size=9)]
    return chip, Batch(x, t, losses.get("cce"))


@pytest.mark.parametrize("device", ["gaussian", "crossbar"])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rule", learners.names())
def test_every_rule_makes_an_update_or_says_why_not(rule, name, device):
    learner = learners.get(rule)
    needs_oracle = "oracle" in learner.requires()
    chip, data = chip_and_data(name, device, oracle=needs_oracle, decorrelate=learner.decorrelation > 0)
    if message := refused(rule, name):
        with pytest.raises(ValueError, match=message):
            noisysim.prepare(learner, chip, data)
        return
    state = noisysim.prepare(learner, chip, data)
    for _ in range(2):
        observations = chip.passes(data, learner.drives(state, 9), training=True)
        oracle = chip.oracle(data) if needs_oracle else None
        gradients, state = learner.update(state, observations, oracle=oracle)
        assert [g.shape for g in gradients] == chip.network.shapes
        assert all(np.isfinite(g).all() for g in gradients)
        layers = range(chip.network.depth - 1 if rule in SLOW_STARTERS else 0, chip.network.depth)
        waits = [
            rule == "shadow" and block.is_gain for block in chip.network.blocks
        ]  # it asks for initial weights first
        assert all(np.any(gradients[k]) for k in layers if not waits[k])
        chip.program([-0.01 * g for g in gradients])


@pytest.mark.parametrize("name", [*KINDS, "residual, normalised", "norms", "ends in softmax"])
def test_activity_rules_point_down_the_gradient(name):
    """On average over many perturbations, on exact hardware."""
    chip, data = chip_and_data(name, "ideal")
    bp = learners.get("bp")
    (observation,) = chip.passes(data, [noisysim.Drive()], training=True)
    wanted, _ = bp.update(bp.init(chip.network), [observation], oracle=chip.oracle(data))
    for rule in ("np", "inp", "anp", "fg-w"):
        learner = learners.get(rule, samples=300)
        state = noisysim.prepare(learner, chip, data)
        found, _ = learner.update(state, chip.passes(data, learner.drives(state, 9), training=True))
        assert sum(np.sum(a * b) for a, b in zip(found, wanted, strict=True)) > 0, rule


def test_networks_of_groups_learn_by_trains_of_pulses():
    """On `rpu`, by backpropagation, far above the tenth that guesses reach."""
    result = noisysim.run(
        "digits", layers=["conv(8, 3, stride=2)", "depthwise(3, padding=1)", "conv(16, 3, groups=4)"],
        device="rpu:update=pulse_trains", learner="bp", oracle=True, optimizer="sgd", learning_rate=0.02,
        batch_size=4, epochs=2, seed=1, progress=False,
    )  # fmt: skip
    assert result.history["test_accuracy"][-1] > 0.6
