"""Texts in figures: how wide they are, where they break, and ticks that stand where something was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rcParams
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, Formatter, NullLocator

from noisysim.common import latex
from noisysim.common.texts import printable

if TYPE_CHECKING:
    from matplotlib.axis import Axis

GAP = 0.5
"""Least space between two tick labels, of the font's size."""
PLAIN = 5
"""Characters of a number up to which it never has an exponent."""


def points(size: float | str) -> float:
    """A font size, such as "small", in points."""
    return float(FontProperties(size=size).get_size_in_points())


def width(text: str, size: float | str) -> float:
    """Width of a text in points, of several lines that of the longest."""
    font = FontProperties(size=size)
    return max(float(text_to_path.get_text_width_height_descent(line, font, False)[0]) for line in text.split("\n"))


def wrapped(text: str, size: float | str, room: float) -> str:
    """A text broken into lines of at most `room` points, at spaces or after a mark where a word alone is longer."""
    lines = [""]
    for word in text.split(" "):
        for piece in [word] if width(word, size) <= room else re.findall(r"[^,:;/_-]+[,:;/_-]*|[,:;/_-]+", word):
            gap = " " if lines[-1] and word.startswith(piece) else ""
            if lines[-1] and width(lines[-1] + gap + piece, size) > room:
                lines.append(piece)
            else:
                lines[-1] += gap + piece
    return "\n".join(lines)


def literal(text: object) -> str:
    """A text that Matplotlib draws as it is: nothing in it is taken for a formula."""
    plain = printable(text)
    return latex.escaped(plain) if rcParams["text.usetex"] else plain.replace("$", r"\$")


def numbers(values: Sequence[float]) -> list[str]:
    """Numbers in a row as briefly as they can be read, all in one notation: 0.05 and 0.1, or 1e-4 and 2e-4."""
    rounded = [float(f"{value:.4g}") for value in values]
    plain = [np.format_float_positional(value, trim="-") for value in rounded]
    short = [_with_exponent(value) for value in rounded]
    long = max(map(len, plain), default=0) > PLAIN
    return short if long and len("".join(short)) < len("".join(plain)) else plain


def _with_exponent(value: float) -> str:
    mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if value else "0"


class Spaced(Formatter):
    """Labels of ticks, of which those are left out that would touch another; the first and the last stay.

    It looks when the figure is drawn, at the size that it then has.
    """

    def __init__(self, labels: Mapping[float, str]):
        self.labels = labels

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.labels.get(x, "")

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The labels at these places, "" where one is left out."""
        labels = [self(value) for value in values]
        axis: Any = self.axis
        figure = axis.get_figure()
        along = axis.get_transform().transform(np.asarray(values, float))
        low, high = axis.get_transform().transform(np.asarray(axis.get_view_interval(), float))
        room = axis.axes.get_window_extent().width * 72 / figure.dpi
        places = (along - low) / (high - low or 1.0) * room
        size = axis.get_major_ticks(1)[0].label1.get_fontsize()
        half = [width(label, size) / 2 + GAP * size / 2 for label in labels]
        kept: list[int] = []
        for k in [0, len(labels) - 1, *range(1, len(labels) - 1)] if labels else []:
            if all(abs(places[k] - places[other]) >= half[k] + half[other] for other in kept):
                kept.append(k)
        return [label if k in kept else "" for k, label in enumerate(labels)]


def ticks_at(axis: Axis, labels: Mapping[float, str]) -> None:
    """Ticks at these places of a horizontal axis, and nowhere else; labels as far as they have room."""
    axis.set_major_locator(FixedLocator(list(labels)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(Spaced(dict(labels)))
