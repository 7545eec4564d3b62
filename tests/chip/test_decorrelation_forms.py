"""Decorrelation that turns updates: the same rule with compensated weights, and no output moves by a step of R alone.

Reference: W, R and their products in float64 (`naive`), compensated after each step of R by W <- W R R'^-1.
"""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, Drive, batch_norm, conv, depthwise, learners, pool
from noisysim.chip.chip import restore, snapshot
from noisysim.chip.decorrelation import FORMS
from noisysim.compute import losses

import naive

BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SIZES = (7, 6, 5, 4)
IMAGES = [(2, 5, 5), conv(3, 3, padding=1, activation="tanh"), batch_norm(), pool(2), conv(4, 2), 5, 3]
NETS = {"dense": SIZES, "conv": IMAGES}


def drawn(chip, batch, seed=0):
    """Inputs that are correlated, changes of all weights, and correlated values to adapt each R with."""
    rng, net = np.random.default_rng(seed), chip.network

    def correlated(*shape):
        mixed = rng.standard_normal(shape) @ (0.5 * np.eye(shape[-1]) + 0.5)
        return mixed.astype(np.float32)

    x = correlated(batch * chip.chips, net.sizes[0])
    changes = [0.05 * rng.standard_normal((chip.chips * a, b)).astype(np.float32) for a, b in net.shapes]
    return x, changes, [correlated(*net.driven_shape(layer, 12 * chip.chips)) for layer in range(net.depth)]


def host(array):
    return np.asarray(array.get() if hasattr(array, "get") else array)


def pair(net, bias=True, backend="cpu", chips=1, seed=1):
    """Two ideal chips of one function and one R, which is no identity: the arrays of one hold W, of the other W R."""
    first = Chip(net, "ideal", "tanh", "inputs", seed, backend, bias=bias, chips=chips)
    x, changes, seen = drawn(first, 6)
    for _ in range(4):
        first.decorrelate(seen, 0.02)
    other = Chip(net, "ideal", "tanh", "updates", seed, backend, bias=bias, chips=chips)
    for _ in range(4):
        other.decorrelate(seen, 0.02)
    exact = first.oracle(None)
    assert not np.allclose(host(exact.rotations[0]), np.tile(np.eye(len(exact.rotations[0].T)), (chips, 1)), atol=0.02)
    state = snapshot(other)
    plain = np.concatenate([w.reshape(-1) for w in map(host, exact.plain_weights())])
    restore(other, {**state, "weights": plain.astype(np.float32)})
    return first, other, x, changes


def close(one, other, tolerance=2e-5):
    for a, b in zip(map(host, one), map(host, other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(np.abs(b).max(), 1e-6))


@pytest.mark.parametrize("form", ["updates", "compensated"])
@pytest.mark.parametrize("bias", [False, True])
def test_updates_are_those_of_compensated_weights(bias, form):
    """Three updates, each with a step of R, against W <- (W + dW) R R'^-1."""
    chip = Chip(SIZES, "ideal", "tanh", form, 3, bias=bias)
    x, _, _ = drawn(chip, 20)
    weights = [w.astype(float) for w in chip.oracle(None).weights]
    rotations, rate = [np.eye(n) for n in SIZES[:-1]], 0.05
    rng = np.random.default_rng(4)
    for _ in range(3):
        seen, driven, signal = chip.forward(x), [], x.astype(float)
        for layer, (w, r) in enumerate(zip(weights, rotations, strict=True)):
            driven.append(naive.drive(signal, r, bias))
            line = driven[-1] @ w.T
            close([seen.inputs[layer], seen.activities[layer]], [driven[-1], line])
            signal = naive.activate("tanh", line)
        changes = [0.1 * rng.standard_normal(w.shape).astype(np.float32) for w in weights]
        chip.program(changes)
        chip.decorrelate(seen.inputs, rate)
        for layer, (r, change) in enumerate(zip(rotations, changes, strict=True)):
            n, w = len(r), weights[layer] + change
            rotations[layer] = naive.decorrelated(r, driven[layer][:, :n], rate)
            w[:, :n] = w[:, :n] @ r @ np.linalg.inv(rotations[layer])
            weights[layer] = w
    assert not np.allclose(rotations[0], np.eye(SIZES[0]), atol=0.05)
    close(chip.oracle(None).rotations, rotations, 1e-4)
    if form == "compensated":
        close(chip.oracle(None).weights, weights, 1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_decorrelation_alone_moves_no_output(net, backend):
    found = {}
    for form in FORMS:
        chip = Chip(net, "ideal", "tanh", form, 1, backend, bias=True, chips=2)
        x, _, _ = drawn(chip, 8)
        before = host(chip.forward(x).output).copy()
        for _ in range(5):
            chip.decorrelate(chip.forward(x).inputs, 0.002)
        found[form] = np.abs(host(chip.forward(x).output) - before).max()
    assert found["updates"] == 0 <= found["compensated"] < 2e-5 < 1e-3 < found["inputs"]


def test_compensation_is_a_write():
    """Its cells are counted, and of a device whose controller keeps no weights it is refused."""
    chip = Chip(SIZES, "crossbar:controller=copy", decorrelate="compensated", seed=1)
    x, _, _ = drawn(chip, 40)
    chip.decorrelate(chip.forward(x).inputs, 0.05)
    assert chip.cost.cells_programmed > 0 == chip.cost.updates
    said = (
        r"decorrelate='compensated' needs a write controller .* 'rpu' is written by pulses in open loop: use 'updates'"
    )
    with pytest.raises(ValueError, match=rf"^{said}"):
        Chip(SIZES, "rpu", decorrelate="compensated")
    with pytest.raises(ValueError, match=rf"^run\.{said}"):
        noisysim.run("digits", device="rpu", decorrelate="compensated")
    Chip(SIZES, "rpu:verify_pulses=3", decorrelate="compensated")


def test_a_step_without_an_inverse_leaves_the_weights():
    chip = Chip((2, 2), "ideal", decorrelate="compensated", init="glorot")
    before = [w.copy() for w in chip.oracle(None).weights]
    chip.decorrelate([np.ones((4, 2), np.float32)], 1.0)  # I - C is singular
    np.testing.assert_array_equal(chip.oracle(None).weights, before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("net", "chips"), [(SIZES, 1), (SIZES, 3), (IMAGES, 2)], ids=["dense", "chips", "conv"])
def test_both_forms_show_and_do_the_same(net, chips, backend):
    """Passes, drives of every kind, what the oracle tells, and a write."""
    one, other, x, changes = pair(net, backend=backend, chips=chips)
    rng, shapes = np.random.default_rng(2), one.network.line_shape
    lines = [0.1 * rng.standard_normal(shapes(layer, len(x))).astype(np.float32) for layer in range(one.network.depth)]
    outputs = [0.1 * rng.standard_normal(one.network.output_shape(0, len(x))).astype(np.float32)]
    outputs += [None] * (one.network.depth - 1)
    drives = [Drive(), Drive(lines), Drive(outputs=outputs), Drive(weights=changes)]
    targets = np.eye(one.sizes[-1], dtype=np.float32)[rng.integers(0, one.sizes[-1], len(x))]
    batch = noisysim.Batch(x, targets, losses.get("cce"))
    for whole in ("all", "first"):
        seen = [chip.passes(batch, drives, inputs_of=whole) for chip in (one, other)]
        for a, b in zip(*seen, strict=True):
            close([*a.inputs, *a.activities], [*b.inputs, *b.activities])
            assert len(a.inputs) == (0 if whole == "first" and a is not seen[0][0] else one.network.depth)
    assert np.abs(host(seen[0][3].output) - host(seen[0][0].output)).max() > 0.01
    told = [chip.oracle(batch) for chip in (one, other)]
    for ask in (
        lambda oracle, first: oracle.signals(first),
        lambda oracle, first: oracle.gradient(first),
        lambda oracle, first: [oracle.tangent(first, drive) for drive in drives[1:]],
        lambda oracle, first: oracle.plain_weights(),
    ):
        close(*(ask(oracle, of_chip[0]) for oracle, of_chip in zip(told, seen, strict=True)))
    for chip in (one, other):
        chip.program(changes)
    close([one.forward(x).output], [other.forward(x).output])


@pytest.mark.parametrize("name", learners.names())
def test_every_rule_asks_for_the_same_in_both_forms(name):
    learner = learners.get(name)
    task = noisysim.tasks.get((np.random.default_rng(0).standard_normal((40, 7)).astype(np.float32), np.arange(40) % 4))
    one, other, _, _ = pair(SIZES, bias=False)
    batch, asked = task.batch("train", slice(0, 24)), []
    for chip in (one, other):
        state = learner.init(chip.architecture, seed=5, offers=chip.offers, floor=0.1, loss=task.loss_function)
        for _ in range(2):
            observed = chip.passes(batch, learner.drives(state, 24), inputs_of="first")
            gradient, state = learner.update(state, observed, oracle=chip.oracle(batch))
            if gradient is not None:
                chip.program([-0.1 * g for g in gradient])
        asked.append([*gradient, chip.forward(batch).output])
    # differences of losses over small perturbations: rounding is enlarged by what they are divided by
    close(*asked, 2e-2 if state.sigma else 1e-3)


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_chunks_and_reused_observations_are_turned_once(device):
    chips = [Chip((6, 5, 4), device, decorrelate="updates", seed=2) for _ in range(2)]
    x, _, seen = drawn(chips[0], 1024)
    for chip in chips:
        chip.decorrelate(seen, 0.02)
    whole, parts = chips
    expected = whole.passes(x, [Drive(), Drive()])
    copied = [[a.copy() for a in (*o.inputs, *o.activities)] for o in expected]
    again = whole.passes(x, [Drive(), Drive()], out=expected)
    np.testing.assert_array_equal(again[0].inputs[0], copied[0][0])
    found = [parts.passes(x[at : at + 512], [Drive(), Drive()], first_sample=at) for at in (0, 512)]
    for p in range(2):
        for k, array in enumerate(copied[p]):
            pieces = [[*f[p].inputs, *f[p].activities][k] for f in found]
            np.testing.assert_array_equal(np.concatenate(pieces), array)


def test_the_default_form_follows_the_initial_weights():
    given = [np.full((4, 5), 0.1), np.full((3, 4), 0.1)]
    x = np.random.default_rng(1).standard_normal((9, 5)).astype(np.float32) + 1
    for init, moves in (("he", True), (given, False)):
        chip = Chip([5, 4, 3], "ideal", decorrelate=True, init=init)
        before = chip.forward(x)
        chip.decorrelate(before.inputs, 0.05)
        assert bool((chip.forward(x).output != before.output).any()) == moves
    with pytest.raises(ValueError, match=r"unknown decorrelate 'update'; did you mean 'updates'"):
        Chip([5, 4, 3], "ideal", decorrelate="update")
    with pytest.raises(TypeError, match="decorrelate must be True or False, not 1"):
        Chip([5, 4, 3], "ideal", decorrelate=1)


def test_a_matrix_without_an_inverse_costs_no_other_chip_its_write():
    x = np.ones((4, 2), np.float32)
    quiet = np.random.default_rng(0).normal(0, 0.3, (4, 2)).astype(np.float32)
    alone = Chip((2, 2), "ideal", decorrelate="compensated", init="glorot", seed=1)
    alone.decorrelate([quiet], 1.0)
    several = Chip((2, 2), "ideal", decorrelate="compensated", init="glorot", seed=[5, 1], chips=2)
    before = several.oracle(None).weights[0].copy()
    several.decorrelate([np.concatenate([x, quiet])], 1.0)
    after = several.oracle(None).weights[0]
    np.testing.assert_array_equal(after[:2], before[:2])  # I - C is singular
    assert not np.array_equal(after[2:], before[2:])
    np.testing.assert_array_equal(after[2:], alone.oracle(None).weights[0])


GROUPED = [(4, 5, 5), conv(8, 3, groups=2), depthwise(2), 3]
CHANNELS = {0: (4, 2), 1: (8, 8)}
"""Channels that a layer of `GROUPED` sees, and its groups."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", FORMS)
def test_groups_are_decorrelated_each_by_itself(form, backend):
    """As if each had a matrix of its own; no group gets to know of another, whatever is learned."""
    chip = Chip(GROUPED, "ideal", "tanh", form, 1, backend, bias=True, oracle=True)
    x, changes, _ = drawn(chip, 8)
    for _ in range(3):
        chip.program(changes)
        seen, before = chip.forward(x), [host(r).astype(float) for r in chip.oracle(None).rotations]
        chip.decorrelate(seen.inputs, 0.02)
        for layer, (channels, groups) in CHANNELS.items():
            of_input = np.arange(len(before[layer])) % channels // (channels // groups)
            expected = np.zeros_like(before[layer])
            for group in range(groups):
                own = np.flatnonzero(of_input == group)
                rows = host(seen.inputs[layer]).astype(float)[..., own]
                expected[np.ix_(own, own)] = naive.decorrelated(before[layer][np.ix_(own, own)], rows, 0.02)
            assert not np.allclose(expected, np.eye(len(expected)), atol=1e-3)
            close([chip.oracle(None).rotations[layer]], [expected], 1e-4)
    again = Chip(GROUPED, "ideal", "tanh", init=chip.weights(), bias=True)
    close([chip.forward(x).output], [again.forward(host(x)).output], 1e-4)


def test_matrices_of_groups_cost_what_their_blocks_do():
    """2 groups of 2 channels of 3 x 3 at 9 positions, 8 of 1 channel of 2 x 2 at 4, and 32 units."""
    cost = {}
    for form in FORMS:
        chip = Chip(GROUPED, "ideal", "tanh", form, 1)
        x, changes, _ = drawn(chip, 6)
        seen = chip.forward(x)
        chip.program(changes)
        before = chip.cost
        chip.decorrelate(seen.inputs, 0.02)
        cost[form] = chip.cost
        few, many = (min(2 * b * n * n, b * n * (n - 1) // 2 + n**3) for b, n in ((6 * 9, 18), (6 * 4, 4)))
        steps = 2 * few + 8 * many + min(2 * 6 * 32 * 32, 6 * 32 * 31 // 2 + 32**3)
        more = 2 * (8 * 18**2 + 8 * 4**2 + 3 * 32**2) + 2 * (18**3 // 3) + 8 * (4**3 // 3) + 32**3 // 3
        steps += more if form == "compensated" else 0
        assert chip.cost.adaptation_macs - before.adaptation_macs == steps
        assert chip.cost.decorrelation_bytes == 4 * (2 * 18**2 + 8 * 4**2 + 32**2)
    turned = 6 * (9 * 2 * 18**2 + 4 * 8 * 4**2 + 32**2)
    assert cost["inputs"].decorrelation_macs == cost["compensated"].decorrelation_macs == turned
    assert cost["updates"].decorrelation_macs == turned + 8 * 18**2 + 8 * 4**2 + 3 * 32**2
