"""
The result file
===============

A run leaves one HDF5 file: what was asked for, what was found, and the state from which it is resumed. This page reads
it with plain ``h5py``, then with noisysim, stops a run in the middle and resumes it. The whole layout:
:doc:`/result-file`.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.reporting.style import TEST, TRAIN

noisysim.run(layers=[32], epochs=8, seed=0, diagnostics=["angle"], every=30, out="run.h5", overwrite=True)

# %%
# With h5py alone
# ---------------
#
# All of it can be read without noisysim. The settings are JSON texts, the histories are arrays.

with h5py.File("run.h5") as file:
    print(dict(file.attrs))
    file.visititems(lambda name, item: print(f"{name:36}", getattr(item, "shape", ""), getattr(item, "dtype", "")))

# %%
# ``config`` is every argument with its value, defaults included: what the run was, in full.

with h5py.File("run.h5") as file:
    config = json.loads(file["config"][()])
    cost = json.loads(file["cost"][()])
    accuracy = file["history/epoch/test_accuracy"][:]
    losses = file["history/step/train_loss"][:]
    angles = file["history/diagnostics/angle"][:]
    looks = file["history/diagnostics/update"][:]
print(json.dumps({k: config[k] for k in ("learner", "optimizer", "layers", "seed")}, indent=1))
print(cost)

# %%
# ``history/epoch`` has a value per epoch, ``history/step`` one per update. A diagnostic has its own clock:
# ``update`` says how many updates were done before each look.

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
updates = len(losses) // len(accuracy)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.plot(losses, color=TRAIN, lw=0.8, label="loss of each update")
left.set(xlabel="updates", ylabel="loss", ylim=(0, None))
share = left.twinx()
share.plot(updates * np.arange(1, len(accuracy) + 1), 100 * accuracy, "o", color=TEST, ms=4)
share.set_ylim(0, 100)
share.set_ylabel("test accuracy (%)", color=TEST)
share.tick_params(colors=TEST)
share.grid(visible=False)
for layer, colour in zip((0, 1), plt.colormaps["viridis"]([0.0, 0.6]), strict=True):
    right.plot(looks, angles[:, layer], "o-", color=colour, ms=3, lw=1.2, label=f"layer {layer + 1}")
right.set(xlabel="updates", ylabel="angle to the true gradient (degrees)", ylim=(0, 95))
right.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("read_with_h5py.png", dpi=150)

# %%
# With noisysim
# -------------
#
# ``load`` gives what ``run`` gave.

result = noisysim.load("run.h5")
print(result.status, result.environment["noisysim"], result.environment["backend"])
np.testing.assert_array_equal(result.history["test_accuracy"], accuracy)

# %%
# A run that is killed
# --------------------
#
# The file is the checkpoint as well: it is written anew, whole, at the end of each epoch, and every half a minute in
# longer ones. Here another process starts a run on the command line, and is killed once the file has five epochs.

RUN = "run --layers 32 --epochs 30 --seed 0 --out killed.h5 --overwrite"
Path("killed.h5").unlink(missing_ok=True)
process = subprocess.Popen([sys.executable, "-m", "noisysim", *shlex.split(RUN)], stdout=subprocess.DEVNULL)


def epochs_done(path):
    """How many epochs a result file holds; none while there is no file."""
    if not Path(path).exists():
        return 0
    with h5py.File(path) as file:
        return len(file["history/epoch/test_accuracy"])


while epochs_done("killed.h5") < 5 and process.poll() is None:
    time.sleep(0.02)
process.kill()
process.wait()
print(noisysim.load("killed.h5").status, "after", epochs_done("killed.h5"), "epochs")
assert 5 <= epochs_done("killed.h5") < 30

# %%
# ``noisysim.resume``, or ``noisysim resume killed.h5``, resumes it. Noise is a function of the seed and the number of
# the pass, so that the run ends with the bits of one that was not disturbed.

resumed = noisysim.resume("killed.h5")
undisturbed = noisysim.run(layers=[32], epochs=30, seed=0)
print(resumed.status, "after", epochs_done("killed.h5"), "epochs")
for name, values in undisturbed.history.items():
    np.testing.assert_array_equal(resumed.history[name], values)

# %%
# The same again, but for one thing
# ---------------------------------
#
# A result file is a configuration: ``noisysim run --config run.h5 --seed 1`` takes all arguments from it but those
# given beside it. So does a TOML file.

said = "run --config run.h5 --seed 1 --out other.h5 --overwrite"
command = [sys.executable, "-m", "noisysim", *shlex.split(said)]
print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
other = noisysim.load("other.h5")
assert other.config["seed"] == 1
assert other.config["layers"] == result.config["layers"]
