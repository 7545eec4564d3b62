"""
A study
=======

A claim about a rule needs more than a run: devices, rules and seeds in all combinations, some of which fail. ``sweep``
runs them on all cores of this machine (or on a Dask cluster) and keeps what they found in one file. This page makes
such a study, reads it, asks for more of it, and looks for learning rates.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import noisysim

# %%
# All combinations
# ----------------
#
# Every argument of ``run`` may be a list: each list is an axis. ``grid`` makes axes of the fields of a device. Noise as
# large as the ADC's full scale is in the list to see what happens to a run that cannot work.

arguments = {
    "task": "digits",
    "learner": ["danp", "bp"],
    "device": noisysim.grid("crossbar", line_noise=[0.003, 0.01, 0.03, 0.1, 1.0]),
    "layers": [32],
    "epochs": 6,
}
study = noisysim.sweep(**arguments, seed=range(2), out="study.h5", overwrite=True)
print(study)

# %%
# Runs that diverged, or failed otherwise, are labelled; the others continue. ``problems`` lists all of them with
# their reasons, ``counts`` how many there are, ``noticed`` how many finished with a warning: that they learned nothing,
# for one.

print(study.counts, study.noticed)
for where, status, why in study.problems():
    print(f"{status}: {where}: {why}")
assert study.counts["finished"] >= 16
assert study.counts["finished"] + study.counts["diverged"] == 20

# %%
# The picture
# -----------
#
# Lines are means over the seeds, bands their standard deviation. Of further axes one
# value has to be chosen, as in ``study.plot(x="epoch", hue="learner", line_noise=0.01)``.

study.plot("test_accuracy", x="line_noise", hue="learner")

# %%
# The numbers
# -----------
#
# ``study.data`` is an ``xarray.Dataset`` whose dimensions are the axes, and "epoch" for what was recorded in each. What
# did not finish is NaN.

data = study.data
print(data.test_accuracy.dims, dict(data.sizes))
print((100 * data.test_accuracy.mean("seed")).round(1).to_pandas())

# %%
# Where does noise on the lines begin to hurt? The largest noise that costs less than two points of what the rule
# reaches at the lowest:

mean = data.test_accuracy.mean("seed")
harmless = data.line_noise.where(mean > mean.isel(line_noise=0) - 0.02).max("line_noise")
print(harmless.to_pandas())

# %%
# Resuming
# --------
#
# The same call with the same file does what is missing, after Ctrl-C, a crash, or because more is asked for. Here a
# third seed: runs that are there are not done again.

before = noisysim.load("study.h5").data.elapsed
study = noisysim.sweep(**arguments, seed=range(3), out="study.h5")
print(study.axes["seed"], study.counts)
assert (study.data.elapsed.sel(seed=[0, 1]) == before).all()

# %%
# On the command line
# -------------------
#
# A study is also a file: ``toml`` writes the one that asks for this one.

Path("study.toml").write_text(study.toml())
print(study.toml())

# %%
# ``noisysim sweep study.toml`` runs it. As all of it is there already, it only says what was found.


def noisysim_says(line):
    """What a command prints."""
    command = [sys.executable, "-m", "noisysim", *shlex.split(line)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


print(noisysim_says("sweep study.toml --out study.h5"))

# %%
# Learning rates
# --------------
#
# A comparison of rules at one rate compares rates. ``tune`` doubles the rate, or tries those that are given, and keeps
# the largest up to which the rule learns (or, with ``choose="loss"``, the one with the lowest training loss). A rate
# has learned if its loss is well below chance, and near that of the best. It looks at training data alone, with a seed
# that is not among those reported.

RATES = [4e-3, 1.6e-2, 6.4e-2, 0.256]
tuned = noisysim.tune(learner=["danp", "bp"], rates=RATES, choose="loss", layers=[32], epochs=3)
print(tuned)
assert tuned.rate(learner="danp") < RATES[-1]

# %%
# ``learning_rate=tuned.by("learner")`` then gives each rule of a study its own.

tuned.plot(hue="learner")
