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


def read_targets(given: list[Values], kind: str, standardise: bool) -> Targets:
    """The targets of one split or of two.

    Whole numbers are labels, and so are one-hot rows, in any type of number. Floats are values to be fitted, unless
    they are whole numbers 0 to n - 1 that all occur, of 2 to `MOST_CLASSES` classes with `SAMPLES_A_CLASS` samples each
    on average: labels, read from a text file or a table.

    Parameters
    ----------
    given : list of Values
    kind : {"auto", "classification", "regression"}
    standardise : bool
        Whether values are to be standardised: then floats are values.

    Raises
    ------
    ValueError
        If they have another shape, or cannot be what `kind` asks for.
    """
    names = " and ".join(one.name for one in given)
    for one in given:
        if len(one.source.shape) > 2:
            raise ValueError(f"{one.name} must be (samples,) or (samples, outputs), not {one.source.shape}")
    if kind == "regression":
        return _as_values(given, standardise)
    integer = [one.source.dtype.kind in "biu" for one in given]
    guess = kind == "classification" or any(integer) or not standardise
    hot = [labels for one in given if guess and (labels := _one_hot(one)) is not None]
    if len(hot) == len(given) and len({one.shape for one in given}) == 1:
        width = given[0].shape[0]
        return Targets(hot, True, width, None, [_note(names, f"one-hot rows of {width} classes")])
    columns = [column for one in given if (column := _whole(one)) is not None]
    whole = len(columns) == len(given)
    if whole and guess and (any(integer) or kind == "classification" or _few(columns)):
        return _as_labels(given, columns, integer, names)
    if kind == "classification" or any(integer):
        raise _refusal(given, kind)
    found = _as_values(given, standardise)
    if whole and guess and (count := np.unique(np.concatenate(columns)).size) <= MOST_CLASSES:
        note = f"{names}: floats of {count} whole numbers, fitted as values; as labels they would be 0 to n - 1"
        found = found._replace(notes=[note])
    return found


def _note(names: str, read_as: str) -> str:
    return f"{names}: {read_as}, read as labels (kind='regression' fits them as values)"


def _as_labels(given: list[Values], whole: list[np.ndarray], integer: list[bool], names: str) -> Targets:
    for one, column in zip(given, whole, strict=True):
        if column.min() < 0:
            raise ValueError(f"{one.name} holds the label {column.min()}: labels are 0 to n - 1")
    flat = all(len(one.source.shape) == 1 for one in given)
    how = "whole numbers in a column" if all(integer) else "floats that are whole numbers"
    return Targets(whole, True, 0, None, [] if all(integer) and flat else [_note(names, how)])


def _as_values(given: list[Values], standardise: bool) -> Targets:
    """Values to be fitted; those far from zero are centred before they are rounded, if they are to be standardised."""
    widths = [one.shape[0] for one in given]
    if widths[0] != widths[-1]:
        raise ValueError(f"y_train holds {widths[0]} values per sample, y_test {widths[1]} values per sample")
    origin = far_origin(given[0], shared=False) if standardise else None
    arrays = [one.kept(0.0 if origin is None else origin).astype(np.float32, copy=False) for one in given]
    return Targets(arrays, False, origin=origin)


def _one_hot(given: Values) -> np.ndarray | None:
    """Where each row has its 1, if all else is 0; else ``None``."""
    if len(given.source.shape) != 2 or given.shape[0] < 2:
        return None
    labels = np.empty(len(given), np.int64)
    for rows, block in given.blocks():
        ones = block == 1
        if not (ones | (block == 0)).all() or not (ones.sum(axis=1) == 1).all():
            return None
        labels[rows] = ones.argmax(axis=1)
    return labels


def _whole(given: Values) -> np.ndarray | None:
    """A column of whole numbers as int64, (n,); else ``None``."""
    if given.shape != (1,):
        return None
    column = given.rows(0, len(given)).reshape(-1)
    with np.errstate(invalid="ignore"):
        whole = column.dtype.kind in "biu" or bool(((np.abs(column) < 2**53) & (column == np.rint(column))).all())
    return column.astype(np.int64) if whole else None


def _few(columns: list[np.ndarray]) -> bool:
    """Whether whole numbers are labels by all appearances."""
    found = np.unique(np.concatenate(columns))
    samples = sum(map(len, columns))
    complete = found[0] == 0 and found[-1] == found.size - 1
    return bool(complete and 2 <= found.size <= MOST_CLASSES and samples >= SAMPLES_A_CLASS * found.size)


def _refusal(given: list[Values], kind: str) -> ValueError:
    """What keeps targets from being labels."""
    said = []
    for one in given:
        shape, integer = one.source.shape, one.source.dtype.kind in "biu"
        said.append("labels" if _whole(one) is not None else f"{one.shape[0]} values per sample")
        if said[-1] != "labels" and integer:
            return ValueError(
                f"{one.name} holds whole numbers of shape {shape}: labels must be (samples,), values to fit must be "
                "float, or asked for by kind='regression'"
            )
        if said[-1] != "labels" and kind == "classification":
            return ValueError(
                f"{one.name} holds {one.source.dtype} of shape {shape}: kind='classification' needs labels 0 to n - 1, "
                "(samples,), or one-hot rows"
            )
    for one in given:
        one.kept()  # raises the error of what is non-finite
    return ValueError(f"y_train holds {said[0]}, y_test {said[-1]}")
