"""Lansdell et al. (2020), Figure 4: feedback matrices that find weights by node perturbation, the weights held fixed.

"Learning to solve the credit assignment problem", appendices B and C.3: 784-50-20-10, sigmoid, squared error on MNIST,
batch 32; B is the exact ridge regression (0.1) of node perturbation's estimates on the error signals of all samples so
far. W^2, between the last hidden layer and the output, is the matrix that Theorem 1 is about: B^2 converges to it. The
paper states its relative error in the end, 0.8 %, that noise levels make little difference, that the angles of both
layers come close to zero, and that W^1 is found less accurately. The error is stated without a number of iterations:
an independent implementation gives 0.9 % after 10^6, falling as n^-1/2, and an angle of at most 1 degree after 5 10^4.

A sharper check is the error that the variance of the estimates predicts for each network. Most of it lies in the one
direction of ten in which the output error varies least, so that it fluctuates by a sixth from draw to draw, and depends
on the initial weights: after 10^6 iterations it is 0.7 to 3.7 % in 20 networks, 1.6 on average.

Loss: of each sample, as in the paper's Eq. 2. The code that the authors published perturbs all samples of a batch at
once and sees the batch's sum; with that (`loss="batch"`) the error is 5 to 10 times as large after as many iterations.

W^1's relative error is not judged. The signals that B^1 is fitted to hardly vary along most of their 20 directions; the
noise of the estimates decides there, and the error falls slowly. The gradient makes no use of these directions, so that
its angle comes right all the same.

Expected outside in the full form, of which parts have been run: W^2's error itself, since the first three networks are
predicted to have 1.2 % after 10^6 iterations. And c = 1, three times the error of the others: the outputs that it
perturbs lie between 0 and 1, and a loss's change is no longer linear in so much noise. The paper's text does not say
which levels it drew.

The quick form takes 5000 iterations and two noise levels; angles are compared with 1 degree times sqrt(10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import noisysim
from noisysim.chip.chip import Chip
from noisysim.common.types import Ints
from noisysim.tasks import Task

from . import lansdell
from .parts import Measured
from .report import Report, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECONDS = (1600, 10)
PUBLISHED, PUBLISHED_AT = 0.8, 1_000_000  # %, iterations
ANGLE, ANGLE_AT = 1.0, 50_000  # degrees, iterations
WIDTHS = (30, 100, 300, 1000)  # panels D and E, 784-N-50-10


def reproduce(report: Report) -> None:
    """Panels A to C for every noise level; in full, D and E, and the long run."""
    task = report.data(lansdell.mnist)
    updates = 5000 if report.quick else ANGLE_AT
    noise = (1e-2, 1e-1) if report.quick else tuple(lansdell.NOISE)
    report.keep(sizes=lansdell.SIZES, batch=lansdell.BATCH, ridge=0.1, updates=updates, noise=noise)
    report.say(
        f"784-50-20-10 with He normal weights that stay as they are, MNIST, batch 32, {report.seeds} seed(s) of "
        f"{updates:,} iterations; relative errors and shares of signs in %, angles in degrees"
    )
    courses: Measured[float, tuple[Ints, list[lansdell.Match], float]] = Measured(report)
    for c in noise:
        with report.part(f"c = {c:g}"):
            courses[c] = course(report, task, c, updates)
            judge(report, c, *courses[c])
    with report.derived():
        draw(report, {c: courses[c] for c in noise})
    if not report.quick:
        with report.part(f"c = 0.01, {PUBLISHED_AT:,} iterations"):
            long_run(report, task)
        widths(report, task)


def course(
    report: Report,
    task: Task,
    c: float,
    updates: int,
    sizes: Sequence[int] = lansdell.SIZES,
    batch_size: int = lansdell.BATCH,
) -> tuple[Ints, list[lansdell.Match], float]:
    """Learn B; the updates of the looks, how B matches W then, W^2's error to expect in the end; mean of the seeds."""
    shared: dict[str, Any] = {
        "task": task, "c": c, "updates": updates, "sizes": list(sizes), "batch_size": batch_size,
        "backend": report.backend,
    }  # fmt: skip
    seeds = [report.measure(course_once, **shared, seed=seed) for seed in range(report.seeds)]
    looks, seen, expected = zip(*seeds, strict=True)
    return looks[0], lansdell.mean(seen), float(np.mean(expected))


def course_once(
    task: Task, c: float, updates: int, sizes: Sequence[int], batch_size: int, seed: int, backend: str
) -> tuple[Ints, list[lansdell.Match], float]:
    """What `course` gives of one seed."""
    looks = np.unique(np.geomspace(min(100, updates), updates, 13).astype(int))
    test = task.batch("test", slice(0, 1000))
    learner = noisysim.learners.get("learned-fa", fit="least_squares", ridge=0.1, sigma=c)
    chip, state = lansdell.network(task, learner, seed, sizes, backend)
    seen, observed = [], None
    for update, batch in enumerate(lansdell.batches(task, updates, seed, batch_size), 1):
        observed = chip.passes(batch, learner.drives(state, len(batch.inputs)), out=observed)
        learner.update(state, observed)
        if update in looks:
            seen.append(lansdell.match(chip, learner, state, test))
    return looks, seen, predicted(chip, task, updates * batch_size)


def predicted(chip: Chip, task: Task, samples: int) -> float:
    """Relative error of W^2, %, that the variance of a number of estimates leaves, to first order in the noise.

    A sample's estimate of lambda_i has the variance lambda_i^2 + |lambda|^2, lambda being the derivatives by all hidden
    outputs; B^2's error along an eigenvector of the output errors' covariance is divided by its eigenvalue.
    """
    batch = task.batch("train", slice(0, 10_000))
    oracle = chip.oracle(batch)
    signals = [np.asarray(s, float) for s in oracle.signals(chip.forward(batch))]
    below = [s @ w[:, :n] for s, w, n in zip(signals[1:], oracle.weights[1:], chip.sizes[1:], strict=False)]
    last, units = below[-1], below[-1].shape[1]
    whole = sum((b**2).sum(axis=1) for b in below)
    eigenvalues, directions = np.linalg.eigh(signals[-1].T @ signals[-1] / len(last))
    spread = (((signals[-1] @ directions) ** 2).T * (units * whole + (last**2).sum(axis=1))).mean(axis=1)
    weights = oracle.weights[-1][:, :units]
    return 100 * float(np.sqrt((spread / eigenvalues**2).sum() / samples) / np.linalg.norm(weights))


def judge(report: Report, c: float, looks: Ints, matches: list[lansdell.Match], expected: float) -> None:
    """The rows of one noise level."""
    last, n = matches[-1], looks[-1]
    errors = np.array([m.error[1] for m in matches])
    exponent = np.polyfit(np.log(looks), np.log(errors), 1)[0]
    report.row(f"c = {c:g}: W2, exponent of the error in n", exponent, -0.5, 0.1)
    report.row(f"c = {c:g}: W2, error", last.error[1])
    report.row(f"c = {c:g}: W2, error x sqrt(n / 10^6)", last.error[1] * (n / PUBLISHED_AT) ** 0.5, PUBLISHED, 0.4)
    report.row(f"c = {c:g}: W2, error over the predicted", last.error[1] / expected, 1, 0.45)
    bound = ANGLE * (ANGLE_AT / n) ** 0.5
    report.claim(f"c = {c:g}: W2, angle", last.angle[1], f"<= {bound:.2f}")
    report.claim(f"c = {c:g}: W2, signs that agree", last.signs[1], ">= 75")
    report.row(f"c = {c:g}: W1, error, angle, signs", [m[0] for m in last])
    report.claim(f"c = {c:g}: W1 less accurate, error ratio", last.error[0] / last.error[1], "> 1")
    if not report.quick:
        report.claim(f"c = {c:g}: W1, angle", last.angle[0], "<= 10")


def long_run(report: Report, task: Task) -> None:
    """The number that the paper states, in batches of 2000: least squares over all samples does not feel their size."""
    size = 2000
    _, matches, expected = course(report, task, 1e-2, PUBLISHED_AT * lansdell.BATCH // size, batch_size=size)
    error = matches[-1].error[1]
    report.row(f"c = 0.01, {PUBLISHED_AT:,} iterations: W2, error", error, PUBLISHED, 0.3)
    report.row("... over the predicted", error / expected, 1, 0.45)


def widths(report: Report, task: Task) -> None:
    """Panels D and E: the number of neurons. The paper prints no numbers of them."""
    last_matches: Measured[int, lansdell.Match] = Measured(report)
    for n in WIDTHS:
        name = f"784-{n}-50-10"
        with report.part(name):
            _, matches, _ = course(report, task, 1e-1, 10_000, (784, n, 50, 10))
            last_matches[n] = matches[-1]
            for part in ("error", "angle"):
                report.row(f"{name}: {part} of W1, W2", getattr(matches[-1], part))
    with report.derived():
        draw_widths(report, [last_matches[n] for n in WIDTHS])


def draw_widths(report: Report, last_matches: list[lansdell.Match]) -> None:
    """Panels D and E against the number of neurons."""
    figure, axes = panels(["D: relative error", "E: angle"], 4.5, 3.6)
    for panel, part in zip(axes, ("error", "angle"), strict=True):
        values = np.array([getattr(m, part) for m in last_matches])
        for layer, style in ((1, "o-"), (0, "s--")):
            panel.plot(WIDTHS, values[:, layer], style, color="#0072B2", label=f"$W^{layer + 1}$")
        panel.set(xscale="log", xlabel="N, units of the first hidden layer")
    axes[0].set(yscale="log", ylabel="relative error (%)")
    _plain_ticks(axes[0])
    axes[1].set(ylabel="angle (degrees)", ylim=(0, None))
    axes[1].legend(frameon=False)
    report.figure("neurons", figure)


def draw(report: Report, courses: dict[float, tuple[Ints, list[lansdell.Match], float]]) -> None:
    """Panels A to C: solid W^2, dashed W^1."""
    figure, axes = panels(["A: relative error", "B: angle", "C: signs that agree"], 4.2, 3.8)
    for panel, part in zip(axes, lansdell.Match._fields, strict=True):
        for c, (looks, matches, _) in courses.items():
            values = np.array([getattr(m, part) for m in matches])
            for layer, style in ((1, "-"), (0, "--")):
                label = f"c = {c:g}" if layer else None
                panel.plot(looks, values[:, layer], style, color=lansdell.NOISE[c], label=label)
        panel.set(xscale="log", xlabel="iterations")
    looks, matches, _ = next(iter(courses.values()))
    guide = 1.5 * matches[0].error[1] * (looks / looks[0]) ** -0.5
    axes[0].plot(looks, guide, ":", color="#555555", label="$n^{-1/2}$")
    axes[0].set(yscale="log", ylabel="$|W - B| \\, / \\, |W|$ (%)")
    _plain_ticks(axes[0])
    axes[1].set(ylabel="to the true gradient (degrees)", ylim=(0, 90))
    axes[2].set(ylabel="%", ylim=(40, 100))
    axes[2].axhline(50, color="#999999", lw=0.8)
    axes[1].legend(frameon=False, fontsize=8, title="solid: $W^2$, dashed: $W^1$", title_fontsize=8)
    axes[0].legend(*_guide(axes[0]), frameon=False, fontsize=9)
    report.figure("fixed-weights", figure)


def _plain_ticks(panel: Axes) -> None:
    """Plain numbers on a logarithmic axis of per cent."""
    low, high = panel.get_ylim()
    ticks = [m * 10**e for e in range(-1, 4) for m in (1, 2, 5) if low <= m * 10**e <= high]
    panel.set_yticks(ticks, labels=[f"{t:g}" for t in ticks])
    panel.set_yticks([], minor=True)


def _guide(panel: Axes) -> tuple[list[Any], list[str]]:
    """Handle and label of the line that stands for the law."""
    handles, labels = panel.get_legend_handles_labels()
    return handles[-1:], labels[-1:]
