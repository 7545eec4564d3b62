"""The cache of machine code: one folder for all that is compiled, used only where no other user can write.

A file is what one function became for one signature: a checksum, then the pickled pair of Numba's key and code. Reading
unpickles and runs what it finds, so that the folder must belong to this user (or to root) and be closed to writers
other than its owner. It is opened before it is checked, and files are reached through the open folder alone: who may
rename the folders above it can hide it, but cannot put another in its place. The checksum is for accidents: a file
that is damaged, or does not hold what it is asked for, is compiled and written anew. What cannot be written is not
kept; no run ends for that.

Numba's own cache is not used. It keeps code beside its source or not at all, breaks at damaged files, and two
processes that fill it at once can exchange the code of two signatures. Numba's interface behind it, the class
``Cache`` with ``load_overload`` and ``save_overload``, is none that it promises to keep: setup.cfg bounds its versions.

Code for the CPU is loaded without what Numba sets up to compile, types and templates of all that it knows, which takes
it about as long as its import: machine code needs its runtime alone, and each compilation sets up the rest by itself.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import pickle
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core.cpu import CPUContext
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

from noisysim.compute.jit.kinds import Compiled, Context, Kind

SUFFIX, DRAFT = ".code", ".part"
UNUSED = 90 * 86400.0
"""Seconds after which a file that no process has read is removed."""
_DAY = 86400.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_pruned: set[Path] = set()


# --- which folder ---------------------------------------------------------------------------------------------------


def folder() -> Path | None:
    """The folder of machine code: in ``NOISYSIM_CACHE``, else in the user's cache folder, else in the temporary one.

    Returns
    -------
    Path or None
        ``None`` where there is none to be trusted, with a warning, or the disk is full: all is compiled anew.

    Raises
    ------
    OSError
        If ``NOISYSIM_CACHE`` names a folder that cannot be made, or that others can write to.
    """
    if named := os.environ.get("NOISYSIM_CACHE"):
        return _named(Path(named).absolute() / "kernels")
    try:
        temporary = Path(tempfile.gettempdir()) / f"noisysim-{os.geteuid()}"
    except FileNotFoundError:  # there is no folder for temporary files
        temporary = Path()
    for place in (Path(platformdirs.user_cache_dir("noisysim")) / "kernels", temporary):
        with contextlib.suppress(OSError):
            if place.is_absolute() and _make(place) and os.access(place, os.W_OK):  # not "~", where there is no home
                return place
    warnings.warn("no folder to keep compiled kernels in: each process compiles them (NOISYSIM_CACHE)", stacklevel=2)
    return None


def _named(place: Path) -> Path | None:
    """The folder that a user asked for; one that cannot be written but can be trusted is read."""
    try:
        _make(place)
    except OSError as error:
        if error.errno in _FULL:
            return None
        raise type(error)(
            f"NOISYSIM_CACHE: no compiled kernels can be kept in {str(place)!r} ({error.strerror}); name a folder of "
            "your own that others cannot write to"
        ) from None
    return place


def _make(place: Path) -> bool:
    """Make a folder if there is none, and check that it can be trusted."""
    os.makedirs(place.parent, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(place, 0o755)
    with _opened(place):
        return True


@contextlib.contextmanager
def _opened(place: Path) -> Iterator[int]:
    """A trusted folder's descriptor; PermissionError for others, OSError for a link or what is no folder."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if reason := _distrust(os.fstat(descriptor)):
            raise PermissionError(errno.EPERM, reason, str(place))
        yield descriptor
    finally:
        os.close(descriptor)


def _distrust(status: os.stat_result) -> str:
    """Why machine code is not taken from a folder or a file of this status; empty if it is."""
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}"
    return "others can write to it" if status.st_mode & 0o022 else ""


# --- its files ------------------------------------------------------------------------------------------------------


class Files:
    """The files of one function, a file for each key: what Numba's caches read from and write to.

    Parameters
    ----------
    place : Path
        The folder.
    function : str
        A name that stands for the function and for every source it depends on.
    """

    def __init__(self, place: Path, function: str):
        self.place, self.function = place, function

    def load(self, key: object) -> Any:
        """What was saved under a key, or None."""
        try:
            with _opened(self.place) as at:
                content = _read(self._name(key), at)
        except OSError:
            return None
        checksum, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != checksum:
            return None
        saved, data = pickle.loads(content)
        return data if saved == key else None

    def holds(self, key: object) -> bool:
        """Whether there is a file for a key, whatever is in it."""
        return (self.place / self._name(key)).exists()

    def save(self, key: object, data: object) -> None:
        """Save under a key, in one step, so that no other process finds half of it."""
        content = dumps((key, data))  # type: ignore[no-untyped-call]
        name = self._name(key)
        draft = f"{name}.{uuid.uuid4().hex}{DRAFT}"
        with _opened(self.place) as at:
            try:
                _write(draft, hashlib.sha256(content).digest() + content, at)
                os.replace(draft, name, src_dir_fd=at, dst_dir_fd=at)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=at)
                raise
            if self.place not in _pruned:
                _pruned.add(self.place)
                _prune(at)

    def flush(self) -> None:
        """What Numba calls before it compiles anew; nothing here is out of date, as names tell sources apart."""

    def _name(self, key: object) -> str:
        """A file's name; that two keys never share it is not relied on."""
        return f"{self.function}-{hashlib.sha256(repr((_versions(), key)).encode()).hexdigest()[:16]}{SUFFIX}"


def _versions() -> tuple[str | None, ...]:
    """Of all that machine code depends on and no key of Numba's names."""
    gpu = getattr(sys.modules.get("numba_cuda"), "__version__", None)
    return (sys.implementation.cache_tag, numba.__version__, llvmlite.__version__, np.__version__, gpu)


def _read(name: str, at: int) -> bytes:
    """Content of a file that can be trusted."""
    # what is no file but a pipe must not block
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at), "rb") as file:
        status = os.fstat(file.fileno())
        if _distrust(status):
            return b""
        if time.time() - status.st_mtime > _DAY:
            with contextlib.suppress(OSError):
                os.utime(file.fileno())  # in use: see `_prune`
        return file.read()


def _write(name: str, content: bytes, at: int) -> None:
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _prune(at: int) -> None:
    """Remove files that have long not been used, of older versions for the most part, and drafts left behind."""
    with contextlib.suppress(OSError):
        for name in os.listdir(at):
            if name.startswith("noisysim_") and name.endswith((SUFFIX, DRAFT)):
                status = os.stat(name, dir_fd=at, follow_symlinks=False)
                if time.time() - status.st_mtime > UNUSED:
                    os.unlink(name, dir_fd=at)


# --- what Numba sees ------------------------------------------------------------------------------------------------


def keep(
    compiled: Compiled, numbas: type, name: str, delivered: Callable[[str, Any], bool] = lambda name, sig: False
) -> Any:  # fmt: skip
    """Let a compiled function find its machine code again.

    Parameters
    ----------
    compiled
        What Numba's decorator returned.
    numbas : type
        The class of Numba's caches for the decorator's target.
    name : str
        Stands for the function and for every source it depends on (`noisysim.compute.jit.sources`).
    delivered : callable
        Asked for a name and a signature that are not in the cache: whether they may be there by now.
    """
    from noisysim.common.garbage import uncollected  # which no machine code depends on: see `sources`

    if hasattr(compiled, "py_func"):  # not with NUMBA_DISABLE_JIT
        compiled._cache = _cache_class(numbas)(compiled.py_func, name, delivered)
        compiled.compile = uncollected()(compiled.compile)
    return compiled


@functools.cache
def _cache_class(numbas: Kind) -> Callable[..., Any]:
    """Numba's caches for a target, over `Files`."""

    class Code(numbas._impl_class):  # type: ignore[misc]
        """How the target packs and unpacks code; kept from looking for a place of Numba's."""

        def __init__(self, function: Callable[..., Any], name: str):
            code = function.__code__
            self._locator, self._lineno = _Locator(code.co_filename), code.co_firstlineno
            self._filename_base = name

    class Cache(numbas):  # type: ignore[misc]
        def __init__(self, function: Callable[..., Any], name: str, delivered: Callable[[str, Any], bool]):
            self.name, self._py_func, self._delivered = name, function, delivered
            self._impl = Code(function, name)
            self._cache_path = ""
            self.enable()

        @functools.cached_property
        def _cache_file(self) -> Files | None:
            place = folder()
            return None if place is None else Files(place, self.name)

        def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
            """The signature and the processor; the name says what the function is."""
            return sig, codegen.magic_tuple()

        def holds(self, sig: object, target_context: Context) -> bool:
            """Whether there is a file for a signature."""
            key = self._index_key(sig, target_context.codegen())
            return self._cache_file is not None and self._cache_file.holds(key)

        def load_overload(self, sig: object, target_context: object) -> Any:
            if self._cache_file is None:
                return None
            loaded = self._loaded(sig, target_context)
            if loaded is None and self._delivered(self.name, sig):
                loaded = self._loaded(sig, target_context)
            return loaded

        def _loaded(self, sig: object, target_context: Context) -> Any:
            try:
                if not isinstance(target_context, CPUContext):
                    return super().load_overload(sig, target_context)
                rtsys.initialize(target_context)  # machine code calls it: see the module's docstring
                return self._load_overload(sig, target_context)
            except Exception:  # whatever it is that does not fit: it is compiled anew
                return None

        def save_overload(self, sig: object, data: object) -> None:
            if self._cache_file is None:
                return
            try:
                super().save_overload(sig, data)
            except OSError:
                pass  # a full disk, a folder that is gone
            except Exception as error:
                warnings.warn(f"{self.name}: machine code is not kept ({error!r})", stacklevel=2)

    return Cache


class _Locator:
    """What Numba asks for a place, and for the file that it names where machine code cannot be kept."""

    def __init__(self, file: str):
        self._py_file = file

    def get_cache_path(self) -> str:
        return str(folder() or "")

    def get_source_stamp(self) -> str:
        return ""

    def ensure_cache_path(self) -> None:
        if place := folder():
            _make(place)
