"""Many small arrays: 1024 inputs on 32 tiles of 32 rows against one array of 1024, one thread."""

from __future__ import annotations

import statistics
from functools import partial

import numpy as np

from benchmarks.speed.measure import Row, at_most, interleaved, ratio
from noisysim import Chip, Drive, devices
from noisysim.compute import execution

N, BATCH, ROWS = 1024, 1000, 32


def rows(rounds: int = 15) -> list[Row]:
    """A pass whose lines have no noise and no ADC: what cutting its product costs.

    With them each tile is digitised by itself, 32 times as many conversions as of one array: that is stated beside it.
    """
    x = np.random.default_rng(0).standard_normal((BATCH, N), dtype=np.float32)
    plain = {"read_noise": 0.0, "line_noise": 0.0, "adc_bits": 0}
    work = {}
    with execution.threads(1):
        for name, settings in (("plain", plain), ("read", {"read_noise": 0.0})):
            for tile_rows in (0, ROWS):
                chip = Chip([N, N, 1], devices.get("crossbar", tile_rows=tile_rows, **settings))
                work[f"{name} {tile_rows}"] = partial(chip.passes, x, [Drive()], out=chip.passes(x, [Drive()]))
        times = interleaved(work, rounds)
    one, read = 1e3 * statistics.median(times["plain 0"]), ratio(times, f"read {ROWS}", "read 0")
    detail = f"one {one:.1f} ms; with line noise and ADC {read:.2f}"
    what = f"forward, 1024 x 1024, batch {BATCH}, {N // ROWS} tiles against one"
    return [at_most(what, ratio(times, f"plain {ROWS}", "plain 0"), 1.15, detail=detail)]
