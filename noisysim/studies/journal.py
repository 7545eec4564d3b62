"""The runs finished since a study's file was last written, a line each: what a crash cannot take."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any


def beside(path: Path) -> Path:
    """The journal of a study's file."""
    path = path.resolve()
    return path.with_name(f"{path.name}.journal")


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a study's journal; a last line that was cut off by a crash is none."""
    try:
        lines = beside(path).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


class Journal:
    """The journal of a study that is being written; it is held against other processes until it is closed.

    Parameters
    ----------
    path : Path
        Of the study.

    Raises
    ------
    BlockingIOError
        If another sweep holds it.
    """

    def __init__(self, path: Path):
        self.path = beside(path)
        while True:
            self._file = open(self.path, "ab")  # noqa: SIM115 (it is held)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise BlockingIOError(f"another sweep is writing {path}") from None
            with contextlib.suppress(FileNotFoundError):  # its last holder may have removed it meanwhile
                if os.fstat(self._file.fileno()).st_ino == self.path.stat().st_ino:
                    break
            self._file.close()
        whole = self.path.read_bytes().rpartition(b"\n")
        self._file.truncate(len(whole[0]) + len(whole[1]))

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; when this returns it is on the disk."""
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def clear(self) -> None:
        """Forget the records: the study's file has them."""
        self._file.truncate(0)

    def close(self) -> None:
        """Let go of it, and remove it if it is empty."""
        if os.fstat(self._file.fileno()).st_size == 0:
            self.path.unlink(missing_ok=True)
        self._file.close()
