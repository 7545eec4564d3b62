"""Recurrent layers: cells as their papers state them, noise of every read, and derivatives through time."""

import dataclasses

import numpy as np
import pytest

import noisysim
from noisysim import Chip, Drive, learners
from noisysim.compute import backends, losses, recurrence
from noisysim.compute.observation import Batch
from noisysim.networks.layers import conv, dense, parse, recurrent
from noisysim.networks.recurrent_kinds import GATES

CELLS = pytest.mark.parametrize("cell", GATES)
STEPS, FEATURES, UNITS, OUTPUTS = 5, 3, 4, 3


def layers(cell):
    return [(1, STEPS, FEATURES), recurrent(UNITS, cell, "all"), recurrent(3, cell), OUTPUTS]


def batch(chip, rows=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows * chip.chips, STEPS * FEATURES)).astype(np.float32)
    return Batch(x, np.eye(OUTPUTS, dtype=np.float32)[rng.integers(0, OUTPUTS, len(x))], losses.get("cce"))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def naive_layer(x, first, second, cell, n):
    """Outputs of all steps, (batch, steps, n), of weights with a bias in their last column, in float64."""
    h = c = np.zeros((len(x), n))
    ones, outputs = np.ones((len(x), 1)), []
    for t in range(x.shape[1]):
        a, b = np.hstack([x[:, t], ones]) @ first.T, np.hstack([h, ones]) @ second.T
        if cell == "rnn":
            h = np.tanh(a + b)
        elif cell == "lstm":
            i, f, g, o = np.split(a + b, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
            r, z = sigmoid(ar + br), sigmoid(az + bz)
            if cell == "gru_reset_before":
                candidate = an + (np.hstack([r * h, ones]) @ second.T)[:, 2 * n :]
            else:
                candidate = an + r * bn
            h = (1 - z) * np.tanh(candidate) + z * h
        outputs.append(h)
    return np.stack(outputs, axis=1)


def naive_output(weights, x, cell):
    first = naive_layer(x.reshape(len(x), STEPS, FEATURES), weights[0], weights[1], cell, UNITS)
    second = naive_layer(first, weights[2], weights[3], cell, 3)
    return np.hstack([second[:, -1], np.ones((len(x), 1))]) @ weights[4].T


def naive_loss(weights, data, cell):
    y = naive_output(weights, data.inputs.astype(float), cell)
    y -= y.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(y).sum(axis=1)) - (data.targets * y).sum(axis=1)))


@CELLS
def test_cells_are_what_their_papers_say(cell):
    chip = Chip(layers(cell), "ideal", seed=1, bias=True, init="uniform")
    data = batch(chip)
    chip.program([np.full(shape, 0.1, np.float32) for shape in chip.network.shapes])  # biases are not zero
    weights = [w.astype(float) for w in chip.oracle(data).weights]
    np.testing.assert_allclose(
        chip.forward(data.inputs).output, naive_output(weights, data.inputs.astype(float), cell), rtol=1e-4, atol=1e-5
    )


@CELLS
def test_backpropagation_goes_through_time(cell):
    chip = Chip(layers(cell), "ideal", seed=1, bias=True, oracle=True)
    data = batch(chip)
    oracle = chip.oracle(data)
    gradient = oracle.gradient(chip.passes(data, [Drive()])[0])
    weights, rng = [w.astype(float) for w in oracle.weights], np.random.default_rng(1)
    for _ in range(4):
        along = [rng.standard_normal(w.shape) for w in weights]
        moved = [
            naive_loss([w + sign * 1e-5 * d for w, d in zip(weights, along, strict=True)], data, cell)
            for sign in (1, -1)
        ]
        expected = (moved[0] - moved[1]) / 2e-5
        found = sum(float((g * d).sum()) for g, d in zip(gradient, along, strict=True))
        assert abs(found - expected) < 1e-3 * max(1, abs(expected))


@CELLS
def test_tangents_are_those_of_finite_differences(cell):
    chip = Chip(layers(cell), "ideal", seed=1, oracle=True)
    data, net, rng = batch(chip), chip.architecture, np.random.default_rng(3)
    lines = [1e-2 * rng.standard_normal(net.line_shape(k, 6)).astype(np.float32) for k in range(net.depth)]
    outputs = [1e-2 * rng.standard_normal(net.output_shape(k, 6)).astype(np.float32) for k in range(net.depth - 1)]
    for drive, other in (
        (Drive(lines), Drive([-a for a in lines])),
        (Drive(outputs=[*outputs, None]), Drive(outputs=[*[-a for a in outputs], None])),
    ):
        first, up, down = chip.passes(data, [Drive(), drive, other])
        tangent = chip.oracle(data).tangent(first, drive)
        np.testing.assert_allclose(tangent, (up.output - down.output) / 2, atol=2e-2 * np.abs(tangent).max())


@CELLS
def test_every_read_has_noise_of_its_own(cell):
    """Two passes differ by noise that reads, samples and lines do not share: 2 x 8000 draws or more at 4 standard
    errors; the largest of up to 4,560 correlations (of 96 lines) lies below 5 with a probability of 0.997."""
    sigma, rows = 0.1, 500
    chip = Chip([(1, 4, 2), recurrent(4, cell), 2], f"gaussian:sigma={sigma}", seed=2, init="zero")
    first, second = chip.passes(np.zeros((rows, 8), np.float32), [Drive(), Drive()])
    difference = (second.activities[1] - first.activities[1]).astype(float)
    assert abs(difference.std() / (sigma * np.sqrt(2)) - 1) < 4 / np.sqrt(2 * difference.size)
    columns = difference.reshape(rows, -1)
    correlation = np.corrcoef(columns.T) - np.eye(columns.shape[1])
    assert np.abs(correlation).max() < 5 / np.sqrt(rows)
    assert np.abs(np.corrcoef(columns)[0, 1:]).max() < 0.99


@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar"])
@pytest.mark.parametrize(("decorrelate", "cell"), [(False, "gru"), (True, "gru"), (True, "gru_reset_before")])
def test_several_chips_and_chunks_give_the_same(device, decorrelate, cell):
    given = {"seed": 3, "bias": True, "decorrelate": decorrelate}
    alone, both = Chip(layers(cell), device, **given), Chip(layers(cell), device, chips=2, **given)
    data = batch(alone, 8)
    alone.calibrate(data.inputs)
    both.calibrate(np.concatenate([data.inputs, data.inputs]))
    whole = alone.passes(data, [Drive(), Drive()])[1].output.copy()
    doubled = both.passes(np.concatenate([data.inputs, data.inputs]), [Drive(), Drive()])[1].output
    np.testing.assert_array_equal(doubled[:8], whole)
    again = Chip(layers(cell), device, **given)
    again.calibrate(data.inputs)
    parts = [again.passes(data.inputs[k : k + 4], [Drive(), Drive()], first_sample=k)[1].output.copy() for k in (0, 4)]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-6)  # products are cut differently


def test_rules_without_weights_send_errors_back_through_the_cell_alone():
    """What passes through the second array from step to step is missing; the state's own path is there."""
    chip = Chip(layers("lstm"), "ideal", seed=1)
    observation = chip.passes(batch(chip), [Drive()])[0]
    steps = recurrence.Steps(chip.architecture, 1, observation)
    signal = np.random.default_rng(0).standard_normal((6, STEPS * UNITS)).astype(np.float32)
    found = steps.pull(signal, ())[1]
    numeric, step = np.zeros(6), 1e-2
    along = np.random.default_rng(1).standard_normal(found.shape).astype(np.float32)
    for sign in (1, -1):
        activities = [a.copy() for a in observation.activities]
        activities[1] += sign * step * along
        moved = recurrence.Steps(chip.architecture, 1, _with(observation, activities)).outputs()
        numeric += sign * (signal * moved).sum(axis=1) / (2 * step)
    np.testing.assert_allclose((found * along).sum(axis=(1, 2)), numeric, rtol=2e-2, atol=1e-2)


def _with(observation, activities):
    return dataclasses.replace(observation, activities=activities)


@pytest.mark.parametrize("cell", ["gru", "gru_reset_before"])
@pytest.mark.parametrize("name", learners.names())
def test_every_rule_learns_or_says_why_not(name, cell):
    rule = learners.get(name)
    chip = Chip(layers(cell), "ideal", seed=1, decorrelate=bool(rule.decorrelation), oracle=True)
    data = batch(chip)
    if name == "learned-fa":
        with pytest.raises(ValueError, match="chains of layers"):
            noisysim.prepare(rule, chip, data)
        return
    state = noisysim.prepare(rule, chip, data)
    for _ in range(2):
        observations = chip.passes(data, rule.drives(state, len(data.inputs)), training=True)
        gradient, state = rule.update(state, observations, oracle=chip.oracle(data))
        if gradient is not None:
            assert all(np.isfinite(g).all() for g in gradient)
            chip.program([-0.01 * g for g in gradient])


@pytest.mark.parametrize(("learner", "cell"), [("bp", "lstm"), ("danp", "lstm"), ("danp", "gru_reset_before")])
def test_a_run_is_resumed_to_the_bit(tmp_path, learner, cell):
    settings = {
        "task": "digits", "layers": [recurrent(8, cell)], "device": "gaussian", "learner": learner,
        "oracle": True, "seed": 1, "batch_size": 300, "bias": True,
    }  # fmt: skip
    whole = noisysim.run(**settings, epochs=2)
    path = tmp_path / "half.h5"
    noisysim.run(**settings, epochs=1, out=path)
    resumed = noisysim.resume(path, epochs=2)
    np.testing.assert_array_equal(whole.history["train_loss"], resumed.history["train_loss"])


@pytest.mark.gpu
@pytest.mark.covering(1)  # noise is added to lines before they reach the cell, whatever that is
@CELLS
@pytest.mark.parametrize("device", ["ideal", "gaussian"])
def test_a_gpu_gives_what_the_cpu_gives(cell, device):
    results = []
    for name in ("cpu", "cuda"):
        place = backends.get(name)
        chip = Chip(layers(cell), device, seed=4, bias=True, decorrelate=True, oracle=True, backend=name)
        data, net = batch(chip, 3), chip.architecture
        there = Batch(place.put(data.inputs), place.put(data.targets), data.loss)
        rng = np.random.default_rng(5)
        lines = [0.1 * rng.standard_normal(net.line_shape(k, 3)).astype(np.float32) for k in range(net.depth)]
        outputs = [0.1 * rng.standard_normal(net.output_shape(k, 3)).astype(np.float32) for k in range(net.depth - 1)]
        drives = [
            Drive(), Drive([place.put(a) for a in lines]), Drive(outputs=[*map(place.put, outputs), None]),
            Drive([None, None, place.put(lines[2]), None, None]),
            Drive(weights=[place.put(0.1 * rng.standard_normal(s).astype(np.float32)) for s in net.shapes]),
        ]  # fmt: skip
        observed = chip.passes(there, drives)
        gradient = chip.oracle(there).gradient(observed[0])
        arrays = [a for o in observed for a in (*o.activities, *o.inputs)] + list(gradient)
        results.append([place.take(a) for a in arrays])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_texts_are_read_again():
    for one in (recurrent(4), recurrent(4, "lstm"), recurrent(4, "gru", "all")):
        assert parse(repr(one)) == one
    with pytest.raises(ValueError, match="'lstm'"):
        recurrent(4, "lsmt")


def test_what_does_not_fit_says_so():
    with pytest.raises(ValueError, match="needs steps below it"):
        Chip([15, recurrent(4), 2], "ideal")
    with pytest.raises(ValueError, match="needs steps below it"):
        Chip([(1, 5, 3), dense(15), recurrent(4), 2], "ideal")


def test_it_stands_among_other_layers():
    chip = Chip(
        [(2, 6, 4), conv(3, 3, padding=1), recurrent(5, "gru", "all"), conv(2, 1), dense(7), 3], "ideal", seed=1
    )
    assert chip.network.positions == [24, 6, 6, 6, 1, 1]
    assert chip.network.shapes[1:3] == [(15, 12), (15, 5)]
    assert chip.forward(np.ones((2, 48), np.float32)).output.shape == (2, 3)
