"""The steps of the optimizers: each turns a gradient, flat, into the change asked of the chip, in place.

Moments of weights whose inputs are seldom driven decay until they are subnormal numbers, which are twenty times as slow
as others and never become 0: they are taken for 0 before, and mean squares for the least that they may be.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.types import float32

from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.compiling import loop
from noisysim.compute.layout import LEAST_MOMENT

TYPE = RowType(float32[::1], float32[::1], float32[::1], float32[::1])
"""Gradient, two moments, numbers."""
ZERO, ONE = np.float32(0.0), np.float32(1.0)
LEAST = np.float32(LEAST_MOMENT)


@loop(fastmath={"contract"})
def sgd(gradient, first, second, numbers):
    """-rate g; `numbers` are the rate."""
    rate = numbers[0]
    for i in range(gradient.size):
        gradient[i] *= -rate


@loop()
def momentum(gradient, first, second, numbers):
    """v <- m v + g and -rate v; `numbers` are the rate and m."""
    rate, kept = numbers[0], numbers[1]
    for i in range(gradient.size):
        v = kept * first[i] + gradient[i]
        v = ZERO if abs(v) < LEAST else v
        first[i] = v
        gradient[i] = -rate * v


@loop(fastmath={"contract"})
def adam(gradient, first, second, numbers):
    """Adam's step (Kingma & Ba 2015, Algorithm 1).

    `numbers` are the rate, beta1, beta2, epsilon, and what corrects the two moments for their start at zero.
    """
    rate, beta1, beta2, epsilon = numbers[0], numbers[1], numbers[2], numbers[3]
    correction1, correction2 = numbers[4], numbers[5]
    for i in range(gradient.size):
        g = gradient[i]
        m = beta1 * first[i] + (ONE - beta1) * g
        v = beta2 * second[i] + (ONE - beta2) * g * g
        m = ZERO if abs(m) < LEAST else m  # NaN stays
        v = LEAST if v < LEAST else v
        first[i] = m
        second[i] = v
        gradient[i] = -rate * (m * correction1) / (np.sqrt(v * correction2) + epsilon)


STEPS: dict[str, Callable[..., Any]] = {"sgd": sgd, "momentum": momentum, "adam": adam}
