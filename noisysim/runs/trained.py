"""What a file holds of a trained chip: the result of a run, or a chip that was saved."""

from __future__ import annotations

import os
from pathlib import Path

from noisysim.runs import storage
from noisysim.runs.result import Result


def opened(path: str | os.PathLike[str]) -> Result:
    """The result in a file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds something else.
    """
    if storage.kind(path) == "study":
        raise ValueError(f"{path} is a study of many runs: give the result file of one of them (keep=...)")
    return Result(storage.read(path), Path(path))
