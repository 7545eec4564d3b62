"""Devices against tests/naive.py: passes, converters, tiles, noise, ranges, writes, costs.

The comparison looks behind the boundary: cells, converter ranges and the noise's key are taken from `chip._hidden`,
which no learner meets. A difference of one unit in the last place can flip a whole step of a converter, so chips
without converters are compared tightly through all layers, and chips with them a layer at a time, on the inputs that
were observed: there a value may be one step off if it lay within EDGE steps of the middle between two codes before it
was rounded (2 EDGE of all values do, and those that are ties by construction), and the rest must agree tightly.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from noisysim import Chip, devices
from noisysim.execution import BLOCK_ROWS
from noisysim.kernels.cpu import CELL_BLOCK
from noisysim.observation import Drive
from noisysim.scalars.convert import quantise

spec = importlib.util.spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = importlib.util.module_from_spec(spec)
spec.loader.exec_module(naive)

EDGE = 1e-3
NET = (9, 13, 6, 4)
BATCHES = (1, 3, BLOCK_ROWS + 44)  # one sample; a few; more than one block of rows


class Inside:
    """What the definition needs of a chip, in float64: read from behind the boundary at this moment."""

    def __init__(self, chip):
        hidden, net = chip._hidden, chip.network
        self.chip, self.device = chip, chip.device
        self.cuts = [naive.tiles(n, net.tile_rows) for n in net.columns]
        self.weights = [np.asarray(w, float) for w in hidden.weight_arrays(net)]
        self.rotations = [np.asarray(r, float) for r in hidden.rotations]
        ranges = iter(hidden.ranges.tolist())
        self.ranges = [[next(ranges) for _ in cut] for cut in self.cuts]
        self.key, self.next_pass = hidden.keys["noise"], hidden.next_pass
        self.cells, self.targets, self.variances = [], [], None
        if hidden.pairs.size:
            at = 0
            for n_out, n_in in net.shapes:
                targets, *cells = hidden.pairs[:, at : at + n_out * n_in].reshape(3, n_out, n_in).astype(float)
                self.cells.append(cells)
                self.targets.append(targets)
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

    def forward(self, x, number, perturbations=None, inject="line"):
        """A whole pass."""
        return naive.forward(
            x.astype(float), self.weights, self.chip.network.activation, rotations=self.rotations,
            bias=self.chip.network.bias, convert=self.convert(), cuts=self.cuts, read=self.read(number),
            variances=self.variances, perturbations=perturbations, inject=inject,
        )  # fmt: skip

    def layer(self, observation, layer, x, number, perturbation=None, inject="line"):
        """One layer of a pass from the activities observed below it, and the read of what it was observed to be driven
        with: ((inputs, near an edge), (activities, near an edge))."""
        below = observation.activities[layer - 1].astype(float) if layer else None
        source = x.astype(float) if layer == 0 else naive.activate(self.chip.network.activation, below)
        source = naive.drive(source, self.rotations[layer] if self.rotations else None)
        driven, bits = naive.drive(source, None, self.chip.network.bias, self.convert()), self.device.dac_bits
        scales = self.device.dac_range or np.abs(source).max(axis=1, keepdims=True)
        near_driven = np.zeros(driven.shape, bool)
        near_driven[:, : source.shape[1]] = near_edge(source, scales, bits)
        near = []
        read = naive.read_layer(
            observation.inputs[layer].astype(float), self.weights[layer], layer, self.cuts[layer],
            self.read(number, near=near), self.variances[layer], perturbation, inject,
        )  # fmt: skip
        return (driven, near_driven), (read, np.any(near, axis=0))

    def steps(self, layer):
        """The coarsest step of a layer's ADCs."""
        return max(naive.step(full, self.device.adc_bits) for full in self.ranges[layer])


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
    drives = random_drives(rng, batch)
    observations = chip.passes(x, drives)
    for k, (drive, observation) in enumerate(zip(drives, observations, strict=True)):
        inputs, activities = inside.forward(x, inside.next_pass + k, drive.perturbations or None, inject)
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
    drives = random_drives(rng, batch)
    observations, edges = chip.passes(x, drives), []
    for k, (drive, observation) in enumerate(zip(drives, observations, strict=True)):
        for layer in range(3):
            perturbation = drive.perturbations[layer] if drive.perturbations else None
            number = inside.next_pass + k
            (driven, near_in), (read, near_out) = inside.layer(observation, layer, x, number, perturbation, inject)
            scale = chip.device.dac_range or np.abs(driven).max(axis=1, keepdims=True)
            close_but_for_flips(observation.inputs[layer], driven, naive.step(scale, chip.device.dac_bits), near_in)
            close_but_for_flips(observation.activities[layer], read, inside.steps(layer), near_out)
            edges.append(near_out.mean())
    assert np.mean(edges) < 10 * EDGE + 1 / batch


@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar:tile_rows=4"])
def test_passes_of_one_call_are_the_passes_of_as_many_calls(device):
    chip, rng = make(device)
    twin, _ = make(device)
    x = rng.standard_normal((7, NET[0])).astype(np.float32)
    drives = [*random_drives(rng, 7), Drive()]
    for together, drive in zip(chip.passes(x, drives), drives, strict=True):
        alone = twin.forward(x, drive)
        for a, b in zip([*together.inputs, *together.activities], [*alone.inputs, *alone.activities], strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(chip.forward(x).output, twin.forward(x).output)  # no draw is used twice


def test_a_driven_baseline_does_not_leak_into_the_passes_beside_it():
    chip, rng = make("ideal")
    x = rng.standard_normal((5, NET[0])).astype(np.float32)
    full, last, middle = random_drives(rng, 5)[1:]
    expected = [chip.forward(x, d).output for d in (full, Drive(), last, middle)]
    for drives in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1]):
        given = [(full, Drive(), last, middle)[k] for k in drives]
        for observation, k in zip(chip.passes(x, given), drives, strict=True):
            np.testing.assert_array_equal(observation.output, expected[k])


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
    "crossbar",
    "crossbar:tile_rows=4,program_noise=0.05,levels=16",
    "crossbar:program_noise=0,levels=5,weight_range=2",
    "crossbar:program_noise=0.01,levels=0,g_min=0,g_max=1",
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
def test_writes_of_a_crossbar(device, sizes, bias):
    chip, rng = make(device, bias, sizes=sizes)
    d = chip.device
    assert chip.cost.cells_written_at_start == 2 * chip.network.cells
    for number, size in enumerate((0.02, 1e-4, 0.5, 1e-3, 50.0)):  # most cells, few, most, some, to the ends
        before, cost = Inside(chip), chip.cost.cells_programmed
        key, write = chip._hidden.keys["write"], chip._hidden.next_write
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
    quiet = {"dac_bits": 0, "adc_bits": 0, "line_noise": 0, "read_noise": 0, "program_noise": 0}
    chip = Chip([2, 2], devices.get("crossbar", **{**quiet, "levels": 11, "weight_range": 2, **settings}), seed=0)
    change = -np.asarray(chip._hidden.weight_arrays(chip.network)[0]) * 10  # beyond every range: then back to zero
    chip.program([change.astype(np.float32)])
    target = chip._hidden.pairs[0].reshape(2, 2)
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
    before = chip._hidden.pairs.copy()
    chip.program([change])
    moved = np.argwhere(before[1:] != chip._hidden.pairs[1:])
    np.testing.assert_array_equal(moved, [[0, 3]])


def test_read_variance_follows_the_cells():
    chip, rng = make("crossbar:read_noise=0.05,line_noise=0,dac_bits=0,adc_bits=0")
    for _ in range(3):
        chip.program([0.3 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
        at = 0
        for variances in Inside(chip).variances:
            stored = chip._hidden.variances[at : at + variances.size].reshape(variances.shape)
            np.testing.assert_allclose(stored, variances, rtol=1e-5)
            at += variances.size


# --- costs ----------------------------------------------------------------------------------------------------------


def test_costs_are_counted_array_by_array():
    chip = Chip([10, 7, 3], "crossbar:tile_rows=4,tile_columns=2,adc_range=1", bias=True)
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
    }


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
