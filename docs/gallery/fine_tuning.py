r"""
Fine-tuning a deployed network
==============================

A network is trained exactly, written to resistive memory, and tuned on the chip for five epochs: by ANP, and by DANP in
three forms. Its decorrelation turns the inputs of the arrays, which moves what the deployed weights do, and has to be
made up for; it turns updates, which moves nothing; or weights are written anew after each of its steps
(:doc:`/learners`). On this memory the last gains most. Left: test accuracy against epochs, means of three networks and
chips. Right: after the last epoch, against the learning rate, bars one standard deviation.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim

EPOCHS, RATES, SEEDS = 5, [1e-4, 3e-4, 1e-3], range(3)
RULES = {
    "ANP": ({"learner": "anp"}, "#333333"),
    'DANP, "inputs"': ({"learner": "danp", "decorrelate": "inputs"}, "#8a8f98"),
    'DANP, "updates"': ({"learner": "danp"}, "#c2410c"),  # the default where weights are given
    'DANP, "compensated"': ({"learner": "danp", "decorrelate": "compensated"}, "#0072B2"),
}


def trained(seed):
    """A chip without noise that has learned the digits by backpropagation."""
    task, rule, optimizer = noisysim.tasks.get("digits"), noisysim.learners.get("bp"), noisysim.optimizers.get("adam")
    chip = noisysim.Chip([task.n_in, 64, task.n_out], "ideal", seed=seed)
    memory = optimizer.init(chip.network.shapes)
    state = noisysim.prepare(rule, chip, next(task.batches(32, seed=seed)))
    for epoch in range(15):
        for batch in task.batches(32, seed=seed, epoch=epoch):
            gradients, state = rule.update(state, chip.passes(batch, rule.drives(state, 32)), oracle=chip.oracle(batch))
            updates, memory = optimizer.update(gradients, memory, 1e-3)
            chip.program(updates)
    return chip


plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
networks = [trained(seed) for seed in SEEDS]
deployed = {"layers": [64], "device": "rram_wan", "progress": False}
start = [noisysim.run(**deployed, seed=s, init=networks[s], epochs=1, learning_rate=0.0) for s in SEEDS]
before = 100 * np.mean([run.history["test_accuracy"][0] for run in start])
figure, (curves, rates) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
found = {}
for beside, (name, (rule, colour)) in zip((0.92, 0.97, 1.03, 1.08), RULES.items(), strict=True):
    runs = [
        [noisysim.run(**deployed, **rule, seed=s, init=networks[s], epochs=EPOCHS, learning_rate=r) for s in SEEDS]
        for r in RATES
    ]
    accuracy = 100 * np.array([[run.history["test_accuracy"] for run in at] for at in runs])
    curves.plot(range(EPOCHS + 1), [before, *accuracy[1].mean(axis=0)], "o-", color=colour, ms=4, lw=1.3, label=name)
    found[name] = accuracy[:, :, -1]
    spread = found[name].std(axis=1, ddof=1)
    at = beside * np.array(RATES)  # a little beside each other, so that no bar hides another
    rates.errorbar(at, found[name].mean(axis=1), spread, fmt="o-", color=colour, ms=4, lw=1.3, elinewidth=1)
rates.axhline(before, color="#8a8f98", lw=0.8, ls=(0, (4, 3)), label="as deployed")
rates.legend(frameon=False, fontsize=8, loc="lower right")
curves.set(xlabel="epochs", ylabel="test accuracy (%)", xticks=range(EPOCHS + 1))
curves.set_title(f"learning rate {RATES[1]:g}", loc="left", fontsize=10)
rates.set_title(f"after {EPOCHS} epochs", loc="left", fontsize=10)
rates.set(xscale="log", xlabel="learning rate (Adam)")
rates.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
rates.minorticks_off()
curves.legend(frameon=False, fontsize=8, loc="lower right")
figure.savefig("fine_tuning.png", dpi=150)
_, inputs, _, compensated = (accuracies.mean(axis=1) for accuracies in found.values())
assert compensated.mean() > max(before - 0.5, inputs.mean() + 1)
