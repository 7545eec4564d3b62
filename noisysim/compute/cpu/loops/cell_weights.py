"""What cells amount to as weights, and the variances of their reads."""

import numpy as np

from noisysim.compute.cpu.loops.cell_places import cells_at, place_of, run_length, run_of, side_of, tile_at
from noisysim.compute.jit.compiling import inner, loop
from noisysim.compute.layout import FIRST_TILE, N_IN, N_OUT, TILE_FROM, TILE_TO, TILES
from noisysim.compute.rules.cells import variance_of
from noisysim.compute.rules.device import with_cell
from noisysim.compute.rules.flags import AIMED, FAULTY, HAS_CELL_STD, PAIRED, TIMED


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
    return variance_of(g[j], age, target_of(aimed, stuck, g[j], j), unit, with_cell(d, own, j))


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


@inner(fastmath={"contract"})
def refresh(cells, at, first, count, place, units, clock, weights, variances, d):
    """Bring the weights of a block of cells up to date, in contiguous runs."""
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


@loop()
def add_chips(change, chips, net, weights):
    """`add_weights` on all chips."""
    for m in range(chips):
        add_weights(change, (net[0], net[1], (m, chips)), weights)
