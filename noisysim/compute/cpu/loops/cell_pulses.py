"""Pulses in open loop: a change of a weight is rounded to pulses, which its cells get turn by turn."""

import numpy as np

from noisysim.compute.cpu.loops.cell_ageing import bring_up, settle, settle_one
from noisysim.compute.cpu.loops.cell_places import blocks_of, cells_at, list_moved, run_of, side_of
from noisysim.compute.cpu.loops.cell_weights import refresh, refresh_few
from noisysim.compute.cpu.loops.draws import fill_bits, fill_normals, stream_word, unit_normal
from noisysim.compute.jit.compiling import inner, loop
from noisysim.compute.layout import CELL_BLOCK, N_IN, N_OUT, REFRESH_STREAM, ROUNDING_STREAM, WRITE_STREAM
from noisysim.compute.noise import uniform
from noisysim.compute.rules.cells import (
    direction_of_pulses,
    few_pulsed,
    needs_reset,
    programmed,
    pulsed,
    pulses_asked,
    reset_goal,
    side_of_pulses,
    whole_turn,
)
from noisysim.compute.rules.device import with_cell
from noisysim.compute.rules.flags import AIMED, FAULTY, HAS_DRIFT, HAS_OWN, PAIRED, TIMED


@inner(fastmath={"contract"})
def round_pulses(change, per, bits, most, counts, where):
    """Pulses asked of each weight of a block, stochastically rounded, signed; lists those that get any: how many."""
    for j in range(change.size):
        counts[j] = pulses_asked(change[j], per, uniform(bits[j]), most)
    return list_moved(counts, where, change.size)


@inner(fastmath={"contract"})
def pulse_side(now, own, k, counts, z, d):
    """One pulse for those cells of side k of a block that have one coming."""
    for j in range(now.size):
        n = counts[j]
        live = n != 0 and side_of_pulses(n) == k
        new = pulsed(now[j], direction_of_pulses(n), z[j], with_cell(d, own, j))
        now[j] = new if live else now[j]


@inner(fastmath={"contract"})
def pulse_some(now, own, a, counts, where, count, work, d):
    """One pulse for the cells of a block that `where` lists: gathered, pulsed, put back."""
    z, g, up = work
    for i in range(count):
        n = counts[where[i]]
        g[i], up[i] = now[side_of_pulses(n), a + where[i]], direction_of_pulses(n)
    if HAS_OWN:
        for i in range(count):
            mine = with_cell(d, side_of(own, side_of_pulses(counts[where[i]])), a + where[i])
            g[i] = pulsed(g[i], up[i], z[i], mine)
    else:
        for i in range(count):
            g[i] = pulsed(g[i], up[i], z[i], d)
    for i in range(count):
        now[side_of_pulses(counts[where[i]]), a + where[i]] = g[i]


@inner(fastmath={"contract"})
def reset_pairs(cells, a, where, count, span, at_most, counter, clock, d):
    """Of the pairs listed, program those anew of which a cell has come near its end: the difference on one cell."""
    _, now, _, _, own, _, aimed = cells
    block, number, layer, k0, k1 = counter
    stream, done = stream_word(REFRESH_STREAM, layer, 0), 0
    for i in range(count):
        j = where[i]
        cell = a + j
        if not needs_reset(now[0, cell], now[1, cell], at_most, span):
            continue
        difference = now[0, cell] - now[1, cell]
        for k in range(2):
            z = unit_normal(k * CELL_BLOCK + j, 2 * CELL_BLOCK, block, number, stream, k0, k1)
            goal = reset_goal(difference, k, span)
            now[k, cell] = programmed(goal, z, with_cell(d, side_of(own, k), cell))
            if AIMED:
                aimed[k, cell] = goal
            settle(cells, k, cell, cell + 1, where, True, clock, d)
        done += 2
    return done


@inner()
def keep(left, m, counts, turn):
    """Of the m cells listed keep those that have more than `turn` pulses coming; returns how many."""
    kept = 0
    if m > counts.size // 4:  # cheaper to go through all
        for j in range(counts.size):
            left[kept] = j
            kept += int(abs(counts[j]) > turn)
        return kept
    for i in range(m):
        j = left[i]
        left[kept] = j
        kept += int(abs(counts[j]) > turn)
    return kept


@inner(fastmath={"contract"})
def pulse_block(now, own, a, counts, left, count, draw, work, d):
    """Give the cells that `left` lists their pulses, turn by turn; returns how many pulses.

    In the first turn, where half of the block takes part (`whole_turn`), cell j takes draw j of CELL_BLOCK; otherwise
    the i-th of the m cells that have a pulse coming takes draw i of m.
    """
    block, number, layer, k0, k1 = draw
    z, g, up, bits = work
    turn, m, given, n = 0, count, 0, counts.size
    while m > 0:
        stream = stream_word(WRITE_STREAM, layer, turn)
        if whole_turn(turn, m, n):
            fill_normals(z, bits, CELL_BLOCK, block, number, stream, k0, k1)
            for k in range(2 if PAIRED else 1):
                pulse_side(now[k, a : a + n], run_of(side_of(own, k), a, a + n), k, counts, z, d)
        else:
            fill_normals(z, bits, m, block, number, stream, k0, k1)
            pulse_some(now, own, a, counts, left, m, (z, g, up), d)
        given += m
        turn += 1
        m = keep(left, m, counts, turn)
    return given


@inner()
def settle_pulsed(cells, a, counts, where, count, clock):
    """After pulses: what `settle` does, for the cells listed."""
    if TIMED or FAULTY:
        for i in range(count):
            settle_one(cells, side_of_pulses(counts[where[i]]), a + where[i], clock)


@inner(fastmath={"contract"})
def pulse_cells(change, share, net, cells, pers, units, span, limits, counter, weights, variances, d):
    """Turn a change of every weight into pulses, open loop; returns cells programmed anew, and pulses given.

    Parameters are those of `write_cells`, but: `pers`, (layers,) float32, pulses per weight unit; `limits`: most pulses
    of a cell, and the share of the span at which a pair is set anew.
    """
    table, tiles, stack = net
    _, now, _, _, own, _, _ = cells
    number, k0, k1, clock = counter
    z, g, up = np.empty(CELL_BLOCK, np.float32), np.empty(CELL_BLOCK, np.float32), np.empty(CELL_BLOCK, np.float32)
    bits, counts = np.empty(CELL_BLOCK, np.uint32), np.empty(CELL_BLOCK, np.int32)
    where, left = np.empty(CELL_BLOCK + 1, np.int32), np.empty(CELL_BLOCK + 1, np.int32)
    anew, pulses = 0, 0
    for layer in range(table.shape[0]):
        at, size = cells_at(layer, table, stack), table[layer, N_IN] * table[layer, N_OUT]
        place = (layer, table, tiles, span[2], stack)
        for block in range(*blocks_of(size, share)):
            first = block * CELL_BLOCK
            n = min(CELL_BLOCK, size - first)
            a, b = at + first, at + first + n
            draw = (block, number, layer, k0, k1)
            fill_bits(bits, CELL_BLOCK, 0, block, number, stream_word(ROUNDING_STREAM, layer, 0), k0, k1)
            m = round_pulses(change[a:b], pers[layer], bits, np.float32(limits[0]), counts, where)
            if m == 0:
                continue
            for k in range(m):
                left[k] = where[k]
            if HAS_DRIFT:
                for k in range(m):  # both of a pair: it may be set anew
                    bring_up(cells, 0, a + where[k], clock, d)
                    if PAIRED:
                        bring_up(cells, 1, a + where[k], clock, d)
            pulses += pulse_block(now, own, a, counts[:n], left, m, draw, (z, g, up, bits), d)
            settle_pulsed(cells, a, counts, where, m, clock)
            if PAIRED:
                anew += reset_pairs(cells, a, where, m, span, limits[1], draw, clock, d)
            if few_pulsed(m, n):
                refresh_few(cells, at, first, where, m, place, units[layer], clock, weights, variances, d)
            else:
                refresh(cells, at, first, n, place, units[layer], clock, weights, variances, d)
    z[:], g[:] = np.float32(0.0), np.float32(0.0)  # who is given this memory next must not find cells in it
    return anew, pulses


@loop()
def pulse_chips(change, part, net, cells, pers, units, span, limits, counter, weights, variances, d):
    """`pulse_cells` on some chips."""
    first, last, chips, share = part
    number, keys, clock = counter
    total, pulses = 0, 0
    for m in range(first, last):
        own, drawn = (net[0], net[1], (m, chips)), (number, keys[m, 0], keys[m, 1], clock)
        a, b = pulse_cells(change, share, own, cells, pers, units, span, limits, drawn, weights, variances, d)
        total, pulses = total + a, pulses + b
    return total, pulses
