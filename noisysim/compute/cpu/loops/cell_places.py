"""Where cells and their weights are in flat arrays.

Cells come as rows of flat arrays, two rows per slice: 2 s the positive side of slice s, 2 s + 1 its negative side (or
the fixed reference, where a weight has one cell). In a row a layer's cells are laid out like its weights, (n_out,
n_in); of several chips first those of one, then of the next, and likewise the weights of a tile. ``stack`` is the
number of the chip, and how many chips there are. Of a layer with groups of channels some cells hold no weight
(`noisysim.compute.grouping`).
"""

import numpy as np

from noisysim.compute.cpu.cell_types import OWN
from noisysim.compute.jit.compiling import bare, scalar
from noisysim.compute.jit.places import float_rows_at, long_rows_at
from noisysim.compute.layout import CELL_BLOCK, CELLS_AT, FIRST_TILE, N_IN, N_OUT, TILE_AT, TILE_FROM, TILE_TO, TILES
from noisysim.compute.rules.cells import together as together_rule

together = scalar(together_rule)


@bare()
def cells_at(layer, table, stack):
    """Where a layer's cells start."""
    return stack[1] * table[layer, CELLS_AT] + stack[0] * table[layer, N_IN] * table[layer, N_OUT]


@bare()
def tile_at(tile, n_out, tiles, stack):
    """Where a tile's weights start."""
    return stack[1] * tiles[tile, TILE_AT] + stack[0] * n_out * (tiles[tile, TILE_TO] - tiles[tile, TILE_FROM])


@bare()
def run_of(cell, stop, s, kit):
    """Where a layer's cell (row-major) has its weight among the tiles of slice s, and up to where they are contiguous.

    That is up to `stop`, or to the tile's edge.
    """
    table = long_rows_at(kit.table, kit.layers, kit.columns, 0, kit.columns)
    tiles = long_rows_at(kit.tiles, kit.tile_count, kit.tile_columns, 0, kit.tile_columns)
    layer, stack = kit.layer, (kit.chip, kit.chips)
    tile, n_out = table[layer, FIRST_TILE] + s * (table[layer, TILES] // kit.slices), table[layer, N_OUT]
    if table[layer, TILES] == kit.slices:
        return tile_at(tile, n_out, tiles, stack) + cell, stop
    n_in = table[layer, N_IN]
    i, j = cell // n_in, cell % n_in
    while j >= tiles[tile, TILE_TO]:
        tile += 1
    width = tiles[tile, TILE_TO] - tiles[tile, TILE_FROM]
    to = tile_at(tile, n_out, tiles, stack) + i * width + j - tiles[tile, TILE_FROM]
    edge = i * n_in + tiles[tile, TILE_TO]
    return to, edge if edge < stop else stop


@bare()
def blocks_of(count, share):
    """The first block of cells, and the one after the last, of one part of `count` cells; parts are contiguous."""
    blocks = (count + CELL_BLOCK - 1) // CELL_BLOCK
    return share[0] * blocks // share[1], (share[0] + 1) * blocks // share[1]


@bare()
def go_to(b, layer, at, size, kit):
    """Let a record stand for block b of a layer of `size` weights; returns where it starts, and its weights."""
    start = b * CELL_BLOCK
    count = size - start if size - start < CELL_BLOCK else CELL_BLOCK
    kit.layer, kit.number, kit.first, kit.count, kit.at = layer, b, start, count, at
    kit.target_at = at + start if kit.knows_targets else 0
    return at + start, kit.count


@bare()
def gather_own(k, a, where, m, kit):
    """The own values of the m cells of side k that are listed, into ``OWN``."""
    gathered = float_rows_at(kit.work, kit.fields, CELL_BLOCK, OWN, m)
    held = float_rows_at(kit.own, kit.fields, kit.sides * kit.cells, k * kit.cells + a, kit.count)
    for f in range(kit.fields):
        for i in range(m):
            gathered[f, i] = held[f, where[i]]


@bare()
def take_moved(values, moved, bit, target):
    """New values for those that moved by any of these bits."""
    for j in range(values.size):
        new, old = values[j], target[j]  # both are loaded first: it would not vectorise otherwise
        target[j] = new if moved[j] & bit != 0 else old


@bare()
def hold_stuck(stuck, now):
    """Put stuck cells back to where they are."""
    for j in range(now.size):
        held, free = stuck[j], now[j]
        now[j] = free if np.isnan(held) else held


@bare()
def list_moved(moved, where, count):
    """List the weights of a block that moved; returns how many."""
    m = 0
    for j in range(count):
        where[m] = j
        m += np.int64(moved[j] != 0)
    return m


@bare()
def list_side(moved, where, m, k, mine):
    """Of the m weights listed, list those whose cell of side k moved; returns how many."""
    c, bit = 0, np.int32(1 << k)
    for i in range(m):
        mine[c] = where[i]
        c += np.int64(moved[where[i]] & bit != 0)
    return c


@bare()
def keep_together(values, first, n_in, groups):
    """Set to zero what is asked of cells that hold no weight; `values` are those of cells from the `first` on."""
    for k in range(values.size):
        if not together((first + k) // n_in, (first + k) % n_in, groups):
            values[k] = 0
