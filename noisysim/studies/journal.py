"""The runs finished since a study's file was last written, one line per run: they survive a crash.

A line is ``CRC-32 LENGTH RECORD``: eight hexadecimal digits, the number of the record's bytes, and the record (JSON).
What is damaged is found by that, and costs no record but its own, even if the end of its line is gone. Lines of older
versions are the record alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from noisysim.common import writing

_HEAD = re.compile(rb"([0-9a-f]{8}) ([0-9]{1,9}) (?=\{)")
_TEXTS = ("key", "status", "error", "warnings")
_SHOWN = 5
"""Damaged lines that are named one by one."""


class Scrap(NamedTuple):
    """A damaged line.

    Attributes
    ----------
    line : int
        Its line, from 1.
    content : bytes
    """

    line: int
    content: bytes


def beside(path: Path) -> Path:
    """The journal of a study's file."""
    path = path.resolve()
    return path.with_name(f"{path.name}.journal")


def read(path: Path) -> tuple[list[dict[str, Any]], list[Scrap]]:
    """The records of a study's journal, and what is damaged; a last line that was cut off by a crash is neither."""
    try:
        content = beside(path).read_bytes()
    except FileNotFoundError:
        return [], []
    records, scraps, end = [], [], 0
    for head in _HEAD.finditer(content):
        body = content[head.end() : head.end() + int(head[2])]
        if head.start() < end or len(body) < int(head[2]) or zlib.crc32(body) != int(head[1], 16):
            continue
        older = _lines(content, end, head.start())
        records += [*(entry for entry in older if isinstance(entry, dict)), json.loads(body)]
        scraps += [entry for entry in older if isinstance(entry, Scrap)]
        end = head.end() + len(body)
    entries = _lines(content, end, content.rfind(b"\n") + 1)
    records += [entry for entry in entries if isinstance(entry, dict)]
    return records, scraps + [entry for entry in entries if isinstance(entry, Scrap)]


def describe_damage(path: Path, scraps: list[Scrap]) -> str:
    """Where a study's journal is damaged, in words."""
    lines = [f"{scrap.line}" for scrap in scraps[:_SHOWN]] + [f"{len(scraps) - _SHOWN} more"] * (len(scraps) > _SHOWN)
    return f"{beside(path)} is damaged in line{'s' * (len(lines) > 1)} {', '.join(lines)}"


def set_aside(path: Path, scraps: list[Scrap]) -> Path:
    """Add what is damaged to a file beside the journal, which nothing reads."""
    place = beside(path).with_name(f"{beside(path).name}.damaged")
    with writing.naming(place):
        number = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            _write(number, b"".join(scrap.content + b"\n" for scrap in scraps))
            os.fsync(number)
        finally:
            os.close(number)
    return place


def _lines(content: bytes, first: int, end: int) -> list[dict[str, Any] | Scrap]:
    """Between records that their checksums vouch for: records of an older version, and scraps."""
    entries: list[dict[str, Any] | Scrap] = []
    number = content.count(b"\n", 0, first) + 1
    for k, line in enumerate(content[first:end].split(b"\n")):
        if line:
            entries.append(_older(line) or Scrap(number + k, line))
    return entries


def _older(line: bytes) -> dict[str, Any] | None:
    """The record of a line without a checksum; ``None`` if it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(line)
        if (
            isinstance(record, dict)
            and all(isinstance(record.get(name), str) for name in _TEXTS)
            and all(isinstance(record.get(name), dict) for name in ("values", "environment"))
            and all(map(_numbers, record["values"].values()))
        ):
            return record
    return None


def _numbers(value: object) -> bool:
    return all(map(_numbers, value)) if isinstance(value, list) else isinstance(value, (int, float))


def _write(number: int, data: bytes) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(number, remaining) :]


class Journal:
    """The journal of a study that is being written; whoever opens it holds the study's path (`common.writing`).

    Parameters
    ----------
    path : Path
        Of the study.

    Attributes
    ----------
    waiting : list of bytes
        Lines that could not be written yet.
    """

    def __init__(self, path: Path):
        self.path = beside(path)
        self.waiting: list[bytes] = []
        with writing.naming(self.path):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._length = self.path.read_bytes().rfind(b"\n") + 1

    def append(self, record: dict[str, Any]) -> None:
        """Add a record; when this returns it is on the disk.

        Raises
        ------
        OSError
            If it could not be written. It is kept, and written with the next.
        """
        body = json.dumps(record).encode()
        self.waiting.append(b"%08x %d %s\n" % (zlib.crc32(body), len(body), body))
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self.waiting:
            lines = b"".join(self.waiting)
            with writing.naming(self.path):
                os.ftruncate(self._file, self._length)  # a part of it, where an earlier try failed or a crash cut it
                _write(self._file, lines)
                os.fsync(self._file)
            self._length += len(lines)
            self.waiting.clear()

    def clear(self) -> None:
        """Forget the records: the study's file has them."""
        self.waiting.clear()
        with contextlib.suppress(OSError):  # then they are there twice, which does no harm
            os.ftruncate(self._file, 0)
            self._length = 0

    def close(self) -> None:
        """Close it, and remove it if it is empty."""
        with contextlib.suppress(OSError):
            if os.fstat(self._file).st_size == 0:
                os.unlink(self.path)
        with contextlib.suppress(OSError):
            os.close(self._file)
