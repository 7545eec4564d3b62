"""The loops of the CPU backend. Each call runs in one thread, without the interpreter's lock.

The functions imported from `scalars.hooks` and the constants below are what `build.load` replaces with a device's
own: as it stands this module is the ideal device with linear units.

Arrays of a whole network come as one flat buffer (see `noisysim.layered`); `table` says where each layer lies in it.
"""

import numpy as np
from numba import njit

from noisysim.scalars.activations import linear as activation
from noisysim.scalars.activations import linear_slope as activation_slope
from noisysim.scalars.hooks import adc, cell_std, dac, program, readout
from noisysim.scalars.noise import normal_pair, philox, uniform

# Properties of the device's hooks: dead branches are compiled away.
HAS_DAC = False
HAS_ADC = False
HAS_CELL_STD = False
USES_NORMAL = False
USES_UNIFORM = False

CELL_BLOCK = 1024  # cells that are written together, with one counter of write noise

# Columns of `table`, one row a layer.
N_IN, N_OUT, FIRST_TILE, TILES, INPUTS_AT, ACTIVITIES_AT, CELLS_AT, ROTATION_AT = range(8)
# Columns of `tiles`, one row a tile: the array columns it holds, and where its weights start.
TILE_FROM, TILE_TO, TILE_AT = range(3)
# What a drive adds, where: last axis of `lies`.
ON_LINE, ON_OUTPUT, ON_WEIGHTS = range(3)
# Kinds of noise stream: the top bits of a counter's last word.
NORMAL_STREAM, UNIFORM_STREAM, WRITE_STREAM, OWN_STREAM = range(4)


@njit(cache=True, nogil=True, error_model="numpy")
def with_range(d, full_scale):
    """The device's numbers with the ADC range of one tile in them; replaced for devices that have one."""
    return d


@njit(cache=True, nogil=True, error_model="numpy")
def stream_word(kind, layer, tile):
    """The last counter word: which kind of noise, where on the chip."""
    return np.uint32((kind << 28) | (layer << 16) | tile)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_bits(b0, b1, b2, b3, sample, number, stream, k0, k1):
    """Philox over the unit counter: word w of counter i goes to row w, column i."""
    for i in range(b0.size):
        r0, r1, r2, r3 = philox(np.uint32(i), sample, number, stream, k0, k1)
        b0[i] = r0
        b1[i] = r1
        b2[i] = r2
        b3[i] = r3


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def fill_pairs(b0, b1, z0, z1):
    """Box-Muller over two rows of bits."""
    for i in range(b0.size):
        first, second = normal_pair(b0[i], b1[i])
        z0[i] = first
        z1[i] = second


@njit(cache=True, nogil=True, error_model="numpy")
def fill_normals(z, bits, n, sample, number, stream, k0, k1):
    """N(0, 1) draws of units 0..n-1 into z[:n]; unit u is word u // q of counter u % q, q = ceil(n / 4)."""
    q = (n + 3) // 4
    b0, b1, b2, b3 = bits[:q], bits[q : 2 * q], bits[2 * q : 3 * q], bits[3 * q : 4 * q]
    fill_bits(b0, b1, b2, b3, np.uint32(sample), np.uint32(number), stream, k0, k1)
    fill_pairs(b0, b1, z[:q], z[q : 2 * q])
    fill_pairs(b2, b3, z[2 * q : 3 * q], z[3 * q : 4 * q])


@njit(cache=True, nogil=True, error_model="numpy")
def fill_uniforms(u, bits, n, sample, number, stream, k0, k1):
    """Draws in (0, 1) of units 0..n-1 into u[:n], laid out as in `fill_normals`."""
    q = (n + 3) // 4
    b0, b1, b2, b3 = bits[:q], bits[q : 2 * q], bits[2 * q : 3 * q], bits[3 * q : 4 * q]
    fill_bits(b0, b1, b2, b3, np.uint32(sample), np.uint32(number), stream, k0, k1)
    for i in range(n):
        u[i] = uniform(bits[i])


@njit(cache=True, nogil=True, error_model="numpy")
def uniforms(out, bound, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with draws between -bound and bound, laid out as in `normals`."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    u, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for r in range(rows):
        fill_uniforms(u, bits, n, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = bound * (np.float32(2.0) * u[j] - np.float32(1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def normals(out, sigma, first_sample, number, stream, k0, k1):
    """Fill a (rows, n) array with N(0, sigma^2); row r is the draws of sample first_sample + r."""
    rows, n = out.shape
    padded = 4 * ((n + 3) // 4)
    z, bits = np.empty(padded, np.float32), np.empty(padded, np.uint32)
    for r in range(rows):
        fill_normals(z, bits, n, first_sample + r, number, stream, k0, k1)
        for j in range(n):
            out[r, j] = sigma * z[j]


@njit(cache=True, nogil=True, error_model="numpy")
def largest(row):
    """max |v| of a float32 row; compared as integers, which vectorises and lets NaN win."""
    top = np.int32(0)
    for j in range(row.size):
        top = max(top, np.int32(np.float32(row[j]).view(np.int32) & np.int32(0x7FFFFFFF)))
    return np.int32(top).view(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def drive_row(source, target, full_scale, d):
    """What the DAC makes of one row of inputs; full scale 0 scales to the row's own largest value."""
    n = source.size
    if HAS_DAC:
        scale = full_scale if full_scale > 0 else largest(source)
        if scale > 0:
            inverse = np.float32(1.0) / scale
            for j in range(n):
                target[j] = np.float32(dac(source[j] * inverse, d)) * scale
            return
    for j in range(n):
        target[j] = source[j]


@njit(cache=True, nogil=True, error_model="numpy")
def drive_rows(source, inputs, rotation, rotated, full_scale, d):
    """Inputs of a layer's array: decorrelate, convert, append the bias line where there is one."""
    rows, n = source.shape
    line = source
    if rotation.size > 0:
        multiply(source, rotation, rotated)
        line = rotated
    for r in range(rows):
        drive_row(line[r], inputs[r, :n], full_scale, d)
        for j in range(n, inputs.shape[1]):
            inputs[r, j] = np.float32(1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def multiply(x, weights, out):
    """out = x weights^T: one BLAS call; a single row is a matrix-vector product."""
    if x.shape[0] == 1:
        np.dot(weights, x[0], out[0])
    else:
        np.dot(x, weights.T, out)


@njit(cache=True, nogil=True, error_model="numpy")
def tile_product(inputs, start, stop, weights, variance, part, product, energy):
    """Line currents of one tile, and the variance its cells add to them."""
    rows = inputs.shape[0]
    narrow = start > 0 or stop < inputs.shape[1]
    x = inputs
    if narrow:
        x = part[: rows * (stop - start)].reshape((rows, stop - start))
        for r in range(rows):
            for j in range(stop - start):
                x[r, j] = inputs[r, start + j]
    multiply(x, weights, product)
    if HAS_CELL_STD and variance.size > 0:
        square = part[: rows * (stop - start)].reshape((rows, stop - start))
        for r in range(rows):
            for j in range(stop - start):
                square[r, j] = x[r, j] * x[r, j]
        multiply(square, variance, energy)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def read_row(line, energy, noisy, z, u, convert, out, d):
    """Read noise and ADC of one row of lines."""
    for j in range(line.size):
        e = energy[j] if noisy else np.float32(0.0)
        zj = z[j] if USES_NORMAL else np.float32(0.0)
        uj = u[j] if USES_UNIFORM else np.float32(0.0)
        out[j] = np.float32(readout(line[j], e, zj, uj, d))
    if HAS_ADC and convert:
        for j in range(line.size):
            out[j] = np.float32(adc(out[j], d))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def read_rows(
    product, energy, perturbation, digital, activities, accumulate, noise, where, convert, z, u, bits, line, d
):
    """Digitise one tile's lines into `activities` (added to it from the second tile on); returns max |value|."""
    rows, n = product.shape
    noisy = HAS_CELL_STD and energy.size > 0
    first_sample, number, layer, tile, k0, k1 = noise
    top = np.float32(0.0)
    value = line[:n]
    mixed = line[n : 2 * n]
    for r in range(rows):
        sample = first_sample + where + r
        if USES_NORMAL:
            fill_normals(z, bits, n, sample, number, stream_word(NORMAL_STREAM, layer, tile), k0, k1)
        if USES_UNIFORM:
            fill_uniforms(u, bits, n, sample, number, stream_word(UNIFORM_STREAM, layer, tile), k0, k1)
        source = product[r]
        if perturbation.size > 0 and not digital and not accumulate:
            for j in range(n):
                mixed[j] = product[r, j] + perturbation[where + r, j]
            source = mixed
        read_row(source, energy[r] if noisy else source, noisy, z, u, convert, value, d)
        top = max(top, largest(value))
        if accumulate:
            for j in range(n):
                activities[r, j] += value[j]
        else:
            for j in range(n):
                activities[r, j] = value[j]
    return top


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def activate(activities, out):
    """Hidden units' outputs."""
    for r in range(activities.shape[0]):
        for j in range(activities.shape[1]):
            out[r, j] = np.float32(activation(activities[r, j]))


@njit(cache=True, nogil=True, error_model="numpy")
def view(flat, start, columns, first, last):
    """Rows first..last of the array of so many columns that starts at `start`."""
    return flat[start + first * columns : start + last * columns].reshape((last - first, columns))


@njit(cache=True, nogil=True, error_model="numpy")
def inputs_at(table, layer, p, batch):
    """Where pass p's inputs of a layer lie: the first layer's once for all passes, then the others' pass by pass."""
    last = table.shape[0] - 1
    others = table[last, INPUTS_AT] + table[last, N_IN] - table[0, N_IN]
    return batch * (table[layer, INPUTS_AT] + (p * others if layer > 0 else 0))


@njit(cache=True, nogil=True, error_model="numpy")
def drive_layer(layer, x, span, chip, passes, scratch, d):
    """What a layer's arrays are driven with in every pass: activate, decorrelate, convert."""
    table, _, _, _, rotations, _, dac_range = chip
    inputs, activities, perturbations, lies, fork, _, _, _ = passes
    x_buffer, rotated_buffer = scratch[0], scratch[1][0]  # products come later: their room is free
    first, last = span
    rows, batch, n_line = last - first, x.shape[0], table[layer, N_IN]
    n_units = x.shape[1] if layer == 0 else table[layer - 1, N_OUT]
    rotation = rotations[:0].reshape((0, 0))
    if rotations.size > 0:
        at = table[layer, ROTATION_AT]
        rotation = rotations[at : at + n_units * n_units].reshape((n_units, n_units))
    for p in range(activities.shape[0] if layer > 0 else 1):
        driven = view(inputs, inputs_at(table, layer, p, batch), n_line, first, last)
        if p > 0 and layer <= fork[p]:
            driven[:] = view(inputs, inputs_at(table, layer, 0, batch), n_line, first, last)
            continue
        source = x[first:last]
        if layer > 0:
            before = view(activities[p], batch * table[layer - 1, ACTIVITIES_AT], n_units, first, last)
            source = x_buffer[: rows * n_units].reshape((rows, n_units))
            activate(before, source)
            lie = lies[p, layer - 1, ON_OUTPUT]
            if lie >= 0:
                source += view(perturbations, lie, n_units, first, last)
        rotated = rotated_buffer[: rows * n_units].reshape((rows, n_units))
        drive_rows(source, driven, rotation, rotated, dac_range, d)


@njit(cache=True, nogil=True, error_model="numpy")
def read_tile(layer, k, batch, span, chip, passes, noise, scratch, d):
    """Read the k-th tile of a layer in every pass."""
    table, tiles, weights, variances, _, ranges, _ = chip
    inputs, activities, perturbations, lies, fork, digital, convert, peaks = passes
    first_sample, first_pass, k0, k1 = noise
    x_buffer, product_buffer, energy_buffer, z, u, bits, line = scratch
    first, last = span
    rows, n_out, n_line = last - first, table[layer, N_OUT], table[layer, N_IN]
    nothing = perturbations[:0].reshape((0, 0))
    tile = table[layer, FIRST_TILE] + k
    start, stop, at = tiles[tile, TILE_FROM], tiles[tile, TILE_TO], tiles[tile, TILE_AT]
    array = weights[at : at + n_out * (stop - start)].reshape((n_out, stop - start))
    variance = nothing
    if variances.size > 0:
        variance = variances[at : at + n_out * (stop - start)].reshape((n_out, stop - start))
    here = with_range(d, ranges[tile])
    for p in range(activities.shape[0]):
        read = view(activities[p], batch * table[layer, ACTIVITIES_AT], n_out, first, last)
        if p > 0 and layer < fork[p]:
            read[:] = view(activities[0], batch * table[layer, ACTIVITIES_AT], n_out, first, last)
            continue
        apart = p == 0 or layer > fork[p]
        side = 1 if apart and p > 0 and product_buffer.shape[0] > 1 else 0
        product = product_buffer[side, : rows * n_out].reshape((rows, n_out))
        energy = nothing
        if variance.size > 0:
            energy = energy_buffer[side, : rows * n_out].reshape((rows, n_out))
        if apart:
            driven = view(inputs, inputs_at(table, layer, p, batch), n_line, first, last)
            tile_product(driven, start, stop, array, variance, x_buffer, product, energy)
        perturbation, lie = nothing, lies[p, layer, ON_LINE]
        if lie >= 0:
            perturbation = perturbations[lie : lie + batch * n_out].reshape((batch, n_out))
        extra = lies[p, layer, ON_WEIGHTS]
        if extra >= 0 and k == 0:
            driven = view(inputs, inputs_at(table, layer, p, batch), n_line, first, last)
            beside = perturbations[extra : extra + n_out * n_line].reshape((n_out, n_line))
            multiply(driven, beside, view(perturbations, lie, n_out, first, last))
        counter = (first_sample, first_pass + p, layer, k, k0, k1)
        top = read_rows(
            product, energy, perturbation, digital, read, k > 0, counter, first, convert, z, u, bits, line, here
        )  # fmt: skip
        peaks[tile] = max(peaks[tile], top)
        if digital and lie >= 0 and k == table[layer, TILES] - 1:
            read += perturbation[first:last]


@njit(cache=True, nogil=True, error_model="numpy")
def forward(x, span, chip, passes, noise, scratch, d):
    """Rows span = (first, last) of every pass, through all layers.

    Parameters
    ----------
    x : (batch, n_in) float32
    span : (int, int)
        Rows of the batch to do.
    chip : tuple
        table, tiles, weights, variances, rotations, ranges, dac_range: the network as it stands.
    passes : tuple
        inputs, flat (see `inputs_at`), and activities, (passes, flat); what the drives add, flat, and where each part
        lies, (passes, layers, 3), -1 for none: to lines, to hidden units' outputs, to weights (the line's
        part is then room for what they amount to); the layer at which each pass parts from pass 0; whether the
        perturbation enters after the ADC; whether the ADC converts; peaks (tiles,), raised to the largest
        values read.
    noise : tuple
        first sample, first pass, key.
    scratch : tuple
        Work arrays for one block of rows.
    d : NamedTuple
        The device's numbers, float32.
    """
    table = chip[0]
    for layer in range(table.shape[0]):
        drive_layer(layer, x, span, chip, passes, scratch, d)
        for k in range(table[layer, TILES]):
            read_tile(layer, k, x.shape[0], span, chip, passes, noise, scratch, d)


@njit(cache=True, nogil=True, error_model="numpy")
def add_weights(change, table, tiles, weights):
    """Exact write: add a change to every weight."""
    for layer in range(table.shape[0]):
        n_in, n_out, at = table[layer, N_IN], table[layer, N_OUT], table[layer, CELLS_AT]
        for tile in range(table[layer, FIRST_TILE], table[layer, FIRST_TILE] + table[layer, TILES]):
            start, stop, to = tiles[tile, TILE_FROM], tiles[tile, TILE_TO], tiles[tile, TILE_AT]
            for i in range(n_out):
                row = weights[to + i * (stop - start) : to + (i + 1) * (stop - start)]
                row += change[at + i * n_in + start : at + i * n_in + stop]
    return change.size


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def retarget(change, target, wanted, moved, pair, d):
    """New targets of a block of weights, and which cells they move to another level; returns how many.

    `moved` gets 1 for a pair's positive cell, 2 for its negative one, 3 for both. The count is as wide as the values
    compared, or the loop would not vectorise.
    """
    n = change.size
    g_min, span, scale = pair
    zero, one = np.float32(0.0), np.float32(1.0)
    rest = np.float32(program(g_min, zero, d))
    written = np.int32(0)
    for j in range(n):
        wanted[j] = min(max(target[j] + change[j] * scale, -one), one)
    for j in range(n):
        old = np.float32(program(g_min + span * abs(target[j]), zero, d))
        new = np.float32(program(g_min + span * abs(wanted[j]), zero, d))
        plus = (old if target[j] > zero else rest) != (new if wanted[j] > zero else rest)
        minus = (rest if target[j] > zero else old) != (rest if wanted[j] > zero else new)
        moved[j] = np.int32(plus) + np.int32(2) * np.int32(minus)
        written += np.int32(plus) + np.int32(minus)
    for j in range(n):
        target[j] = wanted[j]
    return written


@njit(cache=True, nogil=True, error_model="numpy")
def unit_normal(u, n, sample, number, stream, k0, k1):
    """The draw that `fill_normals` gives unit u of n."""
    q = (n + 3) // 4
    r0, r1, r2, r3 = philox(np.uint32(u % q), np.uint32(sample), np.uint32(number), stream, k0, k1)
    first = u < 2 * q
    z0, z1 = normal_pair(r0 if first else r2, r1 if first else r3)
    return z1 if (u // q) % 2 else z0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def write_side(cells, target, side, moved, every, pair, z, d):
    """Write those cells of one side (0 positive, 1 negative) of a block's pairs that moved."""
    g_min, span, _ = pair
    zero, sign, bit = np.float32(0.0), np.float32(1 - 2 * side), np.int32(1 + side)
    for j in range(cells.size):
        goal = g_min + span * max(sign * target[j], zero)
        new = max(np.float32(program(goal, z[j], d)), zero)
        cells[j] = new if every or (moved[j] & bit) != 0 else cells[j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def read_variance(plus, minus, unit, d):
    """Variance of one read of a pair, in weight units."""
    s0, s1 = np.float32(cell_std(plus, d)), np.float32(cell_std(minus, d))
    return (s0 * s0 + s1 * s1) * unit * unit


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def effective(plus, minus, unit, weights, variances, d):
    """What pairs of cells amount to: weights, and the variances of one read."""
    for j in range(plus.size):
        weights[j] = (plus[j] - minus[j]) * unit
    if HAS_CELL_STD and variances.size > 0:
        for j in range(plus.size):
            variances[j] = read_variance(plus[j], minus[j], unit, d)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def write_few(pairs, at, first, place, moved, count, pair, counter, weights, variances, d):
    """Write the cells that moved, one by one: `count` cells of the block that starts `first` into its layer at `at`."""
    g_min, span, scale = pair
    block, number, stream, k0, k1 = counter
    zero, unit = np.float32(0.0), np.float32(1.0) / (scale * span)
    for j in range(count):
        if moved[j] == 0:
            continue
        cell = at + first + j
        for side in range(2):
            if moved[j] & (1 + side):
                goal = g_min + span * max(pairs[0, cell] if side == 0 else -pairs[0, cell], zero)
                z = unit_normal(side * CELL_BLOCK + j, 2 * CELL_BLOCK, block, number, stream, k0, k1)
                pairs[1 + side, cell] = max(np.float32(program(goal, z, d)), zero)
        to = place_of(first + j, place)
        weights[to] = (pairs[1, cell] - pairs[2, cell]) * unit
        if HAS_CELL_STD and variances.size > 0:
            variances[to] = read_variance(pairs[1, cell], pairs[2, cell], unit, d)


@njit(cache=True, nogil=True, error_model="numpy")
def place_of(cell, place):
    """Where the weight of a layer's cell (row-major) lies among its tiles."""
    layer, table, tiles = place
    n_in = table[layer, N_IN]
    i, j = cell // n_in, cell % n_in
    tile = table[layer, FIRST_TILE]
    while j >= tiles[tile, TILE_TO]:
        tile += 1
    width = tiles[tile, TILE_TO] - tiles[tile, TILE_FROM]
    return tiles[tile, TILE_AT] + i * width + j - tiles[tile, TILE_FROM]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def refresh(pairs, at, first, count, place, unit, weights, variances, d):
    """Bring the weights of a block of cells up to date, in runs that lie together."""
    layer, table, tiles = place
    n_in, n_tiles = table[layer, N_IN], table[layer, TILES]
    done = first
    while done < first + count:
        stop = first + count
        if n_tiles > 1:
            tile, row = table[layer, FIRST_TILE], done // n_in
            while done % n_in >= tiles[tile, TILE_TO]:
                tile += 1
            stop = min(stop, row * n_in + tiles[tile, TILE_TO])
        to = place_of(done, place)
        run, where = slice(at + done, at + stop), slice(to, to + stop - done)
        effective(pairs[1, run], pairs[2, run], unit, weights[where], variances[where], d)
        done = stop


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def write_cells(change, every, share, table, tiles, pairs, scales, number, k0, k1, weights, variances, g_min, span, d):
    """Write a change of every weight to differential conductance pairs; returns cells written.

    A weight w is (g+ - g-) / (span scale): the pair's positive cell carries w > 0, the negative one w < 0, the other
    rests at g_min. `pairs` is (3, cells): the controller's digital targets in units of the full span, g+, g-. A cell
    is rewritten when a noiseless write of its new target differs from one of the old. `share` is (k, n): every n-th
    block of cells, from the k-th.
    """
    turn, turns = share
    z, bits = np.empty(2 * CELL_BLOCK, np.float32), np.empty(2 * CELL_BLOCK, np.uint32)
    wanted, moved = np.empty(CELL_BLOCK, np.float32), np.empty(CELL_BLOCK, np.int32)
    total = 0
    for layer in range(table.shape[0]):
        at, cells = table[layer, CELLS_AT], table[layer, N_IN] * table[layer, N_OUT]
        pair = (g_min, span, scales[layer])
        place = (layer, table, tiles)
        unit = np.float32(1.0) / (scales[layer] * span)
        for first in range(0, cells, CELL_BLOCK):
            if (first // CELL_BLOCK) % turns != turn:
                continue
            n = min(CELL_BLOCK, cells - first)
            a, b = at + first, at + first + n
            written = retarget(change[a:b], pairs[0, a:b], wanted, moved, pair, d)
            if every:
                written = 2 * n
            total += written
            block = first // CELL_BLOCK
            stream = stream_word(WRITE_STREAM, layer, 0)
            if 0 < written < n // 8:
                counter = (block, number, stream, k0, k1)
                write_few(pairs, at, first, place, moved, n, pair, counter, weights, variances, d)
            elif written > 0:
                fill_normals(z, bits, 2 * CELL_BLOCK, block, number, stream, k0, k1)
                write_side(pairs[1, a:b], pairs[0, a:b], 0, moved, every, pair, z[:CELL_BLOCK], d)
                write_side(pairs[2, a:b], pairs[0, a:b], 1, moved, every, pair, z[CELL_BLOCK:], d)
                refresh(pairs, at, first, n, place, unit, weights, variances, d)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def follow_peaks(ranges, peaks):
    """Auto-ranging: widen a converter that saturated by a quarter, narrow one that is half idle by one per cent."""
    for tile in range(ranges.size):
        if peaks[tile] >= ranges[tile] * np.float32(0.999):
            ranges[tile] *= np.float32(1.25)
        elif 0 < peaks[tile] < ranges[tile] * np.float32(0.5):
            ranges[tile] *= np.float32(0.99)
        peaks[tile] = 0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def scale_by_slope(signal, activities):
    """signal *= f'(activities), in place."""
    for i in range(signal.size):
        signal[i] *= np.float32(activation_slope(activities[i]))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def activate_all(activities, out):
    """out = f(activities), flat."""
    for i in range(out.size):
        out[i] = np.float32(activation(activities[i]))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def squared_distances(activities, baseline, widths, first, last):
    """sum over all layers of |activities - baseline|^2, one value a sample, (last - first,) float64."""
    batch = activities.size // widths.sum()
    out = np.zeros(last - first)
    at = 0
    for width in widths:
        for r in range(first, last):
            total = np.float32(0.0)
            here = at + r * width
            for j in range(width):
                difference = activities[here + j] - baseline[here + j]
                total += difference * difference
            out[r - first] += total
        at += batch * width
    return out


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def pack(packed, factors, activities, baseline, share, first, fresh):
    """packed (+)= share factors[b] (activities - baseline)[b, first:first + width]; `baseline` may be empty."""
    batch, width = packed.shape
    for b in range(batch):
        factor = np.float32(share * factors[b])
        row, source = packed[b], activities[b, first : first + width]
        if baseline.size > 0:
            rest = baseline[b, first : first + width]
            if fresh:
                for i in range(width):
                    row[i] = factor * (source[i] - rest[i])
            else:
                for i in range(width):
                    row[i] += factor * (source[i] - rest[i])
        elif fresh:
            for i in range(width):
                row[i] = factor * source[i]
        else:
            for i in range(width):
                row[i] += factor * source[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def outer_packed(packed, inputs, out):
    """out = packed^T inputs; a few samples as sums of rank-one terms."""
    if packed.shape[0] > 4:
        np.dot(packed.T, inputs, out)
        return
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = packed[0, i] * inputs[0, j]
        for b in range(1, packed.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] += packed[b, i] * inputs[b, j]


@njit(cache=True, nogil=True, error_model="numpy")
def outer_layers(factors, activities, baseline, inputs, out, n_ins, n_outs, batch):
    """The mean outer product of every layer for one term; factors are (1 or layers, batch)."""
    a, b, c = 0, 0, 0
    share = 1.0 / batch
    nothing = baseline[:0].reshape((0, 0))
    for layer in range(n_ins.size):
        n_in, n_out = n_ins[layer], n_outs[layer]
        packed = np.empty((batch, n_out), np.float32)
        source = activities[a : a + batch * n_out].reshape((batch, n_out))
        rest = baseline[a : a + batch * n_out].reshape((batch, n_out)) if baseline.size > 0 else nothing
        pack(packed, factors[layer if factors.shape[0] > 1 else 0], source, rest, share, 0, True)
        x = inputs[b : b + batch * n_in].reshape((batch, n_in))
        outer_packed(packed, x, out[c : c + n_in * n_out].reshape((n_out, n_in)))
        a += batch * n_out
        b += batch * n_in
        c += n_in * n_out


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def decorrelate_few(rotations, inputs, units, columns, batch, rate):
    """R -= rate (<x x^T> - diag<x^2>) R, all layers, by rank-one updates: for batches of a few samples.

    `units` are those that R turns, `columns` those of the inputs (one more where there is a bias).
    """
    r_at, x_at = 0, 0
    share = np.float32(rate / batch)
    for layer in range(units.size):
        n, width = units[layer], columns[layer]
        rotation = rotations[r_at : r_at + n * n].reshape((n, n))
        x = inputs[x_at : x_at + batch * width].reshape((batch, width))
        turned = np.zeros((batch, n), np.float32)
        for b in range(batch):
            for i in range(n):
                for j in range(n):
                    turned[b, j] += x[b, i] * rotation[i, j]
        for i in range(n):
            own = np.float32(0.0)
            for b in range(batch):
                own += x[b, i] * x[b, i]
            for j in range(n):
                rotation[i, j] += share * own * rotation[i, j]
            for b in range(batch):
                factor = share * x[b, i]
                for j in range(n):
                    rotation[i, j] -= factor * turned[b, j]
        r_at += n * n
        x_at += batch * width


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def adam(gradient, first, second, rate, beta1, beta2, epsilon, correction1, correction2):
    """Adam's moments, in place, and in the gradient's place the change asked for (Kingma & Ba 2015, Algorithm 1)."""
    for i in range(gradient.size):
        g = gradient[i]
        m = beta1 * first[i] + (np.float32(1.0) - beta1) * g
        v = beta2 * second[i] + (np.float32(1.0) - beta2) * g * g
        first[i] = m
        second[i] = v
        gradient[i] = -rate * (m * correction1) / (np.sqrt(v * correction2) + epsilon)


@njit(cache=True, nogil=True, error_model="numpy")
def passed_share(activities, baseline):
    """Share of the values that differ between two passes."""
    count = 0
    for i in range(activities.size):
        count += int(activities[i] != baseline[i])
    return count / max(activities.size, 1)
