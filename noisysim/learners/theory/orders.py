"""The variables of the mean-field theory, and how their course is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from noisysim.common.types import Doubles

BLOWN_UP = 1e4
"""A trajectory ends where the error has grown by this factor."""
GONE = 1e-8
"""Share of the initial error that counts as none."""


class Order(NamedTuple):
    """The order parameters of a student with one hidden layer ([H] appendix B.2 has the same four).

    Attributes
    ----------
    input_norm, output_norm : float
        p = |W1|^2 and q = |W2|^2, squared Frobenius norms.
    error : float
        |E|^2 of E = W2 W1 - A: n_in n_out times the paper's epsilon.
    overlap : float
        r = tr(E^T W2 W1).
    """

    input_norm: float
    output_norm: float
    error: float
    overlap: float


class Traces(NamedTuple):
    """What the mean of one update takes besides the order parameters: S = W2 W1, M = W1^T W1, N = W2 W2^T.

    Attributes
    ----------
    e_m, e_n, e_mn : float
        tr E M E^T, tr E^T N E, tr M E^T N E.
    s_m, s_n : float
        tr S M E^T, tr S^T N E.
    ss, mm, nn : float
        |S|^2, |M|^2, |N|^2.
    e_mm, e_nn, e_mmn : float
        tr E M^2 E^T, tr E^T N^2 E, tr M^2 E^T N E.
    se_ee, se_se : float
        tr S^T E E^T E, and |S^T E|^2 + tr S^T E S^T E.
    """

    e_m: float
    e_n: float
    e_mn: float
    s_m: float
    s_n: float
    ss: float
    mm: float
    nn: float
    e_mm: float
    e_nn: float
    e_mmn: float
    se_ee: float
    se_se: float


class Trajectory(NamedTuple):
    """The mean course of learning.

    Attributes
    ----------
    steps : numpy.ndarray
        Updates done: 0, then evenly spaced in their logarithm. All arrays have this one's shape, (points,).
    error : numpy.ndarray
        |E|^2 / (n_in n_out), the paper's epsilon. All but `steps` is NaN after it has grown `BLOWN_UP` times.
    input_norm, output_norm : numpy.ndarray
        |W1|^2 and |W2|^2; two variables hold the second at its initial value.
    """

    steps: Doubles
    error: Doubles
    input_norm: Doubles
    output_norm: Doubles


class Integral(NamedTuple):
    """The course of a system of equations: values (variables, points) at times (points,)."""

    times: Doubles
    values: Doubles
    reached: float  # when the error fell to the share asked for, infinite if it did not


def integrate(
    change: Callable[[Doubles], Doubles],
    start: Doubles,
    at: int,
    steps: float,
    points: int,
    share: float = 0.0,
) -> Integral:
    """Follow an autonomous system whose variable `at` is the error, until it has blown up or fallen to a share."""

    def blown(_: float, values: Doubles) -> float:
        return float(values[at] - BLOWN_UP * start[at])

    def fallen(_: float, values: Doubles) -> float:
        return float(values[at] - share * start[at])

    blown.terminal = fallen.terminal = True  # type: ignore[attr-defined]
    events = [blown, fallen] if share else [blown]
    times = np.concatenate([[0.0], np.geomspace(steps, min(1.0, steps), points - 1)[::-1]])
    solution = solve_ivp(
        lambda _, values: change(values), (0.0, steps), start, "LSODA", times, events=events, rtol=1e-8,
        atol=1e-10 * GONE * start[at],
    )  # fmt: skip
    values = np.full((len(start), points), np.nan)
    values[:, : solution.y.shape[1]] = solution.y
    reached = min(solution.t_events[1], default=np.inf) if share else np.inf
    return Integral(times, values, float(reached))
