"""Files that parts further up know how to open, by ending, so that parts further down need not import them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Opener = Callable[[str | os.PathLike[str]], object]
_OPENERS: dict[str, Opener] = {}


def register(endings: tuple[str, ...], opener: Opener) -> None:
    """Let files of these endings be opened by a function of their path."""
    _OPENERS.update(dict.fromkeys(endings, opener))


def endings() -> tuple[str, ...]:
    """The endings of files that can be opened."""
    return tuple(_OPENERS)


def opened(path: str | os.PathLike[str]) -> object:
    """What a file of a known ending holds."""
    return _OPENERS[Path(path).suffix.lower()](path)
