"""Python's search for garbage, and when not to start it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Meanwhile no search for garbage starts by itself.

    Imports and compilation make many objects that stay. Every so many of them Python would look through all that there
    are, for a tenth of the time that both take, and find next to nothing.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
