"""The progress bars of a run and of a study; by default only on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any


class Progress:
    """A bar over all updates of a run; does nothing if switched off.

    Parameters
    ----------
    total, done : int
        Updates altogether, and before the start.
    show : bool or None
        ``None`` shows it on a terminal and in a notebook only.
    """

    def __init__(self, total: int, done: int, show: bool | None):
        self._last = 0.0
        self._bar: Any = None
        if not _shown(show):
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = "{task.description}", BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn()
        self._bar = Bar(*columns, TextColumn("{task.fields[said]}"), console=Console(stderr=True), transient=False)
        self._task = self._bar.add_task("starting", total=total, completed=done, said="")
        self._bar.start()
        self._passes: tuple[float, int] | None = None

    @property
    def due(self) -> bool:
        """Whether it is time to draw again."""
        return self._bar is not None and time.monotonic() - self._last > 0.1

    def show(self, done: int, epoch: int, epochs: int, loss: float, accuracy: float, passes: int) -> None:
        """Draw."""
        if self._bar is None:
            return
        now = self._last = time.monotonic()
        before = self._passes or (now, passes)
        self._passes = before
        rate = (passes - before[1]) / (now - before[0]) if now > before[0] else 0.0
        seen = "" if accuracy != accuracy else f"  accuracy {100 * accuracy:.1f} %"
        text = f"loss {loss:.4g}{seen}  {rate:,.0f} passes/s"
        self._bar.update(self._task, completed=done, description=f"epoch {epoch}/{epochs}", said=text)

    def stop(self) -> None:
        """Stop updating the bar."""
        if self._bar is not None:
            self._bar.stop()


class Tally:
    """A bar over the runs of a study, with the time left.

    Parameters
    ----------
    total, done : int
        Runs altogether, and before the start.
    show : bool or None
        ``None`` shows it on a terminal and in a notebook only.
    """

    def __init__(self, total: int, done: int, show: bool | None):
        self._bar: Any = None
        self._lost = 0
        if not _shown(show):
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        left = TextColumn("left"), TimeRemainingColumn()
        self._bar = Bar(*columns, *left, TextColumn("{task.fields[said]}"), console=Console(stderr=True))
        self._task = self._bar.add_task("runs", total=total, completed=done, said="")
        self._bar.start()

    def add(self, finished: bool) -> None:
        """Count a run that has ended."""
        self._lost += not finished
        if self._bar is not None:
            self._bar.update(self._task, advance=1, said=f"{self._lost} failed or diverged" if self._lost else "")

    def interrupted(self) -> None:
        """Say that what is done is kept."""
        if self._bar is not None:
            self._bar.update(self._task, said="interrupted; the same call resumes it")

    def stop(self) -> None:
        """Stop updating the bar."""
        if self._bar is not None:
            self._bar.stop()


def _shown(show: bool | None) -> bool:
    """Whether to draw; by default on a terminal and in a notebook."""
    return (sys.stderr.isatty() or "ipykernel" in sys.modules) if show is None else show
