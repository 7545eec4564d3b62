"""
Accuracy against ADC bits, with and without noise
=================================================

A coarse ADC rounds away the small differences that DANP learns from. Noise on the lines carries them across the steps.
Without noise a perturbation has to be injected: the one that is usual on exact hardware, 0.001, is too small for any of
these converters, and noisysim chooses one by looking at the chip (``sigma`` left at 0). Points are means of three
chips, bars their standard deviation.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

BITS = [3, 4, 6, 8]
PLAIN = "crossbar:controller=copy,read_noise=0,program_noise=0,levels=0"  # nothing but converters
CURVES = {
    "1 % noise on the lines, nothing injected": ("0.01", "danp", "#c2410c", "o-"),
    "no noise, injected what noisysim chooses": ("0", "danp", "#0072B2", "s-"),
    "no noise, injected 0.001": ("0", "danp:sigma=0.001", "#333333", "^--"),
}

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
found = {}
for name, (noise, learner, colour, style) in CURVES.items():
    devices = [f"{PLAIN},line_noise={noise},adc_bits={bits}" for bits in BITS]
    runs = [noisysim.run(device=d, learner=learner, layers=[32], epochs=6, chips=3) for d in devices]
    found[name] = 100 * np.array([run.history["test_accuracy"][-1] for run in runs])
    mean, spread = found[name].mean(axis=1), found[name].std(axis=1, ddof=1)
    axes.errorbar(BITS, mean, spread, fmt=style, color=colour, ms=4, lw=1.3, elinewidth=1, label=name)
axes.axhline(10, color="#8a8f98", lw=0.8, ls=(0, (4, 3)))
axes.text(BITS[-1], 11, "chance", color="#8a8f98", fontsize=8, ha="right", va="bottom")
axes.set(xlabel="ADC (bits)", ylabel="test accuracy (%)", xticks=BITS, ylim=(0, 100))
axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 0.12))
figure.savefig("adc_bits.png", dpi=150)
noisy, _, small = (values.mean(axis=1) for values in found.values())
assert (noisy[:-1] > small[:-1] + 10).all()
