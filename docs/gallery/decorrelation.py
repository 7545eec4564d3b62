"""
What decorrelation does
=======================

DANP is ANP on inputs that the periphery has turned until they are less correlated. Left: test accuracy after 12 epochs
against the learning rate, four chips each, bars one standard deviation. Decorrelation pays at the rates at which both
learn best, and slows learning at small ones. Right: the mean absolute correlation of the second layer's inputs, before
the turn and after it.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

RULES = {"danp": ("#c2410c", "decorrelated (DANP)"), "anp": ("#333333", "as they are (ANP)")}
EPOCHS, RATES = 12, [1e-3, 3e-3, 1e-2]

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, (accuracies, correlations) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
found = {}
for rule, (colour, name) in RULES.items():
    runs = [noisysim.run(learner=rule, layers=[32], epochs=EPOCHS, learning_rate=rate, chips=4) for rate in RATES]
    found[rule] = 100 * np.array([run.history["test_accuracy"][-1] for run in runs])
    mean, spread = found[rule].mean(axis=1), found[rule].std(axis=1, ddof=1)
    accuracies.errorbar(RATES, mean, spread, fmt="o-", color=colour, ms=4, lw=1.3, elinewidth=1, label=name)
accuracies.set(xscale="log", xlabel="learning rate (Adam)", ylabel="test accuracy (%)", ylim=(50, 100))
accuracies.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
accuracies.minorticks_off()
accuracies.legend(frameon=False, fontsize=8, loc="lower right")
assert found["danp"][-1].mean() > found["anp"].mean(axis=1).max()

looks = ["correlation_before", "correlation_after"]
result = noisysim.run(layers=[32], epochs=EPOCHS, learning_rate=RATES[-1], diagnostics=looks, every=10)
for name, colour, said in zip(looks, ("#333333", "#c2410c"), ("before", "after"), strict=True):
    correlations.plot(result.diagnostics["update"], result.diagnostics[name][:, 1], color=colour, lw=1.3, label=said)
correlations.set(xlabel="updates", ylabel="mean |correlation| of inputs, layer 2", xlim=(0, None), ylim=(0, None))
correlations.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("decorrelation.png", dpi=150)
