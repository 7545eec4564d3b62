"""A user's own data: arrays, or an HDF5 file. Tables of columns become arrays in `noisysim.tasks.tables`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.fields import PATH, shown
from noisysim.tasks.base import Split, Task, make, read_settings
from noisysim.tasks.frames import as_array, is_frame
from noisysim.tasks.labels import check_trained
from noisysim.tasks.own_settings import OwnSettings, TableSettings
from noisysim.tasks.rows import split_note, split_rows
from noisysim.tasks.targets import Targets, read_targets
from noisysim.tasks.values import Values, as_images, far_origin, values

DEFAULTS: dict[str, Any] = {"layers": [64], "batch_size": 32, "epochs": 10}

NAMES = ("x_train", "y_train", "x_test", "y_test")
STANDARDISED = (
    "target values are standardised, and the loss is of these (standardise_targets=False fits them as they are)"
)
LARGEST_RATIO = 4096
"""Bytes of a dataset for each byte that the file stores of it: deflate packs 1032 into one."""


class _Read(NamedTuple):
    """Data as a task keeps them."""

    splits: list[Split]
    shape: tuple[int, ...]
    targets: Targets
    origins: tuple[np.ndarray | None, np.ndarray | None]
    axes: str
    notes: list[str]


def _read(
    arrays: Mapping[str, Any], settings: OwnSettings | TableSettings, seed: int, titles: Mapping[str, str]
) -> _Read:
    """Training and test split, and what was found out about them."""
    names = (("x", "y"),) if "x" in arrays else (NAMES[:2], NAMES[2:])
    inputs = [values(titles.get(x, x), arrays[x]) for x, _ in names]
    for x in inputs:
        if len(x.source.shape) < 2:
            raise ValueError(f"{x.name} must be (samples, inputs), not {x.source.shape}")
    if len(inputs) == 1 and len(inputs[0]) < 2:
        raise ValueError("there is 1 sample: at least 2 are needed, one to train and one to test on")
    targets = read_targets(
        [(titles.get(y, y), arrays[y]) for _, y in names],
        settings.kind,
        settings.standardise_targets,
        settings.missing == "auto",
    )
    for (_, name), x, y in zip(names, inputs, targets.arrays, strict=True):
        if len(x) != len(y):
            raise ValueError(f"{x.name} has {len(x)} samples, {titles.get(name, name)} has {len(y)}")
    inputs, axes, notes = _images(inputs, getattr(settings, "axes", "auto"))
    is_moved = bool(getattr(settings, "shift", 0) or getattr(settings, "mirror", False))
    stored, shape, origin = _kept_inputs(inputs, settings.standardise, is_moved)
    splits = [Split(*pair) for pair in zip(stored, targets.arrays, strict=True)]
    notes += targets.notes
    if origin is not None:
        notes.append(f"{inputs[0].name} is far from zero: centred before it was rounded to float32")
    drawn = len(splits) == 1
    if drawn:
        splits, note = _split(splits[0], seed)
        notes.insert(0, note)
    if targets.labels:
        notes += check_trained(splits[0].targets, splits[1].targets, targets.n_out, targets.classes, drawn)
    return _Read(splits, shape, targets, (origin, targets.origin), axes, notes)


def _images(inputs: list[Values], axes: str) -> tuple[list[Values], str, list[str]]:
    """The inputs with the channels of images first: those to test on read as those to train on."""
    first, layout, notes = as_images(inputs[0], axes)
    rest = [as_images(part, layout)[0] for part in inputs[1:]] if len(first.source.shape) == 4 else inputs[1:]
    return [first, *rest], layout, notes


def _kept_inputs(
    inputs: list[Values], standardise: str, is_moved: bool
) -> tuple[list[np.ndarray], tuple[int, ...], Any]:
    """Inputs as a task keeps them, the shape of a sample, and what was subtracted before they were rounded.

    Of images that are shifted or mirrored the same from all pixels, which take each other's places.
    """
    shapes = [part.shape for part in inputs]
    if shapes[0] != shapes[-1]:
        raise ValueError(f"a sample of x_train is {shapes[0]}, one of x_test {shapes[1]}")
    shared = standardise == "global" or is_moved
    origin = None if standardise == "none" else far_origin(inputs[0], shared)
    stored = [part.as_array(0.0 if origin is None else origin) for part in inputs]
    if stored[0].dtype != stored[-1].dtype:
        stored = [array.astype(np.float32) for array in stored]
    return stored, shapes[0], origin


def _split(data: Split, seed: int) -> tuple[list[Split], str]:
    """Training and test split of x and y, and the note that says so."""
    n = len(data.inputs)
    parts = split_rows(n, max(1, n // 5), seed)
    note = split_note(len(parts[0]), len(parts[1]), seed)
    return [Split(data.inputs[rows], data.targets[rows]) for rows in parts], note


def from_arrays(arrays: Mapping[str, Any], settings: Mapping[str, Any], seed: int, name: str = "arrays") -> Task:
    """A task of x_train, y_train, x_test and y_test, or of x and y, of which a fifth becomes the test split.

    Parameters
    ----------
    arrays : mapping
        Inputs are (samples, inputs), or (samples, ...) to be flattened; images (samples, channels, height, width), or
        with the channels last. Targets are labels, (samples,), text, switches or whole numbers, or one-hot rows,
        (samples, classes): classification; or floats (samples,) or (samples, outputs): regression. Floats that are
        labels all the same are told by what they hold (`noisysim.tasks.targets.read_targets`).
    settings : mapping
        See `OwnSettings`.
    seed : int
        Draws the split of x and y.
    name : str
        What messages and results call it.

    Raises
    ------
    ValueError
        If shapes do not agree, an array is empty or holds NaN or infinity, or a label is in the test split alone.
    """
    return made(name, arrays, read_settings(name, OwnSettings, settings), seed)


def made(
    name: str,
    arrays: Mapping[str, Any],
    settings: OwnSettings | TableSettings,
    seed: int,
    *,
    notes: Sequence[str] = (),
    titles: Mapping[str, str] | None = None,
    columns: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Task:
    """The task of arrays, with settings that are checked.

    Parameters
    ----------
    name, arrays, seed
        See `from_arrays`.
    settings : OwnSettings or TableSettings
    notes : sequence of str
        What else has to be known about the data.
    titles : mapping
        What messages call the arrays, by name.
    columns : sequence of str
        Names of the inputs.
    outputs : sequence of str
        Names of the columns of targets: if these are one-hot, they are the classes.
    """
    try:
        read = _read(arrays, settings, seed, titles or {})
        targets = read.targets
        if settings.loss == "cce" and not targets.labels:
            raise ValueError("the loss 'cce' needs labels, but the targets are values: take 'mse'")
        if settings.standardise_targets and targets.labels:
            raise ValueError("standardise_targets is for target values, but the targets are labels")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    classes = tuple(outputs) if targets.labels and len(outputs) > 1 else targets.classes
    standardised = not targets.labels and settings.standardise_targets is not False
    all_notes = [*notes, *read.notes]
    if standardised and settings.standardise_targets is None:
        all_notes.append(STANDARDISED)
    settled: dict[str, Any] = {
        "kind": "classification" if targets.labels else "regression",
        "axes": read.axes,
        "loss": ("cce" if targets.labels else "mse") if settings.loss == "auto" else settings.loss,
        "standardise_targets": standardised,
    }
    return make(
        name, read.splits, settings._replace(**{k: v for k, v in settled.items() if k in settings._fields}), DEFAULTS,
        n_out=targets.n_out, input_shape=read.shape, notes=all_notes, origins=read.origins, classes=classes,
        columns=columns, seed=seed,
    )  # fmt: skip


def from_tuple(arrays: tuple[Any, ...] | list[Any], settings: Mapping[str, Any], seed: int) -> Task:
    """A task of ``(x_train, y_train, x_test, y_test)`` or ``(x, y)``; see `from_arrays`."""
    names = {4: NAMES, 2: ("x", "y")}.get(len(arrays))
    if names is None:
        raise ValueError(f"arrays must be (x_train, y_train, x_test, y_test) or (x, y), not {len(arrays)} of them")
    given: dict[str, Any] = {}
    columns: dict[str, list[str]] = {}
    try:
        for name, array in zip(names, arrays, strict=True):
            given[name], columns[name] = as_array(name, array, like=columns.get(name.replace("test", "train"), ()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"arrays: {error}") from None
    if is_frame(arrays[0]):  # its columns are of different kinds
        settings = {"standardise": "feature", **settings}
    checked = read_settings("arrays", OwnSettings, settings)
    return made("arrays", given, checked, seed, columns=columns[names[0]], outputs=columns[names[1]])


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
