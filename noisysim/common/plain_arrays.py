"""Arrays at the door: plain ones of real numbers, or one clear error.

What comes from outside may be a list, a masked array, a table with holes or a subclass of NumPy's array, whose methods
would be called wherever it is used. Here it becomes NumPy's own array, or is refused.
"""

from __future__ import annotations

import numpy as np

from noisysim.common.fields import shown

_LONGEST = 120
"""Characters of another library's error that a message shows."""
REAL = "biuf"
"""Kinds of numbers that are real: bool, integers and floats."""


class NonFiniteError(ValueError):
    """NaN or infinite values where they would stay for good: a run that asks for such has diverged."""


def plain(name: str, values: object) -> np.ndarray:
    """`values` as NumPy's own array of real numbers, without a copy where it is one.

    Parameters
    ----------
    name : str
        What messages call it.
    values : array or (nested) list of numbers

    Raises
    ------
    TypeError
        If it is no array, or holds anything but real numbers.
    ValueError
        If values of a masked array are masked, or the lists are ragged.
    """
    if type(values) is np.ndarray and values.dtype.kind in REAL:
        return values
    _check_mask(name, values)
    try:
        array = np.asarray(values)
    except ValueError as error:
        ragged = "inhomogeneous" in str(error)
        why = "its parts differ in shape" if ragged else _first_line(error)
        raise ValueError(f"{name} is no array: {why}") from None
    except Exception as error:  # whatever a foreign class comes up with
        kind, why = type(values).__name__, _first_line(error)
        raise TypeError(f"{name} must be an array of real numbers, not {kind}: {why}") from None
    if array.dtype.kind not in REAL:
        contents = f"{array.dtype} of shape {array.shape}"
        if array.dtype.kind == "O":
            contents = _objects(array)
        raise TypeError(f"{name} must hold real numbers, not {contents}")
    return array


def _check_mask(name: str, values: object) -> None:
    """Refuse masked arrays of which some values are masked, and lists of such: NumPy would take what the mask hides."""
    parts = values if isinstance(values, (list, tuple)) else (values,)
    masked = sum(int(np.ma.getmaskarray(part).sum()) for part in parts if isinstance(part, np.ma.MaskedArray))
    if masked:
        raise ValueError(f"{name} is a masked array with {masked:,} values masked: fill or leave them out first")


def _objects(array: np.ndarray) -> str:
    """What an array of objects holds: the first that is no number."""
    for index, value in enumerate(array.flat):
        if not isinstance(value, (int, float, np.number)) or isinstance(value, complex):
            row = index // max(array[0].size, 1) if array.ndim > 1 else index
            return f"objects, in row {row} {shown(value)}: convert or leave out such values"
    return "objects: convert them, for example by astype(float)"


def _first_line(error: Exception) -> str:
    line = str(error).partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
