"""The style of all figures. They are made without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import io
import os
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


def whole_numbers(axis: Axis) -> None:
    """Ticks at whole numbers only."""
    locator: Any = axis.get_major_locator()
    locator.set_params(integer=True)


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in one step; the suffix chooses the format."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=chosen("savefig.dpi", 150), format=Path(path).suffix.lower().lstrip("."))
    writing.replace(path, picture.getbuffer())
