"""Any two hooks of a device together: either the chip carries the noise of both, or the device is refused.

Run as a program, with NUMBA_DISABLE_JIT=1, this file makes a chip of every pair: nothing of them is worth compiling.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

HEAD = """
from typing import Annotated, NamedTuple
import numpy as np
from noisysim.common.fields import Field, Spread

class Chip(NamedTuple):
    g_min: float = 1.0
    g_max: float = 11.0
    weight_bound: float = 1.0
    read_time: float = 1.0
    pulse_step: float = 0.01
"""
HOOKS = {
    "dac": "def dac(v, d):\n    return v * 0.5",
    "current": "def current(v, d):\n    return v * v * v",
    "program": "def program(g, z, d):\n    return min(max(g + 0.5 * z, d.g_min), d.g_max)",
    "pulse": "def pulse(g, up, z, d):\n    return g + 0.1 * up * (1 + 0.3 * z)",
    "drift": "def drift(g, t, d):\n    return g / (1 + 0.001 * t)",
    "cell_std": "def cell_std(g, t, d):\n    return 0.5 * g",
    "cell_std, aged": "def cell_std(g, t, d):\n    return 0.5 * g * min(t, 1)",
    "jump": "def jump(s, u, t, d):\n    return 1 if u < 0.5 else 0",
    "read_cell": "def read_cell(g, s, z, u, d):\n    return g * (1 + 0.5 * z)",
    "read_cell, state": "def read_cell(g, s, z, u, d):\n    return g * (1 - s)",
    "readout": "def readout(i, energy, z, u, d):\n    return i + np.sqrt(energy + 0.04) * z",
    "readout, uniform": "def readout(i, energy, z, u, d):\n    return i + 0.2 * np.sqrt(12.0) * (u - 0.5)",
    "readout, deaf": "def readout(i, energy, z, u, d):\n    return i + 0.2 * z",
    "readout, quiet": "def readout(i, energy, z, u, d):\n    return i - energy",
    "adc": "def adc(i, d):\n    return 0.5 * i",
}
SHARE = {"cell_std": 0.5, "cell_std, aged": 0.5, "read_cell": 0.5, "read_cell, state": 0.5}  # std over conductance
LINE = {"readout", "readout, uniform", "readout, deaf"}  # std 0.2
ALONE = [(name,) for name in HOOKS]
PAIRS = [p for p in itertools.combinations(HOOKS, 2) if p[0].split(",")[0] != p[1].split(",")[0]]
INPUTS, OUTPUTS, ROWS = 4, 8, 100
DEVIATIONS = 5.5  # of the variance of normal lines: 1e-5 for all pairs together; each kind of noise alone is far more


def refused(names):
    """Why a device with these hooks must be refused, as its error says it; nothing if it need not be."""
    have = set(names)
    if "jump" in have and "read_cell, state" not in have:
        return "jump changes a state that nothing reads"
    if "read_cell, state" in have and "jump" not in have:
        return "read_cell reads the state s, which nothing changes"
    if have & {"cell_std", "cell_std, aged"}:
        if have & {"readout, deaf", "readout, uniform"}:
            return "readout does not read energy"
        if "readout, quiet" in have:
            return "readout draws nothing"
    return ""


def law(names, chip, driven):
    """(OUTPUTS,) variance of one read of each line, in what the ADC gives."""
    x = driven**3 if "current" in names else driven
    cells = chip.cells()
    conductances = [cells[0].plus[0], cells[0].minus[0]] if cells else []
    share = sum(SHARE.get(name, 0) ** 2 for name in names)
    variance = sum(share * (g.astype(float) ** 2 @ x**2) for g in conductances) / 10**2
    variance = np.zeros(OUTPUTS) + variance + 0.04 * bool(LINE & set(names))
    return variance * (0.25 if "adc" in names else 1)


def examined(names, folder):
    """What is wrong with a device that has these hooks; "" if nothing is."""
    from noisysim import Chip, Drive, devices

    path = Path(folder, "chip.py")
    path.write_text(HEAD + "\n" + "\n".join(HOOKS[name] for name in names) + "\n")
    said = refused(names)
    try:
        device = devices.get(path)
    except devices.DeviceError as error:
        return "" if said and said in str(error) else f"refused: {error}"
    if said:
        return f"not refused: {said}"
    chip = Chip([INPUTS, OUTPUTS], device, "linear", oracle=True, seed=1)
    chip.program([np.full((OUTPUTS, INPUTS), 0.05, np.float32)])
    chip.wait(5.0)
    x = np.tile(np.float32([[1.0, -0.8, 0.6, 0.9]]), (ROWS, 1))
    with chip.aside():
        reads = chip.passes(x, [Drive(), Drive()])  # of one call: between two calls cells grow older
    wanted = law(names, chip, reads[0].inputs[0][0].astype(float))
    difference = (reads[0].output - reads[1].output).astype(float)
    if not wanted.any():
        return "" if not difference.any() and "clean" in chip.offers else "noise out of nowhere"
    ratio = np.mean(difference**2 / (2 * wanted))
    slack = DEVIATIONS * np.sqrt(2 / difference.size)
    if abs(ratio - 1) > slack or "clean" in chip.offers:
        return f"the variance of a read is {ratio:.3f} of the law's"
    return ""


def main():
    """Examine every pair; prints what is wrong."""
    warnings.simplefilter("ignore")  # NumPy's, of integers that wrap around as they should
    with tempfile.TemporaryDirectory() as folder:
        found = {" + ".join(names): examined(names, folder) for names in ALONE + PAIRS}
    print(json.dumps(found))


@pytest.fixture(scope="module")
def found():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_two_hooks_are_right_together_or_refused(found):
    assert len(found) == len(ALONE + PAIRS) > 100
    assert {names: said for names, said in found.items() if said} == {}


def test_some_are_refused_and_most_are_right():
    count = sum(bool(refused(names)) for names in ALONE + PAIRS)
    assert 0 < count < len(PAIRS) / 2


if __name__ == "__main__":
    main()
