"""
Learning curves of several rules
================================

Five rules on one device, four chips each: lines are means, bands one standard deviation from chip to chip. A rule that
needs exact weights is drawn in grey: it is a reference, no chip could do it. Each rule runs at its own default rate,
ANP at three times it.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

EPOCHS = 12
RULES = {
    "bp": ("#8a8f98", "backpropagation (oracle)", None),
    "fdfa": ("#0072B2", "FDFA: feedback from forward gradients", None),
    "danp": ("#c2410c", "DANP: noise perturbation, decorrelated", None),
    "dfa": ("#009E73", "DFA: fixed random feedback", None),
    "anp": ("#333333", "ANP: noise perturbation", 1e-3),
}

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
last = {}
for rule, (colour, name, rate) in RULES.items():
    result = noisysim.run(device="crossbar", learner=rule, layers=[32], epochs=EPOCHS, chips=4, learning_rate=rate)
    accuracy = 100 * result.history["test_accuracy"]
    mean, spread = accuracy.mean(axis=1), accuracy.std(axis=1, ddof=1)
    epochs = np.arange(1, EPOCHS + 1)
    axes.plot(epochs, mean, color=colour, lw=1.5, label=name)
    axes.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
    last[rule] = mean[-1]
axes.set(xlabel="epoch", ylabel="test accuracy (%)", xlim=(0, EPOCHS), ylim=(0, 100))
axes.legend(frameon=False, fontsize=8, loc="lower right")
figure.savefig("learning_curves.png", dpi=150)
assert last["bp"] > last["danp"] > last["anp"]
