"""One sample at a time: DANP on the crossbar, 64-128-64-10, one thread, through `noisysim.run` and as bare steps."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np

import noisysim
from benchmarks.speed.measure import Row, at_most, interleaved, ratio, repeated
from benchmarks.speed.work import ONLINE, batch_of, products, stepper
from noisysim.compute import execution

SHORT, LONG, STEPS = 1000, 6000, 5000
"""Updates of two runs, whose difference in time is that of updates alone; and of a round of bare steps."""


def training(updates: int) -> Callable[[], object]:
    """A function that trains with as many samples, one epoch of them, everything recorded that a run records."""
    rng, n_in, *hidden, n_out = np.random.default_rng(0), *ONLINE
    x, y = rng.standard_normal((updates, n_in), dtype=np.float32), np.arange(updates) % n_out
    task = noisysim.tasks.get((x, y, x[:10], y[:10]))

    def run() -> object:
        return noisysim.run(
            task, layers=hidden, learner="danp", device="crossbar", batch_size=1, epochs=1, threads=1, progress=False
        )

    return run


def rows(rounds: int = 7) -> list[Row]:
    """An update, a bare step, and how many times its own products, each called from NumPy, the step takes."""
    step = stepper(ONLINE, "crossbar", batch_of(1, ONLINE[0], ONLINE[-1]), 1e-4)
    with execution.threads(1):
        work = {
            "short": training(SHORT), "long": training(LONG), "step": repeated(step, STEPS),
            "products": repeated(products(ONLINE, 1, read_noise=True), STEPS),
        }  # fmt: skip
        times = interleaved(work, rounds)
    differences = [1e6 * (b - a) / (LONG - SHORT) for a, b in zip(times["short"], times["long"], strict=True)]
    steps = [1e6 * t / STEPS for t in times["step"]]
    product = 1e6 * statistics.median(times["products"]) / STEPS
    what = "online DANP, crossbar, 64-128-64-10, batch 1"
    return [
        at_most(f"{what}, an update of run", statistics.median(differences), 70, "us", f"{_range(differences)}"),
        at_most(f"{what}, a bare step", statistics.median(steps), 50, "us", f"{_range(steps)}"),
        at_most(f"{what}, against its products", ratio(times, "step", "products"), 2.5, detail=f"{product:.0f} us"),
    ]


def _range(values: list[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"
