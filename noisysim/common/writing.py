"""How files are written: whole, under another name, flushed to the disk and renamed; a path by one writer at a time.

`hold` locks a path for writing (`noisysim.common.locking`): beside ``run.h5`` stands ``.run.h5.lock``. What a process
that was killed leaves, a lock file without a holder and a draft ``.run.h5.PID.part``, is removed by the next one that
writes ``run.h5``, and by no other. Where there are no locks, drafts of other processes are left alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from noisysim.common import locking
from noisysim.common.arguments import argument
from noisysim.common.fields import PATH, shown

_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
"""What file systems say that cannot flush a folder."""
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)


def beside(path: Path, ending: str) -> Path:
    """Where what is made of a file goes: beside it, under its name up to the ending.

    Raises
    ------
    ValueError
        Of a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is not a file")
    return path.with_name(path.stem + ending)


class Held(os.PathLike[str]):
    """A path that this process alone writes until it is released (a context manager).

    Attributes
    ----------
    path : Path
        As it was given; a link is followed.
    """

    def __init__(self, path: Path, lock: int | None):
        self.path = path
        self._target, self._lock, self._process = path.resolve(), lock, os.getpid()

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def write(self, *parts: Any) -> None:
        """Put new content in the path's place in one step: a crash leaves the old file or the new one, whole.

        Parameters
        ----------
        *parts : bytes-like
            What the file is to hold, one after another.

        Raises
        ------
        OSError
            With the path and the system's reason in one line. The old file is then still there, unless the reason is
            that the renaming could not be flushed.
        """
        draft = _draft(self._target)
        with naming(self.path):
            with _renamed(draft, self._target):
                _fill(draft, parts)
            if self._lock is not None:
                _remove_leftovers(self._target)

    def release(self) -> None:
        """Let others write the path."""
        if self._lock is None or self._process != os.getpid():  # forked: the parent holds it
            return
        locking.release(self._target, self._lock)
        self._lock = None

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def hold(path: str | os.PathLike[str], overwrite: bool = True, resumable: bool = False) -> Held:
    """Take a path for writing, and refuse one that cannot be written.

    Parameters
    ----------
    path : path
    overwrite : bool
        Whether a file may be there already.
    resumable : bool
        Whether it is one of a run, which can be resumed instead.

    Raises
    ------
    BlockingIOError
        If another process, or another part of this one, holds it.
    FileExistsError, FileNotFoundError, ValueError, OSError
        If there is a file, no folder, something that is no file, or no right to write there.
    """
    path = Path(path)
    with naming(path):
        target = path.resolve()
        if path.exists() and not path.is_file():
            raise ValueError(f"cannot write {shown(str(path), PATH)}: it is not a file")
        if not target.parent.is_dir():
            folder = shown(str(target.parent), PATH)
            raise FileNotFoundError(f"cannot write {shown(str(path), PATH)}: there is no folder {folder}")
        held = Held(path, locking.acquire(target, path))
    try:
        if path.exists() and not overwrite:  # asked once no other process can make one
            instead = f" resume it (noisysim resume {path})," if resumable else ""
            raise FileExistsError(f"{path} exists: give another path,{instead} or say {argument('overwrite=True')}")
        with naming(path):  # its name may be too long
            try:
                _fill(_draft(target), [])
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(_draft(target))
    except BaseException:
        held.release()
        raise
    return held


def check(path: str | os.PathLike[str], overwrite: bool = True, resumable: bool = False) -> None:
    """Refuse a path that cannot be written, before any work (errors: `hold`)."""
    hold(path, overwrite, resumable).release()


def check_apart(path: str | os.PathLike[str], read: Mapping[str, object]) -> None:
    """Refuse to write over a file that is read, whatever else may be overwritten.

    Parameters
    ----------
    path : path
        To be written.
    read : mapping
        Files that are read, by what messages call them; what is no path is no file.

    Raises
    ------
    ValueError
        If the path is one of them, under whichever name.
    """
    for what, other in read.items():
        if not isinstance(other, (str, os.PathLike)) or not (os.path.exists(path) and os.path.exists(other)):
            continue
        if os.path.samefile(path, other):
            raise ValueError(f"cannot write {shown(str(path), PATH)}: it is {what} itself; give another path")


def replace(path: str | os.PathLike[str], *parts: Any) -> None:
    """Write a file in one step (`Held.write`)."""
    with hold(path) as held:
        held.write(*parts)


@contextlib.contextmanager
def drafted(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside another, whose file takes that one's place in one step once the block has written it.

    The path is not locked: of several writers the last one's file stays, whole. A block that raises leaves nothing.
    """
    target = Path(path).resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    with _renamed(draft, target):
        yield draft
        number = os.open(draft, os.O_RDWR | _CLOEXEC)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextlib.contextmanager
def _renamed(draft: Path, target: Path) -> Iterator[None]:
    """Rename a draft that the block writes; remove it if the block, or the renaming, fails."""
    try:
        yield
        os.replace(draft, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    _flush_folder(target.parent)


def _draft(target: Path) -> Path:
    """The file that becomes `target` when it is whole."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _fill(draft: Path, parts: Iterable[Any]) -> None:
    """A new file of this content, flushed to the disk."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)  # of a process of the same number
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC, 0o666)
    try:
        for part in parts:
            unwritten = memoryview(part).cast("B")
            while unwritten:
                unwritten = unwritten[os.write(number, unwritten) :]
        os.fsync(number)
    finally:
        os.close(number)


def _flush_folder(folder: Path) -> None:
    """Make a renaming last."""
    if os.name == "nt":  # which has no descriptors of folders
        return
    number = os.open(folder, os.O_RDONLY | _CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(number)


def _remove_leftovers(target: Path) -> None:
    """Remove drafts of this very name: their processes are dead, since the path is held."""
    start, end = f".{target.name}.", ".part"
    for name in os.listdir(target.parent):
        number = name[len(start) : -len(end)]
        if name == f"{start}{number}{end}" and re.fullmatch("[0-9]+", number):
            with contextlib.suppress(OSError):  # what cannot be removed does no harm
                os.unlink(target.with_name(name))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """In this block the system's errors say in one line which path could not be written, and why."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # it names the path already
            raise
        named = type(error)(f"cannot write {shown(str(path), PATH)}: {error.strerror}")
        named.errno = error.errno
        raise named from None
