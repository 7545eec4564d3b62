"""Targets of a user's own data: labels, or values to be fitted, told apart by what they hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noisysim.tasks.values import Values, far_origin

KINDS = ("auto", "classification", "regression")
MOST_CLASSES = 100
"""Floats that are whole numbers 0 to n - 1 are taken for labels of up to this many classes"""
SAMPLES_A_CLASS = 5
"""if there are as many samples of each on average."""


class Targets(NamedTuple):
    """Targets as a task keeps them.

    Attributes
    ----------
    arrays : list of numpy.ndarray
        int64 (n,) labels, or float32 (n, n_out) values, a split each.
    labels : bool
    n_out : int
        Classes of one-hot rows; 0 where they have yet to be counted.
    origin : numpy.ndarray or None
        What was subtracted from values before they were rounded, (n_out,) float64.
    notes : list of str
    """

    arrays: list[np.ndarray]
    labels: bool
    n_out: int = 0
    origin: np.ndarray | None = None
    notes: list[str] = []  # noqa: RUF012  (never changed)


def read_targets(splits: list[Values], kind: str, standardise: bool) -> Targets:
    """The targets of one split or of two.

    Whole numbers are labels, and so are one-hot rows, in any type of number. Floats are values to be fitted, unless
    they are whole numbers 0 to n - 1 that all occur, of 2 to `MOST_CLASSES` classes with `SAMPLES_A_CLASS` samples each
    on average: labels, read from a text file or a table.

    Parameters
    ----------
    splits : list of Values
    kind : {"auto", "classification", "regression"}
    standardise : bool
        Whether values are to be standardised: then floats are values.

    Raises
    ------
    ValueError
        If they have another shape, or cannot be what `kind` asks for.
    """
    names = " and ".join(split.name for split in splits)
    for split in splits:
        if len(split.source.shape) > 2:
            raise ValueError(f"{split.name} must be (samples,) or (samples, outputs), not {split.source.shape}")
    if kind == "regression":
        return _as_values(splits, standardise)
    integer = [split.source.dtype.kind in "biu" for split in splits]
    guess = kind == "classification" or any(integer) or not standardise
    hot = [labels for split in splits if guess and (labels := _one_hot(split)) is not None]
    if len(hot) == len(splits) and len({split.shape for split in splits}) == 1:
        width = splits[0].shape[0]
        return Targets(hot, True, width, None, [_note(names, f"one-hot rows of {width} classes")])
    columns = [column for split in splits if (column := _whole_numbers(split)) is not None]
    all_whole = len(columns) == len(splits)
    if all_whole and guess and (any(integer) or kind == "classification" or _look_like_labels(columns)):
        return _as_labels(splits, columns, integer, names)
    if kind == "classification" or any(integer):
        raise _refusal(splits, kind)
    targets = _as_values(splits, standardise)
    if all_whole and guess and (count := np.unique(np.concatenate(columns)).size) <= MOST_CLASSES:
        note = f"{names}: floats of {count} whole numbers, fitted as values; as labels they would be 0 to n - 1"
        targets = targets._replace(notes=[note])
    return targets


def _note(names: str, read_as: str) -> str:
    return f"{names}: {read_as}, read as labels (kind='regression' fits them as values)"


def _as_labels(splits: list[Values], columns: list[np.ndarray], integer: list[bool], names: str) -> Targets:
    for split, column in zip(splits, columns, strict=True):
        if column.min() < 0:
            raise ValueError(f"{split.name} holds the label {column.min()}: labels are 0 to n - 1")
    flat = all(len(split.source.shape) == 1 for split in splits)
    how = "whole numbers in a column" if all(integer) else "floats that are whole numbers"
    return Targets(columns, True, 0, None, [] if all(integer) and flat else [_note(names, how)])


def _as_values(splits: list[Values], standardise: bool) -> Targets:
    """Values to be fitted; those far from zero are centred before they are rounded, if they are to be standardised."""
    widths = [split.shape[0] for split in splits]
    if widths[0] != widths[-1]:
        raise ValueError(f"y_train holds {widths[0]} values per sample, y_test {widths[1]} values per sample")
    origin = far_origin(splits[0], shared=False) if standardise else None
    arrays = [split.as_array(0.0 if origin is None else origin).astype(np.float32, copy=False) for split in splits]
    return Targets(arrays, False, origin=origin)


def _one_hot(split: Values) -> np.ndarray | None:
    """Where each row has its 1, if all else is 0; else ``None``."""
    if len(split.source.shape) != 2 or split.shape[0] < 2:
        return None
    labels = np.empty(len(split), np.int64)
    for rows, block in split.blocks():
        ones = block == 1
        if not (ones | (block == 0)).all() or not (ones.sum(axis=1) == 1).all():
            return None
        labels[rows] = ones.argmax(axis=1)
    return labels


def _whole_numbers(split: Values) -> np.ndarray | None:
    """A column of whole numbers as int64, (n,); else ``None``."""
    if split.shape != (1,):
        return None
    column = split.rows(0, len(split)).reshape(-1)
    with np.errstate(invalid="ignore"):
        is_whole = column.dtype.kind in "biu" or bool(((np.abs(column) < 2**53) & (column == np.rint(column))).all())
    return column.astype(np.int64) if is_whole else None


def _look_like_labels(columns: list[np.ndarray]) -> bool:
    """Whether whole numbers are labels by all appearances."""
    labels = np.unique(np.concatenate(columns))
    samples = sum(map(len, columns))
    complete = labels[0] == 0 and labels[-1] == labels.size - 1
    return bool(complete and 2 <= labels.size <= MOST_CLASSES and samples >= SAMPLES_A_CLASS * labels.size)


def _refusal(splits: list[Values], kind: str) -> ValueError:
    """What keeps targets from being labels."""
    meanings = []
    for split in splits:
        shape, integer = split.source.shape, split.source.dtype.kind in "biu"
        meanings.append("labels" if _whole_numbers(split) is not None else f"{split.shape[0]} values per sample")
        if meanings[-1] != "labels" and integer:
            return ValueError(
                f"{split.name} holds whole numbers of shape {shape}: labels must be (samples,), values to fit must be "
                "float, or asked for by kind='regression'"
            )
        if meanings[-1] != "labels" and kind == "classification":
            return ValueError(
                f"{split.name} holds {split.source.dtype} of shape {shape}: kind='classification' needs labels "
                "0 to n - 1, (samples,), or one-hot rows"
            )
    for split in splits:
        split.as_array()  # raises the error of what is non-finite
    return ValueError(f"y_train holds {meanings[0]}, y_test {meanings[-1]}")
