"""Random telegraph noise: a trap that captures and emits a carrier, a two-state Markov chain in continuous time.

References
----------
S. Machlup, "Noise in semiconductors: spectrum of a two-parameter random signal", J. Appl. Phys. 25:341, 1954.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.devices.physics.scalars import Moments, Scalar

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def occupancy(d: Any) -> Scalar:
    """Stationary probability of state 1, tau_e / (tau_c + tau_e)."""
    return d.tau_emission / (d.tau_capture + d.tau_emission)


def jump(s: Scalar, u: Scalar, t: Scalar, d: Any) -> int:
    """State (0 empty, 1 captured) ``t`` seconds after it was ``s``: changed or not.

    P(1 | s) = p1 + (s - p1) exp(-t (1 / tau_c + 1 / tau_e)), exact for every t; an infinite one draws from the
    stationary state. Changes of a probability below that of the smallest uniform, 6e-8, are never seen.
    """
    p1 = occupancy(d)
    moved = -np.expm1(-np.float32(t) * (_ONE / d.tau_capture + _ONE / d.tau_emission))
    if s > 0:
        return 0 if u < (_ONE - p1) * moved else 1
    return 1 if u < p1 * moved else 0


def read_cell(g: Scalar, s: Scalar, z: Scalar, u: Scalar, d: Any) -> Scalar:
    """G = G0 + dG s, dG a share of G0 (of the cell's own size)."""
    return max(g + d.telegraph * g * np.float32(s), _ZERO)


def read_cell_law(g: npt.ArrayLike, d: Any) -> Moments:
    """Stationary mean and standard deviation of `read_cell`, float64."""
    g, p1 = np.asarray(g, float), float(d.tau_emission) / (float(d.tau_capture) + float(d.tau_emission))
    change = max(float(d.telegraph), -1.0) * g
    return g + change * p1, np.abs(change) * np.sqrt(p1 * (1 - p1))


def check_telegraph(d: Any) -> None:
    """A cell that jumps needs both of its times."""
    if d.telegraph and not (d.tau_capture and d.tau_emission):
        raise ValueError(
            f"telegraph={d.telegraph:g} needs tau_capture and tau_emission above 0 s, "
            f"not {d.tau_capture:g} and {d.tau_emission:g}"
        )
