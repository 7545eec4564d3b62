"""
Sixteen chips of four devices
=============================

Chips of one device differ: in fabrication, in the noise of their reads and writes, in what the learner draws.
``chips=16`` trains them side by side, from the same initial weights and on the same data. A mark is a chip, a line the
mean. A difference between devices that is smaller than these clouds says nothing unless several chips of each were
tried.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

DEVICES = ["ideal", "crossbar", "pcm", "rpu"]

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for at, device in enumerate(DEVICES):
    result = noisysim.run(device=device, layers=[32], epochs=10, chips=16)
    accuracy = 100 * np.sort(result.history["test_accuracy"][-1])
    axes.plot(accuracy, at + np.linspace(-0.22, 0.22, 7)[np.arange(16) % 7], "o", color="#8a8f98", ms=4, mew=0)
    axes.plot([accuracy.mean()] * 2, [at - 0.35, at + 0.35], color="#c2410c", lw=2)
    axes.text(1.01, at, f"{accuracy.mean():.1f} ± {accuracy.std(ddof=1):.1f} %", transform=axes.get_yaxis_transform(),
              va="center", fontsize=8)  # fmt: skip
axes.text(1.01, -0.5, "mean ± std", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
axes.set(xlabel="test accuracy (%)", yticks=range(len(DEVICES)), yticklabels=DEVICES, ylim=(len(DEVICES) - 0.5, -0.5))
axes.grid(axis="y", visible=False)
figure.savefig("sixteen_chips.png", dpi=150)
