"""Times as people say them."""

from __future__ import annotations

UNITS = ((1, "s", "s"), (60, "min", "min"), (3600, "h", "h"), (86400, "day", "days"), (31_557_600, "year", "years"))
"""Seconds, and what one of them and several are called, from the shortest on."""


def in_words(seconds: float) -> str:
    """A time in the largest unit that it is one of, or more; to two digits, from ten on to whole units.

    Examples
    --------
    >>> [in_words(t) for t in (0, 90, 86400, 2.6e6, 315_576_000)]
    ['0 s', '1.5 min', '1 day', '30 days', '10 years']
    """
    size, one, several = next((unit for unit in reversed(UNITS) if seconds >= unit[0]), UNITS[0])
    count = float(f"{seconds / size:.0f}" if seconds >= 10 * size else f"{seconds / size:.2g}")
    return f"{count:g} {one if count == 1 else several}"
