"""One crossbar layer, 1024 x 1024, batch 1000, one thread, against the bare float32 product."""

from __future__ import annotations

import statistics

import numpy as np

from benchmarks.speed.measure import Row, at_most, interleaved, ratio
from noisysim import Chip, Drive, devices
from noisysim.compute import execution

N, BATCH = 1024, 1000


def rows(rounds: int = 25) -> list[Row]:
    """Forward pass with line noise and 8-bit converters; with cells' read noise too. The hidden layer's leaky ReLU
    is part of the pass; its output layer of one unit is too small to count."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, N), dtype=np.float32)
    weights = rng.standard_normal((N, N), dtype=np.float32)
    out = np.empty((BATCH, N), np.float32)
    found = []
    with execution.threads(1):
        passes = {}
        for name, noise in (("line", 0.0), ("cell", 0.01)):
            chip = Chip([N, N, 1], devices.get("crossbar", read_noise=noise))
            kept = chip.passes(x, [Drive()])
            passes[name] = lambda chip=chip, kept=kept: chip.passes(x, [Drive()], out=kept)
        times = interleaved({"product": lambda: np.matmul(x, weights.T, out=out), **passes}, rounds)
    product = f"product {1e3 * statistics.median(times['product']):.1f} ms"
    found.append(
        at_most(
            "forward, line noise, 8-bit DAC and ADC, leaky ReLU", ratio(times, "line", "product"), 1.10, detail=product
        )
    )
    found.append(
        at_most("the same with read noise of every cell", ratio(times, "cell", "product"), 2.1, detail=product)
    )
    return found
