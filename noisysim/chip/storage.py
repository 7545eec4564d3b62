"""The file of a chip: HDF5, written in one step and sealed (`noisysim.common.hdf5`), checked when read.

Layout (version 1)::

    /               attributes format = "noisysim chip", version
    /chip           JSON text: what the chip was made from (`noisysim.chip.origin.Origin.plain`)
    /state/NAME     arrays: what its cells, its periphery, its clock and its counters hold
    /beside/NAME    texts, perhaps: what goes with the chip, such as a deployment (`noisysim.runs.deployment`)

What follows from the seed, such as each cell's own fabrication, is not in it: it is drawn again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from noisysim.chip import origin
from noisysim.common import hdf5, writing
from noisysim.common.fields import PATH, shown
from noisysim.common.plain_arrays import REAL
from noisysim.common.types import Array
from noisysim.devices import records

FORMAT, VERSION = "noisysim chip", 1
ENDINGS = (".h5", ".hdf5")
DEPLOYMENT = "deployment"
"""The name, beside the exact chip, of what a deployment found."""


def write(
    path: str | os.PathLike[str], record: Mapping[str, Any], arrays: Mapping[str, Array], overwrite: bool,
    others: Mapping[str, str],
) -> None:  # fmt: skip
    """Write a chip in one step, and texts beside it, by name."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"a chip is saved under a path, not {shown(path)}")
    if os.path.splitext(path)[1].lower() not in ENDINGS:
        raise ValueError(
            f"a chip is saved as HDF5: its file ends in {' or '.join(ENDINGS)}, not {shown(str(path), PATH)}"
        )
    with writing.hold(path, overwrite) as held, hdf5.replaced(held) as file:
        file.attrs.update(format=FORMAT, version=VERSION)
        file["chip"] = json.dumps(record, indent=1)
        for name, array in arrays.items():
            file.create_dataset(f"state/{name}", data=array)
        for name, text in others.items():
            file[f"beside/{name}"] = text


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The inverse of `write`: record and arrays.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no chip's, in one line.
    """
    with hdf5.opened(path, "chip file") as file:
        kind = str(file.attrs.get("format", "nothing that noisysim wrote"))
        if kind == "noisysim run":
            raise ValueError("it is the result of a run: noisysim.load(path).chip() is its chip")
        if kind != FORMAT:
            raise ValueError(f"it is {kind}")
        if file.attrs.get("version") != VERSION:
            raise ValueError(f"it has layout version {file.attrs.get('version')}; this noisysim reads {VERSION}")
        record = json.loads(file["chip"][()])
        origin.check(record)
        record["device"] = records.completed(record["device"])
        for name, item in file["state"].items():
            if item.dtype.kind not in REAL:
                raise ValueError(f"state/{name} must be an array of numbers, not {item.dtype}")
        arrays = {name: item[()] for name, item in file["state"].items()}
    return record, arrays


def beside(path: str | os.PathLike[str], name: str) -> str | None:
    """A text that goes with the chip of a file; ``None`` where there is none."""
    with hdf5.opened(path, "chip file") as file:
        item = file.get(f"beside/{name}")
        return None if item is None else item[()].decode()
