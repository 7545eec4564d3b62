"""The loops of the fast approximation of IR drop: what the wires of an array leave of each cell's conductance.

A line that crosses ideal lines is a resistor ladder, tied at one end and open at the other. From the open end on, the
conductance of all that is behind a crosspoint follows as a continued fraction; back from the tied end, the voltages
follow as a product of voltage dividers. Both have positive terms only, so that nothing cancels.
"""

import numpy as np

from noisysim.compute.jit.compiling import loop


@loop()
def bit_lines(g, resistance, out):
    """Voltage along each bit line if its sense end is at 1 V and all word lines are grounded.

    By reciprocity that is the share of a cell's current that reaches the sense amplifier at virtual ground.

    Parameters
    ----------
    g : (n_out, n_in) float32, µS
    resistance : float64, of a wire segment in 1/µS
    out : (n_out, n_in) float32
    """
    n_out, n_in = g.shape
    for i in range(n_out):
        behind = 0.0
        for j in range(n_in):
            behind = g[i, j] + behind / (1.0 + behind * resistance)
            out[i, j] = behind  # a conductance, not the divider near 1: rounding it costs next to nothing
        voltage = 1.0
        for j in range(n_in - 1, -1, -1):
            voltage /= 1.0 + out[i, j] * resistance
            out[i, j] = voltage


@loop(_nrt=True)
def word_lines(g, resistance, out):
    """Multiply `out` by the voltage along each word line driven at 1 V, where each cell draws the current ``g * out``.

    All word lines advance together, so that memory is read along rows.

    Parameters
    ----------
    g : (n_out, n_in) float32, µS
    resistance : float64, of a wire segment in 1/µS
    out : (n_out, n_in) float32
    """
    n_out, n_in = g.shape
    behind = np.empty((n_out, n_in), np.float32)
    line = np.zeros(n_in, np.float64)
    for i in range(n_out - 1, -1, -1):
        for j in range(n_in):
            load = np.float64(g[i, j]) * out[i, j]
            line[j] = load + line[j] / (1.0 + line[j] * resistance)
            behind[i, j] = line[j]
    line[:] = 1.0
    for i in range(n_out):
        for j in range(n_in):
            line[j] /= 1.0 + behind[i, j] * resistance
            out[i, j] *= line[j]


@loop()
def attenuate(g, wire, out):
    """What the wires leave of each cell: ``g * out`` approximates `physics.wires.transfer`, at a cost of O(cells).

    The factor of the bit lines is exact for ideal word lines; that of the word lines lets each cell draw what it would
    draw from ideal word lines at equal inputs. So outputs are exact to first order in the wire resistance, and to
    second order where all inputs are equal (docs/wires.md: why, and the errors measured).

    Parameters
    ----------
    g : (n_out, n_in) float32, µS, C-contiguous
        Non-negative conductances of one array, laid out as in `noisysim.devices.physics.wires.transfer`.
    wire : float32, µS
        Conductance of a wire segment, 1e6 / Ohm; infinite for ideal wires.
    out : (n_out, n_in) float32
        Gets the factors, from 0 to 1.
    """
    resistance = 1.0 / np.float64(wire)
    bit_lines(g, resistance, out)
    word_lines(g, resistance, out)
