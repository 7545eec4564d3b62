"""Parts of a reproduction: what is measured together, by the names that ``--only`` takes, and how far each one is."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from noisysim import Result
from noisysim.common.fields import shown
from noisysim.runs import storage

Key = TypeVar("Key")
Content = TypeVar("Content")


class Options(NamedTuple):
    """How much of a reproduction is measured, and where.

    Attributes
    ----------
    quick : bool
        Whether the shortened form is wanted.
    seeds : int
        How many seeds to average over.
    backend : str
        Where the loops are to run.
    only : sequence of str
        Parts to measure, by name or with ``*`` for anything; none are all. Of the others what is kept is shown.
    measure : bool
        Whether to measure anything; else only what is kept is shown.
    end : float
        When to stop (`time.monotonic`).
    allow_other_source : bool
        Whether to take what another source of noisysim has measured.
    naming : bool
        Whether rows are only named: nothing is loaded or worked out for them, and nothing kept is looked at.
    """

    quick: bool = False
    seeds: int = 3
    backend: str = "cpu"
    only: Sequence[str] = ()
    measure: bool = True
    end: float = math.inf
    allow_other_source: bool = False
    naming: bool = False

    def stem(self, name: str) -> str:
        """What the files of a reproduction are called."""
        return f"{name}-quick" if self.quick else name


class NotMeasuredError(Exception):
    """What a row needs has not been measured, or not all of it."""


class Part:
    """One part, while its rows are made.

    Attributes
    ----------
    name : str
    asked : bool
        Whether it is to be measured; else only what there is of it is shown.
    measured : int
        How many measurements it has.
    progress : str
        How far it is, if it is under way: "1 of 3 seeds; the next has 12 of 300 epochs".
    rows : int
        How many rows it has made.
    complete : bool
        Whether all of it is measured.
    """

    def __init__(self, name: str, asked: bool):
        self.name, self.asked = name, asked
        self.measured = self.rows = 0
        self.progress, self.complete = "", True

    def lack(self) -> None:
        """Say that a measurement is missing."""
        self.complete = False
        if not self.progress and self.measured:
            self.progress = f"{self.measured} measurement{'s' * (self.measured > 1)} so far"


class Progress(Protocol):
    """What knows how far the part is whose rows are being made: a report."""

    @property
    def progress(self) -> str: ...


class Measured(Generic[Key, Content]):
    """What parts gave, by key; one that is not complete raises `NotMeasuredError` where its content is asked for.

    Parameters
    ----------
    report : Progress

    Attributes
    ----------
    so_far : dict
        What there is, of parts under way too: for figures.
    """

    def __init__(self, report: Progress):
        self._report = report
        self._progress: dict[Key, str] = {}
        self.so_far: dict[Key, Content] = {}

    def __setitem__(self, key: Key, content: Content) -> None:
        self.so_far[key], self._progress[key] = content, self._report.progress

    def __getitem__(self, key: Key) -> Content:
        if self._progress.get(key, "none"):
            raise NotMeasuredError(key)
        return self.so_far[key]

    def label(self, key: Key) -> str:
        """What a line of a figure adds to its label, if its part is under way: how far it is."""
        return f" ({self._progress[key]})" if self._progress[key] else ""

    @property
    def complete(self) -> dict[Key, Content]:
        """What parts gave that are complete."""
        return {key: content for key, content in self.so_far.items() if not self._progress[key]}


def far(results: Sequence[Result | None]) -> str:
    """How far the runs of several seeds are; "" if all are complete."""
    left = [result for result in results if result is None or storage.is_cut_short(result.content)]
    epochs, of = max(((_epochs(one), one.config["epochs"]) for one in left if one), default=(0, 0))
    if not left:
        return ""
    begun = f"{epochs} of {of} epochs" if of else ""
    if len(results) == 1:
        return begun
    complete = f"{len(results) - len(left)} of {len(results)} seeds"
    return f"{complete}; the next has {begun}" if begun else complete if len(left) < len(results) else ""


def usable(results: Sequence[Result | None]) -> list[Result]:
    """Of the runs of several seeds those that are complete; where there is none, the one that is furthest."""
    there = [result for result in results if result is not None]
    complete = [result for result in there if not storage.is_cut_short(result.content)]
    return complete or sorted((one for one in there if _epochs(one)), key=_epochs)[-1:]


def _epochs(result: Result) -> int:
    return len(result.history["train_loss"])


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns, in which ``*`` stands for anything, is for this name."""
    return any(name == one or fnmatch.fnmatchcase(name.lower(), one.lower()) for one in patterns)


def check_only(reproduction: str, patterns: Sequence[str], names: Sequence[str]) -> None:
    """Refuse rows that a reproduction does not have.

    Raises
    ------
    ValueError
        With all names that there are.
    """
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in names):
            there = "; ".join(names) or "none that can be measured alone"
            raise ValueError(f"{reproduction} has no row {shown(pattern)}. Its rows: {there}")
