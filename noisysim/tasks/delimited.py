"""Delimited text files (CSV, TSV) as tables, read some thousand lines at a time."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TextIO

import numpy as np

from noisysim.common.fields import PATH, listed, shown
from noisysim.tasks.frames import MISSING

SEPARATORS = {"semicolon": ";", "tab": "\t", "bar": "|", "comma": ",", "space": " "}
HEADERS = ("auto", "yes", "no")
SWITCHES = {"false": 0.0, "true": 1.0}
_CHUNK = 4096  # lines whose texts are held at a time
_LOOK = 50  # lines by which separator and header are found
_END = "\x04\x04"  # a line after the last one: what it becomes part of was not closed
_COMMA = re.compile(r"'[+-]?\d*,\d+'\)$")
_MOST_WHOLE = 2.0**63
ADVICE = "drop= leaves columns out, encode=True makes a one-hot column of each text"
"""What to do about inputs that are text."""


class _Row(NamedTuple):
    """A row, with the lines on which it begins and ends, counted from 1."""

    first: int
    last: int
    cells: list[str]

    @property
    def lines(self) -> str:
        """As messages call these lines."""
        return f"lines {self.first} to {self.last}"


class Delimited:
    """A file as tables are read from (`noisysim.tasks.frames.Source`).

    Parameters
    ----------
    path : str
        UTF-8, perhaps compressed (``.gz``).
    separator : str
        "auto", or a key of `SEPARATORS`.
    header : str
        "auto", "yes" or "no": whether the first line names the columns. Columns without names are called "0", "1", ...

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no text, or not a table.
    """

    place = "line"

    def __init__(self, path: str, separator: str = "auto", header: str = "auto"):
        self.title, self.path = path, path
        self.notes: list[str] = []
        self._lines = np.empty(0, np.int64)
        self._spans: list[_Row] = []
        if not os.path.isfile(path):
            raise FileNotFoundError(f"no task file {shown(path, PATH)}")
        with self._open() as file:
            first = list(itertools.islice((line for line in file if line.strip()), _LOOK))
            if not first:
                raise ValueError(f"{path} is empty")
            self._advice = "; take out comments, as the first line seems to be" if first[0].startswith("#") else ""
            self.separator = self._separator(first) if separator == "auto" else separator
            rows = self._whole_rows(first)
        if rows[0][-1].endswith(_END):
            raise self._never_closed(1)
        named = _names_columns(rows) if header == "auto" else header == "yes"
        if not named and header == "auto":
            self.notes.append(f"the first line was read as data: columns are called 0 to {len(rows[0]) - 1}")
        self.settled = {"separator": self.separator, "header": "yes" if named else "no"}
        self._columns = [name.strip() for name in rows[0]] if named else [str(k) for k in range(len(rows[0]))]
        self._check_names()
        self._named = named

    @property
    def names(self) -> list[str]:
        """Of the columns, but for that of an index without a name."""
        return [name for name in self._columns if name]

    def _check_names(self) -> None:
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise ValueError(f"{self.path}: the header has {shown(twice[0])} twice (header=no: it is none)")
        if unnamed := [k for k, name in enumerate(self._columns) if k and not name]:
            raise ValueError(f"{self.path}: the header has no name for column {unnamed[0] + 1} (header=no: it is none)")
        if not self._columns[0]:
            self.notes.append("the first column, which has no name, was taken for an index and left out")

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        """The file, what it cannot be read by said in one line."""
        opened: Any = gzip.open if self.path.lower().endswith(".gz") else open
        try:
            with opened(self.path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is no text in UTF-8 ({error.reason}): save it as such") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{self.path} is no whole .gz file ({error})") from None

    def _separator(self, first: Sequence[str]) -> str:
        """What cuts each of the first lines into the same number of fields, and most; a space if nothing else does."""
        widths, of_header = {}, {}
        for name in SEPARATORS:
            self.separator = name
            rows = self._whole_rows(first)
            of_header[name] = len(rows[0])
            widths[name] = of_header[name] if {len(row) for row in rows} == {len(rows[0])} else 0
        if max(widths.values()) < 2:  # lines of different lengths, which will be said
            widths = of_header
        best = max(SEPARATORS, key=lambda name: min(widths[name], 2) if name == "space" else widths[name])
        if widths[best] < 2:
            if rows[0][-1].endswith(_END):
                raise self._never_closed(1)
            raise ValueError(
                f"{self.path}: the first line has one column only; separator= names what is between columns, one of "
                f"{', '.join(SEPARATORS)}"
            )
        return best

    def _whole_rows(self, first: Sequence[str]) -> list[list[str]]:
        """The rows of the first lines; one that may not end with them is left out."""
        rows = [row.cells for row in self._rows(first, whole=False)]
        return rows[:-1] if len(first) == _LOOK and len(rows) > 1 else rows

    def _rows(self, lines: Iterable[str], whole: bool = True) -> Iterator[_Row]:
        """Rows; lines without anything are passed over. A quote must be closed, if the lines are the `whole` file."""
        delimiter = SEPARATORS[self.separator]
        if delimiter == " ":
            lines = (f"{line.strip()}\n" for line in lines)
        reader = csv.reader(itertools.chain(lines, [_END]), delimiter=delimiter, skipinitialspace=delimiter != "\t")
        last = 0
        try:
            for cells in reader:
                first, last = last + 1, reader.line_num
                if cells == [_END]:
                    return
                if whole and cells and cells[-1].endswith(_END):
                    raise self._never_closed(first)
                if cells:
                    yield _Row(first, last, cells)
        except csv.Error as error:
            raise ValueError(f"{self.path} cannot be read as a table: line {last + 1}: {error}") from None

    def _never_closed(self, line: int) -> ValueError:
        return ValueError(f"{self.path}: line {line} has a quote that is never closed: all that follows would be text")

    def line(self, row: int) -> int:
        """The line of the file on which a row ends, counted from 1; rows are counted from 0."""
        return int(self._lines[row])

    def read(
        self, names: Sequence[str], labels: Collection[str], encode: bool, texts: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Columns by name: float64 or float32 with NaN, or text with "", where a value is missing.

        Parameters
        ----------
        names : sequence of str
        labels : collection of str
            Those that may be text or whole numbers or switches, and are then kept as such.
        encode : bool
            Whether all may be text.
        texts : collection of str
            Those that are text, whatever they hold.

        Raises
        ------
        ValueError
            If other columns hold text, text has several lines, or rows are longer or shorter than the first.
        """
        as_text = {*labels, *texts}
        while True:
            parts, strange = self._pass(names, as_text)
            if not strange:
                break
            if not encode:
                advice = "write decimal points" if all(map(_COMMA.search, strange.values())) else ADVICE
                raise ValueError(f"{self.path}: text where numbers are wanted, in {listed(strange.values())}; {advice}")
            as_text |= strange.keys()  # from the first line again
        if not len(self._lines):
            raise ValueError(f"{self.path} holds no rows")
        if self._spans:
            self.notes.append(
                f"{len(self._spans):,} rows have line ends between quotes, the first in {self._spans[0].lines}"
            )
        columns = {name: np.concatenate(of_name) for name, of_name in parts.items()}
        for name in as_text & columns.keys():
            if (row := next((k for k, text in enumerate(columns[name]) if '"' in text), None)) is not None:
                where = f"line {self.line(row)}: {shown(columns[name][row])}"
                self.notes.append(f"column {name!r} has quotes in its text, first in {where}")
        typed = set(labels) - set(texts)
        return {name: _typed(column) if name in typed else column for name, column in columns.items()}

    def _pass(self, names: Sequence[str], texts: Collection[str]) -> tuple[dict[str, list[np.ndarray]], dict[str, str]]:
        """Columns in parts; or those that hold text, and are not among `texts`, with the first of it."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        ends: list[int] = []
        self._spans = []
        with self._open() as file:
            rows = self._rows(file)
            if self._named:
                next(rows)
            while chunk := list(itertools.islice(rows, _CHUNK)):
                ends += [row.last for row in chunk]
                self._check_widths(chunk)
                spans = [row for row in chunk if row.last > row.first]
                self._check_lines(spans, names)
                self._spans += spans
                columns = dict(zip(self._columns, zip(*(row.cells for row in chunk), strict=True), strict=True))
                strange = {}
                for name in names:
                    if name in texts:
                        parts[name].append(np.array([token.strip() for token in columns[name]], dtype=object))
                    elif (numbers := _numbers(columns[name])) is not None:
                        parts[name].append(numbers)
                    else:
                        at = next(k for k, token in enumerate(columns[name]) if _numbers([token]) is None)
                        strange[name] = f"{name!r} (line {chunk[at].last}: {shown(columns[name][at])})"
                if strange:
                    return {}, strange
        self._lines = np.array(ends, np.int64)
        return parts, {}

    def _check_widths(self, chunk: Sequence[_Row]) -> None:
        width = len(self._columns)
        for row in chunk:
            if len(row.cells) != width:
                where = f"line {row.last} has" if row.first == row.last else f"{row.lines}, joined by a quote, have"
                raise ValueError(
                    f"{self.path}: {where} {len(row.cells)} fields, the first line has {width}{self._advice}"
                )

    def _check_lines(self, spans: Sequence[_Row], names: Sequence[str]) -> None:
        """Refuse line ends in what is to be used: between two stray quotes lie other rows."""
        for row in spans:
            for name in names:
                if len(row.cells[self._columns.index(name)].strip().splitlines()) > 1:
                    raise ValueError(
                        f"{self.path}: column {name!r} holds text of several lines ({row.lines}): take out the stray "
                        "quote, or the line ends"
                    )


def _names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row is a header: text that differs, with none of the numbers below, or above numbers alone."""
    first, rest = rows[0], rows[1:]
    text = [_numbers([token]) is None for token in first]
    if all(is_text or not token for is_text, token in zip(text, first, strict=True)):
        return len(set(first)) == len(first) or any(_all_numbers(rest, k) for k in range(len(first)))
    return any(is_text and _all_numbers(rest, k) for k, is_text in enumerate(text))


def _all_numbers(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether there is a number, or nothing, in a column of each row that has it."""
    tokens = [row[column] for row in rows if column < len(row)]
    return bool(tokens) and _numbers(tokens) is not None


def _numbers(tokens: Sequence[str]) -> np.ndarray | None:
    """Texts as numbers, float32 if that holds them exactly, with NaN for what is missing; ``None`` if one is none."""
    if "_" in "".join(tokens):  # 1_000 is a number in Python
        return None
    try:
        numbers = np.array(tokens, np.float64)
    except ValueError:
        try:
            numbers = np.array([_number(token.strip().lower()) for token in tokens])
        except ValueError:
            return None
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = numbers.astype(np.float32)
    return narrow if np.array_equal(narrow, numbers, equal_nan=True) else numbers


def _number(token: str) -> float:
    if token in MISSING:
        return np.nan
    return SWITCHES[token] if token in SWITCHES else float(token)


def _typed(tokens: np.ndarray) -> np.ndarray:
    """Texts as what they are: switches, whole numbers, other numbers, or text with "" where it is missing."""
    numbers = _numbers(tokens.tolist())
    if numbers is None:
        return tokens
    if all(token.lower() in SWITCHES for token in tokens):
        return numbers.astype(bool)
    whole = all(token.lstrip("+-").isdecimal() for token in tokens) and bool((np.abs(numbers) < _MOST_WHOLE).all())
    return np.array([int(token) for token in tokens]) if whole else numbers
