"""The live bar of a run: epoch, loss, accuracy, passes a second, time left. Quiet where there is no terminal."""

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
        if show is None:
            show = sys.stderr.isatty() or "ipykernel" in sys.modules
        if not show:
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
        said = f"loss {loss:.4g}{seen}  {rate:,.0f} passes/s"
        self._bar.update(self._task, completed=done, description=f"epoch {epoch}/{epochs}", said=said)

    def stop(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
