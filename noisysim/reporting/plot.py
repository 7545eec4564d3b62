"""Figures of results, devices and networks. They are made without pyplot: nothing global, nothing to close."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from noisysim.common import identity, writing
from noisysim.common.fields import check_choice
from noisysim.common.texts import printable
from noisysim.common.types import Doubles
from noisysim.networks.summary import in_words, summary
from noisysim.reporting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from noisysim.chip.diagnostics.base import Axis
    from noisysim.devices.contract import DeviceSpec
    from noisysim.networks.architecture import Architecture

POINTS = 400
"""Most points of the thin line: of a longer run each is the mean of several batches."""
WIDE = 20
"""Ratio of the largest value to the least from which on an axis is logarithmic; its label then says so."""
LOOKS = 60
"""Most points of a diagnostic's line: of more looks each is the mean of several."""


class Recorded(Protocol):
    """What figures read of a `noisysim.Result`."""

    @property
    def config(self) -> dict[str, Any]: ...

    @property
    def history(self) -> dict[str, np.ndarray]: ...

    @property
    def steps(self) -> dict[str, np.ndarray]: ...

    @property
    def diagnostics(self) -> dict[str, np.ndarray]: ...


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a picture file that cannot be written, before any work."""
    suffix, formats = Path(path).suffix.lower().lstrip("."), sorted(style.figure(1, 1).canvas.get_supported_filetypes())
    if suffix not in formats:
        raise ValueError(f"a picture file ends in one of {', '.join(formats)}: not {os.fspath(path)!r}")
    writing.check(path)


def _finish(figure: Figure, result: Recorded, path: str | os.PathLike[str] | None) -> Figure:
    """Put rule, device and task above a figure, and write it if a path is given."""
    config = result.config
    name = Path(config["task"]["name"]).name
    rule, device = (Path(config[part]["name"]).stem for part in ("learner", "device"))  # or a file's path
    figure.suptitle(printable(f"{rule} on {device}: {name}"), fontsize=11, parse_math=False)
    if path is not None:
        style.save(figure, path)
    return figure


def device(device: DeviceSpec, path: str | os.PathLike[str] | None = None, seed: int = 0) -> Figure:
    """What a device does, measured on chips of it; a panel is omitted where the device has no such effect.

    Transfer curve, read noise, programming error, response to pulses, ageing, faults (`noisysim.bench`).

    Parameters
    ----------
    device : str, path, mapping or device
        As for `noisysim.devices.get`.
    path : path, optional
        Where to write the figure; the suffix chooses the format.
    seed : int
        Of the chips.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import noisysim
    >>> figure = noisysim.plot.device("ideal", "ideal.png")
    >>> figure.axes[0].get_title(loc="left")  # exact hardware has this one panel
    'transfer, input to output'
    """
    from noisysim.reporting import device_figure

    if path is not None:
        check_writable(path)
    figure = device_figure.draw(device, seed)
    if path is not None:
        style.save(figure, path)
    return figure


def network(net: Architecture, path: str | os.PathLike[str] | None = None, title: str = "") -> Figure:
    """A network: its array layers and what the periphery computes between them, branches side by side.

    Parameters
    ----------
    net : Architecture
        Such as the ``network`` of a chip.
    path : path, optional
        Where to write the figure; the suffix chooses the format.
    title : str
        Default: the number of its weights and layers.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import noisysim
    >>> chip = noisysim.Chip([8, noisysim.residual([8]), 3], "ideal")
    >>> figure = noisysim.plot.network(chip.network, "network.png")
    >>> figure.axes[0].texts[0].get_text()
    '88 weights on 2 arrays'
    """
    from noisysim.reporting import network_figure

    if path is not None:
        check_writable(path)
    parts = summary(net)
    figure = network_figure.draw(parts, title or in_words(parts))
    if path is not None:
        style.save(figure, path)
    return figure


def learning_curves(result: Recorded, path: str | os.PathLike[str] | None = None) -> Figure:
    """Loss, and for a classification accuracy, against epochs: training as lines, test and validation as points.

    An epoch's training means stand at its middle, tests at its end, where they were made. Of several chips their means
    are drawn, and as a band or a bar their standard deviation. The axis of the loss is logarithmic, and its label says
    so, where the largest loss is more than 20 times the least.

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
    history = result.history
    classification = bool(np.isfinite(history["test_accuracy"]).any())
    figure = style.figure(9 if classification else 5, 3.4)
    panels = figure.subplots(1, 2 if classification else 1, squeeze=False)[0]
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    steps, tested = result.steps["train_loss"], [s for s in ("validation", "test") if f"{s}_loss" in history]
    middles, batch_losses, batches_per_point = _batches(
        _over_chips(steps)[0], -(-learned_from(result.config) // result.config["batch_size"])
    )
    label = "each batch" if batches_per_point == 1 else f"mean of {batches_per_point} batches"
    panels[0].plot(middles, batch_losses, color=style.TRAIN, alpha=0.4, lw=0.8, label=label)
    for panel, name, scale in zip(panels, ("loss", "accuracy"), (1, 100), strict=False):
        line = "-" if len(epochs) > 1 else "s"  # one point makes no line
        mean, spread = _over_chips(scale * history[f"train_{name}"])
        panel.plot(epochs - 0.5, mean, line, color=style.INK, lw=1.5, ms=3, label="training, epoch mean")
        if steps.ndim > 1:
            panel.fill_between(epochs - 0.5, mean - spread, mean + spread, color=style.INK, alpha=0.15, lw=0)
        for split in tested:
            _draw_tests(panel, scale * history[f"{split}_{name}"], split)
        panel.set(xlabel="epoch", ylabel="accuracy (%)" if name == "accuracy" else "loss")
        panel.set_xlim(left=0)
        style.whole_numbers(panel.xaxis)
        style.plain(panel)
        panel.legend(frameon=False, fontsize=8)
    losses = np.concatenate([batch_losses, *(history[f"{split}_loss"].ravel() for split in ("train", *tested))])
    panels[0].set_ylabel("loss" + _scale(panels[0], losses[np.isfinite(losses) & (losses > 0)]))
    return _finish(figure, result, path)


def learned_from(config: Mapping[str, Any]) -> int:
    """Samples in an epoch of a recorded run: those of the training split that are not held back for validation."""
    validation = config.get("validation", {})
    return int(config["task"]["n_train"] - (validation["samples"] if "share" in validation else 0))


def _draw_tests(panel: Axes, values: Doubles, split: str) -> None:
    """The tests of a split at the ends of epochs, of several chips their mean and standard deviation."""
    color, marker = (style.TEST, "o") if split == "test" else (style.VALIDATION, "D")
    epochs, (mean, spread) = np.arange(1, len(values) + 1), _over_chips(values)
    label = split if values.ndim == 1 else f"{split}, mean and std of {values.shape[1]} chips"
    panel.plot(epochs, mean, marker, color=color, ms=4 if split == "test" else 3, label=label)
    if values.ndim > 1:
        bars = np.stack([mean - spread, mean + spread, np.full_like(mean, np.nan)], axis=1)
        panel.plot(np.repeat(epochs, 3), bars.ravel(), color=color, lw=1)  # a line, which a legend keeps clear of


def _over_chips(values: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation over the chips of a run, of those whose values are finite; of one chip its values."""
    if values.ndim == 1:
        return values, np.zeros_like(values)
    finite = np.ma.masked_invalid(values)
    mean, spread = finite.mean(axis=1), finite.std(axis=1, ddof=1 if values.shape[1] > 1 else 0)
    return np.ma.filled(mean, np.nan), np.ma.filled(spread, np.nan)


def diagnostic(result: Recorded, name: str, path: str | os.PathLike[str] | None = None) -> Figure:
    """What one diagnostic of a run measured, one line per layer, against updates.

    Parameters
    ----------
    result : noisysim.Result
    name : str
        Of the diagnostic.
    path : path, optional
        Where to write the figure; the suffix chooses the format.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _diagnostics(result, [name], path)


def diagnostics(result: Recorded, path: str | os.PathLike[str] | None = None) -> Figure:
    """What all diagnostics of a run measured, a small panel each; otherwise as `diagnostic`."""
    return _diagnostics(result, [identity.title(described) for described in result.config["diagnostics"]], path)


def _diagnostics(result: Recorded, names: list[str], path: str | os.PathLike[str] | None) -> Figure:
    from noisysim.chip.diagnostics import DIAGNOSTICS, Diagnostic

    if not result.diagnostics:
        raise ValueError("this run was made without diagnostics: run it again with some, such as 'angle'")
    for name in names:
        check_choice("diagnostic of this run", name, sorted(result.diagnostics.keys() - {"update"}))
    if path is not None:
        check_writable(path)
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = style.figure(7, 4) if len(names) == 1 else style.figure(3.4 * columns + 1, 2.6 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.remove()
    looks_per_point = _looks_per_point(result.diagnostics["update"])
    for number, (panel, name) in enumerate(zip(panels, names, strict=False)):
        axis = DIAGNOSTICS.get(name, Diagnostic).axis
        said = (axis.label or name) + _lines(panel, result.diagnostics["update"], result.diagnostics[name], axis)
        if len(names) == 1:
            panel.set_ylabel(said)
        else:
            panel.set_title(said, loc="left", fontsize=8.5)
        if number + columns >= len(names):
            panel.set_xlabel("updates" if looks_per_point == 1 else f"updates (means of {looks_per_point} looks)")
    layers = {line.get_label(): line for panel in panels for line in panel.lines if line.get_label().isdigit()}
    if layers:
        handles = [layers[layer] for layer in sorted(layers, key=int)]
        figure.legend(handles=handles, loc="outside right center", title="layer", frameon=False, fontsize=8)
    return _finish(figure, result, path)


def _lines(panel: Axes, updates: Doubles, values: Doubles, axis: Axis) -> str:
    """Draw a diagnostic, (looks, layers), in one panel; returns what its label says of the scale."""
    from matplotlib import colormaps
    from matplotlib.ticker import MultipleLocator

    depth = values.shape[-1] if values.ndim > 1 else 0  # a run may have ended before the first look
    at, values = _thinned(updates), _thinned(values)
    line = "-" if len(at) > 1 else "o"  # one point makes no line
    for layer, colour in enumerate(colormaps["viridis"](np.linspace(0, 0.85, depth))):
        if np.isfinite(values[:, layer]).any():
            panel.plot(at, values[:, layer], line, color=colour, lw=1.3, ms=4, label=f"{layer + 1}")
    finite = values[np.isfinite(values)]
    if not finite.size:
        panel.text(0.5, 0.5, "not defined in this run", transform=panel.transAxes, ha="center", color=style.TRAIN)
    scale = _scale(panel, finite) if axis.high is None and (finite > 0).all() else ""
    last = max(updates.max(initial=0), 1)
    panel.set_xlim(-0.03 * last, 1.03 * last)
    style.whole_numbers(panel.xaxis)
    if panel.get_yscale() == "linear":
        panel.update_datalim([(0, v) for v in (axis.low, axis.high) if v is not None], updatex=False)
        panel.autoscale_view(scalex=False)
    if axis.step is not None:
        panel.yaxis.set_major_locator(MultipleLocator(axis.step))
    if axis.mark is not None:
        panel.axhline(axis.mark, color=style.INK, lw=0.8, ls=(0, (4, 3)))
    style.plain(panel)
    return scale


def _thinned(values: Doubles) -> Doubles:
    """Means of successive looks over what is defined, at most `LOOKS` of them."""
    if len(values) <= LOOKS:
        return values
    firsts = np.arange(0, len(values), _looks_per_point(values))
    defined = np.isfinite(values)
    sums, counts = (np.add.reduceat(a, firsts, axis=0) for a in (np.where(defined, values, 0.0), defined.astype(float)))
    means: Doubles = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def _looks_per_point(values: Doubles) -> int:
    """Number of looks that one point is the mean of."""
    return max(1, -(-len(values) // LOOKS))


def _batches(losses: Doubles, an_epoch: int) -> tuple[Doubles, Doubles, int]:
    """Where (in epochs) and what the losses of the updates were, and how many one point is the mean of."""
    per_point = max(1, -(-len(losses) // POINTS))
    firsts = np.arange(0, len(losses), per_point)
    counts = np.minimum(firsts + per_point, len(losses)) - firsts
    means = np.add.reduceat(losses, firsts) / counts if len(losses) else losses
    return (firsts + counts / 2) / an_epoch, means, per_point


def _scale(panel: Axes, values: Doubles) -> str:
    """Make the y axis logarithmic where values span more than a linear one shows; returns what its label has to say."""
    if not len(values) or values.max() <= WIDE * values.min():
        return ""
    from matplotlib.ticker import LogLocator, NullLocator

    panel.set_yscale("log")
    if values.max() < 1e4 * values.min():
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if values.max() < 300 * values.min() else (1,)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(NullLocator())
    return " (log scale)"
