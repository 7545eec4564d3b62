"""
What drift leaves after years
=============================

Eight chips of phase-change memory learn the digits and are then left alone. ``noisysim.retention`` tests them as they
are after given times (s); the run itself stays as it is. A calibration read may scale each array's output by what drift
has taken from it on average (``compensation=1``): what is left are the differences from cell to cell, and 1/f noise
that grows with age.
"""

import matplotlib.pyplot as plt

import noisysim

TIMES = [1, 60, 3600, 86400, 30 * 86400, 365 * 86400, 10 * 365 * 86400]
NAMES = ["1 s", "1 min", "1 h", "1 day", "1 mo", "1 y", "10 y"]
DEVICES = {"pcm": ("#333333", "o-", "as it is"), "pcm:compensation=1": ("#c2410c", "s-", "compensated")}

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, (accuracies, losses) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left = {}
for device, (colour, style, name) in DEVICES.items():
    result = noisysim.run(device=device, layers=[32], epochs=10, chips=8)
    found = noisysim.retention(result, TIMES)
    left[name] = found["test_loss"].mean(axis=1)
    for panel, values in ((accuracies, 100 * found["test_accuracy"]), (losses, found["test_loss"])):
        mean, spread = values.mean(axis=1), values.std(axis=1, ddof=1)
        panel.errorbar(TIMES, mean, spread, fmt=style, color=colour, ms=4, lw=1.3, elinewidth=1, label=name)
accuracies.set(ylabel="test accuracy (%)")
losses.set(ylabel="test loss")
for panel in (accuracies, losses):
    panel.set(xscale="log", xlabel="time since learning ended")
    panel.set_xticks(TIMES, NAMES, fontsize=7)
    panel.minorticks_off()
accuracies.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("retention.png", dpi=150)
assert left["as it is"][-1] > left["as it is"][0]
