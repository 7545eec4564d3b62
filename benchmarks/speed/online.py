"""One sample at a time: DANP on the crossbar, 64-128-64-10, one thread: by `noisysim.run`, and as bare steps."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np

import noisysim
from benchmarks.speed.measure import Row, at_most, interleaved, ratio, repeated
from benchmarks.speed.work import ONLINE, batch_of, products, series, stepper
from noisysim.compute import execution

SHORT, LONG, STEPS, AT_ONCE = 1000, 6000, 5000, 50
"""Updates of two runs, whose difference in time is that of updates alone; of a round of bare steps; and of one call."""


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
    """An update; a bare step, many in a call and by itself; and how many times its products, from NumPy, it takes."""
    batch = batch_of(1, ONLINE[0], ONLINE[-1])
    many, step = series(ONLINE, "crossbar", batch, 1e-4, AT_ONCE), stepper(ONLINE, "crossbar", batch, 1e-4)
    with execution.threads(1):
        work = {
            "short": training(SHORT), "long": training(LONG), "many": repeated(many, STEPS // AT_ONCE),
            "step": repeated(step, STEPS),
            "products": repeated(products(ONLINE, 1, read_noise=True), STEPS),
        }  # fmt: skip
        times = interleaved(work, rounds)
    differences = [1e6 * (b - a) / (LONG - SHORT) for a, b in zip(times["short"], times["long"], strict=True)]
    steps, alone = ([1e6 * t / STEPS for t in times[name]] for name in ("many", "step"))
    product = 1e6 * statistics.median(times["products"]) / STEPS
    what = "online DANP, crossbar, 64-128-64-10, batch 1"
    return [
        at_most(f"{what}, an update of run", statistics.median(differences), 70, "us", f"{_range(differences)}"),
        at_most(f"{what}, a bare step", statistics.median(steps), 50, "us", f"{_range(steps)}"),
        at_most(f"{what}, against its products", ratio(times, "many", "products"), 1.0, detail=f"{product:.0f} us"),
        at_most(f"{what}, a step by itself", statistics.median(alone), 200, "us", f"{_range(alone)}"),
    ]


def _range(values: list[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"
