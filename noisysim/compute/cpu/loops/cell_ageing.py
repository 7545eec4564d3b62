"""What time makes of cells, and what keeps account of it: when each was written, and as what."""

import numpy as np

from noisysim.compute.cpu.cell_types import AGES, AIMS, GOALS, MINE, MOVED, OUT, OWN, STAGE, G
from noisysim.compute.cpu.loops.cell_places import (
    blocks_of,
    cells_at,
    gather_own,
    go_to,
    hold_stuck,
    take_moved,
)  # fmt: skip
from noisysim.compute.cpu.row_types import DRIFT, TYPES
from noisysim.compute.jit.compiling import bare, loop
from noisysim.compute.jit.places import doubles_at, float_rows_at, floats_at, ints_at, long_rows_at
from noisysim.compute.layout import CELL_BLOCK, N_IN, N_OUT

drift_row, call = TYPES[DRIFT].call, STAGE.call
ZERO = np.float32(0.0)


@bare()
def put(where, values, k, kit):
    """Set the cells of side k of the block that are listed, but for stuck ones."""
    at, n = k * kit.cells + kit.at + kit.first, kit.count
    now = floats_at(kit.now, at, n)
    if not kit.faulty:
        for i in range(values.size):
            now[where[i]] = values[i]
        return
    stuck = floats_at(kit.stuck, at, n)
    for i in range(values.size):
        held = stuck[where[i]]
        now[where[i]] = values[i] if np.isnan(held) else held


@bare()
def bring_up(kit, k, m):
    """Make the m cells of side k that are listed in ``MINE`` what they are at the time."""
    a, n = kit.at + kit.first, kit.count
    at, mine = k * kit.cells + a, ints_at(kit.work, MINE, m)
    fresh, ages, aims = floats_at(kit.work, G, m), floats_at(kit.work, AGES, m), floats_at(kit.work, AIMS, m)
    held, since, out = floats_at(kit.fresh, at, n), doubles_at(kit.since, at, n), floats_at(kit.work, OUT, m)
    for i in range(m):
        fresh[i] = held[mine[i]]
        ages[i] = np.float32(kit.clock - since[mine[i]])
        aims[i] = fresh[i]
    if kit.aims:
        aimed = floats_at(kit.aimed, at, n)
        for i in range(m):
            aims[i] = aimed[mine[i]]
    gather_own(k, a, mine, m, kit)
    own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
    numbers = floats_at(kit.drift_numbers, 0, kit.numbers_size)
    drift_row(kit.drift, (fresh, ages, aims, own, out, numbers))
    put(mine, out, k, kit)


@bare()
def settle(kit, k, m):
    """After the m cells of side k in ``MINE`` were programmed to ``GOALS``: they hold ``OUT``, but for stuck ones."""
    mine, out = ints_at(kit.work, MINE, m), floats_at(kit.work, OUT, m)
    if kit.dated:
        call(kit.date_listed, (kit, k, m))
    if kit.apparent:
        states = floats_at(kit.fresh, k * kit.cells + kit.at + kit.first, kit.count)
        for i in range(m):
            states[mine[i]] = out[i]
        call(kit.appear_listed, (kit, k, m))
        return
    put(mine, out, k, kit)


@bare()
def settle_side(k, out, kit):
    """`settle` of all those cells of side k of the block that moved."""
    n, at = kit.count, k * kit.cells + kit.at + kit.first
    if kit.dated:
        call(kit.date_side, (kit, k, 0))
    if kit.apparent:
        moved, mine, m = ints_at(kit.work, MOVED, n), ints_at(kit.work, MINE, n), 0
        take_moved(out, moved, np.int32(1 << k), floats_at(kit.fresh, at, n))
        for j in range(n):
            mine[m] = j
            m += int(moved[j] & np.int32(1 << k) != 0)
        call(kit.appear_listed, (kit, k, m))
        return
    if kit.faulty:
        hold_stuck(floats_at(kit.stuck, at, n), out)
    take_moved(out, ints_at(kit.work, MOVED, n), np.int32(1 << k), floats_at(kit.now, at, n))


@bare()
def date_listed(kit, k, m):
    """The age of the m cells of side k in ``MINE``, which were just programmed, starts anew: they hold ``OUT``.

    Own values are gathered. What acts at once, such as another temperature, acts on ``OUT``.
    """
    n, at, mine = kit.count, k * kit.cells + kit.at + kit.first, ints_at(kit.work, MINE, m)
    out, goals = floats_at(kit.work, OUT, m), floats_at(kit.work, GOALS, m)
    if kit.aims:
        aimed = floats_at(kit.aimed, at, n)
        for i in range(m):
            aimed[mine[i]] = goals[i]
    if kit.timed:
        fresh, since = floats_at(kit.fresh, at, n), doubles_at(kit.since, at, n)
        for i in range(m):
            fresh[mine[i]] = out[i]
            since[mine[i]] = kit.clock
    if kit.at_once:
        start_anew(out, goals, float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m), kit)


@bare()
def date_side(kit, k, _):
    """The same of all those cells of side k of the block that moved."""
    n, bit, at = kit.count, np.int32(1 << k), k * kit.cells + kit.at + kit.first
    moved, out, goals = ints_at(kit.work, MOVED, n), floats_at(kit.work, OUT, n), floats_at(kit.work, GOALS, n)
    if kit.aims:
        take_moved(goals, moved, bit, floats_at(kit.aimed, at, n))
    if kit.timed:
        take_moved(out, moved, bit, floats_at(kit.fresh, at, n))
        since, clock = doubles_at(kit.since, at, n), kit.clock
        for j in range(n):
            old = since[j]
            since[j] = clock if moved[j] & bit != 0 else old
    if kit.at_once:
        start_anew(out, goals, float_rows_at(kit.own, kit.fields, kit.sides * kit.cells, at, n), kit)


@bare()
def start_anew(out, goals, own, kit):
    """What cells that were just written are at once, in place."""
    n = out.size
    written, ages = floats_at(kit.work, G, n), floats_at(kit.work, AGES, n)
    for j in range(n):
        written[j] = out[j]
        ages[j] = ZERO
    aims = goals if kit.aims else written
    drift_row(kit.drift, (written, ages, aims, own, out, floats_at(kit.drift_numbers, 0, kit.numbers_size)))


@bare()
def settle_pulsed(mine, k, kit):
    """After pulses to the cells of side k that are listed: their age starts anew, unless they are stuck."""
    n, at = kit.count, k * kit.cells + kit.at + kit.first
    now = floats_at(kit.now, at, n)
    if kit.faulty:
        stuck = floats_at(kit.stuck, at, n)
        for i in range(mine.size):
            if not np.isnan(stuck[mine[i]]):
                now[mine[i]] = stuck[mine[i]]
    if kit.aims:  # at nothing but what it has become
        aimed = floats_at(kit.aimed, at, n)
        for i in range(mine.size):
            aimed[mine[i]] = now[mine[i]]
    if kit.timed:
        fresh, since = floats_at(kit.fresh, at, n), doubles_at(kit.since, at, n)
        for i in range(mine.size):
            fresh[mine[i]] = fresh[mine[i]] if kit.apparent else now[mine[i]]
            since[mine[i]] = kit.clock


@bare()
def age_block(kit, _, __):
    """Bring the cells of the block to what they are at the time, and the weights with them."""
    n, a = kit.count, kit.at + kit.first
    if kit.drifts:
        numbers, ages = floats_at(kit.drift_numbers, 0, kit.numbers_size), floats_at(kit.work, AGES, n)
        for k in range(kit.sides if kit.paired else 1):
            at = k * kit.cells + a
            since, fresh, now = doubles_at(kit.since, at, n), floats_at(kit.fresh, at, n), floats_at(kit.now, at, n)
            for j in range(n):
                ages[j] = np.float32(kit.clock - since[j])
            aims = fresh
            if kit.aims:
                aims = floats_at(kit.aimed, at, n)
            own = float_rows_at(kit.own, kit.fields, kit.sides * kit.cells, at, n)
            drift_row(kit.drift, (fresh, ages, aims, own, now, numbers))
            if kit.faulty:
                hold_stuck(floats_at(kit.stuck, at, n), now)
    moved = ints_at(kit.work, MOVED, n)
    for j in range(n):
        moved[j] = np.int32(1)
    call(kit.refresh, (kit, 0, 0))


@loop()
def age_chips(layers, part, clock, kits):
    """Age the cells of some layers, the first, and the one behind the last, of some chips (`write_chips`)."""
    first, last, chips, share = part
    kit = kits[0]
    table = long_rows_at(kit.table, kit.layers, kit.columns, 0, kit.columns)
    kit.chips, kit.clock = chips, clock
    for chip in range(first, last):
        kit.chip = chip
        for layer in range(layers[0], layers[1]):
            at, size = cells_at(layer, table, (chip, chips)), table[layer, N_IN] * table[layer, N_OUT]
            for b in range(*blocks_of(size, share)):
                go_to(b, layer, at, size, kit)
                call(kit.age_block, (kit, 0, 0))
