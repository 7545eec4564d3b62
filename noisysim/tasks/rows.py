"""Rows of data sets: their orders, and how they are split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from noisysim.common.fields import shown
from noisysim.common.types import Ints

ORDER, SPLIT, VALIDATION = 0x6F726465, 0x73706C69, 0x76616C69
"""Keep the orders of epochs, the splits of data and those of training data apart."""


def permutation(n: int, *key: int) -> Ints:
    """A permutation of 0 .. n - 1 (int64) that depends on `key` alone.

    Ranks of raw Philox output: NumPy keeps a bit generator's stream unchanged, but not `Generator.permutation`.
    """
    draws = np.random.Philox(np.random.SeedSequence(list(key))).random_raw(n)
    return np.argsort(draws, kind="stable").astype(np.int64, copy=False)


def order(n: int, epoch: int, seed: int) -> Ints:
    """The order of n training rows in an epoch: a pure function of the seed and the epoch."""
    return permutation(n, seed, epoch, ORDER)


def split_rows(n: int, n_test: int, seed: int) -> tuple[Ints, Ints]:
    """Rows of the training and the test split, each sorted, drawn once by `seed`."""
    rows = permutation(n, seed, SPLIT)
    return np.sort(rows[n_test:]), np.sort(rows[:n_test])


def split_note(n_train: int, n_test: int, seed: int) -> str:
    """The note of a task whose splits are `split_rows`."""
    return f"x and y split {n_train}/{n_test} by the permutation of seed {seed}"


def seed_of_split(notes: Iterable[str]) -> int | None:
    """The seed that drew the splits of a task with these notes; ``None`` where its data came with them."""
    found = [re.fullmatch(r"x and y split \d+/\d+ by the permutation of seed (\d+)", note) for note in notes]
    return next((int(one[1]) for one in found if one), None)


def row_array(rows: Any) -> Ints:
    """Rows as an int64 array, or the one clear error."""
    array = np.asarray(rows)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise TypeError(f"rows must be a slice or a one-dimensional integer array, not {shown(rows)}")
    return array.astype(np.int64)
