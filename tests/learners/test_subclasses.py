"""Rules that inherit from a built-in one, and change what it learns from."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, learners

TOLD = ("np", "dnp", "inp", "dinp", "anp", "danp", "canp", "dcanp", "reinforce")


@pytest.mark.parametrize(
    ("name", "method"),
    [*((name, method) for name in TOLD for method in ("loss_changes", "visible_changes")),
     *((name, "shared") for name in ("anp", "danp", "canp", "dcanp"))],
)  # fmt: skip
def test_what_a_subclass_makes_of_loss_changes_is_what_its_rule_learns_from(name, method):
    """Whatever shorter way there is for the rule that it inherits from."""

    def doubled(self, *arguments):
        found = getattr(super(mine, self), method)(*arguments)
        return (2 * found[0], *found[1:]) if method == "shared" else 2 * found

    rule = learners.LEARNERS[name]
    mine = type("Mine", (rule,), {method: doubled, "__module__": __name__})
    given = [gradient_of(one) for one in (rule(), mine())]
    assert np.abs(given[0]).max() > 0
    np.testing.assert_allclose(given[1], 2 * given[0], rtol=1e-5, atol=1e-7)


def gradient_of(learner):
    """Of one update on a chip with noise."""
    oracle, rng = "oracle" in learner.requires(), np.random.default_rng(2)
    chip = Chip([5, 4, 3], "gaussian", seed=1, decorrelate=learner.decorrelation > 0, oracle=oracle)
    x, targets = rng.normal(size=(6, 5)).astype(np.float32), np.eye(3, dtype=np.float32)[rng.integers(0, 3, 6)]
    batch = noisysim.Batch(x, targets, noisysim.losses.get("cce"))
    state = noisysim.prepare(learner, chip, batch, seed=1)
    observations = chip.passes(batch, learner.drives(state, 6))
    gradient, _ = learner.update(state, observations, oracle=chip.oracle(batch) if oracle else None)
    return gradient.flat.copy()
