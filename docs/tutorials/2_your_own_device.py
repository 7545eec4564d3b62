"""
Your own device
===============

A device is one Python file: a ``NamedTuple`` of numbers, and any of ten functions that say what the hardware does. They
are compiled into the loops of the package's own devices. This page writes one, makes the usual mistakes, draws it and
trains on it. All hooks and declarations: :doc:`/your-device`.
"""

from pathlib import Path

import noisysim
from noisysim.conformance import check

# %%
# One hook
# --------
#
# Lines with two levels: a share ``duty`` of the reads, each independently, finds a line higher by ``amplitude``. The
# hook ``readout`` is called for every line at every read; ``u`` is a new uniform draw. This is the whole file.

first = '''
from typing import NamedTuple


class TwoLevel(NamedTuple):
    """Two-level lines: `amplitude` (pre-activation units) higher in a share `duty` of the reads, independently."""

    amplitude: float = 0.05
    duty: float = 0.1


def readout(i, energy, z, u, d):
    return i + d.amplitude * (u < d.duty)
'''
Path("levels.py").write_text(first)

result = noisysim.run(device="levels.py:amplitude=0.02", layers=[32], epochs=10)
print(result)
assert result.history["test_accuracy"][-1] > 0.6

# %%
# What is not defined is ideal: this chip has no cells, no converters and no error of a write, only two-level noise, and
# DANP learns from it. The summary shows a hash of the file. A result file keeps the source, and resuming asks for the
# same one.
#
# Mistakes
# --------
#
# The file is read and every hook tried before anything runs. What is wrong comes as one line with file and line number.

MISTAKES = {
    "a misspelt hook": first.replace("readout", "read_out"),
    "a misspelt field": first.replace("d.amplitude", "d.amplitud"),
    "other arguments": first.replace("(i, energy, z, u, d)", "(i, z, d)"),
    "no number": first.replace("return i +", "i = i +"),
    "not a number": first.replace("return i", "return (i - 1.0) ** 0.5"),
}
for mistake, source in MISTAKES.items():
    Path("mistake.py").write_text(source)
    try:
        noisysim.devices.get("mistake.py")
        raise AssertionError(f"{mistake} went through")
    except noisysim.devices.DeviceError as error:
        print(f"{mistake}:\n   {error}")

# %%
# A setting that is not there is refused as well.

try:
    noisysim.devices.get("levels.py:amplitde=0.1")
except ValueError as error:
    print(error)

# %%
# Cells
# -----
#
# The second version has cells. ``Array`` brings what is between weights and cells, ``Converters`` the DAC, the ADC
# and their hooks; ``Field`` says unit and range once, for checks, messages and ``noisysim devices levels.py``. Two
# hooks are new: ``cell_std``, the standard deviation of one read of a cell, and ``program``, what a write leaves. The
# chip adds up what a line's cells contribute and hands it to ``readout`` as ``energy``, a variance.

second = '''
"""Noisy cells on two-level lines."""

from typing import Annotated

import numpy as np

from noisysim.common.fields import Field
from noisysim.devices.field_groups import Array, Converters, device_fields
from noisysim.devices.physics.converters import adc, dac
from noisysim.devices.physics.laws import clipped_normal


@device_fields
class TwoLevel(Converters, Array):
    """Two-level lines, cells that are noisier the more they conduct, writes that miss."""

    line_noise = 0

    g_min: Annotated[float, Field("µS", 0, 1e3, "lowest conductance")] = 1.0
    g_max: Annotated[float, Field("µS", 0, 1e3, "highest conductance")] = 21.0
    amplitude: Annotated[float, Field("of the ADC's full scale", 0, 1, "distance of the levels", noise="read")] = 0.01
    duty: Annotated[float, Field("share of reads", 0, 1, "how often a line is high")] = 0.1
    shot: Annotated[float, Field("sqrt(µS)", 0, 10, "std of a read, times sqrt(G)", noise="read")] = 0.1
    miss: Annotated[float, Field("µS", 0, 10, "std of a write", noise="write")] = 0.5


def cell_std(g, t, d):
    return d.shot * np.sqrt(g)


def program(g, z, d):
    return min(max(g + d.miss * z, d.g_min), d.g_max)


def readout(i, energy, z, u, d):
    line = d.line_noise * d.adc_range
    return i + np.sqrt(energy + line * line) * z + d.amplitude * d.adc_range * (u < d.duty)


def program_law(g, d):
    return clipped_normal(g, d.miss, d.g_min, d.g_max)


def readout_law(i, energy, d):
    high, line = d.amplitude * d.adc_range, d.line_noise * d.adc_range
    return i + high * d.duty, np.sqrt(energy + line**2 + high**2 * d.duty * (1 - d.duty))


def check(d):
    if not d.g_min < d.g_max:
        raise ValueError(f"g_min ({d.g_min:g} µS) must be below g_max ({d.g_max:g} µS)")
'''
Path("levels.py").write_text(second)

# %%
# ``program_law`` and ``readout_law`` are the same effects once more, as mean and standard deviation. They are not
# needed to run. The conformance suite holds the hooks to them, and the picture below draws them.

report = check("levels.py")
for finding in report.findings:
    mark = {True: "ok", False: "FAILS", None: "-"}[finding.passed]
    print(f"{mark:>5}  {finding.check}: {finding.text}")
report.raise_on_failure()

# %%
# Look at it
# ----------
#
# Each panel is measured on small chips of the device, the laws are red. A law says mean and standard deviation and is
# drawn as a normal: the reads have both, and are skewed, since a line is high less often than low.

noisysim.plot.device("levels.py")

# %%
# Train on it
# -----------
#
# The rules need to know nothing of it. Writes that miss by a fortieth of the span cost next to nothing here: the
# controller keeps the target of each weight, so that errors of writes do not add up. A tenth of the span is too much.
# How much chips lose of it differs; these are means of four.

MISS = (0, 0.5, 2)
runs = [noisysim.run(device=f"levels.py:miss={miss}", layers=[32], epochs=10, chips=4) for miss in MISS]
reached = [run.history["test_accuracy"][-1].mean() for run in runs]
for miss, accuracy in zip(MISS, reached, strict=True):
    print(f"miss {miss:>3} µS: test accuracy {100 * accuracy:.1f} %")
assert reached[2] + 0.1 < reached[1]
assert reached[0] - 0.06 < reached[1]

# %%
# On the command line the same file is ``--device levels.py:miss=2``; ``python -m noisysim.conformance levels.py`` is
# the check, ``noisysim devices show levels.py`` the picture.
