"""A rule's estimate as compiled loops make it by themselves: a scalar function, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from noisysim.common.types import Doubles


def by_size(change: float, size: float, units: float) -> float:
    """A change over a size."""
    return change / size


Share: TypeAlias = Callable[[float, float, float], float]
"""``share(change, size, units)``, a plain function of numbers."""
SizeOf: TypeAlias = Literal["variance", "length", "distance"]


class CompiledEstimate(NamedTuple):
    """A rule whose signals are s_l = f_l d_l, with d_l what was injected or how activities moved, and f_l a scalar.

    f_l = share(dL / divisor, size, units_l), for each perturbed pass and sample, averaged or summed as these say.

    Attributes
    ----------
    share : Share
    size : {"variance", "length", "distance"}
        What it is told of the perturbation: samples x sigma^2; |v_l|^2 of each layer's; |a_k - a_0|^2 over all layers,
        in which case d_l is a_k - a_0, and v_l in the others.
    units : numpy.ndarray
        (1,), or (layers,) where each layer has its own.
    samples : int
        K.
    one_by_one : bool
        Whether each layer is perturbed in a pass of its own.
    divisor : float
    perturbed_baseline : bool
        Whether the baseline is perturbed too, by a set of draws of its own.
    """

    share: Share
    size: SizeOf
    units: Doubles
    samples: int
    one_by_one: bool
    divisor: float
    perturbed_baseline: bool
