"""`noisysim.load`: reads a result file, a study or a deployment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from noisysim.chip import storage as chip_files
from noisysim.runs import storage
from noisysim.runs.result import Result


def load(path: str | os.PathLike[str]) -> Any:
    """Read a file: the `Result` of a run, a `Study`, or a `Deployment`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is none of these.

    Examples
    --------
    >>> import noisysim
    >>> result = noisysim.run(device="crossbar", layers=[16], epochs=1, out="run.h5")
    >>> again = noisysim.load("run.h5")
    >>> bool((again.steps["train_loss"] == result.steps["train_loss"]).all())
    True
    """
    kind = storage.kind(path)
    if kind == "chip" and chip_files.beside(path, chip_files.DEPLOYMENT) is not None:
        from noisysim.runs.deployment import Deployment

        return Deployment.load(path)
    if kind == "study":
        from noisysim.studies.study import Study  # which needs the extra [sweep] no sooner

        return Study.load(path)
    return Result(storage.read(path), Path(path))
