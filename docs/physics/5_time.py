r"""
Time
====

A conductance does not stay. Phase-change cells relax by a power law, from :math:`t_0` on; filaments and charges decay
to a resting value, faster the warmer they are:

.. math:: G(t) = G_0 \left(\frac{t}{t_0}\right)^{-\nu}, \qquad
          G(t) = G_\text{min} + (G_0 - G_\text{min})\,e^{-t/t_R}, \quad t_R = t_a\,e^{E_a / k_B T}.

.. list-table::
   :header-rows: 1

   * - constant
     - field
     - source
   * - :math:`\nu`, and its relative spread from cell to cell
     - ``drift_nu``, ``drift_nu_spread`` (``crossbar``, 0)
     - Pirovano et al., IEEE TED 51:714, 2004; Karpov et al., JAP 102:124503, 2007
   * - :math:`t_0` (s)
     - ``drift_start``: 1 (``crossbar``), 20 (``pcm``)
     - Joshi et al., Nat. Commun. 11:2473, 2020 (``pcm``)
   * - :math:`\nu` of ``pcm``, with :math:`g = G / 25` µS: mean clip(−0.0155 ln g + 0.0244, 0.049, 0.1),
       std clip(−0.0125 ln g − 0.0059, 0.008, 0.045)
     - ``drift`` times the mean, ``drift_spread`` times the std
     - same
   * - :math:`t_a` (s), :math:`E_a` (eV), :math:`T` (K)
     - ``retention``, ``activation_energy``, ``temperature`` (``crossbar``)
     - Arrhenius's law

While a network learns, drift hardly shows: a run takes well under a second of the chip's clock
(:doc:`/presets`). What time leaves of what was learned is in :doc:`/generated/gallery/retention`.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim import bench
from noisysim.reporting.style import INK, TEST, TRAIN

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})

# %%
# Drift
# -----
#
# 150 cells at each of four conductances, written once and looked at for ten years. Points: medians of the chip's cells;
# lines: the law, with the mean exponent of the conductance that was written.


def exponent(g):
    """Mean exponent of pcm, g of 25 µS."""
    return np.clip(-0.0155 * np.log(g) + 0.0244, 0.049, 0.1)


found = bench.ageing("pcm:program_noise=0")
middle = np.median(found.cells, axis=1)
law = found.targets * (found.ages[:, None] / 20) ** -exponent(found.targets / 25)
shades = plt.colormaps["viridis"](np.linspace(0.85, 0, 4))
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for k, colour in enumerate(shades):
    axes.loglog(found.ages, law[:, k], color=colour, lw=1.3, label=f"{found.targets[k]:g} µS")
    axes.plot(found.ages[::4], middle[::4, k], "o", color=colour, ms=4, mew=0)
    axes.fill_between(found.ages, *np.percentile(found.cells[:, :, k], [10, 90], axis=1), color=colour, alpha=0.2, lw=0)
axes.set(xlabel="time since the write (s)", ylabel="conductance (µS)", ylim=(0.7, 60))
axes.set_yticks([1, 3, 10, 30], ["1", "3", "10", "30"])
axes.minorticks_off()
axes.set_title("lines: law of the mean cell, points: medians, bands: 10 to 90 % of the cells", loc="left", fontsize=9)
axes.legend(frameon=False, fontsize=8, ncols=4)
figure.savefig("drift.png", dpi=150)
assert np.abs(np.log(middle / law)).max() < 0.2

# %%
# Compensation
# ------------
#
# One number a tile: a calibration read says how much all its outputs have shrunk, and they are scaled back (Le Gallo et
# al., Adv. Electron. Mater. 4:1700627, 2018). The mean output comes back, the differences from cell to cell stay, as
# :math:`\nu` differs. Left: the outputs of a random array, projected on those that were written. Right: what is left
# besides, the same with compensation and without; it starts at what the writes missed.

rng = np.random.default_rng(0)
weights = rng.uniform(-1, 1, (32, 32)).astype(np.float32)
probe = rng.choice(np.array([-1, 1], np.float32), (400, 32))
wanted = probe @ weights.T
TIMES = np.array([20, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8])
figure, (slopes, scatters) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
kept = {}
CHIPS = {"pcm": (INK, 8, "as it is"), "pcm:compensation=1": (TEST, 4, "compensated")}
for device, (colour, size, name) in CHIPS.items():
    quiet = noisysim.devices.get(device, line_noise=0, read_noise=0, adc_bits=0, dac_bits=0, weight_bound=1.0)
    chip = noisysim.Chip([32, 32], quiet, "linear", seed=1, init="zero")
    chip.program([weights])
    slope, scatter = [], []
    for age in TIMES:
        chip.wait(max(age - chip.clock, 0))
        seen = chip.forward(probe).output
        slope.append(np.vdot(seen, wanted) / np.vdot(wanted, wanted))
        scatter.append(np.std(seen / slope[-1] - wanted) / np.std(wanted))
    kept[name] = slope
    slopes.semilogx(TIMES, slope, "o-", color=colour, ms=size, lw=1.3, label=name)
    scatters.semilogx(TIMES, scatter, "o-", color=colour, ms=size, lw=1.3, label=name)
slopes.set(xlabel="time since the write (s)", ylabel="mean output (share of that written)", ylim=(0, 1.15))
scatters.set(xlabel="time since the write (s)", ylabel="scatter (share of the output)", ylim=(0, None))
slopes.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("compensation.png", dpi=150)
assert abs(kept["compensated"][-1] - 1) < 0.12
assert kept["as it is"][-1] < 0.6

# %%
# Retention and temperature
# -------------------------
#
# Cells that lose their state with 1.1 eV, and ten years at 85 °C as a data sheet would say it: :math:`t_a` follows. The
# chip is kept at each temperature, and the time constant read off what is left after a tenth of the time that the law
# says.

BOLTZMANN = 8.617333e-5  # eV / K
ENERGY = 1.1
ATTEMPT = 10 * 3.156e7 / np.exp(ENERGY / (BOLTZMANN * 358.15))
celsius = np.array([55, 85, 125, 165, 205])
law = ATTEMPT * np.exp(ENERGY / (BOLTZMANN * (celsius + 273.15)))
seen = []
for degrees, constant in zip(celsius, law, strict=True):
    aged = {"retention": ATTEMPT, "activation_energy": ENERGY, "temperature": degrees + 273.15}
    exact = {"program_noise": 0, "levels": 0, "weight_bound": 1.0}
    device = {"name": "crossbar", **aged, **exact, "drift_start": constant / 1e4}
    chip = noisysim.Chip([16, 16], device, "linear", oracle=True, init="zero")
    chip.program([np.full((16, 16), 0.8, np.float32)])
    before = chip.cells()[0].plus[0] - 0.1
    chip.wait(constant / 10)
    after = chip.cells()[0].plus[0] - 0.1
    seen.append(constant / 10 / np.log(before / after).mean())
figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
axes.semilogy(celsius, law, color=TEST, lw=1.3, label="law")
axes.plot(celsius, seen, "o", color=INK, ms=5, label="chip")
axes.axhline(10 * 3.156e7, color=TRAIN, lw=1, ls=(0, (4, 3)))
axes.text(205, 4e8, "ten years", color=TRAIN, fontsize=8, ha="right", va="bottom")
axes.set(xlabel="temperature (°C)", ylabel="time constant (s)", xticks=celsius)
axes.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("temperature.png", dpi=150)
assert np.allclose(seen, law, rtol=0.01)
