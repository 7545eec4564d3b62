"""
Angle to the true gradient, layer by layer
==========================================

``diagnostics=["angle"]`` compares each update's gradient with backpropagation's at the same activities; the rule itself
sees nothing of it. 90 degrees is no information. One estimate of a perturbation rule stays near it for good, and learns
because it is right on average; FDFA learns its feedback matrices, and its angles fall. The output layer of FDFA uses
the output error as it is: 0 degrees.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

RULES = {"danp": "DANP", "fdfa": "FDFA"}

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for panel, (rule, name) in zip(panels, RULES.items(), strict=True):
    result = noisysim.run(learner=rule, layers=[32, 32], epochs=10, diagnostics=["angle"], every=5)
    updates, angles = result.diagnostics["update"], result.diagnostics["angle"]
    smooth = np.lib.stride_tricks.sliding_window_view(angles, 7, axis=0).mean(axis=-1)
    for layer, colour in enumerate(plt.colormaps["viridis"](np.linspace(0, 0.85, 3))):
        panel.plot(updates[3:-3], smooth[:, layer], color=colour, lw=1.3, label=f"layer {layer + 1}")
    panel.axhline(90, color="#333333", lw=0.8, ls=(0, (4, 3)))
    panel.set(xlabel="updates", xlim=(0, None), ylim=(-3, 100), yticks=range(0, 91, 15))
    panel.set_title(name, loc="left", fontsize=10)
    assert (angles[-20:].mean(axis=0) < 90).all()
panels[0].set_ylabel("angle to the true gradient (degrees)")
panels[0].legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("angle_by_layer.png", dpi=150)
