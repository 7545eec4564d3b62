"""Where cells and their weights are in flat arrays.

Cells come as rows of flat arrays, two rows per slice: 2 s the positive side of slice s, 2 s + 1 its negative side (or
the fixed reference, where a weight has one cell). In a row a layer's cells are laid out like its weights, (n_out,
n_in); of several chips first those of one, then of the next, and likewise the weights of a tile. ``stack`` is the
number of the chip, and how many chips there are.
"""

from noisysim.compute.jit.compiling import inner
from noisysim.compute.layout import CELL_BLOCK, CELLS_AT, FIRST_TILE, N_IN, N_OUT, TILE_AT, TILE_FROM, TILE_TO, TILES
from noisysim.compute.rules.flags import HAS_OWN


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
def place_of(cell, s, place):
    """Where the weight of a layer's cell (row-major) is among the tiles of slice s."""
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
    """Where the weights that are contiguous from a layer's cell on end: at `stop`, or at its tile's edge."""
    layer, table, tiles, slices, _ = place
    if table[layer, TILES] == slices:
        return stop
    n_in = table[layer, N_IN]
    tile = table[layer, FIRST_TILE]
    while cell % n_in >= tiles[tile, TILE_TO]:
        tile += 1
    return min(stop, cell // n_in * n_in + tiles[tile, TILE_TO])


@inner()
def blocks_of(count, share):
    """The first block of cells, and the one after the last, of one part of `count` cells; parts are contiguous."""
    blocks = (count + CELL_BLOCK - 1) // CELL_BLOCK
    return share[0] * blocks // share[1], (share[0] + 1) * blocks // share[1]


@inner()
def list_moved(moved, where, count):
    """List the cells of a block that moved; returns how many."""
    m = 0
    for j in range(count):
        where[m] = j
        m += int(moved[j] != 0)
    return m
