"""The command line, made from the functions' own signatures and docstrings."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

__all__ = ["main"]


def main() -> None:
    """Run the command line; an error is one line, not a traceback.

    The exit status is 0; 1 if what was asked for failed on its way: a run that diverged, runs of a study that failed, a
    value outside its tolerance, a full disk; 2 if it could not be done as it was asked for; 75 if a run was stopped by
    its time limit; and 128 + n after signal n: 130 after Ctrl-C, 141 where the reader of the output has left.
    """
    with _at_once():
        from noisysim.cli import commands
    sys.exit(commands.run(sys.argv[1:]))


@contextlib.contextmanager
def _at_once() -> Iterator[None]:
    """Let Ctrl-C end the process here and now: of what loads, much would swallow an exception, or name it otherwise."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
