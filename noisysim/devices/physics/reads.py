"""Noise of one read of one cell: standard deviations and variances in µS and µS^2."""

from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.devices.physics.scalars import Moments, Scalar

_ZERO = np.float32(0.0)
_FOUR_K = np.float32(4e6 * 1.380649e-23)  # 4 kB, for conductances in µS and variances in µS^2
_TWO_Q = np.float32(2e6 * 1.602176634e-19)
_SHORTEST = np.float32(1e-15)


def proportional_std(g: Scalar, t: Scalar, d: Any) -> Scalar:
    """Read noise proportional to the conductance: G (1 + s xi)."""
    return d.read_noise * g


def thermal_variance(g: Scalar, temperature: Scalar, bandwidth: Scalar, voltage: Scalar) -> Scalar:
    """Thermal noise (Johnson, Phys. Rev. 32:97, 1928; Nyquist, 32:110): 4 kB T G B / V^2, in µS^2.

    The current's variance 4 kB T G B as that of a conductance read at `voltage` (V), in a bandwidth (Hz) at a
    temperature (K).
    """
    return _FOUR_K * temperature * bandwidth / (voltage * voltage) * g


def shot_variance(g: Scalar, fano: Scalar, bandwidth: Scalar, voltage: Scalar) -> Scalar:
    """Shot noise (Schottky, Ann. Phys. 362:541, 1918): 2 q |I| F B / V^2 with I = G V, in µS^2."""
    return _TWO_Q * fano * bandwidth / voltage * g


def flicker_share(strength: Scalar, t: Scalar, read_time: Scalar) -> Scalar:
    """1/f noise, S_G / G^2 = Q / f, integrated from a read's bandwidth down to the age ``t``: std over conductance.

    Q_s sqrt(ln((t + t_read) / (2 t_read))) (Nandakumar et al., ICECS 2019, 727; Joshi et al., Nat. Commun. 11:2473,
    2020), Q_s = sqrt(Q) (Hooge, Phys. Lett. A 29:139, 1969); 0 for a cell younger than one read.
    """
    shortest = max(read_time, _SHORTEST)
    return strength * np.sqrt(np.log(max((t + shortest) / (shortest + shortest), np.float32(1.0))))


def joshi_flicker(share: Scalar) -> Scalar:
    """Q_s = min(0.0088 / g^0.65, 0.2) of mushroom PCM, g of 25 µS (Nandakumar et al., ICECS 2019, 727)."""
    return min(np.float32(0.0088) * max(share, np.float32(1e-6)) ** np.float32(-0.65), np.float32(0.2))


def hermes_flicker_one(share: Scalar) -> Scalar:
    """Q_s of a unit cell of one device, g of 10.35 µS (Le Gallo et al., Nat. Electron. 6:680, 2023)."""
    low = np.float32(-0.0078) * np.log(max(share, np.float32(1e-7))) + np.float32(0.0038)
    high = np.float32(0.0664) * share - np.float32(0.1352)
    high = (high * share + np.float32(0.0768)) * share + np.float32(0.0088)
    return min(max(low, np.float32(0.0179)), np.float32(0.04)) if share < np.float32(0.1591) else high


def hermes_flicker_two(share: Scalar) -> Scalar:
    """Q_s of a unit cell of two devices, g of 20.7 µS (Le Gallo et al., Nat. Electron. 6:680, 2023)."""
    low = np.float32(-0.0117) * np.log(max(share, np.float32(1e-7))) - np.float32(0.0069)
    high = np.float32(0.0069) * share - np.float32(0.0280)
    high = (high * share + np.float32(0.0211)) * share + np.float32(0.0123)
    return min(max(low, np.float32(0.015)), np.float32(0.04)) if share < np.float32(0.16) else high


def saturating(i: Scalar, top: Scalar, scale: Scalar) -> Scalar:
    """A spread that grows with a cell's current and saturates: top (1 - exp(-i / scale)), in the unit of ``top``."""
    return top * (np.float32(1.0) - np.exp(-max(i, _ZERO) / scale))


def cells_alone(i: Scalar, energy: Scalar, z: Scalar, u: Scalar, d: Any) -> Scalar:
    """The read-out of a device whose cells have noise (``cell_std``) and whose lines have none of their own."""
    return i + np.sqrt(energy) * z


def cells_alone_law(i: npt.ArrayLike, energy: npt.ArrayLike, d: Any) -> Moments:
    """Mean and standard deviation of `cells_alone`, float64."""
    return np.asarray(i, float), np.sqrt(np.asarray(energy, float))
