"""What the periphery reads of a tile's lines: products with its weights, read noise, ADC."""

import numpy as np

from noisysim.compute.cpu.loops.cell_reads import read_by_cell
from noisysim.compute.cpu.loops.draws import fill_normals, fill_uniforms, stream_word
from noisysim.compute.cpu.loops.driving import driven_in
from noisysim.compute.cpu.loops.rows import add, copy, largest, multiply, place, view
from noisysim.compute.jit.compiling import inner, loop
from noisysim.compute.layout import (  # fmt: skip
    ACTIVITIES_AT,
    FIRST_TILE,
    LINES,
    N_IN,
    N_OUT,
    NORMAL_STREAM,
    ON_LINE,
    ON_WEIGHTS,
    POSITIONS,
    TILE_AT,
    TILE_COLUMNS,
    TILE_FROM,
    TILE_TO,
    TILES,
    UNIFORM_STREAM,
)
from noisysim.compute.rules.device import with_column, with_range
from noisysim.compute.rules.flags import (
    COMPENSATED,
    HAS_ADC,
    HAS_CELL_STD,
    HAS_CURRENT,
    HAS_READ_CELL,
    OWN_COLUMNS,
    SCALED,
    USES_NORMAL,
    USES_UNIFORM,
)
from noisysim.compute.rules.ranges import LEAST
from noisysim.devices.physics.ideal import adc, current, readout


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


@inner(fastmath={"contract"})
def read_row(line, energy, noisy, z, u, convert, units, own, out, d):
    """Read noise and ADC of one sample's lines, `units` at each position."""
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
    gain, scales, d,
):  # fmt: skip
    """Digitise one tile's lines into `activities` (added to it from the second tile on); returns max |value|.

    A row is a sample, `units` at each position. `gain` is what the periphery multiplies by to make up for drift,
    `scales` by what a line's weights are scaled; a perturbation comes out as it was asked for.
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
                at_line = share / scales[j % units] if SCALED else share
                mixed[j] = product[r, j] + at_line * perturbation[where + r, j]
            source = mixed
        read_row(source, energy[r] if noisy else source, noisy, z, u, convert, units, own, value, d)
        top = max(top, largest(value))
        if COMPENSATED:
            for j in range(n):
                value[j] *= gain
        if SCALED:
            for j in range(n):
                value[j] *= scales[j % units]
        if accumulate:
            for j in range(n):
                activities[r, j] += value[j]
        else:
            for j in range(n):
                activities[r, j] = value[j]
    return top


@inner()
def perturbation_of(layer, k, p, samples, span, stack, chip, passes, scratch):
    """What pass p adds to a layer's lines, (samples, lines), or an empty array.

    Of a perturbation of weights it is what a second array beside the first gives: made before the first tile is read.
    """
    table, geometry = chip[0], chip[1]
    _, _, perturbations, places, _, _, _, _, _ = passes
    at, extra, lines = places[p, layer, ON_LINE], places[p, layer, ON_WEIGHTS], geometry[layer, LINES]
    if at < 0:
        return perturbations[:0].reshape((0, 0))
    if extra >= 0 and k == 0:
        n_out, n_line = table[layer, N_OUT], table[layer, N_IN]
        driven = driven_in(layer, p, samples, span, chip, passes, scratch)
        extra += stack[0] * n_out * n_line
        beside = perturbations[extra : extra + n_out * n_line].reshape((n_out, n_line))
        rows = (span[1] - span[0]) * geometry[layer, POSITIONS]
        multiply(driven, beside, view(perturbations, at, lines, span[0], span[1]).reshape((rows, n_out)))
    return perturbations[at : at + samples * lines].reshape((samples, lines))


@loop()
def read_tile(layer, k, samples, span, stack, chip, passes, noise, scratch, d):
    """Read the k-th tile of a layer in every pass."""
    table, geometry, _, tiles, weights, variances, _, ranges, dac_range, gains, _, columns_own, _, scales = chip
    _, activities, perturbations, _, fork, _, digital, convert, peaks = passes
    first_sample, first_pass, k0, k1 = noise
    x_buffer, product_buffer, energy_buffer, draws, line, _, _ = scratch
    first, last = span
    n_out, lines = table[layer, N_OUT], geometry[layer, LINES]
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
    own, of_lines = columns_own, scales
    if OWN_COLUMNS or SCALED:
        columns = place(tiles[tile, TILE_COLUMNS], n_out, stack)
        of_lines = scales[columns : columns + n_out]
        if OWN_COLUMNS:
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
        perturbation = perturbation_of(layer, k, p, samples, span, stack, chip, passes, scratch)
        counter = (first_sample, first_pass + p, layer, k, k0, k1)
        top = read_rows(
            product, energy, perturbation, digital, read, k > 0, counter, first, convert, draws, line, n_out, own,
            gains[stack[0], tile], of_lines, here,
        )  # fmt: skip
        peaks[stack[0], tile] = max(peaks[stack[0], tile], top)
        if digital and perturbation.size > 0 and k == table[layer, TILES] - 1:
            add(perturbation[first:last], read)
