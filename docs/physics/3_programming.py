r"""
Programming
===========

A write aims at a conductance and misses it. Write-verify reads after each pulse and stops close to the target; what is
left is Gaussian, :math:`G = \text{target} + s\,\xi`, held within what a cell can be. Three things set the error:

.. math:: s = \sqrt{(s_0\,(G_\text{max} - G_\text{min}))^2 + (r\,G)^2}, \qquad
          G_k = G_\text{min} + k\,\frac{G_\text{max} - G_\text{min}}{L - 1},

a constant part, a part that grows with the target, and the nearest of :math:`L` levels that the controller aims at. Of
chips that were measured the error is a fit (:math:`g` is :math:`G` over the largest conductance):

===============  ==========================================================  ====================================
device           standard deviation of a write                               source
===============  ==========================================================  ====================================
``crossbar``     :math:`s_0` ``program_noise`` 0.002, :math:`r`              generic
                 ``program_noise_share`` 0, :math:`L` ``levels`` 256
``pcm``          :math:`0.26348 + 1.9650\,g - 1.1731\,g^2` µS                Joshi et al., Nat. Commun. 11:2473,
                                                                             2020
``rram_wan``     :math:`1.053 + 0.2374\,G - 0.01167\,G^2 +                   Wan et al., Nature 608:504, 2022
                 1.536\cdot10^{-4}\,G^3` µS, 1 s after the write
===============  ==========================================================  ====================================

The controller keeps each weight's target digitally, so that errors of writes do not add up over the updates: a tenth of
the span at each write is needed to hurt a small network (:doc:`/generated/tutorials/2_your_own_device`), a fortieth is
not felt.
"""

import matplotlib.pyplot as plt
import numpy as np

from noisysim import bench
from noisysim.reporting.style import INK, TEST, TRAIN

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})

# %%
# How far writes miss
# -------------------
#
# ``noisysim.bench`` writes 240 random targets to 25 cells each. Points: standard deviation of the errors, 20
# neighbouring targets together. Lines: the laws above. Near the ends of the range the cells' bounds cut the Gaussian,
# and less is left.


def crossbar(g):
    """Of the crossbar with the settings below, µS."""
    return np.hypot(0.01 * 24.9, 0.03 * g)


def pcm(g):
    """Joshi et al. 2020, µS."""
    return 0.26348 + 1.9650 * g / 25 - 1.1731 * (g / 25) ** 2


def rram_wan(g):
    """Wan et al. 2022, µS."""
    return 1.053 + 0.2374 * g - 0.01167 * g**2 + 1.536e-4 * g**3


CHIPS = {
    "crossbar:program_noise=0.01,program_noise_share=0.03,levels=0": (crossbar, INK, "crossbar, s₀ = 0.01, r = 0.03"),
    "pcm": (pcm, TEST, "pcm"),
    "rram_wan": (rram_wan, "#0072B2", "rram_wan"),
}
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for device, (law, colour, name) in CHIPS.items():
    found = bench.programming_error(device)
    targets = found.targets.reshape(12, -1).mean(axis=1)
    seen = found.errors.reshape(len(found.errors), 12, -1).std(axis=(0, 2))
    axes.plot(found.targets, law(found.targets), color=colour, lw=1.3, label=name)
    axes.plot(targets, seen, "o", color=colour, ms=4)
    assert np.allclose(seen[2:-2], law(targets)[2:-2], rtol=0.15)
axes.set(xlabel="target (µS)", ylabel="std of the error (µS)", ylim=(0, None))
axes.set_title("lines: law, points: chip", loc="left", fontsize=10)
axes.legend(frameon=False, fontsize=8)
figure.savefig("errors.png", dpi=150)

# %%
# Levels
# ------
#
# With eight levels and no noise the error is a sawtooth, at most half the distance of two levels.

found = bench.programming_error("crossbar:program_noise=0,levels=8")
step = 24.9 / 7
law = 0.1 + step * np.rint((found.targets - 0.1) / step) - found.targets
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
axes.plot(found.targets, law, color=TEST, lw=1.3, label="law")
axes.plot(found.targets, found.errors[0], ".", color=INK, ms=4, label="chip")
axes.set(xlabel="target (µS)", ylabel="conductance − target (µS)", ylim=(-2, 2.8))
axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
figure.savefig("levels.png", dpi=150)
assert np.mean(np.abs(found.errors[0] - law) < 1e-3) > 0.98

# %%
# Write-verify with pulses
# ------------------------
#
# A cell that is changed by pulses can be written in a closed loop as well: pulse, read, until it is within
# ``verify_tolerance`` of the target or ``verify_pulses`` are used up. Here pulses are noisy (30 % from pulse to pulse),
# the tolerance is 1 % of the span, and a step is 0.1 % of it. The loop rests where it first comes within the tolerance:
# errors pile up at its edges.

LOOP = "rpu:verify_pulses=4000,verify_tolerance=0.01,bounds_spread=0"
found = bench.programming_error(LOOP)
figure, axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
errors = 100 * found.errors.ravel() / 20
axes.hist(errors, np.linspace(-1.5, 1.5, 61), color=TRAIN, label=f"{errors.size} cells")
for end in (-1, 1):
    axes.axvline(end, color=TEST, lw=1.3, label="tolerance" if end > 0 else None)
axes.set(xlabel="conductance − target (% of the span)", ylabel="cells")
axes.legend(frameon=False, fontsize=8)
figure.savefig("write_verify.png", dpi=150)
assert np.mean(np.abs(errors) < 1.2) > 0.99
