"""What a write leaves of a conductance: programming errors, and responses to pulses."""

from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.devices.physics.laws import clipped_normal, each
from noisysim.devices.physics.scalars import Moments, Scalar

_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)

# --- programming errors: standard deviations in µS ------------------------------------------------------------------


def erroneous(g: Scalar, std: Scalar, z: Scalar) -> Scalar:
    """A written conductance, max(0, G + s xi)."""
    return max(g + std * z, _ZERO)


def joshi_error(share: Scalar) -> Scalar:
    """Mushroom PCM, g of 25 µS: 0.26348 + 1.9650 g - 1.1731 g^2 (Joshi et al., Nat. Commun. 11:2473, 2020)."""
    return (np.float32(-1.1731) * share + np.float32(1.9650)) * share + np.float32(0.26348)


def hermes_error_one(share: Scalar) -> Scalar:
    """PCM, a unit cell of one device, g of 10.35 µS (Le Gallo et al., Nat. Electron. 6:680, 2023)."""
    error = np.float32(0.68841818) * share - np.float32(2.16310839)
    return (error * share + np.float32(2.32443916)) * share + np.float32(0.15781817)


def hermes_error_two(share: Scalar) -> Scalar:
    """PCM, a unit cell of two devices, g of 20.7 µS (Le Gallo et al., Nat. Electron. 6:680, 2023)."""
    error = np.float32(4.68961419) * share - np.float32(8.48101252)
    return (error * share + np.float32(4.71806468)) * share + np.float32(0.16603222)


def wan_error(g: Scalar) -> Scalar:
    """RRAM 1 s after the write, 0 to 39.26 µS (Wan et al., Nature 608:504, 2022)."""
    return max(
        ((np.float32(1.536e-4) * g - np.float32(0.01167)) * g + np.float32(0.2374)) * g + np.float32(1.053), _ZERO
    )


def milo_error(g: Scalar) -> Scalar:
    """RRAM written by IGVVA-100, 50 to 225 µS (Milo et al., IRPS 2021)."""
    return max(np.float32(4.782321) - np.float32(0.009107) * g, _ZERO)


# --- pulses ---------------------------------------------------------------------------------------------------------


def lowest(d: Any) -> Scalar:
    """The cell's own lower bound, µS: its position counts half spans down from the middle."""
    half = _HALF * (d.g_max - d.g_min)
    return max(d.g_min + half - d.lower * half, _ZERO)


def highest(d: Any) -> Scalar:
    """The cell's own upper bound, µS."""
    half = _HALF * (d.g_max - d.g_min)
    return d.g_min + half + d.upper * half


def within_bounds(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """A write that leaves what was asked for, within the cell's own bounds."""
    return min(max(g, lowest(d)), highest(d))


def linear_step(g: Scalar, up: Scalar, d: Any) -> Scalar:
    """Mean change of a pulse, µS, before bounds: dw (1 - gamma w / b), w the position between the cell's own bounds b.

    gamma = 0 is the constant step of Gokmen & Vlasov (Front. Neurosci. 10:333, 2016), gamma = 1 soft bounds (Fusi &
    Abbott, Nat. Neurosci. 10:485, 2007).
    """
    step = up * d.pulse_step * (d.g_max - d.g_min) * max(d.pulse_gain + up * d.asymmetry, _ZERO)
    if d.gamma_up != _ZERO or d.gamma_down != _ZERO:
        half = _HALF * (d.g_max - d.g_min)
        position = (g - d.g_min - half) / half
        gamma, bound = (d.gamma_up, d.upper) if up > _ZERO else (d.gamma_down, d.lower)
        step = step * max(_ONE - gamma * up * position / bound, _ZERO)
    return step


def linear_pulse(g: Scalar, up: Scalar, z: Scalar, d: Any) -> Scalar:
    """One pulse of `linear_step` with relative noise from cycle to cycle, clipped to the cell's own bounds."""
    g = g + linear_step(g, np.float32(up), d) * (_ONE + d.write_noise * z)
    return min(max(g, lowest(d)), highest(d))


def exponential_step(g: Scalar, up: Scalar, d: Any) -> Scalar:
    """Mean change of a pulse, µS, before bounds: dw max(1 - A_d exp(d gamma_d y), 0), y = 2 a w / (b_max - b_min) + b.

    Gong et al., Nat. Commun. 9:2102, 2018; w is the position, b_max and b_min the cell's own bounds, d = +-1.
    """
    span = d.g_max - d.g_min
    position = (g - d.g_min) * (_ONE + _ONE) / span - _ONE
    y = (_ONE + _ONE) * d.scale * position / (d.upper + d.lower) + d.shift
    if up > _ZERO:
        gain, shape = d.pulse_gain + d.asymmetry, d.a_up * np.exp(d.gamma_up * y)
    else:
        gain, shape = d.pulse_gain - d.up_down - d.asymmetry, d.a_down * np.exp(-d.gamma_down * y)
    return up * d.pulse_step * span * max(gain, _ZERO) * max(_ONE - shape, _ZERO)


def exponential_pulse(g: Scalar, up: Scalar, z: Scalar, d: Any) -> Scalar:
    """One pulse of `exponential_step` with relative noise from cycle to cycle, clipped to the cell's own bounds."""
    g = g + exponential_step(g, np.float32(up), d) * (_ONE + d.write_noise * z)
    return min(max(g, lowest(d)), highest(d))


def along(g: Scalar, up: Scalar, curve: npt.NDArray[Any]) -> Scalar:
    """Change of conductance that a pulse makes at ``g`` on a rising or falling curve, µS against pulse number.

    The place on the curve lies between two of its points; a pulse goes one point further, from beyond an end none.
    """
    low, high = 0, curve.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if up * curve[middle] <= up * g:
            low = middle
        else:
            high = middle
    gap = curve[low + 1] - curve[low]
    part = min(max((g - curve[low]) / gap, _ZERO), _ONE) if gap != _ZERO else _ZERO
    after = curve[low + 2] - curve[low + 1] if low + 2 < curve.size else _ZERO
    return (_ONE - part) * gap + part * after


# --- laws -----------------------------------------------------------------------------------------------------------


def erroneous_law(g: npt.ArrayLike, std: npt.ArrayLike) -> Moments:
    """Mean and standard deviation of `erroneous`, float64."""
    return clipped_normal(g, std, low=0.0)


def bounded_law(mean: npt.ArrayLike, std: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of a normal draw held within a cell's own bounds, float64."""
    return clipped_normal(mean, std, float(lowest(d)), float(highest(d)))


def within_bounds_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `within_bounds`, float64."""
    return bounded_law(g, 0.0, d)


def linear_pulse_law(g: npt.ArrayLike, up: Scalar, d: Any) -> Moments:
    """Mean and standard deviation of `linear_pulse`, float64."""
    step = each(lambda v: linear_step(v, np.float64(up), d), g)
    return bounded_law(np.asarray(g, float) + step, np.abs(step) * float(d.write_noise), d)


def exponential_pulse_law(g: npt.ArrayLike, up: Scalar, d: Any) -> Moments:
    """Mean and standard deviation of `exponential_pulse`, float64."""
    step = each(lambda v: exponential_step(v, np.float64(up), d), g)
    return bounded_law(np.asarray(g, float) + step, np.abs(step) * float(d.write_noise), d)
