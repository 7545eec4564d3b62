"""Memory of what a chip hides, overwritten before it is freed."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any


def erase(arrays: Iterable[Any]) -> None:
    """Overwrite copies of what a chip hides before they are freed: who is given their memory next finds nothing."""
    for array in arrays:
        array.fill(0)


def erase_with(owner: object, arrays: Iterable[Any]) -> weakref.finalize[..., object]:
    """Overwrite arrays when their owner is freed; not at the end of the process, when no code is left to look."""
    erasure: weakref.finalize[..., object] = weakref.finalize(owner, erase, list(arrays))
    erasure.atexit = False
    return erasure
