r"""
Pulses
======

Cells that are changed in place answer to a pulse by a step that depends on where they are, in which direction it goes,
on the cell and on chance. With :math:`w` the position of a cell, from −1 to 1 (half spans from the middle), and
:math:`b` its bound in the pulse's direction,

.. math:: \delta w_\pm = \pm 2\,\delta\,(1 \pm a)\left(1 \mp \gamma\,\frac{w}{b}\right)(1 + s\,\xi).

:math:`\gamma = 0` is a constant step, :math:`\gamma = 1` soft bounds: the step shrinks to nothing at the bound.

.. list-table::
   :header-rows: 1

   * - constant
     - field of ``pulsed``, ``rpu``
     - ``rpu``
     - source
   * - :math:`\delta` (share of the span)
     - ``pulse_step``
     - 0.001 / 1.2
     - Gokmen & Vlasov, Front. Neurosci. 10:333, 2016
   * - :math:`s`, from pulse to pulse
     - ``write_noise``
     - 0.3
     - same
   * - spread of :math:`\delta` from cell to cell
     - ``pulse_gain_spread``
     - 0.3
     - same
   * - spread of :math:`b`
     - ``bounds_spread``
     - 0.3
     - same
   * - asymmetry :math:`a`, its spread
     - ``asymmetry``, ``asymmetry_spread``
     - 0, 0.01
     - the spread is noisysim's choice
   * - :math:`\gamma`
     - ``gamma_up``, ``gamma_down`` (``pulsed``)
     - 0
     - 1: Fusi & Abbott, Nat. Neurosci. 10:485, 2007

Pulses that cancel each other in the mean still move a cell, to where steps up and down are the same. Noisy gradients
ask for many such pulses, which is why asymmetric cells are harder for perturbation than for backpropagation:
:doc:`/presets` has the numbers for ``rram_gong``.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim import bench
from noisysim.reporting.style import INK, TEST, TRAIN

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
STEP = 0.01


def position(conductance):
    """From -1 to 1, of cells of 10 to 30 µS."""
    return (np.asarray(conductance) - 20) / 10


# %%
# Up and down
# -----------
#
# A hundred pulses from end to end and a hundred back. With soft bounds :math:`1 - w_n = (1 - w_0)(1 - 2\delta)^n` on
# the way up. Of ``rram_gong`` (Gong et al. 2018) the mean of 64 cells is drawn, its noise being five times the step.

CHIPS = {
    f"pulsed:pulse_step={STEP}": (INK, "constant step"),
    f"pulsed:pulse_step={STEP},gamma_up=1,gamma_down=1": (TEST, "soft bounds"),
}
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for device, (colour, name) in CHIPS.items():
    found = bench.pulse_response(device)
    cells = position(np.concatenate([found.up, found.down[1:]])[:, 0])
    n = np.arange(101)
    up = np.minimum(cells[0] + 2 * STEP * n, 1) if "gamma" not in device else 1 - (1 - cells[0]) * (1 - 2 * STEP) ** n
    down = np.maximum(up[-1] - 2 * STEP * n, -1) if "gamma" not in device else (1 + up[-1]) * (1 - 2 * STEP) ** n - 1
    law = np.concatenate([up, down[1:]])
    axes.plot(law, color=colour, lw=1.3, label=f"{name}, law")
    axes.plot(np.arange(201)[::8], cells[::8], "o", color=colour, ms=4, mew=0, label=f"{name}, chip")
    assert np.abs(cells - law).max() < 1e-3
found = bench.pulse_response("rram_gong")
mean = position(np.concatenate([found.up, found.down[1:]])).mean(axis=1)
axes.plot(np.linspace(0, 200, len(mean)), mean, color="#0072B2", lw=1.3, label="rram_gong, mean (pulses scaled)")
axes.set(xlabel="pulses, 100 up and then 100 down", ylabel="position of a cell (half spans)", ylim=(-1.1, 1.9))
axes.legend(frameon=False, fontsize=8, ncols=2)
figure.savefig("up_and_down.png", dpi=150)

# %%
# Chance from pulse to pulse
# --------------------------
#
# After :math:`n` pulses up from the middle, 4096 cells have spread by :math:`2 \delta s \sqrt n`.

PULSES = [1, 2, 4, 8, 16, 31]
CELLS = 4096


def pulsed(changes, **settings):
    """Positions of cells after changes by so many pulses each (negative: down), (changes, cells)."""
    device = {"name": "pulsed", "pulse_step": STEP, "weight_bound": 1.0, **settings}
    chip = noisysim.Chip([1, CELLS], device, "linear", seed=2, oracle=True, init="zero")
    seen = []
    for pulses in changes:
        chip.program([np.full((CELLS, 1), pulses * 2 * STEP, np.float32)])
        seen.append(position(chip.cells()[0].plus[0, :, 0]))
    return np.array(seen)


seen = np.array([pulsed([n], write_noise=0.3)[0].std() for n in PULSES])
law = 2 * STEP * 0.3 * np.sqrt(PULSES)
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
axes.loglog(PULSES, law, color=TEST, lw=1.3, label=r"law, $2 \delta s \sqrt{n}$")
axes.plot(PULSES, seen, "o", color=INK, ms=5, label="chip")
axes.set(xlabel="pulses, n", ylabel="std of the positions (half spans)")
axes.set_xticks(PULSES, PULSES)
axes.set_yticks([0.005, 0.01, 0.02, 0.03], ["0.005", "0.01", "0.02", "0.03"])
axes.minorticks_off()
axes.legend(frameon=False, fontsize=8)
figure.savefig("chance.png", dpi=150)
assert np.allclose(seen, law, rtol=0.08)

# %%
# Where steps are the same
# ------------------------
#
# One pulse up, one down, again and again. With soft bounds :math:`(1 + a)(1 - w) = (1 - a)(1 + w)` at :math:`w = a`:
# cells go there from wherever they are, as :math:`(w - a)\,e^{-4 \delta n}` with :math:`n` pairs of pulses, to first
# order in :math:`\delta`. The weight that a learner left there is forgotten.

ASYMMETRY, PAIRS = 0.3, 100
n = np.arange(1, PAIRS + 1)
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for start, colour in ((31, TEST), (0, INK), (-31, "#0072B2")):
    soft = {"gamma_up": 1, "gamma_down": 1, "asymmetry": ASYMMETRY}
    path = pulsed([start] * 2 + [1, -1] * PAIRS, **soft).mean(axis=1)
    between = (path[2::2] + path[3::2]) / 2
    law = ASYMMETRY + (path[1] - ASYMMETRY) * np.exp(-4 * STEP * (n - 0.5))
    axes.plot(n, law, color=colour, lw=1.3, label=f"from {path[1]:.2f}")
    axes.plot(n[::5], between[::5], "o", color=colour, ms=4, mew=0)
    assert np.abs(between - law).max() < 0.03
axes.axhline(ASYMMETRY, color=TRAIN, lw=1, ls=(0, (4, 3)))
axes.set(xlabel="pairs of pulses, one up and one down", ylabel="position (half spans)", ylim=(-1, 1))
axes.set_title("lines: law, points: mean of the chip's cells", loc="left", fontsize=10)
axes.legend(frameon=False, fontsize=8)
figure.savefig("symmetry_point.png", dpi=150)
