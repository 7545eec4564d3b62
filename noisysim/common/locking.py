"""Locks on paths, held by one writer at a time: a lock file beside the path, locked by the kernel (``flock``).

The kernel frees a lock when its process ends, however that ends. On NFS the lock is the server's and holds between
hosts. Locks need POSIX: where a system has no ``flock``, or a file system no locks, a warning says so, and nothing
keeps two processes from writing the same path. Sweeps, whose workers share folders, need a file system with locks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import warnings
from pathlib import Path

from noisysim.common.fields import PATH, shown

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_locks: set[int] = set()
"""Descriptors of locks that this process holds."""


def lock_file(target: Path) -> Path:
    """The lock file of a path."""
    return target.with_name(f".{target.name}.lock")


def acquire(target: Path, path: Path) -> int | None:
    """Lock a path.

    Parameters
    ----------
    target, path : Path
        Where links lead to, and what messages call it.

    Returns
    -------
    int or None
        The descriptor of the locked lock file; ``None`` without locks.

    Raises
    ------
    BlockingIOError
        If another process, or another part of this one, holds it.
    """
    if fcntl is None:
        _warn("a system", target, path)
        return None
    place = lock_file(target)
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
            _warn("a file system", target, path)
            return None
        finally:
            if number not in _locks:
                os.close(number)


def release(target: Path, lock: int) -> None:
    """Let others lock the path."""
    with contextlib.suppress(OSError):
        os.unlink(lock_file(target))
    _locks.discard(lock)
    with contextlib.suppress(OSError):  # closed it is all the same
        os.close(lock)


def _warn(what: str, target: Path, path: Path) -> None:
    reason = f"{target.parent} is on {what} without locks: nothing keeps another run from writing {path}"
    warnings.warn(reason, RuntimeWarning, stacklevel=4)


def _is(number: int, place: Path) -> bool:
    try:
        current = os.stat(place)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(number), current)


def _sign(number: int) -> None:
    """Say in a lock file who holds it, for messages."""
    with contextlib.suppress(OSError):
        os.ftruncate(number, 0)
        os.write(number, f"process {os.getpid()} on {platform.node()}".encode())


def _holder(number: int) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        holder = os.pread(number, 300, 0).decode()
        if re.fullmatch(r"process [0-9]+ on [\w.-]*", holder):
            return holder
    return "another process"


def _leave_to_the_parent() -> None:
    """A lock lives as long as any copy of its descriptor: a forked process gives its own up."""
    for number in _locks:
        os.close(number)
    _locks.clear()


if hasattr(os, "register_at_fork"):  # POSIX
    os.register_at_fork(after_in_child=_leave_to_the_parent)
