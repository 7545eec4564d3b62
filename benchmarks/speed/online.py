"""Online learning: batch 1, 64-128-64-10, DANP on the default crossbar, one thread."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.speed.measure import Row, at_least, at_most, interleaved, ratio
from benchmarks.speed.step import batch_of, products, stepper
from noisysim.compute import execution

SIZES, SAMPLES = [64, 128, 64, 10], 5000


def rows(rounds: int = 7) -> list[Row]:
    """A step against its own products, each called from NumPy, and samples per second."""
    step = stepper(SIZES, "crossbar", batch_of(1, SIZES[0], SIZES[-1]), 1e-4)

    def repeated(function: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(SAMPLES):
                function()

        return run

    with execution.threads(1):
        step()
        work = {"step": repeated(step), "products": repeated(products(SIZES, 1, read_noise=True))}
        times = interleaved(work, rounds)
    rate = SAMPLES / statistics.median(times["step"])
    detail = f"products {1e6 * statistics.median(times['products']) / SAMPLES:.0f} us"
    what = "online DANP step on the crossbar, 64-128-64-10"
    return [
        at_most(f"{what}, against its own products", ratio(times, "step", "products"), 2.5, detail=detail),
        at_least(what, rate, 10_000, "samples/s"),
    ]
