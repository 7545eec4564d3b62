"""What write controllers make of changes: cell for cell against their definition, and closed forms of many writes.

Where float32 may decide otherwise than float64 (one step more, another code) a cell is left out: decisions within EDGE
of their edge, which must be few. Statistics come from fixed seeds.
"""

import copy
import pickle

import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices, learners
from noisysim.chip.chip import restore, snapshot
from noisysim.compute import execution
from noisysim.compute.layout import CELLS_AT

import cell_device as bench
import naive
import naive_controllers as definition
from cell_lives import Life

EDGE, TIGHT = 1e-4, 4e-5
KINDS = bench.CONTROLLED
KEEP_NOTHING = [kind for kind, d in KINDS.items() if d["controller"] in ("increment", "read_modify_write")]


def written(life, layer, change, before, targets, chi):
    """By the definition: cells, cells programmed, pulses and reads, what is kept; where float32 may differ."""
    d, n_in, number, key = life.device, life.n_in[layer], life.arrays.writes, life.write_key
    own, stuck = life.own[layer], life.stuck[layer]
    rest, sides = (own, layer, number, key, d), len(before)
    if d.controller == "copy":
        kept, edge = definition.fixed_point(targets, change, n_in, layer, number, key, d)
        goals, old = naive.cell_goals(kept, d), naive.cell_goals(targets, d)
        moved = np.abs(goals - old) > 1e-4
        new = naive.held(naive.programmed(goals, moved, before, *rest), stuck)
        return new, moved.sum(), 0, 0, kept, np.broadcast_to(edge < EDGE, before.shape)
    asked, edge, kept = definition.asked_steps(change, chi, n_in, layer, number, key, d)
    unsure = edge < EDGE
    if d.controller == "read_modify_write":
        seen, code_edge = definition.seen_targets(before, own, n_in, layer, number, key, d)
        unsure |= (asked != 0) & (code_edge < 50 * EDGE)
        step = definition.least_change(d) * (2 if sides == 1 else 1)
        wanted = np.clip(seen + asked * step, -1, 1)
        unsure |= (asked != 0) & (np.abs(wanted - seen) < EDGE)  # at the end of its range
        goals, old = naive.cell_goals(wanted, d), naive.cell_goals(np.clip(seen, -1, 1), d)
        moved, reads = (np.abs(goals - old) > 1e-4) & (asked != 0), np.count_nonzero(asked) * sides
        if not d.verify_pulses:
            new = naive.held(naive.programmed(goals, moved, before, *rest), stuck)
            return new, moved.sum(), 0, reads, kept, np.broadcast_to(unsure, before.shape)
        level, was = naive.level(goals, d), naive.level(old, d)
        moved = (np.rint(level) != np.rint(was)) & (asked != 0)
        places = np.stack([level, was])
        unsure |= np.any(np.abs(places - np.floor(places) - 0.5) < 10 * EDGE, axis=(0, 1))
        new, given, edge = naive.verified(goals, moved, before, stuck, *rest)
        return new, 0, given.sum(), reads, kept, np.broadcast_to(unsure, before.shape) | (edge < 1e-5)
    if d.gain:
        new, anew = naive.open_loop(asked, before, stuck, *rest)
        for block in range(0, unsure.size, naive.CELL_BLOCK):  # one pulse more moves the draws of the others
            unsure.ravel()[block : block + naive.CELL_BLOCK] = unsure.ravel()[block : block + naive.CELL_BLOCK].any()
        return new, 0, np.abs(asked).sum(), 0, kept, np.broadcast_to(unsure, before.shape)
    new, anew = definition.stepped(asked, before, stuck, *rest)
    live = (asked != 0)[None] if sides == 1 else np.stack([asked > 0, asked < 0])
    if sides == 2:  # near where pairs are set anew, and what these are read as
        place = np.sort((definition.stepped(asked, before, stuck, *rest)[0] - d.g_min) / (d.g_max - d.g_min), axis=0)
        unsure = unsure | (np.abs(place[1] - d.refresh_at) < 10 * EDGE) | anew
    return new, live.sum() + 2 * anew.sum(), 0, 2 * anew.sum(), kept, np.broadcast_to(unsure, before.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_a_life_of_writes_and_waits(kind):
    """Large changes, small ones, few, to the ends of the range; between them seconds and days."""
    life = Life(kind)
    chip, d = life.chip, life.device
    assert chip._hidden.arrays.knows_targets is (d.controller == "copy")
    for size, share, seconds in ((0.1, 0.7, 3.0), (0.004, 0.7, 60.0), (0.3, 0.03, 1e5), (2.0, 0.7, 7.0), (0.2, 0.7, 0)):
        chip.wait(seconds)
        life.arrays.age(chip.clock)
        before, targets, change, cost = life.cells(), life.targets(), life.change(size, share), chip.cost
        chi = np.split(life.arrays.chi.astype(float), np.cumsum([a * b for a, b in life.shapes])[:-1])
        chi = [part.reshape(shape) if part.size else 0.0 for part, shape in zip(chi, life.shapes, strict=True)]
        found = [written(life, i, c.astype(float), before[i], targets[i], chi[i]) for i, c in enumerate(change)]
        chip.program(change)
        sums, slack = np.zeros(3), 0
        for layer, (new, *counts, kept, unsure) in enumerate(found):
            off = np.abs(life.cells()[layer] - new) > TIGHT * d.g_max
            assert not (off & ~unsure).any(), (off & ~unsure).sum()
            assert unsure.mean() < (0.9 if "pulses" in kind else 0.1)
            sums, slack = sums + counts, slack + unsure.sum()
            if d.controller == "copy":
                assert np.abs(life.targets()[layer] - kept)[~unsure[0]].max() < 1e-6
            elif d.controller == "accumulate":
                at = life.arrays.table[layer, CELLS_AT]
                left = life.arrays.chi[at : at + kept.size].reshape(kept.shape)
                assert np.abs(left - kept)[~unsure[0]].max() < 1e-4
        known = np.array([chip.cost.cells_programmed, chip.cost.pulses, chip.cost.cells_read])
        gone = known - [cost.cells_programmed, cost.pulses, cost.cells_read]
        assert (np.abs(gone - sums) <= 4 * slack * (d.verify_pulses or 1)).all(), (gone, sums)
        bits = {"copy": 7, "accumulate": 32}.get(d.controller, 0)
        assert chip.cost.controller_bytes == np.ceil(chip.network.cells * bits / 8)
        if kind in KEEP_NOTHING:
            assert not life.arrays.targets.size  # nothing is kept
            assert not life.arrays.chi.size


# --- closed forms: means and variances of cells after many writes, within 2 % and 3 % --------------------------------

N, WRITES = 200, 12  # 40,000 cells: a standard error of 0.7 % for a variance
PLAIN = "crossbar:levels=0,cells_per_weight=1,weight_bound=1,read_noise=0,program_noise=0.004"


def moved_cells(spec, step, share, start=0.0):
    """How far WRITES writes of `share` steps each move cells, in shares of the span, from a weight `start`."""
    chip = Chip([N, N], spec, seed=5, oracle=True, init=[np.full((N, N), start, np.float32)])
    before, span = chip.cells()[0].plus.astype(float), chip.device.g_max - chip.device.g_min
    for _ in range(WRITES):
        chip.program([np.full((N, N), 2 * share * step, np.float32)])  # a weight of one cell has two spans
    return (chip.cells()[0].plus - before) / span, chip


@pytest.mark.parametrize("share", [0.3, -0.6, 1.7])
def test_increments_are_a_random_walk(share):
    """n c steps on average; each write adds the variance of its rounding and, where it happens, of a write."""
    step, noise, part = 0.01, 0.004, abs(share) % 1
    found, chip = moved_cells(f"{PLAIN},controller=increment,write_step={step}", step, share)
    variance = WRITES * (part * (1 - part) * step**2 + min(abs(share), 1) * noise**2)
    assert found.mean() == pytest.approx(WRITES * share * step, rel=0.02)
    assert found.var() == pytest.approx(variance, rel=0.03)
    assert chip.cost.cells_read == chip.cost.controller_bytes == 0
    assert chip.cost.cells_programmed == pytest.approx(WRITES * N * N * min(abs(share), 1), rel=0.02)


@pytest.mark.parametrize("share", [0.3, -0.6])
def test_an_accumulator_writes_whole_steps_and_loses_nothing(share):
    """Of n c steps the whole ones, exactly; each adds the variance of a write alone."""
    step, noise = 0.01, 0.004
    found, chip = moved_cells(f"{PLAIN},controller=accumulate,write_step={step}", step, share)
    whole = int(WRITES * abs(share))
    assert found.mean() == pytest.approx(np.sign(share) * whole * step, rel=0.02)
    assert found.var() == pytest.approx(whole * noise**2, rel=0.03)
    assert chip.cost.cells_programmed == whole * N * N
    assert chip.cost.controller_bytes == 4 * N * N
    np.testing.assert_allclose(chip._hidden.arrays.chi, WRITES * share - np.sign(share) * whole, atol=1e-4)


@pytest.mark.parametrize(("share", "bits"), [(0.3, 8), (-0.6, 8), (0.5, 0)])
def test_a_cell_that_is_read_to_be_written_takes_the_error_of_the_read(share, bits):
    """Each write that happens adds the variances of a read, of its rounding by the ADC, and of a write."""
    step, noise, line, floor = 0.01, 0.004, 0.006, 0.005
    spec = (
        f"{PLAIN},controller=read_modify_write,write_step={step},line_noise={line},read_floor={floor},adc_bits={bits}"
    )
    found, chip = moved_cells(spec, step, share)
    quantum, part = 1 / (2**bits - 1) if bits else 0.0, abs(share) % 1
    error = line**2 + floor**2 + quantum**2 / 12 + noise**2
    assert found.mean() == pytest.approx(WRITES * share * step, rel=0.02)
    assert found.var() == pytest.approx(WRITES * (part * (1 - part) * step**2 + part * error), rel=0.03)
    assert chip.cost.cells_read == chip.cost.cells_programmed == pytest.approx(WRITES * N * N * part, rel=0.02)
    assert chip.cost.controller_bytes == 0


@pytest.mark.parametrize("share", [0.3, -0.6])
def test_targets_of_few_bits_are_rounded_by_chance_and_cells_follow_them(share):
    """The targets are a random walk of the roundings; a cell misses its own by two writes, the first and the last."""
    step, noise, part = 1 / 127, 0.004, abs(share)
    found, chip = moved_cells(f"{PLAIN},controller=copy,target_bits=8", step / 2, share)
    # targets are from -1 to 1 of the span: half of a step of a cell
    variance = WRITES * part * (1 - part) * (step / 2) ** 2
    moved = 1 - (1 - part) ** WRITES
    assert found.mean() == pytest.approx(WRITES * share * step / 2, rel=0.02)
    assert found.var() == pytest.approx(variance + moved * 2 * noise**2, rel=0.03)
    assert chip.cost.controller_bytes == N * N


def test_a_copy_makes_good_what_cells_miss_and_other_controllers_do_not():
    """After many writes the cells of a copy lie as near to where they should be as after one; others ever further."""
    spread = {}
    for controller in ("copy", "increment", "read_modify_write"):
        spread[controller], _ = moved_cells(f"{PLAIN},controller={controller},write_step=0.01", 0.01, 1.0)
    assert spread["copy"].std() == pytest.approx(0.004 * np.sqrt(2), rel=0.03)
    assert spread["increment"].std() == pytest.approx(0.004 * np.sqrt(WRITES), rel=0.03)
    assert spread["read_modify_write"].std() > 0.01 * np.sqrt(WRITES)  # 1 % of line noise in every read


def test_pairs_move_up_alone_and_are_set_anew_near_their_end():
    chip = Chip([50, 40], "crossbar:controller=increment,line_noise=0,read_noise=0,adc_bits=12", seed=1, init="zero",
                oracle=True)  # fmt: skip
    span = chip.device.g_max - chip.device.g_min
    up = np.full((40, 50), 0.2 * chip._hidden.numbers.full_span_weight(50), np.float32)
    for k in range(4):
        chip.program([up])
        chip.program([-up])
        (cells,) = chip.cells()
        np.testing.assert_allclose(cells.plus / span, 0.2 * (k + 1), atol=0.04)
        np.testing.assert_allclose(cells.minus / span, 0.2 * (k + 1), atol=0.04)
    assert chip.cost.cells_read == 0
    chip.program([up])  # at 1.0 and 0.8: their difference goes to one of them
    assert chip.cost.cells_read == 2 * 40 * 50
    (cells,) = chip.cells()
    np.testing.assert_allclose(cells.plus / span, 0.2, atol=0.06)
    assert cells.minus.max() / span < 0.02


def test_an_accumulator_of_pulses_moves_what_cells_are_not_what_they_show():
    """Of 12 changes of 0.3 pulses 3 whole ones, in each of two pairs by turns; what shows misses them by 4 steps."""
    step, vector = 0.01, "cells_per_weight=2,slices=2,slice_bits=0"
    spec = f"pulsed:weight_bound=1,read_noise=0,pulse_step={step},apparent_noise=4,controller=accumulate,{vector}"
    chip = Chip([N, N], spec, seed=5, init="zero")
    for _ in range(WRITES):
        chip.program([np.full((N, N), 0.3 * step / 2, np.float32)])
    d, arrays = chip.device, chip._hidden.arrays
    states = (arrays.fresh[0::2].sum(axis=0).astype(float) - 2 * d.g_min) / (d.g_max - d.g_min)
    np.testing.assert_allclose(states, 3 * step, atol=1e-5)
    errors = (arrays.now[0::2] - arrays.fresh[0::2]) / (d.g_max - d.g_min)
    assert errors.std() == pytest.approx(4 * step, rel=0.02)
    assert chip.cost.pulses == 3 * N * N
    np.testing.assert_allclose(arrays.chi, 0.6, atol=1e-4)


def test_equal_slices_that_are_read_to_be_written_are_written_together():
    """Each holds all of the weight: a change moves them all, by steps and reads like those of one pair."""
    spec = "crossbar:levels=0,weight_bound=1,read_noise=0,line_noise=0,program_noise=0,adc_bits=0,write_step=0.01"
    spec += ",controller=read_modify_write,slices=3,slice_bits=0"
    chip = Chip([20, 10], spec, seed=5, oracle=True, init=[np.full((10, 20), 0.2, np.float32)])
    chip.program([np.full((10, 20), -0.5, np.float32)])
    (cells,), span = chip.cells(), chip.device.g_max - chip.device.g_min
    np.testing.assert_allclose((cells.plus.astype(float) - cells.minus) / span, -0.3, atol=1e-5)
    assert chip.cost.cells_read == cells.plus.size + cells.minus.size


# --- what holds of all of them ---------------------------------------------------------------------------------------


def change_of(chip, seed, width=0.03):
    rng = np.random.default_rng(seed)
    return [(width * rng.standard_normal((chip.chips * n, m))).astype(np.float32) for n, m in chip.network.shapes]


def life(kind, threads=1):
    with execution.threads(threads):
        chip = Chip([45, 70, 30], devices.get(bench.__file__, **KINDS[kind]), seed=2)
        for k in range(3):
            chip.program(change_of(chip, k))
            chip.wait(20.0)
        return chip


def same(one, other):
    a, b = snapshot(one), snapshot(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_threads_or_on_where_a_chip_was_kept(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("noisysim.compute.cpu.cells.SHARE", 1 << 10)  # cells of a chip are shared out
    chip = life(kind)
    assert same(chip, life(kind, threads=3))
    chip.save(tmp_path / "chip.h5")
    others = [copy.copy(chip), pickle.loads(pickle.dumps(chip)), Chip.load(tmp_path / "chip.h5")]
    again = Chip([45, 70, 30], chip.device, seed=2)
    restore(again, snapshot(chip))
    for other in (*others, again):
        assert same(chip, other)
    chip.program(change_of(chip, 9))
    for other in (*others, again):
        other.program(change_of(other, 9))
        assert same(chip, other)


@pytest.mark.parametrize("kind", KINDS)
def test_chips_side_by_side_are_what_each_is_alone(kind):
    both = Chip([45, 30], devices.get(bench.__file__, **KINDS[kind]), seed=(2, 7), chips=2)
    alone = [Chip([45, 30], both.device, seed=seed) for seed in (2, 7)]
    for k in range(2):
        changes = change_of(both, k)
        both.program(changes)
        for m, chip in enumerate(alone):
            chip.program([change[m * 30 : (m + 1) * 30] for change in changes])
    for m, chip in enumerate(alone):
        found = both._hidden.arrays
        np.testing.assert_array_equal(found.now.reshape(-1, 2, 30 * 45)[:, m], chip._hidden.arrays.now)
    costs = both.cost_by_chip()
    assert [vars(one) for one in costs] == [vars(chip.cost) for chip in alone]


@pytest.mark.parametrize("kind", ["accumulated steps", "read, pairs", "steps, one cell"])
def test_a_resumed_run_gives_the_bits_of_one_that_went_through(kind, tmp_path):
    given = {"device": devices.get(bench.__file__, **KINDS[kind]), "layers": [20], "progress": False, "seed": 1}
    whole = noisysim.run(epochs=3, **given)
    part = noisysim.run(epochs=1, out=tmp_path / "run.h5", **given)
    resumed = noisysim.resume(part.path, epochs=3, progress=False)
    assert list(resumed.history["test_loss"]) == list(whole.history["test_loss"])
    assert same(whole.chip(), resumed.chip())
    assert whole.cost == resumed.cost


@pytest.mark.parametrize("controller", ["copy", "read_modify_write", "increment", "accumulate"])
def test_only_a_copy_offers_targets_and_what_needs_them(controller):
    spec, known = f"crossbar:controller={controller}", controller == "copy"
    chip = Chip([8, 4], spec, decorrelate=False)
    assert ("targets" in chip.offers) is known
    rule = learners.get("danp", normalise=True)
    if known:
        chip.normalise()
        chip.program(change_of(chip, 1), decay=0.1)
        rule.init(chip.architecture, offers=chip.offers, floor=0.0)
        Chip([8, 4], spec, decorrelate="compensated")
        return
    with pytest.raises(ValueError, match=rf"controller='{controller}': its controller keeps no weights to normalise"):
        chip.normalise()
    with pytest.raises(ValueError, match="set it to 0, or set controller='copy'"):
        chip.program(change_of(chip, 1), decay=0.1)
    with pytest.raises(ValueError, match="needs a write controller that keeps"):
        Chip([8, 4], spec, decorrelate="compensated")
    with pytest.raises(ValueError, match="offers"):
        rule.init(chip.architecture, offers=chip.offers, floor=0.0)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("crossbar:slices=2", "has controller='increment' and .* need controller='copy' or 'read_modify_write'"),
        ("crossbar:target_bits=8", "has controller='increment', .*: use controller='copy', or set target_bits to 0"),
        ("crossbar:temperature=350,temperature_coefficient=0.001", "'increment', .* use controller='copy' or 'read"),
        ("crossbar:controller=incremental", "did you mean 'increment'"),
        ("rpu:controller=copy", "verify_pulses > 0"),
        ("rpu:controller=read_modify_write", "verify_pulses > 0"),
        ("rpu:controller=accumulate,verify_pulses=5", "set verify_pulses to 0"),
        ("crossbar:controller=accumulate,slices=2", "need controller='copy' or 'read_modify_write'"),
        ("crossbar:controller=increment,slices=2,slice_bits=0", "equal slices take turns with pulses"),
        ("rpu:cells_per_weight=2,slices=2", "equal ones, slice_bits=0, do not"),
        ("crossbar:controller=accumulate,target_bits=8", "set target_bits to 0"),
        ("crossbar:target_bits=1", "from 2 to 20"),
        ("crossbar:controller=accumulate,temperature=350,temperature_coefficient=0.001", "at once"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(spec, words):
    with pytest.raises(ValueError, match=words):
        Chip([8, 4], spec)


@pytest.mark.parametrize("controller", ["read_modify_write", "increment", "accumulate"])
def test_cells_without_pulses_that_show_something_else_are_written_to_targets(controller, tmp_path):
    """Here a programmed cell shows a half more than it holds: a copy does not ask, others would write it up and up."""
    path = tmp_path / "showing.py"
    path.write_text(
        "from noisysim.devices.field_groups import Controller, device_fields\n\n\n"
        f"@device_fields\nclass Showing(Controller):\n    controller = {controller!r}\n\n\n"
        "def program(g, z, d):\n    return g\n\n\ndef appear(g, z, d):\n    return g * 1.5\n"
    )
    with pytest.raises(ValueError, match=rf"'showing' has controller='{controller}'.*use controller='copy'"):
        Chip([8, 4], str(path))
    chip = Chip([8, 4], f"{path}:controller=copy", seed=1, oracle=True, init=[np.full((4, 8), 0.1, np.float32)])
    arrays = chip._hidden.arrays
    np.testing.assert_allclose(arrays.now[0], 1.5 * arrays.fresh[0], rtol=1e-6)


def test_drift_is_compensated_for_without_targets():
    """By the mean |line|: a day's drift of a tenth, of an array that keeps no targets."""
    spec = "crossbar:controller=increment,drift_nu=0.02,compensation=1,read_noise=0,line_noise=0,adc_bits=0,dac_bits=0"
    chip = Chip([64, 32], spec, seed=1)
    x = np.random.default_rng(0).standard_normal((20, 64)).astype(np.float32)
    chip.program(change_of(chip, 1))
    before = chip.predict(x)
    chip.wait(86400.0)
    np.testing.assert_allclose(chip.predict(x), before, atol=0.02 * np.abs(before).max())
