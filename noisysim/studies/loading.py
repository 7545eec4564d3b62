"""`noisysim.load`: reads a result file or a study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from noisysim.runs import storage
from noisysim.runs.result import Result


def load(path: str | os.PathLike[str]) -> Any:
    """Read a file: the `Result` of a run, or a `Study`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is neither.

    Examples
    --------
    >>> import noisysim
    >>> result = noisysim.run(device="crossbar", layers=[16], epochs=1, out="run.h5")
    >>> again = noisysim.load("run.h5")
    >>> bool((again.steps["train_loss"] == result.steps["train_loss"]).all())
    True
    """
    if storage.kind(path) == "study":
        from noisysim.studies.study import Study  # which needs the extra [sweep] no sooner

        return Study.load(path)
    return Result(storage.read(path), Path(path))
