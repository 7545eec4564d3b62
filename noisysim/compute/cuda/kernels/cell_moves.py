"""Reads and moves of cells by controllers that keep no targets, as in `noisysim.compute.cpu.loops.cell_moves`."""

import math

import numpy as np

from noisysim.compute.cuda.kernels.cell_ageing import settle_pulsed
from noisysim.compute.cuda.kernels.draws import four_uniforms, stream_word, unit_normal
from noisysim.compute.cuda.kernels.target import device
from noisysim.compute.layout import CELL_BLOCK, READ_STREAM, ROUNDING_STREAM, WRITE_STREAM
from noisysim.compute.rules.cells import (  # fmt: skip
    digitised,
    kept_target,
    moved_by,
    pulses_asked,
    retargeted,
    stepped,
    steps_due,
    target_read,
)
from noisysim.compute.rules.device import aged, deviation, programmed, with_cell
from noisysim.compute.rules.flags import ACCUMULATES, AIMED, FAULTY, HAS_CELL_STD, HAS_DRIFT, PAIRED, ROUNDS, TIMED

ZERO, HALF = np.float32(0.0), np.float32(0.5)


@device
def chance(draw, keys):
    """What decides how the change of a weight is rounded."""
    j, block, number, layer, chip = draw
    quarter = CELL_BLOCK // 4
    u0, u1, u2, u3 = four_uniforms(j % quarter, block, number, stream_word(ROUNDING_STREAM, layer, 0), keys, chip)
    word = j // quarter
    return u0 if word == 0 else u1 if word == 1 else u2 if word == 2 else u3


@device
def new_target(old, change, scale, every, draw, step, keys):
    """The target of a weight after a change."""
    if ROUNDS:
        return kept_target(old, change, scale, HALF if every else chance(draw, keys), step)
    return retargeted(old, change, scale)


@device
def steps_asked(change, chi, k, per, most, draw, keys):
    """Whole steps or pulses that a change asks of weight k, signed; an accumulator keeps the rest."""
    if ACCUMULATES:
        count = steps_due(chi[k], change, per, most)
        chi[k] += change * per - np.float32(count)
        return count
    return pulses_asked(change, per, chance(draw, keys), most)


@device
def at_the_time(cells, side, k, clock, d):
    """What a cell is at a time, which leaves it as it stands."""
    now, fresh, since, own, stuck, aimed = cells
    if not HAS_DRIFT or (FAULTY and not math.isnan(stuck[side, k])):
        return now[side, k]
    aim, age = aimed[side, k] if AIMED else fresh[side, k], np.float32(clock - since[side, k])
    return aged(fresh[side, k], age, aim, with_cell(d, own, side * now.shape[1] + k))


@device
def read_once(cells, side, k, drawn, draw, reading, span, keys, clock, d):
    """One read of a cell by the array's ADC, µS."""
    now, _, since, own, _, aimed = cells
    j, block, number, layer, chip = draw
    g, std = at_the_time(cells, side, k, clock, d), ZERO
    if HAS_CELL_STD:
        age, aim = np.float32(clock - since[side, k]) if TIMED else ZERO, aimed[side, k] if AIMED else g
        std = np.float32(deviation(g, age, aim, with_cell(d, own, side * now.shape[1] + k)))
    stream = stream_word(READ_STREAM, layer, 0)
    z = unit_normal(side * CELL_BLOCK + j, drawn, block, number, stream, keys, chip)
    return digitised(g, std, reading[0], z, reading[1], span)


@device
def read_target(cells, k, sides, drawn, draw, reading, scale, units, span, keys, clock, d):
    """What one read of each cell of a weight tells of it, as a target."""
    plus, minus = ZERO, ZERO
    for side in range(sides):
        share = units[draw[3], side // 2] * scale
        held = (read_once(cells, side, k, drawn, draw, reading, span, keys, clock, d) - span[0]) * share
        if side % 2 == 0:
            plus += held
        else:
            minus += held
    return target_read(plus, minus, PAIRED)


@device
def step_cell(cells, side, k, count, drawn, draw, step, span, keys, clock, d):
    """Move a cell by so many steps from where it is, with the error of a write."""
    now, own = cells[0], cells[3]
    j, block, number, layer, chip = draw
    goal, mine = stepped(now[side, k], count, step, span, PAIRED), with_cell(d, own, side * now.shape[1] + k)
    stream = stream_word(WRITE_STREAM, layer, 0)
    z = unit_normal(side * CELL_BLOCK + j, drawn, block, number, stream, keys, chip)
    now[side, k] = moved_by(goal, programmed(goal, z, mine), programmed(goal, ZERO, mine))
    settle_pulsed(cells, side, k, clock)
