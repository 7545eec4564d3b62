"""What is measured: a function a part, which gives rows one by one, so that those that are there survive the rest.

In Numba's simulator all sizes are tiny: it shows that a part runs, and its times mean nothing.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import noisysim
from benchmarks.gpu_short.launches import ARRAY, counted
from benchmarks.speed import gpu as speed
from benchmarks.speed.measure import WALL, Row, at_least, at_most, seconds
from benchmarks.speed.work import CONVNET, DENSE, batch_of, products, stepper
from noisysim import Batch, Chip, Drive, batch_norm, conv, pool
from noisysim.compute import backends
from noisysim.compute.gpu import SIMULATED

WIDE = [3072, 1024, 1024, 1024, 10]
NETWORKS: dict[str, list[Any]] = (
    {"tiny dense": [6, 5, 5, 4], "tiny convolutional": [(1, 6, 6), conv(2, 3), 4]}
    if SIMULATED
    else {"784-512x3-10": DENSE, "3072-1024x3-10": WIDE, "ConvNet of Dalm et al.": CONVNET}
)
BATCH = 2 if SIMULATED else 1000
COUNTED: dict[str, list[Any]] = {
    "three hidden layers": [6, 5, 5, 5, 4],
    "ConvNet": [(1, 7, 7), conv(2, 3), conv(2, 3), conv(2, 3), 5, 4],
}
IMAGE: list[Any] = [(1, *((4, 4) if SIMULATED else (8, 8))), conv(3, 3), batch_norm(), pool(2), 5]
ROWS = 3 if SIMULATED else 16
# family of kernels: (network, device, seconds of rest)
FAMILIES: dict[str, tuple[list[Any], str, float]] = {
    "passes, noise, converters": ([12, 9, 5], "crossbar", 0),
    "convolution, pooling, batch normalisation": (IMAGE, "crossbar", 0),
    "cells read one by one": ([12, 9, 5], "crossbar:telegraph=0.05,tau_capture=1e-6,tau_emission=1e-6", 0),
    "wires": ([12, 9, 5], "crossbar:tile_columns=12,wire_resistance=5", 0),
    "pulses": ([12, 9, 5], "rram_gong", 0),
    "ageing": ([12, 9, 5], "pcm", 3600),
    "bit slices": ([12, 9, 5], "crossbar:controller=copy,slices=2", 0),
}
SUITE = [f"tests/compute/test_backend_{name}.py" for name in ("ops", "cells", "trains", "passes")]
"""The tests that reach every kernel; those of whole runs take longer and reach none besides."""
SUITE_SECONDS = 80
"""After which the suite is cut short, and what has passed is told."""
PREDICTED = {"launches": "38", "products": "3 to 4 ms"}
"""What was reckoned before any GPU was measured, of a DANP step in `WIDE` at batch 1000."""


def shown(what: str, value: float, unit: str, bar: str = "", detail: str = "") -> Row:
    """A row that is not judged; the bar may say what was predicted."""
    return Row(what, value, unit, bar, True, detail)


def timed(row: Row) -> Row:
    """A row that is judged by time, which means nothing in the simulator."""
    return row._replace(bar="", passed=True) if SIMULATED else row


def smoke() -> Iterator[Row]:
    """Each family of kernels against the CPU: a pass, a write, rest, and a pass again."""
    for family, (network, device, rest) in FAMILIES.items():
        cpu, cuda = (_lived(network, device, rest, backend) for backend in ("cpu", "cuda"))
        apart = np.abs(cuda - cpu) / max(float(cpu.std()), 1e-12)
        detail = f"most {apart.max():.1e}"  # an ADC's step apart, where a value lies on the edge of two codes
        yield at_most(f"{family}: median difference of outputs", float(np.median(apart)), 1e-3, "std", detail)


def _lived(network: list[Any], device: str, rest: float, backend: str) -> np.ndarray:
    """Outputs of a chip before and after a write and a rest."""
    place = backends.get(backend)
    chip, rng = Chip(network, device, seed=1, backend=backend), np.random.default_rng(2)
    x = place.put(rng.standard_normal((ROWS, chip.sizes[0]), dtype=np.float32))
    outputs = [place.take(chip.forward(x).output)]
    chip.program([place.put(0.1 * rng.standard_normal(shape, dtype=np.float32)) for shape in chip.network.shapes])
    if rest:
        chip.wait(rest)
    outputs += [place.take(o.output) for o in chip.passes(x, [Drive(), Drive()])]
    return np.concatenate(outputs)


def suite() -> Iterator[Row]:
    """The GPU suite's tests of kernels."""
    only = ["-k", "sums or momentum"] if SIMULATED else []
    files = SUITE[:1] if SIMULATED else SUITE
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "--tb=line", *files, *only]
    began, counts = time.perf_counter(), {"PASSED": 0, "FAILED": 0, "ERROR": 0}
    cut = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.search(r"::(\S+).* (PASSED|FAILED|ERROR)", line):
                counts[match[2]] += 1
                if match[2] != "PASSED":
                    yield Row(f"test {match[1]}", 0.0, "", "", False, match[2])
            if time.perf_counter() - began > SUITE_SECONDS:
                cut = ", cut short"
                process.kill()
                break
    took, wrong = time.perf_counter() - began, counts["FAILED"] + counts["ERROR"]
    yield at_least("tests of kernels that pass", counts["PASSED"], 1, "tests", f"{took:.0f} s{cut}")
    yield at_most("tests of kernels that fail", wrong, 0, "tests")


def forward() -> Iterator[Row]:
    """One layer over its product in cuBLAS."""
    sizes, batches = ((4,), (4,)) if SIMULATED else ((1024, 4096), (1000, 8192))
    for n in sizes:
        for batch in batches:
            yield from map(timed, speed.forward(2 if SIMULATED else 15, n, batch))


def steps() -> Iterator[Row]:
    """DANP steps: wall and Python time, that of kernels, memory, and the share of their bare products."""
    for name, network in NETWORKS.items():
        data = batch_of(BATCH, int(np.prod(network[0])), network[-1])
        for device in ("ideal", "crossbar"):
            yield from _steps(f"DANP step, {name}, {device}", network, device, data)


def _steps(what: str, network: list[Any], device: str, data: Batch) -> Iterator[Row]:
    """The rows of one network on one device."""
    once, many = stepper(network, device, data, 1e-3, "cuda"), 1 if SIMULATED else 20
    bare = speed.finished(products(network, BATCH, device == "crossbar", "cuda"))
    for _ in range(3):  # compiled, and work arrays made
        once()
        bare()
    wall, asked = [], []
    for _ in range(2 if SIMULATED else 5):
        start = WALL()
        asked.append(seconds(lambda: [once() for _ in range(many)], time.thread_time) / many)
        speed.finished(lambda: None)()
        wall.append((WALL() - start) / many)
    step, product = statistics.median(wall), statistics.median(seconds(bare, WALL) for _ in range(5))
    is_known = network is WIDE
    yield shown(f"{what}: time", 1e3 * step, "ms", detail=f"{BATCH / step:.0f} samples/s")
    yield shown(f"{what}: Python, of this", 1e3 * statistics.median(asked), "ms")
    yield shown(f"{what}: bare products", 1e3 * product, "ms", PREDICTED["products"] if is_known else "")
    yield timed(at_least(f"{what}: share of its bare products", product / step, 0.75))
    spent = [one for kernel, one in counted(once).items() if kernel != ARRAY]
    detail = f"{sum(one.launches for one in spent)} launches, without CuPy's own"
    yield shown(f"{what}: kernels and products, one by one", sum(one.ms for one in spent), "ms", detail=detail)
    if not SIMULATED:
        pool_of = backends.get("cuda").xp.get_default_memory_pool()
        yield shown(f"{what}: memory", pool_of.total_bytes() / 2**20, "MiB")


def launches() -> Iterator[Row]:
    """Launches of a DANP step, counted in the simulator, where those of CuPy's functions and operators are seen too."""
    for name, network in COUNTED.items():
        once = stepper(network, "crossbar", batch_of(2, int(np.prod(network[0])), network[-1]), 1e-3, "cuda")
        once()
        spent = counted(once)
        of_arrays = spent[ARRAY].launches
        others = sum(one.launches for one in spent.values()) - of_arrays
        bar = PREDICTED["launches"] if network is COUNTED["three hidden layers"] else ""
        detail = f"{others} of kernels and products, {of_arrays} of array functions"
        yield shown(f"DANP step, crossbar, {name}: launches", others + of_arrays, "", bar, detail)


def chips() -> Iterator[Row]:
    """64 chips on digits at once, against one at a time and the CPU."""
    if SIMULATED:
        task = (np.eye(4), np.arange(4) % 2, np.eye(4), np.arange(4) % 2)
        took = seconds(lambda: noisysim.run(task, layers=[3], epochs=1, chips=2, backend="cuda", progress=False), WALL)
        yield shown("chips=2", took, "s")
    else:
        yield from speed.side_by_side(64, 2)


def epoch() -> Iterator[Row]:
    """Epochs of Dalm et al. (2025), Figure 4: DANP on random images of its size; what the full figure would take."""
    n, test, side, width = (8, 4, 2, 4) if SIMULATED else (50_000, 10_000, 32, 1024)
    rng, ends = np.random.default_rng(0), [time.perf_counter()]
    images = [rng.integers(0, 256, (rows, 3, side, side), dtype=np.uint8) for rows in (n, test)]
    task = noisysim.tasks.get((images[0], np.arange(n) % 10 % n, images[1], np.arange(test) % 10 % test))
    noisysim.run(
        task, layers=[width] * 3, device="ideal", learner="danp:sigma=1e-3,decorrelation=1e-3", learning_rate=1e-3,
        batch_size=BATCH, epochs=4, optimizer="adam:epsilon=1e-7", backend="cuda", progress=False,
        callbacks=[lambda _: ends.append(time.perf_counter())],
    )  # fmt: skip
    each = statistics.median(np.diff(ends)[1:])
    yield shown("epoch of dalm2025-fig4, DANP, test included", each, "s", detail=f"{n:,} images of noise")
    yield shown("dalm2025-fig4 in full: 4 rules, 3 seeds, 300 epochs", 4 * 3 * 300 * each / 3600, "h")


def profile() -> Iterator[Row]:
    """Where the time of a DANP step goes, kernel by kernel; events around each launch make the step itself slower."""
    name, network = list(NETWORKS.items())[min(1, len(NETWORKS) - 1)]
    data = batch_of(BATCH, int(np.prod(network[0])), network[-1])
    once = stepper(network, "crossbar", data, 1e-3, "cuda")
    for _ in range(3):
        once()
    for kernel, spent in counted(once).items():
        yield shown(f"{name}, crossbar: {kernel}", spent.ms, "ms", detail=f"{spent.launches} launches")
