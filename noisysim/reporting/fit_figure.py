"""The figure of fits of devices to measured pulses: curves, and what they miss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from noisysim.devices.fitting import Fit
from noisysim.reporting import style
from noisysim.reporting.style import INK, TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (TEST, VALIDATION, "#15803d", INK)


def draw(fits: Sequence[Fit], title: str) -> Figure:
    """Measured and fitted conductances against pulses, up and down, and below them what the fits miss, of the range."""
    figure = style.figure(8.0, 5.2)
    panels = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=(5, 3))
    span = np.ptp(np.concatenate([values for _, values, _ in fits[0].curves.values()]))
    for (curve, below), way in zip(panels.T, ("up", "down"), strict=True):
        numbers, values, _ = fits[0].curves[way]
        curve.plot(numbers, values, ".", color=TRAIN, ms=3, label="measured, mean")
        below.axhline(0.0, color=INK, lw=0.6)
        for k, (found, colour) in enumerate(zip(fits, COLOURS, strict=False)):
            fitted = found.curves[way][2]
            # the best one above the others and thinner, so that curves that agree are all seen
            look = {"color": colour, "lw": 1 + 0.7 * k, "zorder": 3 - 0.1 * k}
            curve.plot(numbers, fitted, label=f"{found.model}, rms {100 * found.rms:.2g} % of the range", **look)
            below.plot(numbers, 100 * (fitted - values) / span, **look)
        curve.set_title(f"pulses {way}", loc="left", fontsize=9.5, color=INK)
        below.set_xlabel("pulses", fontsize=9)
        for panel in (curve, below):
            panel.tick_params(labelsize=8)
            style.plain(panel)
    panels[0, 0].set_ylabel("conductance (µS)", fontsize=9)
    panels[1, 0].set_ylabel("fit − measured\n(% of the range)", fontsize=9)
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11, color=INK, x=0.02, ha="left")
    return figure
