"""Early ends of long work: signals that ask a process to end, and a time limit.

In a block of `listening` a signal only sets a flag; the work ends at its next step and saves, and then the signal is
sent again: a process ends by SIGTERM as its sender expects, only later. Schedulers send SIGTERM or SIGXCPU, a terminal
that is closed SIGHUP, Ctrl-C SIGINT. Where a program has handlers of its own, or ignores a signal (`nohup`), these
stay.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import numpy as np

from noisysim.common.arguments import argument
from noisysim.common.fields import shown

LONGEST = 1e12
"""Seconds: longer than any run."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
"""Signals that ask a process to end."""
LIMIT_STATUS = 75
"""Exit status of a command that ended at its time limit: EX_TEMPFAIL of sysexits.h, "try again"."""
_UNITS = {"d": 86400, "h": 3600, "m": 60, "min": 60, "s": 1}
_noted: list[int] | None = None


class Stop:
    """Whether work under way should end at its next step.

    Attributes
    ----------
    number : int
        The signal that came first; 0 if none has.
    """

    def __init__(self, seconds: float | None = None):
        self.number = 0
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def reason(self) -> str:
        """ "interrupted" by a signal, "stopped" by the time limit, or "" if there is nothing to end for."""
        if self.number:
            return "interrupted"
        return "stopped" if time.monotonic() >= self._end else ""


@contextlib.contextmanager
def listening(seconds: float | None = None) -> Iterator[Stop]:
    """Signals that ask this process to end set a flag in this block, and are sent again at its end.

    SIGINT only sets the flag, as the work reports how it ended; a second one interrupts at once. Only the main thread
    receives signals: elsewhere only the time limit ends the work.

    Parameters
    ----------
    seconds : float, optional
        The time limit, from now.
    """
    stop = Stop(seconds)

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop.number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.number = stop.number or number

    try:
        with _handled(note, ENDING):
            yield stop
    finally:
        if stop.number:
            _pass_on(stop.number)


@contextlib.contextmanager
def interrupting(seconds: float | None = None) -> Iterator[Stop]:
    """Signals that ask this process to end, and the time limit, interrupt this block where it is.

    For work that cannot be resumed, and need not be saved: it raises KeyboardInterrupt. A signal is sent again at the
    block's end, as in `listening`; a KeyboardInterrupt without a reason in the block's `Stop` is somebody else's.

    Parameters
    ----------
    seconds : float, optional
        The time limit, from now.
    """
    stop = Stop(seconds)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            stop.number = stop.number or number
        raise KeyboardInterrupt

    try:
        with _handled(interrupt, ENDING if seconds is None else (*ENDING, signal.SIGALRM)) as handled:
            if signal.SIGALRM in handled:
                signal.setitimer(signal.ITIMER_REAL, max(seconds or 0, 1e-3))
            try:
                yield stop
            finally:
                if signal.SIGALRM in handled:
                    signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        if stop.number:
            _pass_on(stop.number)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], numbers: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """Handle those of these signals in a block that nobody else handles or ignores: in the main thread, else none."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
    ours = tuple(n for n, usual in before.items() if usual in (signal.SIG_DFL, signal.default_int_handler))
    try:
        for number in ours:
            signal.signal(number, handler)
        yield ours
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """Signals that ended work in this block are only listed: for a program that says so and exits by itself."""
    global _noted
    _noted, outer = [], _noted
    try:
        yield _noted
    finally:
        _noted = outer


def _pass_on(number: int) -> None:
    if _noted is not None:
        _noted.append(number)
    elif number != signal.SIGINT:
        os.kill(os.getpid(), number)


def seconds(value: object) -> float | None:
    """A duration in seconds: a number, or a text such as "90s", "11h50m", "1d12h".

    Raises
    ------
    ValueError, TypeError
        For anything else, and for a duration that is not above zero.
    """
    if value is None:
        return None
    problem = (
        f"{argument('run.until')} must be a time such as '11h50m', '90s' or a number of seconds, not {shown(value)}"
    )
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (str, numbers.Real)):
        raise TypeError(problem)
    duration: Any = value
    if isinstance(value, str):
        parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(d|h|min|m|s)?", value)
        complete = "".join(number + unit for number, unit in parts) == value and bool(parts)
        if not complete or (len(parts) > 1 and not all(unit for _, unit in parts)):
            raise ValueError(problem)
        duration = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not 0 < duration < LONGEST:
        raise ValueError(problem)
    return float(duration)
