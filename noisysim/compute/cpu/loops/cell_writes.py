"""Programming: cells are written to targets that the controller keeps, at once or in a closed loop of pulses."""

import numpy as np

from noisysim.compute.cpu.loops.cell_ageing import bring_up, settle, settle_one
from noisysim.compute.cpu.loops.cell_places import blocks_of, cells_at, list_moved, run_of, side_of
from noisysim.compute.cpu.loops.cell_weights import refresh, refresh_few
from noisysim.compute.cpu.loops.draws import fill_normals, stream_word, unit_normal
from noisysim.compute.jit.compiling import inner, loop
from noisysim.compute.layout import CELL_BLOCK, N_IN, N_OUT, VERIFY_STREAM, WRITE_STREAM
from noisysim.compute.rules.cells import (
    few_written,
    goal_of,
    is_met,
    level,
    missing,
    pair_moves,
    programmed,
    pulsed,
    retargeted,
    single_moves,
)
from noisysim.compute.rules.device import with_cell
from noisysim.compute.rules.flags import AIMED, FAULTY, HAS_CELL_STD, PAIRED, VERIFIED


@inner(fastmath={"contract"})
def retarget(change, target, wanted, moved, scale, span, tolerance, d):
    """New targets of a block of weights, and which of their cells they move to another level; returns how many.

    Bit k of `moved` stands for side k. The count is as wide as the values compared, or the loop would not vectorise.
    """
    n = change.size
    written = np.int32(0)
    for j in range(n):
        wanted[j] = retargeted(target[j], change[j], scale)
        moved[j] = 0
    if not PAIRED:
        for j in range(n):
            moved[j] = single_moves(target[j], wanted[j], span, tolerance, d)
            written += moved[j]
    else:
        rest = level(span[0], span, tolerance, d)
        for s in range(span[2]):
            for j in range(n):
                both = pair_moves(target[j], wanted[j], s, rest, span, tolerance, d)
                moved[j] |= both << np.int32(2 * s)
                written += (both & np.int32(1)) + (both >> np.int32(1))
    for j in range(n):
        target[j] = wanted[j]
    return written


@inner(fastmath={"contract"})
def write_side(now, aimed, own, target, k, moved, every, span, z, d):
    """Program those cells of side k of a block that moved."""
    bit = np.int32(1 << k)
    for j in range(now.size):
        goal, live = goal_of(target[j], k, span), every or (moved[j] & bit) != 0
        new = programmed(goal, z[j], with_cell(d, own, j))
        now[j] = new if live else now[j]
        if AIMED:
            aimed[j] = goal if live else aimed[j]


@inner(fastmath={"contract"})
def write_few(cells, at, first, moved, where, count, span, counter, clock, d):
    """Program those of the cells listed in `where` that moved, one by one."""
    targets, now, _, _, own, _, aimed = cells
    block, number, layer, k0, k1 = counter
    drawn, stream = (now.shape[0] if PAIRED else 1) * CELL_BLOCK, stream_word(WRITE_STREAM, layer, 0)
    for i in range(count):
        j = where[i]
        cell = at + first + j
        for k in range(now.shape[0]):
            if (moved[j] >> k) & 1:
                z = unit_normal(k * CELL_BLOCK + j, drawn, block, number, stream, k0, k1)
                goal = goal_of(targets[cell], k, span)
                now[k, cell] = programmed(goal, z, with_cell(d, side_of(own, k), cell))
                if AIMED:
                    aimed[k, cell] = goal
                settle(cells, k, cell, cell + 1, moved[j : j + 1], False, clock, d)


@inner(fastmath={"contract"})
def verify_few(cells, at, first, moved, where, count, span, counter, limits, clock, d):
    """Write the cells listed in `where` that moved by pulses and reads until the goal is met; returns pulses given."""
    targets, now, _, _, own, stuck, aimed = cells
    block, number, layer, k0, k1 = counter
    most, tolerance = limits
    given, drawn = 0, now.shape[0] * CELL_BLOCK
    for i in range(count):
        j = where[i]
        cell = at + first + j
        for k in range(now.shape[0]):
            if (moved[j] >> k) & 1 == 0:
                continue
            unit, mine = k * CELL_BLOCK + j, with_cell(d, side_of(own, k), cell)
            bring_up(cells, k, cell, clock, d)
            goal, g = goal_of(targets[cell], k, span), now[k, cell]
            for turn in range(most):
                z = np.float32(0.0)
                if HAS_CELL_STD:
                    z = unit_normal(unit, drawn, block, number, stream_word(VERIFY_STREAM, layer, turn), k0, k1)
                miss = missing(goal, g, z, mine)
                if is_met(miss, tolerance, span):
                    break
                z = unit_normal(unit, drawn, block, number, stream_word(WRITE_STREAM, layer, turn), k0, k1)
                given += 1
                if not FAULTY or np.isnan(stuck[k, cell]):
                    g = pulsed(g, np.float32(1.0) if miss > 0 else np.float32(-1.0), z, mine)
            now[k, cell] = g
            settle_one(cells, k, cell, clock)
            if AIMED:
                aimed[k, cell] = goal
    return given


@inner(fastmath={"contract"})
def write_block(cells, first, last, moved, every, span, counter, work, clock, d):
    """Program those cells of a block that moved, side by side."""
    targets, now, _, _, own, _, aimed = cells
    block, number, layer, k0, k1 = counter
    z, bits = work
    fill_normals(z, bits, z.size, block, number, stream_word(WRITE_STREAM, layer, 0), k0, k1)
    for k in range(z.size // CELL_BLOCK):
        mine, drawn = run_of(side_of(own, k), first, last), z[k * CELL_BLOCK : (k + 1) * CELL_BLOCK]
        goals = aimed[k, first:last] if AIMED else aimed
        write_side(now[k, first:last], goals, mine, targets[first:last], k, moved, every, span, drawn, d)
        settle(cells, k, first, last, moved, every, clock, d)


@inner(fastmath={"contract"})
def write_cells(change, every, share, net, cells, scales, units, span, limits, counter, weights, variances, d):
    """Write a change of every weight to its cells; returns cells written, and pulses given.

    The controller keeps digital targets, in units of the full span. A cell is rewritten when its new target is at
    another level than the old (`level`).

    Parameters
    ----------
    change : (n,) float32
        In weight units, all layers.
    every : bool
        Program every cell, whatever its level: the first write.
    share : (int, int)
        (k, n): the k-th of n parts of each layer's blocks of cells.
    net : tuple
        table, tiles, stack.
    cells : tuple
        targets (n,); now, conductances (sides, n); fresh, what they were when written, and since, when that was;
        own values (fields, sides, n); stuck, as now with NaN for sound cells; aimed, what the last write of each aimed
        at. Where the constants above say that a device has no such thing, there is an empty tuple in its place, and the
        code that reads it is left out.
    scales : (layers,) float32
        Targets per weight unit.
    units : (layers, slices) float32
        Weights per µS.
    span : tuple
        g_min, g_max - g_min, slices, bits of each.
    limits : tuple
        Of a closed-loop write: most pulses, tolerance.
    counter : tuple
        Number of the write, key, and the chip's time.
    weights, variances : (n,) float32
        To be brought up to date; variances may be empty.
    d : NamedTuple
        The device's numbers, float32.
    """
    table, tiles, stack = net
    targets, now = cells[0], cells[1]
    number, k0, k1, clock = counter
    sides = now.shape[0] if PAIRED else 1
    z, bits = np.empty(sides * CELL_BLOCK, np.float32), np.empty(sides * CELL_BLOCK, np.uint32)
    wanted, moved = np.empty(CELL_BLOCK, np.float32), np.empty(CELL_BLOCK, np.int32)
    where = np.empty(CELL_BLOCK + 1, np.int32)
    total, pulses = 0, 0
    for layer in range(table.shape[0]):
        at, count = cells_at(layer, table, stack), table[layer, N_IN] * table[layer, N_OUT]
        place = (layer, table, tiles, span[2], stack)
        for block in range(*blocks_of(count, share)):
            first = block * CELL_BLOCK
            n = min(CELL_BLOCK, count - first)
            a, b = at + first, at + first + n
            written = retarget(change[a:b], targets[a:b], wanted, moved, scales[layer], span, limits[1], d)
            if every:
                written = sides * n
            total += written
            if written == 0:
                continue
            few = few_written(written, n)
            m = list_moved(moved, where, n) if few or VERIFIED else 0
            draw = (block, number, layer, k0, k1)
            if VERIFIED and not every:
                pulses += verify_few(cells, at, first, moved, where, m, span, draw, limits, clock, d)
            elif few:
                write_few(cells, at, first, moved, where, m, span, draw, clock, d)
            else:
                write_block(cells, a, b, moved, every, span, draw, (z, bits), clock, d)
            if few:
                refresh_few(cells, at, first, where, m, place, units[layer], clock, weights, variances, d)
            else:
                refresh(cells, at, first, n, place, units[layer], clock, weights, variances, d)
    z[:], wanted[:] = np.float32(0.0), np.float32(0.0)  # who is given this memory next must not find targets in it
    return (0 if VERIFIED and not every else total), pulses


@loop()
def write_chips(change, every, part, net, cells, scales, units, span, limits, counter, weights, variances, d):
    """`write_cells` on some chips: `part` is the first, the one behind the last, how many there are, the share."""
    first, last, chips, share = part
    number, keys, clock = counter
    total, pulses = 0, 0
    for m in range(first, last):
        own, drawn = (net[0], net[1], (m, chips)), (number, keys[m, 0], keys[m, 1], clock)
        a, b = write_cells(change, every, share, own, cells, scales, units, span, limits, drawn, weights, variances, d)
        total, pulses = total + a, pulses + b
    return total, pulses
