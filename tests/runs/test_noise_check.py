"""A run whose device has read noise and whose passes are all alike stops; no other run does.

Run as a program, with NUMBA_DISABLE_JIT=1, this file looks at chips of every device; none is worth compiling.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices
from noisysim.chip.chip import snapshot
from noisysim.runs import noise_check

SETTINGS = (
    {}, {"adc_bits": 2, "line_noise": 0}, {"line_noise": 0}, {"read_noise": 0, "line_noise": 0},
    {"sigma": 0}, {"sigma": 1e-12}, {"cells_per_weight": 2, "tile_rows": 2, "line_noise": 0},
    {"telegraph": 0.3, "tau_capture": 1e-6, "tau_emission": 1e-6, "line_noise": 0, "read_noise": 0},
    {"telegraph": 0.3, "tau_capture": 1e9, "tau_emission": 1e9, "line_noise": 0, "read_noise": 0},
    {"telegraph": 0.0, "tau_capture": 1e-6, "tau_emission": 1e-6, "line_noise": 0, "read_noise": 0},
)  # fmt: skip
DEAF = ("gaussian", "crossbar", "crossbar:line_noise=0", "sonos:line_noise=0", "rram_wan:read_noise=0.05,line_noise=0",
        "crossbar:line_noise=0,read_noise=0,telegraph=0.3,tau_capture=1e-8,tau_emission=1e-8")  # fmt: skip
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def chip_of(device, init="he", chips=1):
    chip = Chip([4, 3, 2], device, init=init, chips=chips)
    chip.calibrate(X)
    return chip


def said(device, **given):
    """What the check says of a new chip."""
    try:
        noise_check.check(chip_of(device, **given), X)
    except devices.DeviceError as error:
        return str(error)
    return ""


def every_device():
    """What is said of every device of the package, in all of these settings."""
    found = {}
    for name in devices.BUILT_IN:
        fields = devices.kind(name)._fields
        for settings in SETTINGS:
            if set(settings) <= set(fields):
                device = devices.get(name, **settings)
                found |= {f"{name} {settings} {init}": said(device, init=init) for init in ("he", "zero")}
    return found


HALF_DECLARED = '''
from typing import Annotated, NamedTuple
from noisysim.common.fields import Field

class HalfDeclared(NamedTuple):
    """Two noises, of which one alone is declared."""
    sigma: Annotated[float, Field("", 0, 1, noise="read")] = 0.0
    more: float = 0.1

def readout(i, energy, z, u, d):
    return i + d.sigma * z + d.more * (u - 0.5)
'''


def of_a_run():
    """What a run says of a device of whose noises one alone is declared, and off; and whether it left a file."""
    arrays = (np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32), np.arange(40) % 3)
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "chip.py"), Path(folder, "run.h5")
        path.write_text(HALF_DECLARED)
        try:
            noisysim.run(arrays, device=path, layers=[5], epochs=1, progress=False, out=out)
        except devices.DeviceError as error:
            return str(error), out.exists()
    return "", True


def main():
    """Print what is said where nothing may be said, and where noise is lost."""
    warnings.simplefilter("ignore")  # NumPy's, of integers that wrap around as they should
    found = {"right": every_device(), "run": of_a_run()}
    devices.is_noisy = lambda device: False
    print(json.dumps({**found, "lost": {spec: said(devices.get(spec)) for spec in DEAF}}))


@pytest.fixture(scope="module")
def found():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_is_said_of_any_device_as_it_is(found):
    assert len(found["right"]) > 100
    assert {what: error for what, error in found["right"].items() if error} == {}


@pytest.mark.parametrize("spec", DEAF)
def test_noise_that_is_lost_is_found(spec, found):
    name = spec.partition(":")[0]
    assert found["lost"][spec].startswith(f"{name}: its hooks give reads that differ (")
    assert found["lost"][spec].endswith(f"read noise was lost; python -m noisysim.conformance {name} says more")


@pytest.mark.parametrize("chips", [1, 3])
def test_a_check_leaves_no_trace(chips):
    looked, other = (chip_of("crossbar", chips=chips) for _ in range(2))
    before = snapshot(looked)
    noise_check.check(looked, X)
    for name, value in snapshot(looked).items():
        np.testing.assert_array_equal(value, before[name])
    assert (looked.cost, looked.clock) == (other.cost, other.clock)
    np.testing.assert_array_equal(looked.forward(X).output, other.forward(X).output)


def test_a_run_on_a_device_that_loses_noise_stops_before_it_learns(found):
    error, wrote = found["run"]
    wanted = "chip: every field declared as read noise (sigma) is 0, but its hooks give reads that differ ("
    assert error.startswith(wanted)
    assert not wrote


if __name__ == "__main__":
    main()
