r"""
What the ADC lets through
=========================

Two passes of the same inputs differ by the noise on the lines, of standard deviation :math:`\sigma` each. Which share
of the differences survives an ADC of step :math:`\Delta`? If values fall anywhere within a step, two reads give the
same code with probability

.. math:: p_0 = \int_{-1}^{1} (1 - |t|)\, \mathcal N\!\left(t;\, 0,\, 2\sigma^2 / \Delta^2\right) \mathrm dt,

and :math:`1 - p_0` gets through: all that matters is :math:`\sigma / \Delta`. Chips of 4 to 10 bits and four levels of
noise fall on one curve.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

inputs = np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32)
t = np.linspace(-1, 1, 20001)


def passed(ratio):
    """Share of the differences that are not zero, for a noise of `ratio` steps."""
    density = np.exp(-((t / (2 * ratio)) ** 2)) / (2 * ratio * np.sqrt(np.pi))
    return 1 - np.sum((1 - np.abs(t)) * density) * (t[1] - t[0])


plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
BITS, NOISE = [4, 6, 8, 10], [0.001, 0.003, 0.01, 0.03]
for bits, colour in zip(BITS, plt.colormaps["viridis"](np.linspace(0, 0.85, len(BITS))), strict=True):
    ratios, shares = [], []
    for noise in NOISE:
        device = f"crossbar:adc_bits={bits},line_noise={noise},read_noise=0"
        chip = noisysim.Chip([64, 64], device, seed=1)
        first, second = chip.passes(inputs, [noisysim.Drive(), noisysim.Drive()])
        ratios.append(noise * (2 ** (bits - 1) - 1))  # steps in the full scale
        shares.append(np.mean(first.output != second.output))
        assert abs(shares[-1] - passed(ratios[-1])) < 0.02
    axes.semilogx(ratios, 100 * np.array(shares), "o", color=colour, ms=5, label=f"{bits} bits")
x = np.geomspace(0.005, 20, 200)
axes.plot(x, [100 * passed(ratio) for ratio in x], color="#333333", lw=1.2, zorder=0, label="law")
axes.set(xlabel=r"noise on a line, $\sigma / \Delta$ (ADC steps)", ylabel="differences that get through (%)")
axes.set_ylim(0, 100)
axes.legend(frameon=False, fontsize=8)
figure.savefig("passed_share.png", dpi=150)
