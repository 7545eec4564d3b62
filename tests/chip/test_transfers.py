"""Controllers with a second array: against their definition, closed forms, and what holds of all of them."""

import copy
import pickle
from functools import partial

import naive_transfers as definition
import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, devices, learners, losses, optimizers
from noisysim.chip.chip import restore, snapshot
from noisysim.compute import backends, execution
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term
from noisysim.devices.controllers import CHOPPED, TRANSFERS
from noisysim.networks.layers import conv

SOFT = {
    "weight_bound": 1.0, "read_noise": 0.0, "line_noise": 0.0, "adc_bits": 0, "pulse_step": 0.005, "gamma_up": 1.0,
    "gamma_down": 1.0,
}  # fmt: skip
LINEAR = {**SOFT, "gamma_up": 0.0, "gamma_down": 0.0}
STEP = 0.01
"""Of a pulse, in weights."""


def chip_on(cells, sizes=(10, 12), init="zero", weight_scaling="fixed", **fields):
    device = devices.get("pulsed", **{**cells, **fields})
    return Chip(list(sizes), device, seed=3, oracle=True, init=init, decorrelate=False, weight_scaling=weight_scaling)


def positions(arrays):
    """Weights that an array of one layer holds, (n_out, n_in)."""
    return arrays.weights.reshape(arrays.net.shapes[0]).astype(float)


# --- against the definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("controller", "scaled"),
    [(kind, {}) for kind in TRANSFERS]
    + [(kind, {"fast_pulses": 5.3}) for kind in TRANSFERS]
    + [(kind, {"fast_pulses": 2.5, "transfer_gain": 0.7, "chop_rate": 1 / 8}) for kind in CHOPPED]
    + [("agad", {"fast_pulses": 5.3, "slow_pulses": 3.0}), ("tiki_taka", {"fast_pulses": 5.3, "slow_pulses": 30.0})],
)
def test_updates_are_those_of_the_definition(controller, scaled):
    """Whole pulses, noisy reads of some columns in turn; both arrays, signs, references and what is left.

    Scaled changes are no whole pulses, and rounded by chance.
    """
    of_transfers = {"transfer_every": 2, "transfer_columns": 4, "transfer_rate": 0.05, "chop_rate": 0.25, **scaled}
    start = np.linspace(-0.5, 0.5, 120).reshape(12, 10).astype(np.float32)
    chip = chip_on(SOFT, init=[start], asymmetry=0.3, line_noise=0.01, controller=controller, **of_transfers)
    arrays = chip._hidden.arrays
    rounding_keys = arrays.write_keys[0], arrays.fast.write_keys[0]
    expected = definition.Second(controller, start.astype(float), chip.device, arrays.keys[0], rounding_keys)
    rng = np.random.default_rng(1)
    for _ in range(60):
        pulses = rng.integers(-4, 8, (12, 10))
        chip.program([(pulses * STEP).astype(np.float32)])
        expected.update(pulses)
    assert np.abs(expected.slow - start).max() > 0.2
    np.testing.assert_allclose(positions(arrays.fast), expected.fast, atol=2e-5)
    np.testing.assert_allclose(positions(arrays), expected.slow, atol=2e-5)
    if controller in CHOPPED:
        np.testing.assert_array_equal(arrays.signs[0][0], expected.signs)
        assert (expected.signs < 0).any()
    if controller == "agad":
        np.testing.assert_allclose(arrays.references[0], expected.reference, atol=2e-5)
        np.testing.assert_allclose(arrays.means[0], expected.mean, atol=2e-5)
        assert expected.reference.any()
    if controller != "tiki_taka":
        np.testing.assert_allclose(arrays.chi.reshape(12, 10), expected.chi, atol=2e-3)
    if scaled:
        assert arrays.entering.largest[0].item() == pytest.approx(expected.largest * STEP, rel=1e-5)


def test_a_read_has_the_noise_of_cells_and_lines_and_the_steps_of_the_adc():
    chip = chip_on(LINEAR, (300, 200), controller="tiki_taka", line_noise=0.01, read_noise=0.04)
    arrays, d = chip._hidden.arrays, chip.device
    arrays.fast.write(np.full(60000, 0.3, np.float32), True, 0.0)
    read = arrays._read(0, 100, 300, number=7).astype(float)
    of_cell = 0.04 * 2 * (d.g_min + 0.65 * (d.g_max - d.g_min)) / (d.g_max - d.g_min)
    assert read.shape == (200, 200)
    assert read.mean() == pytest.approx(0.3, rel=0.01)
    assert read.var() == pytest.approx(of_cell**2 + 0.02**2, rel=0.03)
    np.testing.assert_array_equal(read, arrays._read(0, 0, 300, number=7)[:, 100:])  # which others are read is nothing
    assert np.abs(arrays._read(0, 100, 300, number=8) - read).max() > 0.05
    digital = chip_on(LINEAR, (30, 20), controller="tiki_taka", line_noise=0.01, adc_bits=6)
    codes = digital._hidden.arrays._read(0, 0, 30, number=7) / (2 / 63)
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
    assert len(np.unique(np.rint(codes))) > 1


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", TRANSFERS)
def test_a_constant_gradient_moves_the_weights_by_its_sum(controller):
    """A holds k c after k updates of c, of which a transfer gives the share of the time since the last one to C.

    From cells with equal steps, which forget nothing: C is rate c n^2 / 2. Under agad periods of n updates have no
    end yet.
    """
    n, c, rate = 80, 0.004, 0.02
    fields = {"controller": controller, "transfer_columns": 5, "transfer_rate": rate, "chop_rate": 0.0}
    chip = chip_on(LINEAR, (10, 2000), pulse_step=0.0005, **fields)
    for _ in range(n):
        chip.program([np.full((2000, 10), c, np.float32)])
    arrays = chip._hidden.arrays
    np.testing.assert_allclose(positions(arrays.fast).mean(), n * c, rtol=0.01)
    sums = [sum(2 * rate * c * k for k in range(1, n + 1) if k % 2 == half) for half in (0, 1)]
    found = positions(arrays).mean(axis=0)
    lost = 0.0005 if controller != "tiki_taka" else 0.0  # half a pulse is left in an accumulator
    np.testing.assert_allclose(found[:5], sums[0] - lost, rtol=0.02)
    np.testing.assert_allclose(found[5:], sums[1] - lost, rtol=0.02)


@pytest.mark.parametrize(
    ("controller", "chop_rate"), [("agad", 0.5), ("agad", 0.1), ("chopped", 0.5), ("chopped", 0.2)]
)
def test_a_gain_is_what_the_weights_get_of_the_changes_asked_for(controller, chop_rate):
    """In layers whose columns are read each update, and each fourth; under agad also where the reference lags."""
    n, c, gain = 400, 0.001, 0.5
    fields = {"controller": controller, "transfer_columns": 50, "transfer_gain": gain, "chop_rate": chop_rate}
    fields |= {"pulse_step": 0.0001, "transfer_every": 1, "weight_bound": 4.0}
    chip = chip_on(LINEAR, (200, 50, 40), **fields)
    for _ in range(n):
        chip.program([np.full(shape, c, np.float32) for shape in ((50, 200), (40, 50))])
    wide, narrow = (weights.mean() for weights in chip._hidden.arrays.weight_arrays())
    spread = 0.05 if controller == "agad" else 0.2  # of the last period, and of signs that turn by chance
    assert wide == pytest.approx(gain * n * c, rel=spread)
    assert narrow == pytest.approx(gain * n * c, rel=spread)


@pytest.mark.parametrize("controller", TRANSFERS)
def test_scaled_changes_give_the_same_pulses_however_small_they_are(controller):
    """A cannot tell what was asked for from a tenth of it, and C gets a tenth."""
    fields = {"controller": controller, "transfer_columns": 10, "transfer_rate": 0.1, "fast_pulses": 3.0}
    chips = [chip_on(LINEAR, (10, 200), pulse_step=0.00005, weight_bound=4.0, **fields) for _ in range(2)]
    rng = np.random.default_rng(3)
    for _ in range(40):
        change = (rng.standard_normal((200, 10)) + 0.5).astype(np.float32)
        for chip, size in zip(chips, (0.004, 0.0004), strict=True):
            chip.program([size * change])
    one, tenth = (chip._hidden.arrays for chip in chips)
    assert (np.abs(positions(one.fast) - positions(tenth.fast)) > 1e-5).mean() < 1e-3  # of rounding, now and then
    largest = np.abs(change).max()
    assert one.entering.largest[0].item() == pytest.approx(0.004 * largest, rel=0.3)
    step = 2 * 0.00005 * 4.0
    moved = [positions(arrays) + step * arrays.chi.reshape(200, 10) if arrays.chi.size else positions(arrays)
             for arrays in (one, tenth)]  # fmt: skip
    assert moved[1].mean() == pytest.approx(0.1 * moved[0].mean(), rel=0.02)
    chips[0].program([np.zeros((200, 10), np.float32)])
    assert one.entering.largest[0].item() > 0  # an update without a change says nothing of their size


def test_the_weights_get_no_more_pulses_than_they_are_to():
    """The largest change asks for 20 pulses, of which C gets 2: a tenth of all; of one that asks for 1 it gets all."""
    fields = {"controller": "agad", "transfer_columns": 10, "transfer_gain": 1.0, "chop_rate": 0.5, "fast_pulses": 8.0}
    gains = []
    for most, asked in ((0.0, 20), (2.0, 20), (2.0, 1)):
        chip = chip_on(LINEAR, (10, 400), pulse_step=0.00005, weight_bound=4.0, slow_pulses=most, **fields)
        arrays, change = chip._hidden.arrays, asked * 2 * 0.00005 * 4.0
        for _ in range(40):
            chip.program([np.full((400, 10), change, np.float32)])
        gains.append(positions(arrays).mean() / (40 * change))
    np.testing.assert_allclose(gains, [1.0, 0.1, 1.0], rtol=0.06)


OFFSET = {**SOFT, "asymmetry": 0.3, "transfer_rate": 0.01}
"""Cells whose symmetric point is a weight of 0.3."""


def without_a_gradient(controller, updates=300, sizes=(10, 60), **fields):
    """A chip after pulses up and down by turns of chance, which should cancel."""
    chip = chip_on({**OFFSET, "asymmetry_spread": 0.1, "controller": controller, **fields}, sizes)
    rng = np.random.default_rng(2)
    for _ in range(updates):
        chip.program([(3 * STEP * rng.choice([-1, 1], sizes[::-1])).astype(np.float32)])
    return chip


def symmetric_points(chip):
    """Where steps up and down of A's cells are equal: (1 + a)(1 - w) = (1 - a)(1 + w), w = a."""
    fast = chip._hidden.arrays.fast
    places = list(fast.spreads["cell"])
    return fast.own[places.index("asymmetry"), 0].reshape(fast.net.shapes[0]).astype(float)


def test_without_a_gradient_the_second_array_stands_at_its_symmetric_point():
    chip = without_a_gradient("tiki_taka")
    arrays = chip._hidden.arrays
    found = positions(arrays.fast)
    assert np.abs(symmetric_points(chip).mean() - 0.3) < 0.02
    assert found.mean() == pytest.approx(symmetric_points(chip).mean(), abs=0.02)
    assert np.corrcoef(found.ravel(), symmetric_points(chip).ravel())[0, 1] > 0.5
    assert positions(arrays).mean() > 0.5  # and C goes where that tells it to


@pytest.mark.parametrize("update", ["net", "pulse_trains"])
@pytest.mark.parametrize("controller", TRANSFERS)
def test_cells_between_groups_are_not_asked_to_change(controller, update):
    """What noisy reads of the second array's cells there tell is no change of a weight."""
    fields = {"transfer_rate": 0.2, "transfer_columns": 36, "line_noise": 0.05}
    device = devices.get("pulsed", **{**SOFT, **fields, "controller": controller, "update": update})
    chip = Chip([(4, 3, 3), conv(6, 3, groups=2), "output()"], device, seed=3, decorrelate=False)
    arrays, held = chip._hidden.arrays, chip.network.blocks_of_weights[0] > 0
    before, rng = positions(arrays), np.random.default_rng(2)
    for _ in range(10):
        x, s = (rng.standard_normal((4, 1, n)).astype(np.float32) for n in (36, 6))
        if update == "net":
            chip.program([STEP * np.einsum("bpo,bpi->oi", s, x)])
        else:
            factors = Factors([Term(np.ones(4), [s])], [x], (), 1)
            chip.descend(factors, partial(optimizers.SGD().step, {}, 0.05))
    moved = positions(arrays) - before
    np.testing.assert_array_equal(moved[~held], 0)
    assert np.abs(moved[held]).max() > 10 * STEP


@pytest.mark.parametrize("controller", TRANSFERS)
def test_zero_shifting_takes_the_symmetric_point_for_zero(controller):
    """Of each cell; then nothing is transferred without a gradient."""
    chip = without_a_gradient(controller, updates=0, zero_shift_pulses=500)
    np.testing.assert_allclose(chip._hidden.arrays.references[0], symmetric_points(chip), atol=0.01)
    assert chip.cost.pulses == 0  # of learning
    shifted = without_a_gradient(controller, updates=200, zero_shift_pulses=500, chop_rate=0.02)
    assert abs(positions(shifted._hidden.arrays).mean()) < 0.05
    counted = without_a_gradient(controller, updates=200, zero_shift=1, chop_rate=0.02)
    assert abs(positions(counted._hidden.arrays).mean()) < 0.05  # as of a device that counts from there


def test_signs_that_turn_cancel_an_offset_and_a_moving_reference_takes_it_off():
    """A stands at 0.3: tiki_taka_v2 adds that up, signs add it and take it off in turn, a reference does neither.

    So little is transferred that C's own steps, which differ as well, matter little.
    """
    slow = {"transfer_rate": 0.001, "transfer_columns": 160, "sizes": (200, 6), "updates": 300}
    carried = {kind: positions(without_a_gradient(kind, **slow)._hidden.arrays) for kind in ("tiki_taka_v2", *CHOPPED)}
    assert carried["tiki_taka_v2"].mean() == pytest.approx(300 * 0.001 * 0.3 * 1.1, rel=0.25)  # steps up are larger
    assert abs(carried["chopped"].mean()) < 0.2 * carried["tiki_taka_v2"].mean()
    assert abs(carried["agad"].mean()) < 0.02 * carried["tiki_taka_v2"].mean()
    assert carried["agad"].std() < 0.5 * carried["chopped"].std()


@pytest.mark.parametrize("controller", TRANSFERS)
def test_a_gradient_is_followed_from_an_offset(controller):
    """Half of the weights are asked to go up, half down, by pulses of which 60 % go there."""
    chip = chip_on(OFFSET, (200, 6), controller=controller, transfer_rate=0.002, transfer_columns=160)
    rng, way = np.random.default_rng(2), np.where(np.arange(6) % 2, 1, -1)[:, None]
    for _ in range(400):
        chip.program([(3 * STEP * way * np.where(rng.random((6, 200)) < 0.6, 1, -1)).astype(np.float32)])
    up, down = (positions(chip._hidden.arrays)[half::2].mean() for half in (1, 0))
    assert up > down + 0.02
    if controller not in CHOPPED:
        assert down > 0.05  # an offset is not told from a gradient
    elif controller == "agad":
        assert down < -0.01 < 0.01 < up


def test_passes_read_both_arrays_where_the_second_counts():
    """C + gamma A, with the variances of both."""
    fields = {"controller": "tiki_taka", "transfer_gamma": 0.5, "dac_bits": 0, "transfer_rate": 0.0}
    start = np.linspace(-0.4, 0.4, 120).reshape(12, 10).astype(np.float32)
    chip = chip_on(LINEAR, init=[start], **fields)
    change = np.full((12, 10), 10 * STEP, np.float32)
    chip.program([change])
    (weights,) = chip._hidden.arrays.weight_arrays()
    np.testing.assert_allclose(weights, start + 0.5 * change, atol=1e-5)
    x = np.random.default_rng(0).standard_normal((5, 10)).astype(np.float32)
    np.testing.assert_allclose(chip.predict(x), x @ (start + 0.5 * change).T, atol=1e-4)
    noisy = chip_on({**LINEAR, "read_noise": 0.1}, init=[start], **fields)._hidden.arrays
    np.testing.assert_allclose(noisy.standing[1], noisy.variances + 0.25 * noisy.fast.variances, rtol=1e-6)


# --- rules, and updates in the array ---------------------------------------------------------------------------------


def batch(rows=8):
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, rows)]
    return Batch(rng.standard_normal((rows, 6), dtype=np.float32), targets, losses.get("cce"))


def taught(rule, controller, updates=4):
    """A chip that a rule has taught for some updates, as runs do: by factors where both take them."""
    learner, device = learners.get(rule), f"rram_gong:controller={controller},transfer_columns=2,transfer_rate=0.1"
    chip = Chip([6, 5, 3], device, decorrelate=learner.decorrelation > 0, seed=1, oracle=True)
    state = learner.init(chip.architecture, offers=chip.offers, floor=0.01)
    optimizer = optimizers.SGD()
    kept, data = optimizer.init(chip.network.shapes), batch()
    for _ in range(updates):
        oracle = chip.oracle(data) if "oracle" in learner.requires() else None
        observed = chip.passes(data, learner.drives(state, 8), training=True)
        if learner.has_factors and chip.takes_factors:
            factors, state = learner.factors(state, observed, oracle=oracle)
            assert not chip.descend(factors, partial(optimizer.step, kept, 0.5)).any()
        else:
            gradient, state = learner.update(state, observed, oracle=oracle)
            if gradient is not None:
                changes, kept = optimizer.update(gradient, kept, 0.5)
                chip.program(changes)
    return chip


@pytest.mark.parametrize("rule", learners.names())
def test_every_rule_teaches_under_every_controller(rule):
    rule += ":warmup=0" if rule.startswith("learned") else ""
    for controller in TRANSFERS:
        chip, before = taught(rule, controller), taught(rule, controller, updates=0)
        assert chip.cost.pulses > 0
        moved, started = chip._hidden.arrays, before._hidden.arrays
        for one, other in zip(moved.weight_arrays(), started.weight_arrays(), strict=True):
            assert np.isfinite(one).all()
            assert (one != other).any()
        assert (moved.fast.weights != started.fast.weights).any()


@pytest.mark.parametrize("controller", TRANSFERS)
def test_pulse_trains_meet_in_the_second_array(controller):
    """Constant signals and inputs: A goes where minus their product does, times the signs that it entered with."""
    fields = {"controller": controller, "transfer_columns": 1, "transfer_rate": 0.02, "chop_rate": 0.5}
    chip = chip_on(LINEAR, (6, 40), update="pulse_trains", pulse_step=0.0005, **fields)
    inputs = [np.tile(np.array([1, 0.5, -1, -0.5, 1, 1], np.float32), (4, 1))]
    factors = Factors([Term(np.ones(4), [np.full((4, 40), 0.3, np.float32)])], inputs, (None,), 1)
    arrays, gone, updates = chip._hidden.arrays, np.zeros(6), 18
    for _ in range(updates):
        before, signs = positions(arrays.fast), arrays.signs[0][0].copy() if arrays.signs else np.ones(6)
        assert not chip.descend(factors, partial(optimizers.SGD().step, {}, 0.1)).any()
        gone += (positions(arrays.fast) - before).mean(axis=0) * signs
    np.testing.assert_allclose(gone, -updates * 0.1 * 0.3 * inputs[0][0], rtol=0.15)
    if controller in CHOPPED:
        assert (arrays.signs[0] < 0).any()
    assert (np.sign(positions(arrays).mean(axis=0)) == -np.sign(inputs[0][0])).all()


# --- what holds of all of them ---------------------------------------------------------------------------------------

MADE = {
    **{kind: f"rram_gong:controller={kind}" for kind in TRANSFERS},
    "agad, trains": "rpu:controller=agad,update=pulse_trains",
    "agad, scaled": "rram_gong:controller=agad,fast_pulses=4,slow_pulses=1,transfer_gain=0.3",
    "residual": "pulsed:gamma_up=1,gamma_down=1,asymmetry=0.2,controller=tiki_taka,transfer_gamma=0.3,read_noise=0.02",
    "zero-shifted, leaking": (
        "pulsed:gamma_up=1,gamma_down=1,leak_time=1,controller=tiki_taka_v2,zero_shift_pulses=5,read_noise=0.02,"
        "transfer_gamma=0.2"
    ),
    "agad, vectors of pairs": "pulsed:cells_per_weight=2,slices=2,slice_bits=0,controller=agad,tile_rows=20",
}


def change_of(chip, seed, width=0.03):
    rng = np.random.default_rng(seed)
    return [(width * rng.standard_normal((chip.chips * n, m))).astype(np.float32) for n, m in chip.network.shapes]


def step(chip, seed):
    """One update."""
    if chip._hidden.arrays.trains is None:
        chip.program(change_of(chip, seed))
        return
    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal((3, n)).astype(np.float32) for _, n in chip.network.shapes]
    signals = [0.3 * rng.standard_normal((3, n)).astype(np.float32) for n, _ in chip.network.shapes]
    chip.descend(Factors([Term(np.ones(3), signals)], inputs, (None, None), 1), partial(optimizers.SGD().step, {}, 0.1))


def life(kind, threads=1):
    with execution.threads(threads):
        chip = Chip([45, 70, 30], f"{MADE[kind]},transfer_rate=0.1,chop_rate=0.5", seed=2)
        for k in range(13):  # signs of agad turn at the second read of a column, in the twelfth update
            step(chip, k)
            chip.wait(0.01)
        return chip


def same(one, other):
    a, b = snapshot(one), snapshot(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    return True


@pytest.mark.parametrize("kind", MADE)
def test_bits_do_not_depend_on_threads_or_on_where_a_chip_was_kept(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("noisysim.compute.cpu.cells.SHARE", 1 << 10)  # cells of a chip are shared out
    chip = life(kind)
    for threads in (2, 3):
        assert same(chip, life(kind, threads))
    chip.save(tmp_path / "chip.h5")
    others = [copy.copy(chip), pickle.loads(pickle.dumps(chip)), Chip.load(tmp_path / "chip.h5")]
    again = Chip([45, 70, 30], chip.device, seed=2)
    restore(again, snapshot(chip))
    x = np.random.default_rng(0).standard_normal((4, 45)).astype(np.float32)
    with chip.aside(), again.aside():
        np.testing.assert_array_equal(chip.predict(x), again.predict(x))
    step(chip, 99)
    for other in (*others, again):
        step(other, 99)
        assert same(chip, other)
    with chip.aside():
        chip.predict(x)
    assert same(chip, again)  # what is aged aside, and mixed, stands as before
    np.testing.assert_array_equal(chip.predict(x), again.predict(x))


@pytest.mark.parametrize("controller", TRANSFERS)
def test_chips_side_by_side_are_what_each_is_alone(controller):
    spec = f"rram_gong:controller={controller},transfer_rate=0.1,chop_rate=0.5,transfer_columns=20"
    both = Chip([45, 30], spec, seed=(2, 7), chips=2)
    alone = [Chip([45, 30], spec, seed=seed) for seed in (2, 7)]
    for k in range(6):
        changes = change_of(both, k)
        both.program(changes)
        for m, chip in enumerate(alone):
            chip.program([change[m * 30 : (m + 1) * 30] for change in changes])
    for m, chip in enumerate(alone):
        for found, own in zip(both._hidden.arrays.parts, chip._hidden.arrays.parts, strict=True):
            np.testing.assert_array_equal(found.now.reshape(-1, 2, 30 * 45)[:, m], own.now)
    assert [vars(one) for one in both.cost_by_chip()] == [vars(chip.cost) for chip in alone]


@pytest.mark.parametrize("controller", TRANSFERS)
def test_a_resumed_run_gives_the_bits_of_one_that_went_through(controller, tmp_path):
    given = {
        "device": f"rram_gong:controller={controller},chop_rate=0.5", "layers": [20], "learner": "dnp",
        "optimizer": "sgd", "learning_rate": 0.1, "progress": False, "seed": 1,
    }  # fmt: skip
    whole = noisysim.run(epochs=3, **given)
    part = noisysim.run(epochs=1, out=tmp_path / "run.h5", **given)
    resumed = noisysim.resume(part.path, epochs=3, progress=False)
    assert list(resumed.history["test_loss"]) == list(whole.history["test_loss"])
    assert same(whole.chip(), resumed.chip())
    assert whole.cost == resumed.cost


def test_another_chip_of_the_same_kind_reads_other_noise_and_has_other_cells():
    """A's cells are not C's, and forks of a chip draw anew what both are written and read with."""
    chip = Chip([45, 30], "rram_gong:controller=chopped,chop_rate=0.5,transfer_columns=45,transfer_rate=0.1", seed=2)
    arrays = chip._hidden.arrays
    assert (arrays.own[:, 0] != arrays.fast.own[:, 0]).mean() > 0.9
    forked = copy.copy(chip)
    forked._hidden.fork(2, [1])
    for k in range(4):
        chip.program(change_of(chip, k))
        forked.program(change_of(chip, k))
    other = forked._hidden.arrays
    assert (arrays.signs[0] != other.signs[0]).any()
    for one, another in zip(arrays.parts, other.parts, strict=True):
        assert (one.now[0] != another.now[0]).mean() > 0.5


def test_cells_reads_and_memory_are_counted():
    """Of 45 columns 8 an update; a sign is a bit of a column."""
    kept = {"tiki_taka": 0, "tiki_taka_v2": 32, "chopped": 32, "agad": 96}
    for controller, bits in {**kept, "agad,fast_pulses=3": 96}.items():
        chip = Chip([45, 30], f"rpu:controller={controller}", seed=2, bias=False)
        assert chip.cost.cells_written_at_start == 2 * 45 * 30  # A is written to zero
        for k in range(3):
            chip.program(change_of(chip, k))
        assert chip.cost.cells_read == 3 * 8 * 30
        signs = 6 if controller.split(",")[0] in CHOPPED else 0
        assert chip.cost.controller_bytes == 45 * 30 * bits // 8 + signs + (4 if "fast_pulses" in controller else 0)
        assert chip.cost.pulses > 0
        assert "targets" not in chip.offers


def test_other_conditions_are_those_of_both_arrays():
    """More noise of reads, and the leak of another temperature of mind, reach A as well."""
    chip = life("residual")
    noisier = chip.with_device(read_noise=0.1)
    for old, new in zip(chip._hidden.arrays.parts, noisier._hidden.arrays.parts, strict=True):
        np.testing.assert_array_equal(old.now, new.now)
        np.testing.assert_allclose(new.variances, 25 * old.variances, rtol=1e-5)
    leaking = chip.with_device(leak_time=1.0)
    assert leaking._hidden.arrays.timed
    step(leaking, 5)
    assert np.isfinite(leaking.predict(np.ones((2, 45), np.float32))).all()


def test_scaled_lines_are_those_of_the_weights_array():
    """A holds what C's cells would: changes are divided by the scales of lines before they enter it."""
    start = np.linspace(0.5, 4.0, 120).reshape(12, 10).astype(np.float32)
    fields = {"controller": "tiki_taka", "transfer_rate": 1.0, "transfer_columns": 10}
    chip = chip_on(LINEAR, init=[start], weight_scaling="column", **fields)
    arrays, change = chip._hidden.arrays, np.full((12, 10), -0.1, np.float32)
    assert not chip.takes_factors
    chip.program([change])
    scales = arrays.line_scales.of(0)
    np.testing.assert_allclose(positions(arrays.fast), change / scales[:, None], atol=STEP)
    (after,) = arrays.weight_arrays()
    assert (after - start).mean() == pytest.approx(-0.1, rel=0.1)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("crossbar:controller=agad", "which these are not"),
        ("rpu:controller=agad,verify_pulses=5", "set verify_pulses to 0"),
        ("rpu:controller=chopped,pulse_step=0", "set pulse_step"),
        ("rpu:controller=agad,transfer_gamma=0.1", "set transfer_gamma to 0"),
        ("rpu:controller=tiki_taka_v2,transfer_gain=1", "which takes signs that turn"),
        ("rpu:controller=agad,transfer_gain=1,chop_rate=0", "chop_rate > 0"),
        ("rpu:controller=agad,slow_pulses=1", "set fast_pulses as well"),
        ("rpu:controller=agad,fast_pulses=3,update=pulse_trains", "use update='net'"),
        ("rpu:controller=tiki_taka,fast_pulses=3,transfer_gamma=0.1", "set one of them to 0"),
        ("rpu:controller=tiki_taka,target_bits=8", "set target_bits to 0"),
        ("rpu:controller=tiki_tak", "did you mean 'tiki_taka'"),
        ("rpu:controller=agad,chop_rate=0.6", "from 0 to 0.5"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(spec, words):
    with pytest.raises(ValueError, match=words):
        Chip([8, 4], spec)


def test_weights_that_are_exact_have_no_fraction_of_pulses():
    """tiki_taka takes pulses of any size: what is read is what moves C, times rate and turn."""
    chip = chip_on(LINEAR, pulse_step=0, controller="tiki_taka", transfer_columns=10, transfer_rate=0.05)
    chip.program([np.full((12, 10), 0.123, np.float32)])
    np.testing.assert_allclose(positions(chip._hidden.arrays.fast), 0.123, atol=1e-6)
    np.testing.assert_allclose(positions(chip._hidden.arrays), 0.05 * 0.123, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["tiki_taka", "chopped", "residual", "agad, scaled", "agad, vectors of pairs"])
def test_on_a_gpu_all_is_as_on_the_cpu(kind):
    """To rounding, which now and then makes it another code or pulse."""
    spec = f"{MADE[kind]},transfer_rate=0.1,chop_rate=0.5"
    chips = [Chip([9, 5], spec, seed=2, backend=place) for place in ("cpu", "cuda")]
    put, take = backends.get("cuda").put, backends.get("cuda").take
    for k in range(4):
        (change,) = change_of(chips[0], k)
        chips[0].program([change])
        chips[1].program([put(change)])
    for one, other in zip(chips[0]._hidden.arrays.parts, chips[1]._hidden.arrays.parts, strict=True):
        off = np.abs(one.weights - take(other.weights)) > 1e-4
        assert one.weights.any()
        assert off.mean() < 0.05
    for name, held in chips[0]._hidden.arrays.digital.items():
        assert (np.abs(held - take(chips[1]._hidden.arrays.digital[name])) > 1e-4).sum() <= 0.05 * held.size
    assert chips[0].cost.cells_read == chips[1].cost.cells_read > 0
