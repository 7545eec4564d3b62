"""What a careful reader of a figure would mark: texts over each other, beyond the edge, or axes without labels."""

from __future__ import annotations

import itertools

SLACK = 1.0
"""Pixels by which texts may touch: their boxes have room for letters that hang lower."""


def texts_of(figure):
    """Every text that is drawn, with its box in pixels."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    found = []
    for text in figure.findobj(Text):
        if not text.get_text().strip() or not text.get_visible() or not _shown(figure, text):
            continue
        found.append((text.get_text(), text.get_window_extent(renderer)))
    return found


def _shown(figure, text):
    """Whether it is drawn: not so the labels of ticks beyond an axis's limits, or of an axis that is not shown."""
    for axes in figure.axes:
        if not axes.get_visible() or not axes.axison:
            if text in axes.findobj(type(text)) and text not in axes.texts:
                return False
            continue
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [*axis.majorTicks, *axis.minorTicks]
            labels = {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
            if id(text) in labels:
                low, high = sorted(axis.get_view_interval())
                tick = next(tick for tick in ticks if text in (tick.label1, tick.label2))
                inside = low - 1e-9 * (high - low) <= tick.get_loc() <= high + 1e-9 * (high - low)
                return inside and (tick.label1 if text is tick.label1 else tick.label2).get_visible()
    return True


def faults_of(figure):
    """What a reader would mark, in words; nothing in a figure that is sound."""
    texts = texts_of(figure)
    edge = figure.bbox
    for text, box in texts:
        if box.x0 < edge.x0 or box.y0 < edge.y0 or box.x1 > edge.x1 or box.y1 > edge.y1:
            yield f"{text!r} goes beyond the figure's edge"
    for (text, box), (other, second) in itertools.combinations(texts, 2):
        width = min(box.x1, second.x1) - max(box.x0, second.x0)
        height = min(box.y1, second.y1) - max(box.y0, second.y0)
        if min(width, height) > SLACK:
            yield f"{text!r} and {other!r} overlap"
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is not None and legend.get_in_layout() is False:
            box, area = legend.get_window_extent(renderer), axes.bbox
            if box.x1 > area.x1 + SLACK or box.y0 < area.y0 - SLACK:
                yield f"the legend of {axes.get_title(loc='left')!r} is larger than its panel"
