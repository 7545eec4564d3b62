"""What all pages share: the template engine, and numbers as a page shows them."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from noisysim.reporting import wording

if TYPE_CHECKING:
    import jinja2

NONE = "–"


class Table(NamedTuple):
    """A table of texts; the first cell of a row is its header.

    Attributes
    ----------
    caption : str
    columns : list of str
    rows : list of list of str
    numeric : frozenset of int
        Columns whose cells are numbers, aligned at their ends.
    note : str
        What a heading alone does not say, below the table.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    numeric: frozenset[int] = frozenset()
    note: str = ""


class Fact(NamedTuple):
    """A name, a value, and a remark."""

    name: str
    value: str
    more: str = ""


@functools.cache
def _engine() -> jinja2.Environment:
    import jinja2  # which numbers need not

    return jinja2.Environment(
        loader=jinja2.PackageLoader("noisysim.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **content: Any) -> str:
    """A page of its template and its content; every text in it is escaped."""
    return _engine().get_template(template).render(**content)


def over(values: ArrayLike, form: str, scale: float = 1.0) -> str:
    """A number; of several those that are finite, as mean and standard deviation; – where there is none."""
    scaled = scale * np.atleast_1d(np.asarray(values, float))
    finite = scaled[np.isfinite(scaled)]
    if not finite.size:
        return NONE
    if finite.size == 1:
        return f"{finite[0]:{form}}"
    return _spread(float(finite.mean()), float(finite.std(ddof=1)), form)


def _spread(mean: float, std: float, form: str) -> str:
    """Mean and standard deviation, both to the second digit of the latter."""
    digits = 1 - math.floor(math.log10(std)) if std > 0 else -1
    if form.endswith("f") or not 0 <= digits <= 6:
        return f"{mean:{form}} ± {std:{form if form.endswith('f') else '.2g'}}"
    return f"{mean:.{digits}f} ± {std:.{digits}f}"


def accuracy(values: ArrayLike) -> str:
    """Fractions as per cent."""
    text = over(values, ".1f", 100.0)
    return text if text == NONE else f"{text} %"


def loss(values: ArrayLike) -> str:
    """Losses as a page shows them."""
    return over(values, ".4g")


def words(name: str) -> str:
    """A name from a file as a heading has it."""
    text = wording.words(name)
    return text[0].upper() + text[1:]


def count(number: float) -> str:
    """A count in groups of three digits; a share of one with three digits."""
    if float(number).is_integer():
        return f"{int(number):,}"
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def duration(seconds: float) -> str:
    """A duration in readable units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"
