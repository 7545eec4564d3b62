"""The command line, made from the functions' own signatures and docstrings."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; an error is one line, not a traceback.

    The exit status is 0; 1 if what was asked for failed on its way: a run that diverged, runs of a study that failed, a
    value outside its tolerance, a full disk; 2 if it could not be done as it was asked for; 75 if a run was stopped by
    its time limit; and 128 + n after signal n: 130 after Ctrl-C, 141 where the reader of the output has left.
    """
    try:
        from noisysim.cli import commands  # takes a second or two, in which somebody may think better of it

        status = commands.run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status)
