"""Bacho & Chu 2024, Figure 5: variance of weight- and activity-perturbed forward gradients against width and inputs.

"Low-variance forward gradients using direct feedback alignment and momentum", Propositions 5 and 6: one hidden layer of
n1 units and n0 inputs, ReLU, MNIST; pixels are repeated for more inputs. For one sample, with g the exact gradient and
delta the exact derivatives by the hidden outputs,

    FG-W: Var = g_ij^2 + |g|^2                                 O(n1 n0)     (Eq. G.1)
    FG-A: Var = (delta_i^2 + |delta|^2) (f'_i x_j)^2           O(n1)        (Eq. H.1)

The orders hold where single derivatives neither grow nor shrink with n1 and n0, as the propositions assume. Those of a
network with the usual initial weights shrink with n1. So the variance is taken over the mean squared derivative, which
leaves the exponents that the paper's text states: 1 in n1 and 1 in n0 for FG-W, 1 and 0 for FG-A. The bare exponents of
this network are shown beside them. As in the propositions the output layer is not perturbed.

The quick form has up to 400 hidden units in place of 1600, and 1000 draws in place of 3000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

import noisysim
from noisysim.learners import Learner
from noisysim.tasks import Task

from .parts import Measured
from .report import Report, panels

SECONDS = (900, 20)
PUBLISHED = {("fg-w", "n1"): 1.0, ("fg-w", "n0"): 1.0, ("fg-a", "n1"): 1.0, ("fg-a", "n0"): 0.0}
STYLES = {"fg-w": ("^", "#D55E00"), "fg-a": ("s", "#0072B2")}
UNITS = 50  # where the inputs vary


@dataclass(frozen=True)
class HiddenFGW(noisysim.learners.FGW):
    """FG-W that perturbs the hidden layers' weights alone, V^(2) = 0 in Proposition 5."""

    name: ClassVar[str] = "hidden-fg-w"

    def drive(self, drawn: Any) -> noisysim.Drive:
        return noisysim.Drive(weights=[*drawn[:-1], None])


class Point(NamedTuple):
    """One network: per hidden weight, mean over images and draws.

    Attributes
    ----------
    variance, expected : float
        Of the gradient estimate, measured and by Eq. G.1 or H.1.
    derivative : float
        Mean square of the exact derivatives.
    """

    variance: float
    expected: float
    derivative: float


def reproduce(report: Report) -> None:
    """Variances against n1 and n0, and their exponents."""
    draws, doublings = (1000, 3) if report.quick else (3000, 5)
    steps = [2**k for k in range(doublings + 1)]
    report.keep(draws=draws, units_of_b=UNITS, init="uniform within 1 / sqrt(n)")
    report.say(
        f"784-n1-10 and n0-{UNITS}-10 on MNIST, one sample at a time, {draws} draws, each for another image. Relative: "
        "over the mean squared derivative"
    )
    grids = {"n1": [(784, UNITS * k) for k in steps], "n0": [(784 * k, UNITS) for k in steps]}
    tasks = {n0: report.data(mnist, n0, draws) for n0 in {n0 for grid in grids.values() for n0, _ in grid}}
    learners = {
        "fg-w": HiddenFGW(derivative="exact"),
        "fg-a": noisysim.learners.get("fg-a", derivative="exact"),
    }
    shared: dict[str, Any] = {"draws": draws, "backend": report.backend}
    measured: Measured[tuple[str, str], list[Point]] = Measured(report)
    for (rule, axis), known in PUBLISHED.items():
        name = f"{rule.upper()}: exponent in {axis}"
        with report.part(name):
            points = [
                Point(*report.measure(point, task=tasks[n0], learner=learners[rule], inputs=n0, units=n1, **shared))
                for n0, n1 in grids[axis]
            ]
            measured[rule, axis] = points
            across = [n1 if axis == "n1" else n0 for n0, n1 in grids[axis]]
            relative = exponent(across, [p.variance / p.derivative for p in points])
            report.row(f"{name}, relative", relative, known, 0.1)
            report.row(f"{name}, bare", exponent(across, [p.variance for p in points]))
            ratios = [p.variance / p.expected for p in points]
            name = f"{rule.upper()} against {axis}: variance over Eq. {'G.1' if rule == 'fg-w' else 'H.1'}'s"
            report.row(name, np.mean(ratios), 1, 0.15, ratios=np.round(ratios, 3))
    with report.derived():
        draw(report, grids, {key: measured[key] for key in PUBLISHED})


def mnist(inputs: int, images: int) -> Any:
    """Standardised images whose pixels are repeated."""
    task = noisysim.tasks.get("mnist")
    x = np.tile(task.batch("train", slice(0, images)).inputs, (1, inputs // 784))
    y = np.asarray(task.train.targets[:images])
    return noisysim.tasks.get((x, y, x[:10], y[:10]), standardise="none")


def point(task: Task, learner: Learner, inputs: int, units: int, draws: int, backend: str) -> Point:
    """Measure one network's variance: an image and a draw at a time."""
    chip = noisysim.Chip((inputs, units, 10), "ideal", "relu", init="uniform", seed=units, backend=backend)
    state = learner.init(chip.sizes, seed=inputs, offers=chip.offers, activation="relu")
    sums, observed, batch = np.zeros(3), None, None
    for image in range(draws):
        batch = task.batch("train", np.array([image]), out=batch)
        observed = chip.passes(batch, learner.drives(state, 1), out=observed)
        oracle = chip.oracle(batch)
        gradient, state = learner.update(state, observed, oracle=oracle)
        assert gradient is not None
        exact = oracle.gradient(observed[0])[0].astype(float)
        squares, x2 = np.square(exact).sum(), np.square(observed[0].inputs[0], dtype=float).sum()
        if learner.name == "fg-a":
            loss: Any = batch.loss  # whose error it takes
            delta = (loss.error(observed[0].output, batch.targets) @ oracle.weights[1]).astype(float)
            active = observed[0].activities[0] > 0
            expected = ((delta**2 + (delta**2).sum()) * active).sum() * x2
        else:
            expected = squares * (1 + exact.size)
        sums += np.square(gradient[0] - exact).sum(), expected, squares
    return Point(*(sums / draws / (inputs * units)).tolist())


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def draw(report: Report, grids: dict[Any, Any], measured: dict[tuple[str, str], list[Point]]) -> None:
    """Panels a and b: markers are measured, lines fitted to them."""
    titles = ["a: neurons $n_1$, 784 inputs", f"b: inputs $n_0$, {UNITS} neurons"]
    figure, axes = panels(titles, 4.8, 4.2, sharey=True)
    for panel, axis in zip(axes, ("n1", "n0"), strict=True):
        across = np.array([n1 if axis == "n1" else n0 for n0, n1 in grids[axis]])
        for rule, (marker, colour) in STYLES.items():
            values = [p.variance / p.derivative for p in measured[rule, axis]]
            slope, offset = np.polyfit(np.log(across), np.log(values), 1)
            panel.plot(across, values, marker, color=colour)
            label = f"{rule.upper()}: {slope:.2f}"
            panel.plot(across, np.exp(offset) * across**slope, color=colour, lw=1, label=label)
        panel.set(xscale="log", yscale="log", xlabel=f"${axis[0]}_{axis[1]}$")
        panel.set_xticks(across, labels=[f"{n:,}" for n in across])
        panel.set_xticks([], minor=True)
        panel.legend(frameon=False, title="exponent", loc="center right")
    axes[0].set_ylabel("variance / mean squared derivative")
    report.figure("variance", figure)
