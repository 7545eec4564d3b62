"""Decoded images in the user's cache folder: what took long to read is read fast the next time."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from noisysim.common.writing import drafted
from noisysim.tasks.base import Split

_NAMES = (("x_train", "y_train"), ("x_test", "y_test"))


def _crc(splits: list[Split]) -> int:
    crc = 0
    for split in splits:
        for array in split:
            crc = zlib.crc32(array.data, crc)
    return crc


def recall(path: Path, source: str) -> list[Split] | None:
    """The training and the test split that `keep` wrote for this source; ``None`` if there are none, or damaged."""
    import h5py

    splits = []
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["source"] != source:
                return None
            for names in _NAMES:
                arrays = [np.empty(file[name].shape, file[name].dtype) for name in names]
                for name, array in zip(names, arrays, strict=True):
                    file[name].read_direct(array)
                splits.append(Split(*arrays))
            intact = _crc(splits) == file.attrs["crc32"]
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError):  # what a damaged file can raise
        return None
    return splits if intact and all(map(_fits, splits)) else None


def _fits(split: Split) -> bool:
    """Whether a split is one of images: labels that no class has would be written outside the targets."""
    images, labels = split
    types = (images.dtype, labels.dtype) == (np.dtype(np.uint8), np.dtype(np.int64))
    return bool(types and images.ndim == 2 and labels.shape == (len(images),) and len(labels) and labels.min() >= 0)


def keep(path: Path, source: str, splits: list[Split]) -> None:
    """Write the splits to `path`, in one piece or not at all; a folder that cannot be written to is no error.

    Parameters
    ----------
    path : path
        An HDF5 file, written under another name and renamed.
    source : str
        What they were made of, to the version: `recall` asks for the same.
    splits : list of Split
        The training and the test split.
    """
    import h5py

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with drafted(path) as draft, h5py.File(draft, "w") as file:
            for names, split in zip(_NAMES, splits, strict=True):
                for name, array in zip(names, split, strict=True):
                    file[name] = array
            file.attrs.update(source=source, crc32=_crc(splits))
    except (OSError, RuntimeError):  # HDF5 raises either on a full disk
        pass
