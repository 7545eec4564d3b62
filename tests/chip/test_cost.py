"""Counters of what chips do."""

import numpy as np
import pytest

from noisysim import Chip
from noisysim.chip.cost import Cost, Meter


def written(*rows):
    return np.array(rows, np.int64)


def test_a_meter_adds_up_what_is_written_and_starts_anew():
    meter = Meter(2, kept=6)
    meter.start(written((6, 0, 0), (4, 0, 0)))
    none = written((0, 0, 0), (0, 0, 0))
    assert meter.read(none) == Cost(cells_written_at_start=10, controller_bytes=6)
    meter.cost.samples = 8
    meter.read(written((1, 20, 3), (2, 30, 4)))
    cost = meter.read(written((1, 0, 0), (0, 5, 1)))
    assert (cost.cells_programmed, cost.pulses, cost.cells_written_at_start) == (4, 55, 10)
    assert cost.cells_read == 8
    first, second = meter.by_chip(written((0, 0, 0), (0, 1, 0)))
    assert (first.cells_read, second.cells_read) == (3, 5)
    assert first.controller_bytes == second.controller_bytes == 3
    assert (first.cells_programmed, first.pulses, first.cells_written_at_start) == (2, 20, 6)
    assert (second.cells_programmed, second.pulses, second.cells_written_at_start) == (2, 36, 4)
    assert first.samples == second.samples == 4


def test_a_cost_as_an_array_and_back():
    cost = Cost(*range(11))
    assert Cost.from_array(cost.array()) == cost
    assert cost.as_dict()["pulses"] == 8
    assert Cost.from_array(cost.array()[:9]) == Cost(*range(9))  # of earlier versions


def test_counts_of_chips_that_earlier_versions_kept_have_no_reads():
    meter = Meter(2)
    meter.set_counts(Cost(pulses=7), written((1, 3, 5), (2, 4, 6)))
    np.testing.assert_array_equal(meter.counts, [(1, 3, 5, 0), (2, 4, 6, 0)])
    meter.set_counts(Cost(pulses=7), written((1, 3, 5, 8), (2, 4, 6, 9)))
    np.testing.assert_array_equal(meter.counts, [(1, 3, 5, 8), (2, 4, 6, 9)])


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
