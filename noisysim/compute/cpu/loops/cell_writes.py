"""Programming: cells are written to targets that the controller keeps, at once or in a closed loop of pulses.

All of a block of weights is done before the next: while it is in the cache its targets move, cells that come to another
level are found, their noise is drawn, and they are written. Noise is a function of the cell and the write, so that it
does not matter whether it is drawn for the cells that move alone or for the whole block.
"""

from typing import Any

import numpy as np
from numba.core.types import Tuple, UniTuple, boolean, float32, float64, int64, uint32

from noisysim.compute.cpu.cell_types import (
    BITS,
    BLOCK,
    DRAWN,
    GOALS,
    LEVELS,
    MINE,
    MOVED,
    OUT,
    OWN,
    RECORD,
    STAGE,
    UNITS,
    WHERE,
    G,
    Z,
)
from noisysim.compute.cpu.loops.cell_ageing import settle_side
from noisysim.compute.cpu.loops.cell_places import (
    blocks_of,
    cells_at,
    gather_own,
    go_to,
    list_moved,
    list_side,
)
from noisysim.compute.cpu.loops.draws import FILL, stream_word, unit_normals
from noisysim.compute.cpu.row_types import LEVEL, PROGRAM, TYPES
from noisysim.compute.jit.calls import array_of
from noisysim.compute.jit.compiling import bare, loop, scalars
from noisysim.compute.jit.places import float_rows_at, floats_at, ints_at, long_rows_at, words_at
from noisysim.compute.layout import CELL_BLOCK, N_IN, N_OUT, ROUNDING_STREAM, WRITE_STREAM
from noisysim.compute.rules import cells as rules

program_row, level_row, call, call_block = TYPES[PROGRAM].call, TYPES[LEVEL].call, STAGE.call, BLOCK.call
fill = FILL.call
retargeted, goal_of, goal_of_one, goal_of_slice, pair_moves, verified_level, kept_target = scalars(
    rules.retargeted, rules.goal_of, rules.goal_of_one, rules.goal_of_slice, rules.pair_moves, rules.verified_level,
    rules.kept_target,
)  # fmt: skip
ZERO, HALF = np.float32(0.0), np.float32(0.5)
WRITE: Any = (
    float32[::1], boolean, Tuple((int64, int64, int64, UniTuple(int64, 2))), Tuple((int64, uint32[:, ::1], float64)),
    int64, array_of(RECORD),
)  # fmt: skip
"""What `write_chips` is called with."""
FEW = 4
"""Below this part of its weights the cells of a block are written as a list, and their noise drawn one by one."""


@bare(fastmath={"contract"})
def find_levels(goals, levels, span, kit):
    """The levels of goals."""
    if kit.verified:
        tolerance = kit.tolerance
        for j in range(goals.size):
            levels[j] = verified_level(goals[j], span, tolerance)
    else:
        level_row(kit.level, (goals, levels, floats_at(kit.level_numbers, 0, kit.numbers_size)))


@bare()
def round_targets(kit, change, every):
    """New targets of the block's weights where these are kept in whole steps, from the old ones in ``G``.

    Changes are rounded to them by chance, those of the first write to the nearest.
    """
    n, scale, step = kit.count, floats_at(kit.scales, kit.layer, 1)[0], kit.target_step
    target, old = floats_at(kit.targets, kit.target_at, n), floats_at(kit.work, G, n)
    u, bits = floats_at(kit.work, Z, CELL_BLOCK), words_at(kit.work, BITS, CELL_BLOCK)
    stream = stream_word(ROUNDING_STREAM, kit.layer, 0)
    fill(kit.fill_uniforms, (u, bits, CELL_BLOCK, 0, kit.number, kit.write, stream, kit.k0, kit.k1))
    for j in range(n):
        target[j] = kept_target(old[j], change[j], scale, HALF if every else u[j], step)
    return n


@bare(fastmath={"contract"})
def retarget(kit, change, every):
    """New targets of the block's weights, and which of their cells they move to another level; returns how many.

    Bit k of ``MOVED`` stands for side k. The old levels are found again: to keep them would be as much to read.
    """
    n, scale = kit.count, floats_at(kit.scales, kit.layer, 1)[0]
    target, old = floats_at(kit.targets, kit.target_at, n), floats_at(kit.work, G, n)
    moved, span = ints_at(kit.work, MOVED, n), (kit.g_min, kit.width, kit.slices, kit.bits)
    sides = kit.sides if kit.paired else 1
    all_moved = np.int32((1 << sides) - 1) if every else np.int32(0)
    if every and not kit.knows_targets:
        for j in range(n):
            target[j] = ZERO
    for j in range(n):
        old[j] = target[j]
        target[j] = retargeted(target[j], change[j], scale)
        moved[j] = all_moved
    if kit.target_step > ZERO:
        call_block(kit.round_targets, (kit, change, every))
    if every:
        return sides * n
    goals, levels = floats_at(kit.work, GOALS, 2 * n + 1), floats_at(kit.work, LEVELS, 2 * n + 1)
    before, after = floats_at(kit.work, GOALS, n), floats_at(kit.work, GOALS + n, n)  # as loops from 0 on vectorise
    was, becomes = floats_at(kit.work, LEVELS, n), floats_at(kit.work, LEVELS + n, n)
    goals[2 * n] = span[0]
    written = np.int32(0)
    if not kit.paired:
        for j in range(n):
            before[j] = goal_of_one(old[j], span)
            after[j] = goal_of_one(target[j], span)
        find_levels(goals, levels, span, kit)
        for j in range(n):
            moved[j] = np.int32(was[j] != becomes[j])
            written += moved[j]
        return np.int64(written)
    for s in range(kit.slices):
        for j in range(n):
            before[j] = goal_of_slice(abs(old[j]), s, span)
            after[j] = goal_of_slice(abs(target[j]), s, span)
        find_levels(goals, levels, span, kit)
        rest, low = levels[2 * n], np.int32(2 * s)
        for j in range(n):
            both = pair_moves(old[j], target[j], was[j], becomes[j], rest)
            moved[j] |= both << low
            written += (both & np.int32(1)) + (both >> np.int32(1))
    return np.int64(written)


@bare()
def draw_sides(kit, kind, turn):
    """The draws of all cells of the block that have any, into ``Z``."""
    n = kit.drawn_sides * CELL_BLOCK
    z, bits, stream = floats_at(kit.work, Z, n), words_at(kit.work, BITS, n), stream_word(kind, kit.layer, turn)
    fill(kit.fill_normals, (z, bits, n, 0, kit.number, kit.write, stream, kit.k0, kit.k1))


@bare()
def draw_listed(kit, stream, m):
    """The draws of the m cells of the block of which ``UNITS`` are the numbers, into ``DRAWN``."""
    padded, n = (m + 15) // 16 * 16, kit.drawn_sides * CELL_BLOCK  # a multiple of what is drawn at once
    units, bits = ints_at(kit.work, UNITS, padded), words_at(kit.work, BITS, 2 * padded)
    for i in range(m, padded):
        units[i] = 0
    z = floats_at(kit.work, DRAWN, padded)
    unit_normals(units, padded, n, kit.number, kit.write, np.uint32(stream), kit.k0, kit.k1, bits, z)


@bare()
def draw_side(k, m, kind, turn, kit):
    """The draws of the m cells of side k of the block in ``MINE``, into ``DRAWN``."""
    mine, units = ints_at(kit.work, MINE, m), ints_at(kit.work, UNITS, m)
    for i in range(m):
        units[i] = mine[i] + np.int32(k * CELL_BLOCK)
    call(kit.draw_listed, (kit, np.int64(stream_word(kind, kit.layer, turn)), m))


@bare()
def program_listed(kit, k, m):
    """Program the m cells of side k in ``MINE`` to ``GOALS``, with the draws in ``DRAWN``."""
    goals, z, out = floats_at(kit.work, GOALS, m), floats_at(kit.work, DRAWN, m), floats_at(kit.work, OUT, m)
    gather_own(k, kit.at + kit.first, ints_at(kit.work, MINE, m), m, kit)
    own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
    program_row(kit.program, (goals, z, own, out, floats_at(kit.program_numbers, 0, kit.numbers_size)))
    call(kit.settle, (kit, k, m))


@bare()
def program_side(kit, k, _):
    """Program those cells of side k of the block that moved, side by side; draws are in ``Z``."""
    n, a, paired, span = kit.count, kit.at + kit.first, kit.paired, (kit.g_min, kit.width, kit.slices, kit.bits)
    target, goals = floats_at(kit.targets, kit.target_at, n), floats_at(kit.work, GOALS, n)
    z, out = floats_at(kit.work, Z + k * CELL_BLOCK, n), floats_at(kit.work, OUT, n)
    own = float_rows_at(kit.own, kit.fields, kit.sides * kit.cells, k * kit.cells + a, n)
    for j in range(n):
        goals[j] = goal_of(target[j], k, span, paired)
    program_row(kit.program, (goals, z, own, out, floats_at(kit.program_numbers, 0, kit.numbers_size)))
    settle_side(k, out, kit)


@bare()
def program_moved(m, drawn, kit):
    """Program those cells that moved of the m weights in ``WHERE``; `drawn`: their draws are in ``Z``."""
    n, span, paired = kit.count, (kit.g_min, kit.width, kit.slices, kit.bits), kit.paired
    moved, where, mine = ints_at(kit.work, MOVED, n), ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, n)
    target, goals, z = floats_at(kit.targets, kit.target_at, n), floats_at(kit.work, GOALS, n), kit.work
    for k in range(kit.sides if paired else 1):
        c = list_side(moved, where, m, k, mine)
        if c == 0:
            continue
        for i in range(c):
            goals[i] = goal_of(target[mine[i]], k, span, paired)
        if drawn:
            whole, some = floats_at(z, Z + k * CELL_BLOCK, n), floats_at(z, DRAWN, c)
            for i in range(c):
                some[i] = whole[mine[i]]
        else:
            draw_side(k, c, WRITE_STREAM, 0, kit)
        call(kit.program_listed, (kit, k, c))


@bare()
def write_block(kit, change, every):
    """Write a change to the cells of the block for which the record stands; returns how many were programmed.

    The controller keeps digital targets, in units of the full span. A cell is rewritten when its new target is at
    another level than the old.

    Parameters
    ----------
    kit : record
        `noisysim.compute.cpu.cell_types.KIT`.
    change : (n,) float32
        Of the block's weights, in weight units.
    every : bool
        Program every cell, whatever its level: the first write.
    """
    written = call_block(kit.retarget, (kit, change, every))
    if written == 0:
        return written
    few, n = written < kit.count // FEW, kit.count
    if not few:
        call(kit.draw_sides, (kit, WRITE_STREAM, 0))
    if few or (kit.at_once and not every):  # to let a cell drift costs more than to gather it
        m = list_moved(ints_at(kit.work, MOVED, n), ints_at(kit.work, WHERE, n), n)
        program_moved(m, not few, kit)
        if few:
            call(kit.refresh_few, (kit, 0, m))
            return written
    else:
        for k in range(kit.sides if kit.paired else 1):
            call(kit.program_side, (kit, k, 0))
    call(kit.refresh, (kit, 0, 0))
    return written


@loop()
def write_chips(change, every, part, counter, stage, kits):
    """Apply a change to the cells of some chips, block by block; returns the sum of what the stage counts.

    Parameters
    ----------
    change : (n,) float32
        In weight units, all layers, and of each all chips.
    every : bool
        Program every cell, whatever its level: the first write.
    part : tuple
        The first chip, the one behind the last, how many there are, and (k, n): the k-th of n parts of each layer's
        blocks of cells.
    counter : tuple
        Number of the write, the chips' keys, and their time.
    stage : int
        Address of what is done to a block: `write_block`, or that of closed loops (`verify_block`) or of pulses
        (`pulse_block`).
    kits : (1,) array of records
    """
    first, last, chips, share = part
    kit, total = kits[0], 0
    table = long_rows_at(kit.table, kit.layers, kit.columns, 0, kit.columns)
    kit.write, keys, kit.clock = counter
    kit.chips = chips
    for chip in range(first, last):
        kit.chip, kit.k0, kit.k1 = chip, keys[chip, 0], keys[chip, 1]
        for layer in range(table.shape[0]):
            at, size = cells_at(layer, table, (chip, chips)), table[layer, N_IN] * table[layer, N_OUT]
            for b in range(*blocks_of(size, share)):
                a, n = go_to(b, layer, at, size, kit)
                total += call_block(stage, (kit, change[a : a + n], every))
    return total
