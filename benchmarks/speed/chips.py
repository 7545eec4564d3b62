"""Several small chips side by side against one after the other: digits, 64-32-10, DANP on the crossbar, one thread."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import noisysim
from benchmarks.speed.measure import Row, at_least, interleaved

GIVEN: dict[str, Any] = {"task": "digits", "layers": [32], "learner": "danp", "batch_size": 32, "progress": False}
"""A run of the benchmark."""


def runs(chips: int, epochs: int, backend: str, together: bool, threads: int | None = 1) -> Callable[[], None]:
    """A function that trains chips, together or one by one."""

    def run() -> None:
        if together:
            noisysim.run(**GIVEN, epochs=epochs, chips=chips, backend=backend, threads=threads)
            return
        for seed in range(chips):
            noisysim.run(**GIVEN, epochs=epochs, seed=seed, backend=backend, threads=threads)

    return run


def rows(rounds: int = 5, chips: int = 16, epochs: int = 3) -> list[Row]:
    """Runs per second together, over runs per second one by one."""
    times = interleaved(
        {"together": runs(chips, epochs, "cpu", True), "apart": runs(chips, epochs, "cpu", False)}, rounds
    )
    gain = statistics.median(a / b for a, b in zip(times["apart"], times["together"], strict=True))
    each = statistics.median(times["together"]) / chips / epochs
    return [
        at_least(f"chips={chips} side by side, against one by one", gain, 1.0, detail=f"{1e3 * each:.1f} ms per epoch")
    ]
