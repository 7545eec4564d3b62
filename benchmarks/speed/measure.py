"""Timing: interleaved, ratios within each round, and rows with the bars that they are held to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """One measured claim."""

    what: str
    value: float
    unit: str
    bar: str
    passed: bool
    detail: str = ""

    def __str__(self) -> str:
        verdict = "ok " if self.passed else "NOT"
        return f"{verdict}  {self.what:<82} {self.value:>10.3f} {self.unit:<10} {self.bar:<10} {self.detail}"


Clock = Callable[[], float]
WALL: Clock = time.perf_counter
CPU: Clock = time.process_time
"""What this process alone took of its core: for work in one thread, whose time other programs then do not lengthen."""


def seconds(function: Callable[[], object], clock: Clock = WALL) -> float:
    """Time of one call."""
    start = clock()
    function()
    return clock() - start


def interleaved(
    functions: Mapping[str, Callable[[], object]], rounds: int, clock: Clock = CPU
) -> dict[str, list[float]]:
    """Times of each function, in turns, after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for k in range(rounds + 1):
        for name, function in functions.items():
            taken = seconds(function, clock)
            if k:
                times[name].append(taken)
    return times


def ratio(times: dict[str, list[float]], name: str, baseline: str) -> float:
    """Median over the rounds of time against the baseline's time in the same round."""
    return statistics.median(a / b for a, b in zip(times[name], times[baseline], strict=True))


def fastest(times: dict[str, list[float]], name: str, baseline: str) -> float:
    """Shortest time of all rounds against the baseline's shortest: what other programs take of a core counts least."""
    return min(times[name]) / min(times[baseline])


def repeated(function: Callable[[], object], count: int) -> Callable[[], None]:
    """A function that calls another so many times."""

    def run() -> None:
        for _ in range(count):
            function()

    return run


def at_most(what: str, value: float, bar: float, unit: str = "x", detail: str = "") -> Row:
    """A claim that holds if the value does not exceed the bar."""
    return Row(what, value, unit, f"<= {bar:g}", value <= bar, detail)


def at_least(what: str, value: float, bar: float, unit: str = "x", detail: str = "") -> Row:
    """A claim that holds if the value reaches the bar."""
    return Row(what, value, unit, f">= {bar:g}", value >= bar, detail)
