"""The steps of the optimizers: each turns a gradient, flat, into the change asked of the chip, in place."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.types import float32

from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.compiling import loop

TYPE = RowType(float32[::1], float32[::1], float32[::1], float32[::1])
"""Gradient, two moments, numbers."""
ONE = np.float32(1.0)


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
        first[i] = m
        second[i] = v
        gradient[i] = -rate * (m * correction1) / (np.sqrt(v * correction2) + epsilon)


STEPS: dict[str, Callable[..., Any]] = {"sgd": sgd, "momentum": momentum, "adam": adam}
