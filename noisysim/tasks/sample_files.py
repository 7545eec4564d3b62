"""Samples in files, for a network that has learned a task: tables, NumPy's arrays, HDF5."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from noisysim.common import named_arrays
from noisysim.common.fields import PATH, listed, shown
from noisysim.common.texts import one_line
from noisysim.common.types import Array
from noisysim.tasks import tables
from noisysim.tasks.base import Task

NAMES = ("x", "x_test")
"""How the samples are called in a file of several arrays."""
ENDINGS = (*tables.SUFFIXES, ".npy", ".npz", ".safetensors", ".h5", ".hdf5")


def read(path: str | os.PathLike[str], task: Task) -> Array:
    """Samples, (samples, ...), in the units of a task's data.

    Parameters
    ----------
    path : path
        A table, whose columns are found by the names of the task's inputs, or are its inputs in their order; an array;
        or several, of which one is called x or x_test, or there is one alone.
    task : Task

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds no samples.
    """
    place, name = Path(path), os.fspath(path).lower()
    if not name.endswith(ENDINGS):
        raise ValueError(f"samples must be in a file {', '.join(ENDINGS)}, not {shown(str(place), PATH)}")
    if not place.is_file():
        raise FileNotFoundError(f"no file {shown(str(place), PATH)}")
    if name.endswith(tables.SUFFIXES):
        return tables.read_samples(os.fspath(path), task.columns)
    if name.endswith(".npy"):
        return _read_npy(place)
    return _the_samples(place, named_arrays.read(place) if name.endswith(named_arrays.FORMATS) else _read_hdf5(place))


def _the_samples(place: Path, arrays: dict[str, Array]) -> Array:
    """The array that holds the samples."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    for name in NAMES:
        if name in arrays:
            return arrays[name]
    raise ValueError(f"{place}: call the samples {' or '.join(NAMES)}; it holds {listed(arrays) or 'no arrays'}")


def _read_npy(place: Path) -> Array:
    try:
        with open(place, "rb") as file:
            array: Array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{place} is not a readable .npy file: {one_line(error)}") from None
    return array


def _read_hdf5(place: Path) -> dict[str, Array]:
    """The samples of an HDF5 file, or all its arrays if it has none of these names."""
    import h5py

    try:
        with h5py.File(place, "r") as file:
            datasets = [name for name in file if isinstance(file[name], h5py.Dataset)]
            wanted = [name for name in NAMES if name in datasets][:1] or datasets
            if len(wanted) > 1:
                return dict.fromkeys(wanted, np.empty(0))
            return {name: file[name][()] for name in wanted}
    except OSError as error:
        raise ValueError(f"{place}: not a readable HDF5 file ({one_line(error)})") from None
