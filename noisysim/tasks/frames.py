"""Frames: pandas and polars data frames and pyarrow tables, by what they have in common, none of them imported."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from noisysim.common.fields import listed, shown

MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?")
"""Texts that stand for a missing value, in small letters."""
_MISSING = ("NoneType", "NAType", "NaTType")
"""Classes of what stands for a missing value, besides NaN."""
_INDEX = "__index_level_"
"""How columns begin that pandas writes into Parquet for its index."""


class Source(Protocol):
    """What a table is read from.

    Attributes
    ----------
    title : str
        What messages call it.
    place : str
        What they call a row: "line" or "row".
    names : list of str
    notes : list of str
        What was guessed.
    settled : dict of str
        Settings that say the same.
    """

    @property
    def title(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def settled(self) -> dict[str, str]: ...
    def read(
        self, names: Sequence[str], labels: Collection[str], encode: bool, texts: Collection[str] = ()
    ) -> dict[str, np.ndarray]: ...
    def line(self, row: int) -> int: ...


def is_frame(value: object) -> bool:
    """Whether this is a data frame or a table of columns."""
    return hasattr(value, "column_names") or all(hasattr(value, n) for n in ("columns", "shape", "__getitem__"))


def as_column(name: str, values: np.ndarray) -> np.ndarray:
    """A column as float64 with NaN, or text with "", where a value is missing; whole numbers and switches as they are.

    Parameters
    ----------
    name : str
        What messages call it.
    values : numpy.ndarray
        (n,), of any type.

    Raises
    ------
    TypeError
        If it holds something else, such as dates, or text and numbers.
    """
    kind = values.dtype.kind
    if kind in "biuf":
        return values
    if kind == "S":
        values = np.char.decode(values, "utf-8")
    if kind in "UST":
        return values.astype(object)
    if kind != "O":
        raise TypeError(f"{name} holds {values.dtype}: make numbers of them, such as days since a date")
    items = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values.tolist()]
    holes = [type(v).__name__ in _MISSING or (isinstance(v, float) and v != v) for v in items]
    rest = [v for v, hole in zip(items, holes, strict=True) if not hole]
    if rest and all(isinstance(v, str) for v in rest):
        return np.array(["" if hole else v for v, hole in zip(items, holes, strict=True)], dtype=object)
    if strange := [v for v in rest if not isinstance(v, (numbers.Real, Decimal))]:
        row = next(k for k, v in enumerate(items) if v is strange[0])
        raise TypeError(f"{name} holds {_sort(rest)}, in row {row} {shown(strange[0])}: make it numbers or text")
    if len(rest) < len(items):
        return np.array([np.nan if hole else float(v) for v, hole in zip(items, holes, strict=True)])
    whole = all(isinstance(v, numbers.Integral) and abs(int(v)) < 2**63 for v in items)
    return np.array(items, bool if all(isinstance(v, bool) for v in items) else np.int64 if whole else np.float64)


def _sort(values: Sequence[object]) -> str:
    return "text and other things" if any(isinstance(v, str) for v in values) else "objects"


@dataclass(frozen=True)
class Frame:
    """A frame as tables are read from (`Source`).

    Attributes
    ----------
    title : str
        What messages call it.
    source : object
        The frame.
    """

    title: str
    source: Any

    place = "row"

    def __post_init__(self) -> None:
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise ValueError(f"{self.title} has two columns {shown(twice[0])}")

    @property
    def names(self) -> list[str]:
        """Of its columns."""
        return [name for name in map(str, self._keys) if not name.startswith(_INDEX)]

    @property
    def notes(self) -> list[str]:
        """No notes, as nothing was guessed."""
        return []

    @property
    def settled(self) -> dict[str, str]:
        """Nothing, as there are no settings of how to read it."""
        return {}

    @property
    def _keys(self) -> list[Any]:
        return list(self.source.column_names if hasattr(self.source, "column_names") else self.source.columns)

    def read(
        self, names: Sequence[str], labels: Collection[str], encode: bool, texts: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Columns by name, see `as_column`, those of `texts` as text: a frame has types, so that no more is asked."""
        keys = dict(zip(map(str, self._keys), self._keys, strict=True))
        by = self.source.column if hasattr(self.source, "column_names") else self.source.__getitem__
        columns = {name: as_column(f"column {name!r}", np.asarray(by(keys[name]))) for name in names}
        return {n: column.astype(str).astype(object) if n in texts else column for n, column in columns.items()}

    def line(self, row: int) -> int:
        """What a row is called, counted from 0."""
        return row


def as_array(name: str, value: object, like: Sequence[str] = ()) -> tuple[Any, list[str]]:
    """A frame, or a column of one, as an array, and the names of its columns; anything else as it is.

    Parameters
    ----------
    name : str
        What messages call it.
    value : object
    like : sequence of str
        Names of columns in the order in which they are wanted.

    Raises
    ------
    ValueError
        Naming columns that hold text or have values missing, or that one of two frames lacks.
    """
    if not is_frame(value):
        foreign = hasattr(value, "__array__") and not isinstance(value, np.ndarray) and hasattr(value, "to_numpy")
        if not foreign:
            return value, []
        column = as_column(name, np.asarray(value))
        if holes := int(np.isnan(column).sum()) if column.dtype.kind == "f" else 0:
            row = np.unravel_index(int(np.isnan(column).argmax()), column.shape)[0]
            raise ValueError(f"{name} has {holes:,} missing values (first in row {row})")
        return column, []
    frame = Frame(name, value)
    if lacking := [one for one in like if one not in frame.names]:
        raise ValueError(f"{name} has no column {shown(lacking[0])}: it has {listed(frame.names)}")
    names = list(like) or frame.names
    columns = frame.read(names, (), False)
    check_whole(frame, columns, words=False)
    if len(names) > 1 and (text := [key for key, column in columns.items() if column.dtype.kind == "O"]):
        raise ValueError(
            f"{name}: text where numbers are wanted, in {columns_of(text)}: make numbers of them, or give the frame as "
            "task={'frame': ..., 'target': ..., 'encode': True}"
        )
    return (np.column_stack(list(columns.values())) if names else np.empty((0, 0))), names


def missing(column: np.ndarray, words: bool) -> np.ndarray:
    """Where values are missing, bool (n,).

    Parameters
    ----------
    column : numpy.ndarray
        (n,), as `as_column` makes it.
    words : bool
        Whether such a text as "NA" stands for a missing value, too.
    """
    if column.dtype.kind != "O":
        holes: np.ndarray = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
        return holes
    texts = column.tolist()
    empty = {text for text in set(texts) if not text or (words and text.strip().lower() in MISSING)}
    return np.array([text in empty for text in texts], bool)


def check_whole(source: Source, columns: dict[str, np.ndarray], words: bool) -> None:
    """Refuse columns with values missing (see `missing`) or beyond float32, named with number and first row of each."""
    holes, written = {}, ""
    for name, column in columns.items():
        empty = missing(column, words)
        if not empty.any():
            continue
        row = int(empty.argmax())
        text = next((one for one in column[empty].tolist() if one), "") if column.dtype.kind == "O" else ""
        first = f"first in {source.place} {source.line(row)}" + (f", some {text!r}" if text else "")
        holes[name], written = f"{name!r} {int(empty.sum()):,} ({first})", written or text
    if holes:
        raise ValueError(
            f"{source.title}: values are missing: {listed(holes.values())}; fill them, or leave out these rows, or the "
            f"columns{means_text(written)}"
        )
    beyond = {}
    for name, column in columns.items():
        far = np.abs(column) > np.finfo(np.float32).max if column.dtype.kind == "f" else np.zeros(1, bool)
        if far.any():
            beyond[name] = f"{name!r} {int(far.sum()):,} (first in {source.place} {source.line(int(far.argmax()))})"
    if beyond:
        raise ValueError(f"{source.title}: values are infinite, or too large for float32: {listed(beyond.values())}")


def means_text(written: str) -> str:
    """What to do if a text that stands for a missing value was meant as it is written; nothing of no text."""
    return f" (missing='empty': {written!r} is a text like others)" if written else ""


def columns_of(names: Sequence[str]) -> str:
    """Columns as a message names them."""
    return f"column{'s' * (len(names) > 1)} {listed(map(repr, names))}"
