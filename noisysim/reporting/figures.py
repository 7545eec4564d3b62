"""Figures inside a page: SVG whose texts are texts, or a PNG where that is smaller."""

from __future__ import annotations

import base64
import inspect
import io
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

from noisysim.chip.diagnostics import DIAGNOSTICS
from noisysim.common import identity
from noisysim.common.types import Doubles
from noisysim.reporting import pages, plot, style
from noisysim.runs.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.8, 3.3)
"""Inches of a figure: its smallest letters are legible at a phone's width."""
FEW = 32
"""Chips that are drawn one by one, at most."""
LARGEST = 250_000
"""Characters of an SVG; larger ones become PNGs."""
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


class Picture(NamedTuple):
    """A figure of a page: its caption, its text for screen readers, and its markup."""

    caption: str
    alt: str
    markup: Markup


def embedded(figure: Figure, name: str, alt: str) -> Markup:
    """A matplotlib figure as part of a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        Of the figure, a word: the start of all its ids, so that those of two figures never clash.
    alt : str
        What it shows.
    """
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "noisysim"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    if len(text.getvalue()) > LARGEST:
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=200, metadata={"Software": None})
        width, height = (round(96 * inches) for inches in figure.get_size_inches())
        data = base64.b64encode(picture.getvalue()).decode()
        return Markup('<img alt="{}" width="{}" height="{}" src="data:image/png;base64,{}">').format(
            alt, width, height, data
        )
    return Markup(_inline(text.getvalue(), name, alt))  # ElementTree escaped its texts


def _inline(text: str, name: str, alt: str) -> str:
    """An SVG file's text as an element of a page: no prologue, ids of its own, a label."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):  # a style here would be the whole page's
                parent.remove(child)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{_XLINK}}}href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            else:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    root.attrib.update({"role": "img", "aria-label": alt, "style": "stroke-linejoin: round; stroke-linecap: butt"})
    return ElementTree.tostring(root, encoding="unicode")


def _alone(figure: Figure, axes: Axes) -> Figure:
    """A figure with only one of its panels, in the size of a page's figures and without a title: the page has one."""
    for panel in figure.axes:
        if panel is not axes:
            panel.remove()
    axes.set_subplotspec(figure.add_gridspec(1, 1)[0])
    figure.suptitle("")
    figure.set_size_inches(*SIZE)
    return figure


# --- of a run -------------------------------------------------------------------------------------------------------


def learning_curves(result: Result) -> list[Picture]:
    """Loss and, for a classification, accuracy against epochs; nothing of a run that ended before its first update."""
    if not len(result.steps["train_loss"]):
        return []
    pictures = []
    names = ["loss", "accuracy"] if np.isfinite(result.history["test_accuracy"]).any() else ["loss"]
    for k, name in enumerate(names):
        figure = plot.learning_curves(result)
        test = result.history[f"test_{name}"]
        form = pages.accuracy if name == "accuracy" else pages.loss
        alt = f"{name.capitalize()} against epochs"
        if len(test):
            alt += (
                f": on the test split {form(test[0])} after the first epoch, {form(test[-1])} after epoch {len(test)}"
            )
        caption = f"{name.capitalize()}: an epoch's training mean stands at its middle, a test at its end."
        pictures.append(Picture(caption, alt, embedded(_alone(figure, figure.axes[k]), f"curve-{name}", alt)))
    return pictures


def diagnostics(result: Result) -> tuple[list[Picture], list[str]]:
    """A figure of each diagnostic, and the names of those that were not defined in this run."""
    pictures, undefined = [], []
    for number, one in enumerate(result.config["diagnostics"]):
        name = identity.title(one)
        if not np.isfinite(result.diagnostics[name]).any():
            undefined.append(name)
            continue
        figure = plot.diagnostic(result, name)
        meaning = inspect.getdoc(DIAGNOSTICS[name]) if name in DIAGNOSTICS else None
        caption = f"{name}: {meaning.splitlines()[0]}" if meaning else name
        alt = f"{name} of each layer against updates"
        pictures.append(Picture(caption, alt, embedded(_alone(figure, figure.axes[0]), f"diagnostic-{number}", alt)))
    return pictures, undefined


def chips(result: Result) -> list[Picture]:
    """How the chips of a run differ: their final values."""
    if not len(result.history["test_loss"]):
        return []
    accuracy = result.history["test_accuracy"][-1]
    name = "accuracy" if np.isfinite(accuracy).any() else "loss"
    values = 100 * accuracy if name == "accuracy" else result.history["test_loss"][-1]
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return []
    figure = style.figure(*SIZE)
    axes = figure.subplots()
    label = "final test accuracy (%)" if name == "accuracy" else "final test loss"
    (_histogram if len(values) > FEW else _dots)(axes, values, label)
    axes.legend(frameon=False, fontsize=8)
    style.plain(axes)
    alt = f"Final test {name} of {len(finite)} chips, from {finite.min():.4g} to {finite.max():.4g}"
    return [Picture(f"Final test {name} of each chip.", alt, embedded(figure, "chips", alt))]


def _dots(axes: Axes, values: Doubles, label: str) -> None:
    """One point per chip."""
    finite = values[np.isfinite(values)]
    mean, spread = finite.mean(), finite.std(ddof=1)
    axes.axhspan(mean - spread, mean + spread, color=style.TEST, alpha=0.12, lw=0, label="mean ± standard deviation")
    axes.axhline(mean, color=style.TEST, lw=1.2, label="mean")
    axes.plot(np.arange(1, len(values) + 1), values, "o", color=style.INK, ms=5)
    axes.set(xlabel="chip", ylabel=label)
    style.whole_numbers(axes.xaxis)


def _histogram(axes: Axes, values: Doubles, label: str) -> None:
    """Histogram of the chips' final values."""
    finite = values[np.isfinite(values)]
    axes.hist(finite, bins=min(40, round(2 * len(finite) ** 0.5)), color=style.TRAIN, alpha=0.6)
    axes.axvline(finite.mean(), color=style.TEST, lw=1.5, label="mean")
    axes.set(xlabel=label, ylabel="chips")
    style.whole_numbers(axes.yaxis)
