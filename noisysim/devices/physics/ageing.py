"""What time makes of a conductance."""

import numpy as np

from noisysim.devices.physics.scalars import Scalar

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_KELVIN_PER_EV = np.float32(1.602176634e-19 / 1.380649e-23)


def power_law(g: Scalar, t: Scalar, start: Scalar, nu: Scalar) -> Scalar:
    """Drift G (t / t0)^-nu from t0 on (Pirovano et al., IEEE TED 51:714, 2004; Karpov et al., JAP 102:124503, 2007)."""
    return g * np.exp(-nu * np.log(max(t / start, _ONE)))


def relax(g: Scalar, rest: Scalar, t: Scalar, tau: Scalar) -> Scalar:
    """Exponential decay to a resting level: rest + (G - rest) exp(-t / tau)."""
    return rest + (g - rest) * np.exp(-t / tau)


def arrhenius(attempt: Scalar, energy: Scalar, temperature: Scalar) -> Scalar:
    """Temperature-activated time t_a exp(E_a / (kB T)), s; energy in eV, temperature in K."""
    return attempt * np.exp(energy * _KELVIN_PER_EV / temperature)


def metallic(g: Scalar, coefficient: Scalar, warmer: Scalar) -> Scalar:
    """Conductance of a metallic filament `warmer` K above where it was written: R = R0 (1 + alpha (T - T0))."""
    return g / max(_ONE + coefficient * warmer, np.float32(1e-3))


def clipped_log(share: Scalar, slope: Scalar, offset: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """clip(slope ln g + offset, low, high), g of the largest conductance."""
    return min(max(slope * np.log(max(share, np.float32(1e-7))) + offset, low), high)


def joshi_exponent(share: Scalar, xi: Scalar) -> Scalar:
    """Drift exponent |mu + s xi| of mushroom PCM, g of 25 µS (Joshi et al., Nat. Commun. 11:2473, 2020)."""
    mean = clipped_log(share, np.float32(-0.0155), np.float32(0.0244), np.float32(0.049), np.float32(0.1))
    std = clipped_log(share, np.float32(-0.0125), np.float32(-0.0059), np.float32(0.008), np.float32(0.045))
    return abs(mean + std * xi)


def hermes_mean(share: Scalar) -> Scalar:
    """Mean drift exponent of both unit cells (Le Gallo et al., Nat. Electron. 6:680, 2023)."""
    low = clipped_log(share, np.float32(-0.0387), np.float32(-0.0182), np.float32(0.072), np.float32(0.13))
    high = (np.float32(-0.0436) * share - np.float32(0.0126)) * share + np.float32(0.0736)
    return low if share < np.float32(0.0945) else high


def hermes_exponent_one(share: Scalar, xi: Scalar) -> Scalar:
    """Drift exponent |mu + s xi| of one device, g of 10.35 µS (Le Gallo et al., Nat. Electron. 6:680, 2023)."""
    low = clipped_log(share, np.float32(-0.0120), np.float32(-0.0023), np.float32(0.0124), np.float32(0.04))
    high = (np.float32(-0.0165) * share + np.float32(0.0116)) * share + np.float32(0.0104)
    return abs(hermes_mean(share) + (low if share < np.float32(0.3039) else high) * xi)


def hermes_exponent_two(share: Scalar, xi: Scalar) -> Scalar:
    """The same of two devices, g of 20.7 µS."""
    low = clipped_log(share, np.float32(-0.0117), np.float32(-0.0057), np.float32(0.0091), np.float32(0.04))
    high = (np.float32(-0.0118) * share + np.float32(0.0093)) * share + np.float32(0.0073)
    return abs(hermes_mean(share) + (low if share < np.float32(0.3055) else high) * xi)


DAY = np.float32(86400.0)


def between_logs(t: Scalar, first: Scalar, last: Scalar) -> Scalar:
    """How far ln t is from ln `first` to ln `last`, 0 to 1."""
    return min(max(np.log(max(t, first) / first) / np.log(last / first), _ZERO), _ONE)


def wan_error_day(share: Scalar) -> Scalar:
    """Error of RRAM a day after the write, µS, g of 40 µS (Wan et al., Nature 608:504, 2022, Extended Data Fig. 3)."""
    error = np.float32(-16.458) * share + np.float32(47.095)
    error = (error * share - np.float32(50.773)) * share + np.float32(22.086)
    return error * share + np.float32(0.701)


def wan_error_two_days(share: Scalar) -> Scalar:
    """The same two days after the write."""
    error = np.float32(-11.934) * share + np.float32(37.062)
    error = (error * share - np.float32(43.507)) * share + np.float32(20.274)
    return error * share + np.float32(0.782)


def grown(later: Scalar, earlier: Scalar) -> Scalar:
    """The variance that errors have gained, where they have grown."""
    return max(later * later - earlier * earlier, _ZERO)


def wan_growth(share: Scalar, t: Scalar, first: Scalar) -> Scalar:
    """Variance that errors of RRAM, `first` (µS) 1 s after the write, have gained at an age, µS^2.

    It is that of the fits at one and at two days, and between these times linear in ln t; later ages were not measured.
    """
    day = grown(wan_error_day(share), first)
    two = grown(wan_error_two_days(share), first)
    return day * between_logs(t, _ONE, DAY) + (two - day) * between_logs(t, DAY, DAY + DAY)
