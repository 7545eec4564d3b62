"""Where progress is shown: a bar on a terminal, one line in a notebook, elsewhere a line of text now and then."""

from __future__ import annotations

import abc
import contextlib
import html
import importlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from noisysim.common import durations

FIRST = 10.0
"""Seconds until the first line of text."""
LONGEST = 600.0
"""Most seconds from one line of text to the next, each of which comes after twice the time of the one before."""


class Display(abc.ABC):
    """Shows how far something is, and the time left at the mean rate since the first update.

    Parameters
    ----------
    total : int
        Steps altogether.
    """

    every = 0.1
    """Seconds from one drawing to the next."""

    def __init__(self, total: int):
        self.total = total
        self.done, self.heading, self.said = 0, "", list[str]()
        self._next = 0.0
        self._first: tuple[float, int] | None = None

    @property
    def due(self) -> bool:
        """Whether it is time to update."""
        return self._first is None or time.monotonic() >= self._next

    def update(self, done: int, heading: str, said: Sequence[str]) -> None:
        """Take what is to be shown, and draw it where that is due.

        Parameters
        ----------
        done : int
            Steps so far.
        heading : str
            Where it is, "epoch 3/25".
        said : sequence of str
            What else is to be said.
        """
        now = time.monotonic()
        self._first = self._first or (now, done)
        self.done, self.heading, self.said = done, heading, [text for text in said if text]
        if now >= self._next:
            self._draw()
            self._next = time.monotonic() + self.every

    def close(self) -> None:
        """Draw the last state."""
        if self._first is not None:
            self._draw()

    @abc.abstractmethod
    def _draw(self) -> None:
        """Draw what was taken last."""

    @property
    def _share(self) -> float:
        return self.done / max(self.total, 1)

    def _left(self) -> str:
        """About how long it takes from here on; "" where nothing tells."""
        began, before = self._first or (0.0, 0)
        made, to_do = self.done - before, self.total - self.done
        if made <= 0 or to_do <= 0:
            return ""
        return f"about {durations.in_words((time.monotonic() - began) * to_do / made)} left"

    def _line(self) -> str:
        parts = [self.heading, f"{100 * self._share:.0f} %", self._left(), *self.said]
        return ", ".join(part for part in parts if part)


class Bar(Display):
    """A bar on a terminal."""

    def __init__(self, total: int):
        super().__init__(total)
        from rich.console import Console
        from rich.progress import BarColumn, Progress

        self._bar = Progress(
            "{task.description}", BarColumn(), "{task.percentage:>3.0f} %", "{task.fields[said]}",
            console=Console(stderr=True), auto_refresh=False,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=total, said="")
        self._bar.start()

    def close(self) -> None:
        super().close()
        self._bar.stop()

    def _draw(self) -> None:
        said = "  ".join(filter(None, [self._left(), *self.said]))
        self._bar.update(self._task, completed=self.done, description=self.heading, said=said, refresh=True)


class Cell(Display):
    """One output of a notebook's cell, which is drawn anew; no widgets."""

    every = 0.5

    def __init__(self, total: int):
        super().__init__(total)
        self._handle: Any = None

    def _draw(self) -> None:
        line = self._line()
        bar = f'<progress value="{self._share:.3f}" max="1" style="vertical-align:middle"></progress>'
        content = {"text/plain": line, "text/html": f"<div>{bar} {html.escape(line)}</div>"}
        if self._handle is None:
            outputs: Any = importlib.import_module("IPython.display")
            self._handle = outputs.display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


class Lines(Display):
    """Lines on stderr: the first after ten seconds, the others ever rarer, or if `steady` every ten seconds."""

    def __init__(self, total: int, steady: bool):
        super().__init__(total)
        self.every, self._steady = FIRST, steady
        self._next = time.monotonic() + self.every

    def close(self) -> None:
        """Say nothing more: who waited for it sees that it has ended."""

    def _draw(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # of a log on a full disk, or closed, a run does not die
            print(f"noisysim: {self._line()}", file=sys.stderr, flush=True)
        if not self._steady:
            self.every = min(2 * self.every, LONGEST)


def display(show: bool | None, total: int) -> Display | None:
    """What shows `total` steps here; nothing if `show` is ``False``, and more lines if it is ``True``."""
    if show is False:
        return None
    if _in_notebook():
        return Cell(total)
    if sys.stderr is None:
        return None
    return Bar(total) if sys.stderr.isatty() else Lines(total, steady=show is True)


def remark(show: bool | None, text: str) -> None:
    """Say at once why nothing happens yet, to who sits and waits: at a terminal, or before a notebook."""
    if show is not False and sys.stderr is not None and (_in_notebook() or sys.stderr.isatty()):
        print(f"noisysim: {text}", file=sys.stderr, flush=True)


def _in_notebook() -> bool:
    """Whether a kernel executes this, whose frontend draws outputs anew."""
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
