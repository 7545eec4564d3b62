r"""
Wires
=====

The wires of an array have resistance: what flows along them drops voltage, and cells far from driver and sense
amplifier carry less than their share. For one output line of :math:`n` equal cells :math:`G`, :math:`r` between two
neighbours, driven alike, the line's potential obeys :math:`V'' = r\,G\,(V - V_\text{in})`; the cell at distance
:math:`k` from the sense amplifier contributes

.. math:: \frac{\cosh \kappa\,(n + \tfrac12 - k)}{\cosh \kappa\,(n + \tfrac12)}, \qquad \kappa = \sqrt{r\,G},

for small :math:`\kappa`: all that counts is :math:`\kappa n`. With word lines of the same resistance the drops of both
add up.

.. list-table::
   :header-rows: 1

   * - constant
     - field
     - default
     - remark
   * - :math:`r` (Ohm)
     - ``wire_resistance``
     - 0
     - of a segment between two neighbouring cells
   * - :math:`G` (µS)
     - ``g_max`` of ``crossbar``
     - 25
     - :math:`r G` is what counts: 1 Ohm and 25 µS are 2.5e-5
   * - exact solution
     - ``nodal=1``
     - 0
     - up to 256 x 256 cells; else the approximation of :doc:`/wires`

A rule that learns on the chip learns with the drop, which is one more linear map: the last block trains with and
without wires.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.devices.physics import wires
from noisysim.reporting.style import INK, TEST, TRAIN

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
OFF = ["line_noise", "read_noise", "program_noise", "levels", "dac_bits", "adc_bits"]
QUIET = {"name": "crossbar", "controller": "copy", **dict.fromkeys(OFF, 0)}
UNIT = {**QUIET, "weight_bound": 1.0, "g_min": 0.0}

# %%
# One line
# --------
#
# 256 cells of 25 µS on one output line. Each input is driven alone: what comes out is the share of its cell. The last
# input is the nearest to the sense amplifier.

ROWS, CELL = 256, 25e-6
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for ohm, colour in ((0.35, INK), (1, "#0072B2"), (5, TEST)):
    chip = noisysim.Chip([ROWS, 1], {**UNIT, "wire_resistance": ohm}, "linear", init="zero")
    chip.program([np.ones((1, ROWS), np.float32)])
    seen = chip.forward(np.eye(ROWS, dtype=np.float32)).output[:, 0]
    k = np.arange(ROWS, 0, -1)
    kappa = np.sqrt(ohm * CELL)
    law = np.cosh(kappa * (ROWS + 0.5 - k)) / np.cosh(kappa * (ROWS + 0.5))
    axes.plot(k, law, color=colour, lw=1.3, label=f"{ohm:g} Ω")
    axes.plot(k[::16], seen[::16], "o", color=colour, ms=4, mew=0)
    assert np.abs(seen - law).max() < 0.01
axes.set(xlabel="distance to the sense amplifier (cells)", ylabel="share of a cell that arrives", ylim=(0, 1.02))
axes.set_title("lines: law, points: chip", loc="left", fontsize=10)
axes.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("one_line.png", dpi=150)

# %%
# A whole array
# -------------
#
# Square arrays of random cells, 1 Ohm, random inputs. What the wires change, measured against the nodal equations
# (``noisysim.devices.physics.wires.transfer``), and how far off the chip's fast approximation is. To first order in
# :math:`r` a cell at a distance :math:`k` loses :math:`r\,\bar G\,(n^2 - (n - k)^2)/2` on either line; its mean
# over the array is :math:`\tfrac23\,r\,\bar G\,n^2`.

SIZES = [8, 16, 32, 64, 128]
rng = np.random.default_rng(0)
lost, missed = [], []
for n in SIZES:
    weights = rng.uniform(0, 1, (n, n)).astype(np.float32)
    inputs = rng.uniform(0, 1, (100, n)).astype(np.float32)
    chip = noisysim.Chip([n, n], {**UNIT, "wire_resistance": 1.0}, "linear", init="zero")
    chip.program([weights])
    # a weight is a pair of cells: the other one, at 0 µS, carries nothing
    exact = inputs @ wires.transfer(25.0 * weights, 1.0).T / 25.0
    ideal = inputs @ weights.T
    lost.append(np.sqrt(np.mean((exact - ideal) ** 2) / np.mean(ideal**2)))
    missed.append(np.sqrt(np.mean((chip.forward(inputs).output - exact) ** 2) / np.mean(ideal**2)))
law = 2 / 3 * 1.0 * CELL / 2 * np.array(SIZES) ** 2.0
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
axes.loglog(SIZES, law, color=TEST, lw=1.3, label=r"$\frac{2}{3}\, r\, \bar G\, n^2$")
axes.plot(SIZES, lost, "o", color=INK, ms=5, label="lost to the wires, exact")
axes.plot(SIZES, missed, "s", color=TRAIN, ms=5, label="error of the chip's approximation")
axes.set(xlabel="lines either way, n", ylabel="rms error (share of the output)")
axes.set_xticks(SIZES, SIZES)
axes.minorticks_off()
axes.legend(frameon=False, fontsize=8)
figure.savefig("whole_array.png", dpi=150)
assert np.allclose(lost, law, rtol=0.35)
assert (np.array(missed) < np.array(lost) / 200).all()

# %%
# Learning with wires
# -------------------
#
# The first layer has 64 x 32 pairs of cells. Ten Ohm between neighbours change its outputs; DANP, which sees only what
# the chip makes of the weights, gets to where it gets without wires.

accuracies = {}
for ohm in (0, 1, 10):
    result = noisysim.run(device=f"crossbar:wire_resistance={ohm}", layers=[32], epochs=10, chips=4)
    accuracies[ohm] = 100 * result.history["test_accuracy"][-1]
    print(f"{ohm:>2} Ohm: test accuracy {accuracies[ohm].mean():.1f} +- {accuracies[ohm].std(ddof=1):.1f} %")
assert abs(accuracies[10].mean() - accuracies[0].mean()) < 4
