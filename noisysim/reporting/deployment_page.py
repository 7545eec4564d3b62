"""The page of a deployment: what a network does on chips of a device."""

from __future__ import annotations

import numpy as np

from noisysim.common import durations
from noisysim.reporting import deployment_figure, figures, pages, style
from noisysim.reporting.figures import Picture
from noisysim.reporting.pages import Fact, Table
from noisysim.runs.deployment import Deployment


def render(found: Deployment) -> str:
    """The page's text."""
    return pages.render(
        "deployment.html", title=f"{found.task} on {found.device}", facts=_facts(found), pictures=_pictures(found),
        times=_times(found), layers=_layers(found), cost=_cost(found),
    )  # fmt: skip


def _facts(found: Deployment) -> list[Fact]:
    """The deployment at one glance."""
    chips = found.test_loss.shape[1]
    facts = []
    if np.isfinite(found.test_accuracy).all():
        exact = f"{pages.accuracy(found.exact_accuracy)} on exact hardware"
        facts.append(Fact("Test accuracy", pages.accuracy(found.test_accuracy[0]), exact))
    exact = f"{pages.loss(found.exact_loss)} on exact hardware"
    facts.append(Fact("Test loss", pages.loss(found.test_loss[0]), exact))
    return [*facts, Fact("Chips", f"{chips}", "values are mean ± standard deviation over chips")]


def _pictures(found: Deployment) -> list[Picture]:
    pictures = []
    for name, draw, caption, alt in (
        ("times", deployment_figure.draw_times, "After programming", "Test accuracy against time after programming"),
        ("layers", deployment_figure.draw_layers, "Layers", "Signal to noise ratio of each layer's lines"),
    ):
        figure = style.figure(*figures.SIZE)
        draw(found, figure.subplots())
        pictures.append(Picture(caption, alt, figures.embedded(figure, name, alt)))
    return pictures


def _times(found: Deployment) -> Table:
    rows = [
        [durations.in_words(t), pages.accuracy(accuracy), pages.loss(loss)]
        for t, accuracy, loss in zip(found.seconds, found.test_accuracy, found.test_loss, strict=True)
    ]
    return Table("After programming", ["Time", "Test accuracy", "Test loss"], rows, frozenset(range(3)))


def _layers(found: Deployment) -> Table:
    rows = [
        [f"{k + 1}", f"{one.shape[0]} x {one.shape[1]}", f"{100 * one.clipped:.2f} %", f"{100 * one.saturated:.2f} %",
         f"{one.snr:.1f} dB"]
        for k, one in enumerate(found.layers)
    ]  # fmt: skip
    columns = ["Layer", "Weights", "Clipped weights", "Clipped by ADCs", "Signal to noise"]
    return Table("Layers of weights", columns, rows, frozenset(range(5)))


def _cost(found: Deployment) -> Table:
    rows = [[pages.words(name), pages.count(value)] for name, value in found.cost.items()]
    return Table("Cost of one sample's pass, and of programming a chip", ["What", "Number"], rows, frozenset({1}))
