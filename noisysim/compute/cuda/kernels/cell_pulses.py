"""Pulses, as in `noisysim.compute.cpu.loops.cell_pulses` and `trains` there.

A block of threads gives a block of cells its pulses. Each of its threads owns a few neighbouring cells, which no other
one touches; what the threads tell each other is how many cells have a pulse coming, and with it which draws are theirs
(`ranks`). The trains of an update's samples come one after the other, as in the array: each block goes through all.
"""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.blocks import add_up, counted, ranks
from noisysim.compute.cuda.kernels.cell_ageing import bring_up, settle_pulsed
from noisysim.compute.cuda.kernels.cell_appearance import show
from noisysim.compute.cuda.kernels.cell_moves import steps_asked
from noisysim.compute.cuda.kernels.cell_places import block_at, weight_at
from noisysim.compute.cuda.kernels.cell_weights import refresh
from noisysim.compute.cuda.kernels.cell_writes import set_anew
from noisysim.compute.cuda.kernels.draws import four_uniforms, normal_behind, stream_word
from noisysim.compute.cuda.kernels.target import SIMULATED, device, kernel
from noisysim.compute.cuda.kernels.trains import coincided
from noisysim.compute.layout import (
    CELL_BLOCK,
    CELLS_AT,
    DRIVEN_AT,
    FACTORS_EACH,
    GROUPS_AT,
    N_IN,
    N_OUT,
    ROUNDING_STREAM,
    SIGNALS_AT,
    WRITE_STREAM,
)
from noisysim.compute.rules.cells import (  # fmt: skip
    direction_of_pulses,
    needs_reset,
    pulses_asked,
    side_of_pulses,
    slice_of_pulses,
    together,
    whole_turn,
)
from noisysim.compute.rules.device import pulsed, with_cell, with_step
from noisysim.compute.rules.flags import ACCUMULATES, APPARENT, HAS_DRIFT, PAIRED

PULSERS = 4 if SIMULATED else 256  # threads that give a block of cells its pulses
ZERO = np.float32(0.0)


@device
def own_run(n):
    """The cells of a block of n that a thread owns: the first, and the one behind the last."""
    each = CELL_BLOCK // PULSERS
    return min(cuda.threadIdx.x * each, n), min((cuda.threadIdx.x + 1) * each, n)


@device
def drawn_sides(now):
    """Draws of noise that a weight has in a block, times `CELL_BLOCK`."""
    return (now.shape[0] if PAIRED else 1) * CELL_BLOCK


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
def bring_up_pair(cells, base, k, clock, d):
    """Before pulses: what time has made of a weight's cells; both of a pair, which may be set anew."""
    if HAS_DRIFT:
        bring_up(cells, base, k, clock, d)
        if PAIRED:
            bring_up(cells, base + 1, k, clock, d)


@device
def pulse_turns(states, own, base, at, n, run, asked, tally, listed, before, trained, draw, keys, d):
    """Give a block its pulses turn by turn; returns how many.

    In the first turn, and in any turn of pulses from trains (`trained`), where half of the block takes part
    (`whole_turn`), cell j takes draw j of CELL_BLOCK; otherwise the i-th of the m cells that have a pulse coming takes
    draw i of m. The first number of `draw` is that of the first counter.
    """
    counter, block, number, layer, chip = draw
    first, last = run
    turn, m, given = 0, listed, 0
    while m > 0:
        whole, rank = whole_turn(0 if trained else turn, m, n), before
        stream, drawn = stream_word(WRITE_STREAM, layer, turn), CELL_BLOCK if whole else m
        for j in range(first, last):
            if abs(asked[j]) > turn:
                side, k = base + side_of_pulses(asked[j], PAIRED), at + j
                z = normal_behind(counter, j if whole else rank, drawn, block, number, stream, keys, chip)
                up, mine = direction_of_pulses(asked[j], PAIRED), with_cell(d, own, side * states.shape[1] + k)
                states[side, k] = pulsed(states[side, k], up, z, mine)
                rank += 1
        given += m
        turn += 1
        before, m = ranks(tally, coming(asked, first, last, turn))
    return given


@device
def settle(cells, base, k, count, draw, keys, clock, d):
    """After pulses to a weight, `count` of them: what its cell shows, and what becomes of its age."""
    side = base + side_of_pulses(count, PAIRED)
    show(cells, side, k, drawn_sides(cells[0]), draw, keys, d)
    settle_pulsed(cells, side, k, clock)


@device
def finish(cells, base, k, cell, place, units, span, reset_at, weights, variances, draw, keys, clock, d):
    """After all pulses of an update to a weight: bring it up to date; returns cells programmed.

    A pair of which a cell has come near its end is programmed anew, the difference on one cell.
    """
    now, anew = cells[0], 0
    if PAIRED and needs_reset(now[base, k], now[base + 1, k], reset_at, span):
        anew = set_anew(cells, base, k, now[base, k] - now[base + 1, k], span, draw, keys, clock, d)
    refresh(cells, k, cell, place, units, clock, weights, variances, d)
    return anew


@device
def finish_run(
    asked, run, cells, base, at, place, units, span, reset_at, weights, variances, counts, draw, keys, clock, d,
):  # fmt: skip
    """`finish` for those of a thread's own weights that were asked for pulses; returns what is left to `add_up`.

    `draw` has the block, the number of the write, the layer and the chip.
    """
    block, number, layer, chip = draw
    anew = 0
    for j in range(run[0], run[1]):
        if asked[j] != 0:
            mine, cell = (j, block, number, layer, chip), block * CELL_BLOCK + j
            done = finish(
                cells, base, at + j, cell, place, units, span, reset_at, weights, variances, mine, keys, clock, d
            )
            anew += counted(counts, chip, 0, done)
    return anew


@device
def add_pulses(counts, chip, given):
    """Count the pulses that a block was given."""
    if cuda.threadIdx.x == 0 and given > 0:
        cuda.atomic.add(counts, (chip if counts.shape[0] > 1 else 0, 1), np.int64(given))


@kernel
def pulse_cells(
    change, chi, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, blocks_at, pers, units,
    span, limits, number, clock, chips, keys, d,
):  # fmt: skip
    """Turn a change of every weight into pulses; parameters as of the CPU's loop of this name."""
    asked = cuda.shared.array(CELL_BLOCK, np.int32)
    tally = cuda.shared.array(PULSERS, np.int32)
    cells, states = (now, fresh, since, own, stuck, aimed), fresh if APPARENT else now
    layer, chip, block = block_at(cuda.blockIdx.x, chips, blocks_at)
    count = table[layer, N_IN] * table[layer, N_OUT]
    at = chips * table[layer, CELLS_AT] + chip * count + block * CELL_BLOCK
    n = min(CELL_BLOCK, count - block * CELL_BLOCK)
    first, last = own_run(n)
    draw, base = (0, block, number, layer, chip), 2 * slice_of_pulses(number, span[2])
    round_pulses(change, chi, at, n, pers[layer], np.float32(limits[0]), draw, keys, asked)
    cuda.syncthreads()
    before, listed = ranks(tally, coming(asked, first, last, 0))
    for j in range(first, last):
        if asked[j] != 0:
            bring_up_pair(cells, base, at + j, clock, d)
    given = pulse_turns(states, own, base, at, n, (first, last), asked, tally, listed, before, False, draw, keys, d)
    for j in range(first, last):
        if asked[j] != 0:
            settle(cells, base, at + j, asked[j], (j, block, number, layer, chip), keys, clock, d)
    place = layer, chip, chips, table, tiles, span[2]
    anew = finish_run(
        asked, (first, last), cells, base, at, place, units, span, limits[1], weights, variances, counts,
        (block, number, layer, chip), keys, clock, d,
    )  # fmt: skip
    add_up(counts, 0, anew)
    add_pulses(counts, chip, given)


@device
def meet(rows, columns, at, n_in, first_cell, run, groups, met, reached):
    """Coincidences of one sample in the cells that a thread owns, signed, into `met`; returns how many have any.

    `at` is where the sample's rows and columns start. Columns of groups that a unit does not see are off in its turn.
    """
    first, last = run
    unit, column, hits = (first_cell + first) // n_in, (first_cell + first) % n_in, np.int32(0)
    for j in range(first, last):
        count = np.int32(0)
        if groups[0] == 0 or together(unit, column, groups):
            count = np.int32(coincided(rows, at[0] + unit, columns, at[1] + column))
        met[j] = count
        if count != 0:
            reached[j] = 1
            hits += np.int32(1)
        column += 1
        if column == n_in:
            unit, column = unit + 1, 0
    return hits


@kernel
def train_cells(
    columns, rows, layers, refused, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles,
    blocks_at, units, span, limits, number, clock, chips, keys, d,
):  # fmt: skip
    """Let the trains of all samples (`draw_trains`) meet in the cells, which get a pulse where two are on.

    A cell meets the next sample as the one before has left it. Those of chips that are `refused` are not changed.
    """
    met = cuda.shared.array(CELL_BLOCK, np.int32)
    reached = cuda.shared.array(CELL_BLOCK, np.int32)
    tally = cuda.shared.array(PULSERS, np.int32)
    cells, states = (now, fresh, since, own, stuck, aimed), fresh if APPARENT else now
    layer, chip, block = block_at(cuda.blockIdx.x, chips, blocks_at)
    if refused[chip]:  # all threads of the block leave
        return
    n_in, n_out, each = table[layer, N_IN], table[layer, N_OUT], layers[layer, FACTORS_EACH]
    at = chips * table[layer, CELLS_AT] + chip * n_in * n_out + block * CELL_BLOCK
    n = min(CELL_BLOCK, n_in * n_out - block * CELL_BLOCK)
    run, base, given = own_run(n), 2 * slice_of_pulses(number, span[2]), 0
    own_groups = layers[layer, GROUPS_AT:]
    groups = own_groups[0], own_groups[1], own_groups[2], own_groups[3]
    for j in range(run[0], run[1]):
        reached[j] = 0
    for sample in range(each):
        row = chip * each + sample
        lines = layers[layer, SIGNALS_AT] + row * n_out, layers[layer, DRIVEN_AT] + row * n_in
        hits = meet(rows, columns, lines, n_in, block * CELL_BLOCK, run, groups, met, reached)
        before, listed = ranks(tally, hits)
        if listed > 0:
            for j in range(run[0], run[1]):
                if met[j] != 0:
                    bring_up_pair(cells, base, at + j, clock, d)
            draw = sample * (CELL_BLOCK // 4), block, number, layer, chip
            given += pulse_turns(states, own, base, at, n, run, met, tally, listed, before, True, draw, keys, d)
            for j in range(run[0], run[1]):
                if met[j] != 0:
                    settle(cells, base, at + j, met[j], (j, block, number, layer, chip), keys, clock, d)
    place = layer, chip, chips, table, tiles, span[2]
    anew = finish_run(
        reached, run, cells, base, at, place, units, span, limits[1], weights, variances, counts,
        (block, number, layer, chip), keys, clock, d,
    )  # fmt: skip
    add_up(counts, 0, anew)
    add_pulses(counts, chip, given)


@kernel
def mean_cells(
    change, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, pers, units, span, limits,
    number, clock, chips, keys, d,
):  # fmt: skip
    """Give each weight one pulse, without noise, of the size that its change asks for; as on the CPU (`mean_block`).

    A thread does all of a weight: none draws what depends on others.
    """
    cells, states = (now, fresh, since, own, stuck, aimed), fresh if APPARENT else now
    base, anew = 2 * slice_of_pulses(number, span[2]), 0
    for k in range(cuda.grid(1), change.size, cuda.gridsize(1)):
        sign = np.int32(change[k] > ZERO) - np.int32(change[k] < ZERO)
        if sign != 0:
            layer, chip, cell = weight_at(k, chips, table)
            draw = (cell % CELL_BLOCK, cell // CELL_BLOCK, number, layer, chip)
            bring_up_pair(cells, base, k, clock, d)
            side = base + side_of_pulses(sign, PAIRED)
            mine = with_step(with_cell(d, own, side * now.shape[1] + k), abs(change[k]) * pers[layer])
            states[side, k] = pulsed(states[side, k], direction_of_pulses(sign, PAIRED), ZERO, mine)
            settle(cells, base, k, sign, draw, keys, clock, d)
            place = (layer, chip, chips, table, tiles, span[2])
            done = finish(cells, base, k, cell, place, units, span, limits[1], weights, variances, draw, keys, clock, d)
            anew += counted(counts, chip, 0, done)
    add_up(counts, 0, anew)
