"""The rules against naive.py: losses, gradients, every learner, decorrelation, optimizers.

Observations are built by hand from random arrays where a rule is tested on its own (what it sees need not come from a
network), and come from chips where the chain is tested: passes, signals, gradients. Learners' draws are recomputed
from the key that their state holds.
"""

from itertools import pairwise

import numpy as np
import pytest

from noisysim import Chip, learners
from noisysim.chip.decorrelation import decorrelate
from noisysim.compute import losses
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.layered import layered
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.learners import optimizers
from noisysim.networks.activations import ACTIVATIONS

import naive

SHAPES = [  # sizes, batch: one sample, a few, more than one block of rows; odd widths
    ((3, 2), 1),
    ((5, 7, 4), 1),
    ((6, 9, 5, 3), 3),
    ((4, 6, 3), 12),
    ((11, 8, 13, 4), BLOCK_ROWS + 44),
]
CLEAN = frozenset({"perturbation", "clean", "oracle"})
NOISY = frozenset({"perturbation"})


def close(arrays, expected, rtol=2e-5):
    """Equal to float32 accuracy: relative to the largest value of each array."""
    assert len(arrays) == len(expected)
    for one, other in zip(arrays, expected, strict=True):
        scale = np.max(np.abs(other), initial=0.0)
        np.testing.assert_allclose(np.asarray(one, float), other, rtol=0, atol=rtol * scale + 1e-30)


def float64(arrays):
    return [np.asarray(a, float) for a in arrays]


def angle(arrays, others):
    """Degrees between two lists of arrays taken as one vector."""
    a, b = (np.concatenate([np.ravel(x) for x in arrays_]) for arrays_ in (arrays, others))
    return np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))


def one_hot(rng, batch, n):
    return np.eye(n, dtype=np.float32)[rng.integers(0, n, batch)]


def hand_built(sizes, batch, passes, seed, bias=False, plain=False):
    """Observations of no network: random activities near a baseline, random losses."""
    rng = np.random.default_rng(seed)

    def near(base):
        return [(a + 1e-2 * rng.standard_normal(a.shape)).astype(np.float32) for a in base]

    inputs = [rng.standard_normal((batch, n + bias)).astype(np.float32) for n in sizes[:-1]]
    base = [rng.standard_normal((batch, n)).astype(np.float32) for n in sizes[1:]]
    made = []
    for k in range(passes):
        activities = base if k == 0 else near(base)
        x = inputs if k == 0 else near(inputs)  # a rule that takes a perturbed pass's inputs is wrong
        loss = 2 + 1e-2 * rng.standard_normal(batch)
        if not plain:
            x, activities = layered(x), layered(activities)
        made.append(Observation(x, activities, activities[-1], loss))
    return made


def draws(state, batch, count):
    """The learner's perturbations: draw k of layer l has a stream of its own, the step is the pass number."""
    return [
        [
            state.sigma * naive.normal_rows(batch, n, state.step, naive.stream(naive.OWN, layer, k), state.key[0])
            for layer, n in enumerate(state.net.units)
        ]
        for k in range(count)
    ]


def expected_signals(name, learner, state, observations):
    """What naive.py makes of the observations under the settings of a learner."""
    activities = [float64(o.activities) for o in observations]
    told = [o.loss for o in observations]
    changes = naive.told(told, learner.loss == "batch")
    if name == "np":
        return naive.node_perturbation(changes, draws(state, len(told[0]), learner.samples), state.sigma)
    if name == "inp":
        return naive.iterative(changes, draws(state, len(told[0]), learner.samples))
    if learner.clean(state):
        return naive.activity_based(changes, activities)
    return naive.activity_based_centred(told, activities, learner.loss == "batch")


# --- units and losses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations(name):
    _, value, slope = ACTIVATIONS[name]
    a = np.concatenate([np.linspace(-9, 9, 101), [1e-6, -1e-6, 40, -40]]).astype(np.float32)
    np.testing.assert_allclose([value(v) for v in a], naive.activate(name, a.astype(float)), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose([slope(v) for v in a], naive.slope(name, a.astype(float)), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("name", ["cce", "mse"])
@pytest.mark.parametrize(("batch", "n"), [(1, 1), (1, 10), (3, 4), (300, 7)])
def test_losses_and_their_errors(name, batch, n):
    rng = np.random.default_rng(1)
    y, t = (4 * rng.standard_normal((batch, n))).astype(np.float32), one_hot(rng, batch, n)
    loss = losses.get(name)
    value, error = loss(y, t), loss.error(y, t)
    assert value.dtype == np.float64
    assert value.shape == (batch,)
    np.testing.assert_allclose(value, naive.loss(name, y.astype(float), t), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(error, naive.error(name, y.astype(float), t), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["cce", "mse"])
def test_errors_are_the_losses_derivatives(name):
    rng = np.random.default_rng(2)
    y, t = rng.standard_normal((6, 5)), one_hot(rng, 6, 5)
    for k in range(5):
        h = np.zeros(5)
        h[k] = 1e-5
        slope = (naive.loss(name, y + h, t) - naive.loss(name, y - h, t)) / 2e-5
        np.testing.assert_allclose(naive.error(name, y, t)[:, k], slope, rtol=1e-7, atol=1e-9)


def test_cross_entropy_survives_large_outputs():
    y = np.array([[1e4, 0, -1e4], [3e38, -3e38, 0]], np.float32)
    t = np.array([[0, 1, 0], [1, 0, 0]], np.float32)
    np.testing.assert_allclose(losses.get("cce")(y, t), [1e4, 0])
    assert np.isfinite(losses.get("cce").error(y, t)).all()


# --- perturbation rules on hand-built observations ------------------------------------------------------------------

VARIANTS = [  # rule, settings, what the chip offers
    ("np", {}, CLEAN),
    ("np", {"samples": 3, "loss": "batch"}, CLEAN),
    ("np", {"samples": 2, "sigma": 0.3}, NOISY),
    ("np", {"samples": 2, "baseline": "noisy"}, CLEAN),
    ("inp", {}, CLEAN),
    ("inp", {"samples": 3}, CLEAN),
    ("inp", {"samples": 2, "loss": "batch", "sigma": 0.1}, NOISY),
    ("anp", {}, CLEAN),
    ("anp", {"loss": "batch"}, CLEAN),
    ("anp", {"samples": 4}, CLEAN),
    ("anp", {}, NOISY),
    ("anp", {"samples": 4}, NOISY),
    ("anp", {"samples": 4, "loss": "batch"}, NOISY),
    ("anp", {"baseline": "noisy"}, CLEAN),
    ("anp", {"samples": 3, "baseline": "noisy"}, CLEAN),
    ("anp", {"samples": 2, "sigma": 0.1}, NOISY),
]


@pytest.mark.parametrize(("sizes", "batch"), SHAPES)
@pytest.mark.parametrize(("name", "settings", "offers"), VARIANTS)
def test_rule_on_hand_built_observations(name, settings, offers, sizes, batch):
    learner = learners.get(name, **settings)
    state = learner.init(sizes, seed=4, offers=offers)
    state.step = 5
    bias = batch % 2 == 0
    observations = hand_built(sizes, batch, len(learner.drives(state, batch)), seed=batch, bias=bias, plain=batch == 3)
    expected = naive.gradient(expected_signals(name, learner, state, observations), float64(observations[0].inputs))
    gradients, state = learner.update(state, observations)
    assert [g.shape for g in gradients] == [e.shape for e in expected]
    close(gradients, expected)
    assert state.step == 6


@pytest.mark.parametrize(("name", "settings", "offers"), VARIANTS)
def test_drives_are_the_declared_draws(name, settings, offers):
    sizes, batch = (4, 5, 3), 2
    learner = learners.get(name, **settings)
    state = learner.init(sizes, seed=9, offers=offers)
    state.step = 2
    drives = learner.drives(state, batch)
    k = learner.samples
    assert len(drives) == 1 + k * (2 if name == "inp" else 1)
    if not state.sigma:  # the device's own noise does the work
        assert not any(d.perturbations for d in drives)
        return
    blind = learner.baseline == "noisy" and "clean" in offers  # a draw that nobody is told of
    drawn = draws(state, batch, k + blind)
    if blind:
        close(drives[0].perturbations, drawn[k], 1e-6)
    else:
        assert not drives[0].perturbations
    for number, drive in enumerate(drives[1:]):
        if name == "inp":
            own = number % 2
            assert [p is not None for p in drive.perturbations] == [own == 0, own == 1]
            close([drive.perturbations[own]], [drawn[number // 2][own]], 1e-6)
        else:
            close(drive.perturbations, drawn[number], 1e-6)


def test_a_pass_that_changes_nothing_teaches_nothing():
    for offers in (CLEAN, NOISY):
        for k in (1, 3):
            learner = learners.get("anp", samples=k)
            observations = hand_built((4, 3, 2), 5, 1, seed=1) * (k + 1)
            gradients, _ = learner.update(learner.init((4, 3, 2), offers=offers), observations)
            assert not any(g.any() for g in gradients)


@pytest.mark.parametrize(("decorrelated", "plain"), [("dnp", "np"), ("danp", "anp"), ("dinp", "inp")])
def test_decorrelated_rules_differ_by_their_decorrelation_alone(decorrelated, plain):
    sizes, batch = (5, 4, 3), 6
    a, b = learners.get(decorrelated, samples=2), learners.get(plain, samples=2)
    assert a.decorrelation > 0 == b.decorrelation
    states = [one.init(sizes, seed=3, offers=CLEAN) for one in (a, b)]
    observations = hand_built(sizes, batch, len(a.drives(states[0], batch)), seed=8)
    (one, _), (other, _) = (x.update(s, observations) for x, s in zip((a, b), states, strict=True))
    for g, h in zip(one, other, strict=True):
        np.testing.assert_array_equal(g, h)


@pytest.mark.parametrize(("sizes", "batch"), [((300, 520, 301, 10), 3), ((90, 520, 7), 260)])
@pytest.mark.parametrize(("name", "settings"), [("np", {"samples": 2}), ("inp", {}), ("anp", {"samples": 2})])
def test_rule_on_wide_layers(name, settings, sizes, batch):
    # more than one block of units, and enough work for the pool
    learner = learners.get(name, **settings)
    state = learner.init(sizes, seed=1, offers=CLEAN)
    observations = hand_built(sizes, batch, len(learner.drives(state, batch)), seed=2)
    signals = expected_signals(name, learner, state, observations)
    expected = [s.T @ x.astype(float) / batch for s, x in zip(signals, observations[0].inputs, strict=True)]
    close(learner.update(state, observations)[0], expected)


# --- chips ----------------------------------------------------------------------------------------------------------


def trained_looking_chip(sizes, activation="leaky_relu", bias=False, decorrelated=False, device="ideal", seed=1):
    """A chip whose biases and decorrelation matrices aren't where they start, and a batch for it."""
    rng = np.random.default_rng(seed)
    chip = Chip(sizes, device, activation, decorrelated, seed, bias=bias, oracle=True)
    chip.program([0.3 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
    for _ in range(3 * decorrelated):
        x = [rng.standard_normal((5, n + bias)).astype(np.float32) + 0.5 for n in sizes[:-1]]
        chip.decorrelate(x, 0.05)
    return chip, rng


def batch_for(rng, sizes, batch, loss):
    x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
    return Batch(x, one_hot(rng, batch, sizes[-1]), losses.get(loss))


@pytest.mark.parametrize(("sizes", "batch"), SHAPES)
@pytest.mark.parametrize(
    ("activation", "bias", "decorrelated", "loss"),
    [
        ("leaky_relu", False, False, "cce"),
        ("leaky_relu", True, True, "mse"),
        ("tanh", True, True, "cce"),
        ("tanh", False, True, "mse"),
    ],
)
def test_backpropagation(sizes, batch, activation, bias, decorrelated, loss):
    chip, rng = trained_looking_chip(sizes, activation, bias, decorrelated)
    data = batch_for(rng, sizes, batch, loss)
    oracle, observation = chip.oracle(data), chip.forward(data)
    weights, rotations = float64(oracle.weights), float64(oracle.rotations)
    inputs, activities = naive.forward(data.inputs.astype(float), weights, activation, rotations=rotations, bias=bias)
    close(observation.activities, activities)
    close(observation.inputs, inputs)
    np.testing.assert_allclose(observation.loss, naive.loss(loss, activities[-1], data.targets), rtol=2e-5)
    signals = naive.backprop(
        activities, naive.error(loss, activities[-1], data.targets), weights, activation, rotations
    )
    close(oracle.signals(observation), signals, 5e-5)
    learner = learners.get("dbp" if decorrelated else "bp")
    gradients, _ = learner.update(learner.init(sizes), [observation], oracle=oracle)
    close(gradients, naive.gradient(signals, inputs), 5e-5)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "leaky_relu"])
@pytest.mark.parametrize("loss", ["cce", "mse"])
def test_backpropagation_is_the_derivative_through_decorrelation_and_bias(activation, loss):
    rng = np.random.default_rng(3)
    sizes = (4, 5, 3, 2)
    weights = [rng.standard_normal((b, a + 1)) for a, b in pairwise(sizes)]
    rotations = [np.eye(n) + 0.3 * rng.standard_normal((n, n)) for n in sizes[:-1]]
    x, t = rng.standard_normal((6, 4)), one_hot(rng, 6, 2)

    def mean_loss(w):
        return naive.loss(loss, naive.forward(x, w, activation, rotations=rotations, bias=True)[1][-1], t).mean()

    inputs, activities = naive.forward(x, weights, activation, rotations=rotations, bias=True)
    signals = naive.backprop(activities, naive.error(loss, activities[-1], t), weights, activation, rotations)
    for layer, g in enumerate(naive.gradient(signals, inputs)):
        for at in np.ndindex(g.shape):
            moved = []
            for h in (1e-5, -1e-5):
                w = [one.copy() for one in weights]
                w[layer][at] += h
                moved.append(mean_loss(w))
            assert abs((moved[0] - moved[1]) / 2e-5 - g[at]) < 1e-7 * (1 + abs(g[at]))


def random_directions(rng, sizes, batch, bias, only=None):
    """Something to add to every line, hidden output and weight; or to one kind of them."""
    made = {
        "lines": [rng.standard_normal((batch, n)) for n in sizes[1:]],
        "outputs": [rng.standard_normal((batch, n)) for n in sizes[1:-1]] + [None],
        "beside": [rng.standard_normal((b, a + bias)) for a, b in pairwise(sizes)],
    }
    return made if only is None else {only: made[only]}


@pytest.mark.parametrize("kind", ["lines", "outputs", "beside"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_tangent_is_the_derivative_of_a_pass_along_what_perturbs_it(activation, kind):
    """Central differences of the definition's own passes, through decorrelation and bias; and of the loss."""
    rng, sizes, batch = np.random.default_rng(3), (4, 5, 6, 3), 7
    weights = [rng.standard_normal((b, a + 1)) for a, b in pairwise(sizes)]
    rotations = [np.eye(n) + 0.3 * rng.standard_normal((n, n)) for n in sizes[:-1]]
    x, t = rng.standard_normal((batch, 4)), one_hot(rng, batch, 3)
    directions = random_directions(rng, sizes, batch, True, kind)
    (given,) = directions.values()
    name = {"lines": "perturbations"}.get(kind, kind)

    def output(h):
        moved = {name: [None if v is None else h * v for v in given]}
        return naive.forward(x, weights, activation, rotations=rotations, bias=True, **moved)[1][-1]

    inputs, activities = naive.forward(x, weights, activation, rotations=rotations, bias=True)
    found = naive.tangent(inputs, activities, weights, activation, rotations, **directions)
    h = 1e-6
    np.testing.assert_allclose(found, (output(h) - output(-h)) / (2 * h), rtol=1e-6, atol=1e-6)
    told = naive.told_exactly(naive.error("cce", activities[-1], t), [found])[0]
    change = naive.loss("cce", output(h), t) - naive.loss("cce", output(-h), t)
    np.testing.assert_allclose(told, change / (2 * h), rtol=1e-6, atol=1e-6)
    if kind != "outputs":  # and it is what backpropagation says of the same direction
        signals = naive.backprop(activities, naive.error("cce", activities[-1], t), weights, activation, rotations)
        pairs = zip(signals, given, strict=True) if kind == "lines" else zip(
            signals, [i @ v.T for i, v in zip(inputs, given, strict=True)], strict=True
        )  # fmt: skip
        np.testing.assert_allclose(told, sum(np.sum(s * v, axis=1) for s, v in pairs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("sizes", "batch"), SHAPES)
@pytest.mark.parametrize(
    ("activation", "bias", "decorrelated"),
    [("leaky_relu", False, False), ("tanh", True, True), ("leaky_relu", True, False)],
)
@pytest.mark.parametrize("kind", [None, "lines", "outputs", "beside"])
def test_an_oracles_tangent(sizes, batch, activation, bias, decorrelated, kind):
    chip, rng = trained_looking_chip(sizes, activation, bias, decorrelated)
    data = batch_for(rng, sizes, batch, "cce")
    oracle, observation = chip.oracle(data), chip.forward(data)
    weights, rotations = float64(oracle.weights), float64(oracle.rotations)
    given = random_directions(rng, sizes, batch, bias, kind)
    if kind is None:  # all together: a layer takes something on its lines or beside its weights
        given["lines"] = [v if layer % 2 else None for layer, v in enumerate(given["lines"])]
        given["beside"] = [None if layer % 2 else v for layer, v in enumerate(given["beside"])]
    single = {k: [None if v is None else v.astype(np.float32) for v in part] for k, part in given.items()}
    drive = Drive(single.get("lines", ()), single.get("outputs", ()), single.get("beside", ()))
    before = [a.copy() for a in (*observation.inputs, *observation.activities, *oracle.weights)]
    inputs, activities = float64(observation.inputs), float64(observation.activities)
    expected = naive.tangent(inputs, activities, weights, activation, rotations, **given)
    found = oracle.tangent(observation, drive)
    assert found.dtype == np.float32
    close([found], [expected])
    assert not oracle.tangent(observation, Drive()).any()
    for a, b in zip((*observation.inputs, *observation.activities, *oracle.weights), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_error_given_to_the_oracle_is_brought_back_in_place_of_the_true_one():
    sizes = (6, 9, 5, 3)
    chip, rng = trained_looking_chip(sizes, "tanh", bias=True, decorrelated=True)
    data = batch_for(rng, sizes, 12, "mse")
    oracle, observation = chip.oracle(data), chip.forward(data)
    error = rng.standard_normal((12, 3)).astype(np.float32)
    weights, rotations = float64(oracle.weights), float64(oracle.rotations)
    expected = naive.backprop(float64(observation.activities), error.astype(float), weights, "tanh", rotations)
    close(oracle.signals(observation, error), expected, 5e-5)


def test_a_programmed_step_along_the_gradient_changes_a_chips_loss_as_the_gradient_says():
    sizes = (6, 8, 5, 3)
    chip, rng = trained_looking_chip(sizes, "tanh", bias=True, decorrelated=True)
    data = batch_for(rng, sizes, 40, "cce")
    observation = chip.forward(data)
    learner = learners.get("dbp")
    gradients, _ = learner.update(learner.init(sizes), [observation], oracle=chip.oracle(data))
    direction = [rng.standard_normal(g.shape).astype(np.float32) for g in gradients]
    h = np.float32(2.0**-9)
    chip.program([h * d for d in direction])
    up = chip.forward(data).loss.mean()
    chip.program([-2 * h * d for d in direction])
    down = chip.forward(data).loss.mean()
    slope = sum(np.sum(g.astype(float) * d) for g, d in zip(gradients, direction, strict=True))
    assert abs((up - down) / (2 * h) - slope) < 2e-3 * abs(slope)


CHIP_RULES = [
    ("np", {"samples": 2}, "ideal"),
    ("np", {"baseline": "noisy"}, "ideal"),
    ("inp", {"samples": 2}, "ideal"),
    ("anp", {"samples": 2}, "ideal"),
    ("anp", {"samples": 3, "baseline": "noisy"}, "ideal"),
    ("anp", {}, "gaussian"),
    ("anp", {"samples": 3}, "gaussian"),
    ("np", {"sigma": 0.01}, "gaussian"),
    ("inp", {"sigma": 0.01}, "gaussian"),
    ("anp", {"samples": 2}, "crossbar"),
    ("np", {"sigma": 0.3}, "crossbar"),
]


@pytest.mark.parametrize(("sizes", "batch"), [SHAPES[1], SHAPES[2], SHAPES[4]])
@pytest.mark.parametrize(("name", "settings", "device"), CHIP_RULES)
def test_rule_on_a_chip(name, settings, device, sizes, batch):
    chip, rng = trained_looking_chip(sizes, device=device, bias=True, decorrelated=True)
    data = batch_for(rng, sizes, batch, "cce")
    learner = learners.get(name, **settings)
    state = learner.init(sizes, seed=6, offers=chip.offers)
    observations = chip.passes(data, learner.drives(state, batch))
    expected = naive.gradient(expected_signals(name, learner, state, observations), float64(observations[0].inputs))
    gradients, _ = learner.update(state, observations)
    close(gradients, expected)


@pytest.mark.parametrize("name", ["np", "inp", "anp"])
def test_a_perturbed_step_on_an_exact_chip_is_the_definitions_from_end_to_end(name):
    sizes, batch = (6, 9, 5, 3), 4
    chip, rng = trained_looking_chip(sizes, bias=True, decorrelated=True)
    data = batch_for(rng, sizes, batch, "mse")
    learner = learners.get(name, samples=2, sigma=0.5)  # far above float32's grain, so that float64 can be compared
    state = learner.init(sizes, seed=2, offers=chip.offers)
    oracle = chip.oracle(data)
    drawn = draws(state, batch, 2)
    alone = [[v[m] if m == layer else None for m in range(3)] for v in drawn for layer in range(3)]
    passes = [
        naive.forward(data.inputs.astype(float), float64(oracle.weights), "leaky_relu",
                      rotations=float64(oracle.rotations), bias=True, perturbations=p)
        for p in [None, *(alone if name == "inp" else drawn)]
    ]  # fmt: skip
    told = naive.told([naive.loss("mse", activities[-1], data.targets) for _, activities in passes])
    signals = {
        "np": lambda: naive.node_perturbation(told, drawn, 0.5),
        "inp": lambda: naive.iterative(told, drawn),
        "anp": lambda: naive.activity_based(told, [activities for _, activities in passes]),
    }[name]()
    observations = chip.passes(data, learner.drives(state, batch))
    for observation, (inputs, activities) in zip(observations, passes, strict=True):
        close(observation.inputs, inputs)
        close(observation.activities, activities)
    close(learner.update(state, observations)[0], naive.gradient(signals, passes[0][0]), 1e-4)


# --- what the rules are on average ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expectations():
    """One sample, many draws: the average signals of each rule on a chip, and what they should be."""
    sizes, copies, samples = (6, 7, 5, 3), 40_000, 20
    chip, rng = trained_looking_chip(sizes, decorrelated=True, seed=5)
    data = batch_for(rng, sizes, 1, "cce")
    many = Batch(np.repeat(data.inputs, copies, 0), np.repeat(data.targets, copies, 0), data.loss)
    average = {}
    for name in ("np", "inp", "anp"):
        learner = learners.get(name, samples=samples if name != "inp" else 4)
        state = learner.init(sizes, seed=1, offers=chip.offers)
        observations = chip.passes(many, learner.drives(state, copies))
        gradients, _ = learner.update(state, observations)
        # all inputs alike, the mean of s x^T is that of s, times x^T
        mean = [(g.astype(float), o[0].astype(float)) for g, o in zip(gradients, observations[0].inputs, strict=True)]
        average[name] = [g @ x / (x @ x) for g, x in mean]
    oracle = chip.oracle(data)
    weights, rotations = float64(oracle.weights), float64(oracle.rotations)
    _, activities = naive.forward(data.inputs.astype(float), weights, "leaky_relu", rotations=rotations)
    error = naive.error("cce", activities[-1], data.targets)
    signals = [s[0] for s in naive.backprop(activities, error, weights, "leaky_relu", rotations)]
    slopes = [naive.slope("leaky_relu", a[0]) for a in activities]
    return average, signals, slopes, weights, rotations


@pytest.mark.parametrize("name", ["np", "inp"])
def test_node_perturbation_is_the_gradient_on_average(name, expectations):
    average, signals, *_ = expectations
    for one, other in zip(average[name], signals, strict=True):
        assert angle([one], [other]) < 2
        assert abs(np.linalg.norm(one) / np.linalg.norm(other) - 1) < 0.03


def test_activity_based_perturbation_is_its_exact_expectation_on_average(expectations):
    average, signals, slopes, weights, rotations = expectations
    exact = naive.anp_expectation(signals, slopes, weights, rotations)
    for one, other in zip(average["anp"], exact, strict=True):
        assert angle([one], [other]) < 2
        assert abs(np.linalg.norm(one) / np.linalg.norm(other) - 1) < 0.03


def test_the_direction_of_activity_based_perturbation_is_biased_as_derived(expectations):
    average, signals, slopes, weights, rotations = expectations
    derived = naive.anp_direction(signals, slopes, weights, rotations)
    # the norm |da|^2 turns the average a little in a net of 15 units (nothing in a large one); the bias is larger
    for layer, (one, other) in enumerate(zip(average["anp"], derived, strict=True)):
        assert angle([one], [other]) < 8
        if layer:
            assert angle([other], [signals[layer]]) > 2 * angle([one], [other])


def test_the_norms_effect_on_the_direction_vanishes_in_a_large_net():
    rng = np.random.default_rng(0)
    found = []
    for n in (5, 60):
        sizes = (n, n, n, 10)
        weights = [rng.standard_normal((b, a)) * np.sqrt(2 / a) for a, b in pairwise(sizes)]
        _, activities = naive.forward(rng.standard_normal((1, n)), weights, "leaky_relu")
        error = naive.error("cce", activities[-1], np.eye(10)[:1])
        signals = [s[0] for s in naive.backprop(activities, error, weights, "leaky_relu")]
        slopes = [naive.slope("leaky_relu", a[0]) for a in activities]
        exact, derived = (f(signals, slopes, weights) for f in (naive.anp_expectation, naive.anp_direction))
        found.append(max(angle([a], [b]) for a, b in zip(exact, derived, strict=True)))
    assert found[1] < min(2, found[0])


# --- decorrelation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [((3, 2), 1), ((6, 9, 5), 3), ((6, 5), 8), ((7, 300), 9), ((40, 6, 4), 25), ((300, 20), 64), ((11, 8, 270), 300)],
)
def test_decorrelation_step(sizes, batch, bias):
    rng = np.random.default_rng(batch)
    rotations = layered([(np.eye(n) + 0.1 * rng.standard_normal((n, n))).astype(np.float32) for n in sizes])
    inputs = [rng.standard_normal((batch, n + bias)).astype(np.float32) for n in sizes]
    before = float64(rotations)
    decorrelate(rotations, layered(inputs), 0.02)
    expected = [naive.decorrelated(r, x[:, : len(r)].astype(float), 0.02) for r, x in zip(before, inputs, strict=True)]
    close(rotations, expected, 5e-6)
    for r, b, e in zip(rotations, before, expected, strict=True):
        close([r - b], [e - b], 1e-3)  # the step itself, small against R


def test_decorrelation_decorrelates_what_the_chip_is_driven_with():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, 6))
    chip = Chip([6, 4], "ideal", decorrelate=True)

    def share_off_diagonal(x):
        c = x.T @ x / len(x)
        return np.linalg.norm(c - np.diag(np.diag(c))) / np.linalg.norm(c)

    x = (rng.standard_normal((500, 6)) @ mixing).astype(np.float32)
    before = share_off_diagonal(chip.forward(x).inputs[0])
    for _ in range(400):
        chip.decorrelate(chip.forward(x).inputs, 0.01)
    assert share_off_diagonal(chip.forward(x).inputs[0]) < 0.02 < before


# --- optimizers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "definition", "settings"),
    [("sgd", naive.sgd, {}), ("sgd", naive.sgd, {"momentum": 0.9}), ("adam", naive.adam, {}),
     ("adam", naive.adam, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3})],
)  # fmt: skip
def test_optimizers(name, definition, settings):
    rng = np.random.default_rng(7)
    shapes = [(3, 4), (1, 3)]
    # gradients from the size of epsilon to large ones
    steps = [
        [(10.0 ** rng.uniform(-7, 2, s) * rng.choice([-1, 1], s)).astype(np.float32) for s in shapes] for _ in range(30)
    ]
    optimizer = optimizers.get(name, **settings)
    state = optimizer.init(shapes)
    changes = []
    for gradients in steps:
        change, state = optimizer.update(layered([g.copy() for g in gradients]), state, 0.01)
        changes.append([c.copy() for c in change])
    for layer in range(2):
        expected = definition([g[layer].astype(float) for g in steps], 0.01, **settings)
        np.testing.assert_allclose(np.array(changes, object)[:, layer].tolist(), expected, rtol=2e-5, atol=1e-12)


def test_an_empty_drive_list_and_a_drive_of_nothing_are_the_same_pass():
    chip = Chip([4, 3, 2], "ideal", seed=2)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    a, b, c = chip.passes(x, [Drive(), Drive([None, None]), Drive([np.zeros((3, 3), np.float32), None])])
    np.testing.assert_array_equal(a.output, b.output)
    np.testing.assert_array_equal(a.output, c.output)
