"""Loops of a pass: what arrays are driven with, what their lines carry, what the periphery reads of them.

As in `noisysim.compute.cpu.loops.passes`, but for products: these are cuBLAS's. Rows are those of all chips, chip after
chip, pass after pass. What observations hold lies in flat buffers: of the first of some passes at `at`, of each further
one `step` values behind.
"""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.blocks import largest
from noisysim.compute.cuda.kernels.draws import four_normals, four_uniforms, stream_word
from noisysim.compute.cuda.kernels.target import ROW_THREADS, device, kernel, larger
from noisysim.compute.layout import (
    CELL_STREAM,
    CELL_UNIFORM_STREAM,
    NORMAL_STREAM,
    STATE_STREAM,
    UNIFORM_STREAM,
)
from noisysim.compute.rules.device import Numbers as Numbers
from noisysim.compute.rules.device import activation, with_cell, with_column, with_range, with_row
from noisysim.compute.rules.flags import (  # fmt: skip
    CELL_NORMAL,
    CELL_UNIFORM,
    COMPENSATED,
    HAS_ADC,
    HAS_CELL_STD,
    HAS_CURRENT,
    HAS_DAC,
    HAS_JUMP,
    PAIRED,
    SCALED,
    USES_NORMAL,
    USES_UNIFORM,
)
from noisysim.compute.rules.flags import HAS_READ_CELL as HAS_READ_CELL
from noisysim.compute.rules.flags import OWN_CELLS as OWN_CELLS
from noisysim.compute.rules.flags import OWN_COLUMNS as OWN_COLUMNS
from noisysim.compute.rules.flags import OWN_ROWS as OWN_ROWS
from noisysim.compute.rules.ranges import LEAST, followed
from noisysim.devices.physics.ideal import adc, current, dac, jump, read_cell, readout

BEFORE, AFTER = 1, 2  # where a perturbation is added to lines: at the line, or behind the ADC; 0 for none


@device
def parted(k, n):
    """k // n and k % n of numbers below 2^32: 64 bits take a GPU many times as long, and more registers."""
    whole = np.uint32(k) // np.uint32(n)
    return np.int64(whole), np.int64(np.uint32(k) - whole * np.uint32(n))


@device
def chosen(w, v0, v1, v2, v3):
    """The w-th of the four values of a counter."""
    return v0 if w == 0 else v1 if w == 1 else v2 if w == 2 else v3


# --- what drives arrays ----------------------------------------------------------------------------------------------


@kernel
def give(values, at, step, passes, norms, norm_at, units, kind, mask, drops, extra, moved, chips, out):
    """What hidden units give on: lines normalised (from `norm_at` on, below 0 not at all), through the activation
    function, some dropped, moved by an output perturbation."""
    n, rows = out.shape[1], out.shape[0] // passes
    samples = rows // chips
    for k in range(cuda.grid(1), out.shape[0] * n, cuda.gridsize(1)):
        place, j = parted(k, n)
        p, r = parted(place, rows)
        value = values[at + p * step + r * n + j]
        if norm_at >= 0:
            unit = norm_at + parted(r, samples)[0] * units + parted(j, units)[1]
            value = (value - norms[0, unit]) * norms[1, unit]
        value = np.float32(activation(value, kind))
        if drops:
            value *= mask[r, j]
        if moved:
            value += extra[r, j]
        out[place, j] = value


@kernel
def drive(source, full_scale, own, own_at, chips, passes, driven, squared, squares, kept, at, step, keeps, d):
    """What the DAC makes of rows of inputs, then the bias line, if any; a block takes a row.

    A full scale of 0 stands for a row's own. With `squared` the squares of what drives go into `squares`; what drives
    the first `keeps` passes into `kept` as well.
    """
    tops = cuda.shared.array(ROW_THREADS, np.int32)
    n, rows = driven.shape[1], driven.shape[0] // passes
    for r in range(cuda.blockIdx.x, driven.shape[0], cuda.gridDim.x):
        scale = full_scale
        if HAS_DAC and full_scale <= 0:
            scale = largest(source[r], tops)
        inverse = np.float32(1.0) / scale if scale >= LEAST else np.float32(0.0)
        p, row = parted(r, rows)
        first, to = own_at + parted(row, rows // chips)[0] * n, at + p * step + row * n
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            value = np.float32(1.0)
            if j < source.shape[1]:
                value = source[r, j]
                if HAS_DAC and scale >= LEAST:
                    value = np.float32(dac(value * inverse, with_row(d, own, first + j))) * scale
            driven[r, j] = value
            if squared:
                squares[r, j] = value * value
            if p < keeps:
                kept[to + j] = value


@kernel
def cell_inputs(inputs, start, full_scale, ranges, tile, passes, x, d):
    """What drives the cells of one tile: its part of a layer's inputs, bent by the cells' I-V curve; as in `drive`."""
    tops = cuda.shared.array(ROW_THREADS, np.int32)
    total, n = x.shape
    rows = total // passes
    own_rows = rows // ranges.shape[0]
    for r in range(cuda.blockIdx.x, total, cuda.gridDim.x):
        scale = full_scale
        if HAS_CURRENT and full_scale <= 0:
            scale = largest(inputs[r], tops)
        inverse = np.float32(1.0) / scale if scale >= LEAST else np.float32(0.0)
        here = with_range(d, ranges[parted(parted(r, rows)[1], own_rows)[0], tile])
        for j in range(cuda.threadIdx.x, n, cuda.blockDim.x):
            value = inputs[r, start + j]
            if HAS_CURRENT:
                value = np.float32(current(value * inverse, here)) * scale
            x[r, j] = value


# --- cells that are read one by one ----------------------------------------------------------------------------------

# A tile's cells, in each side's row of the cells of all chips: chip m's j-th of line i is at
# at + m count + i width + j, n of a line belong to the tile. Sides follow each other, `total` cells each; the tile's
# positive one is `side`, its negative one the next. Times are rows of a chip: first, first + 1, ...; `sample` is the
# number of its row 0.


@device
def moved_on(states, at, own, u, seconds, d):
    """The discrete state of a cell after some time."""
    state = np.uint8(np.float32(jump(np.float32(states[at]), u, seconds, with_cell(d, own, at))))
    states[at] = state
    return state


@kernel
def move_states(
    states, own, ranges, side, total, at, count, width, n, n_out, rows, first, waited, between, sample, number, layer,
    tile, tile_in_layer, keys, seen, d,
):  # fmt: skip
    """Discrete states of a tile's cells from row to row of a chip, into `seen` (chips rows, sides lines cells).

    `waited` seconds pass before the first row, `between` before each other.
    """
    q, sides = (n + 3) // 4, 2 if PAIRED else 1
    word = stream_word(STATE_STREAM, layer, tile_in_layer)
    for k in range(cuda.grid(1), keys.shape[0] * n_out * sides * q, cuda.gridsize(1)):
        line, c = parted(k, q)
        rest, s = parted(line, sides)
        chip, i = parted(rest, n_out)
        here = with_range(d, ranges[chip, tile])
        cells, to = (side + s) * total + at + chip * count + i * width, (s * n_out + i) * n
        for r in range(rows):
            seconds = waited if r == 0 else between
            u0, u1, u2, u3 = four_uniforms((2 * i + s) * q + c, sample + first + r, number, word, keys, chip)
            for w in range(4):
                j = w * q + c
                if j < n:
                    u = chosen(w, u0, u1, u2, u3)
                    seen[chip * rows + r, to + j] = moved_on(states, cells + j, own, u, seconds, here)


@device
def carried(x, row, j, now, at, seen, r, to, own, z, u, d):
    """What one cell adds to its line's current, as one read sees it."""
    if now[at] < 0:
        return np.float32(0.0)  # the line is cut
    s = np.float32(seen[r, to]) if HAS_JUMP else np.float32(0.0)
    return x[row, j] * np.float32(read_cell(now[at], s, z, u, with_cell(d, own, at)))


@device
def cell_normals(counter, sample, number, layer, tile, keys, chip):
    """N(0, 1) draws of four cells, where reads take any."""
    zero = np.float32(0.0)
    if CELL_NORMAL:
        return four_normals(counter, sample, number, stream_word(CELL_STREAM, layer, tile), keys, chip)
    return zero, zero, zero, zero


@device
def cell_uniforms(counter, sample, number, layer, tile, keys, chip):
    """Draws in (0, 1) of four cells, where reads take any."""
    zero = np.float32(0.0)
    if CELL_UNIFORM:
        return four_uniforms(counter, sample, number, stream_word(CELL_UNIFORM_STREAM, layer, tile), keys, chip)
    return zero, zero, zero, zero


@device
def reference(x, row, n, now, at):
    """What a fixed reference adds to a line's current."""
    current_in = np.float32(0.0)
    for j in range(n):
        current_in += x[row, j] * larger(now[at + j], np.float32(0.0))
    return current_in


@device
def read_side(x, row, n, base, now, at, seen, r, to, own, sample, number, layer, tile, keys, chip, d):
    """sum_j x_j G_j over the cells of one side of a line, each as one read sees it."""
    q, total = (n + 3) // 4, np.float32(0.0)
    for c in range(q):
        z0, z1, z2, z3 = cell_normals(base + c, sample, number, layer, tile, keys, chip)
        u0, u1, u2, u3 = cell_uniforms(base + c, sample, number, layer, tile, keys, chip)
        for w in range(4):
            j = w * q + c
            if j < n:
                z, u = chosen(w, z0, z1, z2, z3), chosen(w, u0, u1, u2, u3)
                total += carried(x, row, j, now, at + j, seen, r, to + j, own, z, u, d)
    return total


@kernel
def read_cells(
    x, now, own, seen, ranges, side, total, at, count, width, unit, rows, first, sample, steps, step, number, layer,
    tile, tile_in_layer, keys, product, d,
):  # fmt: skip
    """Line currents of one tile in some rows of every chip, every cell read by itself; `unit` is weight per µS.

    Rows are as in `read_lines`; `seen` has every step of a recurrent layer's samples.
    """
    n, n_out, chips = x.shape[1], product.shape[1], keys.shape[0]
    q = (n + 3) // 4
    for k in range(cuda.grid(1), chips * rows * n_out, cuda.gridsize(1)):
        r, i = parted(k, n_out)
        chip, place = parted(r, rows)
        row, when = chip * (x.shape[0] // chips) + first + place, (sample + first + place) * steps + step
        cells, here = side * total + at + chip * count + i * width, with_range(d, ranges[chip, tile])
        r = r * steps + step
        line = read_side(
            x, row, n, 2 * i * q, now, cells, seen, r, i * n, own, when, number, layer, tile_in_layer, keys, chip, here
        )
        cells += total
        if PAIRED:
            line -= read_side(
                x, row, n, (2 * i + 1) * q, now, cells, seen, r, (n_out + i) * n, own, when, number, layer,
                tile_in_layer, keys, chip, here,
            )  # fmt: skip
        else:
            line -= reference(x, row, n, now, cells)
        product[row, i] = line * unit


# --- what is read of lines -------------------------------------------------------------------------------------------


@device
def line_normals(counter, sample, number, layer, tile, keys, chip):
    """N(0, 1) draws of four lines, where reads take any."""
    zero = np.float32(0.0)
    if USES_NORMAL:
        return four_normals(counter, sample, number, stream_word(NORMAL_STREAM, layer, tile), keys, chip)
    return zero, zero, zero, zero


@device
def line_uniforms(counter, sample, number, layer, tile, keys, chip):
    """Draws in (0, 1) of four lines, where reads take any."""
    zero = np.float32(0.0)
    if USES_UNIFORM:
        return four_uniforms(counter, sample, number, stream_word(UNIFORM_STREAM, layer, tile), keys, chip)
    return zero, zero, zero, zero


@device
def read_line(value, noise, perturbation, add, convert, gain, scales, own, column, r, j, z, u, d):
    """Read noise and ADC of one line: its value, and the bits of |value| before gain and scale.

    They order as the values do, with NaN above all.
    """
    if add == BEFORE:
        share = np.float32(1.0) / gain if COMPENSATED else np.float32(1.0)
        at_line = share / scales[column] if SCALED else share
        value += at_line * perturbation[r, j]
    value = np.float32(readout(value, noise, z, u, d))
    if HAS_ADC and convert:
        value = np.float32(adc(value, with_column(d, own, column)))
    bits = np.float32(value).view(np.int32) & np.int32(0x7FFFFFFF)
    if COMPENSATED:
        value *= gain
    if SCALED:
        value *= scales[column]
    return value, np.int32(bits)


@kernel
def read_lines(
    product, energy, shared, perturbation, add, activities, at, between, passes, rows, accumulate, convert, ranges,
    gains, scales, peaks, tile, own, own_at, units, layer, tile_in_layer, first_sample, steps, step, number, keys,
    given, kind, d,
):  # fmt: skip
    """Digitise one tile's lines in some passes into `activities`, or add them to what is there; raises bits `peaks`.

    A row is a sample, `units` at each position; or of a recurrent layer one step of a sample, of `steps`. Each pass has
    its own `rows` of a product, or all have the same if these are `shared`; those of activities are `between` values
    apart. What hidden units give goes into `given`, unless `kind`, their activation function, is below 0.
    """
    n, samples = product.shape[1], rows // keys.shape[0]
    q = (n + 3) // 4
    for k in range(cuda.grid(1), passes * rows * q, cuda.gridsize(1)):
        place, i = parted(k, q)
        p, r = parted(place, rows)
        chip, sample = parted(r, samples)
        sample = (sample + first_sample) * steps + step
        here, gain = with_range(d, ranges[chip, tile]), gains[chip, tile]
        z0, z1, z2, z3 = line_normals(i, sample, number + p, layer, tile_in_layer, keys, chip)
        u0, u1, u2, u3 = line_uniforms(i, sample, number + p, layer, tile_in_layer, keys, chip)
        source, first, top, to = r if shared else place, own_at + chip * units, np.int32(0), at + p * between + r * n
        for w in range(4):
            j = w * q + i
            if j < n:
                noise = energy[source, j] if HAS_CELL_STD and energy.size == product.size else np.float32(0.0)
                z, u = chosen(w, z0, z1, z2, z3), chosen(w, u0, u1, u2, u3)
                value, bits = read_line(
                    product[source, j], noise, perturbation, add, convert, gain, scales, own,
                    first + parted(j, units)[1], r, j, z, u, here,
                )  # fmt: skip
                if accumulate:
                    value += activities[to + j]
                if add == AFTER:
                    value += perturbation[r, j]
                activities[to + j] = value
                if kind >= 0:
                    given[place, j] = np.float32(activation(value, kind))
                top = max(top, bits)
        if top > peaks[chip, tile]:  # seldom, once some have been read
            cuda.atomic.max(peaks, (chip, tile), top)


@kernel
def follow_peaks(ranges, peaks):
    """Auto-ranging: widen a converter that saturated by a quarter, narrow one that is half idle by one per cent."""
    for tile in range(cuda.grid(1), ranges.size, cuda.gridsize(1)):
        ranges[tile] = followed(ranges[tile], peaks[tile])
        peaks[tile] = np.float32(0.0)
