"""Dalm et al. (2025), Figure 7: angle to the true gradient against the variance of the perturbation.

NP, ANP and INP in the second hidden layer of a random network, over 1000 images of CIFAR-10. The paper (appendix H)
finds all three stable from sigma^2 = 1e-4 to 1e-6, worse above 1e-3, where the loss is no longer linear, and worse
below 1e-7, for precision errors. It prints no numbers, and no sizes of the network: here 3072, three times 1024, 10.

Here, in true float32 with losses summed in float64, nothing breaks below 1e-7: a perturbation of 1e-5 or 1e-6 is far
above the rounding of activities near 1 (6e-8). Products rounded to TF32, as a GPU may do, have 10 bits of fraction and
would blur perturbations below some 1e-3, which is where the paper's curves turn.

Judged, in both forms (the quick one: layers of 128): each rule moves by at most 1 degree between sigma^2 = 1e-6 and
1e-4, and by at most 2 between 1e-10 and 1e-6; a variance of 10 adds at least 2 degrees; at 1e-6 INP < ANP < NP.
Outside in the full form: a variance of 10 adds 1.9 degrees to NP and 0.8 to ANP (2.4 to INP): all curves rise, by less
than was asked. The cause has not been examined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import noisysim
from noisysim.common.types import Doubles
from noisysim.tasks import Task

from .dalm2025_fig2 import angles, gradients
from .parts import Measured
from .report import Report, panels

SECONDS = (600, 30)
VARIANCES = tuple(10.0**k for k in range(-12, 2))
RULES = {"np": "#D55E00", "anp": "#0072B2", "inp": "#009E73"}
BATCH, DRAWS, SECOND = 1000, 10, 1  # samples, noise samples one by one, index of the layer


def reproduce(report: Report) -> None:
    """Measure the angles at each variance, and judge where they are stable."""
    width = 128 if report.quick else 1024
    sizes = (3072, width, width, width, 10)
    report.say(
        f"{'-'.join(map(str, sizes))}, first {BATCH} images of CIFAR-10: angle (degrees) in the second hidden layer, "
        f"mean of {DRAWS} noise samples, one by one; random networks: {report.seeds}. The paper prints neither numbers "
        "nor sizes; its break below 1e-7 is one of precision, which true float32 does not show."
    )
    report.keep(sizes=sizes, batch=BATCH, draws=DRAWS, layer=SECOND + 1)
    task = report.data(noisysim.tasks.get, "cifar10")
    by_variance: Measured[float, Doubles] = Measured(report)
    for variance in VARIANCES:
        with report.part(f"sigma^2 = {variance:.0e}"):
            by_variance[variance] = measure(report, sizes, task, variance)
    with report.derived():
        judge(report, {variance: by_variance[variance] for variance in VARIANCES})
    with report.derived():
        draw(report, {variance: by_variance[variance] for variance in VARIANCES})


def measure(report: Report, sizes: Sequence[int], task: Task, variance: float) -> Doubles:
    """Angles of the rules at one variance, in the order of RULES, and their row."""
    shared: dict[str, Any] = {"sizes": sizes, "task": task, "variance": variance, "backend": report.backend}
    angles_of = np.array([report.measure(of_network, **shared, seed=seed) for seed in range(report.seeds)])
    mean: Doubles = angles_of.mean(axis=0)
    report.row(f"sigma^2 = {variance:.0e}, NP/ANP/INP", mean, networks=angles_of.round(2))
    return mean


def of_network(sizes: Sequence[int], task: Task, variance: float, seed: int, backend: str) -> list[float]:
    """Angles of the rules at one variance in one random network."""
    batch = task.batch("train", slice(BATCH))
    chip = noisysim.Chip(sizes, "ideal", seed=seed, backend=backend)
    truth = chip.oracle(batch).gradient(chip.forward(batch))[SECOND]
    angles_of = []
    for name in RULES:
        made = gradients(chip, batch, noisysim.learners.get(name, sigma=variance**0.5), DRAWS)
        angles_of.append(float(np.mean([angles([gradient[SECOND]], [truth])[0] for gradient in made])))
    return angles_of


def judge(report: Report, by_variance: dict[float, np.ndarray]) -> None:
    """Where the angles are stable, where they are not, and their order."""
    reference = by_variance[1e-6]
    for at, name in enumerate(map(str.upper, RULES)):
        for low, high, bound in ((1e-6, 1e-4, "<= 1"), (1e-10, 1e-6, "<= 2")):
            within = [
                angle[at] for variance, angle in by_variance.items() if low <= variance * 1.001 and variance <= high
            ]
            report.claim(f"{name} moves, sigma^2 {low:.0e} to {high:.0e}", max(within) - min(within), bound)
        report.claim(f"{name}, sigma^2 = 10 adds", by_variance[10.0][at] - reference[at], ">= 2")
    np_, anp, inp = reference
    report.claim("INP < ANP < NP at 1e-6 (least gap)", min(anp - inp, np_ - anp), "> 0")


def draw(report: Report, by_variance: dict[float, np.ndarray]) -> None:
    """Angles against the variance, and where the paper's curves turn."""
    figure, (axes,) = panels(["Second hidden layer"], 6.0, 4.0)
    for at, (name, colour) in enumerate(RULES.items()):
        axes.plot(
            list(by_variance),
            [angle[at] for angle in by_variance.values()],
            "o-",
            ms=4,
            color=colour,
            label=name.upper(),
        )
    axes.axvspan(1e-7, 1e-3, color="0.93", zorder=0, label="stable in the paper")
    axes.set(xscale="log", xlabel="variance of the perturbation, σ²", ylabel="angle to the true gradient (degrees)")
    axes.legend(frameon=False)
    report.figure("angles", figure)
