"""Files of named arrays: ``.npz`` of NumPy, and ``.safetensors``.

Nothing in them is executed: of ``.npz`` files objects (pickles) are refused, and a ``.safetensors`` file is a table of
contents in JSON before plain bytes (https://huggingface.co/docs/safetensors). It is read and written here, not by the
library of that name: it takes a page, bfloat16, which NumPy lacks, becomes float32, and every installation has it.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.common import writing
from noisysim.common.fields import PATH, listed, shown
from noisysim.common.texts import one_line
from noisysim.common.types import Array

FORMATS = (".npz", ".safetensors")
_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
"""What NumPy calls the types of a safetensors file."""
_BFLOAT16 = "BF16"
_LONGEST_HEADER = 100_000_000
"""Bytes, as the format has it."""


def check_name(path: str | os.PathLike[str]) -> Path:
    """A path whose ending says how named arrays are stored there, or the one clear error."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"a file of named arrays is given by its path, not by {shown(path)}")
    place = Path(path)
    if place.suffix.lower() not in FORMATS:
        raise ValueError(f"a file of named arrays ends in {' or '.join(FORMATS)}, not {shown(str(place), PATH)}")
    return place


def read(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a file, by name, in the file's order.

    Parameters
    ----------
    path : path
        Of a ``.npz`` or ``.safetensors`` file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If its name has another ending, or it does not hold what it declares, or objects; in one line.
    """
    place = check_name(path)
    if not place.is_file():
        raise FileNotFoundError(f"no file {shown(str(place), PATH)}")
    reader = _read_npz if place.suffix.lower() == ".npz" else _read_safetensors
    try:
        return reader(place)
    except (ValueError, KeyError, TypeError, EOFError, OverflowError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(f"{place} is not a readable {place.suffix.lower()} file: {one_line(error)}") from None


def write(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write arrays under their names, in one step; the path's ending says how (`FORMATS`)."""
    place = check_name(path)
    image = io.BytesIO()
    if place.suffix.lower() == ".npz":
        np.savez(image, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    else:
        _write_safetensors(image, arrays)
    writing.replace(place, image.getbuffer())


def _read_npz(place: Path) -> dict[str, Array]:
    with open(place, "rb") as file:
        if file.read(2) != b"PK":
            raise ValueError("it is no archive of arrays")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            return {name: _native(archive[name]) for name in archive.files}


def _read_safetensors(place: Path) -> dict[str, Array]:
    content = memoryview(place.read_bytes())
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, _LONGEST_HEADER):
        raise ValueError(f"it is {len(content):,} bytes long, too short for its table of contents")
    header = json.loads(bytes(content[8 : 8 + length]))
    if not isinstance(header, dict):
        raise ValueError("its table of contents is no table")
    data = content[8 + length :]
    return {name: _tensor(name, entry, data) for name, entry in header.items() if name != "__metadata__"}


def _tensor(name: str, entry: Mapping[str, Any], data: memoryview) -> Array:
    """One array of a safetensors file; bfloat16 as float32, of which it is the upper half."""
    kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in (*_TYPES, _BFLOAT16):
        raise ValueError(f"{shown(name)} has the type {shown(kind)}, which NumPy lacks (known: {listed(_TYPES)})")
    if not all(type(n) is int and n >= 0 for n in (*shape, first, last)):
        raise ValueError(f"{shown(name)} has the shape {shown(shape)} at bytes {shown((first, last))}")
    dtype = np.dtype(_TYPES.get(kind, "<u2"))
    if last > len(data) or last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{shown(name)} declares the shape {shown(shape)}, which its bytes {first}:{last} do not fill")
    values: Array = np.frombuffer(data[first:last], dtype).reshape(shape)
    if kind == _BFLOAT16:
        values = np.left_shift(values, 16, dtype=np.uint32).view(np.float32)
    return _native(values)


def _native(array: Array) -> Array:
    """A copy in the byte order of this machine."""
    return np.array(array, array.dtype.newbyteorder("="))


def _write_safetensors(image: io.BytesIO, arrays: Mapping[str, Array]) -> None:
    names = {np.dtype(code): kind for kind, code in _TYPES.items()}
    header: dict[str, Any] = {}
    parts, at = [], 0
    for name, array in arrays.items():
        values = np.ascontiguousarray(array)
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        end = at + values.nbytes
        header[name] = {"dtype": names[values.dtype], "shape": list(np.shape(array)), "data_offsets": [at, end]}
        parts.append(values.tobytes())
        at = end
    table = json.dumps(header).encode()
    table += b" " * (-len(table) % 8)  # so that the data are aligned
    image.write(len(table).to_bytes(8, "little") + table)
    for part in parts:
        image.write(part)
