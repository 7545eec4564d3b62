"""Every rule in a convolutional network with pooling, batch norm and dropout, against naive.py.

First the definition against itself: convolution against SciPy's, derivatives by finite differences in float64. Then
the project's blocks and oracle against it, and every rule against a twin (see twins.py), for which the
definition's layers stand in the place of an activation: on observations built by hand, on chips, and on average.
"""

import numpy as np
import pytest
from scipy.signal import correlate

from noisysim import Chip, conv, learners
from noisysim.chip.decorrelation import decorrelate
from noisysim.compute import losses, periphery, seeding
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.layered import layered
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.networks.building import architecture

import naive
import networks
import twins
from twins import close, flat, float64, one_hot

deep, strided, bare, smooth = networks.deep, networks.strided, networks.bare, networks.smooth


# --- the definition against itself ----------------------------------------------------------------------------------

GEOMETRIES = [  # image, kernel, stride, padding
    ((7, 6, 2), 3, 1, 1),
    ((8, 7, 1), 3, 2, 0),
    ((5, 4, 3), 2, 1, 1),
    ((6, 9, 2), 5, 3, 2),
    ((3, 3, 4), 3, 1, 0),
    ((4, 5, 2), 1, 2, 0),
    ((4, 3, 2), 2, 1, 3),  # some patches see zeros alone
]


@pytest.mark.parametrize(("image", "kernel", "stride", "padding"), GEOMETRIES)
def test_a_product_of_patches_is_a_correlation(image, kernel, stride, padding):
    rng = np.random.default_rng(0)
    y, w = rng.standard_normal((2, *image)), rng.standard_normal((5, kernel, kernel, image[2]))
    found = naive.unfold(naive.conv(image, kernel, stride, padding), y) @ w.reshape(5, -1).T
    padded = np.pad(y, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    for b in range(2):
        for c in range(5):
            # the channels' correlations have one position in the third axis
            whole = correlate(padded[b], w[c], mode="valid")[::stride, ::stride, 0]
            np.testing.assert_allclose(found[b, :, c], whole.ravel(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("image", "kernel", "stride", "padding"), GEOMETRIES)
def test_fold_is_the_transpose_of_unfold(image, kernel, stride, padding):
    rng = np.random.default_rng(1)
    layer, x = naive.conv(image, kernel, stride, padding), rng.standard_normal((3, *image))
    parts = naive.unfold(layer, x)
    p = rng.standard_normal(parts.shape)
    assert np.sum(parts * p) == pytest.approx(np.sum(x * naive.fold(layer, p)), rel=1e-12)


def test_inputs_come_channel_first_and_leave_channel_last():
    layer = naive.conv((2, 3, 2), 1)
    x = np.arange(12.0)[None]  # channel 0 is 0 to 5, channel 1 is 6 to 11
    np.testing.assert_array_equal(naive.unfold(layer, naive.channel_last(layer, x))[0, :3], [[0, 6], [1, 7], [2, 8]])


def test_pooling_takes_the_first_of_equal_lines():
    layer = naive.conv((3, 4, 1), 1, pool=(2, 2))  # of 3 x 4 positions the last row fills no window
    a = np.array([[1, 5, 2, 2], [5, 0, 2, 2], [9, 9, 9, 9]], float).reshape(1, 12, 1)
    np.testing.assert_array_equal(naive.kept(layer, a).ravel(), [1, 2])
    np.testing.assert_array_equal(naive.block(layer, a).ravel(), [5, 2])
    back = naive.pull_back(layer, np.array([[3.0, 4.0]]), a)
    np.testing.assert_array_equal(np.flatnonzero(back), [1, 2])
    np.testing.assert_array_equal(back[0, [1, 2], 0], [3, 4])
    overlapping = naive.conv((1, 3, 1), 1, pool=(1, 1))
    np.testing.assert_array_equal(naive.block(overlapping, a[:, :3]), a[:, :3])


def random_network(net, rng, bias, rotated=True):
    """Weights, and rotations, of no chip, float64."""
    weights = [rng.standard_normal(s) / np.sqrt(s[1]) for s in net.shapes(bias)]
    return weights, [np.eye(k) + 0.3 * rng.standard_normal((k, k)) for k in net.fan_in] if rotated else None


NETS = {
    "leaky-tanh": deep("leaky_relu", "tanh"), "sigmoid-tanh": deep("sigmoid", "tanh"),
    "tanh-linear": deep("tanh", "linear"), "relu-leaky": deep("relu", "leaky_relu"), "strided": strided("tanh"),
    "bare": bare(), "bell-tanh": deep("bell", "tanh"), "bell-strided": strided("bell"),
}  # fmt: skip
CASES = [(*item, bias, rotated) for item in NETS.items() for bias, rotated in ((False, False), (True, True))]


@pytest.mark.parametrize(("net", "bias", "rotated"), [c[1:] for c in CASES], ids=[f"{c[0]}-{c[2]}" for c in CASES])
@pytest.mark.covering(1)  # whose statistics are constant changes the normalisation alone, which each network has
@pytest.mark.parametrize("of_batch", [False, True])
def test_backpropagation_is_the_derivative(net, bias, rotated, of_batch):
    """Central differences through every kind of layer; through the batch's own statistics, or constant ones.

    Along eight random directions of each layer: a gradient with any wrong value has another slope along each.
    """
    rng = np.random.default_rng(3)
    weights, rotations = random_network(net, rng, bias, rotated)
    x, t = rng.standard_normal((4, net.inputs)), one_hot(rng, 4, net.units[-1])
    constant = net.seen(*net.random_state(rng, 4))

    def layers(w):
        given = {"rotations": rotations, "bias": bias}
        return naive.settled(x, w, constant, net.epsilons, **given) if of_batch else constant

    def mean_loss(w):
        return naive.loss("cce", naive.forward(x, w, layers(w), rotations=rotations, bias=bias)[1][-1], t).mean()

    seen = layers(weights)
    inputs, activities = naive.forward(x, weights, seen, rotations=rotations, bias=bias)
    assert [a.shape[1:] for a in activities] == net.lines
    signals = naive.backprop(activities, naive.error("cce", activities[-1], t), weights, seen, rotations)
    for layer, g in enumerate(naive.gradient(signals, inputs)):
        assert g.shape == weights[layer].shape
        assert g.any()
        for _ in range(8):
            direction = rng.standard_normal(g.shape)
            direction /= np.linalg.norm(direction)
            moved = [
                mean_loss([one + h * direction if k == layer else one for k, one in enumerate(weights)])
                for h in (1e-6, -1e-6)
            ]
            slope = np.sum(g * direction)
            assert abs((moved[0] - moved[1]) / 2e-6 - slope) < 1e-8 + 1e-6 * abs(slope)


def directions_of(net, rng, batch, bias):
    """Something to add to every line, hidden output and weight."""
    return {
        "lines": [rng.standard_normal((batch, *s)) for s in net.lines],
        "outputs": [*(rng.standard_normal((batch, *s)) for s in net.outputs[:-1]), None],
        "beside": [rng.standard_normal(s) for s in net.shapes(bias)],
    }


@pytest.mark.parametrize("kind", ["lines", "outputs", "beside"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_the_tangent_is_the_derivative_of_a_pass(net, kind):
    rng = np.random.default_rng(4)
    weights, rotations = random_network(net, rng, True)
    x, t = rng.standard_normal((3, net.inputs)), one_hot(rng, 3, net.units[-1])
    seen, given = net.seen(*net.random_state(rng, 3)), directions_of(net, rng, 3, True)[kind]
    name = {"lines": "perturbations"}.get(kind, kind)

    def output(h):
        moved = {name: [None if v is None else h * v for v in given]}
        return naive.forward(x, weights, seen, rotations=rotations, bias=True, **moved)[1][-1]

    inputs, activities = naive.forward(x, weights, seen, rotations=rotations, bias=True)
    found = naive.tangent(inputs, activities, weights, seen, rotations, **{kind: given})
    np.testing.assert_allclose(found, (output(1e-6) - output(-1e-6)) / 2e-6, rtol=1e-6, atol=1e-7)
    error = naive.error("cce", activities[-1], t)
    signals = naive.backprop(activities, error, weights, seen, rotations)
    told = naive.told_exactly(error, [found])[0]
    if kind == "lines":  # and it is what backpropagation says of the same direction
        np.testing.assert_allclose(told, sum(np.sum(s * v, axis=tuple(range(1, s.ndim))) for s, v in
                                             zip(signals, given, strict=True)), rtol=1e-9, atol=1e-12)  # fmt: skip
    if kind == "beside":
        slope = sum(np.sum(g * v) for g, v in zip(naive.gradient(signals, inputs), given, strict=True))
        assert told.mean() == pytest.approx(slope, rel=1e-9)


# --- blocks and the oracle ------------------------------------------------------------------------------------------


def near(base, rng):
    """Something close by, by noise that is not white: every other channel's is louder."""
    loud = [1e-2 * (1 + 2 * (np.arange(a.shape[-1]) % 2)) for a in base]
    return [(a + s * rng.standard_normal(a.shape)).astype(np.float32) for a, s in zip(base, loud, strict=True)]


def hand_built(net, batch, passes, rng, bias=False, plain=False, loss="cce", targets=None):
    """Observations of no network: random activities near a baseline, random losses, and the error of the output."""
    inputs = [rng.standard_normal((batch, *s)).astype(np.float32) for s in net.columns(bias)]
    base = [rng.standard_normal((batch, *s)).astype(np.float32) for s in net.lines]
    norms, masks = net.random_state(rng, batch)
    of_batch = batch > 1 and bool(norms)
    for layer in net.normed if of_batch else ():
        norms[layer] = np.array(naive.norm_of(*naive.statistics(base[layer].astype(float)), 1e-5), np.float32)
    made = []
    for k in range(passes):
        x, activities = (inputs, base) if k == 0 else (near(inputs, rng), near(base, rng))
        if not plain:
            x, activities = layered(x), layered(activities)
        error = None if targets is None else losses.get(loss).error(activities[-1], targets)
        value = 2 + 1e-2 * rng.standard_normal(batch)
        noted = {"norms": norms, "norms_of_batch": of_batch, "masks": masks}
        made.append(Observation(x, activities, activities[-1], value, error, **noted))
    return made


MIXED = deep("leaky_relu", "tanh")
FALLING = deep("bell", "bell")
SHAPES = [
    (deep("tanh", "leaky_relu"), 1), (MIXED, 3), (strided("sigmoid"), 13), (bare(), BLOCK_ROWS + 44),
    (FALLING, 1), (FALLING, 5), (strided("bell"), 13),
]  # fmt: skip


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("net", "batch"), SHAPES)
def test_blocks(net, batch, ties):
    """Outputs, and derivatives backwards and forwards, also where lines in a window are equal."""
    rng = np.random.default_rng(batch)
    (observation,) = hand_built(net, batch, 1, rng)
    if ties:
        for a in observation.activities:
            a[...] = np.rint(2 * a) / 2
    arch = architecture(net.layers, net.activation)
    seen = net.seen(observation.norms, observation.masks)
    for layer in range(len(seen) - 1):
        a = observation.activities[layer].astype(float)
        y = periphery.outputs(arch, layer, observation)
        close([y.reshape(batch, *net.outputs[layer])], [naive.block(seen[layer], a)], 1e-6)
        signal = rng.standard_normal(y.shape).astype(np.float32)
        change = rng.standard_normal(a.shape).astype(np.float32)
        before = [signal.copy(), change.copy(), a.copy()]
        expected = naive.pull_back(seen[layer], signal.astype(float), a)
        close([periphery.pull_back(arch, layer, signal, observation)], [expected], 2e-6)
        room = np.full(a.shape, np.nan, np.float32)
        found = periphery.pull_back(arch, layer, signal.reshape(batch, -1), observation, out=room)
        assert found is room
        close([found], [expected], 2e-6)
        pushed = periphery.push(arch, layer, change, observation).reshape(y.shape)
        close([pushed], [naive.flat(naive.push(seen[layer], change.astype(float), a))], 2e-6)
        for now, then in zip((signal, change, observation.activities[layer]), before, strict=True):
            np.testing.assert_array_equal(now, then)  # nobody's input is overwritten


@pytest.mark.parametrize(("image", "kernel", "stride", "padding"), GEOMETRIES)
def test_patches_of_the_project_and_back(image, kernel, stride, padding):
    """As in the definition; and transposes of each other: <unfold x, p> = <x, fold p>."""
    rng, (height, width, channels) = np.random.default_rng(6), image
    arch = architecture([(3, height, width), conv(channels, 1), conv(5, kernel, stride, padding), 2])
    own = naive.conv(image, kernel, stride, padding)
    x = rng.standard_normal((5, height * width, channels)).astype(np.float32)
    parts = periphery.unfold(arch, 1, x)
    np.testing.assert_array_equal(parts, naive.unfold(own, x))
    p = rng.standard_normal(parts.shape).astype(np.float32)
    folded = np.reshape(periphery.fold(arch, 1, p), (5, -1))
    close([folded], [naive.flat(naive.fold(own, p.astype(float)))], 1e-6)
    whole = np.sum(parts.astype(float) * p)
    assert np.sum(naive.flat(x).astype(float) * folded) == pytest.approx(whole, rel=1e-5)


def a_chip(net, device="ideal", bias=True, decorrelated=True, seed=1):
    """A chip whose biases, decorrelation and running statistics aren't where they start, and draws for it."""
    rng = np.random.default_rng(seed)
    chip = Chip(net.layers, device, net.activation, decorrelated, seed, bias=bias, oracle=True)
    chip.program([0.3 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
    for _ in range(3 * decorrelated):
        chip.decorrelate([rng.standard_normal((5, *s)).astype(np.float32) + 0.5 for s in net.columns(bias)], 0.05)
    chip.track(chip.forward(rng.standard_normal((20, net.inputs)).astype(np.float32)).activities)
    return chip, rng


def batch_for(rng, net, batch, loss="cce"):
    x = rng.standard_normal((batch, net.inputs)).astype(np.float32)
    return Batch(x, one_hot(rng, batch, net.units[-1]), losses.get(loss))


ON_CHIPS = [
    (deep(), 1, "ideal", "cce"),
    (deep(), 5, "ideal", "mse"),
    (bare(), 7, "ideal", "mse"),
    (strided(), 13, "ideal", "cce"),
    (deep(), 60, "crossbar", "cce"),  # whose converters give equal lines
    (FALLING, 1, "ideal", "cce"),
    (FALLING, 13, "ideal", "mse"),
    (strided("bell"), 60, "crossbar", "cce"),
]


@pytest.mark.parametrize(("net", "batch", "device", "loss"), ON_CHIPS)
def test_backpropagation(net, batch, device, loss):
    chip, rng = a_chip(net, device)
    data = batch_for(rng, net, batch, loss)
    oracle, (observation,) = chip.oracle(data), chip.passes(data, [Drive()], training=True)
    weights, rotations = float64(oracle.weights), float64(oracle.rotations)
    seen = net.seen(observation.norms, observation.masks, batch > 1)
    activities = float64(observation.activities)
    if device == "ideal":
        inputs, passed = naive.forward(data.inputs.astype(float), weights, seen, rotations=rotations, bias=True)
        close(observation.activities, passed)
        close(observation.inputs, inputs)
        np.testing.assert_allclose(observation.loss, naive.loss(loss, passed[-1], data.targets), rtol=2e-5)
    error = naive.error(loss, activities[-1], data.targets)
    signals = naive.backprop(activities, error, weights, seen, rotations)
    close(oracle.signals(observation), signals, 5e-5)
    learner = learners.get("dbp")
    gradients, _ = learner.update(learner.init(chip.network), [observation], oracle=oracle)
    close(gradients, naive.gradient(signals, float64(observation.inputs)), 5e-5)
    given = rng.standard_normal(error.shape).astype(np.float32)
    close(oracle.signals(observation, given), naive.backprop(activities, given, weights, seen, rotations), 5e-5)


@pytest.mark.parametrize("kind", ["lines", "outputs", "beside", "all"])
@pytest.mark.parametrize(("net", "batch", "device", "loss"), ON_CHIPS)
def test_an_oracles_tangent(net, batch, device, loss, kind):
    chip, rng = a_chip(net, device)
    data = batch_for(rng, net, batch, loss)
    oracle, (observation,) = chip.oracle(data), chip.passes(data, [Drive()], training=True)
    given = directions_of(net, rng, batch, True)
    if kind == "all":  # a layer takes something on its lines or beside its weights
        given["lines"] = [v if layer % 2 else None for layer, v in enumerate(given["lines"])]
        given["beside"] = [None if layer % 2 else v for layer, v in enumerate(given["beside"])]
    else:
        given = {kind: given[kind]}
    single = {k: [None if v is None else v.astype(np.float32) for v in part] for k, part in given.items()}
    drive = Drive(single.get("lines", ()), single.get("outputs", ()), single.get("beside", ()))
    expected = naive.tangent(
        float64(observation.inputs), float64(observation.activities), float64(oracle.weights),
        net.seen(observation.norms, observation.masks), float64(oracle.rotations), **given,
    )  # fmt: skip
    close([oracle.tangent(observation, drive)], [expected])
    assert not oracle.tangent(observation, Drive()).any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(  # a step that moves a maximum to another line finds another slope: few windows
    ("net", "batch"), [(smooth(pooled=False), 40), (smooth(activation="tanh"), 3), (smooth(activation="bell"), 3)]
)
def test_a_programmed_step_along_the_gradient_changes_a_chips_loss_as_the_gradient_says(training, net, batch):
    chip, rng = a_chip(net)
    data = batch_for(rng, net, batch)

    def observed():
        return chip.passes(data, [Drive()], training=training)[0]

    observation = observed()
    gradients = chip.oracle(data).gradient(observation)
    direction = [rng.standard_normal(g.shape).astype(np.float32) for g in gradients]
    h = np.float32(2.0**-9)
    chip.program([h * d for d in direction])
    up = observed().loss.mean()
    chip.program([-2 * h * d for d in direction])
    down = observed().loss.mean()
    slope = sum(np.sum(g.astype(float) * d) for g, d in zip(gradients, direction, strict=True))
    assert abs((up - down) / (2 * h) - slope) < 2e-3 * abs(slope)


# --- the twin -------------------------------------------------------------------------------------------------------

ON_LINES = ("np", "dnp", "inp", "dinp", "anp", "danp", "canp", "dcanp", "reinforce")


class Twin(twins.Twin):
    """A learner as naive.py defines it, in a network with positions."""

    def __init__(self, learner, state, net, bias, offers, loss):
        self.learner, self.key, self.sigma, self.net = learner, state.key[0], state.sigma, net
        self.loss, self.clean, self.offers, self.units = loss, getattr(learner, "clean", bool)(state), offers, net.units
        self.shapes, self.step, self.targets, self.oracle = net.shapes(bias), 0, None, None
        self.memory, self.moments, self.rule = {}, {}, RULES[learner.name]
        n = [int(np.prod(s)) for s in net.outputs[:-1]]
        if learner.name in twins.FEEDBACK:
            direct = [(net.units[-1], m) for m in n]
            above = list(zip(net.units[1:], net.fan_in[1:], strict=True))  # the weights' shapes without a bias
            shapes = above if learner.name in ("fa", "learned-fa") else direct
            self.start("feedback", shapes, [naive.initial_law(learner.feedback_init, m, o)[1] for o, m in shapes])
        elif learner.name == "lg-fg-a":
            self.start("readouts", [(net.units[-1], m) for m in n[:-1]], [m**-0.5 for m in n[:-1]])
        elif "canp" in learner.name:
            twins.start_covariance(self)

    def look(self, observation):
        """Take batch norm and dropout from an observation."""
        self.activation = self.net.seen(observation.norms, observation.masks, observation.norms_of_batch)

    def draws(self, batch, count=None):
        """This step's directions: of lines, of hidden outputs and the output's lines, or for FG-W of weights."""
        if self.learner.name == "fg-w":
            return super().draws(batch, count)
        shapes = self.net.lines if self.learner.name in ON_LINES else [*self.net.outputs[:-1], self.net.lines[-1]]
        count = self.learner.samples if count is None else count
        words = [[naive.stream(naive.OWN, layer, k) for layer in range(len(shapes))] for k in range(count)]
        return [
            [
                self.sigma * naive.normal_samples((batch, *shape), self.step, word, self.key)
                for shape, word in zip(shapes, one, strict=True)
            ]
            for one in words
        ]

    def update(self, observations):
        """The gradient of every layer's weights; None where they are to stay."""
        self.look(observations[0])
        seen = twins.Seen(observations)
        found = self.rule(self, seen)
        self.step += 1
        if self.learner.name == "fg-w":
            return found
        if self.step <= getattr(self.learner, "warmup", 0):
            return None
        own = zip(self.activation, found, seen.activities[0], strict=True)
        return naive.gradient([naive.through_statistics(layer, s, a) for layer, s, a in own], seen.inputs)


def node(twin, seen):
    """NP, INP and ANP."""
    learner, changes = twin.learner, twin.told(seen)
    if learner.name in ("np", "dnp"):
        return naive.node_perturbation(changes, twin.draws(seen.batch), twin.sigma)
    if learner.name in ("inp", "dinp"):
        return naive.iterative(naive.told(seen.losses, twin.per_batch), twin.draws(seen.batch))
    if twin.clean:
        return naive.activity_based(changes, seen.activities)
    return naive.activity_based_centred(seen.losses, seen.activities, twin.per_batch)


def lg_fg_a(twin, seen):
    signals, directions, gradients = twins.fg_a(twin, seen), twin.draws(seen.batch), []
    for layer, readout in enumerate(twin.memory["readouts"]):
        signals[layer], g = naive.local_signal(
            seen.activities[0][layer], [u[layer] for u in directions], twin.activation, twin.sigma, readout,
            twin.targets, twin.loss, layer,
        )  # fmt: skip
        gradients.append(g)
    twin.adapt("readouts", gradients, "adam", twin.learner.readout_rate)
    return signals


def learned_feedback(twin, seen):
    learner, directions, gradients = twin.learner, twin.draws(seen.batch), []
    direct = learner.name == "learned-dfa"
    signals = twins.back(twin, seen, twins.output_error(twin, seen))
    for layer, b in enumerate(twin.memory["feedback"]):
        source = signals[-1] if direct else signals[layer + 1]
        estimate = naive.directional(twin.told(seen), [u[layer] for u in directions], twin.sigma)
        if learner.fit == "gradient":
            gradients.append(naive.residual_gradient(source, estimate, b, twin.activation, layer, direct))
            continue
        sources, estimates = twin.memory.setdefault(("samples", layer), ([], []))
        sources.append(source)
        estimates.append(naive.flat(estimate))
        twin.memory["feedback"][layer] = naive.ridge_regression(sources, estimates, learner.ridge)
    twin.adapt("feedback", gradients, learner.feedback_optimizer, learner.feedback_rate)
    return signals


RULES = {**twins.RULES, "lg-fg-a": lg_fg_a, "learned-fa": learned_feedback, "learned-dfa": learned_feedback}
RULES |= dict.fromkeys(("np", "dnp", "inp", "dinp", "anp", "danp"), node)


def pair(name, settings, net, offers=twins.CLEAN, loss="cce", bias=True):
    """A learner, its state, and its twin."""
    learner = learners.get(name, **settings)
    state = learner.init(architecture(net.layers, net.activation, bias), seed=4, offers=offers, loss=loss)
    return learner, state, Twin(learner, state, net, bias, offers, loss)


VARIANTS = {
    **twins.VARIANTS,
    "np": ("np", {}),
    "np-3-batch": ("np", {"samples": 3, "loss": "batch"}),
    "np-noisy": ("np", {"baseline": "noisy"}),
    "inp": ("inp", {}),
    "inp-3": ("inp", {"samples": 3}),
    "inp-noisy-batch": ("inp", {"baseline": "noisy", "loss": "batch"}),
    "anp": ("anp", {}),
    "anp-3": ("anp", {"samples": 3}),
    "anp-noisy": ("anp", {"baseline": "noisy"}),
    "anp-3-noisy-batch": ("anp", {"samples": 3, "baseline": "noisy", "loss": "batch"}),
    "dnp": ("dnp", {"samples": 2}),
    "dinp": ("dinp", {}),
    "danp": ("danp", {"samples": 2}),
}
FOLDING = {k: v for k, v in VARIANTS.items() if k != "learned-fa-ls"}  # refused below a convolution
LARGE = {k: VARIANTS[k] for k in ("np", "inp", "anp", "anp-3-noisy-batch", "canp-3", "fg-a", "fa", "dkp", "lg-fg-a")}


def test_every_rule_is_tested():
    assert {name for name, _ in VARIANTS.values()} | {"bp", "dbp", "shadow"} == set(learners.names())


# --- rules on observations built by hand ----------------------------------------------------------------------------


def an_oracle(net, rng, rotated):
    """Exact weights, and rotations or none, of a chip."""
    chip, _ = a_chip(net, decorrelated=rotated, seed=int(rng.integers(100)))
    return chip.oracle(None)


def updated(learner, state, twin, batch, rng, *, loss="cce", plain=False, bias=True, rtol=1e-4):
    """One update of both on the same observations, compared."""
    net = twin.net
    twin.targets = one_hot(rng, batch, net.units[-1])
    oracle = twin.oracle = an_oracle(net, rng, rotated=batch == 3) if "oracle" in learner.requires() else None
    count = len(learner.drives(state, batch))
    observations = hand_built(net, batch, count, rng, bias, plain, loss, twin.targets)
    expected = twin.update(observations)
    gradients, after = learner.update(state, observations, oracle=oracle)
    assert after is state
    assert state.step == twin.step
    if expected is None:
        assert gradients is None
    else:
        close(gradients, expected, rtol)
    twins.remembered_alike(state, twin)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("name", "settings"), FOLDING.values(), ids=FOLDING)
def test_rule_in_a_deep_network(name, settings, batch):
    net, rng, loss = MIXED, np.random.default_rng(batch), "mse" if batch == 3 else "cce"
    learner, state, twin = pair(name, settings, net, loss=loss)
    for _ in range(3 if batch == 3 else 1):
        updated(learner, state, twin, batch, rng, loss=loss, plain=batch == 1)


@pytest.mark.parametrize("activation", ["leaky_relu", "bell"])
@pytest.mark.parametrize(("name", "settings"), VARIANTS.values(), ids=VARIANTS)
def test_rule_in_a_strided_network(name, settings, activation):
    net, rng = strided(activation), np.random.default_rng(2)
    learner, state, twin = pair(name, settings, net)
    for _ in range(2):
        updated(learner, state, twin, 13, rng)


@pytest.mark.parametrize(("name", "settings"), LARGE.values(), ids=LARGE)
def test_rule_on_more_than_a_block_of_samples(name, settings):
    net, rng = bare(), np.random.default_rng(3)
    learner, state, twin = pair(name, settings, net, bias=False)
    updated(learner, state, twin, BLOCK_ROWS + 44, rng, bias=False)


def test_drives_have_the_shapes_of_what_they_move():
    """And are the definition's draws: a row a sample."""
    net, batch = MIXED, 2
    for name, settings in (("np", {"samples": 2}), ("inp", {}), ("fg-a", {"error": "scalar"}), ("fg-w", {})):
        learner, state, twin = pair(name, settings, net)
        state.step = twin.step = 3
        drives, passes = learner.drives(state, batch), wanted(twin, batch)
        assert len(drives) == len(passes)
        for drive, parts in zip(drives, passes, strict=True):
            given = {"perturbations": drive.perturbations, "outputs": drive.outputs, "beside": drive.weights}
            for key, own in given.items():
                expected = parts.get(key, [])
                assert [p is None for p in own] == [p is None for p in expected]
                close([p for p in own if p is not None], [p for p in expected if p is not None], 1e-6)


@pytest.mark.parametrize("name", ["learned-fa"])
def test_least_squares_is_refused_below_a_convolution(name):
    with pytest.raises(ValueError, match="least_squares"):
        pair(name, {"fit": "least_squares"}, deep())
    pair(name, {"fit": "least_squares"}, strided())  # nothing above but a dense layer
    pair("learned-dfa", {"fit": "least_squares"}, deep())


# --- rules on chips -------------------------------------------------------------------------------------------------


def wanted(twin, batch):
    """The passes that a rule asks for, as the keyword arguments of `naive.forward`."""
    learner, name = twin.learner, twin.learner.name
    if name not in ON_LINES or name == "reinforce":
        return twins.wanted(twin, batch)
    *drawn, last = twin.draws(batch, learner.samples + 1)
    untold = learner.baseline == "noisy" and "clean" in twin.offers
    if name in ("inp", "dinp"):
        drawn = [[v if m == layer else None for m, v in enumerate(one)] for one in drawn for layer in range(len(one))]
    return [{"perturbations": last} if untold else {}, *({"perturbations": v} for v in drawn)]


@pytest.mark.parametrize(("name", "settings"), FOLDING.values(), ids=FOLDING)
def test_rule_on_a_noisy_chip_that_learns(name, settings):
    """Two updates; the chip is programmed, decorrelates, and tracks its statistics after each."""
    net, batch = deep(), 7
    chip, rng = a_chip(net, "crossbar")
    sigma = {} if name in ("canp", "dcanp", "anp", "danp") else {"sigma": 0.1}
    learner, state, twin = pair(name, {**settings, **sigma}, net, chip.offers)
    for _ in range(2):
        data = batch_for(rng, net, batch)
        twin.targets, twin.oracle = data.targets, chip.oracle(data)
        observations = chip.passes(data, learner.drives(state, batch), training=True)
        expected = twin.update(observations)
        gradients, _ = learner.update(state, observations, oracle=chip.oracle(data))
        assert (gradients is None) == (expected is None)
        if gradients is not None:
            close(gradients, expected, 1e-4)
            chip.program([np.float32(-0.05) * g for g in gradients])
        twins.remembered_alike(state, twin)
        chip.decorrelate(observations[0].inputs, 0.01)
        chip.track(observations[0].activities)


@pytest.mark.parametrize("activation", ["tanh", "bell"])
@pytest.mark.parametrize(("name", "settings"), FOLDING.values(), ids=FOLDING)
def test_updates_on_an_exact_chip_are_the_definitions_from_end_to_end(name, settings, activation):
    """Drives, masks, passes, signals and memory, two updates in a row: the definition makes its passes itself."""
    net, batch, seed = deep(activation, activation), 4, 1
    chip, rng = a_chip(net, seed=seed)
    # far above float32's grain, so that float64 can be compared
    learner, state, twin = pair(name, {**settings, "sigma": 0.5}, net, chip.offers)
    twin.sigma = state.sigma  # zero where there is nothing to perturb
    for _ in range(2):
        data = batch_for(rng, net, batch)
        oracle = twin.oracle = chip.oracle(data)
        twin.targets, number = data.targets, chip._hidden.next_pass
        observations = chip.passes(data, learner.drives(state, batch), training=True)
        masks = net.masks(batch, number, seeding.key(seed, "chip/dropout"))
        weights, given = float64(oracle.weights), {"rotations": float64(oracle.rotations), "bias": True}
        x, drives, expected = data.inputs.astype(float), wanted(twin, batch), []
        seen = naive.settled(x, weights, net.seen([], masks), net.epsilons, **given, **drives[0])
        noted = {"norms": [layer.norm for layer in seen], "norms_of_batch": True, "masks": masks}
        for drive in drives:
            i, a = naive.forward(x, weights, seen, **given, **drive)
            value, error = naive.loss("cce", a[-1], data.targets), naive.error("cce", a[-1], data.targets)
            expected.append(Observation(i, a, a[-1], value, error, **noted))
        assert len(observations) == len(expected)
        for observation, other in zip(observations, expected, strict=True):
            close(observation.inputs, other.inputs)
            close(observation.activities, other.activities)
        found = twin.update(expected)
        gradients, _ = learner.update(state, observations, oracle=oracle)
        assert (gradients is None) == (found is None)
        if gradients is not None:
            close(gradients, found, 5e-4)
            chip.program([np.float32(-0.05) * g for g in gradients])
        twins.remembered_alike(state, twin, 1e-3)
        chip.decorrelate(observations[0].inputs, 0.01)
        chip.track(observations[0].activities)


# --- rules on average -----------------------------------------------------------------------------------------------

AVERAGED = {  # rule, settings, updates: tested at twins.LEVEL over all components together
    "np": ("np", {"samples": 10}, 30),
    "inp": ("inp", {"samples": 3}, 30),
    "fg-a": ("fg-a", {"samples": 10}, 30),
    "reinforce": ("reinforce", {"samples": 3}, 30),
}


@pytest.mark.parametrize(("name", "settings", "updates"), AVERAGED.values(), ids=AVERAGED)
def test_the_gradient_on_average(name, settings, updates):
    """A sample and its copies have one gradient, of which every estimate is one draw."""
    net, copies = smooth(), 400
    chip, rng = a_chip(net, seed=5)
    one = batch_for(rng, net, 1)
    data = Batch(np.repeat(one.inputs, copies, 0), np.repeat(one.targets, copies, 0), one.loss)
    oracle = chip.oracle(data)
    truth = flat(oracle.gradient(chip.forward(data)))
    learner, state, _ = pair(name, settings, net, chip.offers)
    found = []
    for _ in range(updates):
        observations = chip.passes(data, learner.drives(state, copies))
        found.append(flat(learner.update(state, observations, oracle=oracle)[0]))
    found = np.array(found)
    assert twins.unbiased(found, truth)
    assert not twins.unbiased(1.5 * found, truth, power=1)  # the test would notice


def test_covariance_correction_in_white_noise_has_the_gradients_length_and_direction():
    """The first layer's: its noise is white, independently so at every position. Updates after the first inverse."""
    net, copies = smooth(), 1000
    chip, rng = a_chip(net, seed=5)
    one = batch_for(rng, net, 1)
    data = Batch(np.repeat(one.inputs, copies, 0), np.repeat(one.targets, copies, 0), one.loss)
    truth = chip.oracle(data).gradient(chip.forward(data))[0]
    learner, state, _ = pair("canp", {"samples": 8, "shrinkage": 0.0}, net, chip.offers)
    found = []
    for _ in range(twins.REFRESH + 30):
        gradients, _ = learner.update(state, chip.passes(data, learner.drives(state, copies)))
        found.append(gradients[0].copy())
    found = np.array(found[twins.REFRESH :])
    assert twins.unbiased(found, truth)
    assert not twins.unbiased(1.5 * found, truth, power=1)


# --- decorrelation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("batch", "shapes"), [(1, [(4, 50), (9,)]), (3, [(4, 50), (6, 7), (40,)]), (40, [(4, 50), (3,)])]
)
def test_decorrelation_step(batch, shapes, bias):
    """Averages over samples and positions: few patches, fewer than inputs, more."""
    rng = np.random.default_rng(batch)
    rotations = layered(
        [(np.eye(s[-1]) + 0.1 * rng.standard_normal((s[-1], s[-1]))).astype(np.float32) for s in shapes]
    )
    inputs = [rng.standard_normal((batch, *s[:-1], s[-1] + bias)).astype(np.float32) for s in shapes]
    before = float64(rotations)
    decorrelate(rotations, layered(inputs), 0.02)
    for r, b, x in zip(rotations, before, inputs, strict=True):
        expected = naive.decorrelated(b, x[..., : len(r)].astype(float), 0.02)
        close([r, r - b], [expected, expected - b], 1e-3)
        close([r], [expected], 5e-6)


@pytest.mark.parametrize("net", [deep(), strided()])
def test_a_chip_decorrelates_its_patches(net):
    chip, rng = a_chip(net)
    before = float64(chip.oracle(None).rotations)
    observation = chip.forward(rng.standard_normal((6, net.inputs)).astype(np.float32))
    chip.decorrelate(observation.inputs, 0.01)
    for layer, (old, new) in enumerate(zip(before, chip.oracle(None).rotations, strict=True)):
        assert new.shape == (net.fan_in[layer],) * 2
        expected = naive.decorrelated(old, observation.inputs[layer][..., : len(old)].astype(float), 0.01)
        close([new], [expected], 5e-6)
        close([new - old], [expected - old], 1e-3)
