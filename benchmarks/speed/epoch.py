"""An epoch of the default run, digits, 64-512-10, batch 32, one thread, against the bare products of its updates."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import noisysim
from benchmarks.speed.measure import Row, at_most, interleaved, repeated
from benchmarks.speed.work import products
from noisysim.compute import execution

NETWORK, BATCH = [64, 512, 10], 32
FEW, MANY = 2, 8
"""Epochs of two runs, whose difference in time is that of epochs alone."""


def training(epochs: int) -> Callable[[], object]:
    """A function that trains so long; whatever a run does by itself is on."""
    return lambda: noisysim.run(epochs=epochs, threads=1, progress=False)


def rows(rounds: int = 7) -> list[Row]:
    """Time of an epoch, its test and record included, against that of its updates' products."""
    updates = noisysim.tasks.get("digits").n_train / BATCH
    bare = repeated(products(NETWORK, BATCH, read_noise=True), round(updates))
    with execution.threads(1):
        times = interleaved({"few": training(FEW), "many": training(MANY), "products": bare}, rounds)
    epochs = [(b - a) / (MANY - FEW) for a, b in zip(times["few"], times["many"], strict=True)]
    over = statistics.median(e / p for e, p in zip(epochs, times["products"], strict=True))
    each = 1e6 * statistics.median(epochs) / updates
    detail = f"{1e3 * statistics.median(epochs):.0f} ms, {each:.0f} us an update"
    return [at_most("an epoch of the default run on digits, against its products", over, 3, detail=detail)]
