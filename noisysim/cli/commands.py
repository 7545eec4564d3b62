"""All commands, and how one is carried out: its errors, signals and exit status."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import Any

import cyclopts

from noisysim.cli import (
    afterwards,
    completion,
    deployments,
    files,
    lists,
    networks,
    reproductions,
    runs,
    studies,
)
from noisysim.cli.app import FAILED, INTERRUPTED, REFUSED, app, flags
from noisysim.common.arguments import as_flags
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.common.texts import printable
from noisysim.compute.backends import BackendError
from noisysim.runs import signals
from noisysim.runs.events import CallbackError

__all__ = [
    "afterwards", "app", "completion", "deployments", "files", "lists", "networks", "reproductions", "run", "runs",
    "studies",
]  # fmt: skip

_PIPE_CLOSED = 128 + 13
"""Exit status of a program that SIGPIPE ends."""
_ON_ITS_WAY = (CallbackError, NonFiniteError)
"""Kinds of ValueError that do not say that something was asked for wrongly."""
_REFUSALS = (
    cyclopts.CycloptsError, ValueError, TypeError, FileNotFoundError, FileExistsError, IsADirectoryError,
    NotADirectoryError, PermissionError,
)  # fmt: skip
_FAILURES = (OSError, MemoryError, ImportError, BackendError)


def run(words: list[str]) -> Any:
    """Carry out the command that these words call; the exit status."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    with signals.noted() as received:
        status = _status(words)
    gc.freeze()  # or the interpreter would look through all that was imported, for a sixth of a short command's time
    return 128 + received[0] if received else status


def _status(words: list[str]) -> Any:
    """Run a command; the exit status."""
    try:
        with as_flags(flags(words)):
            status = _ended(words)
        sys.stdout.flush()  # or the interpreter would do it at its end, and complain of a reader that has left
        return status
    except BrokenPipeError:
        return _reader_left()
    except _ON_ITS_WAY as error:
        return _say(error, FAILED)
    except _REFUSALS as error:
        return _say(error, REFUSED)
    except _FAILURES as error:
        _drop_unwritten()  # a full disk may be that of the output
        return _say(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _ended(words: list[str]) -> Any:
    """Carry a command out; the exit status that it chose."""
    try:
        app(words, print_error=False, exit_on_error=False)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # what prints tables and help ends the process itself
            raise ended.__context__ from None
        return ended.code
    return 0


def _say(error: BaseException, status: int) -> int:
    """Print an error in one line; the exit status."""
    print(f"noisysim: {' '.join(printable(error).split())}", file=sys.stderr)
    return status


def _reader_left() -> int:
    """The exit status where the reader has seen enough, as ``| head`` does."""
    _drop_unwritten()
    return _PIPE_CLOSED


def _drop_unwritten() -> None:
    """Lose what cannot be written any more: the interpreter would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"noisysim: warning: {' '.join(printable(message).split())}", file=sys.stderr)
