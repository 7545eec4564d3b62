"""A disk that fails: one operation on files, or all from one on."""

import contextlib
import errno
import fcntl
import functools
import os
import tempfile
import warnings
from pathlib import Path

import noisysim
from noisysim.common import locking, writing

from . import GIVEN, bits, check_line, check_survived, make_foreign, same, undisturbed

ERRORS = (errno.ENOSPC, errno.EIO, errno.EFBIG)
OPERATIONS = ("open", "write", "fsync", "replace", "unlink", "close", "ftruncate", "flock")


class Disk:
    """Stands for `os` and `fcntl` where files are written; the operation of number `at` fails, or all from there on.

    Parameters
    ----------
    at : int
        -1 for none.
    error : int
        An errno.
    on : bool
        Whether all later ones of its kind fail as well.
    short : bool
        Whether every write takes a part of what it is given.
    """

    def __init__(self, at=-1, error=0, on=False, short=False):
        self.done, self._at, self._error, self._on, self._short = [], at, error, on, short
        self._failing = None

    def __getattr__(self, name):
        function = getattr(os if hasattr(os, name) else fcntl, name)
        if name not in OPERATIONS:
            return function

        def operation(*arguments, **keywords):
            number, kind = len(self.done), name
            self.done.append(kind)
            if number == self._at:
                self._failing = kind
            if number == self._at or (self._on and kind == self._failing):
                if kind == "close":
                    function(*arguments)  # the system closes it all the same
                raise OSError(self._error, os.strerror(self._error))
            if kind == "write" and self._short:
                arguments = arguments[0], arguments[1][: 1 + len(arguments[1]) // 3]
            return function(*arguments, **keywords)

        return operation

    @contextlib.contextmanager
    def in_use(self):
        before = writing.os, locking.os, locking.fcntl
        writing.os = locking.os = locking.fcntl = self
        try:
            yield self
        finally:
            writing.os, locking.os, locking.fcntl = before


@functools.cache
def earlier():
    """The file of an earlier run, whose place is taken, and its bits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.h5")
        noisysim.run(**{**GIVEN, "seed": 9, "epochs": 1}, out=path)
        return path.read_bytes(), bits(path)


def run(disk, folder, seconds):
    """A run on a disk that fails: what became of it."""
    folder = Path(folder)
    path = folder / "run.h5"
    make_foreign(folder)
    content, before = earlier()
    path.write_bytes(content)
    with disk.in_use(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            noisysim.run(**GIVEN, out=path, overwrite=True, checkpoint_seconds=seconds)
            outcome = "finished"
        except OSError as error:
            outcome, said_of_it = "failed", str(error)
    assert len(said) <= 1, [str(one.message) for one in said]
    for one in said:
        check_line(str(one.message))
    if outcome == "failed":
        check_line(said_of_it)
        assert str(path) in said_of_it
    now = bits(path)
    if outcome == "finished":
        assert same(now, undisturbed())
    elif same(now, before):
        noisysim.run(**GIVEN, out=path, overwrite=True)
        outcome = "failed, the old file is there"
    check_survived(folder, path)
    return outcome


def operations(seconds):
    """How many operations a run does."""
    disk = Disk()
    with tempfile.TemporaryDirectory() as folder:
        assert run(disk, folder, seconds) == "finished"
    return len(disk.done)
