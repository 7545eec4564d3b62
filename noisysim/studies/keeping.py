"""Keeps the records of a study: in the table and the journal at once, in the study's file at intervals."""

from __future__ import annotations

import contextlib
import time
import warnings
from pathlib import Path
from typing import Any

from noisysim.common import writing
from noisysim.common.arguments import argument
from noisysim.studies import journal, table
from noisysim.studies.table import MISSING, Table

WRITE_SECONDS = 10.0
"""Least time between two writings of the study's file; what finishes between them is in its journal."""


class Keeper:
    """Keeps the records of a study; its file is held against other sweeps meanwhile (a context manager).

    A disk that fails while runs are under way costs a warning: what could not be written is written with the next
    record. Only if it still cannot be at the end there is an error.

    Parameters
    ----------
    requested : Table
        What is asked for; what the file and its journal have of it is read on entering.
    path : Path or None
        The study's file.
    overwrite : bool
        Whether runs that are not asked for may be lost.
    retry : bool
        Whether runs that failed are to be done again.
    """

    def __init__(self, requested: Table, path: Path | None, overwrite: bool, retry: bool):
        self.table, self.path = requested, path
        self._overwrite, self._retry = overwrite, retry
        self._lock: Any = None  # on the file
        self._journal: Any = None
        self._warned = False
        self._written_at = self._took = 0.0  # when the file was written last, and the seconds it took

    def __enter__(self) -> Keeper:
        if self.path is None:
            return self
        self._lock = writing.hold(self.path)
        try:
            self._read_earlier(self.path)
            self._journal = journal.Journal(self.path)
            self._write()
        except BaseException:
            self._release()
            raise
        return self

    def _read_earlier(self, path: Path) -> None:
        """Read what there is, and move what is damaged aside."""
        if self._overwrite:
            return
        records, scraps = journal.read(path)
        earlier = None
        if path.exists():
            earlier = table.read(path)
            earlier.put_all(records)
            finished = {
                key for key, status in zip(earlier.keys, earlier.texts["status"], strict=True) if status != MISSING
            }
        else:  # it was lost, or moved away because it was damaged
            finished = {record["key"] for record in records}
        if lost := finished - set(self.table.at):
            raise FileExistsError(
                f"{path} holds {len(lost)} runs that this sweep does not ask for: give another path, or set "
                f"{argument('overwrite=True')}"
            )
        if scraps:
            damage, place = journal.describe_damage(path, scraps), journal.set_aside(path, scraps)
            message = f"{damage}: set aside in {place}, its runs are done again"
            warnings.warn(message, RuntimeWarning, stacklevel=4)
        if earlier is not None:
            self.table.merge(earlier)
        else:
            self.table.put_all(records)
        if self._retry:
            for index, status in enumerate(self.table.texts["status"]):
                if status == "failed":
                    self.table.forget(index)

    def put(self, record: dict[str, Any]) -> None:
        """Keep a record; one that is there already is not kept twice."""
        if self.table.texts["status"][self.table.at[record["key"]]] != MISSING:
            return
        self.table.put(record)
        if self.path is None:
            return
        try:
            self._journal.append(record)
        except OSError as error:
            self._warn(error)
        if time.monotonic() - self._written_at > max(WRITE_SECONDS, 20 * self._took):
            try:
                self._write()
            except OSError as error:
                self._written_at = time.monotonic()
                self._warn(error)

    def _warn(self, error: OSError) -> None:
        """Say that something could not be written, the first time."""
        if not self._warned:
            warnings.warn(f"{error}: tried again with the next run that finishes", RuntimeWarning, stacklevel=3)
        self._warned = True

    def _write(self) -> None:
        began = time.monotonic()
        table.write(self._lock, self.table)
        self._journal.clear()
        self._written_at = time.monotonic()
        self._took = self._written_at - began

    def __exit__(self, *_: object) -> None:
        if self.path is None:
            return
        try:
            self._write()
        except OSError as error:
            raise OSError(f"{error}; {self._where()}") from None
        finally:
            self._release()

    def _where(self) -> str:
        """Where the runs are that the study's file does not have."""
        try:
            self._journal.flush()
        except OSError:
            return f"{len(self._journal.waiting)} finished runs are lost"
        return f"the runs that finished are in {self._journal.path}: the same call resumes from there"

    def _release(self) -> None:
        if self._journal is not None:
            self._journal.close()
        with contextlib.suppress(OSError):  # a lock that is not let go of ends with the process
            self._lock.release()
