"""Texts from files that others wrote, as a terminal may be given them."""

from __future__ import annotations

import unicodedata

_TURNS = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
"""Characters that turn the direction of what follows."""
MOST = 500
"""Characters of a reason that a message quotes at most."""


def printable(text: object) -> str:
    """A text without control characters, but for line ends and tabs, and without changes of direction."""
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(c for c in plain if c in "\n\t" or not (c in _TURNS or unicodedata.category(c) in ("Cc", "Cs")))


def rough_duration(seconds: float) -> str:
    """About how long: in the largest unit of which it is two or more."""
    units = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if seconds >= 2 * u[1]), units[-1])
    return f"{seconds / size:.0f} {unit}"


def one_line(text: object) -> str:
    """The same on one line, not too long."""
    line = " ".join(printable(text).split())
    return line if len(line) <= MOST else f"{line[:MOST]}..."
