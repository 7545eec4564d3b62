"""The result file: one HDF5 file a run, readable with plain h5py.

Layout (version 3)::

    /                      attributes format = "noisysim run", version, status, elapsed (seconds)
    /config                JSON text: every argument of the run, resolved
    /environment           JSON text: versions, backend, processor
    /warnings              JSON text: what the run noticed about itself
    /cost                  JSON text: passes, products, conversions, cells programmed, pulses
    /history/epoch/NAME    float64, one value an epoch
    /history/step/NAME     float64, one value an update
    /history/diagnostics/NAME  float64, (looks, layers): what was asked for; `update` has the updates done before each
    /state/PART/NAME       arrays from which the run goes on, bit for bit (chip, learner, optimizer, progress)

A file is written whole under another name, flushed to the disk and renamed: a crash leaves the last whole one.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.history import EPOCH, STEP

FORMAT, VERSION = "noisysim run", 3


def check_writable(path: Path, overwrite: bool) -> None:
    """Refuse a path that cannot be written, before any work."""
    if path.exists() and not path.is_file():
        raise ValueError(f"cannot write {str(path)!r}: it is not a file")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists: give another path, resume it (noisysim resume {path}), or say overwrite=True"
        )
    draft = _draft(path)
    if not draft.parent.is_dir():
        raise FileNotFoundError(f"cannot write {str(path)!r}: there is no folder {draft.parent}")
    try:
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise type(error)(f"cannot write {str(path)!r}: {error.strerror}") from None


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a result's content (see the module's layout) in one step."""
    with replaced(path) as file:
        file.attrs.update(format=FORMAT, version=VERSION, status=content["status"], elapsed=content["elapsed"])
        for name in ("config", "environment", "warnings", "cost"):
            file[name] = json.dumps(content[name], indent=1)
        for group, arrays in content["arrays"].items():
            for name, array in arrays.items():
                file.create_dataset(f"{group}/{name}", data=array)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Any]:
    """A new HDF5 file that takes the place of `path`, in one step, once the block has filled it."""
    import h5py

    draft = _draft(path)
    try:
        with h5py.File(draft, "w") as file:
            yield file
            file.flush()
        with open(draft, "rb") as whole:
            os.fsync(whole.fileno())
        draft.replace(path.resolve())
        for left in draft.parent.glob(f".{path.resolve().name}.*.part"):
            left.unlink(missing_ok=True)  # by a process that was killed while it wrote
    finally:
        draft.unlink(missing_ok=True)


def _draft(path: Path) -> Path:
    """The file that becomes `path` when it is whole: beside it, or beside what a link points to."""
    path = path.resolve()
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The inverse of `write`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not a whole result file.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no result file {path}")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"{path} is not a noisysim result file")
            if file.attrs["version"] != VERSION:
                raise ValueError(f"{path} has layout version {file.attrs['version']}; this noisysim reads {VERSION}")
            content: dict[str, Any] = {"status": file.attrs["status"], "elapsed": float(file.attrs["elapsed"])}
            for name in ("config", "environment", "warnings", "cost"):
                content[name] = json.loads(file[name][()])
            arrays: dict[str, dict[str, np.ndarray]] = {}

            def take(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset) and "/" in name:
                    group, _, last = name.rpartition("/")
                    arrays.setdefault(group, {})[last] = item[()]

            file.visititems(take)
            for group, columns in (("history/epoch", EPOCH), ("history/step", STEP)):
                if missing := set(columns) - set(arrays.get(group, ())):
                    raise ValueError(f"{path} is not a whole noisysim result file (no {group}/{min(missing)})")
            content["arrays"] = arrays
    except (OSError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a whole noisysim result file ({error})") from None
    return content


def kind(path: str | os.PathLike[str]) -> str:
    """What a file says it holds: "run", "study", or nothing that noisysim wrote."""
    import h5py

    with contextlib.suppress(OSError), h5py.File(path, "r") as file:
        return str(file.attrs.get("format", "")).removeprefix("noisysim ")
    return ""


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The stored configuration of a result file."""
    return read(path)["config"]
