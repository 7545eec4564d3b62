"""Texts from files that others wrote, as a terminal may be given them."""

from __future__ import annotations

import inspect
import re
import unicodedata

_TURNS = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
"""Characters that turn the direction of what follows."""
MOST = 500
"""Characters of a reason that a message quotes at most."""
_RAISED = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SIGNS = {"+-": "±", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", " * ": " · ", " - ": " − "}


def printable(text: object) -> str:
    """A text without control characters, but for line ends and tabs, and without changes of direction."""
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(c for c in plain if c in "\n\t" or not (c in _TURNS or unicodedata.category(c) in ("Cc", "Cs")))


def one_line(text: object) -> str:
    """The same on one line, not too long."""
    line = " ".join(printable(text).split())
    return line if len(line) <= MOST else f"{line[:MOST]}..."


def documentation(definition: type) -> str:
    """A class's own docstring; "" for the line, "A(s: float = 0.1)", that Python puts in place of one."""
    own = definition.__doc__ or ""
    automatic = own.startswith(f"{definition.__name__}(") and own.endswith(")") and "\n" not in own
    return "" if automatic else inspect.cleandoc(own)


def caption(docstring: str) -> str:
    """The first paragraph of a docstring as a reader of a figure wants it: no markup, formulas in their signs.

    ``"`pcm` with sigma^2 = 1e-6"`` becomes "pcm with sigma² = 10⁻⁶".
    """
    text = one_line(docstring.strip().partition("\n\n")[0])
    text = re.sub(r"(?::[\w:]+:)?(`+)(.+?)\1", r"\2", text)
    text = re.sub(r"(?:\^|\*\*)(?:\(([+-]?\d+)\)|([+-]?\d+))", _raised, text)
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)\b", _in_powers, text)
    return re.sub("|".join(map(re.escape, _SIGNS)), lambda sign: _SIGNS[sign[0]], text)


def _raised(power: re.Match[str]) -> str:
    """A whole number above the line."""
    return (power[1] or power[2]).translate(_RAISED)


def _in_powers(number: re.Match[str]) -> str:
    """A number such as 2e-6 as 2 · 10⁻⁶."""
    factor, power = number[1], f"10{str(int(number[2])).translate(_RAISED)}"
    return power if float(factor) == 1 else f"{factor} · {power}"
