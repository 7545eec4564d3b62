"""An analog crossbar: DAC, differential conductance pairs with programming and read noise, line noise, ADC.

A weight is a pair of cells, w = w_max (g+ - g-) / (g_max - g_min), of which one rests at g_min; the inputs are
voltages on the rows, the columns' currents are the sums, and converters stand at both ends (the architecture of
Gokmen & Vlasov, Front. Neurosci. 10:333, 2016; its noise terms as in Agarwal et al., IJCNN 2016, 7727298).
"""

from typing import Annotated, NamedTuple

import numpy as np

from noisysim.fields import Field
from noisysim.scalars.convert import quantise

_ONE = np.float32(1.0)


class Crossbar(NamedTuple):
    """A generic 8-bit crossbar with one per cent of intrinsic line noise.

    Read noise is Gaussian and independent for each cell and read, so its sum over a line is exactly Gaussian with
    variance ``sum_j x_j^2 s_j^2``: it is applied at the line, in law the same as a draw for each cell.
    """

    dac_bits: Annotated[float, Field("bits", 2, 24, "resolution of the input converters", off=0, whole=True)] = 8
    dac_range: Annotated[
        float, Field("input units", 0, doc="full scale of the DAC; 0 scales each vector to its own")
    ] = 0.0
    adc_bits: Annotated[float, Field("bits", 2, 24, "resolution of the output converters", off=0, whole=True)] = 8
    adc_range: Annotated[
        float, Field("pre-activation units", 0, doc="full scale of the ADC; 0 calibrates each tile and follows it")
    ] = 0.0
    line_noise: Annotated[
        float, Field("share of the ADC's full scale", 0, 1, "std of the noise on a line", noise="read")
    ] = 0.01
    read_noise: Annotated[
        float, Field("share of the cell's conductance", 0, 1, "std of a cell's conductance, each read", noise="read")
    ] = 0.01
    program_noise: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "std of a cell's conductance after a write", noise="write")
    ] = 0.002
    levels: Annotated[float, Field("levels", 2, 65536, "conductances a cell can be written to", off=0, whole=True)] = (
        256
    )
    g_min: Annotated[float, Field("uS", 0, 1e6, "lowest conductance of a cell")] = 0.1
    g_max: Annotated[float, Field("uS", 1e-6, 1e6, "highest conductance of a cell")] = 25.0
    weight_range: Annotated[
        float, Field("1 / sqrt(inputs)", 1e-3, 1e3, "weight that g_max stands for, times sqrt(inputs of the layer)")
    ] = 8.0
    tile_rows: Annotated[float, Field("cells", 1, 1e6, "most inputs of one array; 0 is any", off=0, whole=True)] = 0
    tile_columns: Annotated[float, Field("cells", 1, 1e6, "most outputs of one array; 0 is any", off=0, whole=True)] = 0


def check(d):
    """What the fields must satisfy together."""
    if not d.g_min < d.g_max:
        raise ValueError(f"crossbar.g_min ({d.g_min:g} uS) must be below crossbar.g_max ({d.g_max:g} uS)")


def dac(v, d):
    """Quantise an input, in units of the row's full scale."""
    if d.dac_bits < 1:
        return v
    return quantise(v, _ONE, d.dac_bits)


def program(g, z, d):
    """Write-and-verify: the nearest level, missed by a Gaussian error; a cell's range bounds it."""
    span = d.g_max - d.g_min
    if d.levels >= 2:
        step = span / (d.levels - _ONE)
        g = d.g_min + step * np.rint((g - d.g_min) / step)
    return min(max(g + d.program_noise * span * z, d.g_min), d.g_max)


def cell_std(g, d):
    """Read noise proportional to the conductance: G (1 + s xi)."""
    return d.read_noise * g


def readout(i, energy, z, u, d):
    """The cells' read noise and the line's own, added in quadrature."""
    line = d.line_noise * d.adc_range
    return i + np.sqrt(energy + line * line) * z


def adc(i, d):
    """Clip to the full scale and quantise."""
    if d.adc_bits < 1:
        return i
    return quantise(i, d.adc_range, d.adc_bits)
