"""Programming in a closed loop: pulses and reads, until the goal is met."""

import numpy as np

from noisysim.compute.cpu.cell_types import (
    AGES,
    BLOCK,
    COUNT,
    DRAWN,
    GOALS,
    LEVELS,
    MINE,
    MOVED,
    OUT,
    OWN,
    STAGE,
    UP,
    WHERE,
    G,
)  # fmt: skip
from noisysim.compute.cpu.loops.cell_ageing import put, settle_pulsed
from noisysim.compute.cpu.loops.cell_places import gather_own, list_moved, list_side
from noisysim.compute.cpu.loops.cell_writes import draw_side
from noisysim.compute.cpu.row_types import PULSE, STD, TYPES
from noisysim.compute.jit.compiling import bare, scalar
from noisysim.compute.jit.places import float_rows_at, floats_at, ints_at
from noisysim.compute.layout import CELL_BLOCK, VERIFY_STREAM, WRITE_STREAM
from noisysim.compute.rules import cells as rules

pulse_row, std_row, call, count, call_block = TYPES[PULSE].call, TYPES[STD].call, STAGE.call, COUNT.call, BLOCK.call
goal_of, is_met = scalar(rules.goal_of), scalar(rules.is_met)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@bare(fastmath={"contract"})
def find_missing(k, m, turn, kit):
    """What a verifying read of each of the m cells in ``MINE`` finds missing to its goal, into ``LEVELS``."""
    miss, goals, g = floats_at(kit.work, LEVELS, m), floats_at(kit.work, GOALS, m), floats_at(kit.work, G, m)
    for i in range(m):
        miss[i] = goals[i] - g[i]
    if kit.deviates:
        draw_side(k, m, VERIFY_STREAM, turn, kit)
        ages, std, z = floats_at(kit.work, AGES, m), floats_at(kit.work, OUT, m), floats_at(kit.work, DRAWN, m)
        for i in range(m):
            ages[i] = ZERO
        own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
        std_row(kit.deviation, (g, ages, goals, own, std, floats_at(kit.deviation_numbers, 0, kit.numbers_size)))
        for i in range(m):
            miss[i] -= std[i] * z[i]


@bare()
def let_go(k, m, kit):
    """Of the m cells in ``MINE`` put those back whose goal is met; returns how many are left, and lists these."""
    now, left = floats_at(kit.now, k * kit.cells + kit.at + kit.first, kit.count), 0
    mine, miss = ints_at(kit.work, MINE, m), floats_at(kit.work, LEVELS, m)
    goals, g = floats_at(kit.work, GOALS, m), floats_at(kit.work, G, m)
    own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
    span, tolerance = (kit.g_min, kit.width), kit.tolerance
    for i in range(m):
        if is_met(miss[i], tolerance, span):
            now[mine[i]] = g[i]
            continue
        mine[left], goals[left], g[left], miss[left] = mine[i], goals[i], g[i], miss[i]
        for f in range(kit.fields):
            own[f, left] = own[f, i]
        left += 1
    return left


@bare()
def verify_side(kit, k, m):
    """Write the m cells of side k in ``MINE`` by pulses and reads until their goals are met; returns pulses given.

    All of them go through the loop together, turn by turn.
    """
    n, a, paired, given = kit.count, kit.at + kit.first, kit.paired, 0
    span, at = (kit.g_min, kit.width, kit.slices, kit.bits), k * kit.cells + a
    target, now = floats_at(kit.targets, kit.target_at, n), floats_at(kit.now, at, n)
    stuck = floats_at(kit.stuck, at, n)
    mine, goals, g = ints_at(kit.work, MINE, m), floats_at(kit.work, GOALS, m), floats_at(kit.work, G, m)
    gather_own(k, a, mine, m, kit)
    for i in range(m):
        g[i] = now[mine[i]]
        goals[i] = goal_of(target[mine[i]], k, span, paired)
    for turn in range(kit.verify_pulses):
        find_missing(k, m, turn, kit)
        m = let_go(k, m, kit)
        if m == 0:
            return given
        draw_side(k, m, WRITE_STREAM, turn, kit)
        g, out, up = floats_at(kit.work, G, m), floats_at(kit.work, OUT, m), floats_at(kit.work, UP, m)
        miss, own = floats_at(kit.work, LEVELS, m), float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
        for i in range(m):
            up[i] = ONE if miss[i] > ZERO else -ONE
        z, numbers = floats_at(kit.work, DRAWN, m), floats_at(kit.pulse_numbers, 0, kit.numbers_size)
        pulse_row(kit.pulse, (g, up, z, own, out, numbers))
        for i in range(m):
            g[i] = g[i] if kit.faulty and not np.isnan(stuck[mine[i]]) else out[i]
        given += m
    put(mine, g, k, kit)
    return given


@bare()
def verify_block(kit, change, _):
    """Write a change to the cells of the block in a closed loop of pulses and reads; returns pulses given."""
    if call_block(kit.retarget, (kit, change, False)) == 0:
        return 0
    n, paired, given = kit.count, kit.paired, 0
    span, target = (kit.g_min, kit.width, kit.slices, kit.bits), floats_at(kit.targets, kit.target_at, n)
    moved, where, mine = ints_at(kit.work, MOVED, n), ints_at(kit.work, WHERE, n), ints_at(kit.work, MINE, n)
    m = list_moved(moved, where, n)
    for k in range(kit.sides if paired else 1):
        c = list_side(moved, where, m, k, mine)
        if c == 0:
            continue
        if kit.drifts:
            call(kit.bring_up, (kit, k, c))
        given += count(kit.verify_side, (kit, k, c))
        c = list_side(moved, where, m, k, mine)
        settle_pulsed(mine[:c], k, kit)
        if kit.aims:
            aimed = floats_at(kit.aimed, k * kit.cells + kit.at + kit.first, n)
            for i in range(c):
                aimed[mine[i]] = goal_of(target[mine[i]], k, span, paired)
    call(kit.refresh_few, (kit, 0, m))
    return given
