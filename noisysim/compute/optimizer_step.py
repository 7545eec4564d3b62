"""An optimizer's step, as loops over the cells take it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.layout import LEAST_MOMENT as LEAST_MOMENT  # which optimizers may know, and not the layout

NO_MOMENTS = np.zeros(0, np.float32)


class Step(NamedTuple):
    """An optimizer's step, as a loop takes it.

    Attributes
    ----------
    name : {"sgd", "momentum", "adam"}
        Of `noisysim.compute.cpu.loops.optimizer_steps`.
    numbers : numpy.ndarray
        What it takes besides the moments, float32.
    first, second : numpy.ndarray
        Its moments, flat, in the order of the weights; empty where it has none.
    """

    name: str
    numbers: Floats
    first: Floats
    second: Floats


def rate_in_array(step: Step) -> float:
    """The learning rate of a step that an array does by itself, by pulse trains: that of plain SGD."""
    if step.name != "sgd":
        raise ValueError(f"pulse trains do the step of plain SGD in the array, not that of {step.name!r}")
    return float(step.numbers[0])
