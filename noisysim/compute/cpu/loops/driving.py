"""What arrays are driven with: hidden outputs, their patches, decorrelated and converted."""

import numpy as np

from noisysim.compute.cpu.loops.images import channels_last, pool, unfold
from noisysim.compute.cpu.loops.rows import add, copy, largest, multiply, place, scale_each, view
from noisysim.compute.jit.compiling import inner
from noisysim.compute.layout import (  # fmt: skip
    ACTIVATION,
    ACTIVITIES_AT,
    CHANNELS,
    INPUTS_AT,
    KERNEL,
    LINES,
    MASK_AT,
    N_IN,
    N_OUT,
    NORM_AT,
    ON_OUTPUT,
    OUTPUTS,
    POOL,
    POSITIONS,
    ROTATION_AT,
    ROWS_AT,
)
from noisysim.compute.rules.device import activation, with_row
from noisysim.compute.rules.flags import HAS_DAC, OWN_ROWS
from noisysim.compute.rules.ranges import LEAST
from noisysim.devices.physics.ideal import dac


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
    _, activities, perturbations, places, _, masks, _, _, _ = passes
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
    if places[p, layer, ON_OUTPUT] >= 0:
        add(view(perturbations, places[p, layer, ON_OUTPUT], g[OUTPUTS], first, last), out)


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
