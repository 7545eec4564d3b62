"""Chips that carry convolutional networks against naive.py: passes, batch norm, dropout, costs, memory, bits.

As in test_devices.py: cells, ranges and keys are read from behind the boundary; chips without converters are
compared tightly through all layers, chips with them a layer at a time on what was observed below, where a value near
the middle between two codes may be one step off.
"""

import numpy as np
import pytest

from noisysim import Chip, batch_norm, conv, dense, devices, dropout, flatten, learners, pool
from noisysim.chip.chip import restore, snapshot
from noisysim.compute import execution, losses, seeding
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.observation import Batch, Drive
from noisysim.networks import tiling

import cell_device as cells
import memory
import networks

naive, deep, strided, bare = networks.naive, networks.deep, networks.strided, networks.bare

EDGE = 1e-3
DEVICES = ["ideal", "gaussian", "crossbar:tile_rows=5"]
# cells read one by one, states, lines and converters of their own; and arrays that share a weight's bits
KINDS = {
    "cells": devices.get(cells.__file__, **cells.KINDS["pulsed pairs"], adc_range=4.0),
    "slices": devices.get(cells.__file__, **cells.KINDS["slices"], adc_range=4.0),
}


class Inside:
    """What the definition needs of a chip, in float64: read from behind the boundary at this moment."""

    def __init__(self, chip, net):
        hidden, own = chip._hidden, chip.network
        arrays = hidden.arrays
        self.device, self.net, self.bias, self.inject = chip.device, net, own.bias, chip.inject
        self.cuts = [naive.tiles(shape[1], own.tile_rows) for shape in net.shapes(own.bias)]
        self.weights = [np.asarray(w, float) for w in arrays.weight_arrays()]
        self.rotations = [np.asarray(r, float) for r in hidden.rotations]
        ranges = iter(hidden.ranges[0].tolist())
        self.ranges = [[next(ranges) for _ in cut] for cut in self.cuts]
        self.keys, self.next_pass = {p: keys[0] for p, keys in hidden.keys.items()}, hidden.next_pass
        self.variances = None
        if arrays.has_cells:
            self.variances, at = [], 0
            for (n_out, n_in), k in zip(net.shapes(own.bias), net.fan_in, strict=True):
                cells = arrays.now[:, at : at + n_out * n_in].reshape(2, n_out, n_in).astype(float)
                self.variances.append(naive.variances_of(cells, k, self.device))
                at += n_out * n_in

    def convert(self):
        """The DAC, if there is one."""
        bits = getattr(self.device, "dac_bits", 0)
        return (lambda x: naive.dac(x, bits, self.device.dac_range)) if bits else None

    def read(self, number, near=None):
        """What a read of pass `number` makes of a line; `near` collects where its ADC was close to an edge."""
        name, d = devices.name_of(self.device), self.device

        def draws(line, layer, tile):  # lines have a row a sample and position, draws a row a sample
            shape = (line.size // int(np.prod(self.net.lines[layer])), *self.net.lines[layer])
            drawn = naive.normal_samples(shape, number, naive.stream(naive.NORMAL, layer, tile), self.keys["noise"])
            return drawn.reshape(line.shape)

        def gaussian(line, energy, layer, tile):
            return naive.gaussian_read(line, draws(line, layer, tile), d.sigma)

        def crossbar(line, energy, layer, tile):
            full, z = self.ranges[layer][tile], draws(line, layer, tile)
            if near is not None:
                near.append(near_edge(naive.crossbar_read(line, energy, z, d.line_noise, 0, full), full, d.adc_bits))
            return naive.crossbar_read(line, energy, z, d.line_noise, d.adc_bits, full)

        return {"ideal": naive.exact, "gaussian": gaussian, "crossbar": crossbar}[name]

    def how(self, number, drive=None):
        """What `naive.forward` takes of a pass."""
        return {
            "rotations": self.rotations, "bias": self.bias, "convert": self.convert(), "cuts": self.cuts,
            "read": self.read(number), "variances": self.variances, "inject": self.inject, **added(drive or Drive()),
        }  # fmt: skip

    def forward(self, x, number, seen, drive=None):
        """A whole pass."""
        return naive.forward(x.astype(float), self.weights, seen, **self.how(number, drive))

    def learning(self, x, seen, drive=None):
        """The layers as the first pass of a learner's call normalises them."""
        how = self.how(self.next_pass, drive)
        return naive.settled(x.astype(float), self.weights, seen, self.net.epsilons, **how)

    def layer(self, observation, layer, x, number, drive):
        """One layer of a pass from the activities observed below it, and the read of what it was observed to be driven
        with, a row a sample and position: ((inputs, near an edge), (activities, near an edge))."""
        seen, parts = self.net.seen(observation.norms, observation.masks), added(drive)
        below = [a.astype(float) for a in observation.activities[:layer]]
        source = naive.unfold(seen[layer], naive.hidden_output(x.astype(float), below, seen, parts["outputs"]))
        source = rows_of(source if not self.rotations else naive.turned(self.rotations[layer], source))
        driven, bits = naive.drive(source, None, self.bias, self.convert()), self.device.dac_bits
        scales = self.device.dac_range or np.abs(source).max(axis=1, keepdims=True)
        near_driven = np.zeros(driven.shape, bool)
        near_driven[:, : source.shape[1]] = near_edge(source, scales, bits)
        near, given = [], rows_of(observation.inputs[layer].astype(float))
        perturbation = parts["perturbations"] and parts["perturbations"][layer]
        if parts["beside"] and parts["beside"][layer] is not None:
            perturbation = given @ parts["beside"][layer].T
        read = naive.read_layer(
            given, self.weights[layer], layer, self.cuts[layer], self.read(number, near), self.variances[layer],
            None if perturbation is None else rows_of(perturbation), self.inject,
        )  # fmt: skip
        return (driven, near_driven), (read, np.any(near, axis=0))

    def steps(self, layer):
        """The coarsest step of a layer's ADCs."""
        return max(naive.step(full, self.device.adc_bits) for full in self.ranges[layer])


def rows_of(x):
    return x.reshape(-1, x.shape[-1])


def added(drive):
    """What a drive adds, as the definition's keyword arguments."""
    parts = {"perturbations": drive.perturbations, "outputs": drive.outputs, "beside": drive.weights}
    return {name: [None if p is None else p.astype(float) for p in part] or None for name, part in parts.items()}


def close(one, other, rtol=2e-5):
    assert np.shape(one) == np.shape(other)
    np.testing.assert_allclose(np.asarray(one, float), other, rtol=0, atol=rtol * np.max(np.abs(other)))


def near_edge(v, full_scale, bits):
    """Whether a value lies so close to the middle between two codes that float32 may round it to either."""
    codes = np.clip(v / np.maximum(full_scale, 1e-30), -1, 1) * (2 ** (bits - 1) - 1)
    return np.abs(np.abs(codes - np.floor(codes)) - 0.5) < EDGE


def close_but_for_flips(one, other, step, near):
    """Tightly equal, but for values near an edge, which may be one step off."""
    difference, tight = np.abs(np.asarray(one, float) - other), 1e-5 * np.max(np.abs(other))
    assert np.all(difference <= np.where(near, 1.001 * step, 0) + tight)


def make(net, device="ideal", bias=False, decorrelated=False, seed=3, **options):
    """A chip whose biases, weights and decorrelation matrices have moved from where they started."""
    rng = np.random.default_rng(seed)
    chip = Chip(net.layers, device, net.activation, decorrelated, seed, bias=bias, **options)
    chip.program([0.1 * rng.standard_normal(s).astype(np.float32) for s in net.shapes(bias)])
    for _ in range(2 * decorrelated):
        chip.decorrelate([rng.standard_normal((5, *s)).astype(np.float32) for s in net.columns(bias)], 0.05)
    return chip, rng


def images(net, rng, batch):
    return rng.standard_normal((batch, net.inputs)).astype(np.float32)


def some_drives(net, rng, batch, bias=False, size=0.2):
    """None; on lines: all, the last, a middle layer's; on outputs: all, and one with lines; on weights: all, and one
    layer's beside lines and outputs elsewhere."""
    depth = len(net.units)

    def drawn(shapes):
        return [(size * rng.standard_normal(s)).astype(np.float32) for s in shapes]

    p, u = (drawn([(batch, *s) for s in shapes]) for shapes in (net.lines, net.outputs))
    v, nothing = drawn(net.shapes(bias)), [None] * depth
    hidden = [*u[:-1], None]
    return [
        Drive(),
        Drive(p),
        Drive([*nothing[:-1], p[-1]]),
        Drive([None, p[1], *nothing[2:]]),
        Drive(outputs=hidden),
        Drive([p[0], *nothing[1:]], [u[0], *nothing[1:]]),
        Drive(weights=v),
        Drive([p[0], *nothing[1:]], [u[0], *nothing[1:]], [None, v[1], *nothing[2:]]),
    ]


# --- passes ---------------------------------------------------------------------------------------------------------

UNQUANTISED = ["ideal", "gaussian:sigma=0.05", "crossbar:dac_bits=0,adc_bits=0,tile_rows=5,read_noise=0.1"]
CASES = [  # network, batch, bias, decorrelated, inject, training
    (deep(), 1, True, True, "line", True),
    (deep(), 11, True, False, "digital", True),
    (deep(), 3, False, True, "digital", False),
    (strided(), 11, True, True, "line", True),
    (deep("bell", "bell"), 5, True, True, "line", True),
    (strided("bell"), 11, False, False, "digital", True),
]


@pytest.mark.parametrize(
    ("device", "net", "batch", "bias", "decorrelated", "inject", "training"),
    [(device, *case) for device in UNQUANTISED for case in CASES] + [("ideal", bare(), 11, True, True, "line", False)],
)
def test_whole_pass_without_converters(device, net, batch, bias, decorrelated, inject, training, monkeypatch):
    """In blocks of four samples at most."""
    monkeypatch.setattr(tiling, "BLOCK_VALUES", 4 * max(int(np.prod(s)) for s in net.columns(bias)))
    chip, rng = make(net, device, bias, decorrelated, inject=inject)
    assert chip.network.stages(False)[0].rows == 4
    x = images(net, rng, batch)
    chip.calibrate(x)
    inside, drives = Inside(chip, net), some_drives(net, rng, batch, bias)
    running = chip.forward(x[:1]).norms
    inside.next_pass += 1
    masks = net.masks(batch, inside.next_pass, inside.keys["dropout"]) if training else []
    observations, seen = chip.passes(x, drives, training=training), net.seen(running, masks)
    if training and batch > 1:  # one sample has no statistics of its own
        seen = inside.learning(x, seen, drives[0])
    for k, (drive, observation) in enumerate(zip(drives, observations, strict=True)):
        for layer in net.normed:
            close(observation.norms[layer], np.array(seen[layer].norm))
        inputs, activities = inside.forward(x, inside.next_pass + k, seen, drive)
        for layer in range(len(net.units)):
            close(observation.inputs[layer], inputs[layer])
            close(observation.activities[layer], activities[layer])
        assert observation.output is observation.activities[-1]
        assert observation.loss is None


def test_more_than_a_block_of_samples():
    """As blocks are cut of themselves."""
    net, batch = strided(), BLOCK_ROWS + 5
    chip, rng = make(net, "gaussian:sigma=0.05", True, True)
    assert chip.network.stages(False)[0].rows == BLOCK_ROWS
    x = images(net, rng, batch)
    inside, drive = Inside(chip, net), some_drives(net, rng, batch)[1]
    observation = chip.passes(x, [Drive(), drive], training=True)[1]
    masks = net.masks(batch, inside.next_pass, inside.keys["dropout"])
    inputs, activities = inside.forward(x, inside.next_pass + 1, net.seen([], masks), drive)
    for layer in range(2):
        close(observation.inputs[layer], inputs[layer])
        close(observation.activities[layer], activities[layer])


QUANTISED = ["crossbar", "crossbar:tile_rows=5,dac_range=1.5,adc_range=2,dac_bits=5,adc_bits=4"]


@pytest.mark.parametrize(("net", "batch", "bias", "decorrelated", "inject", "training"), CASES)
@pytest.mark.parametrize("device", QUANTISED)
def test_every_layer_with_converters(device, net, batch, bias, decorrelated, inject, training):
    """Every patch is a row of the DAC's; of equal lines pooling takes the first, which changes no output."""
    chip, rng = make(net, device, bias, decorrelated, inject=inject)
    x = images(net, rng, batch)
    chip.calibrate(x)
    inside, drives = Inside(chip, net), some_drives(net, rng, batch, bias)
    observations, edges = chip.passes(x, drives, training=training), []
    for k, (drive, observation) in enumerate(zip(drives, observations, strict=True)):
        for layer in range(len(net.units)):
            (driven, near_in), (read, near_out) = inside.layer(observation, layer, x, inside.next_pass + k, drive)
            scale = chip.device.dac_range or np.abs(driven).max(axis=1, keepdims=True)
            step = naive.step(scale, chip.device.dac_bits)
            close_but_for_flips(rows_of(observation.inputs[layer]), driven, step, near_in)
            close_but_for_flips(rows_of(observation.activities[layer]), read, inside.steps(layer), near_out)
            edges.append(near_out.mean())
    assert np.mean(edges) < 10 * EDGE + 1 / batch


@pytest.mark.parametrize("first", [0, 1, 4, 6])
@pytest.mark.parametrize("device", DEVICES)
def test_passes_of_one_call_are_the_passes_of_as_many_calls(device, first):
    """Whatever the first of them is, from which the others part: they share products, and draw the same noise."""
    net = deep()
    (chip, rng), (twin, _) = (make(net, device, True, True) for _ in range(2))
    x, drives = images(net, rng, 7), some_drives(net, rng, 7, True)
    drives = drives[first:] + drives[:first] + [Drive()]
    for together, drive in zip(chip.passes(x, drives), drives, strict=True):
        alone = twin.forward(x, drive)
        for a, b in zip([*together.inputs, *together.activities], [*alone.inputs, *alone.activities], strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(chip.forward(x).output, twin.forward(x).output)  # no draw is used twice


@pytest.mark.parametrize("first", [0, 1, 4, 6])
@pytest.mark.parametrize("device", DEVICES)
def test_inputs_of_perturbed_passes_can_be_left_out(device, first):
    """Which changes nothing else."""
    net = deep()
    (chip, rng), (twin, _) = (make(net, device, True, True) for _ in range(2))
    x, drives = images(net, rng, 7), some_drives(net, rng, 7, True)
    drives, out = drives[first:] + drives[:first], None
    for scale in (1, 2):
        whole = chip.passes(scale * x, drives, training=True)
        out = twin.passes(scale * x, drives, out, training=True, inputs_of="first")
        for a, b in zip(whole, out, strict=True):
            for one, other in zip(a.activities, b.activities, strict=True):
                np.testing.assert_array_equal(one, other)
        for one, other in zip(whole[0].inputs, out[0].inputs, strict=True):
            np.testing.assert_array_equal(one, other)
        assert [len(o.inputs) for o in out] == [4] + [0] * (len(drives) - 1)


@pytest.mark.parametrize("device", [*DEVICES, "crossbar:dac_bits=4,adc_bits=4", KINDS["cells"]])
def test_a_kernel_as_large_as_the_image_is_a_dense_layer(device):
    found = []
    for layers in ([(1, 4, 4), conv(6, 4), dense(5), 3], [16, 6, 5, 3]):
        chip = Chip(layers, device, seed=4, bias=True)
        x = np.random.default_rng(0).standard_normal((9, 16)).astype(np.float32)
        chip.wait(100.0)
        found.append(chip.passes(x, [Drive(), Drive()]))
    for a, b in zip(*found, strict=True):
        for layer in range(3):
            np.testing.assert_array_equal(a.inputs[layer].reshape(9, -1), b.inputs[layer])
            np.testing.assert_array_equal(a.activities[layer].reshape(9, -1), b.activities[layer])


# lines' noise is drawn sample by sample: next to none of it, in the loops of noisy lines
QUIET = {"line_noise": 1e-9, "read_noise": 1e-9, "floor": 1e-9}
PIXELS = {
    "ideal": devices.get("ideal"),
    "crossbar": devices.get("crossbar", tile_rows=2, adc_range=2, line_noise=0, read_noise=0),
    "cells": KINDS["cells"]._replace(line_noise=1e-9, read_time=0.0),  # a sample has more reads here
    "slices": KINDS["slices"]._replace(**QUIET),
}


@pytest.mark.parametrize("device", PIXELS.values(), ids=PIXELS)
def test_a_kernel_of_one_pixel_is_a_dense_layer_of_every_pixel(device):
    """Position p of sample b is row 8 b + p, also of the noise where every cell is read by itself."""
    x = np.random.default_rng(0).standard_normal((5, 3, 2, 4)).astype(np.float32)
    one = Chip([(3, 2, 4), conv(6, 1), 2], device, seed=4).forward(x.reshape(5, -1))
    other = Chip([3, 6, 2], device, seed=4).forward(x.transpose(0, 2, 3, 1).reshape(40, 3))
    assert (one.inputs[0].shape, one.activities[0].shape) == ((5, 8, 3), (5, 8, 6))
    close(rows_of(one.inputs[0]), other.inputs[0], 1e-6)
    close(rows_of(one.activities[0]), other.activities[0], 1e-6)


def test_inputs_of_the_network_come_channel_first_and_a_dense_layer_sees_channels_fastest():
    chip = Chip([(2, 2, 3), conv(2, 1), 2], "ideal")
    weights = [np.zeros(s, np.float32) for s in chip.network.shapes]
    first, _ = (o.copy() for o in chip._hidden.arrays.weight_arrays())
    weights[0] = np.eye(2, dtype=np.float32) - first
    chip.program(weights)
    x = np.arange(12, dtype=np.float32)[None]  # which the activation function leaves as it is
    observation = chip.forward(x)
    np.testing.assert_allclose(observation.inputs[1][0], x.reshape(2, 6).T.ravel(), atol=1e-5)


# --- batch norm -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["ideal", "gaussian:sigma=0.05"])
def test_calibration_sets_the_statistics_from_the_lowest_layer_up(device):
    net = deep()
    chip, rng = make(net, device, True, True)
    inside, x, norms = Inside(chip, net), images(net, rng, 8), [None] * 4
    chip.calibrate(x)
    for k, layer in enumerate(net.normed):
        stand_in = [(0.0, 1.0) if n in net.normed and norms[n] is None else norms[n] for n in range(4)]
        _, activities = inside.forward(x, inside.next_pass + k, net.seen(stand_in))
        norms[layer] = naive.norm_of(*naive.running_statistics([activities[layer]], 0.1), 1e-5)
    observation = chip.forward(x)
    assert [n is not None for n in observation.norms] == [True, False, True, False]
    for layer in net.normed:
        assert observation.norms[layer].dtype == np.float32
        close(observation.norms[layer], np.array(norms[layer]))
    assert observation.masks == [] == Chip(net.layers, "ideal").forward(x).masks  # nothing drops but in training


def test_a_chip_calibrates_its_statistics_on_its_first_pass():
    net = deep()
    (chip, rng), (twin, _) = make(net), make(net)
    x = images(net, rng, 8)
    twin.calibrate(x)
    np.testing.assert_array_equal(chip.forward(x).output, twin.forward(x).output)
    with chip.aside():
        chip.forward(5 * x)
    (other, _), (third, _) = make(net), make(net)
    with other.aside():
        other.forward(5 * x)
    np.testing.assert_array_equal(other.forward(x).output, third.forward(x).output)


def test_statistics_follow_what_passes_observed_and_are_constant_between():
    net = deep()
    layers = [batch_norm(0.3, 1e-3) if k == 2 else one for k, one in enumerate(net.layers)]  # the other's stay
    chip = Chip(layers, "ideal", seed=2)
    rng = np.random.default_rng(1)
    x = images(net, rng, 8)
    first = chip.forward(x)
    seen = [[first.activities[layer]] for layer in net.normed]
    kinds = (0.3, 1e-3), (0.1, 1e-5)
    for samples in (6, 40, 1, 2):  # the third is a last batch that is short
        activities = [(2 * rng.standard_normal((samples, *s)) + 1).astype(np.float32) for s in net.lines]
        before = chip.forward(x)
        chip.track(activities)
        for k, (rate, epsilon) in enumerate(kinds):
            layer = net.normed[k]
            close(before.norms[layer], np.array(naive.norm_of(*naive.running_statistics(seen[k], rate), epsilon)))
            seen[k].append(activities[layer])
    after = chip.passes(x, [Drive(), Drive()])
    for k, (rate, epsilon) in enumerate(kinds):
        for observation in after:
            expected = naive.norm_of(*naive.running_statistics(seen[k], rate), epsilon)
            close(observation.norms[net.normed[k]], np.array(expected))


@pytest.mark.parametrize("device", ["ideal", "gaussian:sigma=0.05"])
def test_while_learning_the_batchs_own_statistics_count_as_the_first_pass_has_them(device):
    """Whatever drives it; passes move no running statistics, and a single sample has none of its own."""
    net = deep()
    chip, rng = make(net, device, True)
    x = images(net, rng, 8)
    running = [n if n is None else n.copy() for n in chip.forward(x).norms]
    inside, drives = Inside(chip, net), some_drives(net, rng, 8, True)
    observed = chip.passes(x, [drives[1], Drive()], training=True)
    masks = net.masks(8, inside.next_pass, inside.keys["dropout"])
    seen = inside.learning(x, net.seen([], masks), drives[1])
    for observation in observed:
        assert observation.norms_of_batch
        for layer in net.normed:
            assert observation.norms[layer].dtype == np.float32
            close(observation.norms[layer], np.array(seen[layer].norm))
    alone = chip.passes(x[:1], [Drive()], training=True)[0]
    again = chip.forward(x)
    assert not alone.norms_of_batch
    assert not again.norms_of_batch
    for layer in net.normed:
        np.testing.assert_array_equal(alone.norms[layer], running[layer])
        np.testing.assert_array_equal(again.norms[layer], running[layer])


def test_a_unit_that_never_varies_is_no_trouble():
    chip = Chip([(1, 4, 4), conv(3, 3), batch_norm(), 2], "ideal", init="zero")
    x = np.ones((4, 16), np.float32)
    assert np.isfinite(chip.forward(x).output).all()
    assert np.isfinite(chip.passes(x, [Drive()], training=True)[0].output).all()


# --- dropout --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_dropout(device):
    """The same in all passes of a call, anew in the next, and of the rate asked for at 5 standard errors."""
    net, batch = deep(), 300
    chip, rng = make(net, device)
    x = images(net, rng, batch)
    chip.calibrate(x)
    calls = []
    for _ in range(2):
        inside = Inside(chip, net)
        observations = chip.passes(x, [Drive(), Drive()], training=True)
        expected = net.masks(batch, inside.next_pass, inside.keys["dropout"])
        for observation in observations:
            for mask, wanted in zip(observation.masks, expected, strict=True):
                assert (mask is None) == (wanted is None)
                if mask is not None:
                    assert mask.dtype == np.float32
                    np.testing.assert_allclose(mask, wanted, rtol=1e-6)
        calls.append(observations[0].masks)
    for layer, rate in enumerate(net.drops):
        if rate:
            one, other = (masks[layer] for masks in calls)
            assert abs(np.mean(one == 0) - rate) < 5 * np.sqrt(rate * (1 - rate) / one.size)
            assert not np.array_equal(one, other)
            assert not np.array_equal(one[0], one[1])


def test_observations_without_dropout_or_batch_norm_hold_neither():
    net = bare()
    chip, rng = make(net)
    observation = chip.passes(images(net, rng, 2), [Drive()], training=True)[0]
    assert not any(n is not None for n in observation.norms)
    assert not any(m is not None for m in observation.masks)


# --- bits -----------------------------------------------------------------------------------------------------------


def data_for(net, rng, batch):
    targets = np.eye(net.units[-1], dtype=np.float32)[rng.integers(0, net.units[-1], batch)]
    return Batch(images(net, rng, batch), targets, losses.get("cce"))


def steps(chip, learner, state, net, count, batch=40, first=0):
    """The bits of as many updates."""
    bits = []
    for number in range(first, first + count):
        data = data_for(net, np.random.default_rng(number), batch)
        observations = chip.passes(data, learner.drives(state, batch), training=True)
        gradients, _ = learner.update(state, observations, oracle=chip.oracle(data))
        chip.program([np.float32(-0.05) * g for g in gradients])
        chip.decorrelate(observations[0].inputs, 0.01)
        chip.track(observations[0].activities)
        seen = [a for o in observations for a in (*o.inputs, *o.activities, o.loss)]
        noted = [a for a in (*observations[0].norms, *observations[0].masks) if a is not None]
        bits += [np.ascontiguousarray(a).tobytes() for a in (*seen, *noted, *gradients, *snapshot(chip).values())]
    return bits


def a_learner(name, chip, seed=2):
    learner = learners.get(name)
    return learner, learner.init(chip.network, seed=seed, offers=chip.offers, floor=0.05)


@pytest.mark.parametrize(
    ("name", "device"),
    [("danp", "crossbar"), ("dbp", "ideal"), ("dcanp", "ideal"), ("dinp", "gaussian"), ("fg-a", "ideal"),
     ("learned-fa", "ideal"), ("fdfa", "crossbar"), ("lg-fg-a", "ideal")],
)  # fmt: skip
def test_the_bits_do_not_depend_on_the_threads(name, device, monkeypatch):
    monkeypatch.setattr(execution, "SERIAL_FLOPS", 0)
    monkeypatch.setattr(tiling, "BLOCK_VALUES", 1 << 12)
    net, found = deep(), []
    for count in (1, 2):
        with execution.threads(count):
            chip, _ = make(net, device, True, True, oracle=True)
            assert chip.network.stages(False)[0].rows == 5
            found.append(steps(chip, *a_learner(name, chip), net, 2))
    assert found[0] == found[1]


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_a_restored_chip_goes_on_with_the_same_bits(device):
    net = deep()
    (chip, _), (other, _) = (make(net, device, True, True, oracle=True) for _ in range(2))
    learner, state = a_learner("danp", chip)
    steps(chip, learner, state, net, 2)
    kept = snapshot(chip)
    expected = steps(chip, learner, state, net, 2, first=2)
    restore(other, kept)
    _, again = a_learner("danp", other)
    again.step = 2
    assert steps(other, learner, again, net, 2, first=2) == expected
    with pytest.raises(ValueError, match="shape"):
        restore(make(strided(), device, True, True)[0], kept)


@pytest.mark.parametrize("device", ["ideal", "crossbar", KINDS["cells"]], ids=["ideal", "crossbar", "cells"])
def test_a_batch_in_chunks_is_the_batch(device):
    """Noise, dropout and products: at multiples of 512 samples."""
    net, rows = strided(), 2 * BLOCK_ROWS + 3
    (chip, rng), (twin, _) = (make(net, device, True, True) for _ in range(2))
    x, drives = images(net, rng, rows), [Drive(), Drive()]
    for one in (chip, twin):
        one.calibrate(x[:20])
    whole = chip.passes(x, drives, training=True)
    for start in range(0, rows, BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        for a, b in zip(whole, twin.passes(x[part], drives, first_sample=start, training=True), strict=True):
            for layer in range(2):
                np.testing.assert_array_equal(a.inputs[layer][part], b.inputs[layer])
                np.testing.assert_array_equal(a.activities[layer][part], b.activities[layer])
            np.testing.assert_array_equal(a.masks[0][part], b.masks[0])
    np.testing.assert_array_equal(chip.forward(x[:4]).output, twin.forward(x[:4]).output)
    assert chip.cost.as_dict() == twin.cost.as_dict()


# --- memory ---------------------------------------------------------------------------------------------------------


def everything(observation):
    return [*observation.inputs, *observation.activities, observation.output, *observation.norms, *observation.masks]


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_observations_own_their_memory(device):
    net = deep()
    chip, rng = make(net, device, True, True)
    data = data_for(net, rng, 6)
    observed = chip.passes(data, some_drives(net, rng, 6, True), training=True)
    work = memory.arrays(memory.reachable(execution._local.__dict__))
    inside = memory.arrays(memory.reachable(chip))
    for one in observed:
        found = memory.arrays(memory.reachable(one))
        assert not memory.sharing(found, inside)
        assert not memory.sharing(found, work)
        assert not memory.sharing(found, [data.inputs, data.targets])
    before = [[None if a is None else a.copy() for a in everything(one)] for one in observed]
    chip.track([3 * a for a in observed[0].activities])
    chip.decorrelate(observed[0].inputs, 0.1)
    chip.program([np.ones(s, np.float32) for s in net.shapes(True)])
    chip.passes(data, [Drive()] * 3, training=True)
    for one, kept in zip(observed, before, strict=True):
        for a, b in zip(everything(one), kept, strict=True):
            np.testing.assert_array_equal(a, b)


def test_observations_given_back_are_overwritten():
    net = deep()
    (chip, rng), (twin, _) = make(net), make(net)
    x, drives = images(net, rng, 5), [Drive(), Drive()]
    out = chip.passes(x, drives, training=True)
    twin.passes(x, drives, training=True)
    kept = out[0].output
    again, expected = chip.passes(2 * x, drives, out, training=True), twin.passes(2 * x, drives, training=True)
    assert again is out
    assert again[0].output is kept
    for a, b in zip(everything(again[1]), everything(expected[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    plain = chip.passes(2 * x, drives, out)  # these masks would be wrong
    assert plain[0].masks == []
    np.testing.assert_array_equal(plain[0].output, twin.passes(2 * x, drives)[0].output)


# --- weights and costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["he", "he-uniform", "uniform", "glorot", "zero"])
def test_initial_weights_are_those_of_the_definition(law):
    """Of a patch's inputs; Glorot & Bengio's law also asks how many products an input goes into: kernel^2 channels."""
    net = deep()
    chip = Chip(net.layers, "ideal", seed=6, bias=True, init=law)
    for layer, (weights, k, n) in enumerate(zip(Inside(chip, net).weights, net.fan_in, net.units, strict=True)):
        kernel = net.blocks[layer].kernel or 1
        expected = naive.initial_weights(law, k, n, layer, seeding.key(6, "chip/weights"))
        ratio = naive.initial_law(law, k, n * kernel**2)[1] / max(naive.initial_law(law, k, n)[1], 1e-30)
        np.testing.assert_allclose(weights[:, :k], ratio * expected, rtol=1e-5, atol=1e-6)
        assert not weights[:, k:].any()


def test_normalisation_resets_every_channels_rms():
    net = deep()
    chip, _ = make(net, bias=True)
    before = Inside(chip, net).weights
    chip.normalise()
    for old, new, k in zip(before, Inside(chip, net).weights, net.fan_in, strict=True):
        np.testing.assert_allclose(new, naive.normalised(old, k), rtol=1e-5, atol=1e-7)


def test_costs_are_counted_at_every_position():
    device = "crossbar:controller=copy,tile_rows=3,tile_columns=2,adc_range=1"
    chip = Chip([(1, 4, 4), conv(2, 2, stride=2), 3], device, bias=True)
    x = np.ones((5, 16), np.float32)
    chip.passes(x, [Drive(), Drive()])
    # layer 1: 4 positions, 5 rows in 2 tiles, 2 columns in 1; layer 2: 9 rows in 3 tiles, 3 columns in 2
    products = 4 * 2 * 1 + 3 * 2
    assert chip.cost.as_dict() == {
        "passes": 2,
        "samples": 10,
        "mvms": 10 * products,
        "dac_conversions": 10 * (4 * 5 * 1 + 9 * 2),
        "adc_conversions": 10 * (4 * 2 * 2 + 3 * 3),
        "updates": 0,
        "cells_programmed": 0,
        "cells_written_at_start": 2 * (5 * 2 + 9 * 3),
        "pulses": 0,
        "cells_read": 0,
        "controller_bytes": 4 * (5 * 2 + 9 * 3),
        "analog_macs": 10 * (4 * 5 * 2 + 9 * 3),
        "decorrelation_macs": 0,
        "adaptation_macs": 0,
        "decorrelation_bytes": 0,
        "perturbation_conversions": 0,
        "layer_macs": 0,
        "layer_bytes": 0,
    }
    chip.forward(x, Drive(weights=[np.zeros((2, 5), np.float32), None]))
    assert chip.cost.mvms == 10 * products + 5 * (products + 4 * 2 * 1)
    assert chip.cost.analog_macs == 15 * (4 * 5 * 2 + 9 * 3) + 5 * 4 * 5 * 2
    assert chip.cost.perturbation_conversions == 2 * 5


# --- how layers are written, and what is refused --------------------------------------------------------------------


def test_layers_can_be_texts():
    x = np.random.default_rng(0).standard_normal((3, 2 * 9 * 8)).astype(np.float32)
    ways = [
        [(2, 9, 8), conv(4, 3, 2, "same"), batch_norm(0.2), pool(2, 1), dropout(0.1), flatten(), dense(7, "tanh"), 3],
        [(2, 9, 8), "conv(4, 3, stride=2, padding=1)", "batch_norm(rate=0.2)", "pool(2, stride=1)", "dropout(0.1)",
         "flatten()", "dense(7, activation='tanh')", dense(3)],
        [[2, 9, 8], *map(repr, [conv(4, 3, 2, 1), batch_norm(0.2), pool(2, 1), dropout(0.1), dense(7, "tanh")]), "3"],
    ]  # fmt: skip
    one, *others = (Chip(way, "ideal", seed=1).passes(x, [Drive()], training=True)[0].output for way in ways)
    for other in others:
        np.testing.assert_array_equal(one, other)
    flat_image = Chip([(1, 3, 4), conv(2, 2), 2], "ideal").network.shapes
    assert flat_image == Chip([(3, 4), conv(2, 2), 2], "ideal").network.shapes


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([(1, 5, 5), conv(4, 6), 3], ("conv(4, 6)", "5")),
        ([(1, 5, 5), conv(4, 3), conv(2, 4), 3], ("conv(2, 4)", "3")),
        ([25, conv(4, 3), 3], ("conv(4, 3)",)),
        ([(1, 5, 5), 8, conv(4, 3), 3], ("conv(4, 3)",)),
        ([(1, 5, 5), 8, pool(2), 3], ("pool(2)",)),
        ([(1, 5, 5), conv(4, 3), pool(4), 3], ("pool(4)",)),
        ([(1, 5, 5), dropout(0.5), 3], ("dropout(0.5)",)),
        ([(1, 5, 5), conv(4, 3), pool(2), batch_norm(), 3], ("batch_norm()",)),
        ([(1, 5, 5), conv(4, 3), conv(3, 2)], ("last",)),
        ([(1, 5, 5), conv(4, 3), dropout(0.5)], ("last",)),
        ([(1, 5, 5), "convolution(4, 3)", 3], ("convolution", "conv")),
        ([(1, 5, 5), "conv(4, 3, strides=2)", 3], ("strides", "stride")),
        ([(1, 5, 5), "conv(4", 3], ("conv(4",)),
        ([(1, 5, 0), conv(4, 3), 3], ("(1, 5, 0)",)),
    ],
)
def test_layers_that_do_not_fit_get_one_clear_error(layers, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are checked below)
        Chip(layers, "ideal")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("make_layer", [lambda: conv(0, 3), lambda: conv(4, 2, padding="same"), lambda: conv(4, 3, -1),
                                        lambda: dropout(1.0), lambda: pool(0), lambda: batch_norm(2.0),
                                        lambda: conv(4, 3, activation="rely")])  # fmt: skip
def test_layers_refuse_what_is_out_of_range(make_layer):
    with pytest.raises(ValueError):  # noqa: PT011
        make_layer()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.forward(np.ones((2, 83))), ("inputs", "84")),
        (lambda c: c.forward(np.ones((2, 2, 7, 6))), ("inputs", "84")),
        (lambda c: c.program([np.ones((4, 18))]), ("updates",)),
        (lambda c: c.program([np.ones((4, 9)), *[np.ones(s) for s in c.network.shapes[1:]]]), ("updates",)),
        (lambda c: c.forward(np.ones((2, 84)), Drive([np.ones((2, 4)), None, None, None])), ("layer 0", "(2, 42, 4)")),
        (lambda c: c.forward(np.ones((2, 84)), Drive([np.ones((84, 4)), None, None, None])), ("layer 0", "(2, 42, 4)")),
        (lambda c: c.forward(np.ones((2, 84)), Drive(outputs=[np.ones((2, 42, 4)), *[None] * 3])), ("(2, 9, 4)",)),
        (lambda c: c.forward(np.ones((2, 84)), Drive(outputs=[*[None] * 3, np.ones((2, 3))])), ("last layer",)),
        (lambda c: c.forward(np.ones((2, 84)), Drive(weights=[None, np.ones((3, 4)), None, None])), ("(3, 16)",)),
        (lambda c: c.forward(np.ones((2, 84)), Drive([None] * 3)), ("perturbation", "4")),
        (lambda c: c.decorrelate([np.ones((2, 42, 18))], 0.1), ("decorrelate=True",)),
    ],
)
def test_wrong_shapes_get_one_clear_error(call, words):
    chip = Chip(deep().layers, "ideal")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are checked below)
        call(chip)
    for word in words:
        assert word in str(caught.value)
