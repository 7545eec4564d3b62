"""The result file: one HDF5 file per run, readable with plain h5py.

Layout (version 3)::

    /                      attributes format = "noisysim run", version, status, elapsed (seconds), and
                           reason if a callback ended the run
    /config                JSON text: every argument of the run, resolved
    /environment           JSON text: versions, backend, processor
    /warnings              JSON text: what the run noticed about itself
    /cost                  JSON text: passes, products, conversions, cells programmed, pulses
    /history/epoch/NAME    float64, one value per epoch
    /history/step/NAME     float64, one value per update
    /history/diagnostics/NAME  float64, (looks, layers): what was asked for; `update` has the updates done before each
    /state/PART/NAME       arrays from which the run is resumed, bit for bit (chip, learner, optimizer, progress), and
                           those by which its task standardises (task)

A file is written in one step and sealed (`noisysim.common.hdf5`); what is read is checked (`noisysim.runs.schema`).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.chip.storage import DEPLOYMENT
from noisysim.common import hdf5
from noisysim.common.types import Array
from noisysim.devices import records
from noisysim.runs import schema

if TYPE_CHECKING:
    from h5py import File

FORMAT, VERSION = "noisysim run", 3
RESUMABLE = ("running", "interrupted", "stopped")
"""Statuses of runs that `noisysim.resume` continues, unless a callback ended them."""


def is_cut_short(content: Mapping[str, Any]) -> bool:
    """Whether a run ended before it was complete, and can be resumed."""
    return content["status"] in RESUMABLE and not content.get("reason")


def write(place: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a result's content (see the module's layout) in one step.

    Parameters
    ----------
    place : path or noisysim.common.writing.Held
    content : mapping
    """
    with hdf5.replaced(place) as file:
        file.attrs.update(format=FORMAT, version=VERSION, status=content["status"], elapsed=content["elapsed"])
        if content.get("reason"):
            file.attrs["reason"] = content["reason"]
        for name in schema.TEXTS:
            file[name] = json.dumps(content[name], indent=1)
        for group, arrays in content["arrays"].items():
            for name, array in arrays.items():
                file.create_dataset(f"{group}/{name}", data=array)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The inverse of `write`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not a complete result file: in one line, with the part that is wrong.
    """
    with hdf5.opened(path, "result file") as file:
        content = _attributes(file)
        for name in schema.TEXTS:
            content[name] = schema.text(name, _text(file, name))
        content["config"]["device"] = records.completed(content["config"]["device"])
        content["arrays"] = _arrays(file)
        schema.arrays(content["arrays"], content["config"])
    return content


def _attributes(file: File) -> dict[str, Any]:
    """Status and time of a file that says it is a result."""
    if file.attrs.get("format") == "noisysim chip":
        if f"beside/{DEPLOYMENT}" in file:
            raise ValueError("it is of a deployment: noisysim.load reads it, Chip.load its exact chip")
        raise ValueError("it is a chip: noisysim.Chip.load reads it")
    if file.attrs.get("format") == "noisysim study":
        raise ValueError("it is a study of many runs: noisysim.load reads it")
    for name in ("format", "version", "status", "elapsed"):
        if name not in file.attrs:
            raise ValueError(f"no attribute {name!r}")
        if file.attrs.get_id(name).shape != ():
            raise ValueError(f"attribute {name!r} is not one value")
    if file.attrs["format"] != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    if file.attrs["version"] != VERSION:
        raise ValueError(f"it has layout version {file.attrs['version']}; this noisysim reads {VERSION}")
    status, elapsed = file.attrs["status"], file.attrs["elapsed"]
    if status not in schema.STATUSES:
        raise ValueError("its status is none of " + ", ".join(schema.STATUSES))
    if not isinstance(elapsed, (int, float, np.number)) or not 0 <= elapsed < math.inf:
        raise ValueError("its time is not a number of seconds")
    reason = file.attrs.get("reason", "")
    if not isinstance(reason, str):
        raise ValueError("attribute 'reason' is not a text")
    return {"status": status, "elapsed": float(elapsed), "reason": reason}


def _text(file: File, name: str) -> str:
    """One of a file's texts."""
    import h5py

    item = file.get(name)
    if not isinstance(item, h5py.Dataset) or item.shape != () or h5py.check_string_dtype(item.dtype) is None:
        raise ValueError(f"no text {name!r}")
    return str(item[()].decode())


def _arrays(file: File) -> dict[str, dict[str, Array]]:
    """The arrays of a file that are read, by group."""
    import h5py

    arrays: dict[str, dict[str, Array]] = {}

    def take(name: str, item: object) -> None:
        group, _, last = name.rpartition("/")
        if isinstance(item, h5py.Dataset) and schema.wants(group, last, item.dtype, item.shape):
            arrays.setdefault(group, {})[last] = item[()]

    file.visititems(take)
    return arrays


def kind(path: str | os.PathLike[str]) -> str:
    """What a file says it holds: "run", "study", or nothing that noisysim wrote."""
    import h5py

    path = hdf5.checked_path(path, "file")
    with contextlib.suppress(Exception):  # h5py has an error of nearly every type for a file that is damaged
        hdf5.check_bytes(path, "file")
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("format", "")).removeprefix("noisysim ")
    return ""


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The stored configuration of a result file."""
    config: dict[str, Any] = read(path)["config"]
    return config
