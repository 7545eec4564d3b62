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

LEAST = 4
"""Pulse numbers that a mean curve must have."""


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
        if longest < LEAST:
            name = "up" if way else "down"
            raise ValueError(f"{table}: a curve {name} of at least {LEAST} pulses is needed, not of {longest}")
    return traces


def _long(table: str | os.PathLike[str], header: Sequence[str], rows: list[tuple[str, dict[str, str]]]) -> list[Trace]:
    """The curves of a table of one row a pulse."""
    for name in ("pulse", "conductance", "direction"):
        if name not in header:
            forms = "pulse, up, down, or pulse, conductance, direction (and cell, cycle)"
            raise ValueError(f"{table}:1: no column {name!r}; a table has the columns {forms}")
    for name in ("pulse", "conductance", "direction", "cell", "cycle"):
        if header.count(name) > 1:
            raise ValueError(f"{table}:1: the header names the column {name!r} {header.count(name)} times")
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


def mean_curves(table: str | os.PathLike[str], traces: Sequence[Trace]) -> dict[str, tuple[Doubles, Doubles]]:
    """ "up" and "down" -> pulse numbers that all curves of this direction have, and their mean there.

    Raises
    ------
    ValueError
        If the curves have too few numbers in common, or their mean goes the other way.
    """
    means = {}
    for way, sign in (("up", 1.0), ("down", -1.0)):
        curves = [trace for trace in traces if trace.up == (way == "up")]
        numbers, values = _mean_curve(curves)
        if len(numbers) < LEAST:
            raise ValueError(
                f"{table}: the {len(curves)} curves {way} have {len(numbers)} pulse numbers in common, and their mean "
                f"takes {LEAST} or more: count each curve from the same number, and leave out short ones"
            )
        if not (np.ptp(values) > 0 and sign * np.sum((numbers - numbers.mean()) * (values - values.mean())) > 0):
            asked = "rise" if sign > 0 else "fall"
            raise ValueError(f"{table}: the mean curve {way} must {asked}, but does not: are up and down swapped?")
        means[way] = numbers, values
    return means


def _mean_curve(traces: Sequence[Trace]) -> tuple[Doubles, Doubles]:
    """Pulse numbers that all curves have, and their mean there."""
    numbers = traces[0].numbers
    for trace in traces[1:]:
        numbers = np.intersect1d(numbers, trace.numbers)
    values = [trace.conductances[np.isin(trace.numbers, numbers)] for trace in traces]
    return numbers, np.mean(values, axis=0)
