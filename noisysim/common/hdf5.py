"""HDF5 files: written through memory and sealed; read only after a look at everything in them.

A full disk, or a limit on the size of files, lets HDF5 crash when it closes a file. So a file is made in memory, and
its bytes are written like those of any other (`noisysim.common.writing`). Behind them stands a seal, the SHA-256 of
what was written, which HDF5's readers skip: a file that was damaged since is recognised before HDF5 parses it. An edit
with h5py takes the seal off; a file without one is read as well.

What is read may come from anybody. HDF5 can store data in files outside, reach into other files by links and by
virtual datasets, and declare sizes that it does not hold: all of it is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noisysim.common import writing
from noisysim.common.fields import shown
from noisysim.common.texts import one_line

if TYPE_CHECKING:
    import h5py

_MARK = b"\nnoisysim sha256 "
_SEAL = re.compile(_MARK + rb"([0-9a-f]{64})\n\Z")
_SEAL_LENGTH = 82
_DEFLATE, _SHUFFLE, _FLETCHER = 1, 2, 3
_PACKED = 1100
"""Most bytes that one byte of deflate stands for (1032), and some."""


@contextlib.contextmanager
def replaced(place: str | os.PathLike[str]) -> Iterator[Any]:
    """A new HDF5 file that takes the place of a path, in one step, once the block has filled it.

    Parameters
    ----------
    place : path or noisysim.common.writing.Held
    """
    import h5py

    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        yield file
    content = image.getbuffer()
    parts = content, _MARK, f"{hashlib.sha256(content).hexdigest()}\n".encode()
    if isinstance(place, writing.Held):
        place.write(*parts)
    else:
        writing.replace(place, *parts)


def checked_path(path: object, what: str) -> Path:
    """The path of a file to read; what is no path, such as what was read of a file already, is one clear error."""
    if isinstance(path, (str, os.PathLike)):
        return Path(path)
    written = getattr(path, "path", None)
    hint = f": give that of this one, {os.fspath(written)!r}" if isinstance(written, (str, os.PathLike)) else ""
    given = f"a {type(path).__name__}" if hint else shown(path)
    raise TypeError(f"a {what} must be given by its path, not {given}{hint}")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], what: str) -> Iterator[Any]:
    """An HDF5 file for reading that is whole and holds all that it declares, itself.

    Parameters
    ----------
    path : path
    what : str
        What it should be, for messages: "result file".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no regular file or is damaged, and for whatever the block raises, since h5py has an error of nearly
        every type for a file that is not what it says.
    """
    import h5py

    path = checked_path(path, what)
    check_bytes(path, what)
    try:
        with h5py.File(path, "r") as file:
            _check_contents(file, path.stat().st_size)
            yield file
    except Exception as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{path} is not a whole noisysim {what} ({one_line(reason)})") from None


def check_bytes(path: Path, what: str) -> None:
    """Refuse what is no file (a pipe, for one, would never end), and a file that is not as it was written."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no {what} {path}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is not a file")
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(length - _SEAL_LENGTH, 0))
        tail = file.read()
        if _MARK not in tail:
            return
        seal = _SEAL.match(tail)  # there may be a part of one
        file.seek(0)
        digest, remaining = hashlib.sha256(), length - _SEAL_LENGTH
        while seal and remaining and (block := file.read(min(remaining, 1 << 20))):
            digest.update(block)
            remaining -= len(block)
    if not seal or digest.hexdigest() != seal[1].decode():
        raise ValueError(f"{path} is not a whole noisysim {what} (it was damaged: its bytes are not those written)")


def _check_contents(file: h5py.File, length: int) -> None:
    """Refuse what points out of the file, and what declares more than the file holds."""
    import h5py

    addresses, groups, stored = {h5py.h5o.get_info(file["/"].id).addr}, [file["/"]], 0
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name!r} is a link out of its place, which is not followed")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in addresses:
                raise ValueError(f"{name!r} is there under two names")
            addresses.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                stored += _stored(name, item)
    if stored > length:
        raise ValueError(f"it declares {stored:,} bytes and has {length:,}")


def _stored(name: str, dataset: h5py.Dataset) -> int:
    """The bytes of a file that a dataset takes; refused if they are elsewhere, or fewer than it needs."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} keeps its data in another file, which is not read")
    creation = dataset.id.get_create_plist()
    filters = {creation.get_filter(k)[0] for k in range(creation.get_nfilters())}
    if not filters <= {_DEFLATE, _SHUFFLE, _FLETCHER}:
        raise ValueError(f"{name!r} is packed in a way that noisysim does not write")
    stored, needed = dataset.id.get_storage_size(), (dataset.size or 0) * dataset.dtype.itemsize
    if needed > stored * (_PACKED if _DEFLATE in filters else 1):
        raise ValueError(f"{name!r} declares {needed:,} bytes and has {stored:,}")
    return int(stored)
