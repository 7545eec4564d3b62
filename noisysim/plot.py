"""Figures of results. They are made without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

INK, TRAIN, TEST = "#333333", "#8a8f98", "#c2410c"


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def learning_curves(result: Any, path: str | os.PathLike[str] | None = None) -> Any:
    """Loss, and for a classification accuracy, against epochs: training as lines, test as points.

    Parameters
    ----------
    result : noisysim.Result
    path : path, optional
        Where to write the figure; the suffix chooses the format.

    Returns
    -------
    matplotlib.figure.Figure
    """
    history, steps = result.history, result.steps["train_loss"]
    classification = bool(np.isfinite(history["test_accuracy"]).any())
    figure = _figure(9 if classification else 5, 3.4)
    panels = figure.subplots(1, 2 if classification else 1, squeeze=False)[0]
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    each = -(-result.config["task"]["n_train"] // result.config["batch_size"])
    panels[0].plot((np.arange(len(steps)) + 1) / each, steps, color=TRAIN, alpha=0.3, lw=0.8, label="each batch")
    for panel, name, scale in ((panels[0], "loss", 1), (panels[-1], "accuracy", 100)):
        if name == "accuracy" and not classification:
            continue
        panel.plot(epochs, scale * history[f"train_{name}"], color=INK, lw=1.5, label="training, epoch mean")
        panel.plot(epochs, scale * history[f"test_{name}"], "o", color=TEST, ms=4, label="test")
        panel.set(xlabel="epoch", ylabel="accuracy (%)" if name == "accuracy" else "loss")
        _plain(panel)
        panel.legend(frameon=False, fontsize=8)
    positive = steps[np.isfinite(steps) & (steps > 0)]
    if len(positive) and positive.max() > 20 * positive.min():
        panels[0].set_yscale("log")
    task, device, learner = (result.config[k]["name"] for k in ("task", "device", "learner"))
    figure.suptitle(f"{learner} on {device}: {task}", fontsize=11)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
