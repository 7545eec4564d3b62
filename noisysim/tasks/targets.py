"""Targets of a user's own data: labels, or values to be fitted, told apart by what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.fields import shown
from noisysim.tasks.labels import MOST_CLASSES, SAMPLES_A_CLASS, Label, check_several, numbered, said, texts
from noisysim.tasks.values import Values, far_origin, values

KINDS = ("auto", "classification", "regression")


class Targets(NamedTuple):
    """Targets as a task keeps them.

    Attributes
    ----------
    arrays : list of numpy.ndarray
        int64 (n,) labels, or float32 (n, n_out) values, a split each.
    labels : bool
    n_out : int
        Classes; 0 of values.
    classes : tuple
        Their labels, if these are others than 0 to n - 1.
    origin : numpy.ndarray or None
        What was subtracted from values before they were rounded, (n_out,) float64.
    notes : list of str
    """

    arrays: list[np.ndarray]
    labels: bool
    n_out: int = 0
    classes: tuple[Label, ...] = ()
    origin: np.ndarray | None = None
    notes: list[str] = []  # noqa: RUF012  (never changed)


def read_targets(given: Sequence[tuple[str, Any]], kind: str, standardise: bool | None, words: bool = True) -> Targets:
    """The targets of one split or of two.

    Text, switches and whole numbers are labels, and so are one-hot rows, in any type of number. Floats are values to be
    fitted, unless they are whole numbers 0 to n - 1 that all occur, of 2 to `MOST_CLASSES` classes with
    `SAMPLES_A_CLASS` samples each on average: labels, read from a text file or a table. Labels other than 0 to n - 1
    are numbered in sorted order; what is all but unique is not taken for labels unless `kind` says so.

    Parameters
    ----------
    given : sequence of (str, array)
        What messages call the targets of each split, and these.
    kind : {"auto", "classification", "regression"}
    standardise : bool or None
        Whether values are to be standardised: if it is True, then floats are values. ``None``: they are.
    words : bool
        Whether such a text as "NA" stands for a missing label.

    Raises
    ------
    ValueError
        If they have another shape, or cannot be what `kind` asks for.
    """
    text = [texts(name, array, words) for name, array in given]
    if written := [column for column in text if column is not None]:
        return _as_texts(given, written, kind)
    splits = [values(name, array) for name, array in given]
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
        return Targets(hot, True, width, notes=[_note(names, f"one-hot rows of {width} classes")])
    columns = [column for split in splits if (column := _whole_numbers(split)) is not None]
    all_whole = len(columns) == len(splits)
    if all_whole and guess and (any(integer) or kind == "classification" or _look_like_labels(columns)):
        return _as_labels(splits, columns, kind == "classification")
    if kind == "classification" or any(integer):
        raise _refusal(splits, kind)
    targets = _as_values(splits, standardise)
    if all_whole and guess and (count := np.unique(np.concatenate(columns)).size) <= MOST_CLASSES:
        note = (
            f"{names}: floats of {count} whole numbers, fitted as values (kind='classification' reads them as labels)"
        )
        targets = targets._replace(notes=[note])
    return targets


def read_labels(name: str, given: object, n_out: int, classes: Sequence[Label]) -> np.ndarray:
    """Labels of classes that are known already, as their numbers, int64 (n,).

    Parameters
    ----------
    name : str
        What messages call them.
    given : array
        Labels (n,), or one-hot rows (n, n_out).
    n_out : int
        Number of classes.
    classes : sequence
        Their labels; empty if these are 0 to n_out - 1.

    Raises
    ------
    ValueError
        If they are no labels, or others.
    """
    column = texts(name, given, words=False)  # what is no label of these is refused
    if column is None:
        numbers = values(name, given)
        if numbers.shape == (n_out,) and (hot := _one_hot(numbers)) is not None:
            return hot
        column = _whole_numbers(numbers)
    if column is None:
        raise ValueError(f"{name} must hold labels, (samples,), or one-hot rows of {n_out} classes")
    labels = np.array(classes or range(n_out))
    known = labels if labels.dtype.kind == "U" else labels.astype(np.int64)
    if known.dtype.kind == "U" and column.dtype.kind != "U":  # of a table whose labels all look like numbers
        column = column.astype(str)
    strange = ~np.isin(column, known) if known.dtype.kind == column.dtype.kind else np.array([True])
    if strange.any():
        first = shown(column[int(strange.argmax())].item())
        raise ValueError(f"{name} holds the label {first}: those that were trained on are {said(labels.tolist())}")
    order = np.argsort(known)
    found: np.ndarray = order[np.searchsorted(known, column, sorter=order)].astype(np.int64)
    return found


def _note(names: str, read_as: str) -> str:
    return f"{names}: {read_as}, read as labels (kind='regression' fits them as values)"


def _as_texts(given: Sequence[tuple[str, Any]], columns: list[np.ndarray], kind: str) -> Targets:
    """Labels that are text."""
    names = " and ".join(name for name, _ in given)
    if len(columns) < len(given):
        raise ValueError(f"{names}: one holds text, the other none")
    if kind == "regression":
        raise ValueError(f"{names}: text cannot be fitted as values, as kind='regression' asks")
    numbers, classes = numbered(names, columns, kind == "classification")
    return Targets(numbers, True, len(classes), classes, notes=[f"{names}: {len(classes)} classes, {said(classes)}"])


def _as_labels(splits: list[Values], columns: list[np.ndarray], sure: bool) -> Targets:
    """Labels that are whole numbers or switches; 0 to n - 1 if all occur, else numbered."""
    names = " and ".join(split.name for split in splits)
    integer = all(split.source.dtype.kind in "biu" for split in splits)
    flat = all(len(split.source.shape) == 1 for split in splits)
    how = "whole numbers in a column" if integer else "floats that are whole numbers"
    notes = [] if integer and flat else [_note(names, how)]
    present = np.unique(np.concatenate([np.unique(column) for column in columns]))
    if present[0] == 0 and present[-1] == len(present) - 1:
        check_several(present)
        switches = all(split.source.dtype.kind == "b" for split in splits)
        return Targets(columns, True, len(present), (False, True) if switches else (), notes=notes)
    numbers, classes = numbered(names, columns, sure)
    if not notes:
        notes = [_note(names, f"{len(classes)} whole numbers, {said(classes)}")]
    return Targets(numbers, True, len(classes), classes, notes=notes)


def _as_values(splits: list[Values], standardise: bool | None) -> Targets:
    """Values to be fitted; those far from zero are centred before they are rounded, if they are to be standardised."""
    widths = [split.shape[0] for split in splits]
    if widths[0] != widths[-1]:
        raise ValueError(
            f"{splits[0].name} holds {widths[0]} values per sample, {splits[1].name} {widths[1]} values per sample"
        )
    origin = far_origin(splits[0], shared=False) if standardise is not False else None
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
                f"{split.name} holds {split.source.dtype} of shape {shape}: kind='classification' needs labels, "
                "(samples,), or one-hot rows"
            )
    for split in splits:
        split.as_array()  # raises the error of what is non-finite
    return ValueError(f"{splits[0].name} holds {meanings[0]}, {splits[-1].name} {meanings[-1]}")
