"""Cells that are read one by one, each as one read sees it."""

import numpy as np

from noisysim.compute.cpu.loops.draws import FILL, stream_word
from noisysim.compute.cpu.loops.records import NORMALS, UNIFORMS
from noisysim.compute.cpu.loops.rows import place
from noisysim.compute.cpu.row_types import CELL, JUMP, TYPES
from noisysim.compute.jit.compiling import bare
from noisysim.compute.jit.places import bytes_at, float_rows_at, floats_at, longs_at, words_at
from noisysim.compute.jit.views import function_at
from noisysim.compute.layout import (
    CELL_STREAM,
    CELL_UNIFORM_STREAM,
    CELLS_AT,
    GEOMETRY,
    N_IN,
    N_OUT,
    POSITIONS,
    STATE_STREAM,
    TABLE,
    TILES,
)

cell_row, jump_row = TYPES[CELL].call, TYPES[JUMP].call
fill = FILL.call
ZERO = np.float32(0.0)


@bare()
def read_reference(x, held):
    """sum_j x_j G_j over a line of fixed reference cells; below 0 the line is cut."""
    total = ZERO
    for j in range(x.size):
        total += x[j] * max(held[j], ZERO)
    return total


@bare()
def read_side(x, k, at, base, seconds, counter, parts, chips, room):
    """What one line of cells of side k carries, from cell `at` on; its draws are counted from `base`."""
    n, width, padded = x.size, chips.number_count, 4 * ((x.size + 3) // 4)
    sample, number, layer, tile, k0, k1 = counter
    z, u, bits = floats_at(room.z, 0, padded), floats_at(room.u, 0, padded), words_at(room.bits, 0, padded)
    held, jump = floats_at(chips.now, k * chips.cell_count + at, n), function_at(chips.functions, JUMP)
    fields, cells = chips.cell_fields, chips.cell_sides * chips.cell_count
    own = float_rows_at(chips.own, fields, cells, k * chips.cell_count + at, n)
    states = bytes_at(chips.states, k * chips.cell_count + at if jump != 0 else 0, n if jump != 0 else 0)
    if jump != 0:
        word = stream_word(STATE_STREAM, layer, tile)
        fill(function_at(parts, UNIFORMS), (u, bits, n, base, sample, number, word, k0, k1))
        jump_row(jump, (states, own, u, seconds, floats_at(room.numbers, JUMP * width, width)))
    if chips.cell_normal:
        word = stream_word(CELL_STREAM, layer, tile)
        fill(function_at(parts, NORMALS), (z, bits, n, base, sample, number, word, k0, k1))
    if chips.cell_uniform:
        word = stream_word(CELL_UNIFORM_STREAM, layer, tile)
        fill(function_at(parts, UNIFORMS), (u, bits, n, base, sample, number, word, k0, k1))
    numbers = floats_at(room.numbers, CELL * width, width)
    return cell_row(function_at(chips.functions, CELL), (x, held, states, own, z, u, numbers))


@bare()
def read_by_cell(counter, x, start, first, p, stack, net, chips, call, room, product):
    """Line currents of a tile in pass p, every cell read by itself: rows one after the other, as time goes.

    `first` is the first row's number: rows are samples at each position.
    """
    first_sample, number, layer, tile, k0, k1 = counter
    table, g = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
    positions = g[POSITIONS]
    n_in, n_out, n = table[N_IN], table[N_OUT], x.shape[1]
    s = tile // (table[TILES] // chips.slices)
    unit = floats_at(chips.units, layer * chips.slices + s, 1)[0]
    at, q = place(table[CELLS_AT], n_in * n_out, stack) + start, (n + 3) // 4
    between = np.float32(chips.interval / positions)
    row_number = first_sample * positions + first
    waited = chips.waited if row_number + p == 0 else between
    for r in range(x.shape[0]):
        here = (row_number + r, number, layer, tile, k0, k1)
        seconds = waited if r == 0 else between
        for i in range(n_out):
            cell, row = at + i * n_in, x[r]
            line = read_side(row, 2 * s, cell, 2 * i * q, seconds, here, net.parts, chips, room)
            if chips.paired:
                line -= read_side(row, 2 * s + 1, cell, (2 * i + 1) * q, seconds, here, net.parts, chips, room)
            else:
                line -= read_reference(row, floats_at(chips.now, (2 * s + 1) * chips.cell_count + cell, n))
            product[r, i] = line * unit
