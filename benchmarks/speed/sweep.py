"""Studies on processes of this machine: what a run costs besides itself, and what two workers gain."""

from __future__ import annotations

import statistics
import time
from typing import Any

import noisysim
from benchmarks.speed.measure import Row, at_least, at_most

SMALL: dict[str, Any] = {"task": "digits", "layers": [16], "learner": "danp", "epochs": 1, "batch_size": 360}
"""A run of a few milliseconds."""
LARGE: dict[str, Any] = {"task": "digits", "layers": [512], "learner": "danp", "batch_size": 32}
"""A run whose length is chosen; too large for seeds side by side."""
SECONDS = 10.0


def rows() -> list[Row]:
    """Overhead a run, and the gain of a second worker."""
    return [_overhead(), _two_workers()]


def _sweep(seeds: int, workers: int, **asked: Any) -> tuple[float, Any]:
    """Wall time of a study, cluster included, and the study."""
    began = time.perf_counter()
    study = noisysim.sweep(**asked, seed=range(seeds), workers=workers, threads=1, progress=False)
    assert study.counts["finished"] == seeds, study
    return time.perf_counter() - began, study


def _overhead(few: int = 20, many: int = 220) -> Row:
    """Wall time of one worker a run, less the runs' own time; the cluster's start is taken off by a smaller study.

    Runs side by side would hide it, so each is made to be alone by a learning rate of its own.
    """
    found = []
    for count in (few, many):
        rates = [1e-3 * (1 + k / 1000) for k in range(count)]
        began = time.perf_counter()
        study = noisysim.sweep(**SMALL, learning_rate=rates, workers=1, threads=1, progress=False)
        found.append((time.perf_counter() - began, float(study.data.elapsed.sum())))
    (short, own_short), (long, own_long) = found
    each = 1e3 * ((long - own_long) - (short - own_short)) / (many - few)
    own = 1e3 * (own_long - own_short) / (many - few)
    return at_most("study: overhead a run", each, 50, "ms", f"beside {own:.0f} ms of the run itself")


def _two_workers(runs: int = 6, rounds: int = 2) -> Row:
    """Runs of about `SECONDS` each: one worker's wall time over that of two."""
    began = time.perf_counter()
    noisysim.run(**LARGE, epochs=20, threads=1, progress=False)
    epochs = max(1, round(20 * SECONDS / (time.perf_counter() - began)))
    gains, taken = [], []
    for _ in range(rounds):
        one, study = _sweep(runs, 1, **LARGE, epochs=epochs)
        two, _ = _sweep(runs, 2, **LARGE, epochs=epochs)
        gains.append(one / two)
        taken.append(float(study.data.elapsed.median()))
    gain, each = statistics.median(gains), statistics.median(taken)
    return at_least("study: two workers against one, one thread a run", gain, 1.7, detail=f"{each:.1f} s a run")
