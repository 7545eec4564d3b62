"""
A network trained elsewhere
===========================

A network need not learn on the chip from the start. Here a small one is trained by backpropagation in NumPy, on a
hundred digits; chips of three devices are given its weights, age, and learn the rest on the chip. Then a convolutional
network with batch normalisation goes from an ideal device to a noisy one. How arrays are named, what becomes of
batch normalisation and what is recorded stands on the page :doc:`/trained-elsewhere`.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim import batch_norm, conv, pool

# %%
# Elsewhere
# ---------
#
# Backpropagation by hand, 64-64-10 with relu and biases. It could as well be PyTorch: what counts is a file of named
# arrays at its end.

task = noisysim.tasks.get("digits")
x, y = (np.asarray(a, float) for a in task.batch("train", slice(0, 100))[:2])
x_test, y_test = task.batch("test", slice(0, task.n_test))[:2]
rng = np.random.default_rng(0)
W1, W2 = rng.normal(0, np.sqrt(2 / 64), (64, 64)), rng.normal(0, np.sqrt(2 / 64), (10, 64))
b1, b2 = np.zeros(64), np.zeros(10)
for _ in range(300):
    hidden = np.maximum(x @ W1.T + b1, 0)
    output = hidden @ W2.T + b2
    likely = np.exp(output - output.max(axis=1, keepdims=True))
    error = (likely / likely.sum(axis=1, keepdims=True) - y) / len(x)
    below = error @ W2 * (hidden > 0)
    W2 -= 0.3 * error.T @ hidden
    b2 -= 0.3 * error.sum(axis=0)
    W1 -= 0.3 * below.T @ x
    b1 -= 0.3 * below.sum(axis=0)
np.savez("mlp.npz", **{"fc1.weight": W1, "fc1.bias": b1, "fc2.weight": W2, "fc2.bias": b2})

# %%
# On chips
# --------
#
# ``init=`` is the file. Eight chips of each device are asked for these weights; each makes errors of its own in
# writing and reading them. They are tested at once, after a day, and after a year of rest.

CHIPS, DAY = 8, 86400
TIMES = {"now": 0, "a day": DAY, "a year": 365 * DAY}
DEVICES = ["ideal", "crossbar", "rram_wan", "pcm_hermes", "pcm_hermes:compensation=1"]


def accuracies(chip):
    """Of each chip, per cent."""
    outputs = chip.forward(np.tile(x_test, (chip.chips, 1))).output.reshape(chip.chips, -1, 10)
    return 100 * (outputs.argmax(axis=2) == y_test.argmax(axis=1)).mean(axis=1)


deployed = {}
for device in DEVICES:
    chip = noisysim.Chip([64, 64, 10], device, "relu", bias=True, init="mlp.npz", chips=CHIPS)
    chip.calibrate(np.tile(x[:64], (CHIPS, 1)))
    for name, seconds in TIMES.items():
        chip.wait(max(0.0, seconds - chip.clock))
        deployed[device, name] = accuracies(chip)
    print(f"{device:>26}", *(f"{name}: {deployed[device, name].mean():.1f} %" for name in TIMES), sep="   ")
assert deployed["ideal", "now"].mean() > deployed["pcm_hermes", "now"].mean() > deployed["pcm_hermes", "a year"].mean()

# %%
# Learning on the chip
# --------------------
#
# ``run`` takes the same file, here with all the 1437 training digits and with node perturbation: a rule that sees two
# noisy passes, and no weights. From random weights the same rule is far from there after as many epochs.

common = {"layers": [64], "activation": "relu", "bias": True, "chips": CHIPS, "epochs": 5, "learning_rate": 3e-3}
learned = {}
for device in ("crossbar", "rram_wan", "pcm_hermes"):
    for init in ("mlp.npz", "he"):
        result = noisysim.run("digits", device=device, learner="np", init=init, **common)
        learned[device, init] = 100 * result.history["test_accuracy"].mean(axis=1)
        print(f"{device:>11} from {init}:", *(f"{accuracy:.1f}" for accuracy in learned[device, init]))
    assert learned[device, "mlp.npz"][-1] > deployed[device, "now"].mean()

# %%
# The record says where the weights came from, with the SHA-256 of the file: ``noisysim run --config run.h5`` reads it
# again, and refuses it if it was changed.

print(noisysim.run("digits", device="crossbar", learner="np", init="mlp.npz", **{**common, "epochs": 1}).config["init"])

# %%
# A picture
# ---------

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for colour, device in zip(("#333333", "#c2410c", "#1d4ed8"), ("crossbar", "rram_wan", "pcm_hermes"), strict=True):
    before = deployed[device, "now"].mean()
    axes.plot(range(6), [before, *learned[device, "mlp.npz"]], "o-", color=colour, ms=4, label=device)
    axes.plot(range(1, 6), learned[device, "he"], ":", color=colour)
axes.set(xlabel="epochs on the chip", ylabel="test accuracy (%)", ylim=(0, 100))
axes.legend(frameon=False, title="from weights; dotted: from random ones", loc="lower right")
figure.savefig("trained_elsewhere.png", dpi=150)

# %%
# A convolutional network with batch normalisation
# ------------------------------------------------
#
# "Elsewhere" may be another run: here backpropagation on an ideal device. ``init=result`` takes its weights and running
# statistics. With a learning rate of 0 a run only tests.

layers = [conv(8, 3), batch_norm(), pool(2), 32]
first = noisysim.run("digits", layers=layers, device="ideal", learner="bp", learning_rate=1e-2, epochs=6)
other = noisysim.run(
    "digits", layers=layers, device="pcm_hermes", learner="np", init=first, learning_rate=0.0, epochs=1, chips=4
)
print(f"ideal: {100 * first.history['test_accuracy'][-1]:.1f} %")
print("pcm_hermes:", *(f"{100 * accuracy:.1f} %" for accuracy in other.history["test_accuracy"][-1]))
assert other.history["test_accuracy"][-1].mean() > 0.8

# %%
# Without ``batch_norm()`` in the chip's network, and with biases, the same normalisation is folded into the weights of
# the array before it.

named = first.chip(oracle=True).weights()
print({name: array.shape for name, array in named.items()})
for layer in (1, 2):
    named[f"{layer}.bias"] = np.zeros(len(named[f"{layer}.weight"]))
folded = noisysim.Chip([(1, 8, 8), conv(8, 3), pool(2), 32, 10], "ideal", bias=True, init=named)
print(f"folded, on an ideal device: {accuracies(folded)[0]:.1f} %")
assert abs(accuracies(folded)[0] - 100 * first.history["test_accuracy"][-1]) < 0.5
