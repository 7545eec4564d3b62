"""Networks that branch, on chips: what they give, and their gradients, against the definition in NumPy."""

import zlib

import numpy as np
import pytest

from noisysim import Batch, Chip, Drive, learners
from noisysim.compute import losses
from noisysim.networks import layers as kinds
from noisysim.networks.building import architecture
from noisysim.networks.layers import batch_norm, conv, pool

import branching
import naive
import naive_layers

EACH = pytest.mark.parametrize("name", branching.NETS)


def made(name, device="ideal", samples=7, loss="mse", activation="tanh", bias=True, **settings):
    """A chip with weights of some size, and a batch for it."""
    layers = branching.NETS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    chip = Chip(layers, device, activation, bias=bias, seed=3, **settings)
    chip.program([0.6 * rng.standard_normal(s).astype(np.float32) / np.sqrt(s[1] / 4) for s in chip.network.shapes])
    x = rng.standard_normal((samples, chip.network.sizes[0])).astype(np.float32)
    t = np.eye(chip.network.n_out, dtype=np.float32)[rng.integers(chip.network.n_out, size=samples)]
    return chip, Batch(x, t, losses.get(loss))


def weights_of(chip, data):
    return [w.astype(float) for w in chip.oracle(data).weights]


def defined(name, chip, data, weights=None, activation="tanh", bias=True, **given):
    """Output and lines by the definition."""
    weights = weights_of(chip, data) if weights is None else weights
    return naive_layers.evaluate(branching.NETS[name], weights, data.inputs.astype(float), activation, bias, **given)


@pytest.mark.covering(1)  # a bias is a row of an array, whatever stands around the array
@EACH
@pytest.mark.parametrize("bias", [False, True])
def test_a_pass_is_what_the_definition_says(name, bias):
    chip, data = made(name, bias=bias)
    observation = chip.forward(data)
    output, lines = defined(name, chip, data, bias=bias, norms=observation.norms)
    np.testing.assert_allclose(observation.output, output, rtol=1e-5, atol=2e-6)
    assert len(lines) == len(observation.activities)
    for a, line in zip(observation.activities, lines, strict=True):
        np.testing.assert_allclose(a.reshape(line.shape), line, rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose(observation.loss, naive.loss("mse", output, data.targets), rtol=1e-5)
    assert output.std() > 0.01


@EACH
def test_perturbations_of_lines_go_through_all_that_follows(name):
    chip, data = made(name)
    rng = np.random.default_rng(1)
    clean = chip.forward(data)
    drawn = [0.1 * rng.standard_normal(a.shape).astype(np.float32) for a in clean.activities]
    observation = chip.forward(data, Drive(drawn))
    output, lines = defined(name, chip, data, norms=observation.norms, perturbations=drawn)
    np.testing.assert_allclose(observation.output, output, rtol=1e-5, atol=3e-6)
    for a, line in zip(observation.activities, lines, strict=True):
        np.testing.assert_allclose(a.reshape(line.shape), line, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("name", ["resnet-8", "ds-cnn", "lenet-5"])
def test_published_networks_are_what_the_definition_says(name):
    named = kinds.NAMED[name]
    layers = [named.input_shape, *named, kinds.dense(named.n_out)]
    chip = Chip(layers, "ideal", seed=2)
    x = np.random.default_rng(0).standard_normal((2, chip.network.sizes[0])).astype(np.float32)
    observation = chip.forward(x)
    weights = [w.astype(float) for w in chip.oracle(Batch(x, np.zeros((2, named.n_out), np.float32), None)).weights]
    output, _ = naive_layers.evaluate(layers, weights, x.astype(float), norms=observation.norms)
    np.testing.assert_allclose(observation.output, output, rtol=1e-4, atol=1e-5 * np.abs(output).max())


def by_differences(mean_loss, weights, held):
    """The gradient of a function of weights in up to 40 entries an array, else NaN; 0 where there are no weights."""
    gradients = [np.full_like(w, np.nan) for w in weights]
    for layer, w in enumerate(weights):
        entries = list(np.ndindex(w.shape))
        for n in np.random.default_rng(layer).permutation(len(entries))[:40]:
            at = entries[n]
            gradients[layer][at] = 0
            if held[layer] is None or held[layer][at]:
                moved = []
                for h in (1e-5, -1e-5):
                    weights[layer] = w.copy()
                    weights[layer][at] += h
                    moved.append(mean_loss(weights))
                weights[layer] = w
                gradients[layer][at] = (moved[0] - moved[1]) / 2e-5
    return gradients


@EACH
def test_backpropagation_is_the_derivative_of_the_definition(name):
    """Through statistics of the batch, too."""
    chip, data = made(name, samples=5)
    (observation,) = chip.passes(data, [Drive()], training=True)
    oracle, learner = chip.oracle(data), learners.get("bp")
    found, _ = learner.update(learner.init(chip.network), [observation], oracle=oracle)

    def mean_loss(weights):
        output, _ = defined(name, chip, data, weights)
        return naive.loss("mse", output, data.targets.astype(float)).mean()

    weights = weights_of(chip, data)
    assert mean_loss(weights) == pytest.approx(float(np.mean(observation.loss)), rel=1e-5)
    wanted = by_differences(mean_loss, weights, chip.network.blocks_of_weights)
    scale = max(np.nanmax(np.abs(g)) for g in wanted)
    for g, w in zip(found, wanted, strict=True):
        there = ~np.isnan(w)
        np.testing.assert_allclose(g[there], w[there], rtol=2e-4, atol=2e-5 * scale)
        assert np.any(w[there])


@EACH
def test_node_perturbation_is_its_definition(name):
    """Perturbations are those of the drives, changes of loss those that were observed."""
    chip, data = made(name, "gaussian:sigma=1e-3", samples=6)
    learner = learners.get("np:samples=2,sigma=0.01")
    state = learner.init(chip.network)
    drives = learner.drives(state, len(data.inputs))
    observations = chip.passes(data, drives, training=True)
    found, _ = learner.update(state, observations)
    changes = naive.told([o.loss for o in observations])
    drawn = [[np.asarray(p, float) for p in drive.perturbations] for drive in drives[1:]]
    signals = naive.node_perturbation(changes, drawn, 0.01)
    for layer, (g, signal) in enumerate(zip(found, signals, strict=True)):
        x = np.asarray(observations[0].inputs[layer], float)
        projected = signal.reshape(len(signal), -1, signal.shape[-1])
        if chip.network.norms[layer]:
            continue  # what statistics leave of signals is compared by learning rules' own tests
        wanted = np.einsum("bpo,bpi->oi", projected, x.reshape(len(x), -1, x.shape[-1])) / len(x)
        held = chip.network.blocks_of_weights[layer]
        wanted = wanted if held is None else wanted * held
        np.testing.assert_allclose(g, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@EACH
@pytest.mark.parametrize("device", ["gaussian", "crossbar:tile_rows=7,tile_columns=3,read_noise=0.02"])
def test_chips_side_by_side_have_the_bits_of_each_by_itself(name, device):
    layers, seeds = branching.NETS[name], [5, 9]
    several = Chip(layers, device, "tanh", seed=seeds, chips=2)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 6, several.network.sizes[0])).astype(np.float32)
    together = several.passes(x.reshape(12, -1), [Drive(), Drive()], training=True)
    for m, seed in enumerate(seeds):
        alone = Chip(layers, device, "tanh", seed=seed).passes(x[m], [Drive(), Drive()], training=True)
        for one, all_ in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one.output, all_.output.reshape(2, 6, -1)[m])
            for a, b in zip(one.activities, all_.activities, strict=True):
                np.testing.assert_array_equal(a, b.reshape(2, 6, *a.shape[1:])[m])


@pytest.mark.parametrize("name", ["residual", "nested", "gate", "wired", "ends in softmax"])
def test_a_batch_in_chunks_gives_the_bits_of_the_whole(name):
    chips = [Chip(branching.NETS[name], "crossbar:read_noise=0.02", "tanh", seed=4) for _ in range(2)]
    x = np.random.default_rng(3).standard_normal((1300, chips[0].network.sizes[0])).astype(np.float32)
    for chip in chips:
        chip.calibrate(x[:64])
    drives = [Drive(), Drive()]
    whole = chips[0].passes(x, drives)
    parts = [chips[1].passes(x[:512], drives), chips[1].passes(x[512:], drives, first_sample=512)]
    for k in range(2):
        np.testing.assert_array_equal(whole[k].output, np.concatenate([part[k].output for part in parts]))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([8, "residual([7])", "residual([8], [9])", 3], r"residual\(\[dense\(7"),
        ([(2, 8, 8), "conv(4, 3)", "residual([conv(4, 3)])", 3], r"residual\(\[conv\(4, 3.*alike"),
        ([(2, 8, 8), "conv(4, 3)", "residual([conv(5, 3, padding=1)])", 3], r"residual.*4 channels"),
        ([(2, 8, 8), "concat([conv(4, 3)], [conv(4, 1)])", 3], r"concat.*positions differ"),
        ([(2, 8, 8), "multiply([conv(4, 3)], [conv(4, 1)])", 3], r"multiply.*must be alike"),
        ([(2, 8, 8), "concat([conv(4, 3)], [residual([conv(3, 3)])])", 3], r"residual\(\[conv\(3, 3\)\]\) adds"),
        ([(2, 8, 8), "conv(4, 3)", "pool(7)", 3], r"pool\(7\) does not fit the 6 x 6"),
        ([(2, 8, 8), "conv(4, 3)", "average_pool(7)", 3], r"average_pool\(size=7\) does not fit"),
        ([8, "average_pool()", 3], r"average_pool\(\) must follow"),
        ([8, "concat()", 3], "needs a branch"),
        ([8, "a = 5", "b = 5(c)", 3], "cannot read"),
        ([8, "a = 5", "add()(a, b)", 3], r"unknown layer's name 'b'"),
        ([8, "a = 5", "a = 5", 3], "two layers are called 'a'"),
        ([8, "a = 5", "b = dense(6)(input)", "add()(a, b)", 3], r"add\(\)\(a, b\) adds 5 units and 6"),
        ([8, "a = 5", "dense(5)(a, input)", 3], "dense sees one layer, not 2"),
        ([8, "a = 5", "b = dense(4)(input)", 3], "nothing sees what dense"),
        ([8, "a = 6", "matmul(1, 2, 2, 2)(a, input)", 3], "its matrices do not fit"),
        ([8, "a = 6", "matmul(1, 2, 3, 2)(a)", 3], "needs the names of two layers"),
        ([8, 5, "add()", 3], r"add\(\) needs the names of two layers"),
        ([(2, 8, 8), "conv(4, 3)", "group_norm(3)", 3], r"group_norm\(3\) does not divide the 4 channels"),
        ([8, "affine([1, 2, 3])", 3], "affine has 3 numbers for 8 units"),
        ([8, "take([8])", 3], "asks for place 8 of the 8 values"),
        ([8, "residual([5], [5])", "batch_norm()", 3], r"batch_norm\(\) must stand directly behind"),
        ([8, 5, "output()", 3], r"output\(\) must be the last"),
        ([8, "residual([5, output()])", 3], r"output\(\) must be the last"),
        ([8, "multiply([8])", 3], "needs two branches"),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_the_layer(layers, message):
    with pytest.raises((ValueError, TypeError), match=message):
        architecture(layers)


def test_pooling_and_normalisation_stay_in_their_block_within_branches():
    net = architecture([(1, 8, 8), "residual([conv(2, 3, padding=1), batch_norm(), pool(2)], [conv(2, 2, 2)])", 3])
    assert (net.blocks[0].norm, net.blocks[0].pool) == (batch_norm(), pool(2))
    assert net.activations == ["linear", "linear", "linear"]
    assert net.blocks[1].product == conv(2, 2, 2, activation="linear")
