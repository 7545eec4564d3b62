"""Studies asked for by files: what the command line takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from noisysim.common.writing import beside, check_apart
from noisysim.runs import config as configuration
from noisysim.runs import storage
from noisysim.studies import engine, needs
from noisysim.studies.cells import DEFAULTS
from noisysim.studies.study import Study


def read(path: Path) -> dict[str, Any]:
    """The arguments that a study file (TOML) or a study holds."""
    if storage.kind(path) != "study":
        return configuration.read(path, [*DEFAULTS, "retention"])
    arguments = Study.load(path).arguments
    if arguments["task"] == "arrays":
        raise ValueError(f"{path} learned arrays that it does not hold: call noisysim.sweep with them again")
    return arguments


def sweep(path: Path, *, out: Path | None, **options: Any) -> Study:
    """Run the study that a file asks for; a study's own file is resumed."""
    target = path if out is None and storage.kind(path) == "study" else apart(path, out, ".h5")
    return engine.sweep(**read(path), out=target, **options)


def apart(path: Path, out: Path | None, ending: str) -> Path:
    """Where to write what a file asks for: beside it, or where `out` says, if that is not the text itself."""
    if out is not None and storage.kind(path) != "study":
        check_apart(out, {"the study file": path})
    return out or beside(path, ending)


@contextlib.contextmanager
def client(scheduler: str | None) -> Iterator[Any]:
    """A client of the Dask scheduler at an address or named by a scheduler file; ``None`` without one."""
    if scheduler is None:
        yield None
        return
    named = {"scheduler_file": scheduler} if scheduler.endswith(".json") else {"address": scheduler}
    with needs.distributed().Client(**named, set_as_default=False) as connected:
        yield connected
