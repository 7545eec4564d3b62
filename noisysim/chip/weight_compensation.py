"""Weights compensated for steps of the decorrelation: a write after each, so that W R stays what it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from noisysim.chip.decorrelation import decorrelate
from noisysim.chip.erasing import erase
from noisysim.chip.state import State
from noisysim.common.types import Floats
from noisysim.compute import layered
from noisysim.compute.execution import single_blas
from noisysim.compute.layered import Layered


def step(state: State, inputs: Layered, rate: float) -> None:
    """One step R -> R' for every layer (`noisysim.chip.decorrelation.decorrelate`), and a write of W R R'^-1.

    W is what the write controller keeps. A chip whose R' has no inverse is not written: it has diverged.
    """
    before = layered.empty(state.rotations.shapes, state.backend.xp)
    before.flat[:] = state.flat_rotations
    decorrelate(state.rotations, inputs, rate, state.chips, state.net)
    with _wanted(state) as weights:
        changes = layered.zeros([array.shape for array in weights], state.backend.xp)
        with single_blas():  # the same bits on any number of threads
            for change, held, old, new in zip(changes, weights, before, state.rotations, strict=True):
                _compensate(change, held, old, new, state.chips, state.backend.xp)
        state.write(changes.flat, False)
        erase([changes.flat])


@contextmanager
def _wanted(state: State) -> Iterator[list[Floats]]:
    """The weights as the controller knows them, erased after the block."""
    weights = state.weights.wanted()
    try:
        yield weights
    finally:
        erase(weights)


def _compensate(change: Floats, weights: Floats, old: Floats, new: Floats, chips: int, xp: ModuleType) -> None:
    """change = W R R'^-1 - W of one layer, biases left out; `change` holds zeros."""
    n = new.shape[1]
    if not n:  # of a gain, which is not decorrelated
        return
    held = weights.reshape(chips, -1, weights.shape[1])[..., :n]
    before, after = old.reshape(chips, n, n), new.reshape(chips, n, n)
    does = xp.matmul(held, before)
    written = change.reshape(chips, -1, weights.shape[1])[..., :n]
    for chip in range(chips):  # one by one: a matrix without an inverse is no other chip's concern
        try:
            solved = xp.linalg.solve(after[chip].T, does[chip].T).T
        except np.linalg.LinAlgError:
            continue
        if bool(xp.isfinite(solved).all()):
            written[chip] = solved - held[chip]
        erase([solved])
    erase([does])
