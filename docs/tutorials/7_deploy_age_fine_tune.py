"""
Deploy, age, fine-tune
======================

What becomes of a trained network on a chip? Two networks learn digits by backpropagation on an ideal device: a small
perceptron, and a small convolutional network with batch normalisation. Chips of three devices are given their weights
and are tested at once, after a day and after a year, with and without what a periphery can do against drift; then the
chips learn for one epoch themselves, by rules that see no weights.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim import batch_norm, conv, pool

# %%
# Elsewhere
# ---------
#
# The ideal device stands for any other software: :doc:`6_trained_elsewhere` does the same in NumPy, with a file of
# named arrays.

task = noisysim.tasks.get("digits")
LAYERS = {"perceptron": [64], "convolutional": [conv(8, 3), batch_norm(), pool(2), 32]}
trained = {
    name: noisysim.run("digits", layers=layers, device="ideal", learner="bp", learning_rate=3e-3, epochs=10)
    for name, layers in LAYERS.items()
}
exact = {name: 100 * result.history["test_accuracy"][-1] for name, result in trained.items()}
print(exact)

# %%
# Now, in a day, in a year
# ------------------------
#
# ``init=`` is the result: the device writes its weights with the errors that it makes, and the running statistics of
# batch normalisation come along. Three chips of each device. Cells of phase-change memory drift; with
# ``compensation=1`` the periphery measures by how much, and multiplies it back. The resistive cells of `rram_wan` err
# by what was measured a second after the write, and its model has no ageing beyond that; those of `crossbar` are given
# a drift here whose exponents differ by half from cell to cell, so that no common factor makes up for it. All three are
# written to digital targets (``controller="copy"``, :doc:`/controllers`), which compensating writes need further down.

CHIPS, DAY = 3, 86400
TIMES = {"now": 0, "a day": DAY, "a year": 365 * DAY}
DEVICES = {
    "pcm_hermes": "pcm_hermes",
    "rram_wan": "rram_wan",
    "crossbar": "crossbar:controller=copy,drift_nu=0.03,drift_nu_spread=0.5",
}
x_test, y_test, _ = task.batch("test", slice(0, task.n_test))
first = task.batch("train", slice(0, 64)).inputs


def accuracy(chip):
    """Mean of the chips, per cent."""
    outputs = chip.predict(x_test)  # (chips, samples, 10)
    return 100 * (outputs.argmax(axis=2) == y_test.argmax(axis=1)).mean()


aged = {}
for network, layers in LAYERS.items():
    for name, device in DEVICES.items():
        for compensated in (0, 1):
            spec = f"{device}{',' if ':' in device else ':'}compensation={compensated}"
            net = [task.input_shape, *layers, 10]
            chip = noisysim.Chip(net, spec, init=trained[network], chips=CHIPS)
            chip.calibrate(np.tile(first, (CHIPS, 1)))
            for when, seconds in TIMES.items():
                chip.wait(max(0.0, seconds - chip.clock))
                aged[network, name, compensated, when] = accuracy(chip)
            values = (f"{when}: {aged[network, name, compensated, when]:.1f} %" for when in TIMES)
            print(f"{network:>13} {name:>10} {'compensated' if compensated else '':>11}", *values, sep="   ")

# %%
# Learning on the chip, for one epoch
# -----------------------------------
#
# Fresh chips get the same weights and learn for an epoch, by activity-based node perturbation (ANP) and by its
# decorrelated form (DANP). A step of the decorrelation would turn what the weights mean. By default the updates are
# turned in place of the inputs where weights were given, which needs no write; with ``decorrelate="compensated"`` the
# inputs are, and each step is made up for by a second write (:doc:`/learners` derives both).
#
# Each update is a write that errs again. For networks that have learned all there is to learn that costs more on the
# noisy memories than an epoch of ANP gains: it ends below what was deployed, and DANP with its updates turned little
# above ANP. With compensation DANP ends above both, for the convolutional network by three to five points.

RULES = {"ANP": ("anp", None), "DANP": ("danp", None), "DANP, compensated": ("danp", "compensated")}
tuned = {}
for network, layers in LAYERS.items():
    for name, device in DEVICES.items():
        for rule, (learner, decorrelate) in RULES.items():
            result = noisysim.run(
                "digits",
                layers=layers,
                device=device,
                learner=learner,
                decorrelate=decorrelate,
                init=trained[network],
                chips=CHIPS,
                epochs=1,
                learning_rate=1e-3,
            )
            tuned[network, name, rule] = 100 * result.history["test_accuracy"][-1].mean()
        values = (f"{rule}: {tuned[network, name, rule]:.1f} %" for rule in RULES)
        print(f"{network:>13} {name:>10}", *values, sep="   ")
for network in LAYERS:
    assert tuned[network, "pcm_hermes", "DANP, compensated"] > tuned[network, "pcm_hermes", "ANP"]

# %%
# A picture
# ---------

figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for panel, network in zip(panels, LAYERS, strict=True):
    for colour, name in zip(("#1d4ed8", "#c2410c", "#333333"), DEVICES, strict=True):
        for compensated, line in ((0, ":"), (1, "-")):
            values = [aged[network, name, compensated, when] for when in TIMES]
            panel.plot(range(3), values, line, color=colour, marker="o", ms=4, label=name if compensated else None)
        for offset, (rule, mark) in enumerate(zip(RULES, "vos", strict=True)):
            panel.plot(3 + 0.2 * offset, tuned[network, name, rule], mark, color=colour)
    panel.axhline(exact[network], color="#999999", lw=0.8)
    panel.set(title=network, xticks=[0, 1, 2, 3.2], xticklabels=[*TIMES, "learned an epoch"])
panels[0].set(ylabel="test accuracy (%)")
panels[0].legend(frameon=False, title="dotted: drift not compensated", loc="lower left")
marks = [panels[1].plot([], [], mark, color="#666666", label=rule)[0] for rule, mark in zip(RULES, "vos", strict=True)]
panels[1].legend(handles=marks, frameon=False, loc="lower left")
figure.savefig("deploy_age_fine_tune.png", dpi=150)
