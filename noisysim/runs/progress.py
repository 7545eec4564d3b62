"""The progress of a run and of a study, for `noisysim.runs.displays` to show."""

from __future__ import annotations

import math
import time

from noisysim.runs import displays


class Progress:
    """Shows how many of a run's updates are done; does nothing if switched off.

    Parameters
    ----------
    total : int
        Updates altogether.
    show : bool or None
        Whether to; ``None`` shows rarer lines than ``True`` where there is neither a terminal nor a notebook.
    """

    def __init__(self, total: int, show: bool | None):
        self._display = displays.display(show, total)
        self._passes: tuple[float, int] | None = None

    @property
    def due(self) -> bool:
        """Whether it is time to show more."""
        return self._display is not None and self._display.due

    def show(self, done: int, epoch: int, epochs: int, loss: float, accuracy: float, passes: int) -> None:
        """Show where the run is."""
        if self._display is None:
            return
        now = time.monotonic()
        began, before = self._passes = self._passes or (now, passes)
        seen = "" if math.isnan(accuracy) else f"accuracy {100 * accuracy:.1f} %"
        rate = f"{(passes - before) / (now - began):,.0f} passes/s" if now > began else ""
        self._display.update(done, f"epoch {epoch}/{epochs}", [f"loss {loss:.4g}", seen, rate])

    def stop(self) -> None:
        """Show it for the last time."""
        if self._display is not None:
            self._display.close()


class Tally:
    """Shows how many of a study's runs are done.

    Parameters
    ----------
    total, done : int
        Runs altogether, and before the start.
    show : bool or None
        As of `Progress`.
    """

    def __init__(self, total: int, done: int, show: bool | None):
        self._display = displays.display(show, total)
        self._total, self._done, self._lost, self._remark = total, done, 0, ""
        self.look()

    def add(self, finished: bool) -> None:
        """Count a run that has ended."""
        self._done += 1
        self._lost += not finished
        self.look()

    def look(self) -> None:
        """Show it again if it is time to, though nothing may have ended."""
        if self._display is not None:
            lost = f"{self._lost} failed or diverged" if self._lost else ""
            self._display.update(self._done, f"{self._done} of {self._total} runs", [lost, self._remark])

    def interrupted(self) -> None:
        """Say that what is done is kept."""
        self._remark = "interrupted; the same call resumes it"
        self.look()

    def stop(self) -> None:
        """Show it for the last time."""
        if self._display is not None:
            self._display.close()
