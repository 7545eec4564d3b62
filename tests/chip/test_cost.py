"""Counters of what chips do."""

import numpy as np
import pytest

from noisysim import Chip, Drive
from noisysim.chip.cost import Cost, Meter


def written(*rows):
    return np.array(rows, np.int64)


def test_a_meter_adds_up_what_is_written_and_starts_anew():
    meter = Meter(2, kept=6, rotations=8)
    meter.start(written((6, 0, 0), (4, 0, 0)))
    none = written((0, 0, 0), (0, 0, 0))
    assert meter.read(none) == Cost(cells_written_at_start=10, controller_bytes=6, decorrelation_bytes=8)
    meter.cost.samples = 8
    meter.read(written((1, 20, 3), (2, 30, 4)))
    cost = meter.read(written((1, 0, 0), (0, 5, 1)))
    assert (cost.cells_programmed, cost.pulses, cost.cells_written_at_start) == (4, 55, 10)
    assert cost.cells_read == 8
    first, second = meter.by_chip(written((0, 0, 0), (0, 1, 0)))
    assert (first.cells_read, second.cells_read) == (3, 5)
    assert first.controller_bytes == second.controller_bytes == 3
    assert first.decorrelation_bytes == second.decorrelation_bytes == 4
    assert (first.cells_programmed, first.pulses, first.cells_written_at_start) == (2, 20, 6)
    assert (second.cells_programmed, second.pulses, second.cells_written_at_start) == (2, 36, 4)
    assert first.samples == second.samples == 4


def test_a_cost_as_an_array_and_back():
    cost = Cost(*range(16))
    assert Cost.from_array(cost.array()) == cost
    assert cost.as_dict()["pulses"] == 8
    assert Cost.from_array(cost.array()[:9]) == Cost(*range(9))  # of earlier versions


def test_counts_of_chips_that_earlier_versions_kept_have_no_reads():
    meter = Meter(2)
    meter.set_counts(Cost(pulses=7), written((1, 3, 5), (2, 4, 6)))
    np.testing.assert_array_equal(meter.counts, [(1, 3, 5, 0), (2, 4, 6, 0)])
    meter.set_counts(Cost(pulses=7), written((1, 3, 5, 8), (2, 4, 6, 9)))
    np.testing.assert_array_equal(meter.counts, [(1, 3, 5, 8), (2, 4, 6, 9)])


# --- the digital side: every multiplication of plain nested loops is counted one by one ------------------------------


def turned(x, rotation, tally):
    """R x of one vector, in loops."""
    out = np.zeros(len(x))
    for i in range(len(x)):
        for j in range(len(x)):
            out[i] += rotation[i, j] * x[j]
            tally[0] += 1
    return out


def test_decorrelation_is_counted_as_loops_count_it():
    """Two passes of three samples through 4-3-2: R of each layer's inputs, 4 x 4 and 3 x 3."""
    chip, tally = Chip([4, 3, 2], "ideal", decorrelate=True, seed=1), [0]
    first, _ = chip.passes(np.ones((3, 4)), [Drive(), Drive()])
    for _ in range(2):
        for sample in range(3):
            for layer, n in enumerate((4, 3)):
                turned(first.inputs[layer][sample], np.eye(n), tally)
    assert chip.cost.decorrelation_macs == tally[0] == 2 * 3 * (16 + 9)
    assert chip.cost.decorrelation_bytes == 4 * (16 + 9)
    assert chip.cost.analog_macs == 2 * 3 * (4 * 3 + 3 * 2)


def test_the_published_network_turns_more_than_it_multiplies():
    """784-256-256-256-10: what the periphery of one sample's pass does beside 334 thousand products in the arrays."""
    chip = Chip([784, 256, 256, 256, 10], "ideal", decorrelate=True, seed=1)
    chip.forward(np.ones((1, 784)))
    assert chip.cost.decorrelation_macs == 811_264
    assert chip.cost.analog_macs == 334_336


@pytest.mark.parametrize("samples", [2, 9])
def test_steps_of_the_decorrelation_are_counted_as_loops_count_them(samples):
    n, few, tally = 4, [0], [0]
    chip = Chip([n, 2], "ideal", decorrelate=True, seed=1)
    x = chip.forward(np.random.default_rng(0).standard_normal((samples, n))).inputs[0]
    chip.decorrelate([x], 0.01)
    assert not Chip([n, 2], "ideal", seed=1).cost.adaptation_macs
    for row in x:  # x (R^T x)^T: R^T x, then the outer product
        turned(row, np.eye(n), few)
        few[0] += n * n
    for _ in x:  # correlations above the diagonal, then their product with R
        for i in range(n):
            for _ in range(i + 1, n):
                tally[0] += 1
    for column in np.eye(n):
        turned(column, np.eye(n), tally)
    assert chip.cost.adaptation_macs == min(few[0], tally[0])
    assert (few[0] < tally[0]) == (samples == 2)


def test_updates_that_are_turned_cost_their_products_alone():
    chip = Chip([4, 3, 2], "ideal", decorrelate="updates", seed=1)
    chip.passes(np.ones((5, 4)), [Drive(), Drive()], inputs_of="first")
    assert chip.cost.decorrelation_macs == 5 * (16 + 9)  # what is observed of the first pass
    chip.program([np.ones((3, 4), np.float32), np.ones((2, 3), np.float32)])
    assert chip.cost.decorrelation_macs == 5 * (16 + 9) + 3 * 16 + 2 * 9


def test_compensated_steps_cost_products_of_weights_too():
    costs = []
    for form in ("inputs", "compensated"):
        chip = Chip([4, 3], "ideal", decorrelate=form, seed=1)
        chip.decorrelate(chip.forward(np.ones((5, 4))).inputs, 0.01)
        costs.append(chip.cost.adaptation_macs)
    assert costs[1] - costs[0] == 2 * 3 * 4 * 4 + 4**3 // 3


@pytest.mark.parametrize(("inject", "converted"), [("line", 5 * (3 + 2)), ("digital", 0)])
def test_perturbations_of_lines_are_converted_where_they_enter_there(inject, converted):
    chip = Chip([4, 3, 2], "crossbar", inject=inject, seed=1)
    lines, outputs = [np.ones((5, n), np.float32) for n in (3, 2)], [np.ones((5, 3), np.float32), None]
    chip.passes(np.ones((5, 4)), [Drive(), Drive(lines), Drive(outputs=outputs)])
    assert chip.cost.perturbation_conversions == converted


def test_costs_by_chip_need_seeds_by_chip():
    chips = Chip([3, 2], "pulsed", seed=(1, 2), chips=2)
    chips.program([np.full((4, 3), 0.01, np.float32)])
    each = chips.cost_by_chip()
    assert sum(one.pulses for one in each) == chips.cost.pulses > 0
    with pytest.raises(ValueError, match="share a seed"):
        Chip([3, 2], "pulsed", seed=1, chips=2).cost_by_chip()


def test_a_cost_that_was_read_stays_and_sets_nothing():
    chip = Chip([3, 2], "crossbar", seed=1)
    before = chip.cost
    chip.predict(np.ones((2, 3)), 3)
    assert chip.cost.passes - before.passes >= 3
    after = chip.cost
    after.passes = 0
    assert chip.cost.passes == before.passes + chip.cost.passes > 0
    several = Chip([3, 2], "crossbar", seed=(1, 2), chips=2)
    several.cost_by_chip()[0].passes = 7
    assert several.cost_by_chip()[0].passes == 0
