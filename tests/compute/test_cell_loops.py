"""The loops that change cells, called one by one: a list of cells against the whole block, bit for bit."""

import numpy as np
import pytest

from noisysim import devices
from noisysim.chip.arrays import Arrays
from noisysim.compute.cpu import cell_types as c
from noisysim.compute.cpu.loops import cell_places, cell_weights, cell_writes, draws
from noisysim.compute.layout import CELL_BLOCK, WRITE_STREAM
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import network

import cell_device as bench

SIZES = [40, 30]  # 1200 weights: a whole block, and a part of one
KINDS = ["pulsed pairs", "slices", "one cell"]


@pytest.fixture
def arrays():
    """Cells of one of the kinds of the device of the tests, written once."""

    def make(kind):
        device = devices.get(bench.__file__, **bench.KINDS[kind])
        made = Arrays(network(SIZES, "linear", False, resolve(device)), device, 4, 1, "cpu")
        made.write(change(made, 0.4), True, 0.0)
        return made

    return make


def change(cells, width, seed=1):
    """A change of every weight, of so much of the largest weight."""
    return (width / cells.scales[0] * np.random.default_rng(seed).standard_normal(1200)).astype(np.float32)


def record(cells, kind="write"):
    """A record for the first block of cells."""
    kits = cells.cells._kits.of(kind).copy()
    kits["k0"], kits["k1"], kits["write"], kits["clock"], kits["chips"] = 5, 6, 3, 7.0, 1
    cell_places.go_to(0, 0, 0, 1200, kits[0])
    if not cells.knows_targets:  # what is read of the cells comes first
        work(cells, c.TARGETS, CELL_BLOCK)[:] = 0
    return kits[0]


def work(cells, at, n, kind=np.float32):
    """What is in this thread's work arrays."""
    from noisysim.compute.cpu.cell_kits import work_of

    return work_of(len(cells.own))[at : at + n].view(kind)


@pytest.mark.parametrize("n", [1, 7, 1024, 2048])
def test_draws_of_a_list_are_those_of_all(n):
    rng = np.random.default_rng(2)
    units = np.sort(rng.choice(n, max(n // 3, 1), replace=False)).astype(np.int32)
    padded, words = 4 * -(-n // 4), (2, 9, np.uint32(77), np.uint32(1), np.uint32(2))
    whole, bits = np.zeros(padded, np.float32), np.zeros(padded + 2 * n, np.uint32)
    draws.fill_normals_from(whole, bits, n, 0, *words)
    some = np.zeros(units.size, np.float32)
    draws.unit_normals(units, units.size, n, *words, bits, some)
    assert np.array_equal(some, whole[units])


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_as_a_list_is_the_block(kind, arrays):
    """Whether a write takes a list or all of a block side by side is a matter of speed."""
    one, other = arrays(kind), arrays(kind)
    step, held = change(one, 0.05, 3)[:CELL_BLOCK], ("targets", "now", "fresh", "since", "weights", "variances")
    kit = record(one)
    moved = cell_writes.retarget(kit, step, False)
    assert moved > CELL_BLOCK // cell_writes.FEW
    listed = cell_places.list_moved(
        work(one, c.MOVED, CELL_BLOCK, np.int32), work(one, c.WHERE, CELL_BLOCK, np.int32), CELL_BLOCK
    )
    cell_writes.program_moved(listed, False, kit)
    cell_weights.refresh_few(kit, 0, listed)
    kit = record(other)
    assert cell_writes.retarget(kit, step, False) == moved
    cell_writes.draw_sides(kit, WRITE_STREAM, 0)
    for k in range(int(kit["drawn_sides"])):
        cell_writes.program_side(kit, k, 0)
    cell_weights.refresh(kit, 0, 0)
    for name in held:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_nothing_is_written_where_no_level_changes(arrays):
    cells = arrays("slices")
    before = cells.now.copy()
    assert cell_writes.write_block(record(cells), np.zeros(CELL_BLOCK, np.float32), False) == 0
    assert np.array_equal(cells.now, before)


def test_what_a_refresh_leaves_out(arrays):
    """Variances are brought up to date of the weights that moved alone, weights of all."""
    cells = arrays("slices")
    kit = record(cells)
    moved = work(cells, c.MOVED, CELL_BLOCK, np.int32)
    moved[:] = 0
    moved[3] = 1
    cells.now[:] *= np.float32(0.5)
    before = cells.variances.copy()
    cell_weights.refresh(kit, 0, 0)
    changed = np.flatnonzero(cells.variances != before)
    assert len(changed) == cells.span.slices


def test_pulses_of_a_block_are_counted(arrays):
    from noisysim.compute.cpu.loops import cell_pulses

    cells = arrays("pulsed pairs")
    per = float(cells.pulsing[0])
    asked = np.zeros(CELL_BLOCK, np.float32)
    asked[:3] = np.array([2.0, -1.0, 5.0], np.float32) / per  # whole numbers: rounding adds none
    before = cells.now.copy()
    counted = int(cell_pulses.pulse_block(record(cells, "pulse"), asked * np.float32(1 + 1e-6), False))
    assert counted & 0xFFFFFFFF == 8
    assert set(np.flatnonzero((cells.now != before).any(axis=0))) <= {0, 1, 2}
