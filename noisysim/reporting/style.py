"""The style of all figures. They are made without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from noisysim.common import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, TRAIN, TEST, VALIDATION = "#333333", "#8a8f98", "#c2410c", "#2563eb"


def figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure, inches, which a notebook shows by itself."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from noisysim.reporting import inline

    empty = inline.Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(empty)
    return empty


def chosen(name: str, usual: object) -> Any:
    """Matplotlib's setting of that name where the user has changed it, else the usual one of these figures."""
    import matplotlib

    here: Any = matplotlib.rcParams
    default: Any = matplotlib.rcParamsDefault
    return here[name] if here[name] != default[name] else usual


def plain(axes: Axes) -> None:
    """Axes with a faint grid and without a frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def whole_numbers(axis: Axis) -> None:
    """Ticks at whole numbers only."""
    locator: Any = axis.get_major_locator()
    locator.set_params(integer=True)


def in_lines(figure: Figure, pieces: Iterable[str], width: float, size: float, between: str = " ") -> list[str]:
    """Pieces of text, such as words, joined into lines as long as a width allows, as they are measured when drawn.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        That they are drawn in.
    pieces : iterable of str
        What is not divided, unless it is longer than a line by itself.
    width : float
        Of a line at most, inches.
    size : float
        Of the letters, points.
    between : str
        What joins pieces of a line.
    """
    from matplotlib.font_manager import FontProperties

    canvas: Any = figure.canvas
    renderer, font = canvas.get_renderer(), FontProperties(size=size)

    def fits(text: str) -> bool:
        wide, _, _ = renderer.get_text_width_height_descent(text, font, ismath=False)
        return bool(wide <= width * figure.dpi)

    lines: list[str] = []
    for piece in pieces:
        if lines and fits(joined := f"{lines[-1]}{between}{piece}"):
            lines[-1] = joined
            continue
        lines.append("")
        for letter in piece:
            if lines[-1] and not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    return lines


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in one step; the suffix chooses the format."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=chosen("savefig.dpi", 150), format=Path(path).suffix.lower().lstrip("."))
    writing.replace(path, picture.getbuffer())
