"""Loops that change cells, by programming, by pulses and by time; and what cells amount to as weights.

Cells come as rows of flat arrays, two rows a slice: 2 s the positive side of slice s, 2 s + 1 its negative side (or
the fixed reference, where a weight has one cell). In a row a layer's cells lie like its weights, (n_out, n_in); of
several chips first those of one, then of the next, and likewise the weights of a tile. ``stack`` is which chip of how
many is meant.
"""

import numpy as np

from noisysim.compute.cpu.loops.compiling import inner, loop
from noisysim.compute.cpu.loops.draws import fill_bits, fill_normals, stream_word, unit_normal
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
from noisysim.compute.noise import uniform
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


@inner()
def with_cell(d, own, j):
    """The device's numbers with a cell's own values in them; replaced where cells have any."""
    return d


@inner()
def drifted(g, t, target, d):
    """What time leaves of a conductance; replaced where the hook takes the target."""
    return drift(g, t, d)


@inner()
def deviation(g, t, target, d):
    """Standard deviation of a cell's read; replaced likewise."""
    return cell_std(g, t, d)


@inner()
def side_of(own, k):
    """Own values of the cells of side k, (fields, cells)."""
    if HAS_OWN:
        return own[:, k]
    return own


@inner()
def run_of(own, first, last):
    """Own values of a run of cells of one side."""
    if HAS_OWN:
        return own[:, first:last]
    return own


@inner()
def cells_at(layer, table, stack):
    """Where a layer's cells start."""
    return stack[1] * table[layer, CELLS_AT] + stack[0] * table[layer, N_IN] * table[layer, N_OUT]


@inner()
def tile_at(tile, n_out, tiles, stack):
    """Where a tile's weights start."""
    return stack[1] * tiles[tile, TILE_AT] + stack[0] * n_out * (tiles[tile, TILE_TO] - tiles[tile, TILE_FROM])


@inner()
def add_weights(change, net, weights):
    """Exact write: add a change to every weight."""
    table, tiles, stack = net
    for layer in range(table.shape[0]):
        n_in, n_out, at = table[layer, N_IN], table[layer, N_OUT], cells_at(layer, table, stack)
        for tile in range(table[layer, FIRST_TILE], table[layer, FIRST_TILE] + table[layer, TILES]):
            start, stop, to = tiles[tile, TILE_FROM], tiles[tile, TILE_TO], tile_at(tile, n_out, tiles, stack)
            for i in range(n_out):
                row, more = to + i * (stop - start), at + i * n_in + start
                for j in range(stop - start):
                    weights[row + j] += change[more + j]


@inner()
def share_of(magnitude, s, slices, bits):
    """What share of the full span slice s holds of a weight's magnitude, itself a share: its digit."""
    if not SLICED:
        return magnitude
    digits = (1 << bits) - 1
    whole = int(np.rint(np.float32(magnitude * np.float32((1 << (bits * slices)) - 1))))
    return np.float32((whole >> (bits * (slices - 1 - s))) & digits) / np.float32(digits)


@inner()
def goal_of(target, k, span):
    """The conductance that side k (two sides a slice) should hold for a target from -1 to 1."""
    g_min, width, slices, bits = span
    if not PAIRED:
        return g_min + width * (np.float32(0.5) + np.float32(0.5) * target)
    sign = np.float32(1 - 2 * (k & 1))
    return g_min + width * share_of(max(sign * target, np.float32(0.0)), k >> 1, slices, bits)


@inner()
def level(goal, span, tolerance, d):
    """Two goals between which this differs are worth a write: what a noiseless write of a goal would leave."""
    if VERIFIED:
        return np.rint(goal / (np.float32(2.0) * max(tolerance, np.float32(1e-4)) * span[1]))
    return np.float32(program(goal, np.float32(0.0), d))


@inner(fastmath={"contract"})
def retarget(change, target, wanted, moved, scale, span, tolerance, d):
    """New targets of a block of weights, and which of their cells they move to another level; returns how many.

    Bit k of `moved` stands for side k. The count is as wide as the values compared, or the loop would not vectorise.
    """
    n = change.size
    zero, one = np.float32(0.0), np.float32(1.0)
    g_min, width, slices, bits = span
    written = np.int32(0)
    for j in range(n):
        wanted[j] = min(max(target[j] + change[j] * scale, -one), one)
        moved[j] = 0
    if not PAIRED:
        for j in range(n):
            old, new = goal_of(target[j], 0, span), goal_of(wanted[j], 0, span)
            moved[j] = np.int32(level(old, span, tolerance, d) != level(new, span, tolerance, d))
            written += moved[j]
    else:
        rest = level(g_min, span, tolerance, d)
        for s in range(slices):
            for j in range(n):
                was, becomes = share_of(abs(target[j]), s, slices, bits), share_of(abs(wanted[j]), s, slices, bits)
                old = level(g_min + width * was, span, tolerance, d)
                new = level(g_min + width * becomes, span, tolerance, d)
                plus = (old if target[j] > zero else rest) != (new if wanted[j] > zero else rest)
                minus = (rest if target[j] > zero else old) != (rest if wanted[j] > zero else new)
                moved[j] |= (np.int32(plus) + np.int32(2) * np.int32(minus)) << np.int32(2 * s)
                written += np.int32(plus) + np.int32(minus)
    for j in range(n):
        target[j] = wanted[j]
    return written


@inner(fastmath={"contract"})
def write_side(now, aimed, own, target, k, moved, every, span, z, d):
    """Program those cells of side k of a block that moved."""
    bit = np.int32(1 << k)
    for j in range(now.size):
        goal, live = goal_of(target[j], k, span), every or (moved[j] & bit) != 0
        new = max(np.float32(program(goal, z[j], with_cell(d, own, j))), np.float32(0.0))
        now[j] = new if live else now[j]
        if AIMED:
            aimed[j] = goal if live else aimed[j]


@inner()
def hold_stuck(now, stuck, k, first, last):
    """Put stuck cells of side k back to where they are."""
    if FAULTY:
        for j in range(first, last):
            if not np.isnan(stuck[k, j]):
                now[k, j] = stuck[k, j]


@inner()
def settle(cells, k, first, last, moved, every, clock, d):
    """After side k was programmed: its cells' age starts anew, and stuck ones are where they were."""
    _, now, fresh, since, _, stuck, _ = cells
    if TIMED:
        for j in range(first, last):
            if every or (moved[j - first] >> k) & 1:
                fresh[k, j] = now[k, j]
                since[k, j] = clock
                bring_up(cells, k, j, clock, d)  # what acts at once, such as another temperature
    hold_stuck(now, stuck, k, first, last)


@inner(fastmath={"contract"})
def bring_up(cells, k, cell, clock, d):
    """Make one cell of side k what it is at a time."""
    _, now, fresh, since, own, stuck, aimed = cells
    if HAS_DRIFT:
        target = aimed[k, cell] if AIMED else fresh[k, cell]
        age, mine = np.float32(clock - since[k, cell]), with_cell(d, side_of(own, k), cell)
        now[k, cell] = max(np.float32(drifted(fresh[k, cell], age, target, mine)), np.float32(0.0))
        hold_stuck(now, stuck, k, cell, cell + 1)


@inner()
def settle_one(cells, k, cell, clock):
    """After a pulse to one cell of side k: its age starts anew, unless it is stuck."""
    _, now, fresh, since, _, stuck, aimed = cells
    hold_stuck(now, stuck, k, cell, cell + 1)
    if AIMED:  # at nothing but what it has become
        aimed[k, cell] = now[k, cell]
    if TIMED:
        fresh[k, cell] = now[k, cell]
        since[k, cell] = clock


@inner()
def list_moved(moved, where, count):
    """List the cells of a block that moved; returns how many."""
    m = 0
    for j in range(count):
        where[m] = j
        m += int(moved[j] != 0)
    return m


@inner()
def target_of(aimed, stuck, g, j):
    """What the last write of a cell aimed at; a stuck one holds what it holds."""
    if AIMED:
        return g if FAULTY and not np.isnan(stuck[j]) else aimed[j]
    return g


@inner(fastmath={"contract"})
def read_variance(g, own, j, since, aimed, stuck, clock, unit, d):
    """Variance that a cell adds to one read, in weight units."""
    age = np.float32(clock - since[j]) if TIMED else np.float32(0.0)
    std = np.float32(deviation(g[j], age, target_of(aimed, stuck, g[j], j), with_cell(d, own, j))) * unit
    return std * std


@loop(fastmath={"contract"})
def add_variances(cells, k, run, clock, unit, variances, d):
    """Add what a run of cells of side k contributes to the variances of one read."""
    _, now, _, since, own, stuck, aimed = cells
    g, mine = now[k, run[0] : run[1]], run_of(side_of(own, k), run[0], run[1])
    old = since[k, run[0] : run[1]] if TIMED else since
    goals = aimed[k, run[0] : run[1]] if AIMED else aimed
    held = stuck[k, run[0] : run[1]] if FAULTY else stuck
    for j in range(g.size):
        variances[j] += read_variance(g, mine, j, old, goals, held, clock, unit, d) if g[j] >= 0 else np.float32(0.0)


@inner(fastmath={"contract"})
def effective(cells, s, run, clock, unit, weights, variances, d):
    """What a run of cells of slice s amounts to: weights, and the variances of one read."""
    now = cells[1]
    plus, minus = now[2 * s, run[0] : run[1]], now[2 * s + 1, run[0] : run[1]]
    if PAIRED or FAULTY:
        for j in range(plus.size):
            weights[j] = (plus[j] - minus[j]) * unit
    else:  # one reference for all
        for j in range(plus.size):
            weights[j] = (plus[j] - minus[0]) * unit
    if HAS_CELL_STD and variances.size > 0:
        variances[:] = 0
        add_variances(cells, 2 * s, run, clock, unit, variances, d)
        if PAIRED:
            add_variances(cells, 2 * s + 1, run, clock, unit, variances, d)


@inner()
def place_of(cell, s, place):
    """Where the weight of a layer's cell (row-major) lies among the tiles of slice s."""
    layer, table, tiles, slices, stack = place
    tile, n_out = table[layer, FIRST_TILE] + s * (table[layer, TILES] // slices), table[layer, N_OUT]
    if table[layer, TILES] == slices:
        return tile_at(tile, n_out, tiles, stack) + cell
    n_in = table[layer, N_IN]
    i, j = cell // n_in, cell % n_in
    while j >= tiles[tile, TILE_TO]:
        tile += 1
    width = tiles[tile, TILE_TO] - tiles[tile, TILE_FROM]
    return tile_at(tile, n_out, tiles, stack) + i * width + j - tiles[tile, TILE_FROM]


@inner()
def run_length(cell, stop, place):
    """How far weights lie together from a layer's cell on: to `stop`, or to its tile's edge."""
    layer, table, tiles, slices, _ = place
    if table[layer, TILES] == slices:
        return stop
    n_in = table[layer, N_IN]
    tile = table[layer, FIRST_TILE]
    while cell % n_in >= tiles[tile, TILE_TO]:
        tile += 1
    return min(stop, cell // n_in * n_in + tiles[tile, TILE_TO])


@inner(fastmath={"contract"})
def refresh(cells, at, first, count, place, units, clock, weights, variances, d):
    """Bring the weights of a block of cells up to date, in runs that lie together."""
    done = first
    while done < first + count:
        stop = run_length(done, first + count, place)
        for s in range(place[3]):
            to = place_of(done, s, place)
            where = slice(to, to + stop - done) if HAS_CELL_STD and variances.size > 0 else slice(0, 0)
            run = (at + done, at + stop)
            effective(cells, s, run, clock, units[s], weights[to : to + stop - done], variances[where], d)
        done = stop


@inner(fastmath={"contract"})
def refresh_few(cells, at, first, where, count, place, units, clock, weights, variances, d):
    """Bring the weights up to date of the cells of a block that `where` lists."""
    _, now, _, since, own, stuck, aimed = cells
    for s in range(place[3]):
        for i in range(count):
            cell = at + first + where[i]
            weights[place_of(first + where[i], s, place)] = (now[2 * s, cell] - now[2 * s + 1, cell]) * units[s]
        if HAS_CELL_STD and variances.size > 0:
            for i in range(count):
                cell, to = at + first + where[i], place_of(first + where[i], s, place)
                variances[to] = 0
                for k in range(2 * s, 2 * s + (2 if PAIRED else 1)):
                    old, goals = since[k] if TIMED else since, aimed[k] if AIMED else aimed
                    held, mine = stuck[k] if FAULTY else stuck, side_of(own, k)
                    if now[k, cell] >= 0:
                        variances[to] += read_variance(now[k], mine, cell, old, goals, held, clock, units[s], d)


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
                now[k, cell] = max(np.float32(program(goal, z, with_cell(d, side_of(own, k), cell))), np.float32(0.0))
                if AIMED:
                    aimed[k, cell] = goal
                settle(cells, k, cell, cell + 1, moved[j : j + 1], False, clock, d)


@inner(fastmath={"contract"})
def verify_few(cells, at, first, moved, where, count, span, counter, limits, clock, d):
    """Write the cells listed in `where` that moved by pulses and reads until the goal is met; returns pulses given."""
    targets, now, _, _, own, stuck, aimed = cells
    block, number, layer, k0, k1 = counter
    most, tolerance = limits
    total, n = 0, now.shape[0] * CELL_BLOCK
    for i in range(count):
        j = where[i]
        cell = at + first + j
        for k in range(now.shape[0]):
            if (moved[j] >> k) & 1 == 0:
                continue
            goal, mine = goal_of(targets[cell], k, span), with_cell(d, side_of(own, k), cell)
            bring_up(cells, k, cell, clock, d)
            g = now[k, cell]
            for turn in range(most):
                miss = goal - g
                if HAS_CELL_STD:
                    word = stream_word(VERIFY_STREAM, layer, turn)
                    z = unit_normal(k * CELL_BLOCK + j, n, block, number, word, k0, k1)
                    miss -= np.float32(deviation(g, np.float32(0.0), goal, mine)) * z
                if abs(miss) <= tolerance * span[1]:
                    break
                z = unit_normal(k * CELL_BLOCK + j, n, block, number, stream_word(WRITE_STREAM, layer, turn), k0, k1)
                up = np.float32(1.0) if miss > 0 else np.float32(-1.0)
                total += 1
                if not FAULTY or np.isnan(stuck[k, cell]):
                    g = max(np.float32(pulse(g, up, z, mine)), np.float32(0.0))
            now[k, cell] = g
            settle_one(cells, k, cell, clock)
            if AIMED:
                aimed[k, cell] = goal
    return total


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


@inner()
def blocks_of(count, share):
    """The first block of cells, and the one after the last, of one part of so many cells: parts lie together."""
    blocks = (count + CELL_BLOCK - 1) // CELL_BLOCK
    return share[0] * blocks // share[1], (share[0] + 1) * blocks // share[1]


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
        Targets a weight.
    units : (layers, slices) float32
        Weights a uS.
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
            few = written < n // 8
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


@inner(fastmath={"contract"})
def round_pulses(change, per, bits, most, counts, where):
    """Pulses asked of each weight of a block, stochastically rounded, signed; lists those that get any: how many."""
    for j in range(change.size):
        wanted = change[j] * per
        n = np.int32(min(most, np.floor(abs(wanted) + uniform(bits[j]))))
        counts[j] = -n if wanted < 0 else n
    return list_moved(counts, where, change.size)


@inner(fastmath={"contract"})
def pulse_side(now, own, k, counts, z, d):
    """One pulse for those cells of side k of a block that have one coming."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for j in range(now.size):
        n = counts[j]
        if PAIRED:
            live, up = (n > 0 if k == 0 else n < 0), one
        else:
            live, up = n != 0, (one if n > 0 else -one)
        new = max(np.float32(pulse(now[j], up, z[j], with_cell(d, own, j))), zero)
        now[j] = new if live else now[j]


@inner(fastmath={"contract"})
def pulse_some(now, own, a, counts, where, count, work, d):
    """One pulse for the cells of a block that `where` lists: gathered, pulsed, put back."""
    z, g, up = work
    one, zero = np.float32(1.0), np.float32(0.0)
    for i in range(count):
        n = counts[where[i]]
        g[i] = now[1 if PAIRED and n < 0 else 0, a + where[i]]
        up[i] = one if PAIRED or n > 0 else -one
    if HAS_OWN:
        for i in range(count):
            mine = with_cell(d, side_of(own, 1 if PAIRED and counts[where[i]] < 0 else 0), a + where[i])
            g[i] = max(np.float32(pulse(g[i], up[i], z[i], mine)), zero)
    else:
        for i in range(count):
            g[i] = max(np.float32(pulse(g[i], up[i], z[i], d)), zero)
    for i in range(count):
        now[1 if PAIRED and counts[where[i]] < 0 else 0, a + where[i]] = g[i]


@inner(fastmath={"contract"})
def reset_pairs(cells, a, where, count, span, at_most, counter, clock, d):
    """Of the pairs listed, program those anew of which a cell has come near its end: the difference on one cell."""
    _, now, _, _, own, _, aimed = cells
    block, number, layer, k0, k1 = counter
    g_min, width, _, _ = span
    stream, done = stream_word(REFRESH_STREAM, layer, 0), 0
    for i in range(count):
        j = where[i]
        cell = a + j
        low, high = min(now[0, cell], now[1, cell]), max(now[0, cell], now[1, cell])
        if high <= g_min + at_most * width or low <= g_min + ROOM * width:
            continue
        difference = now[0, cell] - now[1, cell]
        for k in range(2):
            z = unit_normal(k * CELL_BLOCK + j, 2 * CELL_BLOCK, block, number, stream, k0, k1)
            goal = g_min + min(max(difference if k == 0 else -difference, np.float32(0.0)), width)
            now[k, cell] = max(np.float32(program(goal, z, with_cell(d, side_of(own, k), cell))), np.float32(0.0))
            if AIMED:
                aimed[k, cell] = goal
            settle(cells, k, cell, cell + 1, where, True, clock, d)
        done += 2
    return done


@inner(fastmath={"contract"})
def pulse_block(now, own, a, counts, left, count, draw, work, d):
    """Give the cells that `left` lists their pulses, turn by turn; returns how many pulses.

    In the first turn, where half of the block takes part, cell j takes draw j of CELL_BLOCK; otherwise the i-th of the
    m cells that have a pulse coming takes draw i of m.
    """
    block, number, layer, k0, k1 = draw
    z, g, up, bits = work
    turn, m, given, n = 0, count, 0, counts.size
    while m > 0:
        stream = stream_word(WRITE_STREAM, layer, turn)
        if turn == 0 and m >= n // 2:
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
def pulse_cells(change, share, net, cells, pers, units, span, limits, counter, weights, variances, d):
    """Turn a change of every weight into pulses, open loop; returns cells programmed anew, and pulses given.

    Parameters are those of `write_cells`, but: `pers`, (layers,) float32, pulses a weight unit; `limits`: most pulses
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
            if m < n // 256:
                refresh_few(cells, at, first, where, m, place, units[layer], clock, weights, variances, d)
            else:
                refresh(cells, at, first, n, place, units[layer], clock, weights, variances, d)
    z[:], g[:] = np.float32(0.0), np.float32(0.0)  # who is given this memory next must not find cells in it
    return anew, pulses


@inner()
def settle_pulsed(cells, a, counts, where, count, clock):
    """After pulses: what `settle` does, for the cells listed."""
    if TIMED or FAULTY:
        for i in range(count):
            settle_one(cells, 1 if PAIRED and counts[where[i]] < 0 else 0, a + where[i], clock)


@inner(fastmath={"contract"})
def drift_side(now, fresh, since, aimed, own, clock, d):
    """What time has left of the cells of one side of a block."""
    for j in range(now.size):
        age, target = np.float32(clock - since[j]), aimed[j] if AIMED else fresh[j]
        now[j] = max(np.float32(drifted(fresh[j], age, target, with_cell(d, own, j))), np.float32(0.0))


@inner(fastmath={"contract"})
def age_cells(layers, share, net, cells, units, span, clock, weights, variances, d):
    """Bring the cells of some layers to what they are at a time, and the weights with them."""
    table, tiles, stack = net
    _, now, fresh, since, own, stuck, aimed = cells
    for layer in range(layers[0], layers[1]):
        at, size = cells_at(layer, table, stack), table[layer, N_IN] * table[layer, N_OUT]
        place = (layer, table, tiles, span[2], stack)
        for block in range(*blocks_of(size, share)):
            first = block * CELL_BLOCK
            n = min(CELL_BLOCK, size - first)
            a, b = at + first, at + first + n
            if HAS_DRIFT:
                for k in range(now.shape[0] if PAIRED else 1):
                    goals, mine = aimed[k, a:b] if AIMED else aimed, run_of(side_of(own, k), a, b)
                    drift_side(now[k, a:b], fresh[k, a:b], since[k, a:b], goals, mine, clock, d)
                    hold_stuck(now, stuck, k, a, b)
            refresh(cells, at, first, n, place, units[layer], clock, weights, variances, d)


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


@loop()
def age_chips(layers, part, net, cells, units, span, clock, weights, variances, d):
    """`age_cells` on some chips: `layers` are the first, and the one behind the last."""
    first, last, chips, share = part
    for m in range(first, last):
        age_cells(layers, share, (net[0], net[1], (m, chips)), cells, units, span, clock, weights, variances, d)


@loop()
def add_chips(change, chips, net, weights):
    """`add_weights` on all chips."""
    for m in range(chips):
        add_weights(change, (net[0], net[1], (m, chips)), weights)
