"""What a device does, as backends compile it: plain functions and numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from noisysim.devices.physics import ideal

Hook = Callable[..., Any]


class Behaviour(NamedTuple):
    """The hooks of a device, and what they read.

    Attributes
    ----------
    hooks : mapping
        Every hook there is, as a plain function: the device's own, or the ideal one.
    own : frozenset of str
        Those that the device defines.
    numbers : mapping
        The device's fields, float32.
    spreads : mapping
        Part of a chip ("cell", "row", "column") -> the fields of which each such part has a value of its own, in order.
    """

    hooks: Mapping[str, Hook]
    own: frozenset[str]
    numbers: Mapping[str, np.float32]
    spreads: Mapping[str, Collection[str]]


class ReadFlags(NamedTuple):
    """What else decides how passes read.

    Attributes
    ----------
    noisy : bool
        Whether two passes of the same inputs can differ.
    compensated : bool
        Whether the periphery makes up for drift.
    scaled : bool
        Whether output lines stand for weights of scales of their own.
    varied : bool
        Whether cells add variance to their lines' reads.
    paired : bool
        Whether a weight has two cells.
    """

    noisy: bool
    compensated: bool
    scaled: bool
    varied: bool
    paired: bool


_HOOKS = {name: hook for name, hook in vars(ideal).items() if inspect.isfunction(hook)}
EXACT = Behaviour(_HOOKS, frozenset(), {}, dict.fromkeys(("cell", "row", "column"), ()))
"""What is done to digital layers: nothing."""
EXACT_FLAGS = ReadFlags(noisy=False, compensated=False, scaled=False, varied=False, paired=True)


def takes_target(hook: Hook) -> bool:
    """Whether ``drift`` or ``cell_std`` takes what a write aimed at."""
    code = hook.__code__
    return "target" in code.co_varnames[: code.co_argcount]
