"""Loops that change cells, as in `noisysim.compute.cpu.loops.cells`: a thread does all the cells of a weight.

Arrays lie as there, except that own values come as (fields, sides x cells). Weight k of all chips has the cells [:, k].
``span`` is (g_min, g_max - g_min, slices, bits of each).
"""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.draws import four_uniforms, stream_word, unit_normal
from noisysim.compute.cuda.kernels.names import NAMES
from noisysim.compute.cuda.kernels.target import SIMULATED, device, kernel, larger, smaller
from noisysim.compute.layout import (  # fmt: skip
    CELL_BLOCK,
    CELLS_AT,
    FIRST_TILE,
    N_IN,
    N_OUT,
    REFRESH_STREAM,
    ROUNDING_STREAM,
    TILE_AT,
    TILE_FROM,
    TILE_TO,
    TILES,
    VERIFY_STREAM,
    WRITE_STREAM,
)
from noisysim.devices.physics.ideal import cell_std, drift, program, pulse

# Properties of the device: dead branches are compiled away.
HAS_CELL_STD = False
HAS_DRIFT = False
HAS_OWN = False  # whether cells have values of their own
FAULTY = False  # whether some are stuck
TIMED = False  # whether the age of a cell matters
AIMED = False  # whether what its last write aimed at does
PAIRED = True  # two cells a weight
SLICED = False
VERIFIED = False  # writes are closed loops of pulses

ROOM = np.float32(0.1)  # share of the span that setting a pair anew must win back
PULSERS = 4 if SIMULATED else 256  # threads that give a block of cells its pulses
ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
rint = NAMES.get(np, np).rint


@device
def with_cell(d, own, j):
    """The device's numbers with a cell's own values in them; replaced where cells have any."""
    return d


@device
def drifted(g, t, target, d):
    """What time leaves of a conductance; replaced where the hook takes the target."""
    return drift(g, t, d)


@device
def deviation(g, t, target, d):
    """Standard deviation of a cell's read; replaced likewise."""
    return cell_std(g, t, d)


# --- where things lie -----------------------------------------------------------------------------------------------


@device
def weight_at(k, chips, table):
    """Layer, chip, and number in its layer of weight k of all chips."""
    layer = 0
    while layer + 1 < table.shape[0] and k >= chips * table[layer + 1, CELLS_AT]:
        layer += 1
    count, rest = table[layer, N_IN] * table[layer, N_OUT], k - chips * table[layer, CELLS_AT]
    return layer, rest // count, rest % count


@device
def block_at(b, chips, blocks_at):
    """Layer, chip, and number in its layer of block b of all chips; `blocks_at`: of one chip, where layers start."""
    layer = 0
    while b >= chips * blocks_at[layer + 1]:
        layer += 1
    count, rest = blocks_at[layer + 1] - blocks_at[layer], b - chips * blocks_at[layer]
    return layer, rest // count, rest % count


@device
def place_of(cell, s, place):
    """Where the weight of a layer's cell (row-major) lies among the tiles of slice s."""
    layer, chip, chips, table, tiles, slices = place
    tile, n_in, n_out = table[layer, FIRST_TILE], table[layer, N_IN], table[layer, N_OUT]
    tile += s * (table[layer, TILES] // slices)
    if table[layer, TILES] == slices:
        return chips * tiles[tile, TILE_AT] + chip * n_out * n_in + cell
    i, j = cell // n_in, cell % n_in
    while j >= tiles[tile, TILE_TO]:
        tile += 1
    start = tiles[tile, TILE_FROM]
    width = tiles[tile, TILE_TO] - start
    return chips * tiles[tile, TILE_AT] + (chip * n_out + i) * width + j - start


# --- what cells should hold, and what they amount to ----------------------------------------------------------------


@device
def share_of(magnitude, s, slices, bits):
    """What share of the full span slice s holds of a weight's magnitude, itself a share: its digit."""
    if not SLICED:
        return magnitude
    digits = (1 << bits) - 1
    whole = int(rint(np.float32(magnitude * np.float32((1 << (bits * slices)) - 1))))
    return np.float32((whole >> (bits * (slices - 1 - s))) & digits) / np.float32(digits)


@device
def goal_of(target, k, span):
    """The conductance that side k (two sides a slice) should hold for a target from -1 to 1."""
    g_min, width, slices, bits = span
    if not PAIRED:
        return g_min + width * (HALF + HALF * target)
    sign = np.float32(1 - 2 * (k & 1))
    return g_min + width * share_of(larger(sign * target, ZERO), k >> 1, slices, bits)


@device
def level(goal, span, tolerance, d):
    """Two goals between which this differs are worth a write: what a noiseless write of a goal would leave."""
    if VERIFIED:
        return rint(goal / (TWO * max(tolerance, np.float32(1e-4)) * span[1]))
    return np.float32(program(goal, ZERO, d))


@device
def retargeted(change, target, scale):
    """The new target of a weight."""
    return smaller(larger(target + change * scale, -ONE), ONE)


@device
def moves(old, new, span, tolerance, d):
    """Which cells of a weight a new target moves to another level: bit k stands for side k."""
    g_min, width, slices, bits = span
    if not PAIRED:
        return int(level(goal_of(old, 0, span), span, tolerance, d) != level(goal_of(new, 0, span), span, tolerance, d))
    rest, moved = level(g_min, span, tolerance, d), 0
    for s in range(slices):
        was = level(g_min + width * share_of(abs(old), s, slices, bits), span, tolerance, d)
        becomes = level(g_min + width * share_of(abs(new), s, slices, bits), span, tolerance, d)
        plus = (was if old > ZERO else rest) != (becomes if new > ZERO else rest)
        minus = (rest if old > ZERO else was) != (rest if new > ZERO else becomes)
        moved |= (int(plus) + 2 * int(minus)) << (2 * s)
    return moved


@device
def read_variance(cells, side, k, clock, unit, d):
    """Variance that a cell adds to one read, in weight units; none, where its line is cut."""
    now, _, since, own, stuck, aimed = cells
    if now[side, k] < ZERO:
        return ZERO
    age, target = np.float32(clock - since[side, k]) if TIMED else ZERO, now[side, k]
    if AIMED and not (FAULTY and not math.isnan(stuck[side, k])):  # a stuck cell holds what it holds
        target = aimed[side, k]
    std = np.float32(deviation(now[side, k], age, target, with_cell(d, own, side * now.shape[1] + k))) * unit
    return std * std


@device
def refresh(cells, k, cell, place, units, clock, weights, variances, d):
    """Bring a weight, and the variance of its read, up to date with its cells in every slice."""
    now, layer = cells[0], place[0]
    for s in range(place[5]):
        to, unit = place_of(cell, s, place), units[layer, s]
        weights[to] = (now[2 * s, k] - now[2 * s + 1, k]) * unit
        if HAS_CELL_STD and variances.size == weights.size:
            variance = read_variance(cells, 2 * s, k, clock, unit, d)
            if PAIRED:
                variance += read_variance(cells, 2 * s + 1, k, clock, unit, d)
            variances[to] = variance


@device
def whole_block(written, layer, chip, block, count, chips, blocks_at):
    """Whether all weights of a block are brought up to date: where age matters to reads, and many cells are written."""
    if not (TIMED and HAS_CELL_STD):
        return False  # the others would stay as they are
    blocks = blocks_at[layer + 1] - blocks_at[layer]
    here = written[chips * blocks_at[layer] + chip * blocks + block]
    return here > 0 and here >= min(CELL_BLOCK, count - block * CELL_BLOCK) // 8


@device
def add_up(counts, which, mine):
    """Add what the threads of a block counted to one of the counts, in one atomic operation."""
    total = cuda.shared.array(1, np.int32)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        total[0] = 0
    cuda.syncthreads()
    if mine > 0:
        cuda.atomic.add(total, 0, mine)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and total[0] > 0:
        cuda.atomic.add(counts, which, np.int64(total[0]))


# --- programming ----------------------------------------------------------------------------------------------------


@device
def hold_stuck(now, stuck, side, k):
    """Put a stuck cell back to where it is."""
    if FAULTY and not math.isnan(stuck[side, k]):
        now[side, k] = stuck[side, k]


@device
def bring_up(cells, side, k, clock, d):
    """Make one cell what it is at a time."""
    now, fresh, since, own, stuck, aimed = cells
    if HAS_DRIFT:
        target = aimed[side, k] if AIMED else fresh[side, k]
        age, mine = np.float32(clock - since[side, k]), with_cell(d, own, side * now.shape[1] + k)
        now[side, k] = larger(np.float32(drifted(fresh[side, k], age, target, mine)), ZERO)
        hold_stuck(now, stuck, side, k)


@device
def program_cell(cells, side, k, goal, drawn, draw, stream, keys, clock, d):
    """Program a cell of side k: it takes draw k * CELL_BLOCK + j of `drawn`, its age starts anew."""
    now, fresh, since, own, stuck, aimed = cells
    j, block, number, _, chip = draw
    mine = with_cell(d, own, side * now.shape[1] + k)
    z = unit_normal(side * CELL_BLOCK + j, drawn, block, number, stream, keys, chip)
    now[side, k] = larger(np.float32(program(goal, z, mine)), ZERO)
    if AIMED:
        aimed[side, k] = goal
    if TIMED:
        fresh[side, k] = now[side, k]
        since[side, k] = clock
        bring_up(cells, side, k, clock, d)  # what acts at once, such as another temperature
    hold_stuck(now, stuck, side, k)


@device
def settle_pulsed(cells, side, k, clock):
    """After pulses to a cell: its age starts anew, unless it is stuck."""
    now, fresh, since, _, stuck, aimed = cells
    hold_stuck(now, stuck, side, k)
    if AIMED:  # at nothing but what it has become
        aimed[side, k] = now[side, k]
    if TIMED:
        fresh[side, k] = now[side, k]
        since[side, k] = clock


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
        miss = goal - g
        if HAS_CELL_STD:
            z = unit_normal(unit, n, block, number, stream_word(VERIFY_STREAM, layer, turn), keys, chip)
            miss -= np.float32(deviation(g, ZERO, goal, mine)) * z
        if abs(miss) <= tolerance * span[1]:
            break
        given += 1
        if sound:
            z = unit_normal(unit, n, block, number, stream_word(WRITE_STREAM, layer, turn), keys, chip)
            g = larger(np.float32(pulse(g, ONE if miss > ZERO else -ONE, z, mine)), ZERO)
    now[side, k] = g
    settle_pulsed(cells, side, k, clock)
    if AIMED:
        aimed[side, k] = goal
    return given


@kernel
def count_moved(change, targets, table, scales, span, limits, chips, blocks_at, written, d):
    """Count in `written`, an entry a block of cells, those that `write_cells` is going to write."""
    for k in range(cuda.grid(1), targets.size, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        new = retargeted(change[k], targets[k], scales[layer])
        moved = moves(targets[k], new, span, limits[1], d)
        if moved != 0:
            blocks = blocks_at[layer + 1] - blocks_at[layer]
            at = chips * blocks_at[layer] + chip * blocks + cell // CELL_BLOCK
            cuda.atomic.add(written, at, np.int32(cuda.popc(moved)))


@kernel
def write_cells(
    change, every, targets, now, fresh, since, own, stuck, aimed, written, weights, variances, counts, table, tiles,
    blocks_at, scales, units, span, limits, number, clock, chips, keys, d,
):  # fmt: skip
    """Write a change of every weight to its cells; parameters as of the CPU's loop of this name."""
    cells = (now, fresh, since, own, stuck, aimed)
    sides = now.shape[0] if PAIRED else 1
    done, pulses = 0, 0
    for k in range(cuda.grid(1), targets.size, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        block, j = cell // CELL_BLOCK, cell % CELL_BLOCK
        target = retargeted(change[k], targets[k], scales[layer])
        moved = (1 << sides) - 1 if every else moves(targets[k], target, span, limits[1], d)
        targets[k] = target
        draw, stream = (j, block, number, layer, chip), stream_word(WRITE_STREAM, layer, 0)
        for side in range(sides):
            if (moved >> side) & 1:
                done += 1
                goal = goal_of(target, side, span)
                if VERIFIED and not every:
                    pulses += verify(cells, side, k, goal, draw, keys, span, limits, clock, d)
                else:
                    program_cell(cells, side, k, goal, sides * CELL_BLOCK, draw, stream, keys, clock, d)
        count = table[layer, N_IN] * table[layer, N_OUT]
        if moved != 0 or whole_block(written, layer, chip, block, count, chips, blocks_at):
            place = (layer, chip, chips, table, tiles, span[2])
            refresh(cells, k, cell, place, units, clock, weights, variances, d)
    if VERIFIED and not every:
        add_up(counts, 1, pulses)
    else:
        add_up(counts, 0, done)


# --- pulses: a block of threads for a block of cells ----------------------------------------------------------------


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
def rounded(change, per, u, most):
    """Pulses asked of a weight, stochastically rounded, signed."""
    wanted = change * per
    n = np.int32(min(most, abs(wanted) + u))  # cut off: what is positive is rounded down
    return -n if wanted < ZERO else n


@device
def round_pulses(change, at, n, per, most, draw, keys, asked):
    """Pulses asked of each weight of a block, into `asked`: each thread makes the four of some counters."""
    _, block, number, layer, chip = draw
    quarter, stream = CELL_BLOCK // 4, stream_word(ROUNDING_STREAM, layer, 0)
    for i in range(cuda.threadIdx.x, quarter, cuda.blockDim.x):
        u0, u1, u2, u3 = four_uniforms(i, block, number, stream, keys, chip)
        for w in range(4):
            j = w * quarter + i
            u = u0 if w == 0 else u1 if w == 1 else u2 if w == 2 else u3
            asked[j] = rounded(change[at + j], per, u, most) if j < n else np.int32(0)


@device
def coming(asked, first, last, turn):
    """How many of a run of weights have more than `turn` pulses coming."""
    found = np.int32(0)
    for j in range(first, last):
        found += np.int32(abs(asked[j]) > turn)
    return found


@device
def pulse_turns(now, own, at, n, run, asked, tally, listed, before, draw, keys, d):
    """Give a block its pulses turn by turn; returns how many.

    In the first turn, where half of the block takes part, cell j takes draw j of CELL_BLOCK; otherwise the i-th of the
    m cells that have a pulse coming takes draw i of m.
    """
    _, block, number, layer, chip = draw
    first, last = run
    turn, m, given = 0, listed, 0
    while m > 0:
        whole, rank, stream = turn == 0 and m >= n // 2, before, stream_word(WRITE_STREAM, layer, turn)
        for j in range(first, last):
            if abs(asked[j]) > turn:
                side, k = 1 if PAIRED and asked[j] < 0 else 0, at + j
                z = unit_normal(j if whole else rank, CELL_BLOCK if whole else m, block, number, stream, keys, chip)
                up, mine = ONE if PAIRED or asked[j] > 0 else -ONE, with_cell(d, own, side * now.shape[1] + k)
                now[side, k] = larger(np.float32(pulse(now[side, k], up, z, mine)), ZERO)
                rank += 1
        given += m
        turn += 1
        before, m = ranks(tally, coming(asked, first, last, turn))
    return given


@device
def reset_pair(cells, k, span, at_most, draw, keys, clock, d):
    """Program a pair anew if a cell has come near its end: the difference on one cell; returns cells programmed."""
    now, (g_min, width, _, _) = cells[0], span
    low, high = min(now[0, k], now[1, k]), max(now[0, k], now[1, k])
    if high <= g_min + at_most * width or low <= g_min + ROOM * width:
        return 0
    difference, stream = now[0, k] - now[1, k], stream_word(REFRESH_STREAM, draw[3], 0)
    for side in range(2):
        goal = g_min + smaller(larger(difference if side == 0 else -difference, ZERO), width)
        program_cell(cells, side, k, goal, 2 * CELL_BLOCK, draw, stream, keys, clock, d)
    return 2


@kernel
def pulse_cells(
    change, now, fresh, since, own, stuck, aimed, weights, variances, counts, table, tiles, blocks_at, pers, units,
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
    draw = (0, block, number, layer, chip)
    round_pulses(change, at, n, pers[layer], np.float32(limits[0]), draw, keys, asked)
    cuda.syncthreads()
    before, listed = ranks(tally, coming(asked, first, last, 0))
    if HAS_DRIFT:
        for j in range(first, last):  # both of a pair: it may be set anew
            if asked[j] != 0:
                bring_up(cells, 0, at + j, clock, d)
                if PAIRED:
                    bring_up(cells, 1, at + j, clock, d)
    given = pulse_turns(now, own, at, n, (first, last), asked, tally, listed, before, draw, keys, d)
    place, anew = (layer, chip, chips, table, tiles, span[2]), 0
    whole = TIMED and HAS_CELL_STD and listed > 0 and listed >= n // 256
    for j in range(first, last):
        if asked[j] != 0:
            settle_pulsed(cells, 1 if PAIRED and asked[j] < 0 else 0, at + j, clock)
            if PAIRED:
                anew += reset_pair(cells, at + j, span, limits[1], (j, block, number, layer, chip), keys, clock, d)
        if whole or asked[j] != 0:
            refresh(cells, at + j, block * CELL_BLOCK + j, place, units, clock, weights, variances, d)
    add_up(counts, 0, anew)
    if cuda.threadIdx.x == 0 and given > 0:
        cuda.atomic.add(counts, 1, np.int64(given))


# --- time and wires -------------------------------------------------------------------------------------------------


@kernel
def age_cells(
    first, last, now, fresh, since, own, stuck, aimed, weights, variances, table, tiles, units, span, clock, chips, d
):  # fmt: skip
    """Bring weights first..last - 1, whole layers, and their cells to what they are at a time."""
    cells = (now, fresh, since, own, stuck, aimed)
    sides = now.shape[0] if PAIRED else 1
    for k in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        for side in range(sides):
            bring_up(cells, side, k, clock, d)
        place = (layer, chip, chips, table, tiles, span[2])
        refresh(cells, k, cell, place, units, clock, weights, variances, d)


@kernel
def wire_cells(
    first, last, passed, factor, now, since, own, stuck, aimed, weights, variances, table, tiles, units, span, clock,
    chips, d,
):  # fmt: skip
    """Put into weights first..last - 1 what arrays with wires pass.

    `factor` is the share of each cell's current that arrives. A fixed reference has no wires.
    """
    cells = (now, passed, since, own, stuck, aimed)
    for k in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        place = (layer, chip, chips, table, tiles, span[2])
        for s in range(span[2]):
            to, unit = place_of(cell, s, place), units[layer, s]
            minus = passed[2 * s + 1, k] if PAIRED else larger(now[2 * s + 1, k], ZERO)
            weights[to] = (passed[2 * s, k] - minus) * unit
            if HAS_CELL_STD and variances.size == weights.size:
                variance = ZERO
                for side in range(2 * s, 2 * s + (2 if PAIRED else 1)):
                    share = factor[side, k]
                    variance += read_variance(cells, side, k, clock, unit, d) * share * share
                variances[to] = variance
