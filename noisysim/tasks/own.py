"""A user's own data: arrays, or an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from noisysim.common.fields import PATH, Field, shown
from noisysim.tasks.base import Split, Standardise, StandardiseTargets, Task, make, read_settings
from noisysim.tasks.rows import split_rows
from noisysim.tasks.targets import KINDS, read_targets
from noisysim.tasks.values import IMAGE_AXES, Values, as_images, far_origin, values

DEFAULTS: dict[str, Any] = {"layers": [64], "batch_size": 32, "epochs": 10}

NAMES = ("x_train", "y_train", "x_test", "y_test")
LARGEST_RATIO = 4096
"""Bytes of a dataset for each byte that the file stores of it: deflate packs 1032 into one."""


class OwnSettings(NamedTuple):
    """Settings of a user's own data."""

    standardise: Standardise = "global"
    standardise_targets: StandardiseTargets = False
    loss: Annotated[str, Field(choices=("auto", "cce", "mse"), doc="auto: cce for labels, mse for values")] = "auto"
    kind: Annotated[str, Field(choices=KINDS, doc="whether targets are labels or values; auto: by what they hold")] = (
        "auto"
    )
    axes: Annotated[
        str, Field(choices=IMAGE_AXES, doc="axes of images: channels before or after height and width; auto: by size")
    ] = "auto"


class _Read(NamedTuple):
    """Data as a task keeps them."""

    splits: list[Split]
    shape: tuple[int, ...]
    n_out: int
    origins: tuple[np.ndarray | None, np.ndarray | None]
    kind: str
    axes: str
    notes: list[str]


def _count_classes(targets: list[np.ndarray]) -> int:
    """Number of classes of labels 0 .. n - 1, every one of which occurs."""
    classes = np.unique(np.concatenate([np.unique(labels) for labels in targets]))
    if classes[-1] != len(classes) - 1:
        gap = int(np.flatnonzero(classes != np.arange(len(classes)))[0])
        raise ValueError(
            f"labels must be 0 to n - 1: there are {len(classes)} classes up to {classes[-1]}, but none is {gap} "
            "(numpy.unique(y, return_inverse=True) renumbers them)"
        )
    if len(classes) < 2:
        raise ValueError("labels must be of two classes or more, but all are 0")
    return len(classes)


def _read(arrays: Mapping[str, Any], settings: OwnSettings, seed: int) -> _Read:
    """Training and test split, and what was found out about them."""
    names = (("x", "y"),) if "x" in arrays else (NAMES[:2], NAMES[2:])
    inputs = [values(x, arrays[x]) for x, _ in names]
    targets = [values(y, arrays[y]) for _, y in names]
    for x, y in zip(inputs, targets, strict=True):
        if len(x.source.shape) < 2:
            raise ValueError(f"{x.name} must be (samples, inputs), not {x.source.shape}")
        if len(x) != len(y):
            raise ValueError(f"{x.name} has {len(x)} samples, {y.name} has {len(y)}")
    if len(inputs) == 1 and len(inputs[0]) < 2:
        raise ValueError("x and y hold 1 sample: at least 2 are needed, one to train and one to test on")
    inputs, axes, notes = _images(inputs, settings.axes)
    stored, shape, origin = _kept_inputs(inputs, settings.standardise)
    read = read_targets(targets, settings.kind, settings.standardise_targets)
    if read.labels and read.n_out == 0:
        read = read._replace(n_out=_count_classes(read.arrays))
    splits = [Split(*pair) for pair in zip(stored, read.arrays, strict=True)]
    notes += read.notes
    if origin is not None:
        notes.append(f"{inputs[0].name} is far from zero: centred before it was rounded to float32")
    if len(splits) == 1:
        splits, note = _split(splits[0], seed)
        notes.insert(0, note)
    kind = "classification" if read.labels else "regression"
    return _Read(splits, shape, read.n_out, (origin, read.origin), kind, axes, notes)


def _images(inputs: list[Values], axes: str) -> tuple[list[Values], str, list[str]]:
    """The inputs with the channels of images first: those to test on read as those to train on."""
    first, layout, notes = as_images(inputs[0], axes)
    rest = [as_images(part, layout)[0] for part in inputs[1:]] if len(first.source.shape) == 4 else inputs[1:]
    return [first, *rest], layout, notes


def _kept_inputs(inputs: list[Values], standardise: str) -> tuple[list[np.ndarray], tuple[int, ...], Any]:
    """Inputs as a task keeps them, the shape of a sample, and what was subtracted before they were rounded."""
    shapes = [part.shape for part in inputs]
    if shapes[0] != shapes[-1]:
        raise ValueError(f"a sample of x_train is {shapes[0]}, one of x_test {shapes[1]}")
    origin = None if standardise == "none" else far_origin(inputs[0], shared=standardise == "global")
    stored = [part.as_array(0.0 if origin is None else origin) for part in inputs]
    if stored[0].dtype != stored[-1].dtype:
        stored = [array.astype(np.float32) for array in stored]
    return stored, shapes[0], origin


def _split(data: Split, seed: int) -> tuple[list[Split], str]:
    """Training and test split of x and y, and the note that says so."""
    n = len(data.inputs)
    parts = split_rows(n, max(1, n // 5), seed)
    note = f"x and y split {len(parts[0])}/{len(parts[1])} by the permutation of seed {seed}"
    return [Split(data.inputs[rows], data.targets[rows]) for rows in parts], note


def from_arrays(arrays: Mapping[str, Any], settings: Mapping[str, Any], seed: int, name: str = "arrays") -> Task:
    """A task of x_train, y_train, x_test and y_test, or of x and y, of which a fifth becomes the test split.

    Parameters
    ----------
    arrays : mapping
        Inputs are (samples, inputs), or (samples, ...) to be flattened; images (samples, channels, height, width), or
        with the channels last. Targets are labels from 0 to n - 1, (samples,), or one-hot rows, (samples, classes):
        classification; or floats (samples,) or (samples, outputs): regression. Floats that are labels all the same
        are told by what they hold (`noisysim.tasks.targets.read_targets`).
    settings : mapping
        See `OwnSettings`.
    seed : int
        Draws the split of x and y.
    name : str
        What messages and results call it.

    Raises
    ------
    ValueError
        If shapes do not agree, an array is empty or holds NaN or infinity, or labels leave gaps.
    """
    checked = read_settings(name, OwnSettings, settings)
    try:
        read = _read(arrays, checked, seed)
        classes = read.kind == "classification"
        if checked.loss == "cce" and not classes:
            raise ValueError("the loss 'cce' needs labels, but the targets are values: take 'mse'")
        if checked.standardise_targets and classes:
            raise ValueError("standardise_targets is for target values, but the targets are labels")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    checked = checked._replace(kind=read.kind, axes=read.axes)
    if checked.loss == "auto":
        checked = checked._replace(loss="cce" if classes else "mse")
    return make(
        name, read.splits, checked, DEFAULTS, n_out=read.n_out, input_shape=read.shape, notes=read.notes,
        origins=read.origins,
    )  # fmt: skip


def from_tuple(arrays: tuple[Any, ...] | list[Any], settings: Mapping[str, Any], seed: int) -> Task:
    """A task of ``(x_train, y_train, x_test, y_test)`` or ``(x, y)``; see `from_arrays`."""
    names = {4: NAMES, 2: ("x", "y")}.get(len(arrays))
    if names is None:
        raise ValueError(f"arrays must be (x_train, y_train, x_test, y_test) or (x, y), not {len(arrays)} of them")
    return from_arrays(dict(zip(names, arrays, strict=True)), settings, seed)


def from_hdf5(path: str | os.PathLike[str], settings: Mapping[str, Any], seed: int) -> Task:
    """A task of an HDF5 file with the datasets x_train, y_train, x_test and y_test, or x and y.

    They are read into memory block by block, uint8 as they are, all other inputs as float32. See `from_arrays`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no HDF5 file, or lacks a dataset.
    """
    import h5py

    path = Path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no task file {shown(os.fspath(path), PATH)}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from None
    with file:
        datasets = sorted(key for key in file if isinstance(file[key], h5py.Dataset))
        names = ("x", "y") if "x" in datasets and "x_train" not in datasets else NAMES
        lacking = [key for key in names if key not in datasets]
        if lacking:
            raise ValueError(
                f"{path}: no dataset {', '.join(lacking)}; it holds {', '.join(datasets) or 'none'} "
                f"(a task is {', '.join(NAMES)}, or x, y)"
            )
        arrays = {key: _dataset(path, file[key]) for key in names}
        try:
            return from_arrays(arrays, settings, seed, name=os.fspath(path))
        except OSError as error:
            raise ValueError(f"{path}: a dataset cannot be read ({error})") from None


def _dataset(path: Path, dataset: Any) -> Any:
    """A dataset to be read later, refused if it claims more than the file can hold or has values missing."""
    key = dataset.name.lstrip("/")
    bytes_stored = dataset.id.get_storage_size()
    if not (dataset.is_virtual or dataset.external) and dataset.nbytes > LARGEST_RATIO * bytes_stored:
        raise ValueError(f"{path}: {key} claims {dataset.shape}, far more than the {bytes_stored:,} bytes stored of it")
    missing = dataset.attrs.get("_FillValue")  # netCDF's mark of a value that is not there
    if missing is not None and dataset.dtype.kind in "iuf":
        count = int((dataset[()] == missing).sum())
        if count:
            raise ValueError(f"{path}: {key} has {count:,} missing values (_FillValue): fill or leave them out first")
    return dataset
