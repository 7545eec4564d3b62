"""
Accuracy against stuck cells
============================

A share of the cells is stuck anywhere between the two ends, from the first day on. The rules are not told; they learn
with what still moves. Points are means of four chips, which have their faults in different places, bars their standard
deviation.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

SHARES = [0.001, 0.02, 0.05, 0.1, 0.2]
RULES = {"bp": ("#8a8f98", "s--", "backpropagation (oracle)"), "danp": ("#c2410c", "o-", "DANP")}

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for rule, (colour, style, name) in RULES.items():
    devices = [f"crossbar:stuck_random={share}" for share in SHARES]
    runs = [noisysim.run(device=d, learner=rule, layers=[32], epochs=10, chips=4) for d in devices]
    accuracy = 100 * np.array([run.history["test_accuracy"][-1] for run in runs])
    mean, spread = accuracy.mean(axis=1), accuracy.std(axis=1, ddof=1)
    axes.errorbar(100 * np.array(SHARES), mean, spread, fmt=style, color=colour, ms=4, lw=1.3, elinewidth=1, label=name)
    assert mean[-1] < mean[0] - 3
axes.set(xlabel="cells stuck (%)", ylabel="test accuracy (%)", ylim=(0, 100), xlim=(-0.5, None))
axes.set_xticks([100 * share for share in SHARES], [f"{100 * share:g}" for share in SHARES])
axes.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("stuck_cells.png", dpi=150)
