"""Tables in HTML, as notebooks show objects: without colours, so that they are read on dark and on light."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from noisysim.common.fields import Field, shown
from noisysim.common.texts import one_line, printable

_LEFT = 'style="text-align:left;vertical-align:top"'  # of each cell: notebooks align cells, not tables, to the right
ALL = 12
"""Settings of which all are shown; of more those that are not at their defaults, and the others folded."""


def table(rows: Iterable[Sequence[object]], title: str = "") -> str:
    """A table; every text in it is escaped.

    Parameters
    ----------
    rows : iterable of sequence
        The first cell of each is its header.
    title : str
        What stands above it.
    """
    lines = [_row(row) for row in rows]
    body = f'<table style="margin-left:0">{"".join(lines)}</table>' if lines else ""
    return f"<div>{_text(title)}</div>{body}" if title else body


def settings(
    name: str, about: str, fields: Mapping[str, Field], values: Mapping[str, object], defaults: Mapping[str, object]
) -> str:
    """The declared numbers of a part, with units and meanings; of many those that were changed, and the others folded.

    Parameters
    ----------
    name, about : str
        Of the part; of the latter the first line is shown.
    fields, values, defaults : mapping
        By the name of the number.
    """
    rows = {n: (n, plain(value), fields[n].unit, fields[n].doc) for n, value in values.items()}
    title = f"{name}: {about.strip().partition(chr(10))[0]}" if about else name
    if len(rows) <= ALL:
        return table(rows.values(), title)
    changed = [n for n, value in values.items() if n not in defaults or defaults[n] != value]
    usual = table(row for n, row in rows.items() if n not in changed)
    folded = f"<details><summary>{len(rows) - len(changed)} at their defaults</summary>{usual}</details>"
    return table((rows[n] for n in changed), title) + folded


def plain(value: object) -> str:
    """A setting as a table shows it: a word without quotes."""
    return one_line(value) if isinstance(value, str) else shown(value)


def _row(cells: Sequence[object]) -> str:
    first, *others = cells
    columns = [f"<th {_LEFT}>{_text(first)}</th>", *(f"<td {_LEFT}>{_text(cell)}</td>" for cell in others)]
    return f"<tr>{''.join(columns)}</tr>"


def _text(value: object) -> str:
    return html.escape(printable(value))
