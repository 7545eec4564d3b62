r"""
Faults
======

Some cells never move: stuck at the lowest conductance, at the highest, or anywhere between. Some lines are cut. Faults
are drawn at fabrication, each cell and line for itself, and stay for the life of the chip; neither the controller nor
the learner is told.

=======================  ==========================================================  ========
field                    what                                                        default
=======================  ==========================================================  ========
``stuck_low``            share of the cells stuck at :math:`G_\text{min}`            0
``stuck_high``           share of the cells stuck at :math:`G_\text{max}`            0
``stuck_random``         share stuck anywhere between, uniformly                     0
``dead_rows``            share of the input lines that are cut                       0
``dead_columns``         share of the output lines that are cut                      0
=======================  ==========================================================  ========

A weight is a pair of cells, :math:`w = w_\text{max}\,(g_+ - g_-)`, with :math:`g` from 0 to 1. Where :math:`w = 0` both
rest at 0, and a share :math:`p` of cells that are stuck at uniform :math:`g` leaves an error of mean 0 and variance

.. math:: \operatorname{var}(w) = w_\text{max}^2 \left(\tfrac23\,p - \tfrac12\,p^2\right).

Learning works around faults as far as it can; how far: :doc:`/generated/gallery/stuck_cells`.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import noisysim
from noisysim import bench
from noisysim.reporting.style import INK, TEST

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})

# %%
# An array
# --------
#
# Every cell of one array with all kinds of faults. The shares are those of this array: asked for were 3 % of each kind
# of stuck cells, and 2 % of the lines cut.

DEVICE = "crossbar:stuck_low=0.03,stuck_high=0.03,stuck_random=0.03,dead_rows=0.02,dead_columns=0.02"
found = bench.faults(DEVICE, seed=7)
colours = ["#eceef0", "#5b8db8", TEST, "#e3b04b", INK]
figure, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
axes.imshow(found.array, cmap=ListedColormap(colours), vmin=-0.5, vmax=4.5, interpolation="none", aspect="auto")
axes.grid(visible=False)
axes.set(xlabel="output line (two for each output: plus, minus)", ylabel="input line")
handles = [Patch(fc=c, label=f"{k}, {100 * s:.1f} %") for c, (k, s) in zip(colours, found.shares.items(), strict=True)]
figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)
figure.savefig("array.png", dpi=150)

# %%
# What stuck cells add to a line
# ------------------------------
#
# All weights are asked to be 0, and all of 256 inputs are driven: a line should give nothing. Its errors add up as
# :math:`\sqrt n`.

OFF = ["line_noise", "read_noise", "program_noise", "levels", "dac_bits", "adc_bits"]
QUIET = {"name": "crossbar", "controller": "copy", **dict.fromkeys(OFF, 0)}
ROWS, SHARES = 256, np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
seen = []
for share in SHARES:
    device = {**QUIET, "g_min": 0.0, "weight_bound": 1.0, "stuck_random": share}
    chip = noisysim.Chip([ROWS, 2000], device, "linear", seed=4, init="zero")
    seen.append(chip.forward(np.ones((1, ROWS), np.float32)).output.std())
law = np.sqrt(ROWS * (2 / 3 * SHARES - SHARES**2 / 2))
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
axes.loglog(100 * SHARES, law, color=TEST, lw=1.3, label=r"law, $w_\mathrm{max} \sqrt{n\,(2p/3 - p^2/2)}$")
axes.plot(100 * SHARES, seen, "o", color=INK, ms=5, label="chip, 2000 lines")
axes.set(xlabel="cells stuck, p (%)", ylabel="std of a line (largest weights)")
axes.set_xticks(100 * SHARES, [f"{100 * share:g}" for share in SHARES])
axes.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
axes.minorticks_off()
axes.legend(frameon=False, fontsize=8)
figure.savefig("stuck_lines.png", dpi=150)
assert np.allclose(seen, law, rtol=0.1)
