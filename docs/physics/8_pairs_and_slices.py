r"""
Pairs and slices
================

A conductance is never negative. A weight is therefore the difference of two cells, of which one rests at
:math:`G_\text{min}`:

.. math:: w = w_\text{max}\,\frac{g_+ - g_-}{G_\text{max} - G_\text{min}}.

Where a cell holds few bits, its weight may be spread over :math:`S > 1` arrays of :math:`b` bits each, read and
digitised one by one (with a single array a cell takes any value, or the nearest of its ``levels``). :math:`|w|` is
rounded to a number of :math:`b S` bits, and slice :math:`s` holds one digit of it, worth

.. math:: c_s = \frac{(2^b - 1)\,2^{b (S - 1 - s)}}{2^{b S} - 1}

of :math:`w_\text{max}` at full conductance. Rounding errors shrink by :math:`2^b` a slice. Errors of the cells do not:
the first slice carries nearly all of the weight, and its errors with it.

======================  ============================================  =======================================
field                   default                                       meaning
======================  ============================================  =======================================
``cells_per_weight``    2 (1 where pulses write)                      1: one cell beside an exact reference
``weight_range``        8                                             :math:`w_\text{max} \sqrt{n_\text{in}}`
``weight_bound``        0                                             above 0, :math:`w_\text{max}` itself
``slices``              1                                             :math:`S`
``slice_bits``          4                                             :math:`b`
======================  ============================================  =======================================
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.devices.physics.laws import clipped_normal
from noisysim.reporting.style import INK, TEST

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
OFF = ["line_noise", "read_noise", "program_noise", "levels", "dac_bits", "adc_bits"]
QUIET = {"name": "crossbar", "controller": "copy", **dict.fromkeys(OFF, 0)}
UNIT = {**QUIET, "weight_bound": 1.0}
LOW, SPAN = 0.1, 24.9  # µS

# %%
# A pair
# ------
#
# Weights from the most negative to the largest, and the two cells that hold each. What is asked for beyond
# :math:`w_\text{max}` is not to be had.

weights = np.linspace(-1.25, 1.25, 41, dtype=np.float32)
chip = noisysim.Chip([1, 41], UNIT, "linear", oracle=True, init="zero")
chip.program([weights[:, None]])
cells = chip.cells()[0]
plus, minus = LOW + SPAN * np.clip(weights, 0, 1), LOW + SPAN * np.clip(-weights, 0, 1)
figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for law, seen, colour, name in ((plus, cells.plus, TEST, "g₊"), (minus, cells.minus, INK, "g₋")):
    axes.plot(weights, law, color=colour, lw=1.3, label=f"{name}, law")
    axes.plot(weights, seen[0, :, 0], "o", color=colour, ms=3.5, mew=0, label=f"{name}, chip")
    assert np.allclose(seen[0, :, 0], law, atol=1e-3)
axes.set(xlabel="weight asked for (largest weight)", ylabel="conductance (µS)", ylim=(0, 32))
axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center")
figure.savefig("pair.png", dpi=150)

# %%
# Slices
# ------
#
# 4096 random weights on two to five slices of two bits: how far the weights that the chip holds are from those asked
# for, with perfect cells and with cells that miss by half a per cent of the span. The law takes into account that a
# cell cannot lie beyond its range.

asked = np.random.default_rng(0).uniform(-1, 1, (64, 64)).astype(np.float32)


def held(slices, miss):
    """The weights of a chip: its outputs when inputs are driven one by one."""
    device = {**UNIT, "slices": slices, "slice_bits": 2, "program_noise": miss}
    chip = noisysim.Chip([64, 64], device, "linear", seed=2, init="zero")
    chip.program([asked])
    return chip.forward(np.eye(64, dtype=np.float32)).output.T


def expected(slices, miss):
    """Root mean square of the error, from the moments of every cell."""
    number = np.rint(np.abs(asked.astype(float)) * (4**slices - 1))
    mean, variance = np.zeros(asked.shape), np.zeros(asked.shape)
    for s in range(slices):
        worth = 3 * 4 ** (slices - 1 - s) / (4**slices - 1)
        digit = number // 4 ** (slices - 1 - s) % 4
        for share, sign in ((digit / 3, 1), (0 * digit, -1)):
            level, spread = clipped_normal(share, miss, 0.0, 1.0)
            mean += sign * worth * level
            variance += (worth * spread) ** 2
    return np.sqrt(np.mean(variance + (mean - np.abs(asked)) ** 2))


SLICES = [2, 3, 4, 5]
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for miss, colour, name in ((0, INK, "perfect cells"), (0.005, TEST, "cells miss by 0.5 %")):
    law = np.array([expected(slices, miss) for slices in SLICES])
    seen = np.array([np.sqrt(np.mean((held(slices, miss) - asked) ** 2)) for slices in SLICES])
    axes.semilogy(SLICES, law, color=colour, lw=1.3, label=f"{name}, law")
    axes.plot(SLICES, seen, "o", color=colour, ms=5, label=f"{name}, chip")
    assert np.allclose(seen, law, rtol=0.05)
axes.set(xlabel="slices of two bits", ylabel="rms error (largest weight)", xticks=SLICES)
axes.legend(frameon=False, fontsize=8)
figure.savefig("slices.png", dpi=150)
