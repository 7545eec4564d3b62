"""Lines with spreads: means over runs, and how far the runs are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from noisysim.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import ScaledTranslation

COLOURS = ("#1f4e79", "#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d", "#4d7c0f", "#64748b", "#0ea5e9", "#78350f")
MARKS = "osD^vP*Xph"
BANDS = 3
"""Lines whose spreads are bands, at most: those of more lie on each other, and bars side by side are drawn."""
FEW = 30
"""Points that have marks, at most."""
SINGLE = 12
"""Points that have bars, at most: along more of them bands are told apart more easily."""
APART = 12.0
"""Points (1/72 inch) over which the bars at one place are spread out, at most."""


def draw(
    panel: Axes, at: ArrayLike, mean: ArrayLike, spread: ArrayLike, number: int, of: int, label: str, *,
    colour: str | None = None, dotted: bool = False, lost: ArrayLike | None = None,
) -> None:  # fmt: skip
    """One line and its spread.

    Parameters
    ----------
    panel : matplotlib.axes.Axes
    at, mean, spread : array, (points,)
        Places, means, and what the band or the bars extend to both sides.
    number, of : int
        Which of how many lines of the panel it is.
    label : str
    colour : str, optional
        Default: by its number.
    dotted : bool
        For places between which there is nothing.
    lost : array of bool, (points,), optional
        Where a cross says that the mean is not of all runs.
    """
    at, mean, extent = np.asarray(at), np.asarray(mean), np.nan_to_num(np.asarray(spread, float))
    colour = colour or COLOURS[number % len(COLOURS)]
    few = len(at) <= FEW
    bars = (dotted or of > BANDS) and len(at) <= SINGLE  # a band would fill what is between two names
    transform = panel.transData + _aside(panel, number, of) if bars else panel.transData
    line, mark = ":" if dotted else "-", MARKS[number % len(MARKS)] if few else ""
    width, size = style.chosen("lines.linewidth", 1.4), style.chosen("lines.markersize", 4)
    panel.plot(at, mean, line, marker=mark, ms=size, lw=width, color=colour, label=label, transform=transform)
    if bars:
        panel.errorbar(at, mean, extent, fmt="none", ecolor=colour, elinewidth=0.7 * width, transform=transform)
        panel.margins(x=0.09)  # of the axis: room for those that stand aside
    elif extent.any():
        alpha = 0.15 if of <= BANDS else 0.08
        panel.fill_between(at, mean - extent, mean + extent, color=colour, alpha=alpha, lw=0)
    ends = np.concatenate([mean - extent, mean + extent])
    panel.update_datalim(np.column_stack([np.tile(at, 2), ends])[np.isfinite(ends)])  # else none, of what stands aside
    marked = np.isfinite(mean) & (False if lost is None else np.asarray(lost))
    if marked.any():
        style_of_cross = {"ms": 2.2 * size, "mew": 1.2, "color": colour, "label": "_lost"}
        panel.plot(at[marked], mean[marked], "x", transform=transform, **style_of_cross)


def _aside(panel: Axes, number: int, of: int) -> ScaledTranslation:
    """What moves a line aside, so that its bars do not lie on those of others."""
    from matplotlib.transforms import ScaledTranslation

    step = min(2.5, APART / of)
    return ScaledTranslation((number - (of - 1) / 2) * step / 72, 0.0, panel.figure.dpi_scale_trans)
