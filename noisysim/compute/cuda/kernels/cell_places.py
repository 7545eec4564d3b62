"""Where cells and their weights are in flat arrays, as in `noisysim.compute.cpu.loops.cell_places`.

Own values come as (fields, sides x cells). Weight k of all chips has the cells [:, k].
"""

from noisysim.compute.cuda.kernels.target import device
from noisysim.compute.layout import CELLS_AT, FIRST_TILE, N_IN, N_OUT, TILE_AT, TILE_FROM, TILE_TO, TILES


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
    """Where the weight of a layer's cell (row-major) is among the tiles of slice s."""
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
