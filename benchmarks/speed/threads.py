"""Two threads against one: steps and passes at batch 100, where blocks are small, and a step at batch 1000."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.speed.measure import WALL, Row, at_least, fastest, interleaved, repeated
from benchmarks.speed.work import CONVNET, DENSE, batch_of, stepper
from noisysim import Chip, Drive
from noisysim.compute import execution

N = 1024


def rows(rounds: int = 15) -> list[Row]:
    """The fastest round of one thread over the fastest of two: on a machine that others use most rounds of two are not
    given both cores."""
    small, large, images = batch_of(100, 784, 10), batch_of(1000, 784, 10), batch_of(100, 3072, 10)
    return [
        _gain(
            "DANP step, 784-512-512-512-10, batch 100", partial(stepper, DENSE, "crossbar", small, 1e-3), 1.5, rounds
        ),
        _gain("forward, 1024 x 1024, batch 100", _forward, 1.5, 3 * rounds),
        _gain("DANP step, ConvNet, batch 100", partial(stepper, CONVNET, "crossbar", images, 1e-3), 1.5, rounds),
        _gain(
            "DANP step, 784-512-512-512-10, batch 1000", partial(stepper, DENSE, "crossbar", large, 1e-3), 1.85, rounds
        ),
    ]


def _forward() -> Callable[[], object]:
    """A function that passes 100 samples through a layer of the crossbar."""
    x = np.random.default_rng(0).standard_normal((100, N), dtype=np.float32)
    chip = Chip([N, N, 1], "crossbar")
    kept = chip.passes(x, [Drive()])
    return partial(chip.passes, x, [Drive()], out=kept)


def _gain(what: str, make: Callable[[], Callable[[], object]], least: float, rounds: int) -> Row:
    """What a second thread gains, on two chips that are alike."""

    def on(threads: int) -> Callable[[], None]:
        work = repeated(make(), 3)

        def run() -> None:
            with execution.threads(threads):
                work()

        return run

    times = interleaved({"one": on(1), "two": on(2)}, rounds, WALL)
    middle = statistics.median(a / b for a, b in zip(times["one"], times["two"], strict=True))
    detail = f"median of the rounds {middle:.2f}; one {1e3 * min(times['one']) / 3:.1f} ms"
    return at_least(f"{what}, two threads against one", fastest(times, "one", "two"), least, detail=detail)
