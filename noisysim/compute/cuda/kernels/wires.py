"""The loops of the fast approximation of IR drop, as in `noisysim.compute.cpu.loops.wires`: a thread goes along a line.

``arrays`` has one row for each physical array of a layer that the lines belong to: where the layer's cells start, its
n_in and n_out, the inputs or outputs that the line crosses (from, to), and where the array's own lines start in the
count of all lines. Buffers are (sides, cells) like the cells themselves.
"""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.target import device, kernel, larger

CELLS, INPUTS, OUTPUTS, FROM, TO, LINES_AT = range(6)
"""Columns of `arrays`."""


@device
def line_at(k, lines, chips, arrays, width):
    """Side and row of `arrays` of line k, where its chip's layer starts, its number; `width`: column of lines a row."""
    side, rest, row = k // (chips * lines), k % (chips * lines), 0
    while row + 1 < arrays.shape[0] and rest >= chips * arrays[row + 1, LINES_AT]:
        row += 1
    own, rest = arrays[row, width], rest - chips * arrays[row, LINES_AT]
    at = chips * arrays[row, CELLS] + rest // own * arrays[row, INPUTS] * arrays[row, OUTPUTS]
    return side, row, at, rest % own


@kernel
def bit_lines(now, sides, lines, chips, arrays, resistance, factor):
    """Voltage along each bit line if its sense end is at 1 V and all word lines are grounded.

    By reciprocity that is the share of a cell's current that reaches the sense amplifier at virtual ground.

    Parameters
    ----------
    now : (sides, cells) float32, µS
    sides, lines, chips : int
        Sides with wires, lines of one side of one chip, chips.
    arrays : (rows, 6) int64
        Of bit lines: a row for each tile of inputs.
    resistance : float64, of a wire segment in 1/µS
    factor : (sides, cells) float32
        Gets the voltages.
    """
    one = np.float64(1.0)
    for k in range(cuda.grid(1), sides * chips * lines, cuda.gridsize(1)):
        side, row, at, i = line_at(k, lines, chips, arrays, OUTPUTS)
        at += i * arrays[row, INPUTS]
        behind = np.float64(0.0)
        for j in range(arrays[row, FROM], arrays[row, TO]):
            behind = np.float64(larger(now[side, at + j], np.float32(0.0))) + behind / (one + behind * resistance)
            factor[side, at + j] = behind  # a conductance, not the divider near 1: rounding it costs next to nothing
        voltage = one
        for j in range(arrays[row, TO] - 1, arrays[row, FROM] - 1, -1):
            voltage /= one + np.float64(factor[side, at + j]) * resistance
            factor[side, at + j] = voltage


@kernel
def word_lines(now, sides, lines, chips, arrays, resistance, factor, passed):
    """Multiply `factor` by the voltage along each word line driven at 1 V, where each cell draws ``g * factor``.

    Parameters are those of `bit_lines`, but: `arrays` has a row for each tile of outputs, and `passed`, (sides, cells)
    float32, gets what is left of each cell, ``g * factor`` in µS.
    """
    one = np.float64(1.0)
    for k in range(cuda.grid(1), sides * chips * lines, cuda.gridsize(1)):
        side, row, at, j = line_at(k, lines, chips, arrays, INPUTS)
        n_in = arrays[row, INPUTS]
        behind = np.float64(0.0)
        for i in range(arrays[row, TO] - 1, arrays[row, FROM] - 1, -1):
            cell = at + i * n_in + j
            load = np.float64(larger(now[side, cell], np.float32(0.0))) * factor[side, cell]
            behind = load + behind / (one + behind * resistance)
            passed[side, cell] = behind  # for the way back
        voltage = one
        for i in range(arrays[row, FROM], arrays[row, TO]):
            cell = at + i * n_in + j
            voltage /= one + np.float64(passed[side, cell]) * resistance
            factor[side, cell] = factor[side, cell] * voltage
            passed[side, cell] = larger(now[side, cell], np.float32(0.0)) * factor[side, cell]
