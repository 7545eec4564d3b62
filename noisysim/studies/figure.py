"""Figures of studies: lines over an axis, a colour for each value of another, a panel for each of a third."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from noisysim.common import durations
from noisysim.common.arguments import argument
from noisysim.common.fields import check_choice
from noisysim.reporting import curves, lettering, plot, style, wording
from noisysim.reporting.wording import Quantity
from noisysim.studies.grids import at_label
from noisysim.studies.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import DataArray


AVERAGED = ("seed", "chip")
"""Axes that are averaged over by default."""
TICKS = 12
"""Values of an axis that have a tick each, at most."""
PANEL = 1.5
"""Inches of a panel with its labels, at least."""
LEGEND = 0.2
"""Share of the figure's width that a legend beside the panels takes at most; a wider one goes below them."""
MARGINS = 5.0
"""Width of what stands beside the panels, the vertical axis's label and ticks: of the font's size."""


class Measured(Protocol):
    """What figures read of a `noisysim.Study`."""

    @property
    def axes(self) -> dict[str, list[Any]]: ...

    @property
    def data(self) -> Any: ...

    @property
    def fixed(self) -> dict[str, Any]: ...

    @property
    def content(self) -> Table: ...


class View(NamedTuple):
    """What is drawn: values over the axis `x`, those of `hue` and `col` and those that are averaged."""

    values: DataArray
    name: str
    x: str
    hue: str | None
    col: str | None


def draw(
    study: Measured,
    name: str,
    *,
    x: str | None = None,
    hue: str | None = None,
    col: str | None = None,
    ax: Axes | None = None,
    path: str | os.PathLike[str] | None = None,
    select: Mapping[str, Any] | None = None,
    size: tuple[float, float] | None = None,
    title: bool = True,
) -> Figure:
    """`noisysim.Study.plot`, of a size (inches) and without a title where that is asked for."""
    if path is not None:
        plot.check_writable(path)
    view = _view(study, name, x, hue, col, select or {})
    if ax is not None:
        if view.col is not None:
            raise ValueError(f"ax is one panel, and {view.col} makes several: choose one value of it, or leave ax out")
        figure: Any = ax.get_figure()
        _lines(ax, view.values, view)
        _letter([ax], view, study, 1, 72 * ax.get_window_extent().width / figure.dpi)
        if view.hue:
            ax.legend(title=called(study, view.hue).words, **_look())
        figure = figure.figure  # of a part of a figure the whole
    else:
        figure = _panels(view, study, size)
        if title:
            _title(figure, study)
    if path is not None:
        style.save(figure, path)
    return figure  # type: ignore[no-any-return]


# --- what is drawn --------------------------------------------------------------------------------------------------


def _view(
    study: Measured, name: str, x: str | None, hue: str | None, col: str | None, select: Mapping[str, Any]
) -> View:
    """The values that were asked for; axes that nothing was said of become colours and panels."""
    check_choice("variable of this study", name, study.content.per_run())
    data = study.data
    values = data[f"{name}_by_epoch" if x == "epoch" else name]
    values = values.isel({axis: at_label(study.axes, axis, label) for axis, label in select.items()})
    x = _bottom(study, values) if x is None else x
    undrawn = [str(d) for d in values.dims if d not in (x, hue, col, *AVERAGED) and values.sizes[d] > 1]
    if hue is None and undrawn:
        hue = undrawn.pop(0)
    if col is None and undrawn:
        col = undrawn.pop(0)
    for axis in (x, hue, col):
        if axis is not None:
            check_choice("axis to draw", axis, [str(dim) for dim in values.dims])
    if len({x, hue, col} - {None}) < sum(axis is not None for axis in (x, hue, col)):
        raise ValueError(
            f"{argument(f'x={x!r}')}, {argument(f'hue={hue!r}')} and {argument(f'col={col!r}')} must be different axes"
        )
    if undrawn:
        raise ValueError(
            f"{name} also depends on {', '.join(undrawn)}: choose one value, such as "
            f"{undrawn[0]}={study.axes[undrawn[0]][0]!r}"
        )
    values = values.squeeze([d for d in values.dims if d not in (x, hue, col, *AVERAGED)])
    return View(values.sortby(x) if _numeric(values, x) else values, name, x, hue, col)


def _bottom(study: Measured, values: DataArray) -> str:
    """Where chips were tested after a wait the time, else the first axis of several numbers other than the seed."""
    if "seconds" in values.dims:
        return "seconds"
    axes = [axis for axis in study.axes if axis in values.dims and axis != "seed"] or list(study.axes)
    several = [axis for axis in axes if len(study.axes[axis]) > 1] or axes
    return str(next((axis for axis in several if _numeric(values, axis)), several[0]))


def _numeric(values: DataArray, axis: str) -> bool:
    return values[axis].dtype.kind in "fi"


# --- panels ---------------------------------------------------------------------------------------------------------


def _panels(view: View, study: Measured, size: tuple[float, float] | None) -> Figure:
    """A figure with all panels and a legend; its size is the user's, if there is one."""
    count = view.values.sizes[view.col] if view.col else 1
    several = min(count, 4)
    usual = (3.2 * several + 2.2, 3.0 * -(-count // several) + 0.4)
    size = size or style.chosen("figure.figsize", None)
    figure = style.figure(*(size or usual))
    wide = max(1, min(several, int(figure.get_figwidth() / PANEL)))
    panels = figure.subplots(-(-count // wide), wide, squeeze=False, sharex=True, sharey=True).ravel()
    for panel in panels[count:]:
        panel.remove()
    for number, panel in enumerate(panels[:count]):
        _lines(panel, view.values if view.col is None else view.values.isel({view.col: number}), view)
    room, below = 72 * figure.get_figwidth() - MARGINS * lettering.points("medium"), 0.0
    if view.hue:
        beside, below = _legend(figure, panels[0], called(study, view.hue).words)
        room -= beside
    below += _letter(list(panels[:count]), view, study, wide, room / wide)
    if size is None:  # one that suits what there is to say
        figure.set_figheight(figure.get_figheight() + below / 72)
    return figure


def _lines(panel: Axes, values: DataArray, view: View) -> None:
    """A line for each value of the hue: means over seeds and chips of the runs that finished, and their spreads."""
    hue, x = view.hue, view.x
    labels = _labels(view, hue) if hue else [""]
    numeric = _numeric(values, x)
    places = values[x].values if numeric else np.arange(values.sizes[x])
    for number, label in enumerate(labels):
        one = values.isel({hue: number}) if hue else values
        over = [dim for dim in one.dims if dim != x]
        one = (100 if wording.is_share(view.name) else 1) * one.transpose(x, *over)
        spread = one.std(over, ddof=1 if one.size > one.sizes[x] else 0) if over else 0 * one
        lost = np.isnan(one.values.reshape(len(places), -1)).any(axis=1)  # some did not finish: a mean of the others
        mean = one.mean(over) if over else one
        curves.draw(panel, places, mean, spread, number, len(labels), label, dotted=not numeric, lost=lost)


def _legend(figure: Figure, panel: Axes, heading: str) -> tuple[float, float]:
    """A legend beside the panels, or where that takes too much of the width below them; the points it takes there."""
    size, whole = _look()["fontsize"], 72 * figure.get_figwidth()
    em = lettering.points(size)
    handles, labels = panel.get_legend_handles_labels()
    labels = [lettering.wrapped(label, size, 0.8 * whole) for label in labels]
    entry = max(lettering.width(label, size) for label in labels) + 3 * em  # with its line
    beside = max(entry, lettering.width(heading, size)) + em
    if beside <= LEGEND * whole:
        figure.legend(handles, labels, loc="outside right center", title=heading, **_look())
        return beside, 0.0
    columns = max(1, min(len(labels), int((whole - em) / (entry + 2 * em))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=heading, **_look())
    lines = max(label.count("\n") + 1 for label in labels)
    return 0.0, 1.5 * em * (1 + lines * -(-len(labels) // columns))


def _letter(panels: list[Axes], view: View, study: Measured, wide: int, room: float) -> float:
    """Titles, labels of the axes and ticks, as far as a panel has room (points); the height of inclined ticks."""
    size, titles = style.chosen("axes.labelsize", "medium"), style.chosen("axes.titlesize", "medium")
    across, upwards = called(study, view.x), wording.measured(view.name)
    for number, panel in enumerate(panels):
        if view.col:
            title = called(study, view.col).value(_labels(view, view.col)[number])
            panel.set_title(lettering.wrapped(title, titles, 0.9 * room), loc="left", fontsize=titles)
        if number + wide >= len(panels):
            panel.tick_params(labelbottom=True)  # also where the row below ends earlier
        if number % wide == 0:
            panel.set_ylabel(lettering.literal(upwards.label), fontsize=size)
        style.plain(panel)
    label = lettering.literal(lettering.wrapped(across.label, size, room * wide))
    if len(panels) == 1:
        panels[0].set_xlabel(label, fontsize=size)
    else:
        panels[0].figure.supxlabel(label, fontsize=size)
    if not _numeric(view.values, view.x):
        return _name(panels[0], _labels(view, view.x), room)
    _scale(panels[0], view)
    return 0.0


def _scale(panel: Axes, view: View) -> None:
    """A logarithmic axis for numbers over decades; ticks at what was measured."""
    values = view.values[view.x].values
    panel.update_datalim([(values.min(), 0.0), (values.max(), 0.0)], updatey=False)  # also where no run finished
    if view.x == "epoch":
        style.whole_numbers(panel.xaxis)
        return
    positive = values[values > 0]
    if len(positive) > 2 and positive.max() >= 30 * positive.min():
        if (values == 0).any():
            panel.set_xscale("symlog", linthresh=positive.min(), linscale=0.5)
        elif (values > 0).all():
            panel.set_xscale("log")
    if len(values) <= TICKS:
        lettering.ticks_at(panel.xaxis, dict(zip(values.tolist(), _labels(view, view.x), strict=True)))


def _name(panel: Axes, labels: list[str], room: float) -> float:
    """Names side by side, those too long for that broken, and if they still are inclined; how high they are then."""
    size = style.chosen("xtick.labelsize", "medium")
    step, places = 0.9 * room / len(labels), np.arange(len(labels))
    broken = [lettering.wrapped(label, size, step) for label in labels]
    if max(lettering.width(label, size) for label in broken) <= step:
        panel.set_xticks(places, broken)
        return 0.0
    if 1.7 * lettering.points(size) > step:  # inclined lines would touch each other
        panel.set_xticks(places, labels, rotation=90)
    else:
        panel.set_xticks(places, labels, rotation=35, ha="right", rotation_mode="anchor")
    return math.sin(math.radians(panel.get_xticklabels()[0].get_rotation())) * max(
        lettering.width(label, size) for label in labels
    )


def _labels(view: View, axis: str) -> list[str]:
    """What the values of an axis are called."""
    values = view.values[axis].values.tolist()
    if axis == "seconds":
        return [durations.in_words(value) for value in values]
    return lettering.numbers(values) if _numeric(view.values, axis) else [lettering.literal(value) for value in values]


def called(study: Measured, axis: str) -> Quantity:
    """What an axis of a study is called, and its unit."""
    return wording.axis(axis, study.content.plain(0), study.content.varied[0])


def _look() -> dict[str, Any]:
    """Of a legend."""
    size = style.chosen("legend.fontsize", "small")
    return {"frameon": False, "fontsize": size, "title_fontsize": style.chosen("legend.title_fontsize", size)}


def _title(figure: Figure, study: Measured) -> None:
    """What is the same in all runs: rule, device and task."""
    fixed = study.fixed
    named = {n: fixed.get(n, {}).get("name") for n in ("learner", "device", "task") if n not in study.axes}
    pair = " on ".join(Path(n).name for n in (named.get("learner"), named.get("device")) if n)
    text = ": ".join(filter(None, (pair, Path(named.get("task") or "").name))) or "study"
    size = style.chosen("figure.titlesize", "large")
    room = 72 * figure.get_figwidth() - MARGINS * lettering.points("medium")
    figure.suptitle(lettering.literal(lettering.wrapped(text, size, room)), fontsize=size)
