"""Hiratani et al. (2022), Figure 2: the minimum training time of NP against hidden and output layer sizes.

"On the stability and scalability of node perturbation learning": a linear network with one hidden layer learns a linear
teacher of 100 inputs without noise; Glorot weights, a new sample each step. Training time is the number of updates
until the error is down to a twentieth, minimal over learning rates: a parabola through log time against log rate, over
a grid around the rate that the theory finds best. The paper does not say which error it aims at. What it states:

- A: the minimum training time hardly depends on the hidden layer's size where that is larger than the others, and the
  best rate falls as its power -1/3;
- B: it grows linearly with the number of outputs, that of SGD (BP here) not at all: 100 ln(20) (Eq. 13).

The lines are the mean-field theory in four variables (`noisysim.theory`) and, dotted, Eq. 13: its limit of two for wide
layers, which leaves out what the output layer learns and so takes about 1.7 times too long at these sizes.

Outside in the full form: the power of the hidden size, 0.11 where at most 0.1 was to be called flat (1.3 times the
updates for 10 times the units). The theory has 0.096 there: what the output layer learns, half of all in a narrow
network, loses its share as the norm of W1 grows with the width, and with it the head start on Eq. 13, which is flat.

The quick form has fewer sizes, and half the rates.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from noisysim import theory

from .hiratani2022_fig1 import N_IN, N_OUT, course
from .parts import Measured
from .report import Report

SECONDS = (400, 30)
FALL = 20
GRID = (0.6, 0.75, 0.9, 1.05)  # around the best rate of the theory
SGD_GRID = (0.5, 0.7, 1.0, 1.4)
HIDDEN, OUTPUT = (1000, 2000, 5000, 10_000), (2, 5, 10, 20, 40)


class Best(NamedTuple):
    """Minimum training time and the rate that takes it, of a simulation and of the theory."""

    steps: float
    rate: float
    theory_steps: float
    theory_rate: float


def time_to(report: Report, student: theory.LinearStudent, rate: float, steps: int, **more: Any) -> float:
    """Updates until the error is down to 1 / FALL, mean over seeds; infinite if a run never gets there."""
    times = []
    for seed in range(report.seeds):
        seen = course(report, student.n_hidden, rate, steps, seed, n_out=student.n_out, **more)
        below = np.flatnonzero(seen.error < seen.error[0] / FALL)
        times.append(seen.updates[below[0]] if len(below) else np.inf)
    return float(np.mean(times))


def lowest(rates: np.ndarray, times: np.ndarray) -> tuple[float, float]:
    """Minimum of the time, and its rate: a parabola through the logarithms of the lowest point and its neighbours."""
    reached = np.isfinite(times)
    x, y = np.log(rates[reached]), np.log(times[reached])
    at = int(np.argmin(y))
    if at in (0, len(y) - 1):
        return float(np.exp(y[at])), float(np.exp(x[at]))
    curve = np.polyfit(x[at - 1 : at + 2], y[at - 1 : at + 2], 2)
    best = -curve[1] / (2 * curve[0])
    return float(np.exp(np.polyval(curve, best))), float(np.exp(best))


def best(report: Report, n_hidden: int, n_out: int) -> Best:
    """Minimum training time of NP at one pair of sizes."""
    student = theory.LinearStudent(N_IN, n_hidden, n_out)
    target = student.initial().error / (N_IN * n_out) / FALL
    steps, rate = report.data(student.best_training_time, target)
    rates = rate * np.array(GRID[::2] if report.quick else GRID)
    longest = [int(min(1.3 * student.training_time(r, target), 1.7 * steps)) for r in rates]
    times = np.array([time_to(report, student, r, most) for r, most in zip(rates, longest, strict=True)])
    return Best(*lowest(rates, times), steps, rate)


def descent(report: Report, n_out: int) -> float:
    """Minimum training time of SGD, around the rate 1 / (n_in (|W1|^2 / n_in + |W2|^2 / n_out))."""
    student = theory.LinearStudent(N_IN, 1000, n_out)
    start = student.initial()
    rates = np.array(SGD_GRID) / (N_IN * (start.input_norm / N_IN + start.output_norm / n_out))
    steps = int(4 * theory.sgd_time(N_IN, FALL))
    return lowest(rates, np.array([time_to(report, student, r, steps, learner="bp") for r in rates]))[0]


def power(x: Any, y: Any) -> float:
    """Slope of log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def reproduce(report: Report) -> None:
    """Figure 2."""
    hidden, output = (HIDDEN[:3:2], OUTPUT[1:4]) if report.quick else (HIDDEN, OUTPUT)
    narrow = HIDDEN[0]
    report.keep(n_in=N_IN, fall=FALL, grid=GRID, hidden=hidden, output=output, hidden_of_panel_b=narrow)
    report.say(f"updates until the error is a twentieth; {report.seeds} seeds; panel B with {narrow} hidden units")
    fastest: Measured[tuple[int, int], Best] = Measured(report)
    sizes = {f"NP, {n} hidden": (n, N_OUT) for n in hidden} | {f"NP, {n} outputs": (narrow, n) for n in output}
    for name, pair in sizes.items():
        with report.part(name):
            fastest[pair] = b = best(report, *pair)
            report.row(f"{name}: minimum updates to theory", b.steps / b.theory_steps, 1, 0.15,
                       updates=b.steps, theory=b.theory_steps, rate=b.rate, theory_rate=b.theory_rate)  # fmt: skip
    descents: Measured[int, float] = Measured(report)
    for n in output:
        with report.part(f"SGD, {n} outputs"):
            descents[n] = descent(report, n)
    with report.derived():
        wide = {n: fastest[n, N_OUT] for n in hidden}
        report.row("power of the hidden size: updates", power(hidden, [b.steps for b in wide.values()]), 0, 0.1)
        rates = power(hidden, [b.rate for b in wide.values()])
        report.row("power of the hidden size: best rate", rates, -0.333, None if report.quick else 0.15)
    with report.derived():
        outputs = {n: fastest[narrow, n] for n in output}
        report.row("power of the outputs: updates", power(output, [b.steps for b in outputs.values()]), 1, 0.2)
    with report.derived():
        sgd = {n: descents[n] for n in output}
        expected = theory.sgd_time(N_IN, FALL)
        report.row("SGD: minimum updates to 100 ln(20)", np.array(list(sgd.values())) / expected, [1] * len(sgd), 0.2)
        report.row("power of the outputs: updates of SGD", power(output, list(sgd.values())), 0, 0.1)
    with report.derived():
        at_sizes = {n: fastest[n, N_OUT] for n in hidden}, {n: fastest[narrow, n] for n in output}
        report.figure("scaling", draw(*at_sizes, {n: descents[n] for n in output}, narrow))


def draw(wide: dict[Any, Any], outputs: dict[Any, Any], sgd: dict[Any, Any], narrow: int) -> Figure:
    """Panels A and B."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, by_size, title in zip(
        figure.subplots(1, 2), (wide, outputs), ("A: hidden units", f"B: outputs ({narrow} hidden units)"), strict=True
    ):
        sizes = np.geomspace(min(by_size), max(by_size), 5).round().astype(int)
        pairs = [(n, N_OUT) if by_size is wide else (narrow, n) for n in sizes.tolist()]
        students = [theory.LinearStudent(N_IN, *pair) for pair in pairs]
        targets = [s.initial().error / (N_IN * s.n_out) / FALL for s in students]
        for variables, style in ((4, "C1-"), (2, "C1:")):
            times = [s.best_training_time(t, variables)[0] for s, t in zip(students, targets, strict=True)]
            axes.plot(sizes, times, style, label="NP, four variables" if variables == 4 else "NP, Eq. 13")
        axes.plot(list(by_size), [b.steps for b in by_size.values()], "C1o", label="NP, simulated")
        axes.plot(sizes, [theory.sgd_time(N_IN, FALL)] * len(sizes), "C0-", label=r"SGD, $L_x \ln 20$")
        axes.set(xscale="log", yscale="log", xlabel=title[3:], ylabel="minimum updates", title=title[:1])
        axes.set_xticks(list(by_size), list(map(str, by_size)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.plot(list(sgd), list(sgd.values()), "C0o", label="SGD, simulated")
    axes.legend()
    return figure
