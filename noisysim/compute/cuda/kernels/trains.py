"""Pulse trains on the lines of arrays, as in `noisysim.compute.cpu.loops.trains`: how they are drawn, and coincide.

A block of threads takes one row of a layer, which is a sample, or one of its positions: together its threads look for
the largest values, then each draws the trains of some lines. Trains of all lines are kept, also of those that are off,
whose words are 0: word w of line k is ``words[w, k]``, so that neighbouring threads read neighbouring words.
"""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.blocks import largest
from noisysim.compute.cuda.kernels.draws import four_bits, stream_word
from noisysim.compute.cuda.kernels.target import ROW_THREADS, device, kernel
from noisysim.compute.layout import (
    COLUMN_STREAM,
    DRIVEN_AT,
    FACTORS_AT,
    FACTORS_EACH,
    N_IN,
    N_OUT,
    ROW_STREAM,
    SIGNALS_AT,
)
from noisysim.compute.rules.trains import (  # fmt: skip
    CERTAIN,
    COUNTERS,
    SIGN,
    coincidences,
    column_gain,
    decide,
    row_gain,
    signed,
    slots_of,
    threshold,
    train_length,
)

OFF = np.uint32(0)


@device
def draw_word(word, length, limit, line, draw, keys):
    """One word of the train of a line that is on below `limit` (`threshold`), without its sign."""
    kind, layer, row, number, chip = draw
    undecided = slots_of(length, word)
    if limit >= CERTAIN:
        return undecided
    on, counter, below = OFF, 0, np.uint32(limit)
    while undecided != 0 and counter < COUNTERS:
        stream, plane = stream_word(kind, layer, word * COUNTERS + counter), 4 * counter
        r0, r1, r2, r3 = four_bits(line, row, number, stream, keys, chip)
        on, undecided = decide(below, plane, r0, on, undecided)
        on, undecided = decide(below, plane + 1, r1, on, undecided)
        on, undecided = decide(below, plane + 2, r2, on, undecided)
        on, undecided = decide(below, plane + 3, r3, on, undecided)
        counter += 1
    return on


@device
def draw_lines(values, gain, length, falling, draw, keys, at, words):
    """The trains of lines driven with `values`, into ``words[:, at:]``; `falling` turns their signs."""
    for line in range(cuda.threadIdx.x, values.shape[0], cuda.blockDim.x):
        value = values[line]
        limit = threshold(gain, value) if length > 0 else 0
        sign = SIGN if (value < 0) != falling else OFF
        for word in range(words.shape[0]):
            on = draw_word(word, length, limit, line, draw, keys) if limit > 0 else OFF
            words[word, at + line] = on | sign if on != 0 else OFF


@kernel
def draw_trains(
    inputs, signals, columns, rows, layers, table, pulsing, chips, rate, slots, balances, shortens, number, keys,
    refused,
):  # fmt: skip
    """The trains of all samples of an update, into `columns` and `rows`: (words, inputs) and (words, signals), uint32.

    Inputs and signals are flat, layer by layer, and `layers` is the table `factors` of `noisysim.compute.layout`.
    `rate` is the learning rate of one sample. `refused` is set for a chip whose change is not finite.
    """
    tops = cuda.shared.array(ROW_THREADS, np.int32)
    last = layers.shape[0] - 1
    for place in range(cuda.blockIdx.x, layers[last, FACTORS_AT] + chips * layers[last, FACTORS_EACH], cuda.gridDim.x):
        layer = 0
        while layer < last and place >= layers[layer + 1, FACTORS_AT]:
            layer += 1
        row, each = place - layers[layer, FACTORS_AT], layers[layer, FACTORS_EACH]
        chip, sample, n_in, n_out = row // each, row % each, table[layer, N_IN], table[layer, N_OUT]
        at, to = layers[layer, DRIVEN_AT] + row * n_in, layers[layer, SIGNALS_AT] + row * n_out
        x, s = inputs[at : at + n_in], signals[to : to + n_out]
        x_most, s_most = np.float64(largest(x, tops)), np.float64(largest(s, tops))
        asked = rate * np.float64(pulsing[layer])
        strongest = asked * x_most * s_most
        if not strongest < math.inf:
            refused[chip] = 1
        length, of_columns, of_rows = 0, 0.0, 0.0  # no slots: all lines are off
        if 0 < strongest < math.inf:
            length = train_length(strongest, slots, shortens)
            of_columns = column_gain(asked, length, x_most, s_most, balances)
            of_rows = row_gain(asked, length, x_most, s_most, balances)
        draw_lines(x, of_columns, length, False, (COLUMN_STREAM, layer, sample, number, chip), keys, at, columns)
        draw_lines(s, of_rows, length, True, (ROW_STREAM, layer, sample, number, chip), keys, to, rows)


@device
def coincided(rows, line, columns, column):
    """In how many slots the trains of a row and of a column are both on, with the sign of both."""
    count = np.int32(0)
    for w in range(rows.shape[0]):
        row = rows[w, line]
        if row != 0:
            other = columns[w, column]
            count += signed(coincidences(row, other), row, other)
    return count
