"""Studies on processes of this machine: the overhead per run, and what two workers gain."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import distributed

import noisysim
from benchmarks.speed.measure import Row, at_least, at_most
from noisysim.studies import table, worker
from noisysim.studies.cells import Cells, split_shared
from noisysim.studies.grids import Plan

SMALL: dict[str, Any] = {"task": "digits", "layers": [16], "learner": "danp", "epochs": 1, "batch_size": 360}
"""A run of a few milliseconds."""
LARGE: dict[str, Any] = {"task": "digits", "layers": [512], "learner": "danp", "batch_size": 32}
"""A run whose length is chosen; too large for seeds side by side."""
SECONDS = 10.0
MANY: dict[str, Any] = {
    "task": "digits", "learner": ["danp", "dnp", "inp", "fdfa", "bp"], "seed": range(10),
    "device": noisysim.grid(
        "crossbar", adc_bits=[3, 4, 5, 6, 7, 8, 9, 10], read_noise=[0, 0.01, 0.02, 0.05, 0.1],
        line_noise=[0, 0.005, 0.01, 0.02, 0.05],
    ),
}  # fmt: skip


def rows() -> list[Row]:
    """Overhead per run, what a large study takes, and the gain of a second worker."""
    return [_overhead(), *_many(), _two_workers()]


def _sweep(seeds: int, workers: int, **asked: Any) -> tuple[float, Any]:
    """Wall time of a study, cluster included, and the study."""
    began = time.perf_counter()
    study = noisysim.sweep(**asked, seed=range(seeds), workers=workers, threads=1, progress=False)
    assert study.counts["finished"] == seeds, study
    return time.perf_counter() - began, study


def _overhead(runs: int = 300) -> Row:
    """Wall time of one worker a run, file and journal included, less the runs' own time; the cluster has started.

    Runs side by side would hide it, so each is made to be alone by a learning rate of its own.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        distributed.Client(  # type: ignore[no-untyped-call]
            n_workers=1, threads_per_worker=1, dashboard_address=None, set_as_default=False
        ) as client,
    ):
        for count in (5, runs):  # the first loads what is compiled
            rates = [1e-3 * (1 + k / 1000) for k in range(count)]
            began, busy = time.perf_counter(), time.process_time()
            study = noisysim.sweep(
                **SMALL, learning_rate=rates, client=client, out=Path(folder) / f"{count}.h5", progress=False
            )
            wall, busy = time.perf_counter() - began, time.process_time() - busy
    own = float(study.data.elapsed.sum())
    note = f"beside {1e3 * own / runs:.0f} ms of the run itself; this process {1e3 * busy / runs:.0f} ms"
    return at_most("study: overhead per run", 1e3 * (wall - own) / runs, 50, "ms", note)


def _many() -> list[Row]:
    """A study of 10,000 runs: what comes before the first of them, and the file when all are done."""
    began = time.perf_counter()
    plan = Plan(MANY)
    cells = Cells(plan, None, []).cells
    planned = time.perf_counter() - began
    found = table.Table(plan.axes, plan.described(), [c.key for c in cells], *split_shared([c.plain for c in cells]))
    of_one = noisysim.run(**SMALL, progress=False)
    learned = noisysim.tasks.get(SMALL["task"])
    for cell in cells:
        found.put(worker.record(cell.key, of_one, learned))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.h5"
        began = time.perf_counter()
        table.write(path, found)
        written = time.perf_counter() - began
        size = path.stat().st_size / 1e6
        began = time.perf_counter()
        study = noisysim.load(path)
        assert study.data.sizes["seed"] == 10
        read = time.perf_counter() - began
        began = time.perf_counter()
        study.plot(
            "test_accuracy", x="read_noise", hue="learner", col="adc_bits", line_noise=0.01, path=path.parent / "x.png"
        )
        drawn = time.perf_counter() - began
    return [
        at_most(f"study: {len(cells):,} runs resolved and checked", planned, 20, "s"),
        at_most(f"study: file of {len(cells):,} runs", written, 2, "s", f"{size:.1f} MB, read in {read:.1f} s"),
        at_most(f"study: a figure of {len(cells):,} runs, 8 panels of 5 lines", drawn, 5, "s"),
    ]


def _two_workers(runs: int = 6, rounds: int = 2) -> Row:
    """Runs of about `SECONDS` each: one worker's wall time over that of two."""
    began = time.perf_counter()
    noisysim.run(**LARGE, epochs=20, threads=1, progress=False)
    epochs = max(1, round(20 * SECONDS / (time.perf_counter() - began)))
    gains, taken = [], []
    for _ in range(rounds):
        one, study = _sweep(runs, 1, **LARGE, epochs=epochs)
        two, _ = _sweep(runs, 2, **LARGE, epochs=epochs)
        gains.append(one / two)
        taken.append(float(study.data.elapsed.median()))
    gain, each = statistics.median(gains), statistics.median(taken)
    return at_least("study: two workers against one, one thread a run", gain, 1.7, detail=f"{each:.1f} s a run")
