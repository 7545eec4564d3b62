"""Whole processes: import, first and second start, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.speed.measure import Row, at_most, seconds

_FIRST_BATCH = """
import time; start = time.perf_counter()
import noisysim
from noisysim.compute import execution
from noisysim.runs.training import Training
from noisysim.runs import config
made = []
update = Training._update
def first(self, rows):
    update(self, rows)
    made or made.append(time.perf_counter() - start)
Training._update = first
noisysim.run(device="crossbar", epochs=1)
print(made[0])
"""

# Peak of what NumPy allocates, against the data, the weights and one pass's activities.
_MEMORY = """
import tracemalloc, numpy as np, noisysim
from noisysim.compute.layered import layered
layers, batch = [512, 512, 512], 1000
rng = np.random.default_rng(0)
x, y = rng.standard_normal((8000, 784), dtype=np.float32), np.arange(8000) % 10
task = noisysim.tasks.get((x, y, x[:1000], y[:1000]))
run = lambda: noisysim.run(task, layers=layers, batch_size=batch, epochs=1, device="crossbar")
run()
import noisysim.compute.execution as execution
execution._local.__dict__.clear()
tracemalloc.start()
run()
peak = tracemalloc.get_traced_memory()[1]
sizes = [784, *layers, 10]
weights = sum(a * b for a, b in zip(sizes, sizes[1:])) + sum(n * n for n in sizes[:-1])
activities = batch * (sum(sizes[:-1]) + sum(sizes[1:]))
print(peak / (4 * (weights + activities)))
"""


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def rows(rounds: int = 5) -> list[Row]:
    """Start-up and memory."""
    bare = [seconds(lambda: _python("pass")) for _ in range(rounds)]
    imported = [seconds(lambda: _python("import noisysim")) for _ in range(rounds)]
    with tempfile.TemporaryDirectory() as cache:
        cold = float(_python(_FIRST_BATCH, NOISYSIM_CACHE=cache))
        warm = [float(_python(_FIRST_BATCH, NOISYSIM_CACHE=cache)) for _ in range(rounds)]
        whole = [seconds(lambda: _python("import noisysim; noisysim.run()", NOISYSIM_CACHE=cache)) for _ in range(3)]
        memory = float(_python(_MEMORY, NOISYSIM_CACHE=cache))
    everything = "import noisysim.cli, noisysim.runs.api, noisysim.chip.chip"
    command_line = [seconds(lambda: _python(everything)) for _ in range(rounds)]
    detail = f"python alone {statistics.median(bare):.2f} s, whole command line {statistics.median(command_line):.2f} s"
    return [
        at_most("import noisysim", statistics.median(imported), 0.7, "s", detail),
        at_most("default run, first start, to its first update", cold, 40, "s", "compiles everything"),
        at_most("default run, second start, to its first update", statistics.median(warm), 3, "s"),
        at_most("default run, whole process, warm", statistics.median(whole), 6, "s"),
        at_most("peak of arrays in a run beyond its data (weights with R + activities)", memory, 3),
    ]
