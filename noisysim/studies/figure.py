"""Figures of studies: lines over an axis, a colour for each value of another, a panel for each of a third."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from noisysim.common.arguments import argument
from noisysim.common.fields import check_choice
from noisysim.reporting import plot, style
from noisysim.studies.grids import at_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import DataArray


AVERAGED = ("seed", "chip")
"""Axes that are averaged over by default."""
COLOURS = ("#1f4e79", "#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d", "#4d7c0f", "#64748b", "#0ea5e9", "#78350f")
MARKS = "osD^vP*Xph"
SHARES = ("accuracy",)
WORDS = {"elapsed": "seconds", "adc_conversions": "ADC conversions", "mvms": "MVMs"}


class Measured(Protocol):
    """What figures read of a `noisysim.Study`."""

    @property
    def axes(self) -> dict[str, list[Any]]: ...

    @property
    def data(self) -> Any: ...

    @property
    def fixed(self) -> dict[str, Any]: ...


def draw(
    study: Measured,
    name: str,
    x: str | None,
    hue: str | None,
    col: str | None,
    path: str | os.PathLike[str] | None,
    select: dict[str, Any],
) -> Any:
    """`noisysim.Study.plot`."""
    if path is not None:
        plot.check_writable(path)
    data = study.data
    variables = [n for n in data.data_vars if data[n].dtype.kind == "f" and not n.endswith("_by_epoch")]
    check_choice("variable of this study", name, [n for n in variables if not {"look", "layer"} & set(data[n].dims)])
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
    figure = _panels(values, name, x, hue, col, study)
    if path is not None:
        style.save(figure, path)
    return figure


def _bottom(study: Measured, values: DataArray) -> str:
    """The first axis of several numbers other than the seed, else of several values, else the first."""
    axes = [axis for axis in study.axes if axis in values.dims and axis != "seed"] or list(study.axes)
    several = [axis for axis in axes if len(study.axes[axis]) > 1] or axes
    return str(next((axis for axis in several if values[axis].dtype.kind in "fi"), several[0]))


def _panels(values: DataArray, name: str, x: str, hue: str | None, col: str | None, study: Measured) -> Any:
    columns = study.axes[col] if col else [None]
    wide = min(len(columns), 4)
    rows = -(-len(columns) // wide)
    colours = study.axes[hue] if hue else [None]
    figure = style.figure(3.2 * wide + 2.2, 3.0 * rows + 0.4)
    panels = figure.subplots(rows, wide, squeeze=False, sharex=True, sharey=True).ravel()
    for panel in panels[len(columns) :]:
        panel.remove()
    for number, (panel, label) in enumerate(zip(panels, columns, strict=False)):
        in_panel = values if col is None else values.isel({col: number})
        for k in range(len(colours)):
            _line(panel, in_panel if hue is None else in_panel.isel({hue: k}), x, k, colours[k], name)
        if col:
            panel.set_title(f"{col} = {label}", loc="left", fontsize=9)
        if number + wide >= len(columns):
            panel.set_xlabel(x)
        if number % wide == 0:
            panel.set_ylabel(
                f"{name.replace('_', ' ')} (%)" if _share(name) else WORDS.get(name, name.replace("_", " "))
            )
        style.plain(panel)
    _scales(panels[0], values, x, name)
    if hue:
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside right center", title=hue, frameon=False, fontsize=8)
    figure.suptitle(_title(study), fontsize=11)
    return figure


def _line(panel: Axes, values: DataArray, x: str, number: int, label: object, name: str) -> None:
    """One line: means over seeds and chips of the runs that finished, with their standard deviation."""
    over = [d for d in values.dims if d != x]
    values = (100 if _share(name) else 1) * values.transpose(x, *over)
    spread = values.std(over, ddof=1 if values.size > values.sizes[x] else 0) if over else 0 * values
    mean, at = values.mean(over), _places(values, x)
    colour, mark = COLOURS[number % len(COLOURS)], MARKS[number % len(MARKS)]
    kind = "-" if values[x].dtype.kind in "fi" else ":"
    few = len(at) <= 30
    panel.plot(at, mean, kind, marker=mark if few else "", ms=4, lw=1.4, color=colour, label=str(label))
    spread = spread.fillna(0)
    panel.fill_between(at, mean - spread, mean + spread, color=colour, alpha=0.13, lw=0)
    lost = np.isnan(values.values.reshape(len(at), -1)).any(axis=1)
    marked = lost & np.isfinite(mean.values)
    if marked.any():  # some of the runs did not finish: the mean is of the others
        panel.plot(np.asarray(at)[marked], mean.values[marked], "x", ms=9, mew=1.2, color=colour, label="_lost")


def _share(name: str) -> bool:
    return name.endswith(SHARES)


def _places(values: DataArray, x: str) -> Any:
    """Positions of an axis's values: numbers at themselves, texts side by side."""
    return values[x].values if values[x].dtype.kind in "fi" else np.arange(values.sizes[x])


def _scales(panel: Axes, values: DataArray, x: str, name: str) -> None:
    """Tick labels where the axis has names; a logarithmic axis for numbers over decades."""
    labels = values[x].values
    if values[x].dtype.kind not in "fi":
        long = max(len(str(label)) for label in labels) * len(labels) > 40
        panel.set_xticks(np.arange(len(labels)), labels, rotation=35 if long else 0, ha="right" if long else "center")
        return
    positive = labels[labels > 0]
    if x != "epoch" and len(positive) > 2 and positive.max() >= 30 * positive.min():
        if (labels == 0).any():
            panel.set_xscale("symlog", linthresh=positive.min(), linscale=0.5)
        else:
            panel.set_xscale("log")
    elif len(labels) <= 8:
        panel.set_xticks(labels)
        panel.xaxis.set_major_formatter("{x:g}")


def _title(study: Measured) -> str:
    """What is the same in all runs: rule, device and task."""
    fixed = study.fixed
    named = {n: fixed.get(n, {}).get("name") for n in ("learner", "device", "task") if n not in study.axes}
    pair = " on ".join(filter(None, (named.get("learner"), named.get("device"))))
    return ": ".join(filter(None, (pair, named.get("task")))) or "study"
