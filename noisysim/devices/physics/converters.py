"""What converters and lines do to one number; the hooks of every device that has them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.devices.physics.scalars import Moments, Scalar

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def quantise(v: Scalar, full_scale: Scalar, bits: Scalar) -> Scalar:
    """Clip to +-full_scale and round to one of 2^bits - 1 codes, symmetric about a code at zero.

    The step is 2 full_scale / (2^bits - 2), the sign-magnitude form; 0 bits is an ideal converter that still clips.
    """
    full = np.float32(full_scale)
    v = min(max(np.float32(v), -full), full)
    if bits < 1:
        return v
    half = np.float32((1 << (int(bits) - 1)) - 1)
    return np.rint(v * (half / full)) * (full / half)


def distort(v: Scalar, gain: Scalar, offset: Scalar, curve: Scalar) -> Scalar:
    """A converter's static errors on ``v`` of full scale: (1 + gain) v + offset, compressed to v / (1 + curve |v|)."""
    v = (_ONE + gain) * v + offset
    return v / (_ONE + curve * abs(v))


def dac(v: Scalar, d: Any) -> Scalar:
    """Quantise an input, in units of the row's full scale; then the errors of the DAC's analog side."""
    if d.dac_bits >= 1:
        v = quantise(v, _ONE, d.dac_bits)
    if d.dac_gain != _ZERO or d.dac_offset != _ZERO or d.dac_curve != _ZERO:
        v = distort(v, d.dac_gain, d.dac_offset, d.dac_curve)
    return v


def adc(i: Scalar, d: Any) -> Scalar:
    """The errors of the ADC's analog side; then clip to the full scale and quantise."""
    if d.adc_gain != _ZERO or d.adc_offset != _ZERO or d.adc_curve != _ZERO:
        i = distort(i / d.adc_range, d.adc_gain, d.adc_offset, d.adc_curve) * d.adc_range
    if d.adc_bits >= 1:
        i = quantise(i, d.adc_range, d.adc_bits)
    return i


def readout(i: Scalar, energy: Scalar, z: Scalar, u: Scalar, d: Any) -> Scalar:
    """The cells' read noise and the line's own, added in quadrature."""
    line = d.line_noise * d.adc_range
    return i + np.sqrt(energy + line * line) * z


def readout_law(i: npt.ArrayLike, energy: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `readout`, float64."""
    return np.asarray(i, float), np.sqrt(np.asarray(energy, float) + (float(d.line_noise) * float(d.adc_range)) ** 2)


def current(v: Scalar, d: Any) -> Scalar:
    """I-V curve of a cell, I0 sinh(V / V0), normalised to carry exactly g at full scale: sinh(a v) / sinh(a).

    A write is verified at the read voltage, so a cell's conductance is its current at full scale. The slope at zero is
    a / sinh(a), below 1.
    """
    return np.sinh(d.iv_curve * v) / np.sinh(d.iv_curve) if d.iv_curve > _ZERO else v
