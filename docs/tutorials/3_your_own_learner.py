"""
Your own learner
================

A learner says what to apply to a pass and makes gradients of what passes let out. This page writes a perturbation rule,
checks it by hand on observations that no chip made, trains with it, and tries to cheat. What is settled between learner
and chip: :doc:`/contract`.
"""

from dataclasses import dataclass
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.learners import Learner
from noisysim.reporting.style import INK, TEST, TRAIN

# %%
# A rule
# ------
#
# Two passes of the same inputs, nothing injected. The device's noise moves the activities by :math:`\delta a` and the
# loss of a sample by :math:`\delta\mathcal L`. The rule reads the gradient off the sign alone: did the loss rise when
# this unit rose?
#
# .. math:: s_i = \operatorname{sign}(\delta\mathcal L\,\delta a_i), \qquad
#           \Delta W \propto -\langle s\,x^\top \rangle_\text{batch}
#
# A learner is a frozen dataclass. ``drives`` lists the passes, ``update`` gives a gradient for each layer,
# (outputs, inputs), as a mean over the batch. A drive that applies nothing is ``Drive()``.


@dataclass(frozen=True)
class Signs(Learner):
    """Whether each unit rose with the loss, or fell."""

    name: ClassVar[str] = "signs"

    def drives(self, state, batch_size):
        return [noisysim.Drive(), noisysim.Drive()]

    def update(self, state, observations, *, oracle=None, out=None):
        first, second = observations
        rise = np.sign(second.loss - first.loss)
        gradients = []
        for before, after, x in zip(first.activities, second.activities, first.inputs, strict=True):
            signal = rise[:, None] * np.sign(after - before)
            gradients.append(signal.T @ x / len(x))
        return gradients, state


# %%
# By hand
# -------
#
# An observation is a plain record of arrays: anyone can make one. One layer, two inputs, two units, one sample. The
# first unit rose, the second fell, and the loss rose: descending this gradient lowers the first unit and raises the
# second.


def observed(activity, loss):
    """What a pass of one layer would let out."""
    a = np.array([activity], np.float32)
    x = np.array([[1, 2]], np.float32)
    return noisysim.Observation(inputs=[x], activities=[a], output=a, loss=np.array([loss]))


rule = Signs()
state = rule.init([2, 2], seed=0)
gradients, state = rule.update(state, [observed([0.0, 0.0], loss=1.0), observed([0.1, -0.3], loss=1.2)])
print(gradients[0])
np.testing.assert_allclose(gradients[0], [[1, 2], [-1, -2]])

# %%
# On a chip
# ---------
#
# ``run`` takes it as it is. Every rule has the fields ``decorrelation`` and ``normalise``: they are the periphery's
# doing and need no code here. Rules have rates that suit them; a new one has to find its own. With signs, steps are all
# alike. In a file of its own, with what it imports, the class is ``learner="signs.py"`` for runs, studies and the
# command line.

SETTINGS = {"device": "crossbar", "layers": [32], "epochs": 10, "diagnostics": ["cosine"], "every": 15}
signs = noisysim.run(learner=Signs(decorrelation=1e-3), learning_rate=3e-3, **SETTINGS)
danp = noisysim.run(learner="danp", **SETTINGS)
print(signs)

# %%
# The built-in rule divides by the squared length of all activity differences and weighs samples by how much their loss
# changed. That this is worth something shows in the cosine between the update's gradient and the true one, which a
# diagnostic computes and the rule never sees. One noisy estimate is far from the true gradient: 0 would be no
# information.

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, (curve, bars) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", width_ratios=(3, 2))
for result, name, colour in ((danp, "danp", INK), (signs, "signs", TEST)):
    curve.plot(np.arange(1, 11), 100 * result.history["test_accuracy"], "o-", color=colour, ms=3, lw=1.3, label=name)
curve.set(xlabel="epoch", ylabel="test accuracy (%)", xlim=(0, None), ylim=(0, 100))
curve.legend(frameon=False)
for shift, result, colour in ((-0.18, danp, INK), (0.18, signs, TEST)):
    bars.bar(np.arange(2) + shift, result.diagnostics["cosine"].mean(axis=0), width=0.34, color=colour)
bars.set(xticks=[0, 1], xticklabels=["layer 1", "layer 2"], ylabel="cosine to the true gradient")
bars.grid(axis="x", visible=False)
bars.set_axisbelow(True)
figure.savefig("signs.png", dpi=150)
for result in (signs, danp):
    assert result.history["test_accuracy"][-1] > 0.5
    assert (result.diagnostics["cosine"].mean(axis=0) > 0.05).all()

# %%
# What it may not see
# -------------------
#
# Backpropagation needs the weights. An observation does not have them:

observation = noisysim.Chip([64, 32, 10], "crossbar").forward(np.zeros((1, 64), np.float32))
print([name for name in dir(observation) if not name.startswith("_")])

# %%
# The chip that has them gives them only where they were asked for by name when it was made:

chip = noisysim.Chip([64, 32, 10], "crossbar")
for cheat in (chip.cells, lambda: chip.oracle(None)):
    try:
        cheat()
        raise AssertionError("the chip let something out")
    except PermissionError as error:
        print("PermissionError:", error)

# %%
# A rule may say that it cannot do without. Then it is granted the oracle, and the summary tells everybody who reads the
# result.


@dataclass(frozen=True)
class Informed(Learner):
    """Descends the true gradient, at the activities that were observed."""

    name: ClassVar[str] = "informed"
    needs: ClassVar[frozenset[str]] = frozenset({"oracle"})

    def drives(self, state, batch_size):
        return [noisysim.Drive()]

    def update(self, state, observations, *, oracle=None, out=None):
        return oracle.gradient(observations[0]), state


informed = noisysim.run(learner=Informed(), layers=[32], epochs=10)
print(dict(informed.rows())["learner"])
assert "with oracle access" in dict(informed.rows())["learner"]

# %%
# Refused, it does not run. A study that forbids the oracle says ``oracle=False`` and means it.

try:
    noisysim.run(learner=Informed(), layers=[32], oracle=False)
    raise AssertionError("it ran")
except ValueError as error:
    print(error)

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for result, name, colour in ((informed, "informed (oracle)", TRAIN), (danp, "danp", INK), (signs, "signs", TEST)):
    axes.plot(np.arange(1, 11), 100 * result.history["test_accuracy"], "o-", color=colour, ms=3, lw=1.3, label=name)
axes.set(xlabel="epoch", ylabel="test accuracy (%)", xlim=(0, None), ylim=(0, 100))
axes.legend(frameon=False)
figure.savefig("informed.png", dpi=150)
assert informed.history["test_accuracy"][-1] > signs.history["test_accuracy"][-1]
