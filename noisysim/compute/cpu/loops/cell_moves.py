"""What controllers do that keep no targets, of cells without pulses: they are read, and moved from where they are.

Changes are rounded to whole steps first (`noisysim.compute.cpu.loops.cell_pulses.round_pulses`).
"""

import numpy as np

from noisysim.compute.cpu.cell_types import (
    AGES,
    AIMS,
    BLOCK,
    DRAWN,
    GOALS,
    LEVELS,
    MINE,
    MOVED,
    OUT,
    OWN,
    STAGE,
    SUMS,
    UP,
    WHERE,
    G,
    Z,
)
from noisysim.compute.cpu.loops.cell_ageing import put
from noisysim.compute.cpu.loops.cell_places import gather_own
from noisysim.compute.cpu.loops.cell_writes import draw_side
from noisysim.compute.cpu.row_types import PROGRAM, STD, TYPES
from noisysim.compute.jit.compiling import bare, scalar
from noisysim.compute.jit.places import doubles_at, float_rows_at, floats_at, ints_at
from noisysim.compute.layout import CELL_BLOCK, READ_STREAM, WRITE_STREAM
from noisysim.compute.rules import cells as rules

program_row, std_row, call, call_block = TYPES[PROGRAM].call, TYPES[STD].call, STAGE.call, BLOCK.call
side_of_pulses, stepped, moved_by = scalar(rules.side_of_pulses), scalar(rules.stepped), scalar(rules.moved_by)
digitised, whole_change, target_read = scalar(rules.digitised), scalar(rules.whole_change), scalar(rules.target_read)
ZERO = np.float32(0.0)


@bare()
def read_side(kit, k, m):
    """Read the m cells of side k in ``MINE`` once, by the array's ADC, into ``LEVELS``, µS."""
    a, n, mine = kit.at + kit.first, kit.count, ints_at(kit.work, MINE, m)
    at = k * kit.cells + a
    now, g, std = floats_at(kit.now, at, n), floats_at(kit.work, G, m), floats_at(kit.work, OUT, m)
    for i in range(m):
        g[i] = now[mine[i]]
        std[i] = ZERO
    if kit.deviates:
        ages, aims = floats_at(kit.work, AGES, m), floats_at(kit.work, AIMS, m)
        for i in range(m):
            ages[i] = ZERO
            aims[i] = g[i]
        if kit.timed:
            since, clock = doubles_at(kit.since, at, n), kit.clock
            for i in range(m):
                ages[i] = np.float32(clock - since[mine[i]])
        if kit.aims:
            aimed = floats_at(kit.aimed, at, n)
            for i in range(m):
                aims[i] = aimed[mine[i]]
        gather_own(k, a, mine, m, kit)
        own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
        std_row(kit.deviation, (g, ages, aims, own, std, floats_at(kit.deviation_numbers, 0, kit.numbers_size)))
    draw_side(k, m, READ_STREAM, 0, kit)
    z, read, span = floats_at(kit.work, DRAWN, m), floats_at(kit.work, LEVELS, m), (kit.g_min, kit.width)
    for i in range(m):
        read[i] = digitised(g[i], std[i], kit.line_std, z[i], kit.quantum, span)


@bare()
def step_side(k, c, kit):
    """Move the c cells of side k in ``MINE`` by their steps, with the error of a write, but for stuck ones."""
    a, n, mine, counts = kit.at + kit.first, kit.count, ints_at(kit.work, MINE, c), ints_at(kit.work, MOVED, kit.count)
    now, goals = floats_at(kit.now, k * kit.cells + a, n), floats_at(kit.work, GOALS, c)
    span, step, paired = (kit.g_min, kit.width), kit.step, kit.paired
    for i in range(c):
        goals[i] = stepped(now[mine[i]], counts[mine[i]], step, span, paired)
    draw_side(k, c, WRITE_STREAM, 0, kit)
    gather_own(k, a, mine, c, kit)
    own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, c)
    z, none = floats_at(kit.work, DRAWN, c), floats_at(kit.work, Z, c)
    out, meant = floats_at(kit.work, OUT, c), floats_at(kit.work, UP, c)
    for i in range(c):
        none[i] = ZERO
    numbers = floats_at(kit.program_numbers, 0, kit.numbers_size)
    program_row(kit.program, (goals, z, own, out, numbers))
    program_row(kit.program, (goals, none, own, meant, numbers))
    for i in range(c):
        out[i] = moved_by(goals[i], out[i], meant[i])
    put(mine, out, k, kit)


@bare()
def give_steps(kit, _, m):
    """Move the m weights in ``WHERE`` by the steps in ``MOVED``; returns how many cells these are."""
    counts, paired = ints_at(kit.work, MOVED, kit.count), kit.paired
    where, mine = ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, kit.count)
    for k in range(2 if paired else 1):
        c = np.int64(0)  # of a plain 0 Numba would compile `step_side` once more
        for i in range(m):
            mine[c] = where[i]
            c += int(side_of_pulses(counts[where[i]], paired) == k)
        if c > 0:
            step_side(k, c, kit)
    return m


@bare()
def read_targets(kit, _, m):
    """Put what reads of the cells of the m weights in ``WHERE`` tell of them in place of targets that are not kept.

    Of a pair the cell counts that holds more: what the other holds beside nothing is its error. A read leaves cells as
    they stand.
    """
    n, where, mine = kit.count, ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, m)
    target, minus = floats_at(kit.targets, kit.target_at, n), floats_at(kit.work, SUMS, n)
    scale, paired = floats_at(kit.scales, kit.layer, 1)[0], kit.paired
    for j in range(n):
        target[j] = ZERO
    for i in range(m):
        mine[i] = where[i]
        minus[where[i]] = ZERO
    for k in range(kit.sides if paired else 1):
        now, kept = floats_at(kit.now, k * kit.cells + kit.at + kit.first, n), floats_at(kit.work, UP, m)
        for i in range(m):
            kept[i] = now[where[i]]
        if kit.drifts:
            call(kit.bring_up, (kit, k, m))
        call(kit.read_side, (kit, k, m))
        for i in range(m):
            now[where[i]] = kept[i]
        share = floats_at(kit.units, kit.layer * kit.slices + k // 2, 1)[0] * scale
        read, low = floats_at(kit.work, LEVELS, m), kit.g_min
        held = target if k % 2 == 0 else minus
        for i in range(m):
            held[where[i]] += (read[i] - low) * share
    for i in range(m):
        target[where[i]] = target_read(target[where[i]], minus[where[i]], paired)


@bare()
def modify_block(kit, change, _):
    """Read the cells of the block that a change moves, and write them; returns reads, plus 2^32 for what writes count.

    These are cells programmed, or pulses of a closed loop.
    """
    m, n = call_block(kit.round_pulses, (kit, change, False)), kit.count
    if m == 0:
        return 0
    reads = m * (kit.sides if kit.paired else 1)
    call(kit.read_targets, (kit, 0, m))
    per, counts, whole = (
        floats_at(kit.pulsing, kit.layer, 1)[0],
        ints_at(kit.work, MOVED, n),
        floats_at(kit.work, UP, n),
    )
    for j in range(n):
        whole[j] = whole_change(counts[j], per)
    if kit.verified:
        written = call_block(kit.verify_block, (kit, whole, False))
    else:
        written = call_block(kit.write_block, (kit, whole, False))
    return reads + (written << 32)
