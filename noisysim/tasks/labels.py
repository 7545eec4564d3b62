"""Labels as people have them (text, switches, any whole numbers), and the classes 0 to n - 1 that they are read as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.common.fields import listed, shown
from noisysim.common.types import Ints
from noisysim.tasks.frames import as_column, means_text, missing

MOST_CLASSES = 100
"""Numbers are taken for labels of up to this many classes without being asked for by ``kind``."""
SAMPLES_A_CLASS = 5
"""Samples of each class, on average, that speak for labels where much else could be meant."""
LEAST_SAMPLES = 2
"""Samples of each class, on average, below which values that are all but unique are not taken for labels."""

Label = str | int | bool


def texts(name: str, given: object, words: bool) -> np.ndarray | None:
    """Labels that are text, (n,) str; ``None`` of what is none.

    Parameters
    ----------
    name : str
        What messages call them.
    given : array, list or h5py.Dataset
    words : bool
        Whether such a text as "NA" stands for a missing label (`noisysim.tasks.frames.MISSING`).

    Raises
    ------
    ValueError
        If some are missing, are no text, or if they are no column.
    """
    if isinstance(given, np.ma.MaskedArray):
        return None
    if type(given).__module__.startswith("h5py."):
        dataset: Any = given
        given = dataset[()] if dataset.dtype.kind in "OSU" else np.empty(0)
    try:
        array = np.asarray(given)
    except Exception:  # no array at all: what reads numbers says what is wrong with it
        return None
    if array.dtype.kind == "O":
        first = next((value for value in array.flat if value is not None), None)
        if not isinstance(first, (str, bytes)):
            return None
    elif array.dtype.kind not in "UST":
        return None
    elif array.ndim == 1 and isinstance(given, (list, tuple)):  # of which NumPy writes a NaN beside text as 'nan'
        array = array.astype(object)
        array[[isinstance(value, float) and value != value for value in given]] = ""
    if array.ndim == 0 or array.size != len(array):
        raise ValueError(f"{name} holds text of shape {array.shape}: labels must be (samples,)")
    column = as_column(name, array.reshape(-1))
    empty = missing(column, words)
    if empty.any():
        written = next((text for text in column[empty].tolist() if text), "")
        first = f"first in row {int(empty.argmax())}" + (f", some {written!r}" if written else "")
        raise ValueError(f"{name} has {int(empty.sum()):,} missing labels ({first}){means_text(written)}")
    return np.array(column.tolist(), dtype=str)


def numbered(names: str, columns: Sequence[np.ndarray], sure: bool) -> tuple[list[Ints], tuple[Label, ...]]:
    """Labels as the numbers of their classes, which are sorted.

    Parameters
    ----------
    names : str
        What messages call them.
    columns : sequence of numpy.ndarray
        (n,), of each split, all text or all whole numbers.
    sure : bool
        Whether they are said to be labels: then there may be any number of classes.

    Returns
    -------
    numbers : list of numpy.ndarray
        int64, (n,), of each split.
    classes : tuple
        Of each number the label.

    Raises
    ------
    ValueError
        If there is one class only, or if there are so many that something else is likely meant.
    """
    classes = np.unique(np.concatenate([np.unique(column) for column in columns]))
    samples, text = sum(map(len, columns)), classes.dtype.kind == "U"
    many = classes.size > MOST_CLASSES and (not text or samples < SAMPLES_A_CLASS * classes.size)
    if not sure and (many or samples < LEAST_SAMPLES * classes.size):
        held = f"{names}: {classes.size:,} different {'texts' if text else 'whole numbers'} in {samples:,} samples"
        if text:
            raise ValueError(f"{held} are hardly labels: kind='classification' takes them as such")
        raise ValueError(f"{held}: kind='classification' takes them as labels, kind='regression' fits them as values")
    check_several(classes)
    return [np.searchsorted(classes, column).astype(np.int64) for column in columns], tuple(classes.tolist())


def check_several(classes: np.ndarray) -> None:
    """Refuse one class alone."""
    if len(classes) < 2:
        raise ValueError(f"labels must be of two classes or more, but all are {shown(classes[0].item())}")


def said(classes: Sequence[Label]) -> str:
    """Labels as a note has them."""
    return listed(map(repr, classes))


def check_trained(train: np.ndarray, test: np.ndarray, n_out: int, classes: Sequence[Label], drawn: bool) -> list[str]:
    """Refuse classes that are in the test split alone.

    Parameters
    ----------
    train, test : numpy.ndarray
        int64, (n,): numbers of classes.
    n_out : int
    classes : sequence
        Their labels; empty if these are the numbers.
    drawn : bool
        Whether the splits were drawn from one set of samples.

    Returns
    -------
    list of str
        A note, if classes of a drawn split are in the training split alone.
    """
    trained, tested = (np.bincount(split, minlength=n_out) for split in (train, test))
    labels = classes or range(n_out)
    if unseen := [labels[int(k)] for k in np.flatnonzero((trained == 0) & (tested > 0))]:
        what = f"label {said(unseen[:1])} is" if len(unseen) == 1 else f"labels {said(unseen)} are"
        how = "too rare to be in both splits: leave out such samples, or give a test split" if drawn else (
            "in the test split alone, so that nothing can learn it: leave out such samples, or train on some"
        )  # fmt: skip
        raise ValueError(f"the {what} {how}")
    if drawn and (untested := [labels[int(k)] for k in np.flatnonzero((tested == 0) & (trained > 0))]):
        return [f"no sample of {said(untested)} is in the test split: too rare for the one that was drawn"]
    return []
