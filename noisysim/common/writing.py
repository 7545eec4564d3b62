"""How files are written: whole, under another name, flushed to the disk and renamed; a path by one writer at a time.

`hold` takes a path for writing: beside ``run.h5`` stands ``.run.h5.lock``, locked by the kernel (``flock``) for as long
as its process lives, however that ends. What a process that was killed leaves, a lock file that nobody holds and a
draft ``.run.h5.PID.part``, is removed by the next one that writes ``run.h5``, and by no other.

On NFS the lock is the server's and holds between hosts. Where a file system has no locks, a warning says so, and drafts
of other processes are left alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from noisysim.common.fields import PATH, shown

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_CANNOT_FLUSH = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}
"""What file systems say that cannot flush a folder."""
_locks: set[int] = set()  # descriptors of this process


class Held(os.PathLike):
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
            try:
                _fill(draft, parts)
                os.replace(draft, self._target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(draft)
                raise
            _flush_folder(self._target.parent)
            if self._lock is not None:
                _remove_leftovers(self._target)

    def release(self) -> None:
        """Let others write the path."""
        if self._lock is None or self._process != os.getpid():  # forked: the parent holds it
            return
        with contextlib.suppress(OSError):
            os.unlink(_lock_file(self._target))
        _locks.discard(self._lock)
        with contextlib.suppress(OSError):  # closed it is all the same
            os.close(self._lock)
        self._lock = None

    def __enter__(self) -> Held:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def hold(path: str | os.PathLike[str], overwrite: bool = True) -> Held:
    """Take a path for writing, and refuse one that cannot be written.

    Parameters
    ----------
    path : path
    overwrite : bool
        Whether a file may be there already.

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
        held = Held(path, _lock(target, path))
    try:
        if path.exists() and not overwrite:  # asked once nobody else can make one
            raise FileExistsError(
                f"{path} exists: give another path, resume it (noisysim resume {path}), or say overwrite=True"
            )
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


def check(path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Refuse a path that cannot be written, before any work (errors: `hold`)."""
    hold(path, overwrite).release()


def replace(path: str | os.PathLike[str], *parts: Any) -> None:
    """Write a file in one step (`Held.write`)."""
    with hold(path) as held:
        held.write(*parts)


def _draft(target: Path) -> Path:
    """The file that becomes `target` when it is whole."""
    return target.with_name(f".{target.name}.{os.getpid()}.part")


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _fill(draft: Path, parts: Any) -> None:
    """A new file of this content, flushed to the disk."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)  # of a process of the same number
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for part in parts:
            left = memoryview(part).cast("B")
            while left:
                left = left[os.write(number, left) :]
        os.fsync(number)
    finally:
        os.close(number)


def _flush_folder(folder: Path) -> None:
    """Make a renaming last."""
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(number)


def _remove_leftovers(target: Path) -> None:
    """Remove drafts of this very name: whoever wrote them is dead, since the path is held."""
    start, end = f".{target.name}.", ".part"
    for name in os.listdir(target.parent):
        number = name[len(start) : -len(end)]
        if name == f"{start}{number}{end}" and re.fullmatch("[0-9]+", number):
            with contextlib.suppress(OSError):  # what cannot be removed harms nobody
                os.unlink(target.with_name(name))


def _lock(target: Path, path: Path) -> int | None:
    """The descriptor of the path's lock file, locked; ``None`` where the file system has no locks."""
    place = _lock_file(target)
    while True:
        number = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(number, place):  # its last holder may have removed it meanwhile
                _sign(number)
                _locks.add(number)
                return number
        except BlockingIOError:
            raise BlockingIOError(f"cannot write {shown(str(path), PATH)}: {_holder(number)} is writing it") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            os.unlink(place)
            said = f"{target.parent} is on a file system without locks: nothing keeps another run from writing {path}"
            warnings.warn(said, RuntimeWarning, stacklevel=3)
            return None
        finally:
            if number not in _locks:
                os.close(number)


def _is(number: int, place: Path) -> bool:
    try:
        found = os.stat(place)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(number), found)


def _sign(number: int) -> None:
    """Say in a lock file who holds it, for messages."""
    with contextlib.suppress(OSError):
        os.ftruncate(number, 0)
        os.write(number, f"process {os.getpid()} on {platform.node()}".encode())


def _holder(number: int) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        said = os.pread(number, 300, 0).decode()
        if re.fullmatch(r"process [0-9]+ on [\w.-]*", said):
            return said
    return "another process"


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """In this block the system's errors say in one line which path could not be written, and why."""
    try:
        yield
    except OSError as error:
        if error.strerror is None:  # has been said
            raise
        said = type(error)(f"cannot write {shown(str(path), PATH)}: {error.strerror}")
        said.errno = error.errno
        raise said from None


def _leave_to_the_parent() -> None:
    """A lock lives as long as any copy of its descriptor: a forked process gives its own up."""
    for number in _locks:
        os.close(number)
    _locks.clear()


os.register_at_fork(after_in_child=_leave_to_the_parent)
