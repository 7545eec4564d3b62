"""A GPU: passes and steps against their own bare products in cuBLAS, many small chips, and both backends' results."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import noisysim
from benchmarks.speed import chips
from benchmarks.speed.measure import WALL, Row, at_least, at_most, interleaved, ratio, repeated
from benchmarks.speed.work import batch_of, products, stepper
from noisysim import Chip, Drive, devices
from noisysim.compute import backends
from noisysim.compute.gpu import SIMULATED

N = 4096
NETWORK, BATCH = [3072, 1024, 1024, 1024, 10], 1000
"""Of Dalm et al. (2025), figures 3 and 4."""
SEEDS = 5


def finished(function: Callable[[], object]) -> Callable[[], None]:
    """The function, and waiting until the GPU has done what it asked for."""
    if SIMULATED:
        return lambda: (function(), None)[1]
    device = backends.get("cuda").xp.cuda.Device()

    def run() -> None:
        function()
        device.synchronize()

    return run


def rows(rounds: int = 15) -> list[Row]:
    """All of it."""
    return [*forward(rounds), *steps(rounds), *side_by_side(), *alike()]


def forward(rounds: int, n: int = N, batch: int = N) -> list[Row]:
    """One layer, n x n: line noise, converters, leaky ReLU; and cells' read noise."""
    xp, rng = backends.get("cuda").xp, np.random.default_rng(0)
    x, out = (xp.asarray(rng.standard_normal((batch, n), np.float32)) for _ in range(2))
    weights = xp.asarray(rng.standard_normal((n, n), np.float32))
    passes: dict[str, Any] = {}
    for name, noise in (("line", 0.0), ("cell", 0.01)):
        chip = Chip([n, n, 1], devices.get("crossbar", read_noise=noise), backend="cuda")
        kept = chip.passes(x, [Drive()])
        passes[name] = finished(partial(chip.passes, x, [Drive()], out=kept))
    product = finished(lambda: xp.matmul(x, weights.T, out=out))
    times = interleaved({"product": product, **passes}, rounds, WALL)
    detail = f"product {1e3 * statistics.median(times['product']):.2f} ms"
    what = f"GPU forward {n} x {n}, batch {batch}: noise, DAC, ADC, leaky ReLU"
    return [
        at_most(what, ratio(times, "line", "product"), 1.1, detail=detail),
        at_most(f"{what}, read noise of every cell", ratio(times, "cell", "product"), 2.2, detail=detail),
    ]


def steps(rounds: int) -> list[Row]:
    """DANP on the network of the paper: its products' share of a step's time, and steps per second."""
    found, data = [], batch_of(BATCH, NETWORK[0], NETWORK[-1])
    for name in ("ideal", "crossbar"):
        once = stepper(NETWORK, name, data, 1e-3, "cuda")
        bare = finished(products(NETWORK, BATCH, name == "crossbar", "cuda"))
        times = interleaved({"step": finished(repeated(once, 10)), "bare": bare}, rounds, WALL)
        each = [t / 10 for t in times["step"]]
        share = statistics.median(b / t for b, t in zip(times["bare"], each, strict=True))
        detail = f"{1 / statistics.median(each):.0f} steps/s, products {1e3 * statistics.median(times['bare']):.2f} ms"
        found.append(at_least(f"GPU DANP step, {name}: share of its bare products", share, 0.75, "", detail))
    return found


def side_by_side(many: int = 256, epochs: int = 3) -> list[Row]:
    """256 chips on digits at once, against one at a time on the GPU, and on the CPU with all its cores."""
    work = {
        "together": chips.runs(many, epochs, "cuda", True),
        "one": chips.runs(1, epochs, "cuda", True),
        "cpu": chips.runs(1, epochs, "cpu", True, None),
    }
    times = interleaved(work, 3, WALL)
    together = statistics.median(times["together"]) / many
    what = f"GPU, chips={many} on digits"
    return [
        at_least(f"{what}, against one at a time", statistics.median(times["one"]) / together, 1.0),
        at_least(f"{what}, against the CPU", statistics.median(times["cpu"]) / together, 1.0),
        at_least(f"{what}, {epochs} epochs", 1 / together, 0.0, "runs/s"),
    ]


def alike() -> list[Row]:
    """The same run on both backends: how far the mean curves are apart, in standard deviations over seeds."""
    arguments: dict[str, Any] = {
        "task": "digits",
        "learner": "danp",
        "device": "crossbar",
        "epochs": 5,
        "chips": SEEDS,
        "progress": False,
    }
    losses = {b: noisysim.run(**arguments, backend=b).history["test_loss"] for b in ("cpu", "cuda")}
    spread = losses["cpu"].std(axis=1, ddof=1)
    apart = float(np.max(np.abs(losses["cpu"].mean(axis=1) - losses["cuda"].mean(axis=1)) / spread))
    return [at_most(f"test losses of {SEEDS} chips on both backends, apart", apart, 1.0, "std")]
