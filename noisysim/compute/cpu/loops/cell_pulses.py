"""Pulses in open loop: a change of a weight is rounded to pulses, which its cells get turn by turn."""

import numpy as np

from noisysim.compute.cpu.cell_types import (
    BITS,
    BLOCK,
    COUNT,
    GOALS,
    LEVELS,
    MINE,
    MOVED,
    OUT,
    OWN,
    STAGE,
    SUMS,
    UNITS,
    UP,
    WHERE,
    G,
    Z,
)  # fmt: skip
from noisysim.compute.cpu.loops.cell_ageing import settle_pulsed
from noisysim.compute.cpu.loops.cell_places import list_moved
from noisysim.compute.cpu.loops.cell_writes import draw_side
from noisysim.compute.cpu.loops.draws import FILL, stream_word
from noisysim.compute.cpu.row_types import PULSE, TYPES
from noisysim.compute.jit.compiling import bare, scalar
from noisysim.compute.jit.places import float_rows_at, floats_at, ints_at, words_at
from noisysim.compute.layout import CELL_BLOCK, REFRESH_STREAM, ROUNDING_STREAM, WRITE_STREAM
from noisysim.compute.rules import cells as rules

pulse_row, call, count, call_block = TYPES[PULSE].call, STAGE.call, COUNT.call, BLOCK.call
pulses_asked, steps_due, whole_turn = scalar(rules.pulses_asked), scalar(rules.steps_due), scalar(rules.whole_turn)
side_of_pulses, direction_of_pulses = scalar(rules.side_of_pulses), scalar(rules.direction_of_pulses)
slice_of_pulses = scalar(rules.slice_of_pulses)
fill = FILL.call
needs_reset, reset_goal = scalar(rules.needs_reset), scalar(rules.reset_goal)
ZERO = np.float32(0.0)
FEW = 2
"""Below this part of its weights a block is brought up to date weight by weight."""


@bare(fastmath={"contract"})
def round_pulses(kit, change, _):
    """Pulses or steps asked of each weight of the block, whole and signed; lists those that get any: how many.

    They are rounded by chance, or what is left of them is kept.
    """
    n, per, most = kit.count, floats_at(kit.pulsing, kit.layer, 1)[0], np.float32(kit.pulse_limit)
    bits, counts = words_at(kit.work, BITS, CELL_BLOCK), ints_at(kit.work, MOVED, n)
    if kit.accumulates:
        chi = floats_at(kit.chi, kit.at + kit.first, n)
        for j in range(n):
            counts[j] = steps_due(chi[j], change[j], per, most)
            chi[j] += change[j] * per - np.float32(counts[j])
        return list_moved(counts, ints_at(kit.work, WHERE, n), n)
    stream = stream_word(ROUNDING_STREAM, kit.layer, 0)
    u = floats_at(kit.work, Z, CELL_BLOCK)
    fill(kit.fill_uniforms, (u, bits, CELL_BLOCK, 0, kit.number, kit.write, stream, kit.k0, kit.k1))
    for j in range(n):
        counts[j] = pulses_asked(change[j], per, u[j], most)
    return list_moved(counts, ints_at(kit.work, WHERE, n), n)


@bare()
def first_side(kit):
    """The first side of the slice that gets the pulses of this update."""
    return 2 * slice_of_pulses(kit.write, kit.slices)


@bare()
def pulse_side(k, n, turn, kit):
    """One pulse for those cells of side k of the block that have more than `turn` coming; draws are in ``Z``."""
    mine = k - first_side(kit)
    a, paired, counts = kit.at + kit.first, kit.paired, ints_at(kit.work, MOVED, n)
    states, up, out = kit.fresh if kit.apparent else kit.now, floats_at(kit.work, UP, n), floats_at(kit.work, OUT, n)
    now = floats_at(states, k * kit.cells + a, n)
    for j in range(n):
        up[j] = direction_of_pulses(counts[j], paired)
    z, numbers = floats_at(kit.work, Z, n), floats_at(kit.pulse_numbers, 0, kit.numbers_size)
    own = float_rows_at(kit.own, kit.fields, kit.sides * kit.cells, k * kit.cells + a, n)
    pulse_row(kit.pulse, (now, up, z, own, out, numbers))
    for j in range(n):
        live = abs(counts[j]) > turn and side_of_pulses(counts[j], paired) == mine
        new, old = out[j], now[j]
        now[j] = new if live else old


@bare()
def pulse_listed(m, kit):
    """One pulse for the m weights in ``MINE``: gathered, pulsed, put back; draws are in ``Z``."""
    n, a, paired, counts = kit.count, kit.at + kit.first, kit.paired, ints_at(kit.work, MOVED, kit.count)
    a += first_side(kit) * kit.cells
    mine, spots = ints_at(kit.work, MINE, m), ints_at(kit.work, UNITS, m)
    g, up, out = floats_at(kit.work, G, m), floats_at(kit.work, UP, m), floats_at(kit.work, OUT, m)
    now, side = floats_at(kit.fresh if kit.apparent else kit.now, a, kit.cells + n), np.int32(kit.cells)
    for i in range(m):
        n_pulses = counts[mine[i]]
        spots[i] = mine[i] + np.int32(side_of_pulses(n_pulses, paired)) * side
        up[i] = direction_of_pulses(n_pulses, paired)
    fields, cells = kit.fields, kit.sides * kit.cells
    own, held = float_rows_at(kit.work, fields, CELL_BLOCK, OWN, m), float_rows_at(kit.own, fields, cells, a, cells)
    for i in range(m):  # cell by cell: memory is read in as many streams as there are fields
        spot = spots[i]
        g[i] = now[spot]
        for f in range(fields):
            own[f, i] = held[f, spot]
    z, numbers = floats_at(kit.work, Z, m), floats_at(kit.pulse_numbers, 0, kit.numbers_size)
    pulse_row(kit.pulse, (g, up, z, own, out, numbers))
    for i in range(m):
        now[spots[i]] = out[i]


@bare()
def keep(mine, m, counts, turn):
    """Of the m weights listed keep those that have more than `turn` pulses coming; returns how many."""
    kept = 0
    if m > counts.size // 4:  # cheaper to go through all
        for j in range(counts.size):
            mine[kept] = j
            kept += int(abs(counts[j]) > turn)
        return kept
    for i in range(m):
        j = mine[i]
        mine[kept] = j
        kept += int(abs(counts[j]) > turn)
    return kept


@bare()
def more_than(counts, turn):
    """How many cells have more than `turn` pulses coming."""
    live = 0
    for j in range(counts.size):
        live += np.int32(abs(counts[j]) > turn)
    return live


@bare()
def give_pulses(kit, _, m):
    """Give the m weights in ``WHERE`` their pulses, turn by turn; returns how many pulses.

    In the first turn, and in any turn of pulses from trains, where half of the block takes part (`whole_turn`), cell j
    takes draw j of CELL_BLOCK; otherwise the i-th of the m cells that have a pulse coming takes draw i of m.
    """
    n, turn, given = kit.count, 0, 0
    z, bits = floats_at(kit.work, Z, CELL_BLOCK), words_at(kit.work, BITS, CELL_BLOCK)
    counts, base = ints_at(kit.work, MOVED, n), kit.sample * (CELL_BLOCK // 4)
    where, mine = ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, n)
    for i in range(m):
        mine[i] = where[i]
    while m > 0:
        whole = whole_turn(0 if kit.trained else turn, m, n)
        stream = stream_word(WRITE_STREAM, kit.layer, turn)
        drawn = np.int64(CELL_BLOCK) if whole else m
        q, padded = (drawn + 3) // 4, (drawn + 63) // 64 * 16  # a multiple of what is drawn at once: no rest is left
        fill(kit.fill_normals, (z, bits, 4 * padded, base, kit.number, kit.write, stream, kit.k0, kit.k1))
        for word in range(1, 4 if q < padded else 0):
            for i in range(q):
                z[word * q + i] = z[word * padded + i]
        if whole:
            for k in range(2 if kit.paired else 1):
                pulse_side(first_side(kit) + k, n, turn, kit)
        else:
            pulse_listed(m, kit)
        given += m
        turn += 1
        live = more_than(counts, turn) if whole and kit.trained else 0
        m = live if live > 0 and whole_turn(0, live, n) else keep(mine, m, counts, turn)
    return given


@bare()
def settle_block(m, kit):
    """After pulses: what becomes of the age of the m weights in ``WHERE``, of what they show, and of stuck ones."""
    if not (kit.timed or kit.faulty or kit.apparent):
        return
    where, mine = ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, m)
    counts, paired, first = ints_at(kit.work, MOVED, kit.count), kit.paired, first_side(kit)
    for k in range(2 if paired else 1):
        c = 0
        for i in range(m):
            mine[c] = where[i]
            c += int(side_of_pulses(counts[where[i]], paired) == k)
        if kit.apparent:
            call(kit.appear_listed, (kit, first + k, c))
        settle_pulsed(mine[:c], first + k, kit)


@bare()
def reset_pairs(kit, _, m):
    """Of the m pairs in ``WHERE``, program those anew of which a cell has come near its end; returns cells.

    Their difference, of cells that take steps as one read tells it, is put on one cell.
    """
    n, a, span, reset_at = kit.count, kit.at + kit.first, (kit.g_min, kit.width), kit.reset_at
    c = np.int64(0)  # of a plain 0 Numba would compile `draw_side` once more
    first = first_side(kit)
    plus, minus = floats_at(kit.now, first * kit.cells + a, n), floats_at(kit.now, (first + 1) * kit.cells + a, n)
    where, mine = ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, m)
    for i in range(m):
        mine[c] = where[i]
        c += int(needs_reset(plus[where[i]], minus[where[i]], reset_at, span))
    if c == 0:
        return 0
    differences, goals = floats_at(kit.work, SUMS, c), floats_at(kit.work, GOALS, c)
    for i in range(c):
        differences[i] = plus[mine[i]] - minus[mine[i]]
    if kit.steps:
        for k in range(2):
            call(kit.read_side, (kit, k, c))
            read = floats_at(kit.work, LEVELS, c)
            for i in range(c):
                differences[i] = read[i] if k == 0 else differences[i] - read[i]
    for k in range(2):
        for i in range(c):
            goals[i] = reset_goal(differences[i], k, span)
        draw_side(first + k, c, REFRESH_STREAM, 0, kit)
        call(kit.program_listed, (kit, first + k, c))
    return 2 * c


@bare()
def bring_up_listed(m, kit):
    """Before pulses: let time do its work on the cells of the m weights in ``WHERE``."""
    if not kit.drifts:
        return
    where, mine = ints_at(kit.work, WHERE, m), ints_at(kit.work, MINE, m)
    for i in range(m):
        mine[i] = where[i]
    for k in range(2 if kit.paired else 1):  # both of a pair: it may be set anew
        call(kit.bring_up, (kit, first_side(kit) + k, m))


@bare()
def finish_block(m, kit):
    """After all pulses of an update: reset pairs, and bring weights up to date, of the m in ``WHERE``.

    Those are marked in ``MOVED``. Returns how many cells were programmed anew.
    """
    anew = count(kit.reset_pairs, (kit, 0, m)) if kit.paired else np.int64(0)
    if m < kit.count // FEW:
        call(kit.refresh_few, (kit, 0, m))
    else:
        call(kit.refresh, (kit, 0, 0))
    return anew


@bare()
def pulse_block(kit, change, _):
    """Turn a change of the weights of the block into pulses; returns how many, plus 2^32 for each cell set anew.

    Of cells that take steps it returns the cells that were moved.
    """
    m = call_block(kit.round_pulses, (kit, change, False))
    if m == 0:
        return 0
    bring_up_listed(m, kit)
    given = count(kit.give_steps, (kit, 0, m)) if kit.steps else count(kit.give_pulses, (kit, 0, m))
    settle_block(m, kit)
    return given + (finish_block(m, kit) << 32)


@bare()
def mean_block(kit, change, _):
    """Give each weight of the block one pulse, without noise, of the size that its change asks for.

    That is what ever more and ever smaller pulses come to, where a cell's step hardly changes along the way. The size
    is the last of the own values that the row takes. Returns 2^32 for each cell set anew.
    """
    n, a, per, fields = kit.count, kit.at + kit.first, floats_at(kit.pulsing, kit.layer, 1)[0], kit.fields
    counts, up, z = ints_at(kit.work, MOVED, n), floats_at(kit.work, UP, n), floats_at(kit.work, Z, n)
    for j in range(n):
        counts[j] = np.int32(change[j] > ZERO) - np.int32(change[j] < ZERO)
        up[j] = direction_of_pulses(counts[j], kit.paired)
        z[j] = ZERO
    m = list_moved(counts, ints_at(kit.work, WHERE, n), n)
    if m == 0:
        return 0
    bring_up_listed(m, kit)
    own = float_rows_at(kit.work, fields + 1, CELL_BLOCK, OWN, n)
    numbers = floats_at(kit.pulse_numbers, 0, kit.numbers_size)
    for k in range(2 if kit.paired else 1):
        at = (first_side(kit) + k) * kit.cells + a
        held = float_rows_at(kit.own, fields, kit.sides * kit.cells, at, n)
        now, out = floats_at(kit.fresh if kit.apparent else kit.now, at, n), floats_at(kit.work, OUT, n)
        for f in range(fields):
            for j in range(n):
                own[f, j] = held[f, j]
        for j in range(n):
            own[fields, j] = abs(change[j]) * per
        pulse_row(kit.pulse, (now, up, z, own, out, numbers))
        for j in range(n):
            if counts[j] != 0 and side_of_pulses(counts[j], kit.paired) == k:
                now[j] = out[j]
    settle_block(m, kit)
    return finish_block(m, kit) << 32
