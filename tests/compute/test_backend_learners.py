"""Learners on a stack of chips, and on a GPU (or Numba's simulator): both learn as on the CPU, chip by chip.

What a rule sees need not come from a network, so observations are made by hand.
"""

from dataclasses import fields, replace

import numpy as np
import pytest

from noisysim import batch_norm, conv, dropout, learners, pool
from noisysim.chip.oracle import Oracle
from noisysim.compute import backends, losses
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch, Observation
from noisysim.networks.building import architecture

import bell

DENSE = architecture([5, 4, 4, 3], "tanh", bias=True)  # two hidden layers: one has a readout of its own
FLAT = architecture([5, 4, 3], "leaky_relu")
IMAGES = architecture([(1, 5, 5), conv(3, 2), batch_norm(), pool(2), dropout(0.25), 3], "tanh")
FALLING = architecture([(1, 5, 5), conv(3, 2), batch_norm(), pool(2), dropout(0.25), 3], bell.__file__)
NETS = {"dense": DENSE, "images": IMAGES, "falling": FALLING}

OTHERS = [
    ("np", {"samples": 2, "loss": "batch"}),
    ("inp", {"samples": 2, "loss": "batch"}),
    ("anp", {"samples": 3, "baseline": "noisy"}),
    ("canp", {"samples": 2, "shrinkage": 0.01}),
    ("canp", {"samples": 3, "baseline": "noisy", "loss": "batch"}),
    ("fg-w", {"samples": 2, "loss": "batch"}),
    ("fg-w", {"samples": 2, "derivative": "exact"}),
    ("fg-a", {"derivative": "exact", "error": "scalar"}),
    ("lg-fg-a", {"samples": 2, "derivative": "exact"}),
    ("fa", {"error": "scalar", "samples": 2}),
    ("dkp", {"feedback_optimizer": "sgd", "feedback_rate": 0.1}),
    ("fdfa", {"samples": 2, "derivative": "exact", "feedback_optimizer": "sgd", "feedback_rate": 0.5}),
    ("learned-fa", {"fit": "least_squares", "samples": 2}),
    ("learned-dfa", {"fit": "least_squares", "error": "scalar"}),
    ("reinforce", {"hidden_noise": True, "loss": "batch"}),
]
CASES = [(name, {}) for name in learners.names()] + OTHERS


def a_learner(name, settings):
    learner = learners.get(name, **settings)
    return replace(learner, sigma=0.1) if any(f.name == "sigma" for f in fields(learner)) else learner


def supported(name, settings, net):
    """A convolution's feedback has no least squares fit by layer."""
    return not (net is not DENSE and settings.get("fit") == "least_squares" and name == "learned-fa")


def f32(values):
    return np.asarray(values, np.float32)


def one_hot(rng, rows, n):
    return np.eye(n, dtype=np.float32)[rng.integers(0, n, rows)]


def observations(net, drives, rows, seed, targets):
    """Of one chip: lines, losses and inputs of no network, of later passes near those of the first."""
    rng, depth = np.random.default_rng(seed), range(net.depth)
    lines = [f32(rng.standard_normal(net.line_shape(layer, rows))) for layer in depth]
    inputs = [f32(rng.standard_normal(net.driven_shape(layer, rows))) for layer in depth]
    state = {}
    if any(net.norms):
        laws = [np.stack([0.3 * rng.standard_normal(n), rng.uniform(0.5, 1.5, n)]) for n in net.units]
        norms = [f32(law) if norm else None for law, norm in zip(laws, net.norms, strict=True)]
        state = {"norms": norms, "norms_of_batch": True}
    if any(net.drops):
        kept = [rng.random(net.output_shape(layer, rows)) >= drop for layer, drop in enumerate(net.drops)]
        state["masks"] = [f32(k / (1 - drop)) if drop else None for k, drop in zip(kept, net.drops, strict=True)]
    made = []
    for k, drive in enumerate(drives):
        seen = [a if k == 0 else f32(a + 0.1 * rng.standard_normal(a.shape)) for a in lines]
        error = losses.get("cce").error(seen[-1], targets) if drive.output_error else None
        loss = 2 + 0.1 * rng.standard_normal(rows)
        made.append(Observation(inputs if k == 0 else [], seen, seen[-1], loss, error, **state))
    return made


def joined(parts, axis=0):
    return None if parts[0] is None else np.concatenate(parts, axis)


def stacked(passes):
    """One observation of all chips from those of each."""

    def layers(name, axis=0):
        return [joined(parts, axis) for parts in zip(*(getattr(o, name) for o in passes), strict=True)]

    activities = layers("activities")
    return Observation(
        layers("inputs"), activities, activities[-1], joined([o.loss for o in passes]),
        joined([o.output_error for o in passes]), layers("norms", 1), passes[0].norms_of_batch, layers("masks"),
    )  # fmt: skip


def moved(observation, place):
    """The observation where a backend computes."""

    def put(value):
        if isinstance(value, list):
            return [put(v) for v in value]
        return place.put(value) if isinstance(value, np.ndarray) else value

    made = {f.name: put(getattr(observation, f.name)) for f in fields(observation)}
    return Observation(**{**made, "output": made["activities"][-1]})


def exact(net, seed):
    """Weights and decorrelation matrices of one chip."""
    rng = np.random.default_rng(seed)
    weights = [f32(rng.standard_normal(shape)) for shape in net.shapes]
    return weights, [f32(np.eye(n) + 0.1 * rng.standard_normal((n, n))) for n in net.fan_in]


def together(lists):
    return [np.concatenate(parts) for parts in zip(*lists, strict=True)]


def parts_of(gradient, chip, chips):
    """One chip's part of weight-shaped arrays."""
    return [g.reshape(chips, -1, g.shape[1])[chip] for g in gradient]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_stacks_learn_as_each_chip_alone(name, settings, net):
    net = NETS[net]
    if not supported(name, settings, net):
        pytest.skip("no least squares fit for shared weights")
    learner, chips, rows = a_learner(name, settings), 3, 6
    stack = learner.init(net, seed=3, chips=chips)
    alone = []
    for m in range(chips):
        state = learner.init(net, seed=3)
        state.key = stack.key[m : m + 1].copy()
        learner.remember(state)
        alone.append(state)
    known = [exact(net, 50 + m) for m in range(chips)]
    rng = np.random.default_rng(7)
    out = None
    for turn in range(3):  # the third has feedback in all layers, where it starts at zero
        targets = [one_hot(rng, rows, net.units[-1]) for _ in range(chips)]
        batches = [Batch(np.empty(0), t, losses.get("cce")) for t in targets]
        oracles = [Oracle(w, r, net, b) for (w, r), b in zip(known, batches, strict=True)]
        whole = Oracle(
            together([w for w, _ in known]), together([r for _, r in known]), net,
            Batch(np.empty(0), np.concatenate(targets), losses.get("cce")), chips=chips,
        )  # fmt: skip
        drives = learner.drives(stack, chips * rows)
        seen = [observations(net, drives, rows, 10 * turn + m, t) for m, t in enumerate(targets)]
        together_seen = [stacked(passes) for passes in zip(*seen, strict=True)]
        out, stack = learner.update(stack, together_seen, oracle=whole, out=out)
        assert [g.shape for g in out] == [(chips * a, b) for a, b in net.shapes]
        found = []
        for m, state in enumerate(alone):
            gradient, alone[m] = learner.update(state, seen[m], oracle=oracles[m])
            for one, other in zip(parts_of(out, m, chips), gradient, strict=True):
                np.testing.assert_array_equal(one, other)
            found.append(gradient)
        assert all(np.any(one != other) for one, other in zip(found[0], found[1], strict=True) if one.any())
    assert all(g.any() for g in found[0])


def test_stacks_estimate_covariances_from_the_first_samples_of_each_chip():
    learner, chips, rows = a_learner("canp", {}), 2, 300  # more than are looked at
    stack, alone = learner.init(FLAT, chips=chips), [learner.init(FLAT) for _ in range(chips)]
    targets = one_hot(np.random.default_rng(1), rows, 3)
    seen = [observations(FLAT, learner.drives(alone[0], rows), rows, m, targets) for m in range(chips)]
    whole, _ = learner.update(stack, [stacked(passes) for passes in zip(*seen, strict=True)])
    squares = [(n, n) for n in FLAT.units]
    estimated = Layered(stack.memory["covariance"], stack.stack(squares))
    for m, state in enumerate(alone):
        gradient, _ = learner.update(state, seen[m])
        covariance = Layered(state.memory["covariance"], squares)
        for one, other in zip(parts_of(estimated, m, chips), covariance, strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(parts_of(whole, m, chips), gradient, strict=True):
            np.testing.assert_array_equal(one, other)


def test_first_chip_of_a_stack_draws_as_one_alone_and_others_draw_otherwise():
    learner = a_learner("fa", {"error": "scalar"})
    stack, alone = learner.init(DENSE, seed=5, chips=3), learner.init(DENSE, seed=5)
    together, single = learner.perturbations(stack, 6)[0], learner.perturbations(alone, 2)[0]
    for many, one in zip(together, single, strict=True):
        np.testing.assert_array_equal(many[:2], one)
        assert not np.any(many[:2] == many[2:4])
        assert not np.any(many[2:4] == many[4:])


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_gpu_learns_as_the_cpu(name, settings):
    agree(DENSE, name, settings, chips=1)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["anp", "bp", "dcanp", "dfa", "dkp", "fa", "fg-a", "fg-w", "learned-dfa", "np"])
def test_a_gpu_learns_as_the_cpu_from_images(name):
    agree(IMAGES, name, {}, chips=1)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_gpu_learns_as_the_cpu_on_a_stack(name, settings):
    agree(DENSE, name, settings, chips=2)


@pytest.mark.gpu
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_an_update_never_waits_for_the_gpu(name, settings, net, monkeypatch):
    """It brings no value back: the host goes on while the GPU computes."""
    if not supported(name, settings, NETS[net]):
        pytest.skip("no least squares fit for shared weights")
    net, learner, rows, place = NETS[net], a_learner(name, settings), 2, backends.get("cuda")
    state, target = learner.init(net, backend="cuda"), one_hot(np.random.default_rng(1), rows, net.units[-1])
    put = [[place.put(a) for a in arrays] for arrays in exact(net, 5)]
    oracle = Oracle(*put, net, Batch(np.empty(0), place.put(target), losses.get("cce")))
    drives = learner.drives(state, rows)
    passes = [moved(one, place) for one in observations(net, drives, rows, 0, target)]

    def refused(*_):
        raise AssertionError("a value was brought to the host")

    for method in ("__bool__", "__int__", "__float__", "__index__", "item", "tolist"):
        monkeypatch.setattr(place.xp.ndarray, method, refused, raising=False)
    monkeypatch.setattr(place.xp, "asnumpy", refused)
    with pytest.raises(AssertionError, match="brought to the host"):
        float(passes[0].loss.sum())
    gradient, state = learner.update(state, passes, oracle=oracle)
    learner.update(state, passes, oracle=oracle, out=gradient)


def agree(net, name, settings, chips):
    """Three updates on both backends, from the same observations: to float32's rounding."""
    learner, rows, rng = a_learner(name, settings), 4, np.random.default_rng(3)
    known = [exact(net, 50 + m) for m in range(chips)]
    weights, rotations = (together([one[part] for one in known]) for part in (0, 1))
    states = [learner.init(net, seed=3, chips=chips, backend=backend) for backend in ("cpu", "cuda")]
    out = [None, None]
    for turn in range(3):
        targets = [one_hot(rng, rows, net.units[-1]) for _ in range(chips)]
        for k, backend in enumerate(("cpu", "cuda")):
            place = backends.get(backend)
            drives = learner.drives(states[k], chips * rows)
            seen = [observations(net, drives, rows, 10 * turn + m, t) for m, t in enumerate(targets)]
            passes = [moved(stacked(parts), place) for parts in zip(*seen, strict=True)]
            batch = Batch(np.empty(0), place.put(np.concatenate(targets)), losses.get("cce"))
            put = [[place.put(a) for a in arrays] for arrays in (weights, rotations)]
            oracle = Oracle(*put, net, batch, chips=chips)
            out[k], states[k] = learner.update(states[k], passes, oracle=oracle, out=out[k])
        assert all(backends.backend_of(g) is backends.get("cuda") for g in out[1])
        for one, other in zip(*out, strict=True):
            other = backends.get("cuda").take(other)
            assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()
    assert all(g.any() for g in out[0])
