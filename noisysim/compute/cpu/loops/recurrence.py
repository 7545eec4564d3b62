"""Recurrent layers: step after step, what a cell gave drives its second array, whose lines make what it gives next."""

import numpy as np

from noisysim.compute.cpu.loops.driving import drive_rows, inputs_at, take_step, value_of
from noisysim.compute.cpu.loops.line_reads import carry, put_numbers
from noisysim.compute.cpu.loops.records import MULTIPLY, PART_TYPES, READ_ROWS
from noisysim.compute.cpu.loops.rows import add, copy, place
from noisysim.compute.cpu.row_types import CELL
from noisysim.compute.jit.compiling import bare, scalars
from noisysim.compute.jit.places import float_rows_at, floats_at, longs_at, words_at
from noisysim.compute.jit.views import function_at, view
from noisysim.compute.layout import (  # fmt: skip
    ACTIVITIES_AT,
    ADDED,
    CELL_KIND,
    CELL_UNITS,
    FIRST_STEP,
    FIRST_TILE,
    GEOMETRY,
    GROUP,
    GRU,
    GRU_RESET_BEFORE,
    LAST_STEP,
    LSTM,
    N_IN,
    N_OUT,
    ON_LINE,
    ON_WEIGHTS,
    POSITIONS,
    RNN,
    ROTATION_AT,
    ROWS_AT,
    SOURCE,
    STATE,
    STEP,
    TABLE,
    TILE,
    TILE_COLUMNS,
    TILES,
)
from noisysim.compute.rules import recurrence as rules

call_read_rows, call_multiply = PART_TYPES[READ_ROWS].call, PART_TYPES[MULTIPLY].call
lstm, gru, gated, reset = scalars(rules.lstm, rules.gru, rules.gated, rules.reset)
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@bare()
def next_outputs(kind, a, b, t, h, c, outputs):
    """What a cell gives at step t, of the lines that both arrays have at all steps: h and c, and kept in `outputs`."""
    rows, n = h.shape
    gates = 4 if kind == LSTM else (1 if kind == RNN else 3)
    for r in range(rows):
        at = t * gates * n
        for j in range(n):
            k = at + j
            if kind == LSTM:
                output, state = lstm(
                    a[r, k] + b[r, k], a[r, k + n] + b[r, k + n], a[r, k + 2 * n] + b[r, k + 2 * n],
                    a[r, k + 3 * n] + b[r, k + 3 * n], c[r, j],
                )  # fmt: skip
                c[r, j] = np.float32(state)
            elif kind == GRU:
                first, update = a[r, k] + b[r, k], a[r, k + n] + b[r, k + n]
                output = gru(first, update, a[r, k + 2 * n], b[r, k + 2 * n], h[r, j])
            elif kind == GRU_RESET_BEFORE:  # of two reads a step the first has the gates, the second the candidate
                gate, candidate = k + at + n, k + at + gates * n + 2 * n
                output = gated(a[r, k + n] + b[r, gate], a[r, k + 2 * n] + b[r, candidate], h[r, j])
            else:
                output = np.tanh(a[r, k] + b[r, k])
            h[r, j] = outputs[r, t * n + j] = np.float32(output)


@bare()
def reset_outputs(a, b, t, h, driving):
    """What drives the second of two reads at step t, by the reset gate's lines, the first ones of a step."""
    rows, n = h.shape
    for r in range(rows):
        for j in range(n):
            k = 3 * t * n
            driving[r, j] = np.float32(reset(a[r, k + j] + b[r, 2 * k + j], h[r, j]))


@bare()
def drive_step(layer, t, p, span, stack, h, x, net, chips, call, room):
    """What the t-th read drives the second array with: outputs, decorrelated and converted; kept as observed."""
    row, n = longs_at(net.table, layer * TABLE, TABLE), h.shape[1]
    positions, width, rows = longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)[POSITIONS], x.shape[1], x.shape[0]
    has_own = chips.row_fields > 0
    at, count = place(row[ROWS_AT], row[N_IN], stack) if has_own else 0, row[N_IN] if has_own else 0
    own = float_rows_at(chips.rows_own, chips.row_fields, chips.row_count, at, count)
    if chips.rotated:
        rotation = view(chips.rotations, place(row[ROTATION_AT], n * n, stack), n, n)
        turned = view(room.rotated, 0, n, rows)
        call_multiply(function_at(net.parts, MULTIPLY), (h, rotation, turned, room.turned))
        drive_rows(turned, x, own, chips)
    else:
        drive_rows(h, x, own, chips)
    if p > 0 and room.spare > 0:
        return
    kept = inputs_at(layer, p, net, call) + (span[0] * positions + t) * width
    for r in range(rows):
        copy(view(x, r * width, width, 1), view(call.inputs, kept + r * positions * width, width, 1))


@bare()
def read_step(layer, k, t, p, span, stack, x, net, chips, call, room, lines):
    """The t-th read of the k-th tile of a second array into `lines`, (samples, lines of all reads).

    Where cells are read one by one there is one sample, and what drives it is the row of that number.
    """
    row, g = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
    n_out, number, positions, rows = row[N_OUT], row[FIRST_TILE] + k, g[POSITIONS], x.shape[0]
    tile, mine = longs_at(net.tiles, number * TILE, TILE), stack[0] * chips.tile_count + number
    gain = floats_at(chips.gains, mine, 1)[0] if chips.compensated else ONE
    put_numbers(floats_at(chips.ranges, mine, 1)[0], chips, room)
    product, energy = view(room.product, 0, n_out, rows), view(room.energy, 0, n_out, rows)
    first_sample, key = call.first_sample - stack[0] * (call.samples // stack[1]), words_at(chips.keys, 2 * stack[0], 2)
    arrays = (first_sample, call.first_pass + p, layer, k, key[0], key[1])
    carry(arrays, x, span[0] * positions + t, p, stack, net, chips, call, room, product, energy)
    added = longs_at(call.places, (p * net.layers + layer) * ADDED, ADDED)
    peaks, nothing = floats_at(call.peaks, mine, 1), view(call.perturbations, 0, 0, 0)
    for r in range(rows):
        s = span[0] + r
        counter = ((first_sample + s) * positions + t, call.first_pass + p, layer, k, key[0], key[1])
        extra = nothing
        if added[ON_LINE] >= 0:
            extra = view(call.perturbations, added[ON_LINE] + (s * positions + t) * n_out, n_out, 1)
            if added[ON_WEIGHTS] >= 0 and k == 0:
                beside = view(call.perturbations, added[ON_WEIGHTS] + stack[0] * n_out * x.shape[1], x.shape[1], n_out)
                one = view(x, r * x.shape[1], x.shape[1], 1)
                call_multiply(function_at(net.parts, MULTIPLY), (one, beside, extra, room.turned))
        read = view(lines, (r * positions + t) * n_out, n_out, 1)
        reading = (
            view(product, r * n_out, n_out, 1), view(energy, r * n_out, n_out, 1), nothing if call.digital else extra,
            k > 0, counter, np.int64(0), n_out, place(tile[TILE_COLUMNS], n_out, stack), gain, net, chips, call, room,
            read,
        )  # fmt: skip
        top = call_read_rows(function_at(net.parts, READ_ROWS), reading)
        peaks[0] = top if top > peaks[0] else peaks[0]
        if call.digital and extra.size > 0 and k == row[TILES] - 1:
            add(extra, read)


@bare()
def run_steps(layer, p, span, stack, a, outputs, net, chips, call, room, lines):
    """All steps of some samples in pass p: of the first array's lines `a`, the second's, and what the layer gives."""
    row, g = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
    kind, n, rows = g[CELL_KIND], g[CELL_UNITS], span[1] - span[0]
    h, c = view(room.step, 0, n, rows), view(room.step, rows * n, n, rows)
    x = view(room.step, 2 * rows * n, row[N_IN], rows)
    steps = outputs.shape[1] // n
    reads = g[POSITIONS] // steps
    for r in range(rows):
        for j in range(n):
            h[r, j] = c[r, j] = ZERO
    for t in range(steps):
        for read in range(reads):
            driving = h
            if read > 0:  # such a cell has no state beside its output
                reset_outputs(a, lines, t, h, c)
                driving = c
            drive_step(layer, t * reads + read, p, span, stack, driving, x, net, chips, call, room)
            for k in range(row[TILES]):
                read_step(layer, k, t * reads + read, p, span, stack, x, net, chips, call, room, lines)
        next_outputs(kind, a, lines, t, h, c, outputs)


@bare()
def run_recurrence(layer, span, stack, net, chips, call, room):
    """All steps of a recurrent layer's second array in every pass, and what the layer gives.

    Each read of an array has noise of its own, counted as that of a sample a step. Where cells are read one by one,
    all steps of a sample come before those of the next, as they do at the positions of other layers: cells with a past
    are read in the order of time.
    """
    row, g = longs_at(net.table, layer * TABLE, TABLE), longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
    group = longs_at(net.groups, layer * GROUP, GROUP)
    rows, width, positions = span[1] - span[0], row[N_IN], g[POSITIONS]
    size, lines_at = positions * row[N_OUT], call.samples * row[ACTIVITIES_AT]
    from_row, at_once = span[0] * positions * width, 1 if function_at(chips.functions, CELL) != 0 else rows
    for p in range(call.passes):
        lines = view(call.activities, p * call.values + lines_at + span[0] * size, size, rows)
        if p > 0 and layer < longs_at(call.fork, p, 1)[0]:
            copy(view(call.activities, lines_at + span[0] * size, size, rows), lines)
            if room.spare == 0:
                of_first = view(
                    call.inputs, inputs_at(layer, np.int64(0), net, call) + from_row, positions * width, rows
                )
                copy(of_first, view(call.inputs, inputs_at(layer, p, net, call) + from_row, positions * width, rows))
            continue
        for k in range(group[FIRST_STEP], group[LAST_STEP]):
            take_step(longs_at(net.steps, k * STEP, STEP), p, span, stack, net, chips, call, room)
        a = value_of(group[SOURCE], p, span, net, call, room)
        outputs = value_of(group[STATE], p, span, net, call, room)
        for r in range(0, rows, at_once):
            some, end = (span[0] + r, span[0] + r + at_once), r + at_once
            run_steps(layer, p, some, stack, a[r:end], outputs[r:end], net, chips, call, room, lines[r:end])
