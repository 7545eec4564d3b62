"""What the periphery reads of a tile's lines: products with its weights, read noise, ADC."""

import numpy as np

from noisysim.compute.cpu.loops.draws import FILL, stream_word
from noisysim.compute.cpu.loops.driving import driven_in
from noisysim.compute.cpu.loops.records import MULTIPLY, NORMALS, PART_TYPES, READ_BY_CELL, READ_ROWS, UNIFORMS
from noisysim.compute.cpu.loops.rows import add, copy, largest, place
from noisysim.compute.cpu.row_types import CELL, CURRENT, HOOK_ROWS, READ, TYPES
from noisysim.compute.jit.compiling import bare
from noisysim.compute.jit.places import float_rows_at, floats_at, longs_at, words_at
from noisysim.compute.jit.views import function_at, part, view
from noisysim.compute.layout import (  # fmt: skip
    ACTIVITIES_AT,
    ADDED,
    FIRST_TILE,
    GEOMETRY,
    LINES,
    N_IN,
    N_OUT,
    NORMAL_STREAM,
    ON_LINE,
    ON_WEIGHTS,
    POSITIONS,
    TABLE,
    TILE,
    TILE_AT,
    TILE_COLUMNS,
    TILE_FROM,
    TILE_TO,
    TILES,
    UNIFORM_STREAM,
)
from noisysim.compute.rules.ranges import LEAST

current_row, read_row = TYPES[CURRENT].call, TYPES[READ].call
call_read_rows, call_read_by_cell = PART_TYPES[READ_ROWS].call, PART_TYPES[READ_BY_CELL].call
call_multiply = PART_TYPES[MULTIPLY].call
fill = FILL.call
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@bare(_nrt=True)
def cell_inputs(inputs, start, stop, chips, room):
    """What drives the cells of one tile: its part of a layer's inputs, bent by the cells' I-V curve."""
    current = function_at(chips.functions, CURRENT)
    if current == 0 and start == 0 and stop == inputs.shape[1]:
        return inputs
    x, width = view(room.part, 0, stop - start, inputs.shape[0]), chips.number_count
    for r in range(inputs.shape[0]):
        row, out = part(inputs[r], start, stop - start), x[r]
        scale = chips.dac_range
        if current != 0 and scale <= 0:
            scale = largest(inputs[r])
        if current != 0 and scale >= LEAST:
            current_row(current, (row, out, scale, floats_at(room.numbers, CURRENT * width, width)))
        else:
            for j in range(stop - start):
                out[j] = row[j]
    return x


@bare()
def carry(counter, inputs, first, p, stack, net, chips, call, room, product, energy):
    """What a tile's lines carry in pass p, and the variance that its cells add to a read: rows from number `first` on.

    Rows are samples at each position, `inputs` what drives the layer.
    """
    _, _, layer, k, _, _ = counter
    row = longs_at(net.table, layer * TABLE, TABLE)
    tile, n_out = longs_at(net.tiles, (row[FIRST_TILE] + k) * TILE, TILE), row[N_OUT]
    start, n = tile[TILE_FROM], tile[TILE_TO] - tile[TILE_FROM]
    at, x = place(tile[TILE_AT], n_out * n, stack), cell_inputs(inputs, start, tile[TILE_TO], chips, room)
    if function_at(chips.functions, CELL) != 0:
        reading = (counter, x, start, first, p, stack, net, chips, call, room, product)
        call_read_by_cell(function_at(net.parts, READ_BY_CELL), reading)
    else:
        array = view(chips.weights, at, n, n_out)
        call_multiply(function_at(net.parts, MULTIPLY), (x, array, product, room.turned))
    if chips.varied:
        square = view(room.part, 0, n, x.shape[0])
        for r in range(x.shape[0]):
            for j in range(n):
                square[r, j] = x[r, j] * x[r, j]
        variance = view(chips.variances, at, n, n_out)
        call_multiply(function_at(net.parts, MULTIPLY), (square, variance, energy, room.turned))


@bare(fastmath={"contract"})
def add_share(line, extra, share, scales, out):
    """out = line + share extra / scales; scales repeat, or there are none."""
    if scales.size == 0:
        for j in range(line.size):
            out[j] = line[j] + share * extra[j]
        return
    units = scales.size
    for first in range(0, line.size, units):
        source, more, to = part(line, first, units), part(extra, first, units), part(out, first, units)
        for j in range(units):
            to[j] = source[j] + share / scales[j] * more[j]


@bare(fastmath={"contract"})
def put_line(value, gain, scales, accumulate, out):
    """out (+)= gain scales value; scales repeat, or there are none."""
    if gain != ONE:
        for j in range(value.size):
            value[j] *= gain
    if scales.size > 0:
        units = scales.size
        for first in range(0, value.size, units):
            lines = part(value, first, units)
            for j in range(units):
                lines[j] *= scales[j]
    if accumulate:
        for j in range(value.size):
            out[j] += value[j]
    else:
        for j in range(value.size):
            out[j] = value[j]


@bare()
def read_rows(product, energy, extra, accumulate, counter, where, units, columns, gain, net, chips, call, room, out):
    """Digitise one tile's lines into `out` (added to it from the second tile on); returns max |value|.

    A row is a sample, `units` at each position, whose own values and scales start at `columns`. `gain` is what the
    periphery multiplies by to make up for drift; `extra`, what a drive adds to lines, comes out as it was asked for.
    """
    n, width = product.shape[1], chips.number_count
    first_sample, number, layer, tile, k0, k1 = counter
    has_own = chips.column_fields > 0
    at, count = columns if has_own else 0, units if has_own else 0
    own = float_rows_at(chips.columns_own, chips.column_fields, chips.column_count, at, count)
    scales = floats_at(chips.scales, columns if chips.scaled else 0, units if chips.scaled else 0)
    read, numbers = function_at(chips.functions, READ), floats_at(room.numbers, READ * width, width)
    value, mixed, padded = floats_at(room.line, 0, n), floats_at(room.mixed, 0, n), 4 * ((n + 3) // 4)
    z, u, bits = floats_at(room.z, 0, padded), floats_at(room.u, 0, padded), words_at(room.bits, 0, padded)
    normal, uniform = stream_word(NORMAL_STREAM, layer, tile), stream_word(UNIFORM_STREAM, layer, tile)
    top = ZERO
    for r in range(product.shape[0]):
        sample, source = first_sample + where + r, product[r]
        if chips.normal:
            fill(function_at(net.parts, NORMALS), (z, bits, n, 0, sample, number, normal, k0, k1))
        if chips.uniform:
            fill(function_at(net.parts, UNIFORMS), (u, bits, n, 0, sample, number, uniform, k0, k1))
        if extra.size > 0 and not accumulate:
            add_share(source, extra[where + r], ONE / gain, scales, mixed)
            source = mixed
        if read != 0:
            e = energy[r] if chips.varied else part(z, 0, 0)
            read_row(read, (source, e, z, u, units, call.convert, own, value, numbers))
            source = value
        most = largest(source)
        top = most if most > top else top
        put_line(source, gain, scales, accumulate, out[r])
    return top


@bare(_nrt=True)
def perturbation_of(layer, k, p, span, stack, net, call, room):
    """What pass p adds to a layer's lines, (samples, lines), or an empty array.

    Of a perturbation of weights it is what a second array beside the first gives: made before the first tile is read.
    """
    added = longs_at(call.places, (p * net.layers + layer) * ADDED, ADDED)
    at, extra, lines = added[ON_LINE], added[ON_WEIGHTS], longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)[LINES]
    if at < 0:
        return view(call.perturbations, 0, 0, 0)
    if extra >= 0 and k == 0:
        row = longs_at(net.table, layer * TABLE, TABLE)
        n_out, n_line = row[N_OUT], row[N_IN]
        driven = driven_in(layer, p, span, net, call, room)
        beside = view(call.perturbations, extra + stack[0] * n_out * n_line, n_line, n_out)
        made = view(call.perturbations, at + span[0] * lines, n_out, driven.shape[0])
        call_multiply(function_at(net.parts, MULTIPLY), (driven, beside, made, room.turned))
    return view(call.perturbations, at, lines, call.samples)


@bare()
def put_numbers(full_scale, chips, room):
    """The numbers that the device's rows read, with the ADC's full scale of one tile among them."""
    count = HOOK_ROWS * chips.number_count
    stated, numbers = floats_at(chips.numbers, 0, count), floats_at(room.numbers, 0, count)
    for k in range(count):
        numbers[k] = stated[k]
    range_at = longs_at(chips.range_at, 0, HOOK_ROWS)
    for row in range(HOOK_ROWS):
        if range_at[row] >= 0:
            numbers[row * chips.number_count + range_at[row]] = full_scale


@bare()
def read_tile(layer, k, span, stack, net, chips, call, room):
    """Read the k-th tile of a layer in every pass, of the chip `stack[0]` of `stack[1]`."""
    first, last = span
    row, g = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
    n_out, lines, count = row[N_OUT], g[LINES], last - first
    rows, lines_at, number = count * g[POSITIONS], call.samples * row[ACTIVITIES_AT], row[FIRST_TILE] + k
    tile, mine = longs_at(net.tiles, number * TILE, TILE), stack[0] * chips.tile_count + number
    columns, by_cell = place(tile[TILE_COLUMNS], n_out, stack), function_at(chips.functions, CELL) != 0
    gain = floats_at(chips.gains, mine, 1)[0] if chips.compensated else ONE
    put_numbers(floats_at(chips.ranges, mine, 1)[0], chips, room)
    first_sample, key = call.first_sample - stack[0] * (call.samples // stack[1]), words_at(chips.keys, 2 * stack[0], 2)
    peaks, nothing = floats_at(call.peaks, mine, 1), view(call.perturbations, 0, 0, 0)
    for p in range(call.passes):
        fork = longs_at(call.fork, p, 1)[0]
        read = view(call.activities, p * call.values + lines_at + first * lines, lines, last - first)
        if p > 0 and layer < fork:
            copy(view(call.activities, lines_at + first * lines, lines, last - first), read)
            continue
        apart = p == 0 or layer > fork or by_cell
        side = 1 if apart and p > 0 and room.sides > 1 else 0
        product = view(room.product, side * room.lines, lines, count)
        energy = view(room.energy, side * room.lines, lines, count)
        counter = (first_sample, call.first_pass + p, layer, k, key[0], key[1])
        if apart:
            flat, squares = view(product, 0, n_out, rows), view(energy, 0, n_out, rows)
            driven, first_row = driven_in(layer, p, span, net, call, room), first * g[POSITIONS]
            carry(counter, driven, first_row, p, stack, net, chips, call, room, flat, squares)
        extra = perturbation_of(layer, k, p, span, stack, net, call, room)
        at_line = nothing if call.digital else extra
        reading = (
            product, energy, at_line, k > 0, counter, first, n_out, columns, gain, net, chips, call, room, read,
        )  # fmt: skip
        top = call_read_rows(function_at(net.parts, READ_ROWS), reading)
        peaks[0] = top if top > peaks[0] else peaks[0]
        if call.digital and extra.size > 0 and k == row[TILES] - 1:
            add(view(extra, first * lines, lines, last - first), read)
