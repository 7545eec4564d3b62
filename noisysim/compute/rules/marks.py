"""What a rule says of how it is compiled."""

from collections.abc import Callable
from typing import TypeVar

OPTIONS = "__compile_options__"
"""The attribute of a function that holds its options for Numba."""
F = TypeVar("F", bound=Callable[..., object])


def fused(function: F) -> F:
    """A product and a sum of this function may be rounded once (fused multiply-add)."""
    setattr(function, OPTIONS, {"fastmath": {"contract"}})
    return function
