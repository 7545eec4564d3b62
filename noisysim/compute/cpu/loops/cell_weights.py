"""What cells amount to as weights, and the variances of their reads."""

import numpy as np

from noisysim.compute.cpu.cell_types import AGES, AIMS, LEVELS, MOVED, OWN, STAGE, SUMS, WHERE, G
from noisysim.compute.cpu.loops.cell_places import cells_at, gather_own, run_of, take_moved, tile_at
from noisysim.compute.cpu.row_types import STD, TYPES
from noisysim.compute.jit.compiling import bare, loop
from noisysim.compute.jit.places import doubles_at, float_rows_at, floats_at, ints_at
from noisysim.compute.layout import CELL_BLOCK, FIRST_TILE, N_IN, N_OUT, TILE_FROM, TILE_TO, TILES

std_row, call = TYPES[STD].call, STAGE.call
ZERO = np.float32(0.0)


@bare(fastmath={"contract"})
def add_side(kit, k, _):
    """Add what the cells of side k of the block contribute to the variances of one read, in ``SUMS``."""
    n, at = kit.count, k * kit.cells + kit.at + kit.first
    g, ages, std = floats_at(kit.now, at, n), floats_at(kit.work, AGES, n), floats_at(kit.work, LEVELS, n)
    for j in range(n):
        ages[j] = ZERO
    if kit.timed:
        since, clock = doubles_at(kit.since, at, n), kit.clock
        for j in range(n):
            ages[j] = np.float32(clock - since[j])
    aims = g
    if kit.aims:
        aims = floats_at(kit.aimed, at, n)
        if kit.faulty:  # a stuck one holds what it holds
            aimed, stuck, aims = aims, floats_at(kit.stuck, at, n), floats_at(kit.work, AIMS, n)
            for j in range(n):
                aim, now = aimed[j], g[j]
                aims[j] = aim if np.isnan(stuck[j]) else now
    own = float_rows_at(kit.own, kit.fields, kit.sides * kit.cells, at, n)
    std_row(kit.deviation, (g, ages, aims, own, std, floats_at(kit.deviation_numbers, 0, kit.numbers_size)))
    add_squares(std, g, k, kit)


@bare(fastmath={"contract"})
def add_squares(std, g, k, kit):
    """Add squares of deviations, µS, of cells of side k to ``SUMS``, in weight units."""
    unit, sums = floats_at(kit.units, kit.layer * kit.slices + k // 2, 1)[0], floats_at(kit.work, SUMS, g.size)
    for j in range(g.size):
        deviation = std[j] * unit
        sums[j] += deviation * deviation if g[j] >= ZERO else ZERO  # below it the line is cut


@loop()
def add_variances(k, layer, first, last, clock, variances, kits):
    """Add what cells first..last - 1 of side k, all of one layer, contribute to the variances of one read."""
    kit = kits[0]
    kit.layer, kit.clock, kit.first = layer, clock, 0
    for a in range(first, last, CELL_BLOCK):
        n = min(CELL_BLOCK, last - a)
        kit.at, kit.count = a, n
        sums = floats_at(kit.work, SUMS, n)
        for j in range(n):
            sums[j] = ZERO
        call(kit.add_side, (kit, k, 0))
        for j in range(n):
            variances[a - first + j] += sums[j]


@bare(fastmath={"contract"})
def refresh(kit, _, __):
    """Bring the weights of the block up to date, and of those that moved the variances of their reads."""
    n = kit.count
    for s in range(kit.slices):
        if kit.varies:
            sums = floats_at(kit.work, SUMS, n)
            for j in range(n):
                sums[j] = ZERO
            for k in range(2 * s, 2 * s + (2 if kit.paired else 1)):
                call(kit.add_side, (kit, k, 0))
        done = np.int64(0)  # a literal would be a type of its own
        while done < n:
            to, stop = run_of(kit.first + done, kit.first + n, s, kit)
            size = stop - kit.first - done
            refresh_run(to, s, done, size, kit)
            done += size


@bare(fastmath={"contract"})
def refresh_run(to, s, done, n, kit):
    """The same of n contiguous weights, from number `done` of the block on; all loops from 0 on, to vectorise."""
    at, unit = kit.at + kit.first + done, floats_at(kit.units, kit.layer * kit.slices + s, 1)[0]
    plus, minus = floats_at(kit.now, 2 * s * kit.cells + at, n), floats_at(kit.now, (2 * s + 1) * kit.cells + at, n)
    weights = floats_at(kit.weights, to, n)
    if kit.paired or kit.faulty:
        for j in range(n):
            weights[j] = (plus[j] - minus[j]) * unit
    else:  # one reference for all: it is not read again and again
        reference = minus[0]
        for j in range(n):
            weights[j] = (plus[j] - reference) * unit
    if kit.varies:
        moved, sums = ints_at(kit.work, MOVED + done, n), floats_at(kit.work, SUMS + done, n)
        take_moved(sums, moved, np.int32(-1), floats_at(kit.variances, to, n))


@bare(fastmath={"contract"})
def refresh_few(kit, _, m):
    """Bring those m weights of the block up to date, and the variances of their reads, that are listed."""
    where, sums, n, a = ints_at(kit.work, WHERE, m), floats_at(kit.work, SUMS, m), kit.count, kit.at + kit.first
    each = 1 if kit.paired or kit.faulty else 0  # one reference for all: it is not read again and again
    for s in range(kit.slices):
        unit = floats_at(kit.units, kit.layer * kit.slices + s, 1)[0]
        plus, minus = floats_at(kit.now, 2 * s * kit.cells + a, n), floats_at(kit.now, (2 * s + 1) * kit.cells + a, n)
        if kit.varies:
            for i in range(m):
                sums[i] = ZERO
            for k in range(2 * s, 2 * s + (2 if kit.paired else 1)):
                call(kit.add_listed, (kit, k, m))
        i = 0
        while i < m:  # those of one contiguous run together
            start = where[i]
            to, stop = run_of(kit.first + start, kit.first + n, s, kit)
            size = stop - kit.first - start
            weights, variances = floats_at(kit.weights, to, size), floats_at(kit.variances, to, size)
            while i < m and where[i] - start < size:
                weights[where[i] - start] = (plus[where[i]] - minus[each * where[i]]) * unit
                if kit.varies:
                    variances[where[i] - start] = sums[i]
                i += 1


@bare(fastmath={"contract"})
def add_listed(kit, k, m):
    """`add_side` of those m of its cells that are listed: gathered first."""
    where, n, a = ints_at(kit.work, WHERE, m), kit.count, kit.at + kit.first
    g, ages, aims = floats_at(kit.work, G, m), floats_at(kit.work, AGES, m), floats_at(kit.work, AIMS, m)
    std, at = floats_at(kit.work, LEVELS, m), k * kit.cells + a
    now = floats_at(kit.now, at, n)
    for i in range(m):
        g[i] = now[where[i]]
        aims[i] = g[i]
        ages[i] = ZERO
    if kit.timed:
        since = doubles_at(kit.since, at, n)
        for i in range(m):
            ages[i] = np.float32(kit.clock - since[where[i]])
    if kit.aims:
        aimed, stuck = floats_at(kit.aimed, at, n), floats_at(kit.stuck, at, n)
        for i in range(m):
            if not kit.faulty or np.isnan(stuck[where[i]]):  # a stuck one holds what it holds
                aims[i] = aimed[where[i]]
    gather_own(k, a, where, m, kit)
    own = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
    std_row(kit.deviation, (g, ages, aims, own, std, floats_at(kit.deviation_numbers, 0, kit.numbers_size)))
    add_squares(std, g, k, kit)


@loop()
def add_chips(change, chips, table, tiles, weights):
    """Exact write: add a change to every weight of all chips."""
    for m in range(chips):
        for layer in range(table.shape[0]):
            n_in, n_out, at = table[layer, N_IN], table[layer, N_OUT], cells_at(layer, table, (m, chips))
            for tile in range(table[layer, FIRST_TILE], table[layer, FIRST_TILE] + table[layer, TILES]):
                start, stop, to = tiles[tile, TILE_FROM], tiles[tile, TILE_TO], tile_at(tile, n_out, tiles, (m, chips))
                for i in range(n_out):
                    row, more = to + i * (stop - start), at + i * n_in + start
                    for j in range(stop - start):
                        weights[row + j] += change[more + j]


@bare()
def add_block(kit, change, every):
    """Exact write of a block: add the change to its weights; returns how many these are."""
    done, n = 0, kit.count
    while done < n:  # in contiguous runs
        to, stop = run_of(kit.first + done, kit.first + n, 0, kit)
        count = stop - kit.first - done
        weights = floats_at(kit.weights, to, count)
        for j in range(count):
            weights[j] += change[done + j]
        done += count
    return n
