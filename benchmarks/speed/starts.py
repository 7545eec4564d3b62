"""Starts: processes of their own, from their beginning to the first update, with an empty and with a filled cache."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed.measure import Row, at_most, seconds

OTHERS = ("rpu", "pcm", "rram_wan")
"""Built-in devices whose hooks are other than the default's: pulses, ageing, measured tables."""
OWN = '''
from typing import NamedTuple

import numpy as np


class Own(NamedTuple):
    """A device as a user writes one: writes miss, reads of cells have noise, lines have two levels."""

    write_error: float = 0.1
    read_error: float = 0.01
    amplitude: float = 0.01
    g_min: float = 1.0
    g_max: float = 20.0


def program(g, z, d):
    return min(max(g + d.write_error * z, d.g_min), d.g_max)


def cell_std(g, t, d):
    return d.read_error * g


def readout(i, energy, z, u, d):
    return i + np.sqrt(energy) * z + d.amplitude * (u < 0.1)
'''
_RUN = """
import sys
import time
import noisysim

class First(noisysim.callbacks.Callback):
    every = 1

    def on_update(self, event):
        print("updated", time.process_time(), flush=True)
        event.stop()

noisysim.run(device=sys.argv[1], callbacks=[First()], progress=False)
"""


class Start(NamedTuple):
    """Seconds until a process's first update: on the clock, and of its own computing, without its helpers'."""

    took: float
    cpu: float


def python(code: str, *arguments: str, cache: Path | None = None) -> str:
    """What a new Python process prints; compiled code goes into `cache` only, and comes from there."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=_environment(cache), capture_output=True, text=True, check=True).stdout.strip()


def first_update(device: str, cache: Path) -> Start:
    """Seconds from the start of a new process to the first update of its default run; the process then ends."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, device], env=_environment(cache), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said, took = process.stdout.readline().split(), time.perf_counter() - start
    if process.returncode or said[:1] != ["updated"]:
        raise RuntimeError(f"the run on {device} ended with {process.returncode} before its first update")
    return Start(took, float(said[1]))


def _environment(cache: Path | None) -> dict[str, str]:
    """This process's, with compiled code in one folder, that of loops without a device included."""
    if cache is None:
        return dict(os.environ)
    return {**os.environ, "NOISYSIM_CACHE": str(cache), "NUMBA_CACHE_DIR": str(cache / "numba")}


def rows(rounds: int = 5) -> list[Row]:
    """The default run with an empty cache; other devices after it; the same run again; and what is not compiled."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        own = Path(folder) / "own.py"
        own.write_text(OWN)
        cold = first_update("crossbar", cache)
        others = {device: _after(device, cache) for device in (*OTHERS, str(own))}
        warm = [first_update("crossbar", cache) for _ in range(rounds)]
        whole = [seconds(lambda: python("import noisysim; noisysim.run()", cache=cache)) for _ in range(3)]
    of_own, first = others.pop(str(own)), "to its first update"
    each = ", ".join(f"{device} {start.took:.1f}" for device, start in others.items())
    slowest, usual = max(others.values()), statistics.median_low(warm)
    return [
        at_most(f"default run, empty cache, {first}", cold.took, 8, "s", _cpu(cold)),
        at_most(f"another built-in device, cache of the first, {first}", slowest.took, 2.5, "s", each),
        at_most(f"a user's device file, cache of the first, {first}", of_own.took, 2.5, "s", _cpu(of_own)),
        at_most(f"default run, warm cache, {first}", usual.took, 0.7, "s", _cpu(usual)),
        at_most("default run, whole process, warm", statistics.median(whole), 6, "s"),
        _imports(rounds),
    ]


def _cpu(start: Start) -> str:
    return f"{start.cpu:.2f} s of computing, without what helpers compile"


def _after(device: str, cache: Path) -> Start:
    """Time to the first update of another device's run, in a copy of a cache: it shares nothing with a third device."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "cache"
        shutil.copytree(cache, copy)
        return first_update(device, copy)


def _imports(rounds: int) -> Row:
    """The package alone, beside Python without it and the whole command line."""

    def took(code: str) -> float:
        return statistics.median(seconds(partial(python, code)) for _ in range(rounds))

    line = took("import noisysim.cli, noisysim.runs.api, noisysim.chip.chip")
    detail = f"python alone {took('pass'):.2f} s, whole command line {line:.2f} s"
    return at_most("import noisysim", took("import noisysim"), 0.7, "s", detail)
