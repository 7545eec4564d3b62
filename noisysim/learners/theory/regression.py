"""Learning without a hidden layer, whose mean is exact (Werfel et al. 2004; [H] appendix B.6 without the 2s)."""

from __future__ import annotations

import numpy as np

from noisysim.common.types import Doubles


def regression_error(
    n_in: int, n_out: int, rate: float, steps: Doubles, initial: float = 1.0, teacher_noise: float = 0.0
) -> Doubles:
    """Mean error of node perturbation without a hidden layer, y = W x: exact at any size.

    epsilon = |W - A|^2 / (L_x L_y) becomes (1 - 2 rate + rate^2 (L_x + 2) (L_y + 2)) epsilon
    + rate^2 (L_y + 2) sigma_t^2 in an update (Werfel et al. 2004; [H] appendix B.6 without the 2s).

    Parameters
    ----------
    n_in, n_out : int
    rate : float
    steps : numpy.ndarray
        Updates done, any shape.
    initial : float
        epsilon at first.
    teacher_noise : float
        sigma_t.

    Returns
    -------
    numpy.ndarray
        Of the shape of `steps`.
    """
    decay = 2 * rate - rate**2 * (n_in + 2) * (n_out + 2)
    source = rate**2 * (n_out + 2) * teacher_noise**2
    if decay == 0:
        return initial + source * np.asarray(steps, float)
    end = source / decay
    return end + (initial - end) * (1 - decay) ** np.asarray(steps, float)


def regression_time(n_in: int, n_out: int, fall: float) -> float:
    """Fewest updates in which node perturbation without a hidden layer lowers the mean error `fall` times.

    At the best rate, 1 / ((L_x + 2) (L_y + 2)): about (L_x + 2) (L_y + 2) ln(fall); [H] Eq. 9 without the 2s.
    """
    return float(np.log(fall) / -np.log1p(-1 / ((n_in + 2) * (n_out + 2))))


def sgd_time(n_in: int, fall: float) -> float:
    """Fewest updates in which SGD lowers the error `fall` times: L_x ln(fall) ([H] Eq. 9 and 13)."""
    return float(n_in * np.log(fall))
