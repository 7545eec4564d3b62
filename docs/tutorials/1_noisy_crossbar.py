"""
A noisy crossbar
================

A crossbar multiplies by letting currents add up on its lines, and every read is a little different. This page trains a
network on one, reads what a run reports, and finds out what the rule used as its perturbation.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.reporting.style import INK, TEST, TRAIN

# %%
# A run
# -----
#
# ``run`` fabricates a chip, puts a network on it and trains it. By default it takes the bundled digits, the device
# ``crossbar`` and the rule ``danp``. Only the network is chosen here: 64 inputs, 32 hidden units, 10 outputs.

result = noisysim.run(layers=[32], epochs=10, seed=0)
print(result)
assert result.history["test_accuracy"][-1] > 0.75

# %%
# The lines ``train`` and ``test`` are the last epoch's, as the chip itself read them: with its noise, through its
# converters. ``cost`` counts what the chip did. An update takes two passes of the batch, which is all that DANP needs;
# the few others calibrated the ADC and made the tests.
#
# Training means are drawn in the middle of an epoch, tests at its end. The thin line is the loss of each batch.

result.plot()

# %%
# Everything in the summary is also there as numbers: a value per epoch in ``history``, one per update in ``steps``.

print(np.round(result.history["test_accuracy"], 3))
print(len(result.steps["train_loss"]), "updates,", result.cost["adc_conversions"], "ADC conversions")

# %%
# What DANP perturbs with
# -----------------------
#
# DANP compares the losses of two passes and shares the difference out by how the activities moved. On exact hardware
# something must be injected to move them. A crossbar moves them by itself: the learner injects nothing.

print("injected:", result.config["learner"]["sigma"])

chip = noisysim.Chip([64, 32, 10], "crossbar", seed=0)
inputs = np.random.default_rng(0).standard_normal((200, 64)).astype(np.float32)
first, second = chip.passes(inputs, [noisysim.Drive(), noisysim.Drive()])  # the same inputs, twice
moved = second.activities[0] - first.activities[0]
step = chip.converter_steps[0]
print(f"ADC step {step:.4f}, differences of two passes: std {moved.std():.4f} (pre-activation units)")
assert moved.std() > step

# %%
# The ADC gives whole steps, and so do differences of what it gives. The noise on the lines is larger than a step, so
# most of them are not zero: the perturbation gets through.

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
codes = np.rint(moved / step).astype(int)
values, counts = np.unique(codes, return_counts=True)
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
axes.bar(values, counts / codes.size, color=np.where(values == 0, TRAIN, TEST), width=0.8)
axes.set(xlabel="difference of two passes (ADC steps)", ylabel="share of the activities")
axes.xaxis.get_major_locator().set_params(integer=True)
axes.set_axisbelow(True)
axes.set_title(f"{100 * np.mean(codes != 0):.0f} % of the differences are not zero", loc="left", fontsize=10)
figure.savefig("what_danp_sees.png", dpi=150)

# %%
# Coarser converters
# ------------------
#
# Change one number at a time. Settings of a device stand behind its name. ``passed_share`` is the share of differences
# that reached the learner, in the last epoch.

BITS = [8, 6, 5, 4, 3, 2]
coarse = {bits: noisysim.run(device=f"crossbar:adc_bits={bits}", layers=[32], epochs=10) for bits in BITS}
for bits, one in coarse.items():
    accuracy, passed = one.history["test_accuracy"][-1], one.history["passed_share"][-1]
    print(f"{bits} bits: test accuracy {100 * accuracy:4.1f} %, passed {100 * passed:6.3f} %")
assert coarse[8].history["test_accuracy"][-1] > coarse[4].history["test_accuracy"][-1]
assert coarse[4].history["test_accuracy"][-1] > coarse[2].history["test_accuracy"][-1] + 0.3

# %%
# With two bits nothing gets through, and the run says so instead of leaving you to guess:

for warning in coarse[2].warnings:
    print("WARNING", warning)
assert coarse[2].warnings

# %%
# More noise, less noise
# ----------------------
#
# ``line_noise`` is the standard deviation of a line's noise, as a share of the ADC's full scale. Some is welcome; with
# ten times the default the loss differences say more about the noise than about the weights. At 0 the cells' own read
# noise is what is left to perturb with.

NOISE = [0, 0.01, 0.03, 0.1]
noisy = [noisysim.run(device=f"crossbar:line_noise={noise}", layers=[32], epochs=10) for noise in NOISE]
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for noise, one, shade in zip(NOISE, noisy, plt.colormaps["viridis"](np.linspace(0, 0.85, len(NOISE))), strict=True):
    accuracy = 100 * one.history["test_accuracy"]
    axes.plot(np.arange(1, 11), accuracy, "o-", color=shade, ms=3, lw=1.3, label=f"{100 * noise:g} %")
axes.set(xlabel="epoch", ylabel="test accuracy (%)", xlim=(0, None), ylim=(0, 100))
axes.legend(title="line noise (of full scale)", frameon=False, fontsize=8, title_fontsize=8, ncols=2)
figure.savefig("line_noise.png", dpi=150)
assert noisy[-1].history["test_accuracy"][-1] < noisy[1].history["test_accuracy"][-1] - 0.1

# %%
# Is it the chip, or luck?
# ------------------------
#
# One run is one chip. ``chips=16`` trains 16 chips of the device side by side, from the same initial weights and on the
# same data; they differ in fabrication, in noise and in what the learner draws.

many = noisysim.run(layers=[32], epochs=10, chips=16)
accuracies = 100 * many.history["test_accuracy"][-1]
print(
    f"{accuracies.mean():.1f} +- {accuracies.std(ddof=1):.1f} %, from {accuracies.min():.1f} to {accuracies.max():.1f}"
)

# %%
# A difference between two devices that is smaller than this spread needs more than one chip of each. Chips with as many
# right answers stand on top of each other.

values, counts = np.unique(accuracies, return_counts=True)
figure, axes = plt.subplots(figsize=(6, 1.9), layout="constrained")
for value, count in zip(values, counts, strict=True):
    axes.plot([value] * count, np.arange(1, count + 1), "o", color=INK, ms=5)
axes.set(xlabel="test accuracy (%)", ylabel="chips", ylim=(0.4, counts.max() + 0.6), yticks=range(1, counts.max() + 1))
figure.savefig("sixteen_chips.png", dpi=150)
