"""The command line, made from the functions' own signatures and docstrings."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import cyclopts

from noisysim.cli import afterwards, deployments, files, lists, networks, reproductions, runs, studies
from noisysim.cli.app import UsageError, app
from noisysim.common.texts import printable
from noisysim.compute.backends import BackendError
from noisysim.runs import signals

__all__ = ["afterwards", "app", "deployments", "files", "lists", "main", "networks", "reproductions", "runs", "studies"]

_PIPE_CLOSED = 128 + 13
"""Exit status of a program that SIGPIPE ends."""


def main() -> None:
    """Run the command line; an error in what was asked for is one line, not a traceback.

    The exit status is 0, 1 after an error, 75 if a run was stopped by its time limit, and 128 + n after signal n.
    `noisysim reproduce`, whose 1 says that a value is outside its tolerance, ends with 2 if it was used wrongly.
    """
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    with signals.noted() as received:
        status = _status(sys.argv[1:])
    if received and isinstance(status, str):
        print(status, file=sys.stderr)
    sys.exit(128 + received[0] if received else status)


def _status(words: list[str]) -> Any:
    """Run a command; the exit status, or the line that says what is wrong."""
    try:
        app(words, print_error=False, exit_on_error=False)
        sys.stdout.flush()
    except (UsageError, cyclopts.CycloptsError) as error:
        line = f"noisysim: {' '.join(printable(error).split())}"
        if not isinstance(error, UsageError) and words[:1] != ["reproduce"]:
            return line
        print(line, file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _reader_left()
    except (ValueError, TypeError, OSError, MemoryError, ImportError, BackendError) as error:
        return f"noisysim: {' '.join(printable(error).split())}"
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # what prints tables and help ends the process itself
            return _reader_left()
        return ended.code
    return 0


def _reader_left() -> int:
    """The exit status where the reader has seen enough, as ``| head`` does; what is still to be written is lost."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _PIPE_CLOSED


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"noisysim: warning: {' '.join(printable(message).split())}", file=sys.stderr)
