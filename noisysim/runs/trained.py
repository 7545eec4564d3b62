"""What a file holds of a trained chip: the result of a run, or a chip that was saved."""

from __future__ import annotations

import os
from pathlib import Path

from noisysim.chip.chip import Chip
from noisysim.runs import storage
from noisysim.runs.result import Result


def opened(path: str | os.PathLike[str]) -> Result | Chip:
    """The result, or the chip with oracle access, that is in a file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds something else.
    """
    kind = storage.kind(path)
    if kind == "chip":
        return Chip.load(path, oracle=True)
    if kind == "study":
        raise ValueError(f"{path} is a study of many runs: give the result file of one of them, which a sweep can keep")
    return Result(storage.read(path), Path(path))
