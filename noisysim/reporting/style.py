"""The style of all figures. They are made without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from noisysim.common import writing

INK, TRAIN, TEST = "#333333", "#8a8f98", "#c2410c"


def figure(width: float, height: float) -> Any:
    """An empty figure, inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def plain(axes: Any) -> None:
    """Axes with a faint grid and without a frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure in one step; the suffix chooses the format."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format=Path(path).suffix.lower().lstrip("."))
    writing.replace(path, picture.getbuffer())
