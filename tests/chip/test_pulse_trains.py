"""Updates in the array: pulse trains on rows and columns, against closed forms and a definition of their own."""

import contextlib
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, cli, conv, depthwise, devices, learners, losses, optimizers, pool
from noisysim.chip import array_updates
from noisysim.compute import execution
from noisysim.compute.cpu import pulse_trains
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term
from noisysim.compute.rules import trains as rules
from noisysim.devices.resolved import resolve

import naive
from cell_lives import Life
from in_array import STEP, descend, exact, lines, weights

SIGMAS = 4.5
"""Standard errors that a mean may be off."""
RULES = [name for name in learners.names() if learners.get(name).has_factors]
# --- the law --------------------------------------------------------------------------------------------------------


CHIPS = 50
"""Side by side, with draws of their own."""


def counts_of(device, x, s, rate, updates):
    """Signed pulses of each cell in many updates by one sample, of all `CHIPS` together: (updates, n_out, n_in)."""
    chip = Chip([len(x), len(s)], device, seed=3, init="zero", chips=CHIPS)
    x, s = np.tile(x, (CHIPS, 1)), np.tile(s, (CHIPS, 1))
    found, before = [], weights(chip)[0]
    for k in range(updates // CHIPS):
        sign = 1 if k % 2 == 0 else -1  # back and forth, so that no cell reaches its bounds
        descend(chip, [x], [np.float32(sign) * s], rate, CHIPS)
        after = weights(chip)[0]
        found.append(sign * (after - before) / STEP)
        before = after
    found = np.concatenate(found).reshape(updates, s.shape[1], x.shape[1])
    assert np.abs(found - np.rint(found)).max() < 0.02
    assert np.sum(chip.cost.pulses) == np.abs(np.rint(found)).sum()
    return np.rint(found)


@pytest.mark.parametrize("management", [0, 1])
def test_coincidences_are_binomial_and_cells_of_a_line_share_its_train(management):
    """Means, variances and covariances of 31 slots, on each side of the probability of 1."""
    updates, slots = 3000, 31
    x, s = np.array([1.0, -0.6, 0.05, 0.0], np.float32), np.array([0.5, -2.0, 0.1], np.float32)
    rate = 6 * STEP
    device = exact(update_management=management, update_bl_management=0)
    counts = counts_of(device, x, s, rate, updates)
    gain = np.sqrt(rate / (slots * STEP))
    share = np.sqrt(2.0 / 1.0) if management else 1.0
    p, q = np.minimum(1, gain * share * np.abs(x)), np.minimum(1, gain / share * np.abs(s))
    both = np.outer(q, p)
    assert np.all(np.sign(counts) * -np.sign(np.outer(s, x)) >= 0)
    counts = np.abs(counts)
    variance = slots * both * (1 - both)
    error = np.sqrt(variance / updates)
    assert np.all(np.abs(counts.mean(axis=0) - slots * both) <= SIGMAS * error + 1e-9)
    spread = counts.var(axis=0)
    fourth = np.sqrt(np.maximum(3 * variance**2 + variance, 1e-9) / updates)
    assert np.all(np.abs(spread - variance) <= SIGMAS * fourth)
    for (i, j), (k, m) in (((0, 0), (0, 1)), ((0, 1), (1, 1)), ((0, 0), (1, 1)), ((2, 0), (2, 1))):
        together = both[i, j] * (p[m] if i == k else q[k] if j == m else both[k, m])
        covariance = slots * (together - both[i, j] * both[k, m])
        found = np.cov(counts[:, i, j], counts[:, k, m])[0, 1]
        assert abs(found - covariance) < SIGMAS * np.sqrt((variance[i, j] * variance[k, m] + covariance**2) / updates)


def test_the_mean_is_the_gradient_step_whatever_the_management():
    x, s = np.array([1.0, -0.3, 0.05], np.float32), np.array([0.2, -2.0], np.float32)
    for balanced in (0, 1):
        for shortens in (0, 1):
            device = exact(update_management=balanced, update_bl_management=shortens)
            counts = counts_of(device, x, s, 0.7 * STEP, 1500)
            wanted = -0.7 * np.outer(s, x)
            error = np.sqrt(np.abs(wanted) / 1500)
            assert np.all(np.abs(counts.mean(axis=0) - wanted) <= SIGMAS * error + 1e-9)


def test_management_formulas():
    assert [rules.train_length(k, 31, True) for k in (0.01, 1.0, 4.2, 31.0, 500.0, np.float64(1e300))] == [
        1, 1, 5, 31, 31, 31
    ]  # fmt: skip
    assert rules.train_length(0.01, 31, False) == 31
    for balances in (False, True):
        column, row = (gain(0.3, 10, 4.0, 0.01, balances) for gain in (rules.column_gain, rules.row_gain))
        assert column * row == pytest.approx(0.3 / 10)  # lr / (BL dw_min)
        assert column / row == pytest.approx(0.01 / 4.0 if balances else 1.0)
    assert 4.0 * column == pytest.approx(0.01 * row)  # balanced: as dense on rows as on columns
    assert [rules.threshold(2.0, v) for v in (0.0, -0.25, 0.5, 9.0)] == [0, 1 << 31, 1 << 32, 1 << 32]
    assert [int(rules.slots_of(40, word)) for word in range(3)] == [rules.ALL, 2**9 - 1, 0]


@pytest.mark.parametrize(("row", "column"), [(0, 5), (0b1011, 0b1110), (2**31 - 1, 2**31 - 1), (2**32 - 1, 2**31 - 1)])
def test_words_are_counted_without_their_signs(row, column):
    count = rules.coincidences(np.uint32(row), np.uint32(column))
    assert count == (row & column & (2**31 - 1)).bit_count()
    assert rules.signed(count, np.uint32(row), np.uint32(column)) == (-count if (row ^ column) >> 31 else count)


def test_saturated_lines_give_a_pulse_in_every_slot_and_cells_end_at_their_bounds():
    chip = Chip([3, 2], exact(pulse_slots=40), seed=1, init="zero")
    descend(chip, [np.ones((1, 3), np.float32)], [np.array([[100.0, -100.0]], np.float32)], 1.0)
    np.testing.assert_allclose(weights(chip)[0], 40 * STEP * np.array([[-1] * 3, [1] * 3]), rtol=1e-3)
    rpu = Chip([30, 20], "rpu:update=pulse_trains", seed=1, init="zero")
    for _ in range(200):
        descend(rpu, [np.ones((1, 30), np.float32)], [np.full((1, 20), -100.0, np.float32)], 1.0)
    d, upper = rpu.device, weights(rpu)[0]
    assert upper.min() > 0
    assert abs(upper.mean() / d.weight_bound - 1) < 3 * d.bounds_spread / np.sqrt(600)
    descend(rpu, [np.ones((1, 30), np.float32)], [np.full((1, 20), -100.0, np.float32)], 1.0)
    np.testing.assert_allclose(weights(rpu)[0], upper, atol=0.1 * d.weight_bound)
    assert weights(rpu)[0].max() <= upper.max() + 1e-6


# --- groups of channels -----------------------------------------------------------------------------------------------


GROUPED = {"groups": conv(4, 2, groups=2), "depthwise": depthwise(2, multiplier=2)}


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("bias", [False, True])
def test_coincidences_of_groups_are_binomial_and_cells_between_them_rest(name, bias):
    """Means and variances of the pulses of each cell, over two positions of a sample, whose probabilities differ."""
    updates, slots, rate = 2000, 31, 6 * STEP
    device = exact(update_management=0, update_bl_management=0)
    chip = Chip([(4, 2, 3), GROUPED[name], "output()"], device, seed=3, init="zero", bias=bias)
    ((n_out, n_in),), held = chip.network.shapes, chip.network.blocks_of_weights[0] > 0
    x, s = np.abs(lines(1, 2, n_in)), np.abs(lines(1, 2, n_out, seed=1))
    found, before = [], weights(chip)[0]
    for k in range(updates):
        sign = 1 if k % 2 == 0 else -1
        descend(chip, [x], [np.float32(sign) * s], rate)
        after = weights(chip)[0]
        found.append(-sign * (after - before) / STEP)
        before = after
    counts = np.rint(found)
    assert np.abs(counts - found).max() < 0.02
    assert chip.cost.pulses == counts.sum()
    assert not counts[:, ~held].any()
    gain = np.sqrt(rate / (slots * STEP))
    p, q = np.minimum(1, gain * x[0].astype(float)), np.minimum(1, gain * s[0].astype(float))
    both = q[:, :, None] * p[:, None, :] * held
    mean, variance = slots * both.sum(axis=0), slots * (both * (1 - both)).sum(axis=0)
    assert np.count_nonzero(mean) > held.sum() / 2
    assert np.all(np.abs(counts.mean(axis=0) - mean) <= SIGMAS * np.sqrt(variance / updates) + 1e-9)
    fourth = np.sqrt(np.maximum(3 * variance**2 + variance, 1e-9) / updates)
    assert np.all(np.abs(counts.var(axis=0) - variance) <= SIGMAS * fourth)


def test_groups_of_many_blocks_get_the_pulses_of_the_dense_layer_where_they_hold_weights():
    """Trains of lines do not depend on groups: over blocks of cells, words of slots, samples and chips."""
    device = exact(pulse_slots=45)
    moved = {}
    for groups in (1, 4):
        chip = Chip(
            [(12, 4, 4), conv(48, 3, groups=groups), "output()"], device, seed=3, chips=2, init="zero", bias=True
        )
        before = weights(chip)[0]
        rng = np.random.default_rng(5)
        ((n_out, n_in),) = chip.network.shapes
        x, s = (rng.standard_normal((6, 4, n)).astype(np.float32) for n in (n_in, n_out))
        descend(chip, [x], [s], 30 * STEP, 2)
        moved[groups] = (weights(chip)[0] - before).reshape(2, n_out, n_in)
    held = chip.network.blocks_of_weights[0] > 0
    assert held.size > 3 * 1024
    assert np.count_nonzero(moved[4]) > held.sum()
    np.testing.assert_array_equal(moved[4], moved[1] * held)


def test_exact_steps_of_groups_leave_the_cells_between_them():
    device = exact(pulse_step=0.0)
    chip = Chip([(4, 3, 3), conv(6, 2, groups=2), "output()"], device, seed=1, init="zero", bias=True)
    ((n_out, n_in),), held = chip.network.shapes, chip.network.blocks_of_weights[0]
    x, s = lines(3, 4, n_in), lines(3, 4, n_out, seed=1)
    before = weights(chip)[0]
    descend(chip, [x], [s], 0.01)
    wanted = -0.01 * np.einsum("bpo,bpi->oi", s.astype(float), x) / 3 * held
    np.testing.assert_allclose(weights(chip)[0] - before, wanted, atol=1e-4 * np.abs(wanted).max())


def test_groups_take_turns():
    """The time of an update: of all groups of the layer that has most, at all of its positions."""
    device = exact(write_time=1e-6, update_bl_management=0)
    for groups in (1, 2, 4):
        chip = Chip([(4, 3, 3), conv(4, 2, groups=groups), "output()"], device, seed=1, init="zero")
        start = chip.clock
        descend(chip, [lines(3, 4, 16)], [lines(3, 4, 4, seed=1)], 0.01)
        assert chip.clock - start == pytest.approx(1e-6 * 31 * 3 * 4 * groups)


# --- against the definition -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("pulses", {}), ("pulsed pairs", {}), ("pulsed pairs", {"pulse_slots": 45, "update_bl_management": 0}),
        ("pulses", {"update_management": 0, "pulse_slots": 7}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", [1, 3])
def test_cells_are_pulsed_by_definition(kind, settings, rows):
    """Two updates of a chip whose cells have everything: faults, own values, drift, noise, resets of pairs."""
    life = Life(kind, update="pulse_trains", **settings)
    chip, d = life.chip, life.device
    x = [lines(rows, n + 1, seed=n) for n in life.n_in]
    s = [lines(rows, n_out, seed=n_out) for n_out, _ in life.shapes]
    for strength in (2.0, 0.05):
        before, number, pulses, programs = life.aged(), life.arrays.writes, chip.cost.pulses, chip.cost.cells_programmed
        given = reset = 0
        rate = strength * rows * d.pulse_step * naive.bound(50, d)
        expected = []
        for layer, n_in in enumerate(life.n_in):
            asked = rate / rows / (naive.bound(n_in, d) * d.pulse_step * (2 if life.sides == 1 else 1))
            met = [
                naive.train_pulses(x[layer][r], s[layer][r], asked, d, layer, r, number, life.write_key)
                for r in range(rows)
            ]
            rest = (life.stuck[layer], life.own[layer], layer, number, life.write_key, d)
            cells, anew = naive.in_array(met, before[layer], *rest)
            expected.append(cells)
            given, reset = given + np.abs(met).sum(), reset + 2 * anew.sum()
            hit = np.any(met, axis=0)
            sides = [anew | (np.any([(1, -1)[k] * m > 0 for m in met], axis=0) if life.sides == 2 else hit)
                     for k in range(life.sides)]  # fmt: skip
            life.fresh[layer] = np.where(sides, cells, life.fresh[layer])
            life.since[layer] = np.where(sides, chip.clock, life.since[layer])
        assert not descend(chip, x, s, rate).any()
        for found, wanted in zip(life.cells(), expected, strict=True):
            off = np.abs(found - wanted) > 2e-5 * d.g_max
            assert off.mean() < 0.002  # where a sum of float32 is on the other side of an edge
        assert chip.cost.pulses - pulses == given > 10
        assert abs(chip.cost.cells_programmed - programs - reset) <= 4
        chip.wait(100.0)


def test_trains_for_a_vector_go_to_one_pair_in_its_turn_and_are_as_dense_as_its_share_asks():
    """An update of a third the rate has the pulses of a single pair's, each of a third the size."""
    one = Chip([40, 30], exact(cells_per_weight=2, refresh_at=1.0), seed=3, init="zero")
    vector = exact(cells_per_weight=2, slices=3, slice_bits=0, refresh_at=1.0)
    three = Chip([40, 30], vector, seed=3, init="zero", oracle=True)
    x, s, turns = lines(4, 40), lines(4, 30, seed=1), []
    for _ in range(6):
        before = [weights(chip)[0] for chip in (one, three)]
        held = three.cells()[0]
        descend(one, [x], [s], 30 * STEP)
        descend(three, [x], [s], 10 * STEP)
        moved = [weights(chip)[0] - old for chip, old in zip((one, three), before, strict=True)]
        assert np.abs(moved[0]).max() > 3 * STEP
        np.testing.assert_allclose(3 * moved[1], moved[0], atol=1e-2 * STEP)
        now = three.cells()[0]
        changed = np.any((now.plus != held.plus) | (now.minus != held.minus), axis=(1, 2))
        turns.append(np.flatnonzero(changed).tolist())
    assert one.cost.pulses == three.cost.pulses > 100
    assert turns[:3] == turns[3:]
    assert sorted(turns[:3]) == [[0], [1], [2]]


@pytest.mark.parametrize("settings", [{}, {"cells_per_weight": 2, "refresh_at": 0.2, "slices": 2, "slice_bits": 0}])
def test_trains_move_states_and_cells_show_them_with_noise_that_does_not_add_up(settings):
    noise = 3.0
    shown = Chip([60, 40], exact(apparent_noise=noise, **settings), seed=3, init="zero")
    plain = Chip([60, 40], exact(**settings), seed=3, init="zero")
    x, s = lines(5, 60), lines(5, 40, seed=1)
    for _ in range(8):
        for chip in (shown, plain):
            descend(chip, [x], [s], 20 * STEP)
    if not settings:  # where pairs are set anew goes by what they show
        assert np.array_equal(shown._hidden.arrays.fresh[0], plain._hidden.arrays.now[0])
    sides = len(shown._hidden.arrays.now) if settings else 1
    for k in range(sides):
        states, now = (getattr(shown._hidden.arrays, name)[k].astype(float) for name in ("fresh", "now"))
        errors = (now - states) / (shown.device.pulse_step * (shown.device.g_max - shown.device.g_min))
        assert errors.std() == pytest.approx(noise, rel=0.05)
        assert abs(errors.mean()) < 4 * noise / np.sqrt(errors.size)
    assert shown.cost.pulses == plain.cost.pulses > 1000
    assert (shown.cost.cells_programmed > 0) == bool(settings)


# --- pulses of any size -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["net", "pulse_trains"])
@pytest.mark.parametrize(
    "cells", [{"cells_per_weight": 1}, {"cells_per_weight": 2}, {"cells_per_weight": 2, "slices": 3, "slice_bits": 0}]
)
def test_a_step_of_zero_is_the_exact_gradient_step(update, cells):
    device = exact(pulse_step=0.0, write_noise=0.5, apparent_noise=9.0, update=update, refresh_at=1.0, **cells)
    chip = Chip([40, 30, 5], device, seed=1, init="zero")
    x, s = [lines(8, 40), lines(8, 30)], [lines(8, 30, seed=1), lines(8, 5, seed=2)]
    before = weights(chip)
    descend(chip, x, s, 0.01)
    for old, new, inputs, signals in zip(before, weights(chip), x, s, strict=True):
        wanted = -0.01 * signals.T.astype(float) @ inputs / 8
        np.testing.assert_allclose(new - old, wanted, atol=1e-4 * np.abs(wanted).max())
    assert chip.cost.pulses == 0


def test_exact_steps_have_the_gain_the_asymmetry_and_the_bounds_of_the_cells():
    device = exact(pulse_step=0.0, pulse_gain=1.5, asymmetry=0.25, upper=0.5, update="net")
    chip = Chip([2, 2], device, seed=1, init="zero")
    chip.program([np.array([[0.1, -0.1], [0.0, 9.0]], np.float32)])
    np.testing.assert_allclose(weights(chip)[0], [[0.175, -0.125], [0.0, 0.5]], atol=1e-5)


# --- the same, however it is computed -------------------------------------------------------------------------------


def life_of(threads=1, seed=4, chips=1, layers=(70, 300, 20), samples=5, updates=2):
    """Weights after updates of a network of some hundred lines a layer."""
    with execution.threads(threads):
        chip = Chip(layers, "rpu:update=pulse_trains", seed=seed, chips=chips)
        x = [np.tile(lines(samples, n, seed=n), (chips, 1)) for n in layers[:-1]]
        s = [np.tile(lines(samples, n, seed=n + 1), (chips, 1)) for n in layers[1:]]
        for _ in range(updates):
            descend(chip, x, s, 0.5, chips)
        return weights(chip), chip.cost.pulses


def test_threads_and_tasks_change_nothing(monkeypatch):
    first, pulses = life_of()
    monkeypatch.setattr(execution, "SERIAL_FLOPS", 1.0)
    for drawn in (1 << 15, 100):
        monkeypatch.setattr(pulse_trains, "DRAWN", drawn)
        for threads in (1, 3):
            again, same = life_of(threads)
            assert same == pulses > 1000
            assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_chips_side_by_side_are_updated_as_each_alone():
    together, _ = life_of(seed=(4, 9, 7), chips=3, layers=(70, 40, 20))
    alone, _ = life_of(seed=9, layers=(70, 40, 20))
    for stacked, single in zip(together, alone, strict=True):
        assert np.array_equal(stacked.reshape(3, *single.shape)[1], single)


def test_the_order_of_samples_matters_to_saturating_cells_and_the_number_of_an_update_to_draws():
    chip = Chip([30, 20], exact(), seed=1, init="zero")
    x, s = lines(1, 30), lines(1, 20, seed=1)
    moved = []
    for _ in range(2):
        before = weights(chip)[0]
        descend(chip, [x], [s], 0.01)
        moved.append(weights(chip)[0] - before)
    assert not np.allclose(*moved)


def test_a_chip_whose_change_is_not_finite_is_named_and_not_written():
    chip = Chip([6, 5], exact(), seed=1, chips=3)
    before, x, s = weights(chip)[0].reshape(3, 5, 6), lines(6, 6), lines(6, 5, seed=1)
    s[3, 0] = np.nan  # a sample of the second chip
    assert descend(chip, [x], [s], 0.1, 3).tolist() == [False, True, False]
    moved = (weights(chip)[0].reshape(3, 5, 6) != before).any(axis=(1, 2))
    assert moved.tolist() == [True, False, True]


# --- rules and runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_outer_products_is_applied_in_the_array(rule):
    assert {"danp", "anp", "np", "dnp", "inp", "bp", "dfa"} <= set(RULES)
    learner = learners.get(f"{rule}:warmup=0" if rule.startswith("learned") else rule)
    layers = [(1, 6, 6), conv(3, 3), pool(2), 4, 3]
    chip = Chip(layers, exact(), decorrelate=learner.decorrelation > 0, seed=1, oracle=True)
    state = learner.init(chip.architecture, offers=chip.offers, floor=0.01)
    rng = np.random.default_rng(0)
    data = Batch(rng.random((8, 36), np.float32), np.eye(3, dtype=np.float32)[rng.integers(0, 3, 8)], losses.get("cce"))
    oracle = chip.oracle(data) if "oracle" in learner.requires() else None
    observed = chip.passes(data, learner.drives(state, 8), training=True)
    factors, _ = learner.factors(state, observed, oracle=oracle)
    gradient, before = factors.gradient(), weights(chip)
    largest = max(np.abs(g).max() for g in gradient)
    chip.descend(factors, partial(optimizers.SGD().step, {}, 20 * STEP / largest))
    moved = [(new - old).ravel() for new, old in zip(weights(chip), before, strict=True)]
    wanted = [-g.ravel().astype(float) for g in gradient]
    assert np.corrcoef(np.concatenate(moved), np.concatenate(wanted))[0, 1] > 0.5
    assert chip.cost.pulses > 20


SHORT = {
    "device": "rpu:update=pulse_trains", "learner": "anp", "optimizer": "sgd", "learning_rate": 0.02, "batch_size": 64,
    "layers": [16], "seed": 2, "progress": False,
}  # fmt: skip


def test_a_run_is_resumed_to_the_bit(tmp_path):
    whole = noisysim.run(epochs=2, out=tmp_path / "whole.h5", **SHORT)
    noisysim.run(epochs=1, out=tmp_path / "part.h5", **SHORT)
    longer = noisysim.resume(tmp_path / "part.h5", epochs=2, progress=False)
    assert longer.history["train_loss"].tolist() == whole.history["train_loss"].tolist()
    assert longer.cost == whole.cost
    assert whole.cost["pulses"] > 1000


def test_it_learns_digits():
    result = noisysim.run(
        **{**SHORT, "learner": "bp", "learning_rate": 0.05, "batch_size": 1, "oracle": True}, epochs=1
    )
    assert result.history["test_accuracy"][-1] > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "run.optimizer is 'adam', but device 'rpu' updates in the array.*optimizer='sgd'"),
        ({"optimizer": "sgd:momentum=0.5"}, "run.optimizer is 'sgd' with momentum"),
        ({"learner": "fg-w"}, "learner 'fg-w' gives no factors.*such as 'danp' or 'bp'"),
        ({"clip": 1.0}, "run.clip=1, but.*clip=0"),
        ({"weight_scaling": "array"}, "knows no scales of lines: use weight_scaling='fixed'"),
        ({"learner": "danp", "decorrelate": "updates"}, "run.decorrelate='updates', but.*use decorrelate='inputs'"),
        ({"device": "rpu:update=pulse_trains,verify_pulses=3"}, "a closed loop: set one of them off"),
        ({"device": "rpu:update=trains"}, "rpu.update must be one of 'net', 'pulse_trains', not 'trains'"),
        ({"device": "crossbar:update=pulse_trains"}, "crossbar' has no field 'update'"),
    ],
)
def test_what_the_array_cannot_do_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        noisysim.run(epochs=1, **{**SHORT, **settings})


def test_it_is_chosen_in_a_file_and_on_the_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "run.toml").write_text(
        'task = "digits"\nlayers = [8]\noptimizer = "sgd"\nlearning_rate = 0.02\nepochs = 1\nbatch_size = 200\n'
        'learner = "np"\n[device]\nname = "rpu"\nupdate = "pulse_trains"\npulse_slots = 15\n'
    )
    words = ["--layers", "8", "--optimizer", "sgd", "--learning-rate", "0.02", "--epochs", "1", "--batch-size", "200"]
    device = "rpu:update=pulse_trains,pulse_slots=15"
    spoken = [["--config", str(tmp_path / "run.toml")], [*words, "--learner", "np", "--device", device]]
    for k, arguments in enumerate(spoken):
        monkeypatch.setattr(sys, "argv", ["noisysim", "run", *arguments, "--out", str(tmp_path / f"{k}.h5")])
        with contextlib.suppress(SystemExit):
            cli.main()
    assert "device  rpu(update='pulse_trains', pulse_slots=15)" in capsys.readouterr().out
    one, other = (noisysim.load(tmp_path / f"{k}.h5") for k in (0, 1))
    assert one.cost == other.cost
    assert one.cost["pulses"] > 100


@dataclass(frozen=True)
class Louder(learners.ANP):
    """A rule of one's own that gives factors."""

    name: ClassVar[str] = "louder"
    sigma: float = 0.05


def test_a_rule_of_ones_own_is_applied_in_the_array():
    result = noisysim.run(**{**SHORT, "learner": Louder(), "chips": 2}, epochs=1)
    assert result.cost["pulses"] > 1000


def test_pulses_of_any_size_need_a_hook_that_reads_the_step():
    check = partial(array_updates.check_device, scaling="fixed")
    device = devices.get("measured")
    with pytest.raises(ValueError, match=r"has pulse_step=0, but its hook pulse does not read d.pulse_step"):
        check(device, replace(resolve(device), pulse_step=0.0))
    device = devices.get("ideal")
    with pytest.raises(ValueError, match="has update='pulse_trains', but no hook pulse"):
        check(device, replace(resolve(device), in_array=True))


@pytest.mark.parametrize("setting", ["update=pulse_trains", "pulse_step=0"])
def test_the_bench_and_the_conformance_suite_give_such_cells_net_pulses(setting):
    response = noisysim.bench.pulse_response(f"pulsed:{setting}")
    assert response.up[-1].mean() > response.up[0].mean() + 10
    assert noisysim.bench.transfer(f"pulsed:{setting}").reads.std() > 0
    by_net = array_updates.by_net_changes(devices.get(f"pulsed:{setting}"))
    assert (by_net.update, by_net.pulse_step) == ("net", 1e-3)


def test_changes_as_arrays_are_refused():
    chip = Chip([4, 3], exact(), seed=1)
    with pytest.raises(ValueError, match=r"program asks for a change.*factors are given to descend"):
        chip.program([np.ones((3, 4), np.float32)])
    with pytest.raises(ValueError, match="plain SGD in the array, not that of 'momentum'"):
        chip.descend(
            Factors([Term(np.ones(1), [lines(1, 3)])], [lines(1, 4)], (), 1),
            partial(optimizers.SGD(momentum=0.5).step, {"velocity": np.zeros(12, np.float32)}, 0.1),
        )
