"""Programming and pulses, as in `noisysim.compute.cpu.loops.cell_writes` and `cell_pulses` there.

A thread programs all cells of a weight; a block of threads gives a block of cells its pulses. Both are in one module,
with what threads count together: Numba's simulator knows ``cuda.shared`` in modules of kernels alone.
"""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.cell_ageing import bring_up, hold_stuck, settle_pulsed
from noisysim.compute.cuda.kernels.cell_appearance import show
from noisysim.compute.cuda.kernels.cell_moves import new_target, read_once, read_target, step_cell, steps_asked
from noisysim.compute.cuda.kernels.cell_places import block_at, weight_at
from noisysim.compute.cuda.kernels.cell_weights import refresh
from noisysim.compute.cuda.kernels.draws import four_uniforms, stream_word, unit_normal
from noisysim.compute.cuda.kernels.target import SIMULATED, device, kernel
from noisysim.compute.layout import (
    CELL_BLOCK,
    CELLS_AT,
    N_IN,
    N_OUT,
    REFRESH_STREAM,
    ROUNDING_STREAM,
    VERIFY_STREAM,
    WRITE_STREAM,
)
from noisysim.compute.rules.cells import (  # fmt: skip
    direction_of_pulses,
    goal_of,
    goal_of_one,
    goal_of_slice,
    is_met,
    needs_reset,
    pair_moves,
    pulses_asked,
    reset_goal,
    retargeted,
    side_of_pulses,
    slice_of_pulses,
    verified_level,
    whole_change,
    whole_turn,
)
from noisysim.compute.rules.device import level, missing, programmed, pulsed, with_cell
from noisysim.compute.rules.flags import (
    ACCUMULATES,
    AIMED,
    APPARENT,
    FAULTY,
    HAS_CELL_STD,
    HAS_DRIFT,
    PAIRED,
    TIMED,
    VERIFIED,
)

PULSERS = 4 if SIMULATED else 256  # threads that give a block of cells its pulses
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@device
def counted(counts, chip, which, mine):
    """Count for a chip where each has a row of its own; returns what is left for a thread to `add_up`."""
    if counts.shape[0] == 1:
        return mine
    if mine > 0:
        cuda.atomic.add(counts, (chip, which), np.int64(mine))
    return 0


@device
def add_up(counts, which, mine):
    """Add what the threads of a block counted to one of the counts of all chips, in one atomic operation."""
    total = cuda.shared.array(1, np.int32)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        total[0] = 0
    cuda.syncthreads()
    if mine > 0:
        cuda.atomic.add(total, 0, mine)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and total[0] > 0:
        cuda.atomic.add(counts, (0, which), np.int64(total[0]))


# --- programming ----------------------------------------------------------------------------------------------------


@device
def level_of(goal, span, tolerance, d):
    """The level of a goal: goals at different levels are worth a write."""
    if VERIFIED:
        return verified_level(goal, span, tolerance)
    return level(goal, d)


@device
def moves(old, new, span, tolerance, d):
    """Which cells of a weight a new target moves to another level: bit k stands for side k."""
    if not PAIRED:
        was = level_of(goal_of_one(old, span), span, tolerance, d)
        return int(was != level_of(goal_of_one(new, span), span, tolerance, d))
    rest, moved = level_of(span[0], span, tolerance, d), 0
    for s in range(span[2]):
        was = level_of(goal_of_slice(abs(old), s, span), span, tolerance, d)
        becomes = level_of(goal_of_slice(abs(new), s, span), span, tolerance, d)
        moved |= int(pair_moves(old, new, was, becomes, rest)) << (2 * s)
    return moved


@device
def program_cell(cells, side, k, goal, drawn, draw, stream, keys, clock, d):
    """Program a cell of side k: it takes draw k * CELL_BLOCK + j of `drawn`, its age starts anew."""
    now, fresh, since, own, stuck, aimed = cells
    j, block, number, _, chip = draw
    mine = with_cell(d, own, side * now.shape[1] + k)
    z = unit_normal(side * CELL_BLOCK + j, drawn, block, number, stream, keys, chip)
    now[side, k] = programmed(goal, z, mine)
    if AIMED:
        aimed[side, k] = goal
    if TIMED:
        fresh[side, k] = now[side, k]
        since[side, k] = clock
        bring_up(cells, side, k, clock, d)  # what acts at once, such as another temperature
    if APPARENT:
        fresh[side, k] = now[side, k]
        show(cells, side, k, drawn, draw, keys, d)
    hold_stuck(now, stuck, side, k)


@device
def set_anew(cells, base, k, difference, span, draw, keys, clock, d):
    """Program the pair from side `base` on to a difference, of which one cell holds all; returns cells programmed."""
    stream = stream_word(REFRESH_STREAM, draw[3], 0)
    for side in range(2):
        goal = reset_goal(difference, side, span)
        program_cell(cells, base + side, k, goal, cells[0].shape[0] * CELL_BLOCK, draw, stream, keys, clock, d)
    return 2


@device
def verify(cells, side, k, goal, draw, keys, span, limits, clock, d):
    """Write a cell by pulses and reads until the goal is met; returns pulses given."""
    now, _, _, own, stuck, aimed = cells
    j, block, number, layer, chip = draw
    most, tolerance = limits
    bring_up(cells, side, k, clock, d)
    unit, n, given = side * CELL_BLOCK + j, now.shape[0] * CELL_BLOCK, 0
    g, mine = now[side, k], with_cell(d, own, side * now.shape[1] + k)
    sound = not FAULTY or math.isnan(stuck[side, k])
    for turn in range(most):
        z = ZERO
        if HAS_CELL_STD:
            z = unit_normal(unit, n, block, number, stream_word(VERIFY_STREAM, layer, turn), keys, chip)
        miss = missing(goal, g, z, mine)
        if is_met(miss, tolerance, span):
            break
        given += 1
        if sound:
            z = unit_normal(unit, n, block, number, stream_word(WRITE_STREAM, layer, turn), keys, chip)
            g = pulsed(g, ONE if miss > ZERO else -ONE, z, mine)
    now[side, k] = g
    settle_pulsed(cells, side, k, clock)
    if AIMED:
        aimed[side, k] = goal
    return given


@device
def write_weight(cells, k, moved, target, every, draw, span, limits, keys, clock, d):
    """Write those cells of a weight to a target that move; returns cells programmed and pulses given."""
    sides = cells[0].shape[0] if PAIRED else 1
    done, pulses, stream = 0, 0, stream_word(WRITE_STREAM, draw[3], 0)
    for side in range(sides):
        if (moved >> side) & 1:
            done += 1
            goal = goal_of(target, side, span, PAIRED)
            if VERIFIED and not every:
                pulses += verify(cells, side, k, goal, draw, keys, span, limits, clock, d)
            else:
                program_cell(cells, side, k, goal, sides * CELL_BLOCK, draw, stream, keys, clock, d)
    return done, pulses


@kernel
def write_cells(
    change, every, targets, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, scales,
    units, span, limits, target_step, number, clock, chips, keys, d,
):  # fmt: skip
    """Write a change of every weight to its cells; parameters as of the CPU's loop of this name."""
    cells = (now, fresh, since, own, stuck, aimed)
    sides = now.shape[0] if PAIRED else 1
    done, pulses = 0, 0
    for k in range(cuda.grid(1), targets.size, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        draw = (cell % CELL_BLOCK, cell // CELL_BLOCK, number, layer, chip)
        target = new_target(targets[k], change[k], scales[layer], every, draw, target_step, keys)
        moved = (1 << sides) - 1 if every else moves(targets[k], target, span, limits[1], d)
        targets[k] = target
        written, given = write_weight(cells, k, moved, target, every, draw, span, limits, keys, clock, d)
        if VERIFIED and not every:
            pulses += counted(counts, chip, 1, given)
        else:
            done += counted(counts, chip, 0, written)
        if moved != 0:
            place = (layer, chip, chips, table, tiles, span[2])
            refresh(cells, k, cell, place, units, clock, weights, variances, d)
    if VERIFIED and not every:
        add_up(counts, 1, pulses)
    else:
        add_up(counts, 0, done)


@kernel
def modify_cells(
    change, chi, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, pers, scales, units,
    span, limits, most, reading, number, clock, chips, keys, d,
):  # fmt: skip
    """Read the cells of weights that a change moves by whole steps, and write them; `counts`: cells, pulses, reads."""
    cells = (now, fresh, since, own, stuck, aimed)
    sides = now.shape[0] if PAIRED else 1
    drawn, done, pulses, reads = (now.shape[0] if VERIFIED else sides) * CELL_BLOCK, 0, 0, 0
    for k in range(cuda.grid(1), change.size, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        draw = (cell % CELL_BLOCK, cell // CELL_BLOCK, number, layer, chip)
        asked = steps_asked(change[k], chi, k, pers[layer], most, draw, keys)
        if asked != 0:
            reads += counted(counts, chip, 2, sides)
            old = read_target(cells, k, sides, drawn, draw, reading, scales[layer], units, span, keys, clock, d)
            target = retargeted(old, whole_change(asked, pers[layer]), scales[layer])
            moved = moves(old, target, span, limits[1], d)
            written, given = write_weight(cells, k, moved, target, False, draw, span, limits, keys, clock, d)
            if VERIFIED:
                pulses += counted(counts, chip, 1, given)
            else:
                done += counted(counts, chip, 0, written)
            if moved != 0:
                place = (layer, chip, chips, table, tiles, span[2])
                refresh(cells, k, cell, place, units, clock, weights, variances, d)
    if VERIFIED:
        add_up(counts, 1, pulses)
    else:
        add_up(counts, 0, done)
    add_up(counts, 2, reads)


@kernel
def step_cells(
    change, chi, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, pers, units, span,
    limits, step, reading, number, clock, chips, keys, d,
):  # fmt: skip
    """Move cells by the whole steps that a change asks for; `limits`: most steps, and where pairs are set anew."""
    cells = (now, fresh, since, own, stuck, aimed)
    sides = 2 if PAIRED else 1
    drawn, most, done, reads = sides * CELL_BLOCK, np.float32(limits[0]), 0, 0
    for k in range(cuda.grid(1), change.size, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        draw = (cell % CELL_BLOCK, cell // CELL_BLOCK, number, layer, chip)
        asked = steps_asked(change[k], chi, k, pers[layer], most, draw, keys)
        if asked != 0:
            anew = 0
            for side in range(sides):
                bring_up(cells, side, k, clock, d)
            step_cell(cells, side_of_pulses(asked, PAIRED), k, asked, drawn, draw, step, span, keys, clock, d)
            if PAIRED and needs_reset(now[0, k], now[1, k], limits[1], span):
                plus = read_once(cells, 0, k, drawn, draw, reading, span, keys, clock, d)
                minus = read_once(cells, 1, k, drawn, draw, reading, span, keys, clock, d)
                anew = set_anew(cells, 0, k, plus - minus, span, draw, keys, clock, d)
            done += counted(counts, chip, 0, 1 + anew)
            reads += counted(counts, chip, 2, anew)
            place = (layer, chip, chips, table, tiles, span[2])
            refresh(cells, k, cell, place, units, clock, weights, variances, d)
    add_up(counts, 0, done)
    add_up(counts, 2, reads)


# --- pulses ---------------------------------------------------------------------------------------------------------


@device
def ranks(tally, mine):
    """Over the threads of a block: the sum of `mine` of those before this one, and of all."""
    t, step = cuda.threadIdx.x, 1
    cuda.syncthreads()  # the last sums are read
    tally[t] = mine
    while step < cuda.blockDim.x:
        cuda.syncthreads()
        before = tally[t - step] if t >= step else np.int32(0)
        cuda.syncthreads()
        tally[t] += before
        step *= 2
    cuda.syncthreads()
    return tally[t] - mine, tally[cuda.blockDim.x - 1]


@device
def round_pulses(change, chi, at, n, per, most, draw, keys, asked):
    """Pulses asked of each weight of a block, into `asked`: each thread makes the four of some counters."""
    if ACCUMULATES:
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            asked[j] = steps_asked(change[at + j], chi, at + j, per, most, draw, keys)
        return
    _, block, number, layer, chip = draw
    quarter, stream = CELL_BLOCK // 4, stream_word(ROUNDING_STREAM, layer, 0)
    for i in range(cuda.threadIdx.x, quarter, cuda.blockDim.x):
        u0, u1, u2, u3 = four_uniforms(i, block, number, stream, keys, chip)
        for w in range(4):
            j = w * quarter + i
            u = u0 if w == 0 else u1 if w == 1 else u2 if w == 2 else u3
            asked[j] = pulses_asked(change[at + j], per, u, most) if j < n else np.int32(0)


@device
def coming(asked, first, last, turn):
    """How many of a run of weights have more than `turn` pulses coming."""
    found = np.int32(0)
    for j in range(first, last):
        found += np.int32(abs(asked[j]) > turn)
    return found


@device
def pulse_turns(now, own, base, at, n, run, asked, tally, listed, before, draw, keys, d):
    """Give a block its pulses turn by turn; returns how many.

    In the first turn, where half of the block takes part (`whole_turn`), cell j takes draw j of CELL_BLOCK; otherwise
    the i-th of the m cells that have a pulse coming takes draw i of m.
    """
    _, block, number, layer, chip = draw
    first, last = run
    turn, m, given = 0, listed, 0
    while m > 0:
        whole, rank, stream = whole_turn(turn, m, n), before, stream_word(WRITE_STREAM, layer, turn)
        for j in range(first, last):
            if abs(asked[j]) > turn:
                side, k = base + side_of_pulses(asked[j], PAIRED), at + j
                z = unit_normal(j if whole else rank, CELL_BLOCK if whole else m, block, number, stream, keys, chip)
                up, mine = direction_of_pulses(asked[j], PAIRED), with_cell(d, own, side * now.shape[1] + k)
                now[side, k] = pulsed(now[side, k], up, z, mine)
                rank += 1
        given += m
        turn += 1
        before, m = ranks(tally, coming(asked, first, last, turn))
    return given


@device
def reset_pair(cells, base, k, span, at_most, draw, keys, clock, d):
    """Program a pair anew if a cell has come near its end: the difference on one cell; returns cells programmed."""
    now = cells[0]
    if not needs_reset(now[base, k], now[base + 1, k], at_most, span):
        return 0
    return set_anew(cells, base, k, now[base, k] - now[base + 1, k], span, draw, keys, clock, d)


@kernel
def pulse_cells(
    change, chi, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, blocks_at, pers, units,
    span, limits, number, clock, chips, keys, d,
):  # fmt: skip
    """Turn a change of every weight into pulses; parameters as of the CPU's loop of this name."""
    asked = cuda.shared.array(CELL_BLOCK, np.int32)
    tally = cuda.shared.array(PULSERS, np.int32)
    cells = (now, fresh, since, own, stuck, aimed)
    layer, chip, block = block_at(cuda.blockIdx.x, chips, blocks_at)
    count = table[layer, N_IN] * table[layer, N_OUT]
    at = chips * table[layer, CELLS_AT] + chip * count + block * CELL_BLOCK
    n = min(CELL_BLOCK, count - block * CELL_BLOCK)
    each = CELL_BLOCK // PULSERS
    first, last = min(cuda.threadIdx.x * each, n), min((cuda.threadIdx.x + 1) * each, n)
    draw, base = (0, block, number, layer, chip), 2 * slice_of_pulses(number, span[2])
    round_pulses(change, chi, at, n, pers[layer], np.float32(limits[0]), draw, keys, asked)
    cuda.syncthreads()
    before, listed = ranks(tally, coming(asked, first, last, 0))
    if HAS_DRIFT:
        for j in range(first, last):  # both of a pair: it may be set anew
            if asked[j] != 0:
                bring_up(cells, base, at + j, clock, d)
                if PAIRED:
                    bring_up(cells, base + 1, at + j, clock, d)
    states = fresh if APPARENT else now
    given = pulse_turns(states, own, base, at, n, (first, last), asked, tally, listed, before, draw, keys, d)
    place, anew = (layer, chip, chips, table, tiles, span[2]), 0
    for j in range(first, last):
        if asked[j] != 0:
            side, mine = base + side_of_pulses(asked[j], PAIRED), (j, block, number, layer, chip)
            show(cells, side, at + j, (now.shape[0] if PAIRED else 1) * CELL_BLOCK, mine, keys, d)
            settle_pulsed(cells, side, at + j, clock)
            if PAIRED:
                done = reset_pair(cells, base, at + j, span, limits[1], mine, keys, clock, d)
                anew += counted(counts, chip, 0, done)
            refresh(cells, at + j, block * CELL_BLOCK + j, place, units, clock, weights, variances, d)
    add_up(counts, 0, anew)
    if cuda.threadIdx.x == 0 and given > 0:
        cuda.atomic.add(counts, (chip if counts.shape[0] > 1 else 0, 1), np.int64(given))
