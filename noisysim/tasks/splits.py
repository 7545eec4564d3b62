"""The data of a task."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """One split as the files gave it.

    Attributes
    ----------
    inputs : numpy.ndarray
        uint8 or float32, (n, n_in), not standardised.
    targets : numpy.ndarray
        int64 (n,) labels, or float32 (n, n_out) values, not standardised.
    """

    inputs: np.ndarray
    targets: np.ndarray


class Labels(NamedTuple):
    """What the images of a task show that does not learn it: int64, (n_train,) and (n_test,)."""

    train: np.ndarray
    test: np.ndarray
