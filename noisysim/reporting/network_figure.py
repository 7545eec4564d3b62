"""The figure of a network: its array layers and what the periphery computes between them, branches side by side."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from noisysim.networks.architecture import INPUT
from noisysim.networks.summary import Part, shape_in_words
from noisysim.reporting import style
from noisysim.reporting.style import INK, TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, LANE = 2.5, 2.8
"""Width of a box, and distance of branches side by side, inches."""
ROW, GAP, LINE = 0.22, 0.2, 0.15
"""Height of a box of one line, distance of boxes, and height of each further line, inches."""
KEY = "blue: weights on arrays; red: the periphery"
LONGEST = 40
"""Characters of a line in a box."""
DEEPEST = 12.0
"""Height at which a network is continued beside itself, inches."""
WORTH = 0.8
"""Share of its height that a figure must be left with to be continued beside itself: it gets several times as wide."""


class Place(NamedTuple):
    """Where a part stands: which row from above, and which lane from the left."""

    row: int
    lane: int


class Plan(NamedTuple):
    """Where everything stands.

    Attributes
    ----------
    places : dict
        Of each node.
    paths : dict
        Of each connection, (source, target): the places that it passes from the one to the other, both included.
    """

    places: dict[int, Place]
    paths: dict[tuple[int, int], list[Place]]


def plan(parts: Sequence[Part]) -> Plan:
    """A row for each step from the input, and a lane for each branch; a connection over several rows has a lane too.

    Parameters
    ----------
    parts : sequence of Part
        Each behind those that it sees.
    """
    rows: dict[int, int] = {}
    for part in parts:
        rows[part.node] = max((rows[source] + 1 for source in part.sources), default=0)
    depth = 1 + max(rows.values())
    connections = [(source, part.node) for part in parts for source in dict.fromkeys(part.sources)]
    places: dict[int, Place] = {}
    paths: dict[tuple[int, int], list[Place]] = {one: [] for one in connections}
    for row in range(depth):
        taken: set[int] = set()
        passing = [one for one in connections if rows[one[0]] < row < rows[one[1]]]
        begun = [one for one in passing if paths[one][1:]]
        for one in begun:  # lines stay straight
            paths[one].append(Place(row, _free(paths[one][-1].lane, taken)))
        for part in parts:
            if rows[part.node] == row:
                ends = [paths[source, part.node][-1].lane for source in dict.fromkeys(part.sources)]
                lane = _free(min(ends, default=0), taken)
                places[part.node] = Place(row, lane)
                for one in connections:
                    if part.node in one:
                        paths[one].append(places[part.node])
        for one in passing:
            if one not in begun:
                paths[one].append(Place(row, _free(paths[one][-1].lane, taken)))
    return Plan(places, paths)


def _free(lane: int, taken: set[int]) -> int:
    """The first lane from here that is free, which then is taken."""
    while lane in taken:
        lane += 1
    taken.add(lane)
    return lane


def draw(parts: Sequence[Part], title: str) -> Figure:
    """Boxes from top to bottom, with what each gives; filled ones have weights on arrays."""
    found, texts = plan(parts), {part.node: lines_of(part) for part in parts}
    heights = _heights(found, texts)
    lanes = 1 + max(place.lane for path in (*found.paths.values(), list(found.places.values())) for place in path)
    columns = _columns(heights, _narrow(found))
    block = lanes * LANE
    tall = max(_height(heights[first:last]) for first, last in columns)
    wide, high = block * len(columns), tall + 0.75
    figure = style.figure(wide, high, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, wide), ylim=(-tall - 0.1, high - tall - 0.1))
    axes.axis("off")
    axes.text(0.15, 0.48, title, fontsize=11, color=INK, va="center", parse_math=False)
    axes.text(0.15, 0.22, KEY, fontsize=6.6, color=INK, va="center")
    spots = dict(_spots(heights, columns, block))
    for (source, _), path in found.paths.items():
        first = ROW + LINE * (len(texts[source]) - 1)
        _connect(axes, path, spots, heights, first)
    for part in parts:
        place = found.places[part.node]
        x, y = spots[place.row]
        _box(axes, part, texts[part.node], x + (place.lane + 0.5) * LANE, y, heights[place.row])
    return figure


def lines_of(part: Part) -> list[str]:
    """What a box says: what it is, and what it gives."""
    shape = shape_in_words(part.shape)
    if not part.weights:
        return [f"{part.text or part.name}   {shape}"] if len(part.text) < LONGEST - 14 else [part.text, shape]
    words = textwrap.wrap(f"{part.node}: {part.text}", LONGEST)
    arrays = f", {part.arrays} arrays" if part.arrays > 1 else ""
    return [*words, f"{shape};  {part.weights:,} weights{arrays}"]


def _heights(found: Plan, texts: Mapping[int, Sequence[str]]) -> list[float]:
    """Of each row, as high as its highest box."""
    lines = [1] * (1 + max(place.row for place in found.places.values()))
    for node, place in found.places.items():
        lines[place.row] = max(lines[place.row], len(texts[node]))
    return [ROW + LINE * (count - 1) for count in lines]


def _narrow(found: Plan) -> set[int]:
    """The rows above which a single connection comes in: there a figure may be continued beside itself."""
    crossed: dict[int, int] = {}
    for path in found.paths.values():
        for place in path[1:]:
            crossed[place.row] = crossed.get(place.row, 0) + 1
    return {row for row, count in crossed.items() if count == 1}


def _columns(heights: Sequence[float], narrow: Collection[int]) -> list[tuple[int, int]]:
    """The rows of each column of the figure, about as high as each other."""
    total = _height(heights)
    count = math.ceil(total / DEEPEST)
    columns, first, height = list[tuple[int, int]](), 0, 0.0
    for row, own in enumerate(heights):
        if height + own / 2 > total / count and row in narrow and len(columns) < count - 1:
            columns.append((first, row))
            first, height = row, 0.0
        height += own + GAP
    columns.append((first, len(heights)))
    tallest = max(_height(heights[first:last]) for first, last in columns)
    return columns if tallest < WORTH * total else [(0, len(heights))]


def _height(heights: Sequence[float]) -> float:
    """Of rows below each other, inches."""
    return sum(heights) + GAP * len(heights)


def _spots(
    heights: Sequence[float], columns: Sequence[tuple[int, int]], block: float
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Each row's left end and middle."""
    for number, (first, last) in enumerate(columns):
        top = 0.0
        for row in range(first, last):
            yield row, (number * block, top - heights[row] / 2)
            top -= heights[row] + GAP


def _connect(
    axes: Axes, path: Sequence[Place], spots: Mapping[int, tuple[float, float]], heights: Sequence[float], first: float
) -> None:
    """Draw a connection: from a box of the height `first` down its lanes, across between rows and columns."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for k, place in enumerate(path):
        left, y = spots[place.row]
        x, half = left + (place.lane + 0.5) * LANE, heights[place.row] / 2
        if k:
            (x0, y0), y1 = points[-1], y + half
            if left == spots[path[k - 1].row][0]:  # a curve from the row above to the upper edge of this one
                points += [(x0, (y0 + y1) / 2), (x, (y0 + y1) / 2), (x, y1)]
                codes += [Path.CURVE4] * 3
            else:
                low, high = y0 - GAP / 2, y1 + GAP / 2
                points += [(x0, low), (left, low), (left, high), (x, high), (x, y1)]
                codes += [Path.LINETO] * 5
        if k < len(path) - 1:
            points.append((x, y + half - first if k == 0 else y - half))
            codes.append(Path.LINETO if k else Path.MOVETO)
            if k == 0:
                points.append((x, y - half))
                codes.append(Path.LINETO)
    arrow = FancyArrowPatch(
        path=Path(points, codes), arrowstyle="-|>", mutation_scale=7, color=TRAIN, lw=0.9, shrinkA=0, shrinkB=0
    )
    axes.add_patch(arrow)


def _box(axes: Axes, part: Part, lines: Sequence[str], x: float, y: float, height: float) -> None:
    """Draw a part."""
    from matplotlib.patches import FancyBboxPatch

    own = ROW + LINE * (len(lines) - 1)
    edge = VALIDATION if part.weights else (INK if part.node == INPUT else TEST)
    box = FancyBboxPatch(
        (x - WIDTH / 2 + 0.05, y + height / 2 - own), WIDTH - 0.1, own, boxstyle="round,pad=0,rounding_size=0.05",
        facecolor="#eaf0fe" if part.weights else "white", edgecolor=edge, lw=0.9,
    )  # fmt: skip
    axes.add_patch(box)
    axes.text(
        x, y + height / 2 - own / 2, "\n".join(lines), fontsize=6.6, color=INK, ha="center", va="center",
        parse_math=False, linespacing=1.35,
    )  # fmt: skip
