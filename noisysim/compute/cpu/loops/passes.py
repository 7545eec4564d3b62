"""Loops of a pass: what arrays are driven with, what their lines carry, what the periphery reads of them."""

import numpy as np

from noisysim.compute.cpu.loops.compiling import inner, loop
from noisysim.compute.cpu.loops.draws import (
    fill_normals,
    fill_normals_from,
    fill_uniforms,
    fill_uniforms_from,
    stream_word,
)
from noisysim.compute.cpu.loops.images import channels_last, pool, unfold
from noisysim.compute.layout import (  # fmt: skip
    ACTIVATION,
    ACTIVITIES_AT,
    CELL_STREAM,
    CELL_UNIFORM_STREAM,
    CELLS_AT,
    CHANNELS,
    FIRST_TILE,
    INPUTS_AT,
    KERNEL,
    LEAST_SCALE,
    LINES,
    MASK_AT,
    N_IN,
    N_OUT,
    NORM_AT,
    NORMAL_STREAM,
    ON_LINE,
    ON_OUTPUT,
    ON_WEIGHTS,
    OUTPUTS,
    POOL,
    POSITIONS,
    ROTATION_AT,
    ROWS_AT,
    STATE_STREAM,
    TILE_AT,
    TILE_COLUMNS,
    TILE_FROM,
    TILE_TO,
    TILES,
    UNIFORM_STREAM,
)
from noisysim.devices.physics.ideal import adc, current, dac, jump, read_cell, readout

LEAST = np.float32(LEAST_SCALE)

# Properties of the device: dead branches are compiled away.
HAS_DAC = False
HAS_CURRENT = False
HAS_ADC = False
HAS_CELL_STD = False
HAS_READ_CELL = False
HAS_JUMP = False
COMPENSATED = False
OWN_ROWS = False  # whether input lines have values of their own
OWN_COLUMNS = False  # output lines
OWN_CELLS = False
PAIRED = True
USES_NORMAL = False
USES_UNIFORM = False
CELL_NORMAL = False
CELL_UNIFORM = False


@inner()
def activation(a, kind):
    """The activation function of a given number; replaced by those of the network."""
    return a


@inner()
def with_range(d, full_scale):
    """The device's numbers with the ADC range of one tile in them; replaced for devices that have one."""
    return d


@inner()
def with_row(d, own, j):
    """The device's numbers with an input line's own values in them; replaced where lines have any."""
    return d


@inner()
def with_column(d, own, j):
    """The same of an output line."""
    return d


@inner()
def with_cell(d, own, j):
    """The same of a cell."""
    return d


@inner()
def largest(row):
    """max |v| of a float32 row; compared as integers, which vectorises and lets NaN win."""
    top = np.int32(0)
    for j in range(row.size):
        top = max(top, np.int32(np.float32(row[j]).view(np.int32) & np.int32(0x7FFFFFFF)))
    return np.int32(top).view(np.float32)


@inner(fastmath={"contract"})
def drive_row(source, target, full_scale, own, d):
    """What the DAC makes of one row of inputs; full scale 0 scales to the row's own largest value."""
    n = source.size
    if HAS_DAC:
        scale = full_scale if full_scale > 0 else largest(source)
        if scale >= LEAST:
            inverse = np.float32(1.0) / scale
            for j in range(n):
                target[j] = np.float32(dac(source[j] * inverse, with_row(d, own, j))) * scale
            return
    for j in range(n):
        target[j] = source[j]


@inner()
def drive_rows(source, inputs, rotation, rotated, full_scale, own, d):
    """Inputs of a layer's array: decorrelate, convert, append the bias line where there is one."""
    rows, n = source.shape
    line = source
    if rotation.size > 0:
        if not HAS_DAC and n == inputs.shape[1]:
            multiply(source, rotation, inputs)
            return
        multiply(source, rotation, rotated)
        line = rotated
    for r in range(rows):
        drive_row(line[r], inputs[r, :n], full_scale, own, d)
        for j in range(n, inputs.shape[1]):
            inputs[r, j] = np.float32(1.0)


@inner()
def multiply(x, weights, out):
    """out = x weights^T: one BLAS call; a single row is a matrix-vector product."""
    if x.shape[0] == 1:
        np.dot(weights, x[0], out[0])
    else:
        np.dot(x, weights.T, out)


@inner()
def cell_inputs(inputs, start, stop, full_scale, part, d):
    """What drives the cells of one tile: its part of a layer's inputs, bent by the cells' I-V curve."""
    rows = inputs.shape[0]
    if not HAS_CURRENT and start == 0 and stop == inputs.shape[1]:
        return inputs
    x = part[: rows * (stop - start)].reshape((rows, stop - start))
    for r in range(rows):
        if HAS_CURRENT:
            scale = full_scale if full_scale > 0 else largest(inputs[r])
            inverse = np.float32(1.0) / scale if scale >= LEAST else np.float32(0.0)
            for j in range(stop - start):
                x[r, j] = np.float32(current(inputs[r, start + j] * inverse, d)) * scale
        else:
            for j in range(stop - start):
                x[r, j] = inputs[r, start + j]
    return x


@inner()
def tile_energy(x, variance, part, energy):
    """The variance that the cells of one tile add to its lines, from what drives them."""
    rows, n = x.shape
    square = part[: rows * n].reshape((rows, n))
    for r in range(rows):
        for j in range(n):
            square[r, j] = x[r, j] * x[r, j]
    multiply(square, variance, energy)


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

    `at` is where the tile's first cell lies in a row of cells, `width` how many lie in a row of the layer; `seconds`
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


@inner(fastmath={"contract"})
def read_row(line, energy, noisy, z, u, convert, units, own, out, d):
    """Read noise and ADC of one sample's lines, so many units at each position."""
    for j in range(line.size):
        e = energy[j] if noisy else np.float32(0.0)
        zj = z[j] if USES_NORMAL else np.float32(0.0)
        uj = u[j] if USES_UNIFORM else np.float32(0.0)
        out[j] = np.float32(readout(line[j], e, zj, uj, d))
    if HAS_ADC and convert:
        for j in range(line.size):
            out[j] = np.float32(adc(out[j], with_column(d, own, j % units)))


@inner(fastmath={"contract"})
def read_rows(
    product, energy, perturbation, digital, activities, accumulate, noise, where, convert, draws, line, units, own,
    gain, d,
):  # fmt: skip
    """Digitise one tile's lines into `activities` (added to it from the second tile on); returns max |value|.

    A row is a sample: so many units at each position. `gain` is what the periphery multiplies by to make up for drift;
    a perturbation comes out as it was asked for.
    """
    rows, n = product.shape
    noisy = HAS_CELL_STD and energy.size > 0
    first_sample, number, layer, tile, k0, k1 = noise
    z, u, bits = draws
    top = np.float32(0.0)
    share = np.float32(1.0) / gain if COMPENSATED else np.float32(1.0)
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
                mixed[j] = product[r, j] + share * perturbation[where + r, j]
            source = mixed
        read_row(source, energy[r] if noisy else source, noisy, z, u, convert, units, own, value, d)
        top = max(top, largest(value))
        if COMPENSATED:
            for j in range(n):
                value[j] *= gain
        if accumulate:
            for j in range(n):
                activities[r, j] += value[j]
        else:
            for j in range(n):
                activities[r, j] = value[j]
    return top


@inner(fastmath={"contract"})
def activate(values, kind, out):
    """Hidden units' outputs."""
    for r in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[r, j] = np.float32(activation(values[r, j], kind))


@inner(fastmath={"contract"})
def normalise(values, shift, scale, out):
    """(value - shift) scale, unit by unit; rows hold the units of all positions."""
    units = shift.size
    for r in range(values.shape[0]):
        for first in range(0, values.shape[1], units):
            for j in range(units):
                out[r, first + j] = (values[r, first + j] - shift[j]) * scale[j]


@inner()
def view(flat, start, columns, first, last):
    """Rows first..last of the array of so many columns that starts at `start`."""
    return flat[start + first * columns : start + last * columns].reshape((last - first, columns))


# NumPy's own statements for these carry the text of their errors along, which takes seconds to compile
@inner()
def copy(source, target):
    """target = source, both (rows, columns)."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[i, j]


@inner()
def add(more, target):
    """target += more."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] += more[i, j]


@inner()
def scale_each(factors, target):
    """target *= factors."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] *= factors[i, j]


@inner()
def place(at, size, stack):
    """Where a chip's part of a layer or a tile starts, which starts at `at` where a chip is alone.

    What belongs to it of all chips lies together, chip after chip; `stack` is which chip of how many.
    """
    return stack[1] * at + stack[0] * size


@inner()
def driven_in(layer, p, samples, span, chip, passes, scratch):
    """What pass p drives a layer with, (rows, n_in): kept for the observation, or in this thread's work array.

    The first layer's is kept once for all passes, then the others' pass by pass; or those of pass 0 alone, and where
    another pass has not parted from it yet, it is the same array.
    """
    table, geometry, inputs, fork, spare = chip[0], chip[1], passes[0], passes[4], scratch[6]
    n_line, start = table[layer, N_IN], span[0] * geometry[layer, POSITIONS]
    stop, last = span[1] * geometry[layer, POSITIONS], table.shape[0] - 1
    whole = table[last, INPUTS_AT] + geometry[last, POSITIONS] * table[last, N_IN]
    if p > 0 and layer > 0 and spare.size > 0:
        if layer > fork[p]:
            return view(spare, (p - 1) * (spare.size // (fork.size - 1)), n_line, 0, stop - start)
        p = 0
    others = whole - geometry[0, POSITIONS] * table[0, N_IN]
    at = samples * (table[layer, INPUTS_AT] + (p * others if layer > 0 else 0))
    return view(inputs, at, n_line, start, stop)


@inner()
def hidden_outputs(layer, p, batch, span, stack, chip, passes, out):
    """What a layer gives to the next: its lines pooled, normalised, through the activation function, some dropped."""
    table, geometry, norms = chip[0], chip[1], chip[2]
    _, activities, perturbations, lies, _, masks, _, _, _ = passes
    first, last = span
    g = geometry[layer]
    values = view(activities[p], batch * table[layer, ACTIVITIES_AT], g[LINES], first, last)
    if g[POOL] > 0:
        pool(values, table[layer, N_OUT], g, out)
        values = out
    if g[NORM_AT] >= 0:
        at = place(g[NORM_AT], table[layer, N_OUT], stack)
        units = slice(at, at + table[layer, N_OUT])
        normalise(values, norms[0, units], norms[1, units], out)
        values = out
    activate(values, g[ACTIVATION], out)
    if g[MASK_AT] >= 0 and masks.size > 0:
        scale_each(view(masks, batch * g[MASK_AT], g[OUTPUTS], first, last), out)
    if lies[p, layer, ON_OUTPUT] >= 0:
        add(view(perturbations, lies[p, layer, ON_OUTPUT], g[OUTPUTS], first, last), out)


@inner()
def drive_layer(layer, x, span, stack, chip, passes, scratch, d):
    """What a layer's arrays are driven with in every pass: hidden outputs, their patches, decorrelated, converted."""
    table, geometry, rotations, dac_range, rows_own = chip[0], chip[1], chip[6], chip[8], chip[10]
    _, activities, _, _, fork, _, _, _, _ = passes
    x_buffer, rotated_buffer, patches_buffer = scratch[0], scratch[1][0], scratch[5]  # products come later
    first, last = span
    batch, rows = x.shape[0], (last - first) * geometry[layer, POSITIONS]
    n_below = x.shape[1] if layer == 0 else geometry[layer - 1, OUTPUTS]
    own = rows_own
    if OWN_ROWS:
        at = place(table[layer, ROWS_AT], table[layer, N_IN], stack)
        own = rows_own[:, at : at + table[layer, N_IN]]
    for p in range(activities.shape[0] if layer > 0 else 1):
        driven = driven_in(layer, p, batch, span, chip, passes, scratch)
        if p > 0 and layer <= fork[p]:
            if scratch[6].size == 0:  # kept pass by pass, else it is the same array
                copy(driven_in(layer, 0, batch, span, chip, passes, scratch), driven)
            continue
        source = x[first:last]
        if layer > 0:
            source = x_buffer[: (last - first) * n_below].reshape((last - first, n_below))
            hidden_outputs(layer - 1, p, batch, span, stack, chip, passes, source)
        elif geometry[0, KERNEL] > 0:
            source = x_buffer[: (last - first) * n_below].reshape((last - first, n_below))
            channels_last(x[first:last], geometry[0, CHANNELS], source)
        if geometry[layer, KERNEL] > 0:
            n_patch = geometry[layer, KERNEL] * geometry[layer, KERNEL] * geometry[layer, CHANNELS]
            patches = patches_buffer[: rows * n_patch].reshape((rows, n_patch))
            unfold(source, geometry[layer], patches)
            source = patches
        n = source.shape[1]
        rotation = rotations[:0].reshape((0, 0))
        if rotations.size > 0:
            at = place(table[layer, ROTATION_AT], n * n, stack)
            rotation = rotations[at : at + n * n].reshape((n, n))
        rotated = rotated_buffer[: rows * n].reshape((rows, n))
        drive_rows(source, driven, rotation, rotated, dac_range, own, d)


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


@loop()
def read_tile(layer, k, samples, span, stack, chip, passes, noise, scratch, d):
    """Read the k-th tile of a layer in every pass."""
    table, geometry, _, tiles, weights, variances, _, ranges, dac_range, gains, _, columns_own, _ = chip
    _, activities, perturbations, lies, fork, _, digital, convert, peaks = passes
    first_sample, first_pass, k0, k1 = noise
    x_buffer, product_buffer, energy_buffer, draws, line, _, _ = scratch
    first, last = span
    n_out, n_line, lines = table[layer, N_OUT], table[layer, N_IN], geometry[layer, LINES]
    rows, size = (last - first) * geometry[layer, POSITIONS], (last - first) * lines
    lines_at = samples * table[layer, ACTIVITIES_AT]
    nothing = perturbations[:0].reshape((0, 0))
    tile = table[layer, FIRST_TILE] + k
    start, stop = tiles[tile, TILE_FROM], tiles[tile, TILE_TO]
    at = place(tiles[tile, TILE_AT], n_out * (stop - start), stack)
    array = weights[at : at + n_out * (stop - start)].reshape((n_out, stop - start))
    variance = nothing
    if variances.size > 0:
        variance = variances[at : at + n_out * (stop - start)].reshape((n_out, stop - start))
    here = with_range(d, ranges[stack[0], tile])
    own = columns_own
    if OWN_COLUMNS:
        columns = place(tiles[tile, TILE_COLUMNS], n_out, stack)
        own = columns_own[:, columns : columns + n_out]
    for p in range(activities.shape[0]):
        read = view(activities[p], lines_at, lines, first, last)
        if p > 0 and layer < fork[p]:
            copy(view(activities[0], lines_at, lines, first, last), read)
            continue
        apart = p == 0 or layer > fork[p] or HAS_READ_CELL
        side = 1 if apart and p > 0 and product_buffer.shape[0] > 1 else 0
        product = product_buffer[side, :size].reshape((last - first, lines))
        energy = nothing
        if variance.size > 0:
            energy = energy_buffer[side, :size].reshape((last - first, lines))
        if apart:
            driven = driven_in(layer, p, samples, span, chip, passes, scratch)
            x = cell_inputs(driven, start, stop, dac_range, x_buffer, here)
            if HAS_READ_CELL:
                read_by_cell(
                    layer, k, x, start, first, p, stack, chip, noise, draws, product.reshape((rows, n_out)), here
                )
            else:
                multiply(x, array, product.reshape((rows, n_out)))
            if variance.size > 0:
                tile_energy(x, variance, x_buffer, energy.reshape((rows, n_out)))
        perturbation, lie = nothing, lies[p, layer, ON_LINE]
        if lie >= 0:
            perturbation = perturbations[lie : lie + samples * lines].reshape((samples, lines))
        extra = lies[p, layer, ON_WEIGHTS]
        if extra >= 0 and k == 0:
            driven = driven_in(layer, p, samples, span, chip, passes, scratch)
            extra += stack[0] * n_out * n_line
            beside = perturbations[extra : extra + n_out * n_line].reshape((n_out, n_line))
            multiply(driven, beside, view(perturbations, lie, lines, first, last).reshape((rows, n_out)))
        counter = (first_sample, first_pass + p, layer, k, k0, k1)
        top = read_rows(
            product, energy, perturbation, digital, read, k > 0, counter, first, convert, draws, line, n_out, own,
            gains[stack[0], tile], here,
        )  # fmt: skip
        peaks[stack[0], tile] = max(peaks[stack[0], tile], top)
        if digital and lie >= 0 and k == table[layer, TILES] - 1:
            add(perturbation[first:last], read)


@loop()
def forward(x, span, members, layers, chips, passes, noise, scratch, d):
    """Samples of every pass, on some chips, through some layers. A layer's rows are samples at each position.

    Parameters
    ----------
    x : (chips batch, n_in) float32
        Samples of the first chip, then of the second.
    span, members, layers : (int, int)
        Samples of each chip's batch to do, the chips to do them on, and the layers to take them through: first, and
        behind the last.
    chips : tuple
        table, geometry, norms (shift or scale, units), tiles, weights, variances, rotations, ranges (chips, tiles),
        dac_range, gains (chips, tiles), own values of rows (fields, rows) and of columns (fields, columns), cells: the
        network as it stands; of all chips as `place` says.
        The cells, read one by one where the device asks for it: conductances (sides, n), own values (fields, sides, n),
        states (sides, n), units (layers, slices), seconds before the first read and between two samples. What a device
        does not have is an empty tuple.
    passes : tuple
        inputs, flat (see `driven_in`), and activities, (passes, flat); what the drives add, flat, and where each part
        lies, (passes, layers, 3), -1 for none: to lines, to hidden units' outputs, to weights (the line's
        part is then room for what they amount to); the layer at which each pass parts from pass 0; what hidden outputs
        are multiplied by, flat, or nothing; whether the perturbation enters after the ADC; whether the ADC converts;
        peaks (chips, tiles), raised to the largest values read.
    noise : tuple
        first sample, first pass, keys (chips, 2).
    scratch : tuple
        Work arrays for one block of rows.
    d : NamedTuple
        The device's numbers, float32.
    """
    table, count = chips[0], chips[7].shape[0]
    first_sample, first_pass, keys = noise
    batch = x.shape[0] // count
    for m in range(members[0], members[1]):
        stack = (m, count)
        here = (m * batch + span[0], m * batch + span[1])
        counted = (first_sample - m * batch, first_pass, keys[m, 0], keys[m, 1])
        for layer in range(layers[0], layers[1]):
            drive_layer(layer, x, here, stack, chips, passes, scratch, d)
            for k in range(table[layer, TILES]):
                read_tile(layer, k, x.shape[0], here, stack, chips, passes, counted, scratch, d)


@loop()
def follow_peaks(ranges, peaks):
    """Auto-ranging: widen a converter that saturated by a quarter, narrow one that is half idle by one per cent."""
    for m in range(ranges.shape[0]):
        for tile in range(ranges.shape[1]):
            if peaks[m, tile] >= ranges[m, tile] * np.float32(0.999):
                ranges[m, tile] *= np.float32(1.25)
            elif LEAST <= peaks[m, tile] < ranges[m, tile] * np.float32(0.5):
                ranges[m, tile] *= np.float32(0.99)
            peaks[m, tile] = 0
