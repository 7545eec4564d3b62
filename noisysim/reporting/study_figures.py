"""Figures of a study: which ones, and of what where an axis is not drawn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common.types import Doubles
from noisysim.reporting import lettering, pages, style, wording
from noisysim.reporting.figures import SIZE, Picture, embedded
from noisysim.studies import figure
from noisysim.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from xarray import Dataset

NUMERIC = 3
"""Axes of numbers that get a figure of their own, at most."""
COLOURS = 10
"""Values that can be told apart by colour."""
_AVERAGED = ("seed", "chip")


def measure(data: Dataset) -> str:
    """What the figures show: test accuracy, for a regression test loss, "" where no run has either."""
    measured = [
        name for name in ("test_accuracy", "test_loss") if name in data and np.isfinite(data[name].values).any()
    ]
    return measured[0] if measured else ""


def means(data: Dataset, name: str) -> Any:
    """Over seeds and chips, of the runs that finished."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of settings where none did
        return data[name].mean([dim for dim in _AVERAGED if dim in data[name].dims])


def best(study: Study, data: Dataset, name: str) -> dict[str, Any]:
    """Labels of the setting with the best mean, of those whose runs all finished if there are any."""
    whole = data[name].mean([dim for dim in _AVERAGED if dim in data[name].dims], skipna=False)
    candidates = whole if np.isfinite(whole.values).any() else means(data, name)
    values = candidates.values if name.endswith("accuracy") else -candidates.values
    at = np.unravel_index(np.nanargmax(values), values.shape)
    chosen = {str(dim): study.axes[str(dim)][k] for dim, k in zip(candidates.dims, at, strict=True)}
    return {dim: label for dim, label in chosen.items() if len(study.axes[dim]) > 1}


def pictures(study: Study, data: Dataset, name: str) -> list[Picture]:
    """The measure against each axis of numbers, on a map of two, and against epochs."""
    axes = [axis for axis, labels in study.axes.items() if len(labels) > 1 and axis not in _AVERAGED]
    numbers = [axis for axis in axes if data[axis].dtype.kind in "fi"]
    words = [axis for axis in axes if axis not in numbers]
    chosen = best(study, data, name)
    hue = next((axis for axis in words if len(study.axes[axis]) <= COLOURS), None)
    drawn = [_lines(study, name, x, hue, axes, chosen) for x in numbers[:NUMERIC]]
    if not numbers and axes:
        other = next((axis for axis in axes[1:] if len(study.axes[axis]) <= COLOURS), None)
        drawn.append(_lines(study, name, axes[0], other, axes, chosen))
    if len(numbers) > 1:
        drawn.append(_map(study, data, name, numbers[1], numbers[0], chosen))
    by_epoch = data.get(f"{name}_by_epoch")
    if by_epoch is not None and by_epoch.sizes.get("epoch", 0) > 1:
        colour = hue or next((axis for axis in axes if len(study.axes[axis]) <= COLOURS), None)
        drawn.append(_lines(study, name, "epoch", colour, axes, chosen))
    return drawn


def _lines(study: Study, name: str, x: str, hue: str | None, axes: list[str], chosen: dict[str, Any]) -> Picture:
    """The measure against an axis, the axes that are not drawn at their best."""
    select = {axis: chosen[axis] for axis in axes if axis not in (x, hue)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of settings where no run finished
        drawn = figure.draw(study, name, x=x, hue=hue, select=select, size=SIZE, title=False)
    alt = f"{pages.words(name)} against {x}" + (f", a line for each {hue}" if hue else "") + _at(select)
    caption = f"{alt}. Means over seeds; bands or bars are one standard deviation."
    number = list(study.axes).index(x) if x in study.axes else len(study.axes)  # an id is a word, a name need not be
    return Picture(caption, alt, embedded(drawn, f"against-{number}", alt))


def _at(select: dict[str, Any]) -> str:
    labels = ", ".join(f"{axis} = {label}" for axis, label in select.items())
    return f", at the best {labels}" if labels else ""


def _map(study: Study, data: Dataset, name: str, x: str, y: str, chosen: dict[str, Any]) -> Picture:
    """The measure over two axes of numbers, the other axes at their best."""
    select = {axis: label for axis, label in chosen.items() if axis not in (x, y)}
    share = wording.is_share(name)
    values = (100 if share else 1) * means(data, name).sel(select).squeeze().transpose(y, x).values
    drawn = style.figure(*SIZE)
    axes = drawn.subplots()
    image = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis" if share else "viridis_r")
    axes.set_facecolor("#d9dce0")
    for axis, ticks in ((axes.xaxis, study.axes[x]), (axes.yaxis, study.axes[y])):
        shown = range(0, len(ticks), -(-len(ticks) // 10))
        axis.set_ticks(list(shown), [lettering.numbers(ticks)[k] for k in shown])
    axes.set_xlabel(figure.called(study, x).label)
    axes.set_ylabel(figure.called(study, y).label)
    if values.size <= 60:
        _numbers(axes, image, values, ".1f" if share else ".3g")
    drawn.colorbar(image, label=wording.measured(name).label)
    alt = f"{pages.words(name)} over {x} and {y}{_at(select)}"
    return Picture(f"{alt}. Means over seeds; grey: no run finished.", alt, embedded(drawn, "map", alt))


def _numbers(axes: Axes, image: AxesImage, values: Doubles, form: str) -> None:
    """Each value in its place, in black or white, whichever stands out."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = ink(image.cmap(image.norm(value)))
            axes.text(column, row, f"{value:{form}}", ha="center", va="center", fontsize=8, color=colour)


def ink(ground: Any) -> str:
    """Black or white, whichever stands out more from an sRGB colour (contrast as in WCAG 2.2)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in ground[:3]]
    luminance = float(np.dot((0.2126, 0.7152, 0.0722), linear))
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"
