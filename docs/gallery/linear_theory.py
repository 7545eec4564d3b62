r"""
Mean-field theory against simulation
====================================

A linear student learns a linear teacher by node perturbation, a new sample per update (Hiratani et al. 2022). Its error
:math:`\epsilon = |W - A|^2 / (n_\text{in} n_\text{out})` has a theory: exact without a hidden layer, four coupled
variables with one. Points are means over four learners and 50 updates, lines the theory; rates are given in units of
the critical one, above which the error does not go to zero. With a hidden layer the slowest directions are what is left
in the end, and the error falls more slowly than four variables can say.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.tasks import teacher_weights
from noisysim.theory import LinearStudent, regression_error

N_IN, N_HIDDEN, N_OUT, UPDATES, WINDOW = 20, 100, 5, 2000, 50
TASK = f"student-teacher:n_in={N_IN},n_out={N_OUT},n_train={UPDATES},n_test=100"
SETTINGS = {"learner": "np:sigma=1e-3", "optimizer": "sgd", "batch_size": 1, "device": "ideal", "activation": "linear"}


def simulated(layers, rate, init):
    """The error before each window of updates, (windows,): the loss of a sample is half its squared error."""
    result = noisysim.run(TASK, layers=layers, learning_rate=rate, init=init, chips=4, **SETTINGS)
    errors = 2 / (N_IN * N_OUT) * result.steps["train_loss"]
    return errors.reshape(-1, WINDOW, 4).mean(axis=(1, 2))


plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
figure, (flat, deep) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
middles = WINDOW * (np.arange(UPDATES // WINDOW) + 0.5)
colours = plt.colormaps["viridis"](np.linspace(0, 0.85, 3))
start = np.mean(teacher_weights(N_IN, N_OUT) ** 2.0)
critical = 2 / ((N_IN + 2) * (N_OUT + 2))
for share, colour in zip((0.1, 0.3, 0.6), colours, strict=True):
    found = simulated([], share * critical, "zero")
    expected = regression_error(N_IN, N_OUT, share * critical, middles, initial=start)
    flat.semilogy(middles, found, "o", color=colour, ms=4, mew=0)
    flat.semilogy(middles, expected, color=colour, lw=1.3, label=f"{share:g} of the critical rate")
student = LinearStudent(N_IN, N_HIDDEN, N_OUT)
for share, colour in zip((0.1, 0.3, 0.6), colours, strict=True):
    rate = share * student.critical_rate(4)
    found, expected = simulated([N_HIDDEN], rate, "glorot"), student.four_variables(rate, UPDATES)
    deep.semilogy(middles, found, "o", color=colour, ms=4, mew=0)
    deep.semilogy(expected.steps, expected.error, color=colour, lw=1.3)
flat.set_title("no hidden layer", loc="left", fontsize=10)
deep.set_title(f"a hidden layer of {N_HIDDEN}", loc="left", fontsize=10)
flat.set(xlabel="updates", ylabel=r"error $\epsilon$", ylim=(1e-7, 1))
deep.set(xlabel="updates")
flat.legend(frameon=False, fontsize=8, loc="lower left")
figure.savefig("linear_theory.png", dpi=150)
