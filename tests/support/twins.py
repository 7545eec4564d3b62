"""Learners written anew from the definition, naive.py, in float64, beside which the package's are run."""

import numpy as np
from scipy import stats

from noisysim import learners

import naive

OFFERS = frozenset({"perturbation", "output_error", "oracle"})
CLEAN, NOISY = OFFERS | {"clean"}, OFFERS
FIRST_ARRAYS = 0xFFFF  # the stream of what a learner starts with: no draw of a pass has it
ROWS, REFRESH = 256, 20  # of covariance correction: samples of an update that count, updates between two inversions


def close(arrays, expected, rtol=3e-5):
    """Equal to float32 accuracy: relative to the largest value of each array."""
    assert len(arrays) == len(expected)
    for one, other in zip(arrays, expected, strict=True):
        assert np.shape(one) == np.shape(other)
        scale = np.max(np.abs(other), initial=0.0)
        np.testing.assert_allclose(np.asarray(one, float), other, rtol=0, atol=rtol * scale + 1e-30)


def float64(arrays):
    return [np.asarray(a, float) for a in arrays]


def one_hot(rng, batch, n):
    return np.eye(n, dtype=np.float32)[rng.integers(0, n, batch)]


class Seen:
    """What a rule may use of one update's observations, in float64: of perturbed passes no inputs."""

    def __init__(self, observations):
        first = observations[0]
        self.inputs = float64(first.inputs)
        self.activities = [float64(o.activities) for o in observations]
        self.outputs = [a[-1] for a in self.activities]
        self.losses = [o.loss for o in observations]
        self.error = None if first.output_error is None else np.asarray(first.output_error, float)
        self.batch = len(first.loss)


class Twin:
    """A learner as naive.py defines it. Of the learner's own state it takes key, sizes and sigma alone."""

    def __init__(self, learner, state):
        self.learner, self.key, self.sizes, self.sigma = learner, state.key[0], list(state.net.sizes), state.sigma
        self.activation, self.loss, self.clean = state.net.activations[0], state.loss, learner.clean(state)
        self.shapes = state.net.shapes
        self.units, self.step, self.targets, self.oracle = list(state.net.sizes[1:]), 0, None, None
        self.memory, self.moments = {}, {}
        self.rule = RULES.get(learner.name)
        if learner.name in STARTS:
            STARTS[learner.name](self)

    @property
    def per_batch(self):
        return self.learner.loss == "batch"

    @property
    def hidden(self):
        return self.units[:-1]

    def start(self, name, shapes, bounds):
        """Arrays that are uniform within their bounds."""
        words = [naive.stream(naive.OWN, layer, FIRST_ARRAYS) for layer in range(len(shapes))]
        self.memory[name] = [
            naive.uniform_rows(*shape, bound, 0, word, self.key)
            for shape, bound, word in zip(shapes, bounds, words, strict=True)
        ]

    def draws(self, batch, count=None):
        """This step's directions, sigma times unit draws: of units' values, or for FG-W of weights."""
        shapes = self.shapes if self.learner.name == "fg-w" else [(batch, n) for n in self.units]
        return [
            [
                self.sigma * naive.normal_rows(*shape, self.step, naive.stream(naive.OWN, layer, k), self.key)
                for layer, shape in enumerate(shapes)
            ]
            for k in range(self.learner.samples if count is None else count)
        ]

    def told(self, seen, first=1):
        """dL of K perturbed passes, the first of which is number `first`."""
        passes = seen.losses[first : first + self.learner.samples]
        return naive.told([seen.losses[0], *passes], self.per_batch)

    def tangents(self, seen, drives):
        """Exact derivatives of the outputs along drives."""
        weights, rotations = float64(self.oracle.weights), float64(self.oracle.rotations)
        return [
            naive.tangent(seen.inputs, seen.activities[0], weights, self.activation, rotations, **one) for one in drives
        ]

    def adapt(self, name, gradients, optimizer, rate):
        """One step of each array down its gradient."""
        for layer, g in enumerate(gradients):
            if optimizer == "sgd":
                change = -rate * g
            else:
                moments = self.moments.get((name, layer), (0.0, 0.0, 0))
                change, self.moments[name, layer] = naive.adam_step(g, moments, rate)
            self.memory[name][layer] = self.memory[name][layer] + change

    def update(self, observations):
        """The gradient of every layer's weights; None where they are to stay."""
        seen = Seen(observations)
        found = self.rule(self, seen)
        self.step += 1
        if self.learner.name == "fg-w":
            return found
        if self.step <= getattr(self.learner, "warmup", 0):
            return None
        return [s.T @ x / seen.batch for s, x in zip(found, seen.inputs, strict=True)]


def wanted(twin, batch):
    """The passes that a rule asks for, as the keyword arguments of `naive.forward`."""
    learner, name = twin.learner, twin.learner.name
    depth, scalar = len(twin.units), getattr(learner, "error", "digital") == "scalar"
    exact = getattr(learner, "derivative", "passes") == "exact"
    nothing = [None] * depth

    def hidden(v):
        first = depth - 2 if name == "lg-fg-a" else 0
        return [u if first <= layer < depth - 1 else None for layer, u in enumerate(v)]

    def output(v):
        return [*nothing[:-1], v[-1]]

    def one(v):
        if name == "fg-w":
            return {"beside": v}
        if name in ("fg-a", "lg-fg-a"):
            return {"outputs": hidden(v), **({"perturbations": output(v)} if scalar else {})}
        if name == "reinforce":
            return {"perturbations": v if learner.hidden_noise else output(v)}
        if name in ("canp", "dcanp"):
            return {"perturbations": v}
        return {"outputs": hidden(v)}

    drawn = twin.draws(batch, learner.samples + 1)
    untold = learner.baseline == "noisy" and "clean" in twin.offers
    passes, drawn = [one(drawn[-1]) if untold else {}], drawn[:-1]
    if name in ("fa", "dfa", "dkp"):
        pass
    elif not exact:
        passes += [one(v) for v in drawn]
    if name in FEEDBACK and scalar:
        passes += [{"perturbations": output(v)} for v in drawn]
    return passes


FEEDBACK = ("fa", "dfa", "dkp", "fdfa", "learned-fa", "learned-dfa")


def fg_w(twin, seen):
    directions = twin.draws(seen.batch)
    if twin.learner.derivative == "exact":
        tangents = twin.tangents(seen, [{"beside": v} for v in directions])
        changes = naive.told_exactly(seen.error, tangents)
    else:
        changes = naive.told(seen.losses)
    return naive.weight_forward_gradient(changes, directions, twin.sigma)


def fg_a(twin, seen):
    learner, directions = twin.learner, twin.draws(seen.batch)
    if learner.derivative == "exact":
        local = learner.name == "lg-fg-a"
        first, last = (len(twin.hidden) - 1 if local else 0), len(twin.hidden)
        drives = [
            {
                "outputs": [u if first <= layer < last else None for layer, u in enumerate(v)],
                "lines": [v[-1] if layer == last and learner.error == "scalar" else None for layer in range(last + 1)],
            }
            for v in directions
        ]
        changes = naive.told_exactly(seen.error, twin.tangents(seen, drives), twin.per_batch)
    else:
        changes = naive.told(seen.losses, twin.per_batch)
    error = seen.error if learner.error == "digital" else None
    return naive.activity_forward_gradient(changes, directions, seen.activities[0], twin.activation, twin.sigma, error)


def lg_fg_a(twin, seen):
    signals, directions, gradients = fg_a(twin, seen), twin.draws(seen.batch), []
    for layer, readout in enumerate(twin.memory["readouts"]):
        drawn = [u[layer] for u in directions]
        signals[layer], g = naive.local_signal(
            seen.activities[0][layer], drawn, twin.activation, twin.sigma, readout, twin.targets, twin.loss
        )
        gradients.append(g)
    twin.adapt("readouts", gradients, "adam", twin.learner.readout_rate)
    return signals


def output_error(twin, seen):
    """As the periphery tells it, or estimated by the last K passes, in which the outputs alone are perturbed."""
    if twin.learner.error == "digital":
        return seen.error
    drawn = [u[-1] for u in twin.draws(seen.batch)]
    return naive.directional(twin.told(seen, len(seen.losses) - len(drawn)), drawn, twin.sigma)


def back(twin, seen, error):
    direct = twin.learner.name not in ("fa", "learned-fa")
    return naive.brought_back(error, twin.memory["feedback"], seen.activities[0], twin.activation, direct)


def fixed(twin, seen):
    return back(twin, seen, output_error(twin, seen))


def dkp(twin, seen):
    learner, error = twin.learner, output_error(twin, seen)
    feedback = twin.memory["feedback"]
    gradients = naive.kolen_pollack(error, seen.activities[0], twin.activation, feedback, learner.feedback_decay)
    twin.adapt("feedback", gradients, learner.feedback_optimizer, learner.feedback_rate)
    return back(twin, seen, error)


def fdfa(twin, seen):
    learner, directions = twin.learner, twin.draws(seen.batch)
    if learner.derivative == "exact":
        drives = [{"outputs": [*v[:-1], None]} for v in directions]
        changes = twin.tangents(seen, drives)
    else:
        changes = [y - seen.outputs[0] for y in seen.outputs[1 : 1 + learner.samples]]
    gradients = naive.forward_direct(changes, directions, twin.memory["feedback"], twin.sigma)
    twin.adapt("feedback", gradients, learner.feedback_optimizer, learner.feedback_rate)
    return back(twin, seen, output_error(twin, seen))


def learned_feedback(twin, seen):
    learner, directions = twin.learner, twin.draws(seen.batch)
    signals = back(twin, seen, output_error(twin, seen))
    gradients = []
    for layer, b in enumerate(twin.memory["feedback"]):
        source = signals[-1] if learner.name == "learned-dfa" else signals[layer + 1]
        estimate = naive.directional(twin.told(seen), [u[layer] for u in directions], twin.sigma)
        if learner.fit == "gradient":
            gradients.append(naive.residual_gradient(source, estimate, b))
            continue
        sources, estimates = twin.memory.setdefault(("samples", layer), ([], []))
        sources.append(source)
        estimates.append(estimate)
        twin.memory["feedback"][layer] = naive.ridge_regression(sources, estimates, learner.ridge)
    twin.adapt("feedback", gradients, learner.feedback_optimizer, learner.feedback_rate)
    return signals


def reinforce(twin, seen):
    drawn = [u[-1] for u in twin.draws(seen.batch)]
    error = naive.directional(naive.told(seen.losses, twin.per_batch), drawn, twin.sigma)
    weights, rotations = float64(twin.oracle.weights), float64(twin.oracle.rotations)
    return naive.backprop(seen.activities[0], error, weights, twin.activation, rotations)


def covariance(twin, seen):
    learner, rows = twin.learner, min(seen.batch, ROWS)
    for layer, m in enumerate(twin.memory["covariance"]):
        found = naive.direction_covariance(seen.activities, layer, rows, not twin.clean)
        m = twin.memory["covariance"][layer] = naive.running_mean(m, found, twin.step, learner.window)
        if twin.step % REFRESH == 0:
            counted = learner.samples * rows * min(twin.step + 1, learner.window)
            twin.memory["inverse"][layer] = naive.shrunk_inverse(m, learner.shrinkage, counted)
    inverses = twin.memory["inverse"]
    if twin.clean:
        return naive.covariance_corrected(naive.told(seen.losses, twin.per_batch), seen.activities, inverses)
    return naive.covariance_corrected_centred(seen.losses, seen.activities, inverses, twin.per_batch)


RULES = {
    "fg-w": fg_w, "fg-a": fg_a, "lg-fg-a": lg_fg_a, "fa": fixed, "dfa": fixed, "dkp": dkp, "fdfa": fdfa,
    "learned-fa": learned_feedback, "learned-dfa": learned_feedback, "reinforce": reinforce,
    "canp": covariance, "dcanp": covariance,
}  # fmt: skip


def start_feedback(twin):
    """B_l of shape (units above or outputs, units), and a law of initial weights: what is learned starts at zero."""
    name, shapes = twin.learner.name, feedback_shapes(twin.learner.name, twin.sizes)
    law = twin.learner.feedback_init
    assert law in ("zero", "uniform", "he-uniform")
    twin.start("feedback", shapes, [naive.initial_law(law, n, above)[1] for above, n in shapes])
    if twin.learner == learners.get(name):
        assert law == ("zero" if name in ("fdfa", "learned-fa", "learned-dfa") else "he-uniform")


def feedback_shapes(name, sizes):
    above = sizes[2:] if name in ("fa", "learned-fa") else [sizes[-1]] * (len(sizes) - 2)
    return list(zip(above, sizes[1:-1], strict=True))


def start_readouts(twin):
    """A linear readout of every hidden layer but the last."""
    twin.start("readouts", [(twin.units[-1], n) for n in twin.hidden[:-1]], [n**-0.5 for n in twin.hidden[:-1]])


def start_covariance(twin):
    """Nothing seen: white noise is assumed."""
    twin.memory["covariance"] = [np.zeros((n, n)) for n in twin.units]
    twin.memory["inverse"] = [n * np.eye(n) for n in twin.units]


STARTS = dict.fromkeys(FEEDBACK, start_feedback)
STARTS |= {"lg-fg-a": start_readouts, "canp": start_covariance, "dcanp": start_covariance}


def remembered_alike(state, twin, rtol=1e-4):
    """Whether what the learner saves is what the twin remembers."""
    for name in ("feedback", "readouts", "covariance", "inverse"):
        assert (name in state.memory) == (name in twin.memory)
        if name in twin.memory:
            flat = np.concatenate([np.zeros(0), *[m.ravel() for m in twin.memory[name]]])
            close([state.memory[name]], [flat], rtol)


FAST = {"feedback_rate": 0.05}
VARIANTS = {
    "fg-w": ("fg-w", {}),
    "fg-w-3-batch": ("fg-w", {"samples": 3, "loss": "batch"}),
    "fg-w-exact": ("fg-w", {"samples": 2, "derivative": "exact"}),
    "fg-w-exact-batch": ("fg-w", {"derivative": "exact", "loss": "batch"}),
    "fg-w-noisy": ("fg-w", {"baseline": "noisy", "samples": 2}),
    "fg-a": ("fg-a", {}),
    "fg-a-3-batch": ("fg-a", {"samples": 3, "loss": "batch"}),
    "fg-a-scalar": ("fg-a", {"samples": 2, "error": "scalar"}),
    "fg-a-exact": ("fg-a", {"samples": 2, "derivative": "exact"}),
    "fg-a-exact-scalar-batch": ("fg-a", {"derivative": "exact", "error": "scalar", "loss": "batch"}),
    "fg-a-noisy": ("fg-a", {"baseline": "noisy"}),
    "lg-fg-a": ("lg-fg-a", {"readout_rate": 0.05}),
    "lg-fg-a-2-scalar": ("lg-fg-a", {"samples": 2, "error": "scalar"}),
    "lg-fg-a-exact": ("lg-fg-a", {"derivative": "exact", "samples": 2}),
    "lg-fg-a-exact-scalar": ("lg-fg-a", {"derivative": "exact", "error": "scalar"}),
    "fa": ("fa", {}),
    "fa-scalar": ("fa", {"error": "scalar", "samples": 2}),
    "fa-noisy": ("fa", {"baseline": "noisy"}),
    "fa-uniform": ("fa", {"feedback_init": "uniform"}),
    "dfa": ("dfa", {}),
    "dfa-scalar-batch": ("dfa", {"error": "scalar", "samples": 3, "loss": "batch"}),
    "dkp": ("dkp", {**FAST, "feedback_init": "zero"}),
    "dkp-scalar": ("dkp", {**FAST, "error": "scalar"}),
    "dkp-sgd-decay": ("dkp", {**FAST, "feedback_optimizer": "sgd", "feedback_decay": 0.3}),
    "fdfa": ("fdfa", FAST),
    "fdfa-3": ("fdfa", {**FAST, "samples": 3, "feedback_optimizer": "sgd", "feedback_init": "he-uniform"}),
    "fdfa-scalar": ("fdfa", {**FAST, "samples": 2, "error": "scalar", "loss": "batch"}),
    "fdfa-exact": ("fdfa", {**FAST, "derivative": "exact", "samples": 2}),
    "fdfa-exact-scalar": ("fdfa", {**FAST, "derivative": "exact", "error": "scalar"}),
    "fdfa-noisy": ("fdfa", {**FAST, "baseline": "noisy"}),
    "learned-fa": ("learned-fa", FAST),
    "learned-fa-random": ("learned-fa", {**FAST, "feedback_init": "he-uniform"}),
    "learned-fa-scalar-batch": ("learned-fa", {**FAST, "samples": 2, "error": "scalar", "loss": "batch"}),
    "learned-fa-ls": ("learned-fa", {"fit": "least_squares", "samples": 2}),
    "learned-fa-sgd-warmup": ("learned-fa", {**FAST, "feedback_optimizer": "sgd", "warmup": 2}),
    "learned-dfa": ("learned-dfa", FAST),
    "learned-dfa-scalar": ("learned-dfa", {**FAST, "error": "scalar", "samples": 3, "feedback_init": "uniform"}),
    "learned-dfa-ls": ("learned-dfa", {"fit": "least_squares", "ridge": 3.0}),
    "reinforce": ("reinforce", {}),
    "reinforce-3-batch": ("reinforce", {"samples": 3, "loss": "batch"}),
    "reinforce-hidden-noisy": ("reinforce", {"hidden_noise": True, "baseline": "noisy"}),
    "canp": ("canp", {}),
    "canp-3": ("canp", {"samples": 3, "shrinkage": 0.01, "window": 2}),
    "canp-batch": ("canp", {"loss": "batch", "shrinkage": 0.5}),
    "canp-noisy": ("canp", {"baseline": "noisy"}),
    "canp-3-noisy": ("canp", {"samples": 3, "baseline": "noisy", "loss": "batch"}),
    "dcanp": ("dcanp", {"shrinkage": 1.0}),
}
LEVEL = 1e-4  # of a false alarm, two-sided, over all components together (Bonferroni)


def unbiased(estimates, truth, power=0.1):
    """Whether independent estimates, (n, ...), have the mean `truth`; and are enough of them to tell.

    A t test of every component at LEVEL over their number; the standard error is less than `power` of the truth.
    """
    estimates = np.reshape(estimates, (len(estimates), -1)).astype(float)
    truth, n = np.ravel(truth).astype(float), len(estimates)
    error = estimates.std(axis=0, ddof=1) / np.sqrt(n)
    assert np.linalg.norm(error) < power * np.linalg.norm(truth)
    limit = stats.t.isf(LEVEL / 2 / truth.size, n - 1)
    return bool(np.all(np.abs(estimates.mean(axis=0) - truth) <= limit * error + 1e-5 * np.abs(truth).max()))


def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])
