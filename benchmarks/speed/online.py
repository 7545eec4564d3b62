"""Online learning: batch 1, 64-128-64-10, DANP on the default crossbar, one thread."""

from __future__ import annotations

import statistics

from benchmarks.speed.measure import Row, at_least, seconds
from benchmarks.speed.step import batch_of, stepper
from noisysim import execution

SIZES, SAMPLES = [64, 128, 64, 10], 5000


def rows(rounds: int = 7) -> list[Row]:
    """Samples a second, the interpreter's share and all."""
    batch = batch_of(1, SIZES[0], SIZES[-1])
    step = stepper(SIZES, "crossbar", batch, 1e-4)

    def learn() -> None:
        for _ in range(SAMPLES):
            step()

    with execution.threads(1):
        step()
        rate = statistics.median(SAMPLES / seconds(learn) for _ in range(rounds))
    return [at_least("online DANP step on the crossbar, 64-128-64-10", rate, 10_000, "samples/s")]
