"""A DANP step of residual blocks at batch 100, one thread, against its own bare products; beside it the chain alone."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.speed.measure import Row, at_most, interleaved, ratio
from benchmarks.speed.work import batch_of, products, stepper
from noisysim.compute import execution
from noisysim.networks.layers import average_pool, conv, residual


def network(branches: bool) -> list[Any]:
    """Two blocks of two convolutions of 32 channels on images of 3 x 32 x 32, with their sums or without."""
    listed: list[Any] = [(3, 32, 32), conv(32, 3, stride=2, padding=1)]
    for _ in range(2):
        block = [conv(32, 3, padding=1), conv(32, 3, padding=1)]
        listed += [residual(block)] if branches else block
    return [*listed, average_pool(), 10]


def rows(rounds: int = 11) -> list[Row]:
    """Sums, and the same layers without them."""
    found, data = [], batch_of(100, 3072, 10)
    for kind, branches in (("residual blocks", True), ("the same layers as a chain", False)):
        with execution.threads(1):
            bare = products(network(branches), len(data.inputs), False)
            times = interleaved({"step": stepper(network(branches), "gaussian", data, 1e-3), "bare": bare}, rounds)
        detail = f"products {1e3 * statistics.median(times['bare']):.0f} ms"
        said = f"DANP step, {kind}, batch 100, gaussian, against its products"
        found.append(at_most(said, ratio(times, "step", "bare"), 1.25, detail=detail))
    return found
