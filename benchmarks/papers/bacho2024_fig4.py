"""Bacho & Chu 2024, Figure 4: the variance of FDFA's gradient falls as the square of the feedback's learning rate.

"Low-variance forward gradients using direct feedback alignment and momentum", section 4.3: one hidden layer, ReLU,
MNIST, feedback by plain averaging, B <- (1 - alpha) B + alpha d u^T. Proposition 2 takes the feedback as converged,
B = W^(2), before the step that draws u. The variance of the gradient that the step gives, for one sample, is then
alpha^2 times that of FG-A; summed over the hidden weights, with delta = e W^(2) the exact derivatives by the hidden
outputs,

    alpha^2 sum_i (delta_i^2 + |delta|^2) f'_i^2 |x|^2     (Lemma 4; Eq. 19 leaves out e)

The paper fits an exponent to its measurements, which its text gives as "quadratically": 2.

That B has converged before every step is the proposition's assumption. Feedback that keeps averaging carries the
noise of earlier steps: its variance is alpha / (2 - alpha) that of one term, so that the gradient's falls as alpha
alone. This is measured too, against that law; it vanishes with alpha all the same.

The quick form has 200 hidden units in place of 1000 (the paper does not say how many), and fewer draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import noisysim
from noisysim import Observation
from noisysim.tasks import Task

from .parts import Measured
from .report import Report, panels

SECONDS = (300, 5)
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
SLOW = 0.1  # up to here alpha / (2 - alpha) is a straight line on logarithmic axes
PUBLISHED = 2.0


def reproduce(report: Report) -> None:
    """Variances of the gradient against alpha, both ways, and their exponents."""
    hidden, draws = (200, 300) if report.quick else (1000, 5000)
    sizes = (784, hidden, 10)
    report.keep(sizes=sizes, draws=draws, rates=RATES)
    report.say(
        f"{sizes[0]}-{hidden}-{sizes[2]}, ReLU, MNIST, initial weights, {draws} draws a rate, each for another image; "
        "sums over the hidden weights"
    )
    shared: dict[str, Any] = {
        "sizes": sizes, "task": report.data(noisysim.tasks.get, "mnist"), "draws": draws, "backend": report.backend,
    }  # fmt: skip
    by_way: Measured[str, dict[float, tuple[float, float]]] = Measured(report)
    with report.part("B = W2 before each step"):
        of_rates = {rate: report.measure(variance, **shared, rate=rate, restart=True) for rate in RATES}
        by_way["converged"] = of_rates
        report.row("B = W2 before each step: exponent", exponent(of_rates, RATES), PUBLISHED, 0.05)
        report.row("... variance over Eq. 19's, all rates", np.mean([m / t for m, t in of_rates.values()]), 1, 0.1)
    with report.part("B keeps averaging"):
        rates = [rate for rate in RATES if rate >= 1e-2]
        of_rates = {rate: report.measure(variance, **shared, rate=rate, restart=False) for rate in rates}
        by_way["wandering"] = of_rates
        slow = [rate for rate in of_rates if rate <= SLOW]
        slope = exponent(of_rates, slow)
        report.row("B keeps averaging: exponent, up to 0.1", slope, PUBLISHED)
        law = exponent({rate: (_stationary(rate), 0.0) for rate in slow}, slow)
        report.row("... beside its own law, alpha / (2 - alpha)", slope, round(law, 2), 0.15)
        ratios = [m / (t / rate**2 * _stationary(rate)) for rate, (m, t) in of_rates.items()]
        report.row("... variance over that law's, all rates", np.mean(ratios), 1, 0.15)
    with report.derived():
        draw(report, by_way["converged"], by_way["wandering"])


def variance(
    sizes: Sequence[int], task: Task, rate: float, draws: int, restart: bool, backend: str
) -> tuple[float, float]:
    """Variance of the hidden weights' gradient for one sample, and Eq. 19's, mean over the images.

    With `restart` the feedback is set to the output weights before every step, else it starts there and continues. The
    steps until what is left of the start has faded are not counted.
    """
    chip = noisysim.Chip(sizes, "ideal", "relu", init="uniform", backend=backend)
    learner = noisysim.learners.get("fdfa", feedback_optimizer="sgd", feedback_rate=rate, derivative="exact")
    state = learner.init(chip.sizes, seed=int(1e6 * rate), offers=chip.offers, activation="relu")
    unsettled = 0 if restart else int(3 / rate)
    measured, expected, observed, batch = 0.0, 0.0, None, None
    for step in range(-unsettled, draws):
        batch = task.batch("train", np.array([step % task.n_train]), out=batch)
        observed = chip.passes(batch, learner.drives(state, 1), out=observed)
        oracle = chip.oracle(batch)
        if restart or step == -unsettled:
            state.memory["feedback"][:] = oracle.weights[1].ravel()
        gradient, state = learner.update(state, observed, oracle=oracle)
        if step >= 0:
            assert gradient is not None
            exact = oracle.gradient(observed[0])
            measured += np.square(np.subtract(gradient[0], exact[0], dtype=float)).sum() / draws
            expected += rate**2 * one_term(observed[0], oracle) / draws
    return measured, expected


def one_term(observation: Observation, oracle: Any) -> float:
    """Variance of FG-A's gradient for one sample, summed over the hidden weights (Lemma 4)."""
    delta = (observation.output_error @ oracle.weights[1]).astype(float)
    active = observation.activities[0] > 0
    squares = ((delta**2 + (delta**2).sum()) * active).sum()
    return float(squares * np.square(observation.inputs[0], dtype=float).sum())


def exponent(variances: dict[float, tuple[float, float]], rates: Any) -> float:
    """Slope of the measured variances on logarithmic axes."""
    return float(np.polyfit(np.log(rates), np.log([variances[r][0] for r in rates]), 1)[0])


def _stationary(rate: Any) -> Any:
    """Variance of an exponential average of independent terms, over that of one."""
    return rate / (2 - rate)


def draw(report: Report, converged: dict[Any, Any], wandering: dict[Any, Any]) -> None:
    """Variance against alpha; lines are the laws."""
    figure, (panel,) = panels(["Variance of FDFA's gradient, one sample"], 5.6, 4.4)
    rates, level = np.array(RATES), converged[1.0][1]
    panel.plot(rates, level * rates**2, color="#0072B2", lw=1, label=r"$\alpha^2$ (Eq. 19)")
    panel.plot(rates, [m for m, _ in converged.values()], "o", color="#0072B2", label="$B = W^{(2)}$ before each step")
    averaged = np.array(list(wandering))
    panel.plot(averaged, level * _stationary(averaged), color="#D55E00", lw=1, label=r"$\alpha \, / \, (2 - \alpha)$")
    panel.plot(averaged, [m for m, _ in wandering.values()], "s", color="#D55E00", label="$B$ keeps averaging")
    panel.set(xscale="log", yscale="log", xlabel=r"feedback learning rate $\alpha$", ylabel="variance, hidden weights")
    panel.legend(frameon=False, loc="lower right")
    report.figure("variance", figure)
