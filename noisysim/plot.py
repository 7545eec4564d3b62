"""Figures of results. They are made without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

INK, TRAIN, TEST = "#333333", "#8a8f98", "#c2410c"
POINTS = 400
"""Most points of the thin line: of a longer run each is the mean of several batches."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a picture file that cannot be written, before any work."""
    from noisysim import storage

    suffix, known = Path(path).suffix.lower().lstrip("."), sorted(_figure(1, 1).canvas.get_supported_filetypes())
    if suffix not in known:
        raise ValueError(f"a picture file ends in one of {', '.join(known)}: not {os.fspath(path)!r}")
    storage.check_writable(Path(path), overwrite=True)


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

    An epoch's training means stand at its middle, tests at its end, where they were made.

    Parameters
    ----------
    result : noisysim.Result
    path : path, optional
        Where to write the figure; the suffix chooses the format.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if path is not None:
        check_writable(path)
    history, task = result.history, result.config["task"]
    classification = bool(np.isfinite(history["test_accuracy"]).any())
    figure = _figure(9 if classification else 5, 3.4)
    panels = figure.subplots(1, 2 if classification else 1, squeeze=False)[0]
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    at, batches, together = _batches(result.steps["train_loss"], -(-task["n_train"] // result.config["batch_size"]))
    said = "each batch" if together == 1 else f"mean of {together} batches"
    panels[0].plot(at, batches, color=TRAIN, alpha=0.4, lw=0.8, label=said)
    for panel, name, scale in zip(panels, ("loss", "accuracy"), (1, 100), strict=False):
        line = "-" if len(epochs) > 1 else "s"  # one point makes no line
        panel.plot(
            epochs - 0.5, scale * history[f"train_{name}"], line, color=INK, lw=1.5, ms=3, label="training, epoch mean"
        )
        panel.plot(epochs, scale * history[f"test_{name}"], "o", color=TEST, ms=4, label="test")
        panel.set(xlabel="epoch", ylabel="accuracy (%)" if name == "accuracy" else "loss")
        panel.set_xlim(left=0)
        panel.xaxis.get_major_locator().set_params(integer=True)
        _plain(panel)
        panel.legend(frameon=False, fontsize=8)
    shown = np.concatenate([batches, history["train_loss"], history["test_loss"]])
    _scale(panels[0], shown[np.isfinite(shown) & (shown > 0)])
    name = Path(task["name"]).name
    figure.suptitle(f"{result.config['learner']['name']} on {result.config['device']['name']}: {name}", fontsize=11)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _batches(losses: np.ndarray, an_epoch: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Where (in epochs) and what the losses of the updates were, and how many one point is the mean of."""
    together = max(1, -(-len(losses) // POINTS))
    firsts = np.arange(0, len(losses), together)
    counts = np.minimum(firsts + together, len(losses)) - firsts
    means = np.add.reduceat(losses, firsts) / counts if len(losses) else losses
    return (firsts + counts / 2) / an_epoch, means, together


def _scale(panel: Any, shown: np.ndarray) -> None:
    """A logarithmic axis where the losses span more than a linear one shows, its ticks in plain numbers."""
    if not len(shown) or shown.max() <= 20 * shown.min():
        return
    from matplotlib.ticker import LogLocator, NullLocator

    panel.set_yscale("log")
    if shown.max() < 1e4 * shown.min():
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if shown.max() < 300 * shown.min() else (1,)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(NullLocator())
