"""The range of the mean-field theory of node perturbation (`noisysim.theory`): simulated networks of many sizes.

Linear students with one hidden layer learn a linear teacher without noise (Hiratani et al. 2022, Eqs. 10 and 11), from
Glorot weights, at half the critical rate of two variables. They are simulated in plain NumPy, many networks at a time,
in the limit of a small perturbation. No chip or learner of noisysim takes part: it is an independent implementation.

The mean error over the networks is compared with that of four variables, at the times at which the theory's has fallen
by some decades. It measures where the theory holds, and nothing is judged. The mean itself is uncertain, late in a run
more than early, as few slow networks come to make it up: every row keeps its standard error.

The quick form has small sizes, and fewer networks.
"""

from __future__ import annotations

import numpy as np

from noisysim import theory
from noisysim.common.types import Doubles

from .parts import Measured
from .report import Report, panels

SECONDS = (1500, 10)
SIZES = (
    (20, 20, 5), (20, 100, 5), (20, 400, 5), (30, 30, 3), (100, 30, 10), (100, 100, 10), (100, 400, 10),
)  # fmt: skip
QUICK = ((10, 10, 3), (10, 100, 3))
DECADES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
MARGIN = 0.5  # eta*
NEAR = 0.1


def simulate(sizes: tuple[int, int, int], rate: float, looks: list[int], networks: int, seed: int) -> Doubles:
    """Error |W2 W1 - A|^2 / (n_in n_out) of each network after so many updates, (looks, networks)."""
    n_in, n_hidden, n_out = sizes
    rng = np.random.default_rng(seed)

    def glorot(n: int, m: int) -> Doubles:
        weights: Doubles = rng.standard_normal((networks, n, m)) * np.sqrt(2 / (n + m))
        return weights

    w1, w2, teacher = glorot(n_hidden, n_in), glorot(n_out, n_hidden), glorot(n_out, n_in)
    errors = []
    for step in range(looks[-1] + 1):
        if step in looks:
            errors.append(np.square(w2 @ w1 - teacher).mean(axis=(1, 2)))
        x, xi1, xi2 = (rng.standard_normal((networks, n, 1)) for n in (n_in, n_hidden, n_out))
        h = w1 @ x
        e = w2 @ h - teacher @ x
        change = -rate * (e * (w2 @ xi1 + xi2)).sum(axis=1, keepdims=True)
        w1 += change * xi1 @ x.mT
        w2 += change * xi2 @ h.mT
    found: Doubles = np.array(errors)
    return found


def reproduce(report: Report) -> None:
    """Ratios of the simulated mean error to the theory's, for every size."""
    networks = 50 if report.quick else 400
    report.keep(rate_in_critical=MARGIN, networks=networks, decades=DECADES)
    report.say(
        f"linear networks at {MARGIN:g} eta*, {networks} networks a size: mean error in % of the theory's (four "
        f"variables) where that has fallen by {'/'.join(f'{d:g}' for d in DECADES)} decades"
    )
    courses: Measured[tuple[int, int, int], tuple[Doubles, Doubles, Doubles]] = Measured(report)
    for sizes in QUICK if report.quick else SIZES:
        with report.part("-".join(map(str, sizes))):
            courses[sizes] = compare(report, sizes, networks)
    if courses.complete:
        draw(report, courses.complete)


def compare(report: Report, sizes: tuple[int, int, int], networks: int) -> tuple[Doubles, Doubles, Doubles]:
    """One size's rows; decades that the theory's error has fallen, the ratio of the errors and its standard error."""
    student = theory.LinearStudent(*sizes)
    rate = MARGIN * student.critical_rate()
    start = student.initial().error / (sizes[0] * sizes[2])
    longest = student.training_time(rate, start / 10 ** DECADES[-1])
    expected = student.four_variables(rate, longest, 4000)
    fallen = np.log10(expected.error[0] / expected.error)
    grid = np.linspace(0, DECADES[-1], 61)
    looks = np.interp(grid, fallen, expected.steps).astype(int)
    errors = report.measure(simulate, sizes=sizes, rate=rate, looks=looks.tolist(), networks=networks, seed=0)
    wanted = np.interp(looks, expected.steps, expected.error)
    ratio, spread = errors.mean(axis=1) / wanted, errors.std(axis=1, ddof=1) / np.sqrt(networks) / wanted
    at = [int(np.argmin(np.abs(grid - decades))) for decades in DECADES]
    outside = np.flatnonzero(np.abs(ratio - 1) > NEAR + 2 * spread)
    name = "-".join(map(str, sizes))
    percent, uncertain = 100 * ratio[at], (100 * spread[at]).round(1)
    report.row(f"{name}: mean error, % of theory's", percent, standard_error=uncertain, updates=looks[at])
    within = float(grid[outside[0]]) if len(outside) else DECADES[-1]
    report.row(f"{name}: decades within {100 * NEAR:g} %", within)
    return grid, ratio, spread


def draw(report: Report, courses: dict[tuple[int, int, int], tuple[Doubles, Doubles, Doubles]]) -> None:
    """The ratio against the decades that the theory's error has fallen."""
    figure, (panel,) = panels(["Mean error of simulated networks over the theory's"], 6.0, 4.2)
    for sizes, (decades, ratio, spread) in courses.items():
        (line,) = panel.plot(decades, ratio, label="-".join(map(str, sizes)))
        panel.fill_between(decades, ratio - spread, ratio + spread, color=line.get_color(), alpha=0.2, lw=0)
    panel.set(yscale="log", xlabel="decades that the theory's error has fallen", ylabel="simulated / theory")
    panel.axhline(1, color="k", lw=0.8)
    panel.legend(frameon=False)
    report.figure("ratio", figure)
