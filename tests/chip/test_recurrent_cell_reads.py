"""Recurrent layers on devices whose cells are read one by one: each read of each step by the definition.

Chips of cell_device.py against naive.py, row by row, with the states of cells that reads leave behind; and what
threads, chunks and chips side by side must not change. Statistics come from fixed seeds, at the significance that each
test states.
"""

import numpy as np
import pytest
from scipy import stats

import noisysim
from noisysim import Chip, Drive, learners
from noisysim.chip.chip import snapshot
from noisysim.compute import backends, execution, losses
from noisysim.compute.observation import Batch
from noisysim.networks.layers import recurrent
from noisysim.networks.recurrent_kinds import GATES, READS

import cell_device as bench
import cell_lives as lives
import naive

CELLS = pytest.mark.parametrize("cell", GATES)
STEPS, FEATURES, UNITS, OUTPUTS = 3, 3, 4, 2
KINDS = ["pulses", "pulsed pairs"]
STILL = {
    **dict.fromkeys((*bench.FAULTS, "nu", "nu_spread"), 0.0), "compensation": 0, "adc_range": 4.0, "tile_rows": 4,
}  # fmt: skip
"""Cells that neither age nor fail: a whole call finds them as they are."""
TELEGRAPH = "crossbar:telegraph=0.1,tau_capture=1e-6,tau_emission=1e-6"
BY_CELL = {
    "telegraph": TELEGRAPH,
    "shifting": lives.device("pulses", **STILL),
    "noisy": lives.device("pulsed pairs", **{**STILL, "tau_up": 0.0, "amplitude": 0.0, "amplitude_spread": 0.0}),
}  # fmt: skip
"""A built-in device, and those of the tests with states and without."""


def layers(cell, returns="all"):
    return [(1, STEPS, FEATURES), recurrent(UNITS, cell, returns), OUTPUTS]


def batch(chip, rows=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows * chip.chips, STEPS * FEATURES)).astype(np.float32)
    return Batch(x, np.eye(OUTPUTS, dtype=np.float32)[rng.integers(0, OUTPUTS, len(x))], losses.get("cce"))


def drives(chip, rows, rng, put=np.asarray):
    """None; on all lines; on outputs; beside the weights; on the second array's lines alone."""
    net = chip.network

    def drawn(size, shapes):
        return [put((size * rng.standard_normal(shape)).astype(np.float32)) for shape in shapes]

    p = drawn(0.3, [net.line_shape(layer, rows) for layer in range(net.depth)])
    u = drawn(0.3, [net.output_shape(layer, rows) for layer in range(net.depth - 1)])
    v = drawn(0.1, [(chip.chips * n_out, n_in) for n_out, n_in in net.shapes])
    return [Drive(), Drive(p), Drive(outputs=[*u, None]), Drive(weights=v), Drive([None, p[1], None])]


# --- against the definition -----------------------------------------------------------------------------------------


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class Sequential(lives.Life):
    """A chip with a recurrent layer between two other arrays, and the states of its cells by the definition."""

    def __init__(self, kind, cell, **settings):
        super().__init__(kind, layers(cell), **{**STILL, **settings})
        self.cell, self.hidden, self.n_in = cell, self.chip._hidden, self.chip.network.fan_in
        self.positions = [STEPS, STEPS * READS[cell], 1]
        self.states = [np.zeros((self.sides, *shape)) for shape in self.shapes]
        self.rows, self.columns = lives.expected_lines(self)
        self.interval = sum(self.positions) * self.device.read_time
        self.last_read = -1e12  # states are in balance before they are read

    def begin(self, x, drives):
        """What the next call is counted from."""
        self.now, self.first_pass = self.cells(), self.hidden.next_pass
        self.waited = self.interval + self.chip.clock - self.last_read
        return [([np.zeros((len(x), p, s[1])) for p, s in zip(self.positions, self.shapes, strict=True)],
                 [np.zeros((len(x), p, s[0])) for p, s in zip(self.positions, self.shapes, strict=True)])
                for _ in drives]  # fmt: skip

    def read_row(self, layer, sample, t, p, source, drive):
        """What drives a layer's tiles at one position, and what the periphery reads of them; states move on."""
        d, (n_out, n_in), number = self.device, self.shapes[layer], self.first_pass + p
        at, key = sum(shape[1] for shape in self.shapes[:layer]), self.hidden.keys["noise"][0]
        gain, offset, _ = self.rows[:, at : at + n_in - 1]
        driven = np.append(naive.driven_by(source[None], d, gain, offset)[0], 1.0)
        bent, row, read = naive.bent(driven[None], d), sample * self.positions[layer] + t, np.zeros(n_out)
        seconds = [self.waited if row + p == 0 else self.interval / self.positions[layer]]
        column = sum(len(naive.tiles(s[1], d.tile_rows)) * s[0] for s in self.shapes[:layer])
        for k, (a, b) in enumerate(naive.tiles(n_in, d.tile_rows)):
            own = {field: values[:, :, a:b] for field, values in self.own[layer].items()}
            cells, worth = self.now[layer][:, :, a:b], naive.slice_worth(self.n_in[layer], d)[0]
            line, self.states[layer][:, :, a:b] = naive.cell_by_cell(
                bent[:, a:b], cells, self.states[layer][:, :, a:b], own, self.middle[layer][:, a:b], worth, (layer, k),
                (row, number, key), seconds, d,
            )  # fmt: skip
            value = line[0] + (self.added(layer, sample, t, driven, drive) if k == 0 else 0.0)
            energy = worth**2 * bent[0, a:b] ** 2 @ (naive.cell_std(cells, d) ** 2).sum(axis=0).T
            value += np.sqrt(energy + (d.line_noise * d.adc_range) ** 2) * self.draws(layer, k, sample, t, number)
            gain, offset, _ = self.columns[:, column + k * n_out : column + (k + 1) * n_out]
            read += value * (1 + gain) + offset * d.adc_range
        return driven, read

    def draws(self, layer, k, sample, t, number):
        """Noise of a tile's lines: drawn for each read of the second array, elsewhere for all positions together."""
        n, word, key = self.shapes[layer][0], naive.stream(naive.NORMAL, layer, k), self.hidden.keys["noise"][0]
        if layer == 1:
            return naive.normals(n, sample * self.positions[1] + t, number, word, key)
        return naive.normals(n * self.positions[layer], sample, number, word, key)[t * n : (t + 1) * n]

    def added(self, layer, sample, t, driven, drive):
        if drive.weights and drive.weights[layer] is not None:
            return drive.weights[layer].astype(float) @ driven
        if drive.perturbations and drive.perturbations[layer] is not None:
            return drive.perturbations[layer].reshape(-1, self.positions[layer], self.shapes[layer][0])[sample, t]
        return 0.0

    def read(self, layer, sample, t, p, source, drive, found):
        inputs, lines = found[p]
        inputs[layer][sample, t], lines[layer][sample, t] = self.read_row(layer, sample, t, p, source, drive)
        return lines[layer][sample, t]

    def passes(self, x, drives):
        """Inputs and activities of every pass that comes next: layer by layer, pass by pass, sample by sample."""
        found, given = self.begin(x, drives), {}
        for layer, run in enumerate((self.features, self.recurrence, self.output)):
            for p, drive in enumerate(drives):
                for sample in range(len(x)):
                    given[p, layer, sample] = run(x, p, sample, drive, given, found)
                    if drive.outputs and layer < 2:
                        given[p, layer, sample] = given[p, layer, sample] + drive.outputs[layer][sample].reshape(-1)
        return found

    def features(self, x, p, sample, drive, given, found):
        steps = x[sample].astype(float).reshape(STEPS, FEATURES)
        return np.concatenate([self.read(0, sample, t, p, row, drive, found) for t, row in enumerate(steps)])

    def recurrence(self, x, p, sample, drive, given, found):
        h, c, outputs = np.zeros(UNITS), np.zeros(UNITS), []
        for t, a in enumerate(given[p, 0, sample].reshape(STEPS, -1)):
            reads = READS[self.cell]
            b = self.read(1, sample, t * reads, p, h, drive, found)
            if self.cell == "rnn":
                h = np.tanh(a + b)
            elif self.cell == "lstm":
                i, f, g, o = np.split(a + b, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
            else:
                (ar, az, an), (br, bz, bn) = np.split(a, 3), np.split(b, 3)
                r, z = sigmoid(ar + br), sigmoid(az + bz)
                candidate = an + r * bn
                if reads > 1:
                    candidate = an + self.read(1, sample, t * reads + 1, p, r * h, drive, found)[2 * UNITS :]
                h = (1 - z) * np.tanh(candidate) + z * h
            outputs.append(h)
        return np.concatenate(outputs)

    def output(self, x, p, sample, drive, given, found):
        return self.read(2, sample, 0, p, given[p, 1, sample], drive, found)


def assert_observed(observations, expected):
    for observation, (inputs, lines) in zip(observations, expected, strict=True):
        for found, wanted in ((observation.inputs, inputs), (observation.activities, lines)):
            for one, other in zip(found, wanted, strict=True):
                np.testing.assert_allclose(one.reshape(other.shape), other, rtol=0, atol=5e-5 * np.abs(other).max())


@CELLS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.covering(1)
def test_every_read_is_that_of_the_definition(kind, cell):
    """Fresh, and after time: what each step reads, and the states that all reads leave behind."""
    life = Sequential(kind, cell, read_noise=0.02)
    for rows, seconds in ((3, 0.0), (1, 0.15), (2, 0.0)):
        life.chip.wait(seconds)
        x = life.rng.standard_normal((rows, STEPS * FEATURES)).astype(np.float32)
        given = drives(life.chip, rows, life.rng)
        expected = life.passes(x, given)
        assert_observed(life.chip.passes(x, given), expected)
        life.last_read = life.chip.clock
        states = np.concatenate([s.reshape(life.sides, -1) for s in life.states], axis=1)
        np.testing.assert_array_equal(life.hidden.states[: life.sides], states)
        assert 0.05 < states.mean() < 0.95


# --- statistics -----------------------------------------------------------------------------------------------------


def weights_seen(device, steps, rows):
    """The recurrent weight of a network of one unit as each read but the first of a sample sees it, (rows, reads)."""
    chip = Chip([(1, steps, 1), recurrent(1, "rnn"), 1], device, seed=5, oracle=True)
    seen = chip.forward(np.ones((rows, steps), np.float32))
    inputs, lines = (part[1][:, 1:, 0].astype(float) for part in (seen.inputs, seen.activities))
    assert np.abs(inputs).min() > 0.01
    return chip, lines / inputs


QUIET = {
    **STILL, "read_time": 0.02, "cell_noise": 0.0, "jitter": 0.0, "line_noise": 0.0, "bend": 0.0, "amplitude": 0.0,
    "amplitude_spread": 0.0, "dac_gain_spread": 0.0, "dac_offset_spread": 0.0, "adc_gain_spread": 0.0,
    "adc_offset_spread": 0.0,
}  # fmt: skip


def test_steps_are_reads_of_time():
    """Telegraph noise: how often a cell is up, and how likely a change is from one step to the next, each within 4.5
    standard errors (7e-6)."""
    steps, rows = 400, 20
    settings = {**QUIET, "amplitude": -0.3, "tau_up": 0.3, "tau_down": 0.1}
    chip, seen = weights_seen(lives.device("pulses", **settings), steps, rows)
    middle = (seen.max() + seen.min()) / 2
    cell = chip.cells()[1].plus[0, 0]
    assert np.ptp(seen) == pytest.approx(0.3 * cell * naive.slice_worth(1, chip.device)[0], rel=1e-3)
    up, rest = seen < middle, 0.1 / 0.4
    between = 0.02 * (2 * steps + 1) / steps
    keep = np.exp(-between * (1 / 0.3 + 1 / 0.1))
    for before, expected in ((up, rest + (1 - rest) * keep), (~up, rest - rest * keep)):
        share, n = up[:, 1:][before[:, :-1]].mean(), before[:, :-1].sum()
        assert abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / n)
    effective = up.size * (1 - keep) / (1 + keep)
    assert abs(up.mean() - rest) < 4.5 * np.sqrt(rest * (1 - rest) / effective)


def test_a_crossbars_traps_remember_from_step_to_step():
    """Both cells of a weight have one: what two steps share, within 4.5 standard errors (7e-6)."""
    steps, rows = 400, 20
    exact = "adc_bits=0,dac_bits=0,line_noise=0,read_noise=0,read_time=1e-7"
    _, seen = weights_seen(f"{TELEGRAPH},{exact}", steps, rows)
    expected = np.exp(-1e-7 * (2 * steps + 1) / steps * 2e6)
    found = np.corrcoef(seen[:, 1:].ravel(), seen[:, :-1].ravel())[0, 1]
    assert abs(found - expected) < 4.5 * np.sqrt((1 - expected**2) / seen.size)


def test_every_step_draws_noise_of_its_own():
    """Of both cells of a weight, normal (KS at 1e-3), and independent from step to step and sample to sample (4.5
    standard errors)."""
    settings = {**QUIET, "cell_noise": 0.05, "tau_up": 0.0}
    chip, seen = weights_seen(lives.device("pulsed pairs", **settings), 60, 200)
    cells, worth = chip.cells()[1], naive.slice_worth(1, chip.device)[0]
    mean, std = worth * (cells.plus - cells.minus)[0, 0], 0.05 * worth * np.hypot(cells.plus, cells.minus)[0, 0]
    assert stats.kstest((seen.ravel() - mean) / std, "norm").pvalue > 1e-3
    for one, other in ((seen[:, 1:], seen[:, :-1]), (seen[1:], seen[:-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4.5 / np.sqrt(one.size)


# --- what must not change anything ----------------------------------------------------------------------------------

DEVICES = pytest.mark.parametrize("device", BY_CELL)


def bits(chip, observations):
    arrays = [array for one in observations for array in (*one.inputs, *one.activities)]
    return [array.tobytes() for array in (*arrays, *snapshot(chip).values())]


@DEVICES
def test_threads_and_chunks_change_nothing(device):
    """More than a block of samples, in passes that see each other's states."""
    rows, found = execution.BLOCK_ROWS + 250, []
    x = np.random.default_rng(3).standard_normal((rows, STEPS * FEATURES)).astype(np.float32)
    for threads in (1, 2, 3):
        with execution.threads(threads):
            chip = Chip(layers("lstm"), BY_CELL[device], seed=4, bias=True)
            chip.calibrate(x[:32])
            found.append(bits(chip, chip.passes(x, [Drive(), Drive()])))
    assert found[0] == found[1] == found[2]
    whole = chip.passes(x, [Drive(), Drive()])[1].output
    again = Chip(layers("lstm"), BY_CELL[device], seed=4, bias=True)
    again.calibrate(x[:32])
    again.passes(x, [Drive(), Drive()])
    for first, last in ((0, execution.BLOCK_ROWS), (execution.BLOCK_ROWS, rows)):
        part = again.passes(x[first:last], [Drive(), Drive()], first_sample=first)[1].output
        np.testing.assert_array_equal(part, whole[first:last])
    assert bits(again, []) == bits(chip, [])


@DEVICES
def test_chips_side_by_side_are_chips_alone(device):
    given = {"bias": True, "decorrelate": True}
    both = Chip(layers("gru"), BY_CELL[device], seed=[3, 8], chips=2, **given)
    alone = [Chip(layers("gru"), BY_CELL[device], seed=seed, **given) for seed in (3, 8)]
    data = batch(alone[0], 9)
    seen = both.passes(np.concatenate([data.inputs, data.inputs]), [Drive(), Drive()])
    for chip, rows in zip(alone, (slice(9), slice(9, 18)), strict=True):
        for one, other in zip(chip.passes(data.inputs, [Drive(), Drive()]), seen, strict=True):
            for part, of_both in zip(one.activities, other.activities, strict=True):
                np.testing.assert_array_equal(part, of_both[rows])


# --- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
@pytest.mark.covering(1)
def test_backpropagation_through_time_is_that_of_the_same_weights(kind, cell):
    settings = {**QUIET, "cell_noise": 1e-9, "amplitude": -1e-9}
    chip = Chip(layers(cell), lives.device(kind, **settings), seed=2, oracle=True)
    data = batch(chip)
    oracle = chip.oracle(data)
    exact = Chip(layers(cell), "ideal", init=[w.copy() for w in oracle.weights])
    expected = exact.oracle(data).gradient(exact.passes(data, [Drive()])[0])
    for found, wanted in zip(oracle.gradient(chip.passes(data, [Drive()])[0]), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("name", learners.names())
def test_every_rule_learns_or_says_why_not(name):
    rule = learners.get(name)
    init = {"init": "zero"} if name == "shadow" else {}
    chip = Chip(layers("gru"), TELEGRAPH, seed=1, decorrelate=bool(rule.decorrelation), oracle=True, **init)
    data = batch(chip)
    if name == "learned-fa":
        with pytest.raises(ValueError, match="chains of layers"):
            noisysim.prepare(rule, chip, data)
        return
    state, before = noisysim.prepare(rule, chip, data), [w.copy() for w in chip.oracle(data).weights]
    for _ in range(2):
        observations = chip.passes(data, rule.drives(state, len(data.inputs)), training=True)
        gradient, state = rule.update(state, observations, oracle=chip.oracle(data))
        if gradient is not None:
            assert all(np.isfinite(g).all() for g in gradient)
            chip.program([-0.1 * g / max(np.abs(g).max(), 1e-9) for g in gradient])
            moved = [np.abs(now - w).max() for now, w in zip(chip.oracle(data).weights, before, strict=True)]
            assert max(moved) > 0


@pytest.mark.parametrize("learner", ["bp", "danp"])
def test_a_run_learns_and_is_resumed_to_the_bit(tmp_path, learner):
    settings = {
        "task": "digits", "layers": [recurrent(8, "gru")], "device": TELEGRAPH, "learner": learner, "oracle": True,
        "seed": 1, "batch_size": 100, "learning_rate": 1e-2, "optimizer": "adam",
    }  # fmt: skip
    whole, path = noisysim.run(**settings, epochs=2), tmp_path / "half.h5"
    noisysim.run(**settings, epochs=1, out=path)
    resumed = noisysim.resume(path, epochs=2)
    np.testing.assert_array_equal(whole.history["train_loss"], resumed.history["train_loss"])
    assert whole.history["train_loss"][1] < whole.history["train_loss"][0]


# --- on a GPU -------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("device", [*BY_CELL, "compensated"])
@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.covering(1)
def test_a_gpu_reads_what_the_cpu_reads(device, cell, at_once, monkeypatch):
    """Two chips, whatever number of samples the states are kept of; states are the same to the bit."""
    from noisysim.compute.cuda import cell_reads

    if not at_once:
        monkeypatch.setattr(cell_reads, "SEEN", 1)
    unrounded = {
        **BY_CELL, "telegraph": f"{TELEGRAPH},adc_bits=0,dac_bits=0",
        "compensated": lives.device("pulsed pairs", adc_range=4.0, tile_rows=4),
    }  # fmt: skip
    made, results = unrounded[device], []
    for name in ("cpu", "cuda"):
        place = backends.get(name)
        chip = Chip(layers(cell), made, seed=4, bias=True, decorrelate=True, chips=2, backend=name)
        data, given = batch(chip, 2), drives(chip, 4, np.random.default_rng(5), place.put)
        arrays = []
        for seconds, inputs_of in ((0.0, "all"), (1e-6, "first")):
            chip.wait(seconds)
            observed = chip.passes(place.put(data.inputs), given, inputs_of=inputs_of)
            arrays += [place.take(a) for o in observed for a in (*o.activities, *o.inputs)]
        results.append((arrays, place.take(chip._hidden.states).copy()))  # which the chip erases with itself
    (one, states), (other, of_gpu) = results
    np.testing.assert_array_equal(states, of_gpu)
    for found, wanted in zip(other, one, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())
