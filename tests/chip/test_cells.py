"""What becomes of cells: fabrication, writes, pulses, time, faults and wires, cell for cell against naive.py.

Cells are taken from `chip.cells()`, keys and targets from behind the boundary. Where float32 may decide otherwise than
float64 (one pulse more, another level) a cell is left out: decisions within EDGE of their edge, which must be few.
Statistics come from fixed seeds, at the significance that each test states.
"""

import numpy as np
import pytest
from scipy import stats

from noisysim import Chip
from noisysim.chip.chip import snapshot
from noisysim.compute import execution
from noisysim.compute.cpu.loops.wires import attenuate
from noisysim.compute.observation import Batch
from noisysim.devices.physics import wires

import cell_device as bench
import naive
from cell_lives import CELL_FIELDS, Life, device, expected_lines

EDGE, TIGHT = 1e-4, 2e-5  # of a step; of the largest value


def weights_of(life):
    return life.chip.oracle(Batch(None, None, None)).weights


def assert_close(found, expected, left_out=None, scale=None):
    scale = np.max(np.abs(expected)) if scale is None else scale
    off = np.abs(np.asarray(found, float) - expected) > TIGHT * scale
    if left_out is not None:
        off &= ~left_out
    assert not off.any(), (off.sum(), np.argwhere(off)[:3])


def write_by_definition(life, layer, change, before, targets):
    """Cells, those that were written, pulses, program writes, and where float32 may decide otherwise."""
    d, n_in, number = life.device, life.n_in[layer], life.arrays.writes
    own, stuck = life.own[layer], life.stuck[layer]
    rest = (own, layer, number, life.write_key, d)
    if d.gain and not d.verify_pulses:
        asked, edge = naive.pulses_asked(change, n_in, layer, number, life.write_key, d)
        new, anew = naive.open_loop(asked, before, stuck, *rest)
        moved = np.array(
            [anew | (asked * (1, -1)[k] > 0 if life.sides == 2 else asked != 0) for k in range(life.sides)]
        )
        unsure = edge < 1e-5
        for block in range(0, unsure.size, naive.CELL_BLOCK):  # one pulse more moves the draws of the others
            unsure.ravel()[block : block + naive.CELL_BLOCK] = unsure.ravel()[block : block + naive.CELL_BLOCK].any()
        assert unsure.sum() <= naive.CELL_BLOCK
        if life.sides == 2:  # a cell near where pairs are set anew
            limit = d.g_min + d.refresh_at * (d.g_max - d.g_min)
            unsure |= np.abs(new.max(axis=0) - limit) < 1e-4 * d.g_max
        return new, moved, np.abs(asked).sum(), 2 * anew.sum(), np.broadcast_to(unsure, before.shape)
    wanted = np.clip(targets + change / naive.bound(n_in, d), -1, 1)
    goals, old = naive.cell_goals(wanted, d), naive.cell_goals(targets, d)
    if d.slices > 1:
        place = [np.abs(t) * (2 ** (d.slices * d.slice_bits) - 1) for t in (wanted, targets)]
        unsure = np.any([np.abs(p - np.floor(p) - 0.5) < EDGE for p in place], axis=0)
    else:
        unsure = (wanted != targets) & (np.abs(wanted - targets) < 1e-6)
    if not d.verify_pulses:
        moved = goals != old
        new = naive.held(naive.programmed(goals, moved, before, *rest), stuck)
        return new, moved, 0, moved.sum(), np.broadcast_to(unsure, before.shape)
    moved = np.rint(naive.level(goals, d)) != np.rint(naive.level(old, d))
    new, given, edge = naive.verified(goals, moved, before, stuck, *rest)
    return new, moved, given.sum(), 0, unsure | (edge < 1e-6)


# --- fabrication ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", bench.KINDS)
def test_a_new_chips_cells_are_those_of_the_definition(kind):
    life = Life(kind)
    d = life.device
    for layer, (shape, shown) in enumerate(zip(life.shapes, life.chip.cells(), strict=True)):
        assert shown.plus.shape == shown.minus.shape == (d.slices, *shape)
        assert shown.stuck.shape == shown.age.shape == (d.slices, 2, *shape)
        stuck = shown.stuck.reshape(-1, *shape)[: life.sides]
        np.testing.assert_array_equal(stuck, ~np.isnan(life.stuck[layer]))
        initial = naive.initial_weights("he", life.n_in[layer], shape[0], layer, life.weights_key)
        wanted = np.zeros(shape)
        wanted[:, :-1] = np.clip(initial / naive.bound(life.n_in[layer], d), -1, 1)
        goals = naive.cell_goals(wanted, d)
        place = np.abs(wanted) * (2 ** (d.slices * d.slice_bits) - 1)
        unsure = (np.abs(place - np.floor(place) - 0.5) < EDGE) & (d.slices > 1)
        every, none = np.ones(goals.shape, bool), np.zeros(goals.shape)
        new = naive.programmed(goals, every, none, life.own[layer], layer, 0, life.write_key, d)
        assert_close(life.cells()[layer], naive.held(new, life.stuck[layer]), np.broadcast_to(unsure, new.shape))
        if d.cells_per_weight == 1:
            np.testing.assert_allclose(shown.minus[0], life.middle[layer], rtol=1e-6)
            assert not shown.stuck[0, 1].any() or d.dead_rows or d.dead_columns
    assert life.chip.cost.cells_written_at_start == life.sides * life.chip.network.cells
    assert life.chip.cost.pulses == 0


@pytest.mark.parametrize("kind", ["pulses", "pulsed pairs"])
def test_every_part_of_a_chip_has_its_own_values(kind):
    """Of cells, of input lines and of every tile's output lines: the definition's, within the field's range."""
    life = Life(kind)
    d, hidden = life.device, life.chip._hidden
    at = 0
    for layer, shape in enumerate(life.shapes):
        count = shape[0] * shape[1]
        for f, name in enumerate(CELL_FIELDS):
            found = life.arrays.own[f, : life.sides, at : at + count].reshape(-1, *shape)
            assert_close(found, life.own[layer][name])
        at += count
    assert (life.own[0]["miss"] == 0.03).any()  # some lie at the ends of their range
    assert (life.own[0]["nu"] == 0).any()
    rows, columns = expected_lines(life)
    assert_close(hidden.rows_own, rows)
    assert_close(hidden.columns_own, columns)
    assert d.dac_gain_spread > 0


def test_parts_do_not_share_their_draws():
    """Cells, rows and columns of square layers: correlations of 200 values stay below 4.5 standard errors."""
    life = Life("pulsed pairs", (200, 200, 200), bias=False, tile_rows=100)
    hidden, own = life.chip._hidden, life.arrays.own[:, :, : 200 * 200].reshape(4, 2, 200, 200)
    values = [*hidden.rows_own[:2, :200], *hidden.rows_own[:2, 200:], *hidden.columns_own[:2].reshape(-1, 200)]
    values += [own[f, k, i] for f in range(4) for k in range(2) for i in (0, 1)]
    ranks = np.corrcoef(np.argsort(np.argsort(values, axis=1), axis=1))
    assert np.max(np.abs(ranks - np.eye(len(values)))) < 4.5 / np.sqrt(200)


def test_shares_of_faults_are_binomial():
    """Two-sided binomial tests at 1e-3, for each kind of fault; cells stuck anywhere are uniform (KS, 1e-3)."""
    sound = dict.fromkeys(bench.FAULTS, 0.0)
    shares = {"stuck_low": 0.02, "stuck_high": 0.03, "stuck_random": 0.05}
    life = Life("pulses", (150, 200), seed=8, bias=False, **{**sound, **shares})
    (shown,), d = life.chip.cells(), life.device
    stuck, g = shown.stuck[0, 0], shown.plus[0]
    low, high = stuck & (g == np.float32(d.g_min)), stuck & (g == np.float32(d.g_max))
    for found, share in ((low, 0.02), (high, 0.03), (stuck & ~low & ~high, 0.05)):
        assert stats.binomtest(int(found.sum()), g.size, share).pvalue > 1e-3
    anywhere = (g[stuck & ~low & ~high] - d.g_min) / (d.g_max - d.g_min)
    assert stats.kstest(anywhere, "uniform").pvalue > 1e-3
    lines = Life("pulses", (1500, 1000), seed=8, bias=False, **{**sound, "dead_rows": 0.04, "dead_columns": 0.1})
    dead = lines.chip.cells()[0].plus[0] == 0
    rows, columns = dead.all(axis=0), dead.all(axis=1)
    np.testing.assert_array_equal(dead, rows[None, :] | columns[:, None])
    assert stats.binomtest(int(rows.sum()), 1500, 0.04).pvalue > 1e-3
    assert stats.binomtest(int(columns.sum()), 1000, 0.1).pvalue > 1e-3


def test_the_reference_of_a_single_cell_has_no_stuck_cells():
    """It is exact, whatever g_min is."""
    chip = Life("pulses", g_min=0.0, stuck_low=0.3, stuck_random=0.2, dead_rows=0.1, dead_columns=0.0).chip
    for shown in chip.cells():
        dead = (shown.plus[0] == 0).all(axis=0)
        assert 0 < dead.sum() < len(dead)
        np.testing.assert_allclose(shown.minus[0], np.broadcast_to(np.where(dead, 0, 10.5), shown.minus[0].shape))


# --- writes and time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", bench.KINDS)
def test_a_life_of_writes_and_waits(kind):
    """Large changes, few, hardly any, to the ends of the range; between them seconds and days."""
    life = Life(kind)
    chip, d, written = life.chip, life.device, 0
    steps = ((0.1, 3.0), (0.3, 0.0), (0.002, 60.0), (0.0, 10.0), (0.05, 1e5), (5.0, 7.0), (0.2, 0.5), (0.2, 0.0))
    for step, (size, seconds) in enumerate(steps):
        chip.wait(seconds)
        for found, expected in zip(life.cells(), life.aged(), strict=True):
            assert_close(found, expected, scale=d.g_max)
        before, targets, change = life.cells(), life.targets(), life.change(size, 0.03 if step == 7 else 0.7)
        cost = chip.cost.as_dict()
        results = [write_by_definition(life, i, c.astype(float), before[i], targets[i]) for i, c in enumerate(change)]
        chip.program(change)
        after, clock = life.cells(), chip.clock
        pulses = programs = slack = 0
        for layer, (new, moved, given, anew, unsure) in enumerate(results):
            assert_close(after[layer], new, unsure, d.g_max)
            assert unsure.mean() < (0.01 if not d.gain or d.verify_pulses else 0.7)
            written += moved.sum()
            pulses, programs, slack = pulses + given, programs + anew, slack + unsure.sum()
            age = chip.cells()[layer].age.reshape(-1, *moved.shape[1:])[: life.sides]
            moved = np.where(unsure, age == 0, moved)
            life.fresh[layer] = np.where(moved, after[layer], life.fresh[layer])
            life.since[layer] = np.where(moved, clock, life.since[layer])
            if d.nu:
                np.testing.assert_allclose(age, clock - life.since[layer], atol=1e-6)
        assert abs(chip.cost.pulses - cost["pulses"] - pulses) <= slack * (d.verify_pulses or 1)
        assert abs(chip.cost.cells_programmed - cost["cells_programmed"] - programs) <= 2 * slack
        assert chip.cost.updates == cost["updates"] + 1
        if chip._hidden.aged_at != clock:  # those that were not written follow with the next read
            life.arrays.age(clock)
        assert_weights_follow(life, after)
    assert written > chip.network.cells


def assert_weights_follow(life, cells):
    """Weights and their variances, tile by tile: what the cells amount to."""
    d, at = life.device, 0
    weights, variances = life.arrays.weights, life.arrays.variances
    for layer, (n_out, n_in) in enumerate(life.shapes):
        parts = naive.slice_weights(cells[layer], life.n_in[layer], d, life.middle[layer])
        stds = np.array([naive.cell_std(g, naive.with_own(d, life.own[layer], k)) for k, g in enumerate(cells[layer])])
        stds[life.stuck[layer] == 0] = 0  # lines that are cut
        varied = naive.slice_variances(stds, life.n_in[layer], d)
        for part, v in zip(parts, varied, strict=True):
            for a, b in naive.tiles(n_in, d.tile_rows):
                here = slice(at, at + n_out * (b - a))
                assert_close(weights[here], part[:, a:b].ravel(), scale=np.abs(parts).max())
                if d.read_noise:
                    assert_close(variances[here], v[:, a:b].ravel(), scale=varied.max())
                at = here.stop
        total = weights_of(life)[layer]
        assert_close(total, parts.sum(axis=0))
    assert at == weights.size
    assert variances.size == (at if d.read_noise else 0)


def test_read_noise_that_grows_with_age_is_not_lost_at_fabrication():
    """1/f noise is none at a cell's birth: of a chip without line noise every read differs all the same, later."""
    chip = Chip((8, 4), "pcm:line_noise=0,dac_bits=0,adc_bits=0,compensation=0", seed=1)
    chip.wait(1e4)
    x = np.ones((2, 8), np.float32)
    first, second = chip.forward(x).output
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("kind", ["pulses", "pulsed pairs"])
def test_pulses_are_on_average_what_was_asked_for(kind):
    """Counts and changes of 40,000 weights of equal cells, within 4.5 standard errors (7e-6 each)."""
    clean = dict.fromkeys([*bench.FAULTS, *bench.SPREADS, "gain_spread", "step_noise"], 0.0)
    same = ("stuck_low", "miss_spread", "nu", "nu_spread", "gain_spread")
    clean |= dict.fromkeys(same, 1e-9)  # the same loops
    life = Life(kind, (200, 200), bias=False, **clean)
    chip, d = life.chip, life.device
    step = d.pulse_step * (2 if life.sides == 1 else 1) * naive.bound(200, d)
    n, before = 200 * 200, weights_of(life)[0].astype(float)
    inner = np.abs(before) < 0.4 * naive.bound(200, d)
    for mean in (0.3, -1.7, 0.04):
        given = chip.cost.pulses
        chip.program([np.full((200, 200), mean * step, np.float32)])
        part = abs(mean) % 1
        error = np.sqrt(part * (1 - part))
        assert abs((chip.cost.pulses - given) / n - abs(mean)) < 4.5 * error / np.sqrt(n)
        after = weights_of(life)[0].astype(float)
        moved = (after - before)[inner] / step
        assert abs(moved.mean() - mean) < 4.5 * error / np.sqrt(inner.sum()) + 1e-4
        before = after


def test_an_update_gives_no_more_pulses_than_the_limit():
    life = Life("pulses", (20, 10))
    before = life.chip.cost.pulses
    life.chip.program([np.full(s, 100.0, np.float32) for s in life.shapes])
    assert life.chip.cost.pulses - before == 9 * life.chip.network.cells


def test_a_pair_at_its_end_is_not_set_anew_by_the_pulses_of_others():
    clean = dict.fromkeys(bench.FAULTS, 0.0) | {"stuck_high": 1e-9}
    life = Life("pulsed pairs", (30, 30), bias=False, refresh_at=0.2, **clean)
    before, change = life.cells()[0], np.zeros((30, 30), np.float32)
    assert (before.max(axis=0) > 1 + 0.2 * 20).sum() > 20
    change[0, 0] = -3 * 0.02 * naive.bound(30, life.device)
    life.chip.program([change])
    after = life.cells()[0]
    np.testing.assert_array_equal(
        np.delete(after.reshape(2, -1), 0, axis=1), np.delete(before.reshape(2, -1), 0, axis=1)
    )
    assert life.chip.cost.cells_programmed in (0, 2)


def test_closed_loop_writes_end_within_their_tolerance():
    """Exact reads, enough pulses, steps below twice the tolerance: all cells that answer come to rest at the goal."""
    life = Life("closed loop", read_noise=1e-9, floor=0.0, verify_pulses=200, gain_spread=1e-9, step_noise=1e-9)
    d, span = life.device, 20.0
    for size in (0.2, 1.0):
        before = life.targets()
        life.chip.program(life.change(size))
        for layer, (cells, targets) in enumerate(zip(life.cells(), life.targets(), strict=True)):
            goals, old = (naive.cell_goals(t, d) for t in (targets, before[layer]))
            place = np.abs(targets) * (2 ** (d.slices * d.slice_bits) - 1)
            wrote = (np.rint(naive.level(goals, d)) != np.rint(naive.level(old, d))) & np.isnan(life.stuck[layer])
            wrote &= np.abs(place - np.floor(place) - 0.5) > EDGE
            assert wrote.sum() > 100
            assert np.max(np.abs(cells - goals)[wrote]) <= d.verify_tolerance * span * (1 + 1e-5)
    assert life.chip.cost.cells_programmed == 0


@pytest.mark.parametrize("kind", ["pulses", "pulsed pairs", "closed loop", "slices"])
def test_stuck_cells_never_move_and_cut_lines_hold_nothing(kind):
    life = Life(kind)
    first = life.cells()
    for k in range(4):
        life.chip.program(life.change(1.0))
        life.chip.wait(10.0**k)
        for cells, start, stuck, shown in zip(life.cells(), first, life.stuck, life.chip.cells(), strict=True):
            hit = ~np.isnan(stuck)
            assert hit.sum() > 50
            np.testing.assert_array_equal(cells[hit], start[hit])
            np.testing.assert_allclose(cells[hit], stuck[hit], rtol=1e-6)
            np.testing.assert_array_equal(shown.stuck.reshape(-1, *cells.shape[1:])[: life.sides], hit)
    for weights, stuck in zip(weights_of(life), life.stuck, strict=True):
        dead = (stuck == 0).all(axis=0)
        assert dead.any()
        assert not weights[dead].any()


@pytest.mark.parametrize("kind", ["pulses", "slices"])
def test_two_waits_are_one_of_their_sum(kind):
    once, twice = Life(kind, compensation=0, read_time=0.0), Life(kind, compensation=0, read_time=0.0)
    once.chip.wait(7.0)
    for seconds in (0.0, 3.0, 4.0):
        twice.chip.wait(seconds)
    assert once.chip.clock == twice.chip.clock == 7.0
    assert_same(once.chip, twice.chip)


def assert_same(one, other):
    a, b = snapshot(one), snapshot(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


@pytest.mark.parametrize("kind", ["pulses", "pulsed pairs", "closed loop", "slices"])
def test_writes_in_shares_do_not_depend_on_the_threads(kind, monkeypatch):
    """More weights than one task writes: 1 against 3 threads, through writes of all sizes and time."""
    sizes, real, tasks = (520, 530), execution.run, []
    monkeypatch.setattr(execution, "run", lambda t, flops: (tasks.append(len(t)), real(t, flops)))
    chips = []
    for count in (1, 3):
        with execution.threads(count):
            life = Life.__new__(Life)  # the definition is not needed here
            life.rng, life.n_in, life.device = np.random.default_rng(1), sizes[:-1], device(kind)
            chip = Chip(sizes, life.device, seed=2)
            life.shapes = chip.network.shapes
            for size in (0.1, 0.0005):
                chip.program(life.change(size))
                chip.wait(50.0)
            chips.append(chip)
    assert max(tasks) == 2
    assert_same(*chips)


# --- wires ----------------------------------------------------------------------------------------------------------


def passed_by_wires(life, exact):
    """Weights of every tile of every layer, as arrays with wires pass them."""
    d, found = life.device, []
    for layer, (n_out, n_in) in enumerate(life.shapes):
        cells = life.cells()[layer].astype(np.float32)
        worth = naive.slice_worth(life.n_in[layer], d)
        for s in range(d.slices):
            for a, b in naive.tiles(n_in, d.tile_rows):
                for top, bottom in naive.tiles(n_out, d.tile_columns):
                    sides = []
                    for k in range(2 * s, 2 * s + 2):
                        if life.sides == 1 and k == 1:
                            sides.append(life.middle[layer][top:bottom, a:b])
                            continue
                        g = np.ascontiguousarray(cells[k, top:bottom, a:b])
                        factor = np.empty_like(g)
                        attenuate(g, np.float32(1e6 / d.wire_resistance), factor)
                        sides.append(wires.transfer(g, d.wire_resistance) if exact else g.astype(float) * factor)
                    found.append((layer, s, a, b, top, bottom, (sides[0] - sides[1]) * worth[s]))
    return found


@pytest.mark.covering(2)  # how a tile is solved, where it is cut, and what its cells are
@pytest.mark.parametrize("tile_columns", [0, 16])
@pytest.mark.parametrize("nodal", [0, 1])
@pytest.mark.parametrize("kind", ["slices", "one cell", "pulsed pairs"])
def test_weights_are_what_arrays_with_wires_pass(kind, nodal, tile_columns):
    quiet = {"cell_noise": 0.0, "jitter": 0.0, "amplitude": 0.0, "tau_up": 0.0} if kind == "pulsed pairs" else {}
    settings = {"wire_resistance": 20.0, "nodal": nodal, "tile_columns": tile_columns, "compensation": 0, **quiet}
    life = Life(kind, (45, 40, 12), **settings)
    ideal = Life(kind, (45, 40, 12), **{**settings, "wire_resistance": 0.0})
    for step in ("new", "written", "old"):
        for one in (life, ideal):
            if step == "written":
                one.chip.program(one.change(0.3))
            if step == "old":
                one.chip.wait(1e4)
        for found, other in zip(life.cells(), ideal.cells(), strict=True):
            np.testing.assert_array_equal(found, other)  # cells know nothing of their wires
        total = [np.zeros(s) for s in life.shapes]
        for layer, _, a, b, top, bottom, w in passed_by_wires(life, nodal == 1):
            total[layer][top:bottom, a:b] += w
        for found, expected, without in zip(weights_of(life), total, weights_of(ideal), strict=True):
            assert_close(found, expected)
            assert np.abs(found - without).max() > 1e-3 * np.abs(without).max()


def test_wires_take_their_share_of_the_cells_noise():
    sound = {**dict.fromkeys(bench.FAULTS, 0.0), "stuck_low": 1e-9}  # the same loops
    life, ideal = (Life("slices", wire_resistance=r, **sound) for r in (30.0, 0.0))
    life.chip.program(life.change(0.2))
    ideal.chip.program(ideal.change(0.2))
    d, at = life.device, 0
    for layer, (n_out, n_in) in enumerate(life.shapes):
        cells = life.cells()[layer].astype(np.float32)
        for s, worth in enumerate(naive.slice_worth(life.n_in[layer], d)):
            for a, b in naive.tiles(n_in, d.tile_rows):
                total = 0
                for g in cells[2 * s : 2 * s + 2, :, a:b]:
                    factor = np.empty_like(g := np.ascontiguousarray(g))
                    attenuate(g, np.float32(1e6 / 30.0), factor)
                    total = total + (worth * naive.cell_std(g.astype(float), d) * factor) ** 2
                here = slice(at, at + n_out * (b - a))
                assert_close(life.arrays.variances[here], total.ravel())
                assert (life.arrays.variances[here] < ideal.arrays.variances[here]).all()
                at = here.stop


# --- what is refused ------------------------------------------------------------------------------------------------


def refused(kind, message, sizes=(9, 5), **settings):
    with pytest.raises(ValueError, match=message):
        Chip(sizes, device(kind, **settings))


def test_what_cannot_be_built_is_refused(tmp_path):
    refused("one cell", "cells_per_weight=2", slices=2)
    refused("pulsed pairs", "verify_pulses > 0", slices=2)
    refused("slices", "20 bits at most, not 24", slices=6, slice_bits=4)
    refused("pulsed pairs", "wire_resistance.*read_cell", wire_resistance=1.0)
    refused("slices", "nodal=1: arrays of 99000 cells", (300, 330), wire_resistance=1.0, nodal=1, tile_rows=0)
    refused("slices", "exceed 1", stuck_low=0.6, stuck_random=0.5)
    plain = tmp_path / "plain.py"
    plain.write_text("from typing import NamedTuple\nclass Plain(NamedTuple):\n    slices: int = 1\n")
    with pytest.raises(ValueError, match="slices=2, but no hook about cells"):
        Chip((9, 5), f"{plain}:slices=2")


def test_what_a_chip_refuses_to_do():
    chip = Chip((9, 5), device("pulsed pairs"))
    with pytest.raises(ValueError, match="open loop"):
        chip.normalise()
    with pytest.raises(PermissionError, match="oracle=True"):
        chip.cells()
    for seconds, kind in ((-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError)):
        before = snapshot(chip)
        with pytest.raises(kind, match="seconds must be a number"):
            chip.wait(seconds)
        np.testing.assert_array_equal(snapshot(chip)["times"], before["times"])
    assert "targets" not in chip.offers
    assert "targets" in Chip((9, 5), device("slices")).offers


def test_what_cells_shows_are_copies_and_exact_devices_have_none():
    assert Chip((9, 5), "ideal").cells() == []
    life = Life("slices", (9, 5))
    for part in life.chip.cells()[0]:
        part[...] = 0
    assert life.cells()[0].max() > 1


@pytest.mark.parametrize("kind", ["closed loop", "slices"])
def test_normalisation_asks_for_the_targets_rms(kind):
    life = Life(kind)
    life.chip.normalise()
    for targets, n_in, (n_out, _) in zip(life.targets(), life.n_in, life.shapes, strict=True):
        weights = targets[:, :n_in] * naive.bound(n_in, life.device)
        np.testing.assert_allclose(np.sqrt(np.mean(weights**2, axis=1)), np.sqrt(2 / (n_in + n_out)), rtol=1e-4)
