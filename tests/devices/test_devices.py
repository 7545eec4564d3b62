"""Devices against naive.py: passes, converters, tiles, noise, ranges, writes, costs.

The comparison looks behind the boundary: cells, converter ranges and the noise's key are taken from `chip._hidden`,
which no learner meets. A difference of one unit in the last place can flip a whole step of a converter, so chips
without converters are compared tightly through all layers, and chips with them a layer at a time, on the inputs that
were observed: there a value may be one step off if it lay within EDGE steps of the middle between two codes before it
was rounded (2 EDGE of all values do, and those that are ties by construction), and the rest must agree tightly.
"""

from itertools import pairwise

import numpy as np
import pytest

from noisysim import Chip, devices
from noisysim.chip.chip import snapshot
from noisysim.compute import losses, seeding
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.layout import CELL_BLOCK
from noisysim.compute.observation import Batch, Drive
from noisysim.devices.physics.converters import quantise

import naive

EDGE = 1e-3
NET = (9, 13, 6, 4)
BATCHES = (1, 3, BLOCK_ROWS + 44)  # one sample; a few; more than one block of rows


class Inside:
    """What the definition needs of a chip, in float64: read from behind the boundary at this moment."""

    def __init__(self, chip):
        hidden, net = chip._hidden, chip.network
        arrays = hidden.arrays
        self.chip, self.device = chip, chip.device
        self.cuts = [naive.tiles(n, net.tile_rows) for n in net.columns]
        self.weights = [np.asarray(w, float) for w in arrays.weight_arrays()]
        self.rotations = [np.asarray(r, float) for r in hidden.rotations]
        ranges = iter(hidden.ranges[0].tolist())
        self.ranges = [[next(ranges) for _ in cut] for cut in self.cuts]
        self.key, self.next_pass = hidden.keys["noise"][0], hidden.next_pass
        self.cells, self.targets, self.variances = [], [], None
        if arrays.has_cells:
            at = 0
            for n_out, n_in in net.shapes:
                here = slice(at, at + n_out * n_in)
                self.cells.append(list(arrays.now[:, here].reshape(2, n_out, n_in).astype(float)))
                if arrays.knows_targets:
                    self.targets.append(arrays.targets[here].reshape(n_out, n_in).astype(float))
                at += n_out * n_in
            self.variances = [
                naive.variances_of(c, n, self.device) for c, n in zip(self.cells, net.sizes, strict=False)
            ]

    def convert(self):
        """The DAC, if there is one."""
        bits = getattr(self.device, "dac_bits", 0)
        return (lambda x: naive.dac(x, bits, self.device.dac_range)) if bits else None

    def read(self, number, digitise=True, near=None):
        """What a read of pass `number` makes of a line; `near` collects where its ADC was close to an edge."""
        name, d = devices.name_of(self.device), self.device

        def draws(line, layer, tile):
            return naive.normal_rows(*line.shape, number, naive.stream(naive.NORMAL, layer, tile), self.key)

        def gaussian(line, energy, layer, tile):
            return naive.gaussian_read(line, draws(line, layer, tile), d.sigma)

        def crossbar(line, energy, layer, tile):
            full = self.ranges[layer][tile]
            z = draws(line, layer, tile) if d.line_noise or d.read_noise else 0
            if near is not None:
                near.append(near_edge(naive.crossbar_read(line, energy, z, d.line_noise, 0, full), full, d.adc_bits))
            return naive.crossbar_read(line, energy, z, d.line_noise, d.adc_bits if digitise else 0, full)

        return {"ideal": naive.exact, "gaussian": gaussian, "crossbar": crossbar}[name]

    def forward(self, x, number, drive=None, inject="line"):
        """A whole pass."""
        return naive.forward(
            x.astype(float), self.weights, self.chip.network.activations[0], rotations=self.rotations,
            bias=self.chip.network.bias, convert=self.convert(), cuts=self.cuts, read=self.read(number),
            variances=self.variances, inject=inject, **added(drive or Drive()),
        )  # fmt: skip

    def layer(self, observation, layer, x, number, drive, inject="line"):
        """One layer of a pass from the activities observed below it, and the read of what it was observed to be driven
        with: ((inputs, near an edge), (activities, near an edge))."""
        parts, below = added(drive), [a.astype(float) for a in observation.activities[:layer]]
        source = naive.hidden_output(x.astype(float), below, self.chip.network.activations[0], parts["outputs"])
        source = naive.drive(source, self.rotations[layer] if self.rotations else None)
        driven, bits = naive.drive(source, None, self.chip.network.bias, self.convert()), self.device.dac_bits
        scales = self.device.dac_range or np.abs(source).max(axis=1, keepdims=True)
        near_driven = np.zeros(driven.shape, bool)
        near_driven[:, : source.shape[1]] = near_edge(source, scales, bits)
        near, given = [], observation.inputs[layer].astype(float)
        perturbation = (parts["perturbations"] or [None] * 3)[layer]
        if parts["beside"] and parts["beside"][layer] is not None:
            perturbation = given @ parts["beside"][layer].T
        read = naive.read_layer(
            given, self.weights[layer], layer, self.cuts[layer],
            self.read(number, near=near), self.variances[layer], perturbation, inject,
        )  # fmt: skip
        return (driven, near_driven), (read, np.any(near, axis=0))

    def steps(self, layer):
        """The coarsest step of a layer's ADCs."""
        return max(naive.step(full, self.device.adc_bits) for full in self.ranges[layer])


def added(drive):
    """What a drive adds, as the definition's keyword arguments."""
    parts = {"perturbations": drive.perturbations, "outputs": drive.outputs, "beside": drive.weights}
    return {name: [None if p is None else p.astype(float) for p in part] or None for name, part in parts.items()}


def close(one, other, rtol=1e-5):
    np.testing.assert_allclose(np.asarray(one, float), other, rtol=0, atol=rtol * np.max(np.abs(other)))


def near_edge(v, full_scale, bits):
    """Whether a value lies so close to the middle between two codes that float32 may round it to either."""
    codes = np.clip(v / np.maximum(full_scale, 1e-30), -1, 1) * (2 ** (bits - 1) - 1)
    return np.abs(np.abs(codes - np.floor(codes)) - 0.5) < EDGE


def close_but_for_flips(one, other, step, near):
    """Tightly equal, but for values near an edge, which may be one step off."""
    difference, tight = np.abs(np.asarray(one, float) - other), 1e-5 * np.max(np.abs(other))
    assert np.all(difference <= np.where(near, 1.001 * step, 0) + tight)


def make(device, bias=False, decorrelated=False, sizes=NET, seed=3, **options):
    """A chip whose biases, weights and decorrelation matrices have moved from where they started."""
    rng = np.random.default_rng(seed)
    chip = Chip(sizes, device, "leaky_relu", decorrelated, seed, bias=bias, **options)
    chip.program([0.1 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
    for _ in range(2 * decorrelated):
        chip.decorrelate([rng.standard_normal((5, n + bias)).astype(np.float32) for n in sizes[:-1]], 0.05)
    return chip, rng


def random_drives(rng, batch, sizes=NET, size=0.2):
    """No drive, a full one, one on the last layer, one on a middle layer."""
    p = [(size * rng.standard_normal((batch, n))).astype(np.float32) for n in sizes[1:]]
    last = [None] * (len(p) - 1) + p[-1:]
    middle = [None, p[1], *[None] * (len(p) - 2)]
    return [Drive(), Drive(p), Drive(last), Drive(middle)]


def other_drives(rng, batch, chip, size=0.2):
    """On the outputs of all hidden units, of one hidden layer, and on lines as well; on all weights, on those of one
    layer, and beside lines and outputs elsewhere."""
    u, p = ([(size * rng.standard_normal((batch, n))).astype(np.float32) for n in NET[1:]] for _ in range(2))
    v = [(size * rng.standard_normal(s)).astype(np.float32) for s in chip.network.shapes]
    return [
        Drive(outputs=[u[0], u[1], None]),
        Drive(outputs=[None, u[1], None]),
        Drive([None, None, p[2]], [u[0], u[1], None]),
        Drive(p, [u[0], None, None]),
        Drive(weights=v),
        Drive(weights=[None, None, v[2]]),
        Drive([p[0], None, None], [None, u[1], None], [None, v[1], None]),
    ]


# --- converters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 3, 8, 16])
@pytest.mark.parametrize("full_scale", [1.0, 0.37, 250.0])
def test_quantise(bits, full_scale):
    rng = np.random.default_rng(bits)
    v = np.concatenate([rng.uniform(-1.5, 1.5, 2000) * full_scale, [0, full_scale, -full_scale]]).astype(np.float32)
    coded = np.array([quantise(x, full_scale, bits) for x in v])
    near = near_edge(v.astype(float), full_scale, bits)
    close_but_for_flips(coded, naive.quantise(v.astype(float), full_scale, bits), naive.step(full_scale, bits), near)
    codes = coded / naive.step(full_scale, bits)
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-2)
    assert len(np.unique(np.rint(codes))) <= 2**bits - 1
    assert coded[-3] == 0
    np.testing.assert_array_equal([quantise(-x, full_scale, bits) for x in v], -coded)


# --- passes ---------------------------------------------------------------------------------------------------------

UNQUANTISED = [
    "ideal",
    "gaussian:sigma=0.05",
    "crossbar:dac_bits=0,adc_bits=0",
    "crossbar:dac_bits=0,adc_bits=0,tile_rows=4,read_noise=0.1",
    "crossbar:dac_bits=0,adc_bits=0,line_noise=0,read_noise=0,levels=0",
]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("bias", "decorrelated", "inject"), [(False, False, "line"), (True, True, "digital"), (False, True, "line")]
)
@pytest.mark.parametrize("device", UNQUANTISED)
def test_whole_pass_without_converters(device, bias, decorrelated, inject, batch):
    chip, rng = make(device, bias, decorrelated, inject=inject)
    x = rng.standard_normal((batch, NET[0])).astype(np.float32)
    chip.calibrate(x)
    inside = Inside(chip)
    drives = random_drives(rng, batch) + other_drives(rng, batch, chip)
    observations = chip.passes(x, drives)
    for k, (drive, observation) in enumerate(zip(drives, observations, strict=True)):
        inputs, activities = inside.forward(x, inside.next_pass + k, drive, inject)
        for layer in range(3):
            close(observation.inputs[layer], inputs[layer], 2e-5)
            close(observation.activities[layer], activities[layer], 2e-5)
        assert observation.output is observation.activities[-1]
        assert observation.loss is None


QUANTISED = [
    "crossbar",
    "crossbar:tile_rows=4",
    "crossbar:tile_rows=5,dac_range=1.5,adc_range=2,dac_bits=5,adc_bits=4",
    "crossbar:line_noise=0,read_noise=0,adc_bits=6",
]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("bias", "decorrelated", "inject"), [(False, False, "line"), (True, True, "digital"), (True, False, "line")]
)
@pytest.mark.parametrize("device", QUANTISED)
def test_every_layer_with_converters(device, bias, decorrelated, inject, batch):
    chip, rng = make(device, bias, decorrelated, inject=inject)
    x = rng.standard_normal((batch, NET[0])).astype(np.float32)
    chip.calibrate(x)
    inside = Inside(chip)
    drives = random_drives(rng, batch) + other_drives(rng, batch, chip)
    observations, edges = chip.passes(x, drives), []
    for k, (drive, observation) in enumerate(zip(drives, observations, strict=True)):
        for layer in range(3):
            number = inside.next_pass + k
            (driven, near_in), (read, near_out) = inside.layer(observation, layer, x, number, drive, inject)
            scale = chip.device.dac_range or np.abs(driven).max(axis=1, keepdims=True)
            close_but_for_flips(observation.inputs[layer], driven, naive.step(scale, chip.device.dac_bits), near_in)
            close_but_for_flips(observation.activities[layer], read, inside.steps(layer), near_out)
            edges.append(near_out.mean())
    assert np.mean(edges) < 10 * EDGE + 1 / batch


@pytest.mark.parametrize("first", [0, 1, 5, 7, 10])
@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar:tile_rows=4"])
def test_passes_of_one_call_are_the_passes_of_as_many_calls(device, first):
    """Whatever the first of them is, from which the others part: they share products, and draw the same noise."""
    chip, rng = make(device, bias=True, decorrelated=True)
    twin, _ = make(device, bias=True, decorrelated=True)
    x = rng.standard_normal((7, NET[0])).astype(np.float32)
    drives = [*random_drives(rng, 7), *other_drives(rng, 7, chip), Drive()]
    drives = drives[first:] + drives[:first]
    for together, drive in zip(chip.passes(x, drives), drives, strict=True):
        alone = twin.forward(x, drive)
        for a, b in zip([*together.inputs, *together.activities], [*alone.inputs, *alone.activities], strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(chip.forward(x).output, twin.forward(x).output)  # no draw is used twice


def test_a_driven_baseline_does_not_leak_into_the_passes_beside_it():
    chip, rng = make("ideal")
    x = rng.standard_normal((5, NET[0])).astype(np.float32)
    full, last, middle = random_drives(rng, 5)[1:]
    every = [full, Drive(), last, middle, *other_drives(rng, 5, chip)]
    expected = [chip.forward(x, d).output for d in every]
    for drives in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [4, 1, 8, 5], [8, 6, 9, 10], [5, 9, 4, 0]):
        given = [every[k] for k in drives]
        for observation, k in zip(chip.passes(x, given), drives, strict=True):
            np.testing.assert_array_equal(observation.output, expected[k])


@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar"])
@pytest.mark.parametrize("loss", ["cce", "mse"])
def test_the_output_error_is_told_where_it_is_asked_for(loss, device):
    chip, rng = make(device)
    x, t = rng.standard_normal((7, NET[0])).astype(np.float32), np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2]]
    asked = [False, True, False, True]
    drives = [Drive(d.perturbations, output_error=a) for d, a in zip(random_drives(rng, 7), asked, strict=True)]
    data = Batch(x, t, losses.get(loss))
    out = chip.passes(data, drives)
    for observation, a in zip(out, asked, strict=True):
        assert (observation.output_error is not None) == a
        if a:
            expected = naive.error(loss, observation.output.astype(float), t)
            np.testing.assert_allclose(observation.output_error, expected, rtol=1e-6, atol=1e-6)
    again = chip.passes(data, [Drive()] * 4, out)  # the same observations, asked for less
    assert again is out
    assert all(o.output_error is None for o in again)


ONE = np.ones((1, 1), np.float32)


@pytest.mark.parametrize(
    ("drive", "lowest", "empty"),
    [
        (Drive(), 0, True),
        (Drive([None, None, ONE]), 2, False),
        (Drive([None, ONE, ONE]), ONE, False),
        (Drive(outputs=[ONE, None, None]), ONE, False),  # moves the layer above
        (Drive(outputs=[None, ONE, None]), 2, False),
        (Drive(weights=[None, ONE, None]), ONE, False),
        (Drive([None, None, ONE], [None, ONE, None], [None, ONE, None]), ONE, False),
        (Drive(output_error=True), 0, True),
    ],
)
def test_the_lowest_layer_that_a_drive_moves(drive, lowest, empty):
    assert (drive.lowest, drive.empty) == (lowest, empty)


def test_observations_given_back_are_overwritten():
    chip, rng = make("ideal")
    x = rng.standard_normal((5, NET[0])).astype(np.float32)
    out = chip.passes(x, [Drive(), Drive()])
    kept = out[0].output
    again = chip.passes(2 * x, [Drive(), Drive()], out)
    assert again is out
    assert again[0].output is kept
    np.testing.assert_array_equal(kept, chip.forward(2 * x).output)
    assert chip.passes(x[:2], [Drive(), Drive()], out) is not out


def test_a_column_of_zeros_and_a_dead_input_pass_through():
    chip, _ = make("crossbar:line_noise=0,read_noise=0")
    x = np.zeros((2, NET[0]), np.float32)
    x[1, 3] = 1
    zero, one = chip.forward(x).output
    assert not zero.any()
    assert one.any()


# --- ranges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [4, BLOCK_ROWS + 44])
def test_calibration_sets_every_tiles_range_from_its_undigitised_lines(batch):
    device = devices.get("crossbar", tile_rows=4, dac_bits=0, line_noise=0.02)
    chip, rng = make(device, bias=True)
    before = Inside(chip)
    x = rng.standard_normal((batch, NET[0])).astype(np.float32)
    chip.calibrate(x)
    after = Inside(chip)
    x = x[:BLOCK_ROWS].astype(float)  # a calibration takes one block of rows
    for layer in range(3):
        driven = naive.drive(x, None, True)
        total = 0
        for tile, (start, stop) in enumerate(before.cuts[layer]):
            line = driven[:, start:stop] @ before.weights[layer][:, start:stop].T
            energy = driven[:, start:stop] ** 2 @ before.variances[layer][:, start:stop].T
            read = before.read(before.next_pass, digitise=False)(line, energy, layer, tile)
            assert after.ranges[layer][tile] == pytest.approx(naive.calibrated(read), rel=1e-5)
            total = total + read
        x = naive.activate("leaky_relu", total)


def test_calibration_on_nothing_keeps_the_range():
    chip, _ = make("crossbar:line_noise=0,read_noise=0")
    ranges = Inside(chip).ranges
    chip.calibrate(np.zeros((4, NET[0]), np.float32))
    assert Inside(chip).ranges == ranges
    assert np.isfinite(chip.forward(np.ones((1, NET[0]), np.float32)).output).all()


def test_a_chip_calibrates_itself_on_its_first_pass_and_the_range_follows_at_updates():
    chip, rng = make("crossbar:read_noise=0.002,line_noise=0.001")
    x = rng.standard_normal((50, NET[0])).astype(np.float32)
    nothing = [np.zeros(s, np.float32) for s in chip.network.shapes]
    chip.forward(x)
    for scale in (1.0, 0.2, 4.0, 4.0, 0.0):
        before = Inside(chip).ranges
        observation = chip.forward(np.float32(scale) * x)
        peaks = [np.abs(a).max() for a in observation.activities]
        first = scale == 1.0  # the first update also sees the peaks of the first pass, of the same inputs
        chip.program(nothing)
        for old, new, peak in zip(before, Inside(chip).ranges, peaks, strict=True):
            if not first:
                assert new[0] == pytest.approx(naive.followed(old[0], float(peak)), rel=1e-6)
    # the last pass was all noise: half idle, narrowed


def test_a_fixed_range_neither_calibrates_nor_follows():
    chip, rng = make("crossbar:adc_range=0.5")
    x = 9 * rng.standard_normal((20, NET[0])).astype(np.float32)
    chip.calibrate(x)
    largest = np.abs(chip.forward(x).output).max()
    assert largest == pytest.approx(0.5, rel=1e-6)
    chip.program([np.zeros(s, np.float32) for s in chip.network.shapes])
    assert all(r == 0.5 for layer in Inside(chip).ranges for r in layer)
    assert chip.cost.passes == 1


# --- writes ---------------------------------------------------------------------------------------------------------


def test_exact_writes_add():
    chip, rng = make("ideal", bias=True)
    before = Inside(chip).weights
    change = [rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes]
    chip.program(change)
    for old, new, c in zip(before, Inside(chip).weights, change, strict=True):
        np.testing.assert_allclose(new, old + c, rtol=1e-6, atol=1e-7)


WRITES = [
    "crossbar:controller=copy",
    "crossbar:controller=copy,tile_rows=4,program_noise=0.05,levels=16",
    "crossbar:controller=copy,program_noise=0,levels=5,weight_range=2",
    "crossbar:controller=copy,program_noise=0.01,levels=0,g_min=0,g_max=1",
]


def write_draws(n_out, columns, layer, number, key):
    """z of every cell of a layer, (g+, g-): cells are written in blocks, each with a counter of its own."""
    cells = n_out * columns
    drawn = naive.normal_rows(-(-cells // CELL_BLOCK), 2 * CELL_BLOCK, number, naive.stream(naive.WRITE, layer), key)
    return [drawn[:, side * CELL_BLOCK :][:, :CELL_BLOCK].ravel()[:cells].reshape(n_out, columns) for side in (0, 1)]


def undecided(old, new, d):
    """Cells, (2, ...), that float32 may write or leave: near the edge of two levels; without levels, hardly moved."""
    if not d.levels:
        return np.broadcast_to(np.abs(new - old) < 1e-7, (2, *new.shape))
    positions = [(np.array(naive.goals(t, d)) - d.g_min) / (d.g_max - d.g_min) * (d.levels - 1) for t in (old, new)]
    return np.any([np.abs(p - np.floor(p) - 0.5) < EDGE for p in positions], axis=0)


@pytest.mark.parametrize(("sizes", "bias"), [(NET, False), ((70, 40, 3), True), ((200, 180), False)])
@pytest.mark.parametrize("device", WRITES)
def test_writes_of_a_crossbar_to_targets(device, sizes, bias):
    chip, rng = make(device, bias, sizes=sizes)
    d = chip.device
    assert chip.cost.cells_written_at_start == 2 * chip.network.cells
    for number, size in enumerate((0.02, 1e-4, 0.5, 1e-3, 50.0)):  # most cells, few, most, some, to the ends
        before, cost = Inside(chip), chip.cost.cells_programmed
        key, write = chip._hidden.arrays.write_keys[0], chip._hidden.arrays.writes
        assert write == 2 + number  # fabrication and `make` wrote before
        change = [(size * rng.standard_normal(s)).astype(np.float32) for s in chip.network.shapes]
        chip.program(change)
        after, expected, slack = Inside(chip), 0, 0
        for layer, (n_out, columns) in enumerate(chip.network.shapes):
            n_in = chip.sizes[layer]
            z = write_draws(n_out, columns, layer, write, key)
            targets, cells, count = naive.write(
                change[layer].astype(float), before.targets[layer], before.cells[layer],
                z, n_in, d,
            )  # fmt: skip
            expected += count
            close(after.targets[layer], targets, 1e-6)
            near = undecided(before.targets[layer], targets, d)
            slack += near.sum()
            off = np.abs(np.array(after.cells[layer]) - np.array(cells)) > 1e-5 * d.g_max
            assert not np.any(off & ~near)
            close(after.weights[layer], naive.weights_of(after.cells[layer], n_in, d))
        assert abs(chip.cost.cells_programmed - cost - expected) <= slack


def one_cell_chip(**settings):
    quiet = {
        "controller": "copy", "dac_bits": 0, "adc_bits": 0, "line_noise": 0, "read_noise": 0, "program_noise": 0,
    }  # fmt: skip
    chip = Chip([2, 2], devices.get("crossbar", **{**quiet, "levels": 11, "weight_range": 2, **settings}), seed=0)
    change = -np.asarray(chip._hidden.arrays.weight_arrays()[0]) * 10  # beyond every range: then back to zero
    chip.program([change.astype(np.float32)])
    target = chip._hidden.arrays.targets.reshape(2, 2)
    chip.program([(-target * 2 / np.sqrt(2)).astype(np.float32)])
    return chip


def test_only_cells_whose_level_moves_are_written_and_steps_below_one_add_up():
    chip = one_cell_chip()
    level = 2 / np.sqrt(2) / 10  # a level's worth of weight
    x = np.eye(2, dtype=np.float32)

    def ask(at, levels):
        before = chip.cost.cells_programmed
        change = np.zeros((2, 2), np.float32)
        change[at] = levels * level
        chip.program([change])
        return chip.cost.cells_programmed - before, chip.forward(x).output.T[at] / level

    np.testing.assert_allclose(chip.forward(x).output, 0, atol=1e-5)
    assert ask((0, 1), 0) == (0, pytest.approx(0, abs=1e-5))
    assert ask((0, 1), 3) == (1, pytest.approx(3, rel=1e-4))  # one cell of the pair moves
    assert ask((0, 1), -5) == (2, pytest.approx(-2, rel=1e-4))  # both: one down to rest, the other up
    for _ in range(4):
        assert ask((1, 0), 0.12) == (0, pytest.approx(0, abs=1e-5))  # too little, but remembered
    assert ask((1, 0), 0.12) == (1, pytest.approx(1, rel=1e-4))
    assert ask((1, 0), 1000) == (1, pytest.approx(10, rel=1e-4))  # the range bounds it
    assert ask((1, 0), -1) == (1, pytest.approx(9, rel=1e-4))  # and what was asked beyond is forgotten


def test_rewriting_a_cell_draws_a_new_error_and_leaves_the_others():
    chip = one_cell_chip(program_noise=0.01, levels=0)
    change = np.zeros((2, 2), np.float32)
    change[1, 1] = 0.1
    chip.program([change])
    before = chip._hidden.arrays.now.copy()
    chip.program([change])
    moved = np.argwhere(before != chip._hidden.arrays.now)
    np.testing.assert_array_equal(moved, [[0, 3]])


def test_read_variance_follows_the_cells():
    chip, rng = make("crossbar:read_noise=0.05,line_noise=0,dac_bits=0,adc_bits=0")
    for _ in range(3):
        chip.program([0.3 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
        at = 0
        for variances in Inside(chip).variances:
            stored = chip._hidden.arrays.variances[at : at + variances.size].reshape(variances.shape)
            np.testing.assert_allclose(stored, variances, rtol=1e-5)
            at += variances.size


# --- initial weights ------------------------------------------------------------------------------------------------

LAWS = ["he", "he-uniform", "uniform", "glorot", "zero"]


@pytest.mark.parametrize("law", LAWS)
def test_initial_weights_are_those_of_the_definition(law):
    chip = Chip(NET, "ideal", seed=6, bias=True, init=law)
    for layer, (weights, (n_in, n_out)) in enumerate(zip(Inside(chip).weights, pairwise(NET), strict=True)):
        expected = naive.initial_weights(law, n_in, n_out, layer, seeding.key(6, "chip/weights"))
        np.testing.assert_allclose(weights[:, :n_in], expected, rtol=1e-5, atol=1e-6)
        assert not weights[:, n_in:].any()  # biases
    assert (chip.init, chip.cost.cells_programmed) == (law, 0)


@pytest.mark.parametrize(
    ("law", "variance", "bound"),
    [
        ("he", lambda n_in, n_out: 2 / n_in, np.inf),
        ("he-uniform", lambda n_in, n_out: 2 / n_in, np.sqrt(6)),
        ("uniform", lambda n_in, n_out: 1 / (3 * n_in), 1),
        ("glorot", lambda n_in, n_out: 2 / (n_in + n_out), np.inf),
    ],
)
def test_laws_of_initial_weights(law, variance, bound):
    """Mean and variance of 1e5 weights a layer, at 5 standard errors (1e-6 by chance); uniform laws end at a bound."""
    sizes = (400, 250, 350)
    chip = Chip(sizes, "ideal", seed=8, init=law)
    for weights, (n_in, n_out) in zip(Inside(chip).weights, pairwise(sizes), strict=True):
        expected, largest = variance(n_in, n_out), np.abs(weights).max() * np.sqrt(n_in)
        assert abs(weights.mean()) < 5 * np.sqrt(expected / weights.size)
        spread = np.sqrt((2 if bound == np.inf else 0.8) / weights.size)  # of a variance: normal, uniform
        assert abs(weights.var() / expected - 1) < 5 * spread
        assert (0.999 * bound < largest <= bound * (1 + 1e-6)) if bound < np.inf else largest > 4


@pytest.mark.parametrize("law", LAWS)
def test_a_crossbar_writes_its_initial_weights_like_any_others(law):
    device = devices.get("crossbar", controller="copy", program_noise=0.003, levels=64)
    chip = Chip((60, 40, 5), device, seed=2, init=law)
    assert chip.cost.cells_written_at_start == 2 * chip.network.cells
    inside = Inside(chip)
    for layer, (n_out, n_in) in enumerate(chip.network.shapes):
        wanted = naive.initial_weights(law, n_in, n_out, layer, seeding.key(2, "chip/weights"))
        step = naive.unit(n_in, device) * (device.g_max - device.g_min)
        targets = np.clip(wanted / step, -1, 1)
        np.testing.assert_allclose(inside.targets[layer], targets, atol=1e-5)
        error = np.abs(inside.weights[layer] - targets * step) / step
        assert 0.001 < error.max() < 0.5 / 63 + 6 * np.sqrt(2) * 0.003  # a level, and the error of writing two cells


# --- weight normalisation -------------------------------------------------------------------------------------------


def rms(weights, n_in):
    return np.sqrt(np.mean(weights[:, :n_in] ** 2, axis=1))


@pytest.mark.parametrize("bias", [False, True])
def test_normalisation_resets_every_neurons_rms(bias):
    chip, _ = make("ideal", bias, seed=9)
    before, cost = Inside(chip).weights, chip.cost.as_dict()
    chip.normalise()
    for old, new, (n_in, n_out) in zip(before, Inside(chip).weights, pairwise(NET), strict=True):
        np.testing.assert_allclose(new, naive.normalised(old, n_in), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(rms(new, n_in), np.sqrt(2 / (n_in + n_out)), rtol=1e-6)
        np.testing.assert_array_equal(new[:, n_in:], old[:, n_in:])
        assert np.abs(rms(old, n_in) / np.sqrt(2 / (n_in + n_out)) - 1).max() > 0.1  # there was something to do
    assert chip.cost.as_dict() == {**cost, "cells_programmed": cost["cells_programmed"] + chip.network.cells}
    settled = Inside(chip).weights
    chip.normalise()
    for old, new in zip(settled, Inside(chip).weights, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


def test_a_neuron_without_weights_stays_without():
    chip = Chip(NET, "ideal", init="zero")
    chip.normalise()
    assert not any(w.any() for w in Inside(chip).weights)
    change = [np.zeros(s, np.float32) for s in chip.network.shapes]
    change[0][3, 2] = -5.0
    chip.program(change)
    chip.normalise()
    (row, column), weights = np.argwhere(Inside(chip).weights[0])[0], Inside(chip).weights[0]
    assert (row, column, np.count_nonzero(weights)) == (3, 2, 1)
    assert weights[3, 2] == pytest.approx(-np.sqrt(9) * np.sqrt(2 / (9 + 13)))


@pytest.mark.parametrize("settings", ["levels=256", "program_noise=0,levels=32,tile_rows=4", "levels=0"])
def test_a_crossbar_is_normalised_by_its_controllers_targets(settings):
    """Their RMS is exact, the cells' is not; a cell is rewritten where its level moves, and counted."""
    chip, _ = make(f"crossbar:controller=copy,{settings}", bias=True, seed=9)
    d, before, cost = chip.device, Inside(chip), chip.cost.cells_programmed
    key, number = chip._hidden.arrays.write_keys[0], chip._hidden.arrays.writes
    chip.normalise()
    after, expected, slack = Inside(chip), 0, 0
    for layer, (n_out, columns) in enumerate(chip.network.shapes):
        n_in, z = NET[layer], write_draws(n_out, columns, layer, number, key)
        step = naive.unit(n_in, d) * (d.g_max - d.g_min)
        wanted = naive.normalised(before.targets[layer] * step, n_in)
        change = wanted - before.targets[layer] * step
        targets, cells, count = naive.write(change, before.targets[layer], before.cells[layer], z, n_in, d)
        close(after.targets[layer], targets, 1e-6)
        np.testing.assert_allclose(rms(after.targets[layer] * step, n_in), np.sqrt(2 / (n_in + n_out)), rtol=1e-5)
        near = undecided(before.targets[layer], targets, d)
        off = np.abs(np.array(after.cells[layer]) - np.array(cells)) > 1e-5 * d.g_max
        assert not np.any(off & ~near)
        expected, slack = expected + count, slack + near.sum()
    written = chip.cost.cells_programmed - cost
    assert abs(written - expected) <= slack
    assert 0 < written < 2 * chip.network.cells
    chip.normalise()  # and once more: nothing to write but where rounding moves a target across an edge
    assert chip.cost.cells_programmed - cost - written <= (slack if d.levels else 2 * chip.network.cells)


# --- passes aside ---------------------------------------------------------------------------------------------------


def trace(chip):
    """All that later passes and writes depend on, and what is counted."""
    return {**{name: array.tobytes() for name, array in snapshot(chip).items()}, "cost": chip.cost.as_dict()}


def stumble_aside(chip, x):
    with chip.aside():
        chip.forward(x)
        chip.forward(x[:, :2])


@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar"])
def test_passes_aside_leave_no_trace(device):
    chip, rng = make(device)
    twin, _ = make(device)
    x = rng.standard_normal((8, NET[0])).astype(np.float32)
    seen = []
    for one in (chip, twin):
        one.forward(x)
        before = trace(one)
        if one is chip:
            with one.aside():
                for _ in range(3):
                    seen.append(one.passes(9 * x, [Drive(), Drive()])[1].output.copy())  # would widen a converter
                assert one.cost.passes > twin.cost.passes
            with pytest.raises(ValueError, match="inputs"):
                stumble_aside(one, 9 * x)
            assert trace(one) == before
    ends = []
    for one in (chip, twin):
        one.program([np.zeros(s, np.float32) for s in one.network.shapes])  # ranges follow what was seen
        ends.append((one.forward(x).output, trace(one)))
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


@pytest.mark.parametrize("device", ["gaussian", "crossbar:adc_bits=0"])
def test_passes_aside_draw_noise_of_their_own(device):
    """Neither that of the passes before, nor that of those to come."""
    chip, rng = make(device)
    x = rng.standard_normal((4, NET[0])).astype(np.float32)
    chip.calibrate(x)
    before = [o.output.copy() for o in chip.passes(x, [Drive()] * 3)]
    with chip.aside():
        aside = [o.output.copy() for o in chip.passes(x, [Drive()] * 3)]
    after = [o.output.copy() for o in chip.passes(x, [Drive()] * 3)]
    for k, one in enumerate(outputs := before + aside + after):
        assert not any(np.array_equal(one, other) for other in outputs[k + 1 :])


def test_a_first_pass_aside_does_not_keep_a_chip_from_calibrating_itself():
    chip, rng = make("crossbar")
    twin, _ = make("crossbar")
    x = rng.standard_normal((8, NET[0])).astype(np.float32)
    with chip.aside():
        chip.forward(x)
    np.testing.assert_array_equal(chip.forward(x).output, twin.forward(x).output)


# --- costs ----------------------------------------------------------------------------------------------------------


def test_costs_are_counted_array_by_array():
    chip = Chip([10, 7, 3], "crossbar:controller=copy,tile_rows=4,tile_columns=2,adc_range=1", bias=True)
    x = np.ones((5, 10), np.float32)
    chip.passes(x, [Drive(), Drive()])
    # layer 1: 11 rows in 3 tiles, 7 columns in 4; layer 2: 8 rows in 2 tiles, 3 columns in 2
    assert chip.cost.as_dict() == {
        "passes": 2,
        "samples": 10,
        "mvms": 10 * (3 * 4 + 2 * 2),
        "dac_conversions": 10 * (11 * 4 + 8 * 2),
        "adc_conversions": 10 * (7 * 3 + 3 * 2),
        "updates": 0,
        "cells_programmed": 0,
        "cells_written_at_start": 2 * (11 * 7 + 8 * 3),
        "pulses": 0,
        "cells_read": 0,
        "controller_bytes": 4 * (11 * 7 + 8 * 3),
        "analog_macs": 10 * (11 * 7 + 8 * 3),
        "decorrelation_macs": 0,
        "adaptation_macs": 0,
        "decorrelation_bytes": 0,
        "perturbation_conversions": 0,
        "layer_macs": 0,
        "layer_bytes": 0,
    }


def test_arrays_beside_a_layers_own_cost_products_of_their_own_and_no_conversions():
    chip = Chip([10, 7, 3], "crossbar:tile_rows=4,tile_columns=2,adc_range=1", bias=True)
    x, v = np.ones((5, 10), np.float32), [np.zeros(s, np.float32) for s in chip.network.shapes]
    outputs = [np.zeros((5, 7), np.float32), None]
    chip.passes(x, [Drive(), Drive(weights=v), Drive(outputs=outputs)])
    cost, one = chip.cost.as_dict(), 5 * (3 * 4 + 2 * 2)
    assert (cost["passes"], cost["mvms"]) == (3, 4 * one)
    assert cost["dac_conversions"] == 3 * 5 * (11 * 4 + 8 * 2)
    assert cost["adc_conversions"] == 3 * 5 * (7 * 3 + 3 * 2)


def test_arrays_beside_some_layers_cost_the_products_of_those():
    chip = Chip([10, 7, 3], "ideal")
    chip.forward(np.ones((5, 10), np.float32), Drive(weights=[None, np.zeros((3, 7), np.float32)]))
    assert chip.cost.mvms == 5 * (2 + 1)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.forward(np.ones((2, 8), np.float32)), ("inputs", "9")),
        (lambda c: c.forward(np.ones(9, np.float32)), ("inputs", "9")),
        (lambda c: c.forward(np.ones((0, 9), np.float32)), ("inputs",)),
        (lambda c: c.program([np.ones((13, 9), np.float32)]), ("updates", "(6, 13)")),
        (lambda c: c.program([np.ones(s[::-1], np.float32) for s in c.network.shapes]), ("updates", "(13, 9)")),
        (lambda c: c.decorrelate([np.ones((2, n), np.float32) for n in NET[:-1]], 0.1), ("decorrelate=True",)),
        (lambda c: c.forward(np.ones((2, 9), np.float32), Drive([None])), ("perturbation", "3")),
        (lambda c: c.forward(np.ones((2, 9)), Drive([np.ones((2, 12)), None, None])), ("layer 0", "(2, 13)")),
    ],
)
def test_wrong_shapes_get_one_clear_error(call, words):
    chip = Chip(NET, "ideal")
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the words are checked below)
        call(chip)
    for word in words:
        assert word in str(caught.value)
