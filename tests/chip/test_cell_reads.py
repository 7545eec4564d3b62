"""Reads of cells: one by one with states, or at the line; I-V curve, converters of their own, compensation of drift.

Chips of cell_device.py against naive.py, pass for pass; and what threads, chunks, restarts and passes aside
must not change. Statistics come from fixed seeds, at the significance that each test states.
"""

import numpy as np
import pytest
from scipy import stats

from noisysim import Chip
from noisysim.chip import ageing
from noisysim.chip.chip import restore, snapshot
from noisysim.compute import execution
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.observation import Batch, Drive

import cell_device as bench
import cell_lives as lives
import naive

KINDS = ["pulses", "pulsed pairs", "slices"]
SIZES = (25, 14, 9)
SOUND = {**dict.fromkeys(bench.FAULTS, 0.0), "stuck_low": 1e-9}
STILL = {
    **SOUND, "line_noise": 0.0, "cell_noise": 0.0, "jitter": 0.0, "amplitude": 0.0, "dac_gain_spread": 1e-9,
    "dac_offset_spread": 1e-9, "adc_gain_spread": 1e-9, "adc_offset_spread": 1e-9, "adc_range": 4.0,
}  # fmt: skip
"""No noise in a read, with the loops of the noisy kinds: spreads and faults that are on change what is compiled."""


class Reads(lives.Life):
    """A chip, and the states of its cells and its gains by the definition."""

    def __init__(self, kind, sizes=SIZES, **settings):
        super().__init__(kind, sizes, **{"adc_range": 4.0, **settings})
        self.hidden = self.chip._hidden
        self.states = [np.zeros((self.sides, *s)) for s in self.shapes]
        self.cuts = [naive.tiles(n, self.device.tile_rows) for _, n in self.shapes]
        self.rows, self.columns = lives.expected_lines(self)
        self.interval = len(self.shapes) * self.device.read_time
        self.last_read = -1e12  # states are in balance before they are read
        self.reference, self.wrote = None, False  # and whether cells were written since it was needed
        self.knows = not self.device.gain or self.device.verify_pulses > 0  # what cells should hold
        if self.arrays.timed:
            self.arrays.pace = ageing.Pace([0.0], [0.0])  # no change of age is too small
        self.gains = [np.ones(self.device.slices * len(cut)) for cut in self.cuts]

    def stand(self, start, rows):
        """Cells as reads of so many samples find them, from a time on."""
        youngest, end = self.arrays.written_at, start + rows * self.interval
        age = naive.age_of_reads(start - youngest, end - youngest, self.device.read_time)
        self.now = self.cells(youngest + age)

    def tiles(self, layer):
        """(tile, slice, first input, input behind the last) of a layer, the most significant slice first."""
        each = [(s, a, b) for s in range(self.device.slices) for a, b in self.cuts[layer]]
        return [(k, *one) for k, one in enumerate(each)]

    def lines(self, layer, k, s, a, b, x, first, number, seconds):
        """What one tile's lines carry, and the variance its cells add."""
        d, pair = self.device, slice(2 * s, 2 * s + 2) if self.sides > 1 else slice(0, 1)
        cells, worth = self.now[layer][pair, :, a:b], naive.slice_worth(self.n_in[layer], d)[s]
        if d.cell_noise or d.amplitude:
            own = {f: v[pair, :, a:b] for f, v in self.own[layer].items()}
            middle, key = self.middle[layer][:, a:b], self.hidden.keys["noise"][0]
            found, after = naive.cell_by_cell(
                x, cells, self.states[layer][pair, :, a:b], own, middle, worth, (layer, k), (first, number, key),
                seconds, d,
            )  # fmt: skip
            self.states[layer][pair, :, a:b] = after
            return found, np.zeros_like(found)
        both = [*cells, self.middle[layer][:, a:b]][:2]
        stds = np.array([naive.cell_std(g, d) for g in cells])
        stds[self.stuck[layer][pair, :, a:b] == 0] = 0
        return worth * x @ (both[0] - both[1]).T, worth**2 * x**2 @ np.sum(stds**2, axis=0).T

    def read(self, layer, k, line, energy, first, number, convert=True):
        """What the periphery makes of them."""
        d, n_out = self.device, self.shapes[layer][0]
        word = naive.stream(naive.NORMAL, layer, k)
        z = naive.normals(n_out, first + np.arange(len(line)), number, word, self.hidden.keys["noise"][0])
        value = line + np.sqrt(energy + (d.line_noise * d.adc_range) ** 2) * z
        if not convert:
            return value
        at = sum(d.slices * len(cut) * s[0] for cut, s in zip(self.cuts[:layer], self.shapes, strict=False)) + k * n_out
        gain, offset, _ = self.columns[:, at : at + n_out]
        return (value * (1 + gain) + offset * d.adc_range) * self.gains[layer][k]

    def passes(self, x, drives):
        """Inputs and activities of every pass that comes next, by the definition; states move on."""
        hidden, clock = self.hidden, self.chip.clock
        number, count = hidden.next_pass, len(drives)
        waited = self.interval + clock - self.last_read
        if self.device.compensation and self.knows and self.wrote and self.reference is not None:
            self.compensate(clock, number, waited)
            number, clock, waited = number + 1, clock + 16 * self.interval, self.interval
        found = [[([], []) for _ in self.shapes] for _ in drives]
        for block in range(0, len(x), BLOCK_ROWS):
            rows, below = x[block : block + BLOCK_ROWS].astype(float), [None] * count
            self.stand(clock + block * count * self.interval, len(rows) * count)
            for layer, shape in enumerate(self.shapes):
                driven = []
                for p, drive in enumerate(drives):
                    source = rows if layer == 0 else naive.activate("leaky_relu", below[p])
                    if layer and drive.outputs and drive.outputs[layer - 1] is not None:
                        source = source + drive.outputs[layer - 1][block : block + BLOCK_ROWS]
                    at = sum(s[1] for s in self.shapes[:layer])
                    gain, offset, _ = self.rows[:, at : at + shape[1] - 1]
                    converted = naive.driven_by(source, self.device, gain, offset)
                    driven.append(np.hstack([converted, np.ones((len(rows), 1))]))
                below = [np.zeros((len(rows), shape[0])) for _ in drives]
                for tile in self.tiles(layer):
                    for p, drive in enumerate(drives):
                        seconds = np.full(len(rows), self.interval)
                        if block == 0 and p == 0:
                            seconds[0] = waited
                        bent = naive.bent(driven[p], self.device)[:, tile[2] : tile[3]]
                        line, energy = self.lines(layer, *tile, bent, block, number + p, seconds)
                        if tile[0] == 0:
                            added = 0.0
                            if drive.perturbations and drive.perturbations[layer] is not None:
                                added = drive.perturbations[layer][block : block + BLOCK_ROWS]
                            if drive.weights and drive.weights[layer] is not None:
                                added = driven[p] @ drive.weights[layer].astype(float).T
                            line = line + added / self.gains[layer][0]
                        below[p] += self.read(layer, tile[0], line, energy, block, number + p)
                for p in range(count):
                    for whole, part in zip(found[p][layer], (driven[p], below[p]), strict=True):
                        whole.append(part)
        return [[tuple(np.concatenate(part) for part in layer) for layer in one] for one in found]

    def was_read(self):
        """Now the chip has done it."""
        self.last_read = self.chip.clock

    def strength(self, start, number, waited):
        """How strong the lines of every tile are, as a read that measures drift finds it."""
        found, d = [], self.device
        self.stand(start, 16)
        for layer, (_, n_in) in enumerate(self.shapes):
            x = naive.calibration_vectors(n_in, max(n for _, n in self.shapes))
            seconds = np.array([waited] + 15 * [self.interval])
            worth, goals = naive.slice_worth(self.n_in[layer], d), naive.cell_goals(self.targets()[layer], d)
            for k, s, a, b in self.tiles(layer):
                line, energy = self.lines(layer, k, s, a, b, x[:, a:b], 0, number, seconds)
                line = self.read(layer, k, line, energy, 0, number, convert=False)
                wanted = worth[s] * x[:, a:b] @ (goals[2 * s] - goals[2 * s + 1])[:, a:b].T if self.knows else None
                found.append(naive.strength(line, wanted))
        return np.array(found)

    def compensate(self, start, number, waited):
        """Gains by a read."""
        gains = self.reference / self.strength(start, number, waited)
        self.gains = np.split(gains, np.cumsum([len(g) for g in self.gains])[:-1])
        self.wrote = False

    def wait(self, seconds):
        """Let the chip wait, and follow its gains."""
        number, clock, since = self.hidden.next_pass, self.chip.clock, self.chip.clock - self.last_read
        if self.reference is None or (self.wrote and not self.knows):
            self.reference = np.concatenate(self.gains) * self.strength(clock, number, self.interval + since)
            number, since = number + 1, 0.0
        self.chip.wait(seconds)
        self.compensate(self.chip.clock - 16 * self.interval, number, self.interval + since + seconds)
        self.was_read()


def drives(chip, rng, rows):
    """None; on all lines; on outputs; beside the weights; on lines of one layer and outputs of another."""
    p, u = ([(0.3 * rng.standard_normal((rows, n))).astype(np.float32) for n in chip.sizes[1:]] for _ in range(2))
    v = [(0.1 * rng.standard_normal(s)).astype(np.float32) for s in chip.network.shapes]
    return [Drive(), Drive(p), Drive(outputs=[u[0], None]), Drive(weights=v), Drive([None, p[1]], [u[0], None])]


def assert_observed(observations, expected, rtol=2e-5):
    for observation, layers in zip(observations, expected, strict=True):
        for layer, (inputs, activities) in enumerate(layers):
            for found, wanted in ((observation.inputs[layer], inputs), (observation.activities[layer], activities)):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize("kind", KINDS)
def test_passes_are_those_of_the_definition(kind):
    """Fresh, after time, after a write and after more time: what is read, and the states that reads leave behind."""
    life = Reads(kind)
    chip, x = life.chip, life.rng.standard_normal((4, SIZES[0])).astype(np.float32)
    for seconds, size, rows in ((None, 0, 4), (0.15, 0, 3), (None, 0.1, 4), (30.0, 0, 1), (0.0, 0, 2), (None, 0, 4)):
        if seconds is not None and life.device.compensation:
            life.wait(seconds)
            np.testing.assert_allclose(life.hidden.gains[0], np.concatenate(life.gains), rtol=5e-5)
        elif seconds is not None:
            chip.wait(seconds)
        if size:
            chip.program(life.change(size))
            life.wrote = True
        given = drives(chip, life.rng, rows)
        expected = life.passes(x[:rows], given)
        assert_observed(chip.passes(x[:rows], given), expected)
        life.was_read()
        if life.device.tau_up:
            found = np.concatenate([s.reshape(life.sides, -1) for s in life.states], axis=1)
            np.testing.assert_array_equal(life.hidden.states[: life.sides], found)
            assert 0.05 < found.mean() < 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_several_blocks_is_read_block_by_block(kind):
    life = Reads(kind, (5, 4, 3), dead_rows=0.0, dead_columns=0.0)
    x = life.rng.standard_normal((BLOCK_ROWS + 9, 5)).astype(np.float32)
    given = drives(life.chip, life.rng, len(x))[:2]
    expected = life.passes(x, given)
    assert_observed(life.chip.passes(x, given), expected)


def test_an_observation_shows_what_the_dac_drives_not_what_the_cells_curve_makes_of_it():
    life = Reads("pulsed pairs", bend=0.8)
    x = life.rng.standard_normal((6, SIZES[0])).astype(np.float32)
    gain, offset, _ = life.rows[:, : SIZES[0]]
    seen = life.chip.forward(x).inputs[0]
    np.testing.assert_allclose(
        seen[:, :-1], naive.driven_by(x.astype(float), life.device, gain, offset), rtol=1e-5, atol=1e-5
    )
    assert (seen[:, -1] == 1).all()


# --- statistics -----------------------------------------------------------------------------------------------------


def test_noise_of_every_cell_is_the_noise_of_the_line():
    """Read cell by cell, against one exact draw at the line: two-sample KS of 20,000 reads of 6 lines, at 1e-3."""
    life = Reads("pulsed pairs", (12, 6), bias=False, **{**STILL, "cell_noise": 0.1, "bend": 1e-9, "read_time": 1e-9})
    reads = 20_000
    row = life.rng.standard_normal(12).astype(np.float32)
    (cells,), d = life.cells(), life.device
    found = life.chip.forward(np.tile(row, (reads, 1))).output.astype(float)
    line = row @ naive.slice_weights(cells, 12, d).sum(axis=0).T
    (variances,) = naive.slice_variances(np.array([d.cell_noise * g for g in cells]), 12, d)
    std = np.sqrt(row.astype(float) ** 2 @ variances.T)
    exact = line + std * np.random.default_rng(5).standard_normal((reads, 6))
    for i in range(6):
        assert stats.ks_2samp(found[:, i], exact[:, i]).pvalue > 1e-3
    assert np.max(np.abs(np.corrcoef(found.T) - np.eye(6))) < 4.5 / np.sqrt(reads)
    lag = np.corrcoef(found[:-1, 0], found[1:, 0])[0, 1]
    assert abs(lag) < 4.5 / np.sqrt(reads)


@pytest.mark.parametrize("read_time", [1.0, 0.02])
def test_states_are_as_often_up_and_change_as_often_as_they_should(read_time):
    """Telegraph noise read through a chip: occupancy, and both probabilities of a change between two reads, each within
    4.5 standard errors (7e-6); between reads far apart states are independent."""
    settings = {**STILL, "amplitude": -0.3, "read_time": read_time, "tau_up": 0.3, "tau_down": 0.1, "bend": 1e-9}
    settings |= {"nu": 1e-9, "nu_spread": 1e-9}  # the same loops
    life = Reads("pulses", (1, 3000), bias=False, **settings)
    life.chip.wait(100.0)
    gain, d = life.chip._hidden.gains[0, 0], life.device
    now = life.cells()[0][0, :, 0]
    found = life.chip.forward(np.ones((60, 1), np.float32)).output.astype(float) / gain
    cells, worth = now, naive.slice_worth(1, d)[0]
    shift = life.own[0]["amplitude"][0, :, 0] * cells
    clear = np.abs(shift) > 0.05 * cells.max()
    state = ((found / worth - cells + life.middle[0][:, 0]) / np.where(clear, shift, 1))[:, clear]
    assert np.all((np.abs(state) < 0.02) | (np.abs(state - 1) < 0.02))
    state = np.rint(state)
    up, rest = state[:-1] == 1, 0.1 / 0.4
    keep = np.exp(-read_time * (1 / 0.3 + 1 / 0.1))
    for before, expected in ((up, rest + (1 - rest) * keep), (~up, rest - rest * keep)):
        share, n = state[1:][before].mean(), before.sum()
        assert abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / n)
    first = state[0].mean()  # long after the start
    assert abs(first - rest) < 4.5 * np.sqrt(rest * (1 - rest) / state.shape[1])


# --- drift and its compensation -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spread", "tolerance"), [(1e-9, 1e-3), (0.3, 0.05)])
def test_compensation_restores_the_mean_line(spread, tolerance):
    """Equal drift of all cells is undone; where their exponents differ, the mean line comes back."""
    quiet = {**STILL, "cell_noise": 1e-9, "nu": 0.1, "nu_spread": spread, "bend": 1e-9, "read_time": 0.0}
    kept, left = (Reads("pulsed pairs", (60, 50, 40), **quiet, compensation=c) for c in (1, 0))
    x, lines = kept.rng.standard_normal((200, 60)).astype(np.float32), []
    for one in (kept, left):
        before = np.abs(one.chip.forward(x).activities[0]).mean()
        one.chip.wait(1e4)
        lines.append(np.abs(one.chip.forward(x).activities[0]).mean() / before)
    assert lines[1] == pytest.approx(1e4**-0.1, rel=0.1)
    assert lines[0] == pytest.approx(1, rel=tolerance)


@pytest.mark.parametrize("kind", ["pulses", "pulsed pairs"])
@pytest.mark.parametrize("inject", ["line", "digital"])
def test_perturbations_come_out_as_asked_for_whatever_the_gains(kind, inject):
    settings = lives.device(kind, **{**STILL, "nu": 0.15})
    chip = Chip((25, 14, 9), settings, seed=2, inject=inject)
    chip.wait(1e5)
    assert np.abs(chip._hidden.gains - 1).max() > 0.1
    rng = np.random.default_rng(0)
    x, p = rng.standard_normal((8, 25)), [rng.standard_normal((8, 14)), None]
    p = [p[0].astype(np.float32), None]
    v = [rng.standard_normal((14, 25)).astype(np.float32), None]
    plain, pushed, beside = chip.passes(x, [Drive(), Drive(p), Drive(weights=v)])
    np.testing.assert_allclose(pushed.activities[0] - plain.activities[0], p[0], atol=2e-4)
    np.testing.assert_allclose(beside.activities[0] - plain.activities[0], plain.inputs[0] @ v[0].T, atol=5e-4)


def test_a_perturbation_of_a_sliced_layer_enters_once():
    chip = Chip(
        (25, 14),
        lives.device("slices", **{**SOUND, "read_noise": 1e-9, "floor": 0.0, "line_noise": 0.0, "adc_range": 4.0}),
    )
    x, p = np.ones((3, 25), np.float32), np.full((3, 14), 0.25, np.float32)
    plain, pushed = chip.passes(x, [Drive(), Drive([p])])
    np.testing.assert_allclose(pushed.output - plain.output, p, atol=1e-4)


def test_a_write_finds_cells_as_old_as_the_clock_says():
    """Drift during a long pass is not undone for those cells that get a pulse after it: waiting 0 s is nothing."""
    chips = [Chip((200, 9), lives.device("pulsed pairs", compensation=0, read_time=1.0), seed=1) for _ in range(2)]
    for k, chip in enumerate(chips):
        chip.forward(np.ones((100, 200), np.float32))
        if k:
            chip.wait(0.0)
        chip.program([np.full((9, 200), 0.01, np.float32)])
    one, other = (chip._hidden.arrays.fresh for chip in chips)
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("kind", ["pulsed pairs", "slices"])
def test_looking_at_cells_changes_nothing(kind):
    """Time that cells have not been followed for yet is none that passes may notice."""
    chips = [Chip((12, 9), lives.device(kind, read_time=1e-4), seed=1, oracle=True) for _ in range(2)]
    x = np.ones((7, 12), np.float32)
    for k, chip in enumerate(chips):
        chip.forward(x)
        if k:
            chip.cells()
    np.testing.assert_array_equal(*(chip.forward(x).output for chip in chips))
    one, other = (snapshot(chip) for chip in chips)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


# --- costs and time -------------------------------------------------------------------------------------------------


def test_costs_of_slices_and_of_calibration_reads():
    chip = Chip((24, 7, 3), lives.device("slices", tile_columns=2, adc_range=1.0), bias=True)
    x = np.ones((5, 24), np.float32)
    chip.passes(x, [Drive(), Drive()])
    # layer 1: 25 inputs in 2 tiles, 7 outputs in 4; layer 2: 8 inputs in 1 tile, 3 outputs in 2; 2 slices of each
    cost = chip.cost.as_dict()
    assert cost["mvms"] == 10 * 2 * (2 * 4 + 1 * 2)
    assert cost["dac_conversions"] == 10 * (25 * 4 + 8 * 2)
    assert cost["adc_conversions"] == 10 * 2 * (7 * 2 + 3 * 1)
    assert cost["cells_written_at_start"] == 4 * chip.network.cells
    assert (cost["passes"], cost["samples"], cost["pulses"]) == (2, 10, 0)


def test_the_clock_counts_reads_and_waits():
    chip = Chip((9, 5, 4), lives.device("pulsed pairs", adc_range=1.0, read_time=0.25))
    assert chip.clock == 0
    chip.passes(np.ones((3, 9), np.float32), [Drive(), Drive()])
    assert chip.clock == 3 * 2 * 2 * 0.25  # rows, passes, layers
    chip.wait(10.0)
    assert chip.clock == 13 + 2 * 16 * 2 * 0.25  # and two calibration reads of 16 rows
    assert (chip.cost.passes, chip.cost.samples) == (4, 6 + 32)


# --- what must not change anything ----------------------------------------------------------------------------------


def bits(chip, observations):
    out = [a.tobytes() for o in observations for a in (*o.inputs, *o.activities)]
    return out + [a.tobytes() for a in snapshot(chip).values()]


def live(kind, steps, sizes=(90, 100, 20), rows=2 * BLOCK_ROWS + 70, chip=None, first=0):
    """Passes, writes and waits; every bit that comes by."""
    chip = chip or Chip(sizes, lives.device(kind), seed=4, bias=True)
    found = []
    for step in range(first, first + steps):
        rng = np.random.default_rng(step)
        x = rng.standard_normal((rows, sizes[0])).astype(np.float32)
        p = [(0.1 * rng.standard_normal((rows, n))).astype(np.float32) for n in sizes[1:]]
        found.append(bits(chip, chip.passes(x, [Drive(), Drive(p)])))
        chip.program([(0.02 * rng.standard_normal(s)).astype(np.float32) for s in chip.network.shapes])
        if step % 2:
            chip.wait(3.0 * step)
        found.append(bits(chip, []))
    return chip, found


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing(kind):
    found = []
    for count in (1, 3):
        with execution.threads(count):
            found.append(live(kind, 2)[1])
    assert found[0] == found[1]


@pytest.mark.parametrize("read_time", [0.0, 0.01, 0.0123])
@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_in_chunks_is_the_batch(kind, read_time):
    """With states that go on from chunk to chunk, and a clock that drift could follow between them."""
    sizes, block = (12, 9, 5), BLOCK_ROWS
    rows = 2 * block + 30
    whole, parts = (Chip(sizes, lives.device(kind, read_time=read_time), seed=2) for _ in range(2))
    x = np.random.default_rng(0).standard_normal((rows, 12)).astype(np.float32)
    p = [np.random.default_rng(1).standard_normal((rows, n)).astype(np.float32) for n in sizes[1:]]
    for _ in range(2):
        expected = whole.passes(x, [Drive(), Drive(p)])
        found = [
            parts.passes(x[a : a + block], [Drive(), Drive([v[a : a + block] for v in p])], first_sample=a)
            for a in range(0, rows, block)
        ]
        for k, observation in enumerate(expected):
            for name in ("inputs", "activities"):
                for layer in range(2):
                    pieces = np.concatenate([getattr(f[k], name)[layer] for f in found])
                    np.testing.assert_array_equal(getattr(observation, name)[layer], pieces)
        assert whole.cost == parts.cost
        for one in (whole, parts):
            one.program([np.full(s, 0.05, np.float32) for s in one.network.shapes])
            one.wait(1.5)
    one, other = snapshot(whole), snapshot(parts)
    for name in one:
        if name in ("times", "since"):  # sums of other parts
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
        else:
            np.testing.assert_array_equal(one[name], other[name], name)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, "closed loop"])
def test_a_restart_goes_on_with_the_same_bits(kind, used):
    sizes, rows = (12, 9, 5), 7
    chip, _ = live(kind, 3, sizes, rows)
    saved = {name: array.copy() for name, array in snapshot(chip).items()}
    resumed = Chip(sizes, lives.device(kind), seed=4, bias=True)
    if used:
        live(kind, 1, sizes, rows, resumed)
        resumed.wait(5.0)
    restore(resumed, saved)
    after, again = (live(kind, 3, sizes, rows, one, 3)[1] for one in (chip, resumed))
    assert after == again
    assert [a.tobytes() for c in chip_cells(chip) for a in c] == [a.tobytes() for c in chip_cells(resumed) for a in c]


def chip_cells(chip):
    return chip._hidden.arrays.show(chip.clock)


@pytest.mark.parametrize("kind", KINDS)
def test_passes_aside_leave_no_trace(kind):
    """Nor on the clock, on the states of cells, on their ages; and what comes after is as if they had not been."""
    (chip, _), (twin, _) = (live(kind, 2, (12, 9, 5), 7) for _ in range(2))
    before = bits(chip, []), chip.cost.as_dict(), chip.clock
    x = np.random.default_rng(9).standard_normal((BLOCK_ROWS + 3, 12)).astype(np.float32)
    with chip.aside():
        seen = [chip.forward(x).output.copy() for _ in range(2)]
        chip.passes(9 * x[:5], [Drive(), Drive()])
        assert chip.cost.as_dict() != before[1]
    assert (bits(chip, []), chip.cost.as_dict(), chip.clock) == before
    assert not np.array_equal(*seen)
    assert live(kind, 3, (12, 9, 5), 7, chip, 2)[1] == live(kind, 3, (12, 9, 5), 7, twin, 2)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_chip_shows_nothing_of_its_cells_to_who_has_no_access(kind):
    chip = Chip((6, 5), lives.device(kind))
    for ask in (chip.cells, lambda: chip.oracle(Batch(None, None, None))):
        with pytest.raises(PermissionError):
            ask()
