"""What a write leaves of a conductance: programming errors, and responses to pulses."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from noisysim.devices.physics.laws import clipped_normal, each
from noisysim.devices.physics.scalars import Moments, Scalar

_ZERO, _ONE, _TWO, _HALF = np.float32(0.0), np.float32(1.0), np.float32(2.0), np.float32(0.5)

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


class Bounded(Protocol):
    """The numbers of a cell with bounds (`noisysim.devices.field_groups.Steps`): the device's, or its own."""

    g_min: Scalar
    g_max: Scalar
    upper: Scalar
    lower: Scalar


class Stepping(Bounded, Protocol):
    """Those of a cell that pulses change by steps."""

    pulse_step: Scalar
    pulse_gain: Scalar
    pulse_scale: Scalar
    asymmetry: Scalar
    write_noise: Scalar
    write_noise_floor: Scalar
    apparent_noise: Scalar


class Shaped(Stepping, Protocol):
    """Those of a cell whose steps have a shape each way."""

    gamma_up: Scalar
    gamma_down: Scalar


class Linear(Shaped, Protocol):
    """Those of steps that shrink linearly (`noisysim.devices.field_groups.LinearSteps`)."""

    gamma_up_own: Scalar
    gamma_down_own: Scalar
    gamma_of_bound: Scalar
    reference: Scalar
    zero_shift: Scalar


class Exponential(Shaped, Protocol):
    """Those of steps that depend exponentially on the conductance."""

    up_down: Scalar
    a_up: Scalar
    a_down: Scalar
    scale: Scalar
    shift: Scalar
    origin: Scalar
    write_noise_slope: Scalar


def lowest(d: Bounded) -> Scalar:
    """The cell's own lower bound, µS: its position counts half spans down from the middle."""
    half = _HALF * (d.g_max - d.g_min)
    return max(d.g_min + half - d.lower * half, _ZERO)


def highest(d: Bounded) -> Scalar:
    """The cell's own upper bound, µS."""
    half = _HALF * (d.g_max - d.g_min)
    return d.g_min + half + d.upper * half


def within_bounds(g: Scalar, z: Scalar, d: Bounded) -> Scalar:
    """A write that leaves what was asked for, within the cell's own bounds."""
    return min(max(g, lowest(d)), highest(d))


def appear_near(g: Scalar, z: Scalar, d: Stepping) -> Scalar:
    """What a cell shows of its state g: a Gaussian error of so many nominal steps, new at each update.

    The apparent weight w + s dw xi of Gong et al., Nat. Commun. 9:2102, 2018, as Rasch et al. state it (AICAS 2021):
    updates act on the state w, so that these errors do not add up.
    """
    return g + d.apparent_noise * d.pulse_step * (d.g_max - d.g_min) * z


def own_step(up: Scalar, d: Stepping) -> Scalar:
    """Size of a cell's step in the middle of its range, µS."""
    return d.pulse_step * (d.g_max - d.g_min) * max(d.pulse_gain * d.pulse_scale + up * d.asymmetry, _ZERO)


def floor_noise(d: Stepping) -> Scalar:
    """Std of a pulse's change that its direction and the conductance have no part in, µS."""
    return d.write_noise_floor * d.pulse_step * (d.g_max - d.g_min) * d.pulse_gain * d.pulse_scale


def linear_gamma(up: Scalar, d: Linear) -> tuple[Scalar, Scalar]:
    """By what share a cell's step has shrunk at a position, half spans, that is the second number."""
    gamma = d.gamma_up + d.gamma_up_own if up > _ZERO else d.gamma_down + d.gamma_down_own
    bound = d.upper if up > _ZERO else d.lower
    return gamma, bound if d.gamma_of_bound > _ZERO else _ONE


def linear_origin(d: Linear) -> Scalar:
    """The position, half spans, at which a cell equals its reference and stands for the weight 0.

    With ``zero_shift`` that is where a step up and one down cancel (Kim et al., arXiv 1907.10228, 2019), missed by
    ``reference``. Constant steps have no such place.
    """
    origin = d.reference
    if d.zero_shift > _ZERO:
        gamma_up, upper = linear_gamma(_ONE, d)
        gamma_down, lower = linear_gamma(-_ONE, d)
        gain = d.pulse_gain * d.pulse_scale
        slope = max(gain + d.asymmetry, _ZERO) * gamma_up / upper + max(gain - d.asymmetry, _ZERO) * gamma_down / lower
        origin = origin + (_TWO * d.asymmetry / slope if slope > _ZERO else _ZERO)
    return origin


def linear_step(g: Scalar, up: Scalar, origin: Scalar, d: Linear) -> Scalar:
    """Mean change of a pulse, µS, before bounds: dw (1 - gamma w / b), w the position between the cell's own bounds b.

    gamma = 0 is the constant step of Gokmen & Vlasov (Front. Neurosci. 10:333, 2016), gamma = 1 soft bounds (Fusi &
    Abbott, Nat. Neurosci. 10:485, 2007). `origin` is the position of the reference (`linear_origin`).
    """
    step = up * own_step(up, d)
    if d.gamma_up != _ZERO or d.gamma_down != _ZERO:
        half = _HALF * (d.g_max - d.g_min)
        position = (g - d.g_min - half) / half + origin
        gamma, bound = linear_gamma(up, d)
        step = step * max(_ONE - gamma * up * position / bound, _ZERO)
    return step


def linear_bounds(origin: Scalar, d: Linear) -> tuple[Scalar, Scalar]:
    """The lowest and the highest conductance of a cell beside a reference at a position, µS."""
    half = _HALF * (d.g_max - d.g_min)
    shift = origin * half
    return max(d.g_min + half - d.lower * half - shift, _ZERO), d.g_min + half + d.upper * half - shift


def linear_program(g: Scalar, z: Scalar, d: Linear) -> Scalar:
    """A write that leaves what was asked for, within the cell's own bounds beside its reference."""
    low, high = linear_bounds(linear_origin(d), d)
    return min(max(g, low), high)


def linear_move(g: Scalar, up: Scalar, z: Scalar, origin: Scalar, d: Linear) -> Scalar:
    """One pulse of `linear_step` with noise from cycle to cycle, clipped to the cell's own bounds."""
    low, high = linear_bounds(origin, d)
    g = g + linear_step(g, up, origin, d) * (_ONE + d.write_noise * z)
    if d.write_noise_floor > _ZERO:
        g = g + up * floor_noise(d) * z
    return min(max(g, low), high)


def linear_pulse(g: Scalar, up: Scalar, z: Scalar, d: Linear) -> Scalar:
    """`linear_move` of a cell beside its reference; one in the middle, the usual one, takes the short way."""
    up = np.float32(up)
    if d.zero_shift == _ZERO and d.reference == _ZERO:
        return linear_move(g, up, z, _ZERO, d)
    return linear_move(g, up, z, linear_origin(d), d)


def exponential_gain(up: Scalar, d: Exponential) -> Scalar:
    """Size of a cell's step before its shape, µS; a step down has ``up_down`` less."""
    less = _ZERO if up > _ZERO else d.up_down
    gain = d.pulse_gain * d.pulse_scale - less + up * d.asymmetry
    return d.pulse_step * (d.g_max - d.g_min) * max(gain, _ZERO)


def exponential_step(g: Scalar, up: Scalar, d: Exponential) -> Scalar:
    """Mean change of a pulse, µS, before bounds: dw max(1 - A_d exp(d gamma_d y), 0), y = 2 a w / (b_max - b_min) + b.

    Gong et al., Nat. Commun. 9:2102, 2018; w is the position from ``origin`` (-1 the lowest conductance, 0 the middle),
    b_max and b_min the cell's own bounds, d = +-1.
    """
    position = (g - d.g_min) * _TWO / (d.g_max - d.g_min) - _ONE
    y = _TWO * d.scale * (position - d.origin) / (d.upper + d.lower) + d.shift
    shape = d.a_up * np.exp(d.gamma_up * y) if up > _ZERO else d.a_down * np.exp(-d.gamma_down * y)
    return up * exponential_gain(up, d) * max(_ONE - shape, _ZERO)


def exponential_noise(g: Scalar, up: Scalar, d: Exponential) -> Scalar:
    """Std of a pulse's change, µS: of the step, the same everywhere, and growing with the conductance."""
    above = max(g - d.g_min, _ZERO) * _TWO * d.pulse_step * d.pulse_gain * d.pulse_scale
    return abs(exponential_step(g, up, d)) * d.write_noise + floor_noise(d) + d.write_noise_slope * above


def exponential_pulse(g: Scalar, up: Scalar, z: Scalar, d: Exponential) -> Scalar:
    """One pulse of `exponential_step` with noise from cycle to cycle, clipped to the cell's own bounds."""
    up = np.float32(up)
    g = g + exponential_step(g, up, d) + up * exponential_noise(g, up, d) * z
    return min(max(g, lowest(d)), highest(d))


def power_step(g: Scalar, up: Scalar, d: Shaped) -> Scalar:
    """Mean change of a pulse, µS, before bounds: dw r^gamma, r the share of the cell's range that is left that way.

    Fusi & Abbott, Nat. Neurosci. 10:485, 2007; Frascaroli et al., Sci. Rep. 8:7178, 2018. gamma = 1 are soft bounds.
    """
    position = (g - d.g_min) * _TWO / (d.g_max - d.g_min) - _ONE
    left, gamma = (d.upper - position, d.gamma_up) if up > _ZERO else (position + d.lower, d.gamma_down)
    return up * own_step(up, d) * min(max(left / (d.upper + d.lower), _ZERO), _ONE) ** gamma


def power_pulse(g: Scalar, up: Scalar, z: Scalar, d: Shaped) -> Scalar:
    """One pulse of `power_step` with noise from cycle to cycle, clipped to the cell's own bounds."""
    up = np.float32(up)
    return noisy(g, power_step(g, up, d), up, z, d)


def piecewise_step(g: Scalar, up: Scalar, nodes: npt.NDArray[Any], d: Stepping) -> Scalar:
    """Mean change of a pulse, µS, before bounds: dw times a line between nodes, evenly spaced from bound to bound."""
    position = (g - d.g_min) * _TWO / (d.g_max - d.g_min) - _ONE
    sections = nodes.size - 1
    at = min(max((position + d.lower) / (d.upper + d.lower), _ZERO), _ONE) * np.float32(sections)
    k = min(int(at), sections - 1)
    part = at - np.float32(k)
    return up * own_step(up, d) * ((_ONE - part) * nodes[k] + part * nodes[k + 1])


def noisy(g: Scalar, step: Scalar, up: Scalar, z: Scalar, d: Stepping) -> Scalar:
    """A conductance after a step with noise from cycle to cycle, clipped to the cell's own bounds."""
    g = g + step * (_ONE + d.write_noise * z) + up * floor_noise(d) * z
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


def bounded_law(mean: npt.ArrayLike, std: npt.ArrayLike, d: Bounded) -> Moments:
    """Mean and standard deviation of a normal draw held within a cell's own bounds, float64."""
    return clipped_normal(mean, std, float(lowest(d)), float(highest(d)))


def within_bounds_law(g: npt.ArrayLike, d: Bounded) -> Moments:
    """Mean and standard deviation of `within_bounds`, float64."""
    return bounded_law(g, 0.0, d)


def appear_near_law(g: npt.ArrayLike, d: Stepping) -> Moments:
    """Mean and standard deviation of `appear_near`, float64; conductances are never negative."""
    return clipped_normal(g, float(d.apparent_noise * d.pulse_step * (d.g_max - d.g_min)), low=0.0)


def linear_program_law(g: npt.ArrayLike, d: Linear) -> Moments:
    """Mean and standard deviation of `linear_program`, float64."""
    return clipped_normal(g, 0.0, *map(float, linear_bounds(linear_origin(d), d)))


def linear_pulse_law(g: npt.ArrayLike, up: Scalar, d: Linear) -> Moments:
    """Mean and standard deviation of `linear_pulse`, float64."""
    origin = linear_origin(d)
    step = each(lambda v: linear_step(v, np.float64(up), origin, d), g)
    std = np.abs(step) * float(d.write_noise) + float(floor_noise(d))
    return clipped_normal(np.asarray(g, float) + step, std, *map(float, linear_bounds(origin, d)))


def exponential_pulse_law(g: npt.ArrayLike, up: Scalar, d: Exponential) -> Moments:
    """Mean and standard deviation of `exponential_pulse`, float64."""
    step = each(lambda v: exponential_step(v, np.float64(up), d), g)
    return bounded_law(np.asarray(g, float) + step, each(lambda v: exponential_noise(v, np.float64(up), d), g), d)


def power_pulse_law(g: npt.ArrayLike, up: Scalar, d: Shaped) -> Moments:
    """Mean and standard deviation of `power_pulse`, float64."""
    return noisy_law(g, each(lambda v: power_step(v, np.float64(up), d), g), up, d)


def noisy_law(g: npt.ArrayLike, step: npt.ArrayLike, up: Scalar, d: Stepping) -> Moments:
    """Mean and standard deviation of `noisy`, float64."""
    std = np.abs(step) * float(d.write_noise) + float(floor_noise(d))
    return bounded_law(np.asarray(g, float) + step, std, d)
