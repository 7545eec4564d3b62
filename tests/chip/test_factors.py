"""A gradient applied as factors, in one sweep over the cells, changes a chip as it does when given as arrays."""

from functools import partial

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, batch_norm, conv, learners, losses, optimizers, pool
from noisysim.compute import execution
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term

CLOSE = 1e-5
"""Of the largest change of a layer: products of the same numbers may be rounded in another order."""
DENSE, IMAGES = [6, 5, 3], [(1, 6, 6), conv(3, 3), batch_norm(), pool(2), 4, 3]
RULES = [name for name in learners.names() if learners.get(name).has_factors]
OPTIMIZERS = [optimizers.SGD(), optimizers.SGD(momentum=0.5), optimizers.Adam()]


def batch(n_in, rows=8):
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, rows)]
    return Batch(rng.standard_normal((rows, n_in), dtype=np.float32), targets, losses.get("cce"))


def weights_after(as_factors, rule, layers, optimizer, device="ideal", chips=1, updates=2, **made):
    """Weights of a chip after some updates, and what it has cost."""
    learner = learners.get(rule)
    chip = Chip(layers, device, decorrelate=learner.decorrelation > 0, seed=1, chips=chips, oracle=True, **made)
    state = learner.init(chip.architecture, offers=chip.offers, floor=0.0, chips=chips)
    kept = optimizer.init([(chips * n_out, n_in) for n_out, n_in in chip.network.shapes])
    data = batch(36 if layers is IMAGES else 6)
    for _ in range(updates):
        oracle = chip.oracle(data) if "oracle" in learner.requires() else None
        observed = chip.passes(data, learner.drives(state, 8), training=True)
        if as_factors:
            factors, state = learner.factors(state, observed, oracle=oracle)
            assert not chip.descend(factors, partial(optimizer.step, kept, 0.05)).any()
        else:
            gradient, state = learner.update(state, observed, oracle=oracle)
            changes, kept = optimizer.update(gradient, kept, 0.05)
            chip.program(changes)
    return chip._hidden.arrays.weight_arrays(), chip.cost


def agree(*arguments, **settings):
    (by_factors, cost), (by_arrays, same_cost) = (weights_after(way, *arguments, **settings) for way in (True, False))
    before, _ = weights_after(True, *arguments, **settings, updates=0)
    for one, other, first in zip(by_factors, by_arrays, before, strict=True):
        assert np.abs(other - first).max() > 0
        assert np.abs(one - other).max() <= CLOSE * np.abs(other - first).max()
    return cost, same_cost


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_outer_products_takes_the_same_step(rule):
    assert len(RULES) > 15
    agree(f"{rule}:warmup=0" if rule.startswith("learned") else rule, DENSE, optimizers.Adam())


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("layers", [DENSE, IMAGES], ids=["dense", "images"])
def test_every_optimizer_takes_the_same_step(layers, optimizer):
    agree("dfa", layers, optimizer)
    agree("np", layers, optimizer, chips=2)


@pytest.mark.parametrize(
    ("device", "settings"),
    [("crossbar", {}), ("crossbar", {"tile_rows": 2}), ("crossbar", {"drift_nu": 0.05}), ("rpu", {}), ("pcm", {})],
)
def test_cells_are_written_alike(device, settings):
    """On devices whose writes round and draw: the same cells with the same noise, but where a last bit decides."""
    device = noisysim.devices.get(device, **settings)
    ways = [weights_after(way, "np", DENSE, optimizers.SGD(), device, updates=1, bias=True) for way in (True, False)]
    (one, cost), (other, same_cost) = ways
    for a, b in zip(one, other, strict=True):
        assert np.mean(np.abs(a - b) > CLOSE * np.abs(b).max()) <= 0.05
    assert cost.as_dict() == pytest.approx(same_cost.as_dict(), rel=0.05)


def test_the_number_of_threads_changes_nothing():
    found = []
    for threads in (1, 2, 3):
        with execution.threads(threads):
            found.append(weights_after(True, "np", [6, 300, 300, 3], optimizers.Adam(), "crossbar"))
    for weights, cost in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(weights, found[0][0], strict=True))
        assert cost == found[0][1]


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_a_chip_whose_change_is_not_finite_is_named_and_the_others_are_written(value):
    chip, optimizer = Chip(DENSE, "ideal", seed=1, chips=3), optimizers.SGD()
    before = chip._hidden.arrays.weight_arrays()
    observed = chip.passes(batch(6, 12), [noisysim.Drive()])
    signals = [np.ones_like(a) for a in observed[0].activities]
    signals[0][4] = value  # a sample of the second chip
    factors = Factors([Term(np.full(12, 1e3), signals)], observed[0].inputs, (), 3)
    refused = chip.descend(factors, lambda: optimizer.step(optimizer.init([]), 1.0))
    assert refused.tolist() == [False, True, False]
    for layer, (now, first) in enumerate(zip(chip._hidden.arrays.weight_arrays(), before, strict=True)):
        moved = (now != first).reshape(3, -1).any(axis=1)
        assert np.isfinite(now).all()
        assert moved.tolist() == [True, layer > 0, True]


def test_rules_without_factors_say_so():
    learner = learners.Learner()
    with pytest.raises(TypeError, match="Learner has no factors"):
        learner.factors(learner.init(DENSE), [])
