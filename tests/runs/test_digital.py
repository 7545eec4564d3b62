"""The digital account of a run: formulas of every rule against the operations that it really asks for."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, learners
from noisysim.compute import algebra, execution
from noisysim.learners.covariance import REFRESH
from noisysim.runs import loop

LAYERS = {"dense": [12, 7, 6, 4], "convolution": [(1, 6, 6), noisysim.conv(3, 3), noisysim.pool(2), 5, 4]}
SPECS = [
    *(name for name in learners.LEARNERS if name != "shadow"),
    "shadow:starts=0", "np:samples=3", "inp:samples=2", "anp:samples=3", "anp:samples=3,baseline=noisy",
    "canp:samples=3,baseline=noisy", "fg-a:error=scalar,samples=2", "fg-w:samples=3", "lg-fg-a:samples=2",
    "fdfa:samples=3", "learned-fa:samples=2", "learned-dfa:fit=least_squares", "dfa:error=scalar",
    "fg-a:derivative=exact", "fg-w:derivative=exact",
]  # fmt: skip


class Tally:
    """Counts the multiplications of every product, outer product, sum of terms and distance asked for."""

    def __init__(self, monkeypatch):
        self.macs = 0
        distances = "squared_distances", "layer_distances", "layer_squares", "shares_by_distance"
        for name in ("outer", "product", "combine", *distances):
            monkeypatch.setattr(algebra, name, self._counting(name, getattr(algebra, name)))

    def _counting(self, name, function):
        def counted(*arguments, **named):
            self.macs += getattr(self, name)(*arguments, **named)
            return function(*arguments, **named)

        return counted

    def outer(self, terms, inputs, *_, **__):
        scaled = sum(a.size for term in terms for a in term.activities if not np.all(term.factors == 1))
        return scaled + sum(a.size * x.shape[-1] for a, x in zip(terms[0].activities, inputs, strict=True))

    def product(self, x, matrices, *_, **__):
        rows = x.size // x.shape[-1]
        return sum(rows * m.size for m in matrices)

    def combine(self, factors, activities, *_, **__):
        return len(factors) * activities[0].size

    def squared_distances(self, activities, *_):
        return sum(a.size for a in activities)

    layer_distances = layer_squares = squared_distances

    def shares_by_distance(self, share, losses, activities, *_):
        return self.squared_distances(activities)


def inverses(learner, state, samples):
    """What no operation of `algebra` does: matrix inverses and solutions, and single dot products."""
    if isinstance(learner, learners.CANP):
        return sum(n**3 for n in state.net.units) // REFRESH
    if isinstance(learner, learners.LGFGA):
        return learner.samples * samples * state.net.units[-1] * len(state.hidden[:-1])
    if isinstance(learner, learners.FGW):
        return learner.samples * state.net.cells
    if getattr(learner, "fit", "") == "least_squares":
        shapes = learner.feedback_shapes(state)
        return sum(samples * n * (n + m) + n**3 // 3 + n * n * m for n, m in shapes)
    return 0


@pytest.mark.parametrize("net", LAYERS)
@pytest.mark.parametrize("spec", SPECS)
def test_the_operations_of_every_rule_are_those_of_its_formulas(spec, net, monkeypatch):
    learner, samples = learners.get(spec), 9
    chip = Chip(LAYERS[net], "ideal", seed=1)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((samples, chip.sizes[0])).astype(np.float32)
    targets = np.eye(4, dtype=np.float32)[rng.integers(0, 4, samples)]
    batch = noisysim.Batch(x, targets, noisysim.losses.get("cce"))
    state = loop.prepare(learner, chip, batch, seed=1)
    observations = chip.passes(batch, learner.drives(state, samples))
    oracle = chip.oracle(batch)
    tally = Tally(monkeypatch)
    with execution.single_blas():
        gradient, state = learner.update(state, observations, oracle=oracle)
    assert gradient is not None
    counted = tally.macs + inverses(learner, state, samples)
    assert counted == learner.estimate_macs(state, samples) + learner.gradient_macs(state, samples)


# --- runs: ten samples, 3-4-2, in batches of 4, 4 and 2, three epochs ------------------------------------------------

WEIGHTS, LINES, DRIVEN = 3 * 4 + 4 * 2, 4 + 2, 3 + 4


def run(**settings):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((14, 3)), np.arange(14) % 2
    given = {"device": "crossbar", "learner": "np", "layers": [4], "batch_size": 4, "epochs": 3, "optimizer": "adam"}
    return noisysim.run((x[:10], y[:10], x[10:], y[10:]), progress=False, **{**given, **settings})


def test_a_run_counts_every_sample_it_learned_from():
    cost = run().cost
    assert cost["updates"] == 9
    assert cost["rule_macs"] == 30 * (LINES + WEIGHTS)
    assert cost["digital_macs"] == cost["rule_macs"]
    assert cost["perturbation_conversions"] == 30 * LINES
    assert cost["analog_macs"] == cost["samples"] * WEIGHTS
    assert cost["optimizer_bytes"] == 2 * 4 * WEIGHTS
    assert cost["gradient_bytes"] == 4 * WEIGHTS
    assert cost["controller_bytes"] == 0  # increments keep nothing
    assert cost["activity_bytes"] == 4 * (DRIVEN + LINES)
    assert cost["learner_bytes"] == cost["decorrelation_bytes"] == 0
    assert cost["digital_bytes"] == 4 * (3 * WEIGHTS + DRIVEN + LINES)
    assert run(device="crossbar:controller=copy").cost["controller_bytes"] == 4 * WEIGHTS


def test_a_run_counts_its_digital_layers():
    """3-4-2, the first normalised, with gains: places of their matrix off the diagonal count nowhere."""
    plain, cost = run(layers=["4", "batch_norm()"]).cost, run(layers=["4", "batch_norm(learned=True)"]).cost
    gains = 2 * 4
    assert cost["layer_macs"] == cost["samples"] * gains
    assert cost["layer_bytes"] == 4 * gains
    assert cost["analog_macs"] == plain["analog_macs"] == cost["samples"] * WEIGHTS
    assert cost["digital_macs"] == cost["layer_macs"] + cost["rule_macs"]
    assert cost["rule_macs"] == plain["rule_macs"] + 30 * (4 + gains)
    assert cost["optimizer_bytes"] == 2 * 4 * (WEIGHTS + gains)
    assert cost["gradient_bytes"] == 4 * (WEIGHTS + gains)
    assert plain["layer_macs"] == plain["layer_bytes"] == 0
    assert "digital layers" in run(layers=["4", "batch_norm(learned=True)"]).summary()


def test_a_decorrelated_run_counts_its_matrices_and_keeps_the_inputs_of_a_batch():
    result = run(learner="dnp", optimizer="sgd", batch_size=2)
    cost, turned, samples = result.cost, 9 + 16, 30
    assert cost["decorrelation_macs"] == cost["samples"] * turned
    steps = min(2 * 2 * 9, 2 * 3 + 27) + min(2 * 2 * 16, 2 * 6 + 64)
    assert cost["adaptation_macs"] == 15 * steps
    assert cost["digital_macs"] == cost["decorrelation_macs"] + 15 * steps + samples * (LINES + WEIGHTS)
    assert cost["activity_bytes"] == 4 * (DRIVEN + LINES + 2 * DRIVEN)
    assert cost["optimizer_bytes"] == 0


@pytest.mark.parametrize("settings", [{"learner": "danp"}, {"learner": "dnp"}, {"learner": "inp:baseline=noisy"}])
@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_series_of_updates_count_what_single_updates_count(settings, device, monkeypatch):
    """Twelve updates of one sample each, in one call and one by one."""
    settings = {**settings, "device": device, "batch_size": 1}
    if device == "crossbar":
        settings["learner"] = settings["learner"].removesuffix(":baseline=noisy")
    at_once = run(**settings).cost
    monkeypatch.setattr(Chip, "learns_in_series", lambda *_: False)
    assert run(**settings).cost == at_once


def test_what_waits_for_a_batch_is_kept_for_all_of_it():
    assert run(learner="np:loss=batch").cost["activity_bytes"] == 4 * 4 * (DRIVEN + LINES)
    one_by_one = run(batch_size=1).cost
    assert one_by_one["activity_bytes"] == 4 * (DRIVEN + LINES)
    assert one_by_one["gradient_bytes"] == 0


def test_the_array_forms_the_outer_products_of_pulse_trains():
    cost = run(device="rpu:update=pulse_trains", optimizer="sgd").cost
    assert cost["rule_macs"] == 30 * LINES
    assert cost["gradient_bytes"] == cost["optimizer_bytes"] == 0


def test_what_a_rule_remembers_is_its_memory():
    cost = run(learner="dfa").cost
    assert cost["learner_bytes"] == 4 * 2 * 4


def test_chips_side_by_side_cost_what_each_does():
    one, two = run(), run(chips=2)
    for name in ("rule_macs", "digital_macs", "digital_bytes", "analog_macs", "perturbation_conversions"):
        assert two.cost[name] == 2 * one.cost[name]


def test_a_summary_says_it_and_those_of_earlier_versions_say_nothing():
    result = run(learner="dnp")
    digital = dict(result.rows())["digital"]
    assert f"{result.cost['digital_macs']:,} MACs" in digital
    assert f"{result.cost['adaptation_macs']:,} adapting that" in digital
    assert f"beside {result.cost['analog_macs']:,} in the arrays" in digital
    assert f"{result.cost['digital_bytes']:,} bytes kept" in digital
    for name in [name for name in result.cost if name.endswith("macs")]:
        del result.cost[name]
    assert "digital" not in dict(result.rows())
