"""An analog crossbar: DAC, differential conductance pairs with programming and read noise, line noise, ADC.

A weight is a pair of cells, w = w_max (g+ - g-) / (g_max - g_min), of which one rests at g_min; the inputs are
voltages on the rows, the columns' currents are the sums, and converters stand at both ends (the architecture of
Gokmen & Vlasov, Front. Neurosci. 10:333, 2016; its noise terms as in Agarwal et al., IJCNN 2016, 7727298).
Everything else that cells do is off: noise from physical constants, telegraph noise, drift, retention, temperature.
"""

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from noisysim.common.fields import Field, Spread
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, check_span, device_fields
from noisysim.devices.physics.ageing import arrhenius, metallic, power_law, relax
from noisysim.devices.physics.converters import adc, current, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.laws import clipped_normal
from noisysim.devices.physics.reads import flicker_share, shot_variance, thermal_variance
from noisysim.devices.physics.scalars import Moments, Scalar
from noisysim.devices.physics.telegraph import check_telegraph, jump, read_cell, read_cell_law  # noqa: F401  (hooks)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@device_fields
class Crossbar(Converters, Array, Faults, Clock, Controller):
    """A generic 8-bit crossbar with one per cent of intrinsic line noise, whose write controller keeps no weights.

    Read noise is Gaussian and independent for each cell and read, so its sum over a line is exactly Gaussian with
    variance ``sum_j x_j^2 s_j^2``: it is applied at the line, in law the same as a draw for each cell.
    """

    controller = "increment"

    read_noise: Annotated[
        float, Field("share of the cell's conductance", 0, 1, "std of a cell's conductance, each read", noise="read")
    ] = 0.01
    read_floor: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "the same, of every cell alike", noise="read")
    ] = 0.0
    bandwidth: Annotated[
        float, Field("Hz", 0, 1e12, "of a read: thermal noise, and shot noise where fano is not 0", noise="read")
    ] = 0.0
    fano: Annotated[
        float, Field("", 0, 1, "Fano factor of shot noise: 1 tunnelling, 1/3 diffusive metal", condition=True)
    ] = 0.0
    read_voltage: Annotated[float, Field("V", 1e-3, 10, "full scale of the DAC at the cells", condition=True)] = 0.2
    temperature: Annotated[float, Field("K", 1, 1000, "of the chip", condition=True)] = 300.0
    flicker_noise: Annotated[
        float,
        Field(  # it grows with a cell's age
            "share of the cell's conductance", 0, 1, "Q_s of 1/f noise, S_G / G^2 = Q_s^2 / f", noise="read",
            hook="drift",
        ),
    ] = 0.0  # fmt: skip
    telegraph: Annotated[
        float,
        Field(
            "share of the cell's conductance", -1, 10, "what a captured carrier adds to a cell", noise="read",
            hook="read_cell", spread=Spread("telegraph_spread", "lognormal"),
        ),
    ] = 0.0  # fmt: skip
    telegraph_spread: Annotated[float, Field("relative", 0, 3, "of the cells' telegraph noise, of its logarithm")] = 0.0
    tau_capture: Annotated[
        float, Field("s", 1e-12, 1e12, "mean time until a trap captures a carrier", off=0, hook="jump", condition=True)
    ] = 0.0
    tau_emission: Annotated[float, Field("s", 1e-12, 1e12, "mean time until it lets go", off=0, condition=True)] = 0.0
    program_noise: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "std of a cell's conductance after a write", noise="write")
    ] = 0.002
    program_noise_share: Annotated[
        float, Field("share of the target", 0, 1, "the part of it that grows with the target", noise="write")
    ] = 0.0
    levels: Annotated[int, Field("levels", 2, 65536, "conductances a cell can be written to", off=0, whole=True)] = 256
    g_min: Annotated[float, Field("µS", 0, 1e6, "lowest conductance of a cell")] = 0.1
    g_max: Annotated[float, Field("µS", 1e-6, 1e6, "highest conductance of a cell")] = 25.0
    iv_curve: Annotated[
        float,
        Field("", 0, 20, "a of a cell's current sinh(a v) / sinh(a), v of full scale; 0 is ohmic", hook="current"),
    ] = 0.0
    drift_nu: Annotated[
        float,
        Field(
            "", 0, 1, "exponent of the drift (t / t0)^-nu", hook="drift", spread=Spread("drift_nu_spread"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    drift_nu_spread: Annotated[float, Field("relative", 0, 2, "std of the cells' exponents")] = 0.0
    drift_start: Annotated[float, Field("s", 1e-9, 1e9, "t0: drift starts here", condition=True)] = 1.0
    retention: Annotated[
        float,
        Field("s", 1e-15, 1e15, "t_a of the decay to g_min in t_a exp(E_a / kT)", off=0, hook="drift", condition=True),
    ] = 0.0
    activation_energy: Annotated[float, Field("eV", 0, 3, "E_a of the decay to g_min", condition=True)] = 0.0
    temperature_coefficient: Annotated[
        float, Field("1/K", -0.1, 0.1, "alpha of the cells' R = R0 (1 + alpha (T - T0))", hook="drift", condition=True)
    ] = 0.0
    write_temperature: Annotated[float, Field("K", 1, 1000, "T0: of the chip while it is written")] = 300.0


def check(d: Crossbar) -> None:
    """What the fields must satisfy together."""
    check_span(d)
    check_telegraph(d)


def program_std(g: Scalar, d: Any) -> Scalar:
    """Error of a write, µS: a constant part and one that grows with the target, in quadrature."""
    std = d.program_noise * (d.g_max - d.g_min)
    if d.program_noise_share > _ZERO:
        relative = d.program_noise_share * g
        std = np.sqrt(std * std + relative * relative)
    return std


def nearest_level(g: Any, d: Any) -> Any:
    """The level that a write of target g, one or an array of them, aims at."""
    if d.levels < 2:
        return g
    step = (d.g_max - d.g_min) / (d.levels - _ONE)
    return d.g_min + step * np.rint((g - d.g_min) / step)


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """Write-and-verify: the nearest level, missed by a Gaussian error; a cell's range bounds it."""
    g = nearest_level(g, d)
    return min(max(g + program_std(g, d) * z, d.g_min), d.g_max)


def program_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `program`."""
    level = nearest_level(np.asarray(g, float), d)
    error = np.hypot(d.program_noise * (d.g_max - d.g_min), d.program_noise_share * level)
    return clipped_normal(level, error, d.g_min, d.g_max)


def cell_std(g: Scalar, t: Scalar, d: Any) -> Scalar:
    """Read noise: G (1 + s xi), and whatever else is on, in quadrature."""
    proportional = d.read_noise * g
    if d.read_floor + d.bandwidth + d.flicker_noise == _ZERO:
        return proportional
    floor = d.read_floor * (d.g_max - d.g_min)
    flicker = g * flicker_share(d.flicker_noise, t, d.read_time)
    variance = proportional * proportional + floor * floor + flicker * flicker
    variance += thermal_variance(g, d.temperature, d.bandwidth, d.read_voltage)
    return np.sqrt(variance + shot_variance(g, d.fano, d.bandwidth, d.read_voltage))


def drift(g: Scalar, t: Scalar, d: Any) -> Scalar:
    """Decay to g_min, drift by a power law, then what the temperature makes of a metallic filament."""
    if d.retention > _ZERO:
        g = relax(g, d.g_min, t, arrhenius(d.retention, d.activation_energy, d.temperature))
    if d.drift_nu > _ZERO:
        g = power_law(g, t, d.drift_start, d.drift_nu)
    return metallic(g, d.temperature_coefficient, d.temperature - d.write_temperature)
