"""Reads of a device's own: cells read one by one, and a user's read-out against the same built in, one thread."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.speed.measure import Row, at_least, at_most, interleaved, ratio, seconds
from noisysim import Chip, Drive, devices
from noisysim.compute import execution

N = 1024
CUSTOM = '''
from typing import NamedTuple


class Mine(NamedTuple):
    """The built-in gaussian device, written by a user."""

    sigma: float = 1e-3


def readout(i, energy, z, u, d):
    return i + d.sigma * z
'''


def rows(rounds: int = 15) -> list[Row]:
    """Both."""
    with execution.threads(1):
        return [cell_reads(rounds), custom_readout(rounds)]


def cell_reads(rounds: int) -> Row:
    """Random telegraph noise: every cell of a 1024 x 1024 array read by itself, with a state of its own."""
    chip = Chip([N, N], devices.get("crossbar", telegraph=0.02, tau_capture=1e-3, tau_emission=1e-3))
    x = np.random.default_rng(0).standard_normal((16, N), dtype=np.float32)
    kept = chip.passes(x, [Drive()])
    took = statistics.median(seconds(lambda: chip.passes(x, [Drive()], out=kept)) for _ in range(rounds))
    return at_least("reads cell by cell, telegraph noise", 2 * N * N * len(x) / took / 1e9, 0.4, "1e9/s")


def custom_readout(rounds: int) -> Row:
    """A forward pass with a user's read-out against one with the same built in: the median of six pairs of chips.

    The machine code is the same; where a chip's arrays happen to lie makes some per cent of difference.
    """
    x, found = np.random.default_rng(0).standard_normal((1000, N), dtype=np.float32), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.py"
        path.write_text(CUSTOM)
        names = ["gaussian", str(path)]
        for pair in range(6):
            work: dict[str, Callable[[], object]] = {}
            for name in names if pair % 2 else reversed(names):
                chip = Chip([N, N, 1], name)
                kept = chip.passes(x, [Drive()])
                work[name] = partial(chip.passes, x, [Drive()], out=kept)
            found.append(ratio(interleaved(work, rounds), names[1], names[0]))
    what = "forward pass, a user's read-out against the same built in"
    return at_most(what, statistics.median(found), 1.05, detail=f"{min(found):.3f} to {max(found):.3f}")
