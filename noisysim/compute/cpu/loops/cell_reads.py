"""Cells that are read one by one, each as one read sees it."""

import numpy as np

from noisysim.compute.cpu.loops.draws import fill_normals_from, fill_uniforms_from, stream_word
from noisysim.compute.cpu.loops.rows import place
from noisysim.compute.jit.compiling import inner
from noisysim.compute.layout import (
    CELL_STREAM,
    CELL_UNIFORM_STREAM,
    CELLS_AT,
    N_IN,
    N_OUT,
    POSITIONS,
    STATE_STREAM,
    TILES,
)
from noisysim.compute.rules.device import with_cell
from noisysim.compute.rules.flags import CELL_NORMAL, CELL_UNIFORM, HAS_JUMP, OWN_CELLS, PAIRED
from noisysim.devices.physics.ideal import jump, read_cell


@inner(fastmath={"contract", "reassoc", "nsz"})
def read_line(x, now, states, own, z, u, d):
    """sum_j x_j G_j over one line's cells, each as one read sees it."""
    total = np.float32(0.0)
    for j in range(x.size):
        s = np.float32(states[j]) if HAS_JUMP else np.float32(0.0)
        zj = z[j] if CELL_NORMAL else np.float32(0.0)
        uj = u[j] if CELL_UNIFORM else np.float32(0.0)
        seen = np.float32(read_cell(now[j], s, zj, uj, with_cell(d, own, j)))
        total += x[j] * (seen if now[j] >= 0 else np.float32(0.0))  # below it the line is cut
    return total


@inner()
def move_on(states, own, u, seconds, d):
    """The discrete states of a line's cells after some time."""
    for j in range(states.size):
        s = np.float32(states[j])
        states[j] = np.uint8(np.float32(jump(s, u[j], seconds, with_cell(d, own, j))))


@inner()
def read_cells(x, at, width, s, cells, unit, counter, seconds, draws, product, d):
    """Line currents of one tile, every cell read by itself: rows one after the other, as time goes.

    `at` is where the tile's first cell is in a row of cells, `width` the cells in a row of the layer; `seconds`
    pass before the first row and before each other.
    """
    now, own, states = cells
    z, u, bits = draws
    first_sample, number, layer, tile, k0, k1 = counter
    rows, n = x.shape
    n_out, q = product.shape[1], (n + 3) // 4
    for r in range(rows):
        sample, waited = first_sample + r, seconds[0] if r == 0 else seconds[1]
        for i in range(n_out):
            line = np.float32(0.0)
            for side in range(2):
                k, a = 2 * s + side, at + i * width
                held, base = now[k, a : a + n], (2 * i + side) * q
                if side == 1 and not PAIRED:
                    for j in range(n):
                        line -= x[r, j] * max(held[j], np.float32(0.0))
                    continue
                mine = own[:, k, a : a + n] if OWN_CELLS else own
                state = states[k, a : a + n] if HAS_JUMP else states
                if HAS_JUMP:
                    word = stream_word(STATE_STREAM, layer, tile)
                    fill_uniforms_from(u, bits, n, base, sample, number, word, k0, k1)
                    move_on(state, mine, u, waited, d)
                if CELL_NORMAL:
                    word = stream_word(CELL_STREAM, layer, tile)
                    fill_normals_from(z, bits, n, base, sample, number, word, k0, k1)
                if CELL_UNIFORM:
                    word = stream_word(CELL_UNIFORM_STREAM, layer, tile)
                    fill_uniforms_from(u, bits, n, base, sample, number, word, k0, k1)
                current_in = read_line(x[r], held, state, mine, z, u, d)
                line += current_in if side == 0 else -current_in
            product[r, i] = line * unit


@inner()
def read_by_cell(layer, k, x, start, first, p, stack, chip, noise, draws, product, d):
    """Line currents of the k-th tile of a layer in pass p, every cell read by itself."""
    table, geometry, cells = chip[0], chip[1], chip[12]
    first_sample, first_pass, k0, k1 = noise
    now, own, states, units, waited, interval = cells
    s = k // (table[layer, TILES] // units.shape[1])
    positions = geometry[layer, POSITIONS]
    counter = ((first_sample + first) * positions, first_pass + p, layer, k, k0, k1)
    between = np.float32(interval / positions)
    seconds = (waited if first_sample + first + p == 0 else between, between)
    at = place(table[layer, CELLS_AT], table[layer, N_IN] * table[layer, N_OUT], stack) + start
    some = (now, own, states)
    read_cells(x, at, table[layer, N_IN], s, some, units[layer, s], counter, seconds, draws, product, d)
