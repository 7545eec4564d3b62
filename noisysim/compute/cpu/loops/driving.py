"""What arrays are driven with: the steps before a layer, decorrelation and DAC."""

import numpy as np

from noisysim.compute.cpu.loops import steps
from noisysim.compute.cpu.loops.records import MULTIPLY, PART_TYPES
from noisysim.compute.cpu.loops.rows import copy, largest, place
from noisysim.compute.cpu.row_types import DAC, TYPES
from noisysim.compute.jit.compiling import bare
from noisysim.compute.jit.places import float_rows_at, floats_at, longs_at
from noisysim.compute.jit.views import function_at, part, view
from noisysim.compute.layout import (  # fmt: skip
    ACTIVITIES_AT,
    ADDED,
    FIRST_STEP,
    GEOMETRY,
    GROUP,
    INPUTS_AT,
    LAST_STEP,
    MASK_AT,
    N_IN,
    N_OUT,
    NORM_AT,
    ON_OUTPUT,
    OUTPUTS,
    POSITIONS,
    ROTATION_AT,
    ROWS_AT,
    SOURCE,
    STEP,
    STEP_COLUMNS,
    STEP_COUNT,
    STEP_FROM,
    STEP_FUNCTION,
    STEP_LAYER,
    STEP_MORE,
    STEP_NUMBERS,
    STEP_ROWS,
    STEP_TO,
    STEP_WITH,
    TABLE,
    UNFOLDS,
    VALUE,
    VALUE_AT,
    VALUE_KEPT,
    VALUE_SIZE,
    WITH_CONSTANTS,
    WITH_DRIVE,
    WITH_MASK,
    WITH_NORM,
    WITH_VALUE,
)
from noisysim.compute.rules.ranges import LEAST

call_step, dac_row, call_multiply = steps.TYPE.call, TYPES[DAC].call, PART_TYPES[MULTIPLY].call


@bare()
def drive_rows(source, inputs, own, chips):
    """Inputs of a layer's array from what is decorrelated: convert, append the bias line where there is one.

    A full scale of 0 scales each row to its own largest value.
    """
    n, width = source.shape[1], inputs.shape[1]
    dac = function_at(chips.functions, DAC)
    numbers = floats_at(chips.numbers, DAC * chips.number_count, chips.number_count)
    for r in range(source.shape[0]):
        row, out = source[r], part(inputs[r], 0, n)
        scale = chips.dac_range
        if dac != 0 and scale <= 0:
            scale = largest(row)
        if dac != 0 and scale >= LEAST:
            dac_row(dac, (row, out, scale, own, numbers))
        else:
            for j in range(n):
                out[j] = row[j]
        for j in range(n, width):
            inputs[r, j] = np.float32(1.0)


@bare()
def inputs_at(layer, p, net, call):
    """Where what drives a layer in pass p begins in `call.inputs`, of which the first layer's is there once."""
    first, last = longs_at(net.table, 0, TABLE), longs_at(net.table, (net.layers - 1) * TABLE, TABLE)
    whole = last[INPUTS_AT] + longs_at(net.geometry, (net.layers - 1) * GEOMETRY, GEOMETRY)[POSITIONS] * last[N_IN]
    others = whole - longs_at(net.geometry, 0, GEOMETRY)[POSITIONS] * first[N_IN]
    return call.samples * (longs_at(net.table, layer * TABLE, TABLE)[INPUTS_AT] + (p * others if layer > 0 else 0))


@bare(_nrt=True)
def driven_in(layer, p, span, net, call, room):
    """What pass p drives a layer with, (rows, n_in): kept for the observation, or in this thread's work array.

    The first layer's is kept once for all passes, then the others' pass by pass; or those of pass 0 alone, and where
    another pass has not parted from it yet, it is the same array.
    """
    row, g = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
    positions = g[POSITIONS]
    n_line, start, stop = row[N_IN], span[0] * positions, span[1] * positions
    if p > 0 and layer > 0 and room.spare > 0:
        if layer > longs_at(call.fork, p, 1)[0]:
            return view(room.driven, (p - 1) * room.spare, n_line, stop - start)
        p = 0
    return view(call.inputs, inputs_at(layer, p, net, call) + start * n_line, n_line, stop - start)


@bare(_nrt=True)
def value_of(number, p, span, net, call, room):
    """A value of the plan in pass p, (samples, values): the input, a layer's lines, or what a step wrote."""
    value = longs_at(net.values, number * VALUE, VALUE)
    size, layer = value[VALUE_SIZE], value[VALUE_KEPT]
    if layer >= 0:  # of a pass that had not parted from the first when it was written, the first's
        own = p if layer > longs_at(call.fork, p, 1)[0] else np.int64(0)
        at = call.samples * (own * net.keeps + value[VALUE_AT])
        return view(call.kept, at + span[0] * size, size, span[1] - span[0])
    if number == 0:
        return view(call.x, (call.x_at + span[0]) * size, size, span[1] - span[0])
    if number <= net.layers:
        lines_at = call.samples * longs_at(net.table, (number - 1) * TABLE, TABLE)[ACTIVITIES_AT]
        return view(call.activities, p * call.values + lines_at + span[0] * size, size, span[1] - span[0])
    return view(room.values, (span[1] - span[0]) * value[VALUE_AT], size, span[1] - span[0])


@bare()
def take_step(step, p, span, stack, net, chips, call, room):
    """One periphery step of pass p; masks and drives that a call does not have leave a value as it is."""
    layer, extra = step[STEP_LAYER], step[STEP_WITH]
    g, units = longs_at(net.numbers, step[STEP_NUMBERS], step[STEP_COUNT]), np.int64(0)
    if layer < net.layers:
        units = longs_at(net.table, layer * TABLE, TABLE)[N_OUT]
    first, last = span
    more = float_rows_at(chips.norms, 2, chips.norm_units, 0, 0)
    if extra == WITH_NORM:
        more = float_rows_at(chips.norms, 2, chips.norm_units, place(g[NORM_AT], units, stack), units)
    elif extra == WITH_MASK:
        if not call.masked:
            return
        at = call.samples * g[MASK_AT] + first * g[OUTPUTS]
        more = float_rows_at(call.masks, last - first, g[OUTPUTS], at, g[OUTPUTS])
    elif extra == WITH_DRIVE:
        at = longs_at(call.places, (p * net.layers + layer) * ADDED, ADDED)[ON_OUTPUT]
        if at < 0:
            return
        more = float_rows_at(call.perturbations, last - first, g[OUTPUTS], at + first * g[OUTPUTS], g[OUTPUTS])
    elif extra == WITH_VALUE:
        second = value_of(step[STEP_MORE], p, span, net, call, room)
        more = second[:, : second.shape[1]]  # of the type that rows which lie apart have
    elif extra == WITH_CONSTANTS:
        more = float_rows_at(net.constants, step[STEP_ROWS], step[STEP_COLUMNS], step[STEP_MORE], step[STEP_COLUMNS])
    source, out = value_of(step[STEP_FROM], p, span, net, call, room), value_of(step[STEP_TO], p, span, net, call, room)
    call_step(function_at(net.functions, step[STEP_FUNCTION]), (g, units, source, out, more))


@bare()
def finish_samples(span, stack, net, chips, call, room):
    """The network's output in every pass, where steps make it of the last lines."""
    group = longs_at(net.groups, net.layers * GROUP, GROUP)
    for p in range(call.passes):
        for k in range(group[FIRST_STEP], group[LAST_STEP]):
            take_step(longs_at(net.steps, k * STEP, STEP), p, span, stack, net, chips, call, room)
        value = value_of(group[SOURCE], p, span, net, call, room)
        size = value.shape[1]
        copy(value, view(call.outputs, (p * call.samples + span[0]) * size, size, span[1] - span[0]))


@bare()
def unfold_driven(layer, p, span, driven, net, call, room):
    """The last step before a convolution whose DACs are exact, straight to where patches drive the array; and bias.

    Patches are the largest values there are: the way through the work array would move them twice.
    """
    g, group = longs_at(net.geometry, layer * GEOMETRY, GEOMETRY), longs_at(net.groups, layer * GROUP, GROUP)
    step = longs_at(net.steps, (group[LAST_STEP] - 1) * STEP, STEP)
    source, samples = value_of(step[STEP_FROM], p, span, net, call, room), span[1] - span[0]
    out, more = driven.reshape((samples, driven.size // max(samples, 1))), float_rows_at(call.masks, 0, 0, 0, 0)
    call_step(function_at(net.functions, step[STEP_FUNCTION]), (g, np.int64(0), source, out, more))
    patch = longs_at(net.values, group[SOURCE] * VALUE, VALUE)[VALUE_SIZE] // g[POSITIONS]
    for r in range(driven.shape[0]):
        for j in range(patch, driven.shape[1]):
            driven[r, j] = np.float32(1.0)


@bare()
def drive_layer(layer, span, stack, net, chips, call, room):
    """What a layer's arrays are driven with in every pass: the steps before it, decorrelation, DAC."""
    row, group = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.groups, layer * GROUP, GROUP)
    rows = (span[1] - span[0]) * longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)[POSITIONS]
    has_own, has_dac = chips.row_fields > 0, function_at(chips.functions, DAC) != 0
    at, count = place(row[ROWS_AT], row[N_IN], stack) if has_own else 0, row[N_IN] if has_own else 0
    own = float_rows_at(chips.rows_own, chips.row_fields, chips.row_count, at, count)
    direct = group[UNFOLDS] > 0 and not chips.rotated and not has_dac
    last = group[LAST_STEP] - (1 if direct else 0)
    for p in range(call.passes if layer > 0 else 1):
        driven = driven_in(layer, p, span, net, call, room)
        if p > 0 and layer <= longs_at(call.fork, p, 1)[0]:
            if room.spare == 0:  # kept pass by pass, else it is the same array
                copy(driven_in(layer, np.int64(0), span, net, call, room), driven)
            continue
        for k in range(group[FIRST_STEP], last):
            take_step(longs_at(net.steps, k * STEP, STEP), p, span, stack, net, chips, call, room)
        if direct:
            unfold_driven(layer, p, span, driven, net, call, room)
            continue
        value = value_of(group[SOURCE], p, span, net, call, room)
        n = value.size // rows if rows > 0 else 0
        source = view(value, 0, n, rows)
        if chips.rotated:
            rotation = view(chips.rotations, place(row[ROTATION_AT], n * n, stack), n, n)
            if not has_dac and n == driven.shape[1]:
                call_multiply(function_at(net.parts, MULTIPLY), (source, rotation, driven, room.turned))
                continue
            turned = view(room.rotated, 0, n, rows)
            call_multiply(function_at(net.parts, MULTIPLY), (source, rotation, turned, room.turned))
            source = turned
        drive_rows(source, driven, own, chips)
