"""The figures of a deployment: accuracy against time after programming, and the layers' signal to noise ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from noisysim.common import durations
from noisysim.common.types import Doubles
from noisysim.reporting import style
from noisysim.reporting.style import INK, TEST, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class HasRatio(Protocol):
    """What is drawn of a layer: its signal to noise ratio, dB."""

    @property
    def snr(self) -> float: ...


class Found(Protocol):
    """What is drawn of a deployment (`noisysim.runs.deployment.Deployment`)."""

    @property
    def task(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def seconds(self) -> Doubles: ...
    @property
    def test_loss(self) -> Doubles: ...
    @property
    def test_accuracy(self) -> Doubles: ...
    @property
    def exact_loss(self) -> float: ...
    @property
    def exact_accuracy(self) -> float: ...
    @property
    def layers(self) -> Sequence[HasRatio]: ...


def draw(found: Found) -> Figure:
    """Both panels side by side."""
    figure = style.figure(8.0, 3.2)
    over_time, of_layers = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_times(found, over_time)
    draw_layers(found, of_layers)
    figure.suptitle(f"{found.task} on {found.device}", fontsize=11, color=INK, x=0.02, ha="left")
    return figure


def draw_times(found: Found, panel: Axes) -> None:
    """Accuracy, or without classes the loss, of every chip at each time; times are set out evenly."""
    accuracy = bool(np.isfinite(found.test_accuracy).all())
    values = 100 * found.test_accuracy if accuracy else found.test_loss
    exact = 100 * found.exact_accuracy if accuracy else found.exact_loss
    places = np.arange(len(found.seconds))
    panel.axhline(exact, color=TRAIN, lw=1.0, ls="--", label="exact hardware")
    for chip in values.T:
        panel.plot(places, chip, ".", color=TEST, ms=4, alpha=0.45)
    panel.plot(places, values.mean(axis=1), "-o", color=TEST, lw=1.4, ms=4, label="mean over chips, dots each chip")
    panel.set_xticks(places, [durations.in_words(t) for t in found.seconds])
    panel.set_xlabel("time after programming", fontsize=9)
    panel.set_ylabel("test accuracy (%)" if accuracy else "test loss", fontsize=9)
    panel.margins(x=0.08, y=0.15)
    panel.legend(frameon=False, fontsize=8)
    _finish(panel)


def draw_layers(found: Found, panel: Axes) -> None:
    """The signal to noise ratio of each layer's lines; layers without errors have no bar."""
    ratios: Any = [layer.snr if np.isfinite(layer.snr) else np.nan for layer in found.layers]
    places = np.arange(1, len(ratios) + 1)
    panel.bar(places, ratios, width=0.7, color=TRAIN)
    panel.set_xlabel("layer of weights", fontsize=9)
    panel.set_ylabel("signal to noise (dB)", fontsize=9)
    style.whole_numbers(panel.xaxis)
    _finish(panel)


def _finish(panel: Axes) -> None:
    panel.tick_params(labelsize=8)
    style.plain(panel)
