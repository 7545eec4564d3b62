"""What learners are made of, on both backends and for stacks of chips.

A stack gives every chip what it would get alone, bit for bit on the CPU; a GPU agrees to float32 rounding. The half
about GPUs runs on one, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

import numpy as np
import pytest

from noisysim import batch_norm
from noisysim.chip.decorrelation import decorrelate
from noisysim.chip.normalisation import Normalisation
from noisysim.compute import algebra, backends, execution, layered, losses
from noisysim.compute.algebra import Term
from noisysim.learners import optimizers
from noisysim.learners.node import by_distance, by_length
from noisysim.networks.activations import ACTIVATIONS
from noisysim.networks.building import architecture

# --- what is given: lists of arrays, all of which chips share by their first axis ------------------------------------

SIZES = {  # samples of a chip; of each layer the shape of a sample's lines, and its columns
    "dense": (4, [(5,), (7,)], [7, 6]),
    "images": (5, [(5,), (2, 3), (7,)], [7, 4, 6]),
    "large": (600, [(300,), (5,)], [130, 7]),  # cut into blocks
    "many": (64, [(120,)], [100]),  # small chips, spread over the pool when there are 40
    "alike": (3, [(5,), (6,), (2, 3), (2, 4)], [6, 6, 4, 4]),  # fewer samples than columns, and more
}


def given(size, chips, seed=1):
    """Draws of everything that an operation may need."""
    batch, lines, columns = SIZES[size]
    rng, samples = np.random.default_rng(seed), chips * batch

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "a": [draw(samples, *line) for line in lines],
        "b": [draw(samples, *line) for line in lines],
        "inputs": [draw(samples, *line[:-1], n) for line, n in zip(lines, columns, strict=True)],
        "weights": [draw(chips * line[-1], n) for line, n in zip(lines, columns, strict=True)],
        "squares": [draw(chips * n, n) / n**0.5 for n in columns],
        "rotations": [draw(chips * (n - 1), n - 1) for n in columns],  # not of the bias
        "factors": [rng.standard_normal((samples, 2)), rng.standard_normal((samples, len(lines)))],
        "keys": [rng.integers(0, 2**32, (chips, 2), np.uint32)],
        "output": [10 * draw(samples, 6)],
        "targets": [np.eye(6, dtype=np.float32)[rng.integers(0, 6, samples)]],
    }


def alone(data, m, chips):
    """A chip's part."""
    return {name: [part(a, m, chips) for a in arrays] for name, arrays in data.items()}


def part(array, m, chips):
    return array.reshape(chips, len(array) // chips, *array.shape[1:])[m].copy()


# --- the operations: what they give, chips sharing the first axis ----------------------------------------------------


def squared_distances(g, chips):
    return [algebra.squared_distances(g["a"], g["b"])]


def layer_distances(g, chips):
    return [algebra.layer_distances(g["a"], g["b"]).T]


def layer_squares(g, chips):
    return [algebra.layer_squares(g["a"]).T]


def shares_of_all(g, chips):
    changes = g["factors"][0].T
    return [algebra.shares(by_distance, changes, changes * changes - 0.5, np.array([3.0])).T]


def shares_of_layers(g, chips):
    squares = algebra.layer_squares(g["a"])
    changes = g["factors"][1].T
    return [algebra.shares(by_length, changes, squares, np.arange(1.0, 1.0 + len(squares))).T]


def shares_by_distance(g, chips):
    losses = g["factors"][0][:, 0], g["factors"][0][:, 1]
    return [algebra.shares_by_distance(by_distance, losses, g["a"], g["b"], 3.0, 2.0)]


def outer_of_one(g, chips):
    term = Term(g["factors"][0][:, 0], layered.layered(g["a"]), layered.layered(g["b"]))
    return algebra.outer([term], layered.layered(g["inputs"]), chips=chips)


def outer_of_several(g, chips):
    one, own = g["factors"]
    terms = [Term(one[:, 0], g["a"]), Term(own.T, g["b"], g["a"])]
    xp = backends.backend_of(g["a"][0]).xp
    out = layered.zeros([w.shape for w in g["weights"]], xp)
    normed = [g["b"][0], *[None] * (len(g["a"]) - 1)]
    assert algebra.outer(terms, g["inputs"], out, normed, chips) is out
    return [*out, *algebra.outer(terms[1:], g["inputs"], chips=chips)]


def leave_out_moments(g, chips):
    for signal, normed in zip(g["a"], g["b"], strict=True):
        algebra.leave_out_moments(algebra.rows(signal), algebra.rows(normed), chips)
    return g["a"]


def moments(g, chips):
    return [algebra.moments(a, chips).T for a in g["a"]]


def norms_of(g, chips, layer):
    """Shift and scale of every unit, (2, chips units)."""
    shift, scale = g["weights"][layer][:, :2].T
    return backends.backend_of(shift).xp.stack([shift, scale])


def normalise(g, chips):
    return [algebra.normalise(a, norms_of(g, chips, k), chips) for k, a in enumerate(g["a"])]


def scale_units(g, chips):
    return [algebra.scale_units(a, norms_of(g, chips, k)[1], chips) for k, a in enumerate(g["a"])]


def normals(g, chips):
    out = layered.layered(g["a"])
    algebra.normals(out, 0.3, 2, 5, 1, g["keys"][0])
    return out


def uniforms(g, chips):
    out = layered.layered(g["weights"])
    algebra.uniforms(out, [0.5 + n for n in range(len(out))], 3, g["keys"][0])
    return out


def combine(g, chips):
    factors, found = g["factors"][0].T, []
    for a, b in zip(g["a"], g["b"], strict=True):
        room = backends.backend_of(a).xp.empty_like(a)
        found += [algebra.combine(factors, [a, b], room), algebra.combine(factors[1:], [a], 0 * a, b)]
    return found


def scale_by_slope(g, chips):
    return [algebra.scale_by_slope(1 * a, b, f) for f in ACTIVATIONS for a, b in zip(g["a"], g["b"], strict=True)]


def activate(g, chips):
    return [algebra.activate(a, f) for f in ACTIVATIONS for a in g["a"]]


def product(g, chips):
    found = []
    for a, x, w, square in zip(g["a"], g["inputs"], g["weights"], g["squares"], strict=True):
        found.append(algebra.product(a, [w, square], chips=chips))
        found.append(algebra.product(a, [w[:, :-1]], chips=chips))
        found.append(algebra.product(x, [square, w], 0 * a, chips, transposed=True))
    return found


def passed_share(g, chips):
    halves = [backends.backend_of(a).xp.where(a > b, a, b) for a, b in zip(g["a"], g["b"], strict=True)]
    return [algebra.passed_share(halves, g["a"], chips), algebra.passed_share(halves, halves, chips)]


def loss(name):
    def values(g, chips):
        chosen, (output, targets) = losses.get(name), g["output"] + g["targets"]
        return [chosen(output, targets), chosen.error(output, targets)]

    return values


def decorrelation(g, chips):
    rotations = layered.layered(g["rotations"])
    for _ in range(2):
        decorrelate(rotations, layered.layered(g["inputs"]), 0.01, chips)
    return rotations


def optimizer(spec):
    def steps(g, chips):
        chosen, weights = optimizers.get(spec), g["weights"]
        state = chosen.init([w.shape for w in weights], backends.backend_of(weights[0]).xp)
        changes = []
        for scale in (1.0, 0.5):
            change, state = chosen.update(layered.layered([scale * w for w in weights]), state, 0.1)
            changes += change
        return changes

    return steps


CASES = [
    squared_distances, layer_distances, layer_squares, shares_of_all, shares_of_layers, shares_by_distance,
    outer_of_one, outer_of_several, leave_out_moments, moments, normalise, scale_units, normals, uniforms,
    combine, scale_by_slope, activate, product, passed_share, decorrelation,
]  # fmt: skip
NAMED = {case.__name__: case for case in CASES}
NAMED.update(cce=loss("cce"), mse=loss("mse"))
NAMED.update({spec: optimizer(spec) for spec in ("sgd", "sgd:momentum=0.9", "adam")})


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(("size", "chips"), [("dense", 3), ("images", 3), ("large", 2), ("many", 40)])
def test_a_chip_in_a_stack_gets_what_it_gets_alone(name, size, chips):
    data = given(size, chips)
    own = [alone(data, m, chips) for m in range(chips)]
    with execution.threads(2):
        stack = [np.asarray(a) for a in NAMED[name](data, chips)]
        for m in range(chips):
            single = NAMED[name](own[m], 1)
            for whole, one in zip(stack, single, strict=True):
                np.testing.assert_array_equal(part(whole, m, chips), one)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("size", ["dense", "images"])
@pytest.mark.parametrize("chips", [1, 3])
def test_a_gpu_agrees_with_the_cpu(name, size, chips):
    there = backends.get("cuda")
    found = NAMED[name]({k: [there.put(a) for a in v] for k, v in given(size, chips).items()}, chips)
    expected = NAMED[name](given(size, chips), chips)
    for on_device, on_host in zip(found, expected, strict=True):
        assert isinstance(on_device, there.xp.ndarray)
        assert on_device.dtype == on_host.dtype
        np.testing.assert_allclose(there.take(on_device), on_host, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("chips", [1, 3])
def test_layers_that_are_alike_decorrelate_as_others_do(chips):
    there = backends.get("cuda")
    found = decorrelation({k: [there.put(a) for a in v] for k, v in given("alike", chips).items()}, chips)
    for on_device, on_host in zip(found, decorrelation(given("alike", chips), chips), strict=True):
        np.testing.assert_allclose(there.take(on_device), on_host, rtol=1e-5, atol=1e-5)


# --- what holds besides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["images", "large"])
def test_statistics_are_those_of_each_unit(size):
    """Of blocks of rows that are added up, in double precision."""
    g, close = given(size, 2), {"rtol": 1e-5, "atol": 1e-6}
    rows = [algebra.rows(a).reshape(2, -1, a.shape[-1]).astype(float) for a in g["a"]]
    normed = [algebra.rows(b).reshape(2, -1, b.shape[-1]).astype(float) for b in g["b"]]
    for a, moment in zip(rows, moments(g, 2), strict=True):
        np.testing.assert_allclose(moment.T, np.stack([a.mean(1), a.var(1)]).reshape(2, -1), **close)
    for layer, (a, normal) in enumerate(zip(rows, normalise(g, 2), strict=True)):
        shift, scale = norms_of(g, 2, layer).reshape(2, 2, 1, -1)
        np.testing.assert_allclose(normal.reshape(a.shape), (a - shift) * scale, **close)
    for a, n, left in zip(rows, normed, leave_out_moments(g, 2), strict=True):
        expected = a - a.mean(1, keepdims=True) - n * (a * n).mean(1, keepdims=True)
        np.testing.assert_allclose(left.reshape(a.shape), expected, **close)


def test_transposed_matrices_need_not_be_transposed():
    g = given("large", 1)
    for x, w in zip(g["inputs"], g["weights"], strict=True):
        expected = algebra.product(x, [w.T])
        np.testing.assert_array_equal(algebra.product(x, [w], transposed=True), expected)


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_cross_entropy_of_large_outputs_is_finite(backend):
    put, take = backends.get(backend).put, backends.get(backend).take
    output = np.array([[1e4, -1e4, 0], [0, -np.inf, 0]], np.float32)
    targets = np.array([[0, 1, 0], [1, 0, 0]], np.float32)
    chosen = losses.get("cce")
    np.testing.assert_allclose(take(chosen(put(output), put(targets))), [2e4, np.log(2)], rtol=1e-12)
    error = take(chosen.error(put(output), put(targets)))
    np.testing.assert_allclose(error, [[1, -1, 0], [-0.5, 0, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", ["cce", "mse", "of a user"])
def test_losses_of_passes_are_those_of_each(name, backend):
    put, take, rng = backends.get(backend).put, backends.get(backend).take, np.random.default_rng(3)
    outputs = put(rng.standard_normal((3, 30)).astype(np.float32))[:, 6:].reshape(3, 4, 6)
    targets = put(np.eye(6, dtype=np.float32)[:4])
    chosen = losses.get(name) if name in losses.LOSSES else lambda output, targets: (output * targets).sum(axis=1)
    found = losses.of_passes(chosen, outputs, targets)
    assert len(found) == 3
    for one, output in zip(found, outputs, strict=True):
        np.testing.assert_array_equal(take(one), take(chosen(output, targets)))


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_what_is_not_finite_is_found_each_time(backend):
    place = backends.get(backend)
    values = [1, np.nan, 2, np.inf, -np.inf, 3]
    found = [place.ops.all_finite(place.put(np.array([0, value], np.float32))) for value in values]
    assert found == [bool(np.isfinite(value)) for value in values]


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_chips_of_a_stack_are_normalised_each_by_its_own_statistics(backend):
    put, take, xp = (getattr(backends.get(backend), name) for name in ("put", "take", "xp"))
    net, chips, rng = architecture([4, 5, batch_norm(), 3, batch_norm(), 2]), 3, np.random.default_rng(2)
    lines = [rng.standard_normal((chips * 4, n)).astype(np.float32) for n in (5, 3)]
    stack, singles = Normalisation(net, chips, xp), [Normalisation(net) for _ in range(chips)]
    assert stack.norms.shape == (2, chips * 8)
    batch = xp.zeros_like(stack.norms)
    for layer, line in enumerate(lines):
        stack.track(layer, put(line), 0.1)
        stack.by_batch(layer, put(line), batch)
        for m, single in enumerate(singles):
            single.track(layer, part(line, m, chips), 0.1)
    for m, single in enumerate(singles):
        by_batch = np.zeros_like(single.norms)
        for layer, line in enumerate(lines):
            single.by_batch(layer, part(line, m, chips), by_batch)
        for whole, one in ((stack.norms, single.norms), (batch, by_batch)):
            pairs = zip(stack.parts(whole)[:2], single.parts(one)[:2], strict=True)
            for found, expected in pairs:
                np.testing.assert_allclose(part(take(found).T, m, chips), expected.T, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("spec", ["adam:beta2=0.9", "sgd:momentum=0.9"])
def test_moments_do_not_become_subnormal(spec, backend):
    """Processors take many times as long for such numbers, which decay no further: they are rounded to themselves."""
    place, chosen = backends.get(backend), optimizers.get(spec)
    state = chosen.init([(2, 2)], place.xp)
    for step in range(1100):
        gradient = layered.layered([place.put(np.array([[1e-3, -1e-3], [0, 1e-30]], np.float32) * (step == 0))])
        change, state = chosen.update(gradient, state, 0.1)
        assert place.xp.isfinite(change.flat).all()
    for name in {"first", "second", "velocity"} & state.keys():
        sizes = np.abs(place.take(state[name]))
        assert not ((sizes > 0) & (sizes < np.finfo(np.float32).tiny)).any()
    assert not place.take(change.flat).any()
