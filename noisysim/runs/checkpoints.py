"""A run's result file during the run: written at intervals, and at its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noisysim.chip.erasing import erase
from noisysim.common.writing import Held
from noisysim.runs import callback_files, storage


def _forget(content: dict[str, Any]) -> None:
    """Overwrite the copies of what a chip hides."""
    erase(array for array in content["arrays"]["state/chip"].values() if array.flags.writeable)


class Checkpoints:
    """Writes what a run has recorded; a disk that is full for a while costs checkpoints, not the run.

    Parameters
    ----------
    held : Held or None
        The result file; ``None`` for a run that has none.
    content : callable
        Gives what there is to write (`noisysim.runs.storage.write`), at once, or of a run that has ended.
    """

    def __init__(self, held: Held | None, content: Callable[[bool], dict[str, Any]]):
        self._held, self._content = held, content
        self._warned = False

    def _write(self, held: Held) -> None:
        """One checkpoint; what it copied of the chip is overwritten before its memory is freed."""
        content = self._content(False)
        try:
            storage.write(held, content)
        finally:
            _forget(content)

    def copy(self, path: Path, reason: str) -> None:
        """Write one to another path, as of a run that ended here."""
        content = {**self._content(False), "status": "stopped", "reason": reason}
        if self._held is not None:
            out = self._held.path
            content["environment"] = callback_files.environment_of_copy(content["environment"], out, path)
        try:
            storage.write(path, content)
        finally:
            _forget(content)

    def begin(self) -> None:
        """The first one; a disk that is full already is an error."""
        if self._held is not None:
            self._write(self._held)

    def end(self) -> dict[str, Any]:
        """The last one, and what it holds; if it cannot be written, that is an error."""
        content = self._content(True)
        if self._held is not None:
            try:
                storage.write(self._held, content)
            except OSError as error:
                path = self._held.path
                explained = type(error)(f"{error}; the last checkpoint is complete: noisysim resume {path}")
                explained.errno = error.errno
                raise explained from None
        return content

    def __call__(self) -> None:
        """One during the run; an error is a warning, once, and the next call tries again."""
        if self._held is None:
            return
        try:
            self._write(self._held)
        except (OSError, MemoryError) as error:
            if not self._warned:
                message = f"{error or 'out of memory'}; the run continues, and tries again at its next checkpoint"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
            self._warned = True
