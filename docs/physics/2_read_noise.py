r"""
Read noise
==========

No two reads are alike. Noise of the line (amplifier, ADC input) has the same size whatever is read; noise of the cells
grows with how many are driven, and how hard. A line :math:`i = \sum_j w_j x_j` is read as

.. math:: i + \sqrt{E + (s_l R)^2}\;\xi, \qquad E = \sum_j x_j^2 \left(\sigma_{j+}^2 + \sigma_{j-}^2\right) u^2,

with :math:`\xi` standard normal, :math:`R` the ADC's full scale, :math:`\sigma` the standard deviation of one read of
one cell (µS) and :math:`u = w_\text{max} / (G_\text{max} - G_\text{min})` the weight of a µS. Cells are independent
Gaussians, so their sum is exactly this one draw. What makes up :math:`\sigma`, added in quadrature:

.. list-table::
   :header-rows: 1

   * - noise of a cell of conductance :math:`G`
     - fields of ``crossbar``
     - source
   * - proportional: std :math:`s\,G`
     - ``read_noise`` 0.01
     - Agarwal et al., IJCNN 2016
   * - thermal, white: variance :math:`4 k_B T G B / V^2`
     - ``bandwidth`` (Hz), ``temperature`` 300 K, ``read_voltage`` 0.2 V
     - Johnson, Phys. Rev. 32:97; Nyquist, 32:110, 1928
   * - shot, white: variance :math:`2 q F G B / V`
     - ``fano``
     - Schottky, Ann. Phys. 362:541, 1918
   * - 1/f: std :math:`G\,Q_s \sqrt{\ln((t + t_r) / (2 t_r))}`, :math:`t` since the write
     - ``flicker_noise`` :math:`Q_s`, ``read_time`` :math:`t_r` 1e-7 s
     - Hooge, Phys. Lett. A 29:139, 1969; Nandakumar et al., ICECS 2019
   * - telegraph: :math:`G\,(1 + a)` while a trap is full
     - ``telegraph`` :math:`a`, ``tau_capture``, ``tau_emission`` (s)
     - Machlup, J. Appl. Phys. 25:341, 1954

To a rule that learns from two noisy passes this noise is the perturbation itself
(:doc:`/generated/tutorials/1_noisy_crossbar`); too much of it masks the loss, as a picture there shows.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim import bench
from noisysim.reporting.style import INK, TEST, TRAIN

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
OFF = ["line_noise", "read_noise", "program_noise", "levels", "dac_bits", "adc_bits"]
QUIET = {"name": "crossbar", "controller": "copy", **dict.fromkeys(OFF, 0)}

# %%
# One line, many reads
# --------------------
#
# A line of 16 cells, half driven, read 4000 times, and the law. ``noisysim.plot.device`` draws the same of any device.

found = bench.read_noise("crossbar:read_noise=0.05")
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.hist(found.reads, 41, density=True, color=TRAIN, label=f"{len(found.reads)} reads of a chip")
x = np.linspace(-4, 4, 200)
law = np.exp(-(x**2) / 2) / (found.std * np.sqrt(2 * np.pi))
axes.plot(found.mean + x * found.std, law, color=TEST, lw=1.3, label="law")
axes.set(xlabel="line − exact product (pre-activation units)", ylabel="density")
axes.legend(frameon=False, fontsize=8)
figure.savefig("one_line.png", dpi=150)
assert abs(found.reads.std() / found.std - 1) < 0.05

# %%
# From cells to a line
# --------------------
#
# 256 cells of equal weight; :math:`n` of them are driven. Cell noise grows as :math:`\sqrt n`, the signal as :math:`n`;
# noise of the line stays. Where the two meet depends on the device.

ROWS, READS = 256, 2000
DRIVEN = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
inputs = np.repeat(DRIVEN, READS)[:, None] > np.arange(ROWS)
weight = 0.25  # half of the largest weight of 256 inputs, 8 / sqrt(256)


def spread(**noise):
    """Standard deviation of a line for each number of driven cells."""
    chip = noisysim.Chip([ROWS, 1], {**QUIET, "adc_range": 100.0, **noise}, "linear", seed=3, init="zero")
    chip.program([np.full((1, ROWS), weight, np.float32)])
    return chip.forward(inputs.astype(np.float32)).output.reshape(-1, READS).std(axis=1)


half = (25 - 0.1) / 2  # µS above g_min: what a weight of 0.25 asks of the positive cell
cell = 0.05 * np.hypot(0.1 + half, 0.1) * 0.5 / (25 - 0.1)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
seen = spread(read_noise=0.05)
axes.loglog(DRIVEN, cell * np.sqrt(DRIVEN), color=TEST, lw=1.3, label=r"law, cells: $\sqrt{n}$")
axes.plot(DRIVEN, seen, "o", color=TEST, ms=4, label="chip, read_noise = 0.05")
assert np.allclose(seen, cell * np.sqrt(DRIVEN), rtol=0.08)
seen = spread(line_noise=0.001)
axes.plot(DRIVEN, np.full(len(DRIVEN), 0.1), color=INK, lw=1.3, label="law, line")
axes.plot(DRIVEN, seen, "s", color=INK, ms=4, label="chip, line_noise = 0.001 of 100")
assert np.allclose(seen, 0.1, rtol=0.08)
axes.set(xlabel="cells driven, n", ylabel="std of a read (pre-activation units)", ylim=(0.01, 1))
axes.legend(frameon=False, fontsize=8)
figure.savefig("cells_to_line.png", dpi=150)

# %%
# White noise
# -----------
#
# Thermal and shot noise of a read of 100 MHz bandwidth, as a conductance's: a cell's current noise over the read
# voltage. Both go with the root of the conductance. The model takes a cell at full drive and scales its noise with the
# drive.

BANDWIDTH = 1e8
weights = np.linspace(0.02, 1, 30, dtype=np.float32)
conductances = 0.1 + 24.9 * weights.astype(float)
both = conductances + 0.1  # the second cell of a pair rests at the lowest conductance
LAWS = {
    "thermal": ({}, 4 * 1.380649e-23 * 300 * BANDWIDTH / 0.2**2 * 1e6 * both, INK),
    "thermal and shot, F = 1": (
        {"fano": 1.0},
        (4 * 1.380649e-23 * 300 / 0.2**2 + 2 * 1.602177e-19 / 0.2) * BANDWIDTH * 1e6 * both,
        TEST,
    ),
}
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, (more, variance, colour) in LAWS.items():
    white = {**QUIET, "bandwidth": BANDWIDTH, "weight_bound": 1.0, **more}
    chip = noisysim.Chip([1, 30], white, "linear", seed=6, init="zero")
    chip.program([weights[:, None]])
    seen = 24.9 * chip.forward(np.ones((4000, 1), np.float32)).output.astype(float).std(axis=0)
    axes.plot(conductances, 1e3 * np.sqrt(variance), color=colour, lw=1.3, label=f"{name}, law")
    axes.plot(conductances, 1e3 * seen, "o", color=colour, ms=4, label=f"{name}, chip")
    assert np.allclose(seen, np.sqrt(variance), rtol=0.08)
axes.set(xlabel="conductance (µS)", ylabel="std of a read (nS)", ylim=(0, None))
axes.legend(frameon=False, fontsize=8)
figure.savefig("white.png", dpi=150)

# %%
# 1/f noise grows with age
# ------------------------
#
# The spectrum :math:`S_G / G^2 = Q_s^2 / f` holds down to the inverse of the time since the write: the older a cell,
# the more slow noise it has had time for. One cell, read 4000 times at each age.

AGES = np.geomspace(1e-2, 1e8, 11)
slow = {"flicker_noise": 0.01, "weight_bound": 1.0}
chip = noisysim.Chip([1, 1], {**QUIET, **slow}, "linear", seed=5, init="zero")
chip.program([np.ones((1, 1), np.float32)])
seen = []
for age in AGES:
    chip.wait(max(age - chip.clock, 0))
    seen.append(chip.forward(np.ones((4000, 1), np.float32)).output.std())  # which takes 0.4 ms
read_time = 1e-7
law = 0.01 * 25 / (25 - 0.1) * np.sqrt(np.log((AGES + read_time) / (2 * read_time)))
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
axes.semilogx(AGES, 100 * law, color=TEST, lw=1.3, label="law")
axes.plot(AGES, 100 * np.array(seen), "o", color=INK, ms=4, label="chip")
axes.set(xlabel="time since the write (s)", ylabel="std of a read (% of the weight)", ylim=(0, None))
axes.legend(frameon=False, fontsize=8)
figure.savefig("flicker.png", dpi=150)
assert np.allclose(seen, law, rtol=0.08)

# %%
# Telegraph noise
# ---------------
#
# A trap in a cell captures a carrier after :math:`\tau_c` on average and lets go after :math:`\tau_e`. The cell jumps
# between two conductances, and its spectrum is a Lorentzian with the corner at :math:`1 / (2 \pi \tau)`, :math:`1/\tau
# = 1/\tau_c + 1/\tau_e` (Machlup 1954; one-sided, :math:`p_1 = \tau_e / (\tau_c + \tau_e)`):
#
# .. math:: S(f) = \frac{4\, a^2\, p_1 (1 - p_1)\, \tau}{1 + (2 \pi f \tau)^2}.

CAPTURE, EMISSION, JUMP, SAMPLES = 2e-5, 1e-5, 0.1, 2**17
trap = {"telegraph": JUMP, "tau_capture": CAPTURE, "tau_emission": EMISSION, "weight_bound": 1.0}
chip = noisysim.Chip([1, 1], {**QUIET, **trap}, "linear", seed=7, init="zero")
chip.program([np.ones((1, 1), np.float32)])
trace = chip.forward(np.ones((SAMPLES, 1), np.float32)).output[:, 0].astype(float)
parts = (trace - trace.mean()).reshape(64, -1)
spectrum = 2 * read_time * np.mean(np.abs(np.fft.rfft(parts)) ** 2, axis=0)[1:] / parts.shape[1]
frequency = np.fft.rfftfreq(parts.shape[1], read_time)[1:]
tau = 1 / (1 / CAPTURE + 1 / EMISSION)
filled = EMISSION / (CAPTURE + EMISSION)
scale = JUMP * 25 / (25 - 0.1)
law = 4 * scale**2 * filled * (1 - filled) * tau / (1 + (2 * np.pi * frequency * tau) ** 2)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(1e6 * read_time * np.arange(2000), trace[:2000], color=INK, lw=0.8)
left.set(xlabel="time (µs)", ylabel="read of one cell (weight)")
right.loglog(frequency, spectrum, color=TRAIN, lw=0.8, label="chip")
right.plot(frequency, law, color=TEST, lw=1.5, label="law")
right.set(xlabel="frequency (Hz)", ylabel="S (weight² / Hz)", xlim=(frequency[0], 2e6), ylim=(law.min(), None))
right.legend(frameon=False, fontsize=8)
figure.savefig("telegraph.png", dpi=150)
low = frequency < 3e5
assert abs(np.log(spectrum[low] / law[low]).mean()) < 0.3
