"""Measured pulses: curves of conductance against pulse number, from a table.

A table is a CSV file with a header, in one of two forms:

- ``pulse``, ``up``, ``down``: one curve each way, as `measured` takes them;
- ``pulse``, ``conductance``, ``direction`` (``up`` or ``down``), and where there are several ``cell`` and ``cycle``:
  one row a pulse. Pulse numbers rise within each curve, from 0 where the first pulse has not been given.

Conductances are in µS; columns stand in any order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from noisysim.common.types import Doubles
from noisysim.devices.models import measured
from noisysim.devices.tables import number, read_rows


class Trace(NamedTuple):
    """One curve.

    Attributes
    ----------
    up : bool
    numbers, conductances : numpy.ndarray
        Pulses so far, rising, and µS.
    cell : str
        Of which cell it is; "" where there is one.
    """

    up: bool
    numbers: Doubles
    conductances: Doubles
    cell: str = ""


def read_header(table: str | os.PathLike[str]) -> list[str]:
    """The names of the columns of a table."""
    return read_rows(table)[0]


def read_traces(table: str | os.PathLike[str]) -> list[Trace]:
    """The curves of a table, in either form."""
    header, rows = read_rows(table)
    if {"up", "down"} <= set(header):
        curves = measured.read_csv(os.fspath(table))
        traces = [Trace(way == "up", *curves[way]) for way in ("up", "down")]
    else:
        traces = _long(table, header, rows)
    for way in (True, False):
        longest = max((len(trace.numbers) for trace in traces if trace.up == way), default=0)
        if longest < 4:
            name = "up" if way else "down"
            raise ValueError(f"{table}: a curve {name} of at least 4 pulses is needed, not of {longest}")
    return traces


def _long(table: str | os.PathLike[str], header: Sequence[str], rows: list[tuple[str, dict[str, str]]]) -> list[Trace]:
    """The curves of a table of one row a pulse."""
    for name in ("pulse", "conductance", "direction"):
        if name not in header:
            forms = "pulse, up, down, or pulse, conductance, direction (and cell, cycle)"
            raise ValueError(f"{table}:1: no column {name!r}; a table has the columns {forms}")
    found: dict[tuple[str, str, str], tuple[list[float], list[float]]] = {}
    for where, row in rows:
        if row["direction"] not in ("up", "down"):
            raise ValueError(f"{where}: direction must be up or down, not {row['direction']!r}")
        key = (row["direction"], row.get("cell", ""), row.get("cycle", ""))
        numbers, values = found.setdefault(key, ([], []))
        pulse = number(where, "pulse", row["pulse"])
        if numbers and pulse <= numbers[-1]:
            raise ValueError(f"{where}: pulse numbers of a curve must rise, but {pulse:g} comes after {numbers[-1]:g}")
        numbers.append(pulse)
        values.append(number(where, "conductance", row["conductance"]))
    return [Trace(way == "up", np.array(n), np.array(g), cell) for (way, cell, _), (n, g) in found.items()]


def mean_curve(traces: Sequence[Trace]) -> tuple[Doubles, Doubles]:
    """Pulse numbers that all curves have, and their mean there."""
    numbers = traces[0].numbers
    for trace in traces[1:]:
        numbers = np.intersect1d(numbers, trace.numbers)
    values = [trace.conductances[np.isin(trace.numbers, numbers)] for trace in traces]
    return numbers, np.mean(values, axis=0)
