"""A user's own data: arrays, or an HDF5 file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from noisysim.fields import Field
from noisysim.tasks.base import Split, Standardise, StandardiseTargets, Task, make, read_settings, split_rows

DEFAULTS: dict[str, Any] = {"layers": [64], "batch_size": 32, "epochs": 10}

NAMES = ("x_train", "y_train", "x_test", "y_test")


class OwnSettings(NamedTuple):
    """Settings of a user's own data."""

    standardise: Standardise = "global"
    standardise_targets: StandardiseTargets = False
    loss: Annotated[str, Field(choices=("auto", "cce", "mse"), doc="auto: cce for labels, mse for values")] = "auto"


def _numbers(name: str, values: Any) -> np.ndarray:
    """`values` as an array of numbers with samples in it, or the one clear error."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {array.dtype} of shape {array.shape}")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    return array


def _values(name: str, array: np.ndarray) -> np.ndarray:
    """The array as (n, columns): uint8 stays, the rest becomes float32; neither NaN nor infinity is let through."""
    dtype = np.uint8 if array.dtype == np.uint8 else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.require(array.reshape(len(array), -1), dtype, ["C", "A", "W"])
        finite = math.isfinite(array.sum(dtype=np.float64))
    if not finite:
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"{name} holds NaN, infinite or too large values (first in row {row})")
    return array


def _targets(name: str, array: np.ndarray) -> np.ndarray:
    """Labels as int64 (n,), target values as float32 (n, n_out)."""
    if array.dtype.kind == "f":
        if array.ndim > 2:
            raise ValueError(f"{name} must be (samples,) or (samples, outputs), not {array.shape}")
        return _values(name, array.astype(np.float32, copy=False))
    if array.ndim != 1:
        raise ValueError(
            f"{name} holds whole numbers of shape {array.shape}: labels must be (samples,), values to fit must be float"
        )
    if array.min() < 0:
        raise ValueError(f"{name} holds the label {array.min()}: labels are 0 to n - 1")
    return array.astype(np.int64)


def _split(names: tuple[str, str], x: Any, y: Any) -> tuple[Split, tuple[int, ...]]:
    """One split and the layout of a sample's inputs."""
    inputs, targets = _numbers(names[0], x), _numbers(names[1], y)
    if inputs.ndim < 2:
        raise ValueError(f"{names[0]} must be (samples, inputs), not {inputs.shape}")
    if len(inputs) != len(targets):
        raise ValueError(f"{names[0]} has {len(inputs)} samples, {names[1]} has {len(targets)}")
    return Split(_values(names[0], inputs), _targets(names[1], targets)), inputs.shape[1:]


def _count_classes(targets: list[np.ndarray]) -> int:
    """Number of classes of labels 0 .. n - 1, every one of which occurs."""
    found = np.unique(np.concatenate([np.unique(labels) for labels in targets]))
    if found[-1] != len(found) - 1:
        gap = int(np.flatnonzero(found != np.arange(len(found)))[0])
        raise ValueError(
            f"labels must be 0 to n - 1: there are {len(found)} classes up to {found[-1]}, but none is {gap} "
            "(numpy.unique(y, return_inverse=True) renumbers them)"
        )
    if len(found) < 2:
        raise ValueError("labels must be of two classes or more, but all are 0")
    return len(found)


def _kind(targets: np.ndarray) -> str:
    return "labels" if targets.ndim == 1 else f"{targets.shape[1]} values a sample"


def _splits(arrays: Mapping[str, Any], seed: int) -> tuple[Split, Split, tuple[int, ...], list[str]]:
    """Training and test split, the layout of a sample's inputs, and the notes."""
    if "x" in arrays:
        data, shape = _split(("x", "y"), arrays["x"], arrays["y"])
        n = len(data.inputs)
        if n < 2:
            raise ValueError("x and y hold 1 sample: at least 2 are needed, one to train and one to test on")
        parts = split_rows(n, max(1, n // 5), seed)
        train, test = (Split(data.inputs[rows], data.targets[rows]) for rows in parts)
        return train, test, shape, [f"x and y split {len(parts[0])}/{len(parts[1])} by the permutation of seed {seed}"]
    train, shape = _split(("x_train", "y_train"), arrays["x_train"], arrays["y_train"])
    test, test_shape = _split(("x_test", "y_test"), arrays["x_test"], arrays["y_test"])
    if shape != test_shape:
        raise ValueError(f"a sample of x_train is {shape}, one of x_test {test_shape}")
    if train.inputs.dtype != test.inputs.dtype:
        train, test = (Split(split.inputs.astype(np.float32), split.targets) for split in (train, test))
    if train.targets.shape[1:] != test.targets.shape[1:]:
        raise ValueError(f"y_train holds {_kind(train.targets)}, y_test {_kind(test.targets)}")
    return train, test, shape, []


def from_arrays(arrays: Mapping[str, Any], given: Mapping[str, Any], seed: int, name: str = "arrays") -> Task:
    """A task of x_train, y_train, x_test and y_test, or of x and y, of which a fifth becomes the test split.

    Parameters
    ----------
    arrays : mapping
        Inputs are (samples, inputs), or (samples, ...) to be flattened. Targets are whole-number labels (samples,)
        from 0 to n - 1 (classification), or floats (samples,) or (samples, outputs) (regression).
    given : mapping
        Settings, see `OwnSettings`.
    seed : int
        Draws the split of x and y.
    name : str
        What messages and results call it.

    Raises
    ------
    ValueError
        If shapes do not agree, an array is empty or holds NaN or infinity, or labels leave gaps.
    """
    settings = read_settings(name, OwnSettings, given)
    try:
        train, test, shape, notes = _splits(arrays, seed)
        classes = train.targets.ndim == 1
        n_out = _count_classes([train.targets, test.targets]) if classes else 0
        if settings.loss == "cce" and not classes:
            raise ValueError("the loss 'cce' needs labels, but the targets are values: take 'mse'")
        if settings.standardise_targets and classes:
            raise ValueError("standardise_targets is for target values, but the targets are labels")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if settings.loss == "auto":
        settings = settings._replace(loss="cce" if classes else "mse")
    return make(name, [train, test], settings, DEFAULTS, n_out=n_out, input_shape=shape, notes=notes)


def from_tuple(arrays: tuple | list, given: Mapping[str, Any], seed: int) -> Task:
    """A task of ``(x_train, y_train, x_test, y_test)`` or ``(x, y)``; see `from_arrays`."""
    names = {4: NAMES, 2: ("x", "y")}.get(len(arrays))
    if names is None:
        raise ValueError(f"arrays must be (x_train, y_train, x_test, y_test) or (x, y), not {len(arrays)} of them")
    return from_arrays(dict(zip(names, arrays, strict=True)), given, seed)


def from_hdf5(path: str | os.PathLike, given: Mapping[str, Any], seed: int) -> Task:
    """A task of an HDF5 file with the datasets x_train, y_train, x_test and y_test, or x and y.

    They are read into memory: uint8 and whole numbers as they are, floats as float32. See `from_arrays`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no HDF5 file, or lacks a dataset.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no task file {os.fspath(path)!r}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not a readable HDF5 file ({error})") from None
    with file:
        held = sorted(key for key in file if isinstance(file[key], h5py.Dataset))
        names = ("x", "y") if "x" in held and "x_train" not in held else NAMES
        lacking = [key for key in names if key not in held]
        if lacking:
            raise ValueError(
                f"{path}: no dataset {', '.join(lacking)}; it holds {', '.join(held) or 'none'} "
                f"(a task is {', '.join(NAMES)}, or x, y)"
            )
        arrays = {}
        for key in names:
            dataset = file[key]
            try:
                arrays[key] = (dataset.astype(np.float32) if dataset.dtype.kind == "f" else dataset)[()]
            except OSError as error:
                raise ValueError(f"{path}: the dataset {key} cannot be read ({error})") from None
    return from_arrays(arrays, given, seed, name=os.fspath(path))
