"""Columns of numbers in CSV files of measurements, with errors that name the line."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence

import numpy as np

from noisysim.common.fields import PATH, shown
from noisysim.common.types import Doubles


def read_rows(path: str | os.PathLike[str]) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """The names of the columns of a CSV file, in lower case, and its rows: where each stands, and its cells by name.

    Raises
    ------
    FileNotFoundError
    ValueError
        With file and line, for a row of another length.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file {shown(str(path), PATH)}")
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = csv.reader(file)
        header, rows = [name.strip().lower() for name in next(lines, [])], []
        for line in lines:
            if not any(cell.strip() for cell in line):
                continue
            where = f"{path}:{lines.line_num}"
            if len(line) != len(header):
                raise ValueError(f"{where}: {len(line)} cells, not {len(header)} as in the header")
            rows.append((where, {name: cell.strip() for name, cell in zip(header, line, strict=True)}))
    return header, rows


def read_columns(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, Doubles]:
    """Some columns of a CSV file whose first line names them; every row must have a number in each.

    Parameters
    ----------
    path : path
    names : sequence of str
        Of the columns, in lower case.

    Raises
    ------
    ValueError
        With file and line, for a column that is missing or there twice, and for what is no finite number >= 0.
    """
    header, rows = read_rows(path)
    for name in names:
        if header.count(name) != 1:
            raise ValueError(f"{path}:1: the header must name one column {name!r}; it has {', '.join(header)}")
    return {name: np.array([number(where, name, row[name]) for where, row in rows]) for name in names}


def number(where: str, name: str, cell: str) -> float:
    """The number in a cell; `where` and `name` are what messages say of it."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{where}: {name} must be a number, not {cell!r}") from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: {name} must be a finite number >= 0, not {cell!r}")
    return value
