"""Programming, as in `noisysim.compute.cpu.loops.cell_writes`: a thread programs all cells of a weight."""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.blocks import add_up, counted
from noisysim.compute.cuda.kernels.cell_ageing import bring_up, hold_stuck, settle_pulsed
from noisysim.compute.cuda.kernels.cell_appearance import show
from noisysim.compute.cuda.kernels.cell_moves import new_target, read_once, read_target, step_cell, steps_asked
from noisysim.compute.cuda.kernels.cell_places import weight_at
from noisysim.compute.cuda.kernels.cell_weights import refresh
from noisysim.compute.cuda.kernels.draws import stream_word, unit_normal
from noisysim.compute.cuda.kernels.target import device, kernel
from noisysim.compute.layout import (
    CELL_BLOCK,
    REFRESH_STREAM,
    VERIFY_STREAM,
    WRITE_STREAM,
)
from noisysim.compute.rules.cells import (  # fmt: skip
    goal_of,
    goal_of_one,
    goal_of_slice,
    is_met,
    needs_reset,
    pair_moves,
    reset_goal,
    retargeted,
    side_of_pulses,
    verified_level,
    whole_change,
)
from noisysim.compute.rules.device import level, missing, programmed, pulsed, with_cell
from noisysim.compute.rules.flags import (
    AIMED,
    APPARENT,
    FAULTY,
    HAS_CELL_STD,
    PAIRED,
    TIMED,
    VERIFIED,
)

ZERO, ONE = np.float32(0.0), np.float32(1.0)


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
