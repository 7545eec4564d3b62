"""What time makes of cells, and what keeps account of it: when each was written, and as what."""

import numpy as np

from noisysim.compute.cpu.loops.cell_places import blocks_of, cells_at, run_of, side_of
from noisysim.compute.cpu.loops.cell_weights import refresh
from noisysim.compute.jit.compiling import inner, loop
from noisysim.compute.layout import CELL_BLOCK, N_IN, N_OUT
from noisysim.compute.rules.cells import aged
from noisysim.compute.rules.device import with_cell
from noisysim.compute.rules.flags import AIMED, FAULTY, HAS_DRIFT, PAIRED, TIMED


@inner()
def hold_stuck(now, stuck, k, first, last):
    """Put stuck cells of side k back to where they are."""
    if FAULTY:
        for j in range(first, last):
            if not np.isnan(stuck[k, j]):
                now[k, j] = stuck[k, j]


@inner(fastmath={"contract"})
def bring_up(cells, k, cell, clock, d):
    """Make one cell of side k what it is at a time."""
    _, now, fresh, since, own, stuck, aimed = cells
    if HAS_DRIFT:
        aim = aimed[k, cell] if AIMED else fresh[k, cell]
        age, mine = np.float32(clock - since[k, cell]), with_cell(d, side_of(own, k), cell)
        now[k, cell] = aged(fresh[k, cell], age, aim, mine)
        hold_stuck(now, stuck, k, cell, cell + 1)


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


@inner(fastmath={"contract"})
def drift_side(now, fresh, since, aimed, own, clock, d):
    """What time has left of the cells of one side of a block."""
    for j in range(now.size):
        age, aim = np.float32(clock - since[j]), aimed[j] if AIMED else fresh[j]
        now[j] = aged(fresh[j], age, aim, with_cell(d, own, j))


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
def age_chips(layers, part, net, cells, units, span, clock, weights, variances, d):
    """`age_cells` on some chips: `layers` are the first, and the one behind the last."""
    first, last, chips, share = part
    for m in range(first, last):
        age_cells(layers, share, (net[0], net[1], (m, chips)), cells, units, span, clock, weights, variances, d)
