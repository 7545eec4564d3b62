"""Forward gradients, feedback, REINFORCE and covariance correction against naive.py.

A `Twin` is a learner written anew from the definition, in float64, with a memory of its own (feedback, readouts,
moments, covariances) that evolves beside the learner's: both are told the same for several updates, and must agree in
the gradients they ask for and in what they remember. Observations are built by hand (what a rule sees need not come
from a network), and come from chips. What rules are on average is tested on chips, with the significance stated.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from noisysim import Chip, learners
from noisysim.chip.oracle import Oracle
from noisysim.compute import algebra, losses
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.layered import layered
from noisysim.compute.losses import LOSSES, Loss
from noisysim.compute.observation import Batch, Observation

import naive
from twins import (
    CLEAN,
    FAST,
    NOISY,
    REFRESH,
    ROWS,
    VARIANTS,
    Twin,
    close,
    feedback_shapes,
    flat,
    float64,
    one_hot,
    remembered_alike,
    unbiased,
    wanted,
)

# --- the twin -------------------------------------------------------------------------------------------------------


def pair(name, settings, sizes, offers=CLEAN, **given):
    """A learner, its state, and its twin."""
    learner = learners.get(name, **settings)
    state = learner.init(sizes, seed=4, offers=offers, **given)
    twin = Twin(learner, state)
    twin.offers = offers
    return learner, state, twin


# --- observations built by hand -------------------------------------------------------------------------------------

SHAPES = [  # sizes, batch: no hidden layer; one sample, a few, more than one block of rows; odd widths
    ((3, 2), 1),
    ((5, 7, 4), 1),
    ((6, 9, 5, 3), 3),
    ((4, 6, 3), 12),
    ((11, 8, 13, 4), BLOCK_ROWS + 44),
]


def hand_built(sizes, batch, passes, rng, bias=False, plain=False, loss="cce", targets=None):
    """Observations of no network: random activities near a baseline, random losses, and the error of the output."""

    def near(base):  # by noise that is not white: every other unit's is louder
        loud = [1e-2 * (1 + 2 * (np.arange(a.shape[1]) % 2)) for a in base]
        return [(a + s * rng.standard_normal(a.shape)).astype(np.float32) for a, s in zip(base, loud, strict=True)]

    inputs = [rng.standard_normal((batch, n + bias)).astype(np.float32) for n in sizes[:-1]]
    base = [rng.standard_normal((batch, n)).astype(np.float32) for n in sizes[1:]]
    made = []
    for k in range(passes):
        activities = base if k == 0 else near(base)
        x = inputs if k == 0 else near(inputs)  # a rule that takes a perturbed pass's inputs is wrong
        value = 2 + 1e-2 * rng.standard_normal(batch)
        if not plain:
            x, activities = layered(x), layered(activities)
        error = None if targets is None else losses.get(loss).error(activities[-1], targets)
        made.append(Observation(x, activities, activities[-1], value, error))
    return made


def random_oracle(sizes, rng, net, rotated):
    """Weights, and rotations or none, of no chip."""
    weights = [rng.standard_normal((b, a + net.bias)).astype(np.float32) for a, b in pairwise(sizes)]
    rotations = [(np.eye(n) + 0.3 * rng.standard_normal((n, n))).astype(np.float32) for n in sizes[:-1] if rotated]
    return Oracle(weights, rotations, net, None)


def updated(learner, state, twin, sizes, batch, rng, *, loss="cce", plain=False, rtol=1e-4):
    """One update of both on the same observations, compared."""
    twin.targets = one_hot(rng, batch, sizes[-1])
    oracle = twin.oracle = random_oracle(sizes, rng, state.net, rotated=batch % 3 == 0)
    count = len(learner.drives(state, batch))
    observations = hand_built(sizes, batch, count, rng, state.net.bias, plain, loss, twin.targets)
    expected = twin.update(observations)
    gradients, after = learner.update(state, observations, oracle=oracle)
    assert after is state
    assert state.step == twin.step
    if expected is None:
        assert gradients is None
    else:
        close(gradients, expected, rtol)
    remembered_alike(state, twin)
    return gradients


@pytest.mark.parametrize(("sizes", "batch"), SHAPES)
@pytest.mark.parametrize(("name", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_rule_on_hand_built_observations(name, settings, sizes, batch):
    loss = "mse" if batch == 3 else "cce"
    learner, state, twin = pair(name, settings, sizes, bias=batch % 2 == 0, loss=loss)
    rng = np.random.default_rng(batch)
    for _ in range(3):
        updated(learner, state, twin, sizes, batch, rng, loss=loss, plain=batch == 3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "linear"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [("fg-a", {}), ("lg-fg-a", {"derivative": "exact"}), ("fdfa", FAST), ("learned-fa", {}), ("dkp", FAST),
     ("reinforce", {})],
)  # fmt: skip
def test_slopes_are_those_of_the_activation(name, settings, activation):
    sizes, rng = (5, 8, 6, 3), np.random.default_rng(7)
    learner, state, twin = pair(name, settings, sizes, activation=activation)
    for _ in range(2):
        updated(learner, state, twin, sizes, 6, rng)


@pytest.mark.parametrize("name", ["fg-w", "fg-a", "lg-fg-a", "dkp", "fdfa", "learned-fa", "canp"])
def test_rule_on_wide_layers(name):
    # more than one block of units, and enough work for the pool
    sizes = (300, 520, 301, 10)
    learner, state, twin = pair(name, {"samples": 2}, sizes)
    updated(learner, state, twin, sizes, 9, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("settings", "offers"),
    [({}, CLEAN), ({"samples": 2, "window": 5}, CLEAN), ({"samples": 2, "shrinkage": 0.0}, NOISY)],
)
def test_covariances_are_averaged_and_inverted_now_and_then(settings, offers):
    """At updates 0 and 20 inverses change; between them only covariances do."""
    sizes, batch, rng = (4, 6, 5), ROWS + 4, np.random.default_rng(3)
    learner, state, twin = pair("canp", settings, sizes, offers)
    inverses = [state.memory["inverse"].copy()]
    for _ in range(REFRESH + 2):
        updated(learner, state, twin, sizes, batch, rng)
        inverses.append(state.memory["inverse"].copy())
    changed = [not np.array_equal(a, b) for a, b in pairwise(inverses)]
    assert [step for step, c in enumerate(changed) if c] == [0, REFRESH]
    # the noise is not white, and is not taken to be
    assert all(np.linalg.cond(m.reshape(n, n)) > 2 for m, n in zip(np.split(inverses[-1], [36]), (6, 5), strict=True))


def test_a_unit_that_never_moves_is_no_trouble_for_its_covariance():
    learner, state, _ = pair("canp", {}, (4, 6, 1))
    observations = hand_built((4, 6, 1), 5, 1, np.random.default_rng(0)) * 2
    gradients, _ = learner.update(state, observations)
    assert not any(g.any() for g in gradients)
    observations = hand_built((4, 6, 1), 5, 2, np.random.default_rng(0))
    observations[1].activities[0][:, 2] = observations[0].activities[0][:, 2]
    gradients, _ = learner.update(state, observations)
    assert all(np.isfinite(g).all() and g.any() for g in gradients)
    assert not gradients[0][2].any()


@pytest.mark.parametrize(("name", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_inputs_of_perturbed_passes_are_not_used(name, settings):
    """Nor are their hidden activities, but by covariance correction: the others see losses and outputs."""
    sizes, batch, found = (5, 4, 6, 3), 4, []
    for spoilt in (False, True):
        learner, state, _ = pair(name, settings, sizes)
        rng = np.random.default_rng(2)
        targets, oracle = one_hot(rng, batch, 3), random_oracle(sizes, rng, state.net, True)
        count = len(learner.drives(state, batch))
        observations = hand_built(sizes, batch, count, rng, targets=targets)
        for o in observations[1:] if spoilt else []:
            hidden = [] if "canp" in name else o.activities[:-1]
            for array in [*o.inputs, *hidden]:
                array.fill(np.nan)
        gradients, _ = learner.update(state, observations, oracle=oracle)
        found.append([*(gradients or []), *state.memory.values()])
    assert all(np.isfinite(a).all() for a in found[1])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_decorrelated_rule_differs_by_its_decorrelation_alone():
    sizes, found = (5, 4, 3), []
    for name in ("canp", "dcanp"):
        learner, state, _ = pair(name, {}, sizes)
        found.append(learner.update(state, hand_built(sizes, 6, 2, np.random.default_rng(1)))[0])
        assert (learner.decorrelation > 0) == (name == "dcanp")
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_error_tells_a_local_readout_the_targets():
    """They are recovered from output and output error: one-hot classes, and values for a squared error."""
    rng = np.random.default_rng(5)
    for loss, targets in (("cce", one_hot(rng, 50, 4)), ("mse", rng.standard_normal((50, 4)).astype(np.float32))):
        learner, state, _ = pair("lg-fg-a", {}, (3, 6, 5, 4), loss=loss)
        observations = hand_built((3, 6, 5, 4), 50, 2, rng, loss=loss, targets=targets)
        learner.update(state, observations)
        np.testing.assert_allclose(state.work["targets"], targets, atol=1e-6)


def test_with_one_hidden_layer_there_is_nothing_local():
    found = []
    for name in ("fg-a", "lg-fg-a"):
        learner, state, _ = pair(name, {"samples": 2}, (5, 7, 3))
        rng = np.random.default_rng(8)
        observations = hand_built((5, 7, 3), 6, 3, rng, targets=one_hot(rng, 6, 3))
        found.append(learner.update(state, observations)[0])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


# --- what a learner starts with -------------------------------------------------------------------------------------


def test_uniform_draws_are_those_of_the_definition():
    key, shapes, bounds = (np.uint32(7), np.uint32(9)), [(5, 9), (3, 1), (1, 4)], [0.5, 2.0, 0.0]
    arrays = layered([np.empty(shape, np.float32) for shape in shapes])
    algebra.uniforms(arrays, bounds, 11, np.array([key]))
    for layer, (shape, bound) in enumerate(zip(shapes, bounds, strict=True)):
        expected = naive.uniform_rows(*shape, bound, 0, naive.stream(naive.OWN, layer, 11), key)
        np.testing.assert_allclose(arrays[layer], expected, rtol=2e-7, atol=1e-7 * bound)


@pytest.mark.parametrize(("law", "variance"), [("he-uniform", 2), ("uniform", 1 / 3)])
@pytest.mark.parametrize("name", ["fa", "dfa", "dkp", "fdfa", "learned-fa", "learned-dfa"])
def test_feedback_starts_uniform_with_the_variance_asked_for(name, law, variance):
    """Two-sided, at 5 standard errors of the mean and of the variance of 1e5 draws a layer (1e-6 by chance)."""
    sizes = (3, 400, 250, 300)
    state = learners.get(name, feedback_init=law).init(sizes, seed=1)
    arrays = np.split(state.memory["feedback"], np.cumsum([a * b for a, b in feedback_shapes(name, sizes)])[:-1])
    for array, n in zip(arrays, sizes[1:-1], strict=True):
        bound = np.sqrt(3 * variance / n)
        assert 0.999 * bound < np.abs(array).max() <= bound * (1 + 1e-6)
        assert abs(array.mean()) < 5 * np.sqrt(variance / n / array.size)
        assert abs(array.var() * n / variance - 1) < 5 * np.sqrt(0.8 / array.size)  # a uniform law's fourth moment


def test_seeds_and_layers_have_feedback_of_their_own():
    one, other, again = (learners.get("fa").init((4, 6, 6, 6), seed=s).memory["feedback"] for s in (1, 2, 1))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, again)
    assert len(np.unique(one)) == one.size


# --- chips ----------------------------------------------------------------------------------------------------------


def trained_looking_chip(sizes, activation="leaky_relu", bias=False, decorrelated=False, device="ideal", seed=1):
    """A chip whose biases and decorrelation matrices aren't where they start, and draws for it."""
    rng = np.random.default_rng(seed)
    chip = Chip(sizes, device, activation, decorrelated, seed, bias=bias, oracle=True)
    chip.program([0.3 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
    for _ in range(3 * decorrelated):
        x = [rng.standard_normal((5, n + bias)).astype(np.float32) + 0.5 for n in sizes[:-1]]
        chip.decorrelate(x, 0.05)
    return chip, rng


def batch_for(rng, sizes, batch, loss="cce"):
    x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
    return Batch(x, one_hot(rng, batch, sizes[-1]), losses.get(loss))


@pytest.mark.parametrize("device", ["gaussian", "crossbar"])
@pytest.mark.parametrize(("name", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_rule_on_a_noisy_chip_that_learns(name, settings, device):
    """Two updates, the chip programmed after each; where it decorrelates, it goes on doing so."""
    sizes, batch = (6, 9, 5, 3), 7
    chip, rng = trained_looking_chip(sizes, bias=True, decorrelated=True, device=device)
    sigma = {} if "canp" in name else {"sigma": 0.1}
    learner, state, twin = pair(name, {**settings, **sigma}, sizes, chip.offers, bias=True)
    for _ in range(2):
        data = batch_for(rng, sizes, batch)
        twin.targets, twin.oracle = data.targets, chip.oracle(data)
        observations = chip.passes(data, learner.drives(state, batch))
        expected = twin.update(observations)
        gradients, _ = learner.update(state, observations, oracle=chip.oracle(data))
        assert (gradients is None) == (expected is None)
        if gradients is not None:
            close(gradients, expected, 1e-4)
            chip.program([np.float32(-0.05) * g for g in gradients])
        remembered_alike(state, twin)
        chip.decorrelate(observations[0].inputs, 0.01)


@pytest.mark.parametrize("loss", ["cce", "mse"])
@pytest.mark.parametrize(("name", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_updates_on_an_exact_chip_are_the_definitions_from_end_to_end(name, settings, loss):
    """Drives, passes, signals and memory, two updates in a row: the definition makes its passes itself."""
    sizes, batch = (6, 9, 5, 3), 4
    chip, rng = trained_looking_chip(sizes, "tanh", bias=True, decorrelated=True)
    # far above float32's grain, so that float64 can be compared
    learner, state, twin = pair(
        name, {**settings, "sigma": 0.5}, sizes, chip.offers, activation="tanh", bias=True, loss=loss
    )
    if name in ("fa", "dfa", "dkp") and "error" not in settings and "baseline" not in settings:
        assert state.sigma == 0  # nothing to perturb
        state.sigma = 0.0
    for _ in range(2):
        data = batch_for(rng, sizes, batch, loss)
        oracle = twin.oracle = chip.oracle(data)
        twin.targets = data.targets
        weights, rotations, x = float64(oracle.weights), float64(oracle.rotations), data.inputs.astype(float)
        passes = [
            naive.forward(x, weights, "tanh", rotations=rotations, bias=True, **drive) for drive in wanted(twin, batch)
        ]
        expected = [
            Observation(i, a, a[-1], naive.loss(loss, a[-1], data.targets), naive.error(loss, a[-1], data.targets))
            for i, a in passes
        ]
        observations = chip.passes(data, learner.drives(state, batch))
        assert len(observations) == len(expected)
        for observation, other in zip(observations, expected, strict=True):
            close(observation.inputs, other.inputs)
            close(observation.activities, other.activities)
        found = twin.update(expected)
        gradients, _ = learner.update(state, observations, oracle=oracle)
        assert (gradients is None) == (found is None)
        if gradients is not None:
            close(gradients, found, 3e-4)
            chip.program([np.float32(-0.05) * g for g in gradients])
        remembered_alike(state, twin, 1e-3)
        chip.decorrelate(observations[0].inputs, 0.01)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("fg-w", {}, False),
        ("fg-w", {"derivative": "exact"}, True),
        ("fg-a", {}, True),
        ("fg-a", {"error": "scalar"}, False),
        ("fg-a", {"error": "scalar", "derivative": "exact"}, True),
        ("lg-fg-a", {"error": "scalar"}, True),
        ("dfa", {}, True),
        ("dfa", {"error": "scalar"}, False),
        ("fdfa", {"error": "scalar", "derivative": "exact"}, False),
        ("learned-fa", {"error": "scalar"}, False),
        ("learned-dfa", {}, True),
        ("reinforce", {}, False),
        ("canp", {}, False),
    ],
)
def test_a_rule_is_told_the_output_error_only_where_it_declares_so(name, settings, told):
    learner, state, _ = pair(name, settings, (4, 5, 3))
    assert ("output_error" in learner.requires()) == told
    drives = learner.drives(state, 6)
    assert [d.output_error for d in drives] == [told] + [False] * (len(drives) - 1)
    with pytest.raises(ValueError, match="output_error") if told else nullcontext():
        learner.init((4, 5, 3), offers=CLEAN - {"output_error"})


# --- exact derivatives ----------------------------------------------------------------------------------------------


def along_passes_and_exactly(name, sigma, **settings):
    """One update of a rule by passes of size sigma, and by exact derivatives along the same directions."""
    sizes, batch = (6, 8, 5, 3), 6
    chip, rng = trained_looking_chip(sizes, "tanh", bias=True, decorrelated=True, seed=3)
    data, found = batch_for(rng, sizes, batch), []
    for derivative in ("passes", "exact"):
        learner, state, _ = pair(
            name, {"sigma": sigma, "derivative": derivative, **settings}, sizes, activation="tanh", bias=True
        )
        observations = chip.passes(data, learner.drives(state, batch))
        assert len(observations) == (1 if derivative == "exact" else 1 + learner.samples)
        gradients, _ = learner.update(state, observations, oracle=chip.oracle(data))
        found.append(np.concatenate([g.ravel().astype(float) for g in gradients]))
    return np.linalg.norm(found[0] - found[1]) / np.linalg.norm(found[1])


@pytest.mark.parametrize(
    ("name", "settings"), [("fg-w", {}), ("fg-a", {}), ("lg-fg-a", {}), ("fdfa", {"feedback_optimizer": "sgd"})]
)
def test_passes_give_the_exact_derivative_as_perturbations_become_small(name, settings):
    """The difference is of first order in sigma: it falls by ten where sigma does, until float32's grain."""
    large, small = (along_passes_and_exactly(name, sigma, samples=3, **settings) for sigma in (1e-2, 1e-3))
    assert small < 0.01
    assert 7 < large / small < 13


# --- what the rules are on average ----------------------------------------------------------------------------------


AVERAGED = {  # rule, settings, updates
    "fg-w": ("fg-w", {"samples": 200}, 30),
    "fg-w-exact": ("fg-w", {"samples": 200, "derivative": "exact"}, 30),
    "fg-a": ("fg-a", {"samples": 5}, 30),
    "fg-a-scalar": ("fg-a", {"samples": 5, "error": "scalar"}, 30),
    "fg-a-exact": ("fg-a", {"samples": 5, "derivative": "exact"}, 30),
    "reinforce": ("reinforce", {"samples": 2}, 30),
    "reinforce-hidden-noise": ("reinforce", {"samples": 5, "hidden_noise": True}, 30),
}


def estimates_of(name, settings, updates, chip, data, **given):
    """Gradients of as many updates of one chip that does not learn."""
    learner, state, _ = pair(name, settings, chip.sizes, chip.offers, **given)
    found, oracle = [], chip.oracle(data)
    for _ in range(updates):
        observations = chip.passes(data, learner.drives(state, len(data.inputs)))
        gradients, _ = learner.update(state, observations, oracle=oracle)
        found.append(flat(gradients))
    return np.array(found), state


@pytest.mark.parametrize(("name", "settings", "updates"), AVERAGED.values(), ids=AVERAGED)
def test_the_gradient_on_average(name, settings, updates):
    """A sample and its copies have one gradient, of which every estimate is one draw."""
    sizes, copies = ((2, 3, 2), 1) if name == "fg-w" else ((4, 5, 4, 3), 400)
    chip, rng = trained_looking_chip(sizes, "tanh", bias=True, decorrelated=True, seed=5)
    one = batch_for(rng, sizes, 1)
    data = Batch(np.repeat(one.inputs, copies, 0), np.repeat(one.targets, copies, 0), one.loss)
    truth = flat(chip.oracle(data).gradient(chip.forward(data)))
    found, _ = estimates_of(name, settings, updates, chip, data, activation="tanh", bias=True)
    assert unbiased(found, truth)
    assert not unbiased(1.5 * found, truth, power=1)  # the test would notice


def test_local_gradients_on_average():
    """LG-FG-A's lower layers have the gradient of their readout's loss, the last hidden one that of the network's."""
    sizes, copies = (4, 6, 5, 3), 400
    chip, rng = trained_looking_chip(sizes, "tanh", seed=6)
    one = batch_for(rng, sizes, 1)
    data = Batch(np.repeat(one.inputs, copies, 0), np.repeat(one.targets, copies, 0), one.loss)
    settings = {"samples": 5, "readout_rate": 0.0}
    found, state = estimates_of("lg-fg-a", settings, 30, chip, data, activation="tanh")
    weights = float64(chip.oracle(data).weights)
    x, activities = naive.forward(one.inputs.astype(float), weights, "tanh")
    readout = state.memory["readouts"].astype(float).reshape(3, 6)
    error = naive.error("cce", naive.activate("tanh", activities[0]) @ readout.T, one.targets)
    local = naive.backprop([activities[0], None], error, [None, readout], "tanh")[0]
    signals = naive.backprop(activities, naive.error("cce", activities[-1], one.targets), weights, "tanh")
    assert unbiased(found, flat(naive.gradient([local, *signals[1:]], x)))
    assert not unbiased(found, flat(naive.gradient(signals, x)), power=1)  # which is not the network's


@pytest.mark.parametrize("name", ["fg-a", "reinforce"])
def test_one_loss_a_batch_is_unbiased_too(name):
    sizes = (4, 3, 2)
    chip, rng = trained_looking_chip(sizes, "tanh", seed=8)
    data = batch_for(rng, sizes, 2)
    truth = flat(chip.oracle(data).gradient(chip.forward(data)))
    found, _ = estimates_of(name, {"samples": 400, "loss": "batch"}, 25, chip, data, activation="tanh")
    assert unbiased(found, truth)
    assert not unbiased(found / 2, truth, power=1)  # a mean in place of the sum


def test_weights_common_to_the_batch_see_one_loss_anyway():
    found = []
    for loss in ("sample", "batch"):
        learner, state, _ = pair("fg-w", {"loss": loss, "samples": 2}, (4, 5, 3))
        found.append(learner.update(state, hand_built((4, 5, 3), 8, 3, np.random.default_rng(1)))[0])
    close(*found, 1e-6)


def linear_chip(sizes, seed=2):
    """A linear network, and the products of its weights from each hidden layer's outputs to the output."""
    chip, rng = trained_looking_chip(sizes, "linear", seed=seed)
    weights = float64(chip.oracle(None).weights)
    products = [
        np.linalg.multi_dot([*weights[:layer:-1], np.eye(sizes[layer + 1])]) for layer in range(len(weights) - 1)
    ]
    return chip, rng, weights, products


def test_fdfa_feedback_becomes_the_product_of_the_weights_above_in_a_linear_network():
    """With SGD: a running mean of d u^T, whose standard error over the last 1 / rate updates and batch is known."""
    sizes, batch, rate, updates = (5, 6, 4, 3), 500, 0.02, 400
    chip, rng, _, products = linear_chip(sizes)
    learner, state, _ = pair("fdfa", {"feedback_rate": rate, "feedback_optimizer": "sgd"}, sizes, activation="linear")
    for _ in range(updates):
        data = batch_for(rng, sizes, batch)
        learner.update(state, chip.passes(data, learner.drives(state, batch)))
    ends = np.cumsum([p.size for p in products])[:-1]
    for found, product in zip(np.split(state.memory["feedback"], ends), products, strict=True):
        # d_o u_i has the variance |rows of all products|^2 + J_oi^2
        spread = np.sum([np.sum(p**2, axis=1) for p in products], axis=0)[:, None] + product**2
        error = np.sqrt(spread * rate / (2 - rate) / batch)
        deviation = (found.reshape(product.shape) - product) / error
        assert np.abs(deviation).max() < 4.5  # of some 30 normal deviates: 2e-4 by chance
        assert np.linalg.norm(error) < 0.05 * np.linalg.norm(product)
    assert (1 - rate) ** updates < 1e-3  # and where it started is forgotten


def test_fdfa_feedback_becomes_the_mean_derivative_of_the_outputs():
    """Over the inputs it sees, in a network that is not linear; derivatives taken exactly."""
    sizes, batch, rate, updates = (5, 6, 4, 3), 300, 0.02, 300
    chip, rng = trained_looking_chip(sizes, "tanh", bias=True, decorrelated=True, seed=4)
    settings = {"feedback_rate": rate, "feedback_optimizer": "sgd", "derivative": "exact", "samples": 2}
    learner, state, _ = pair("fdfa", settings, sizes, activation="tanh", bias=True)
    data = batch_for(rng, sizes, batch)
    oracle = chip.oracle(data)
    for _ in range(updates):
        learner.update(state, chip.passes(data, learner.drives(state, batch)), oracle=oracle)
    activities = float64(chip.forward(data).activities)
    weights, rotations = float64(oracle.weights), float64(oracle.rotations)
    rows = [naive.backprop(activities, np.tile(e, (batch, 1)), weights, "tanh", rotations) for e in np.eye(3)]
    feedback = np.split(state.memory["feedback"], [18])
    for layer, found in enumerate(feedback):
        slopes = naive.slope("tanh", activities[layer])
        mean = np.array([np.mean(row[layer] / slopes, axis=0) for row in rows])
        assert np.linalg.norm(found.reshape(mean.shape) - mean) < 0.05 * np.linalg.norm(mean)


@pytest.mark.parametrize("name", ["learned-fa", "learned-dfa"])
def test_least_squares_feedback_becomes_the_weights_in_a_linear_network(name):
    """W of the layer above, or the product of all above: where errors span the layer (Lansdell et al., theorem 2)."""
    sizes, batch, updates = (5, 3, 4, 6), 500, 100
    chip, rng, weights, products = linear_chip(sizes)
    target = weights[1:] if name == "learned-fa" else products
    settings = {"fit": "least_squares", "sigma": 1e-2, "samples": 10}
    learner, state, _ = pair(name, settings, sizes, activation="linear", loss="mse")
    ends = np.cumsum([t.size for t in target])[:-1]
    gaps = []
    for update in range(updates):
        x = rng.standard_normal((batch, 5)).astype(np.float32)
        data = Batch(x, rng.standard_normal((batch, 6)).astype(np.float32), losses.get("mse"))
        learner.update(state, chip.passes(data, learner.drives(state, batch)))
        if update + 1 in (updates // 10, updates):
            found = np.split(state.memory["feedback"], ends)
            gaps.append([np.linalg.norm(f - t.ravel()) / np.linalg.norm(t) for f, t in zip(found, target, strict=True)])
    early, late = np.array(gaps)
    assert (late < 0.06).all()
    assert (late < early / 2).all()  # ten times the samples: a third in theory


@pytest.mark.parametrize("settings", [{}, {"samples": 3}, {"loss": "batch"}])
def test_covariance_correction_of_one_layer_in_white_noise_is_inps_estimate(settings):
    sizes, batch = (6, 8), 50
    chip, rng = trained_looking_chip(sizes, bias=True)
    data, found = batch_for(rng, sizes, batch), {}
    for name, shrinkage in (("inp", None), ("canp", 1.0), ("canp", 0.0)):
        given = {**settings, "sigma": 0.25} | ({} if shrinkage is None else {"shrinkage": shrinkage})
        learner, state, _ = pair(name, given, sizes, bias=True)
        for _ in range(2 * REFRESH + 1):
            gradients, _ = learner.update(state, chip.passes(data, learner.drives(state, batch)))
        found[name, shrinkage] = flat(gradients).astype(float)
    exact = found["inp", None]
    assert np.linalg.norm(found["canp", 1.0] - exact) < 1e-4 * np.linalg.norm(exact)
    # with the covariance observed: what chance makes of white noise is shrunk away
    assert np.linalg.norm(found["canp", 0.0] - exact) < 0.1 * np.linalg.norm(exact)


def angle(a, b):
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


@pytest.mark.parametrize("settings", [{"samples": 4}, {"samples": 4, "baseline": "noisy"}, {"baseline": "noisy"}])
def test_covariance_correction_is_the_gradient_on_average_where_anp_is_not(settings):
    """In a linear network, whose weights carry noise on: one sample, many draws, after a warm-up of 21 updates."""
    sizes, copies = (6, 7, 5, 3), 2000
    chip, rng = trained_looking_chip(sizes, "linear", seed=5)
    one = batch_for(rng, sizes, 1)
    data = Batch(np.repeat(one.inputs, copies, 0), np.repeat(one.targets, copies, 0), one.loss)
    truth = chip.oracle(data).gradient(chip.forward(data))
    ends = np.cumsum([g.size for g in truth])[:-1]
    angles, lengths = {}, {}
    for name, own in (("anp", {}), ("canp", {"shrinkage": 0.0})):
        found, _ = estimates_of(name, {**settings, **own}, REFRESH + 20, chip, data, activation="linear")
        mean = np.split(found[REFRESH:].mean(axis=0, dtype=float), ends)
        angles[name] = [angle(m, g.ravel().astype(float)) for m, g in zip(mean, truth, strict=True)]
        lengths[name] = [np.linalg.norm(m) / np.linalg.norm(g) for m, g in zip(mean, truth, strict=True)]
    assert max(angles["canp"]) < 3
    np.testing.assert_allclose(lengths["canp"], 1, atol=0.06)
    assert angles["anp"][0] < 6
    assert min(angles["anp"][1:]) > 15


def test_shrinkage_leads_from_no_correction_to_a_full_one():
    """The whiter the covariance is taken to be, the nearer the estimate to that of ANP with a norm a layer."""
    sizes, batch = (6, 12, 9, 3), 300
    chip, rng = trained_looking_chip(sizes, seed=5)
    data, found = batch_for(rng, sizes, batch), []
    for shrinkage in (0.0, 0.1, 0.5, 1.0):
        learner, state, _ = pair("canp", {"shrinkage": shrinkage}, sizes)
        for _ in range(REFRESH + 1):
            gradients, _ = learner.update(state, chip.passes(data, learner.drives(state, batch)))
        found.append(flat(gradients[1:]).astype(float))
    far = [np.linalg.norm(f - found[-1]) for f in found]
    assert far[0] > far[1] > far[2] > far[3] == 0


def test_an_old_name_of_a_rule_s_method_warns():
    rule, net = learners.get("fg-w"), Chip([9, 3], "ideal").architecture
    with pytest.warns(
        FutureWarning, match="Learner.heard is deprecated since noisysim 0.1: use Learner.sigma_at_floor"
    ):
        assert rule.heard(6.0, net) == rule.sigma_at_floor(6.0, net) == 2.0


def test_a_rule_that_overrides_a_method_by_its_old_name_is_heard_and_warned():
    with pytest.warns(FutureWarning, match="Loud.heard is deprecated since noisysim 0.1: use Loud.sigma_at_floor"):

        @dataclass(frozen=True)
        class Loud(learners.NP):
            name: ClassVar[str] = "loud"

            def heard(self, floor, net):
                return 7 * super().heard(floor, net)

    with pytest.warns(FutureWarning, match="Learner.heard"):
        assert Loud().sigma_at_floor(0.5, None) == 3.5


@pytest.mark.parametrize("loss", [*LOSSES, Loss("same", LOSSES["mse"].value, lambda y, t: y - t)])
def test_local_greedy_forward_gradient_takes_losses_that_tell_the_targets(loss):
    assert learners.get("lg-fg-a").init([9, 5, 4, 3], loss=loss, floor=0.0)


@pytest.mark.parametrize(
    "loss", [Loss("absolute", lambda y, t: abs(y - t).sum(1), lambda y, t: np.sign(y - t)), lambda y, t: y[:, 0]]
)
def test_local_greedy_forward_gradient_refuses_others(loss):
    with pytest.raises(ValueError, match="learner 'lg-fg-a' gets the targets back from the output error"):
        learners.get("lg-fg-a").init([9, 5, 4, 3], loss=loss, floor=0.0)
