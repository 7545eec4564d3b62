"""Lansdell et al. (2020), Figure 2: feedback matrices learned by node perturbation while the weights learn.

"Learning to solve the credit assignment problem", section 4.1 and appendix C.1: 784-50-20-10, sigmoid, squared error on
MNIST, batch 32, rates 5e-4 of B and 4e-4 of W (of the batch's sum, as in the code that the authors published: here 32
times that, of the mean), 1000 iterations in which the weights wait; feedback alignment and backpropagation learn W at
the same rate. W^2 lies between the last hidden layer and the output, W^1 below it. The paper prints no numbers of this
figure; it says that in both layers B comes much closer to W than with feedback alignment, that the angle to the true
gradient is much lower and more signs agree, and that the test error is comparable with backpropagation's and better
than feedback alignment's, "though not by much".

Two ways to learn B: gradient steps, as appendix C.1 says, and least squares over all samples so far, as in the authors'
code of this experiment. The curves of feedback alignment and backpropagation begin where the weights begin to move.

W^1's relative error is judged for gradient steps alone. Least squares finds it less accurately than feedback alignment
leaves it, though its angle is far lower: the error lies in directions that the gradient makes no use of (Figure 4).

The quick form, 4700 iterations, does not judge that gradient steps learn as well as backpropagation, which holds in the
end: they were 7 points of test error behind there, and level after 45,000 iterations (8.8 % both, feedback alignment
11.0).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import noisysim
from noisysim import Batch, Chip
from noisysim.learners import Learner
from noisysim.tasks import Task

from . import lansdell
from .parts import Measured
from .report import Report, panels

SECONDS = (2000, 20)
RATE, FEEDBACK_RATE = 32 * 4e-4, 32 * 5e-4
WARMUP = 1000
OTHERS = {"FA": "#555555", "BP": "#000000"}


class Course(NamedTuple):
    """What became of one rule.

    Attributes
    ----------
    updates : numpy.ndarray
        Iterations since the weights began to move.
    matches : list of lansdell.Match
        How B compares with W, mean over the seeds; empty for backpropagation.
    errors : numpy.ndarray
        Test errors, %, (seeds, looks).
    """

    updates: np.ndarray
    matches: list[lansdell.Match]
    errors: np.ndarray


def reproduce(report: Report) -> None:
    """Train by every rule, and compare."""
    task = report.data(lansdell.mnist)
    updates = 4700 if report.quick else 187_500
    noise = (1e-2, 1e-1) if report.quick else tuple(lansdell.NOISE)
    report.keep(sizes=lansdell.SIZES, batch=lansdell.BATCH, rate=RATE, feedback_rate=FEEDBACK_RATE, updates=updates)
    report.say(
        f"784-50-20-10 on MNIST, {report.seeds} seed(s), {updates:,} iterations after {WARMUP:,} of warm-up (the paper "
        "does not say how many; 100 epochs in the full form). W1, W2: relative errors and shares of signs in %, angles "
        "in degrees"
    )
    # as feedback alignment starts: "by setting the feedback learning rate to zero, we recover" it
    shared = {"name": "learned-fa", "warmup": WARMUP, "feedback_init": "he-uniform"}
    step = {"feedback_optimizer": "sgd", "feedback_rate": FEEDBACK_RATE}
    rules: dict[str, Any] = {"BP": {"name": "bp"}, "FA": {"name": "fa"}}
    for c in noise:
        rules[f"c = {c:g}"] = {**shared, **step, "sigma": c}
    rules["least squares"] = {**shared, "sigma": 1e-2, "fit": "least_squares"}
    courses: Measured[str, Course] = Measured(report)
    for name, rule in rules.items():
        with report.part(name):
            courses[name] = learn(report, task, noisysim.learners.get(rule), updates)
            show(report, name, courses[name])
    for name in rules:
        if name not in OTHERS:
            with report.derived():
                judge(report, {one: courses[one] for one in (*OTHERS, name)}, name)
    with report.derived():
        draw(report, {name: courses[name] for name in rules})


def learn(report: Report, task: Task, learner: Learner, updates: int) -> Course:
    """Train one rule once a seed."""
    shared: dict[str, Any] = {"task": task, "learner": learner, "updates": updates, "backend": report.backend}
    seeds = [report.measure(learn_once, **shared, seed=seed) for seed in range(report.seeds)]
    looks, matches, errors = zip(*seeds, strict=True)
    return Course(looks[0], lansdell.mean(matches) if matches[0] else [], np.array(errors))


def learn_once(task: Task, learner: Learner, updates: int, seed: int, backend: str) -> tuple[Any, ...]:
    """One network: the iterations of the looks, what was seen of B, test errors."""
    warmup = getattr(learner, "warmup", 0)
    looks = np.linspace(0, updates, 26).astype(int)
    chip, state = lansdell.network(task, learner, seed, backend=backend)
    test, matches, errors = task.batch("test", slice(None)), [], []
    part = task.batch("test", slice(0, 1000))
    stream = lansdell.batches(task, warmup + updates + 1, seed)
    for update, (now, _) in enumerate(lansdell.learn(chip, learner, state, stream, RATE), -warmup):
        if update in looks:
            errors.append(error(chip, test))
            if hasattr(learner, "feedback_shapes"):
                matches.append(lansdell.match(chip, learner, now, part))
    return looks, matches, errors


def error(chip: Chip, batch: Batch) -> float:
    """Share of samples in the wrong class, %."""
    with chip.aside():
        output = chip.forward(batch).output
    return 100 * float(np.mean(output.argmax(axis=1) != batch.targets.argmax(axis=1)))


def show(report: Report, name: str, course: Course) -> None:
    """The rows of one rule, as it ends."""
    last = course.errors[:, -1]
    spread = last.std(ddof=1) if len(last) > 1 else None
    course_of_it = course.errors.mean(0).round(2)
    report.row(f"{name}: test error", last.mean(), spread=spread, course=course_of_it)
    if course.matches:
        for part, values in zip(lansdell.Match._fields, course.matches[-1], strict=True):
            report.row(f"{name}: {part} of W1, W2", values)


def judge(report: Report, courses: dict[str, Course], name: str) -> None:
    """The paper's statements on one way of learning B."""
    ours, alignment = courses[name].matches[-1], courses["FA"].matches[-1]
    exact = name == "least squares"
    for layer in (0, 1):
        matrix = f"{name}: W{layer + 1}"
        report.claim(f"{matrix}, angle below FA's", alignment.angle[layer] - ours.angle[layer], ">= 20")
    report.claim(f"{name}: W2, FA's error over its own", alignment.error[1] / ours.error[1], ">= 1.5")
    if not exact:
        report.claim(f"{name}: W1, FA's error over its own", alignment.error[0] / ours.error[0], "> 1")
    report.claim(f"{name}: W2, signs above FA's", ours.signs[1] - alignment.signs[1], ">= 10")
    last = {rule: course.errors[:, -1].mean() for rule, course in courses.items()}
    if exact or not report.quick:
        report.claim(f"{name}: test error above BP's", last[name] - last["BP"], "<= 3")
    report.claim(f"{name}: test error above FA's", last[name] - last["FA"], "<= 1")


def draw(report: Report, courses: dict[str, Course]) -> None:
    """Panels A to D: solid W^2, dashed W^1."""
    figure, axes = panels(["A: relative error", "B: angle", "C: signs that agree", "D: test error"], 4.0, 3.8)
    colours = {**OTHERS, "least squares": "#009E73", **{f"c = {c:g}": colour for c, colour in lansdell.NOISE.items()}}
    for name, course in courses.items():
        for panel, part in zip(axes, lansdell.Match._fields, strict=False):
            values = np.array([getattr(m, part) for m in course.matches])
            for layer, style in ((1, "-"), (0, "--")):
                if course.matches:
                    label = name if layer else None
                    panel.plot(course.updates, values[:, layer], style, color=colours[name], label=label)
        style = ":" if name == "BP" else "-"
        axes[3].plot(course.updates, course.errors.mean(0), style, color=colours[name], label=name)
    for panel in axes:
        panel.set_xlabel("iterations since the weights move")
    axes[0].set(ylabel="$|W - B| \\, / \\, |W|$ (%)", ylim=(0, 300))
    axes[1].set(ylabel="to the true gradient (degrees)", ylim=(0, 120))
    axes[2].set(ylabel="%", ylim=(30, 100))
    axes[3].set(ylabel="%", ylim=(0, 60))
    axes[1].legend(frameon=False, fontsize=8, title="solid: $W^2$, dashed: $W^1$", title_fontsize=8)
    axes[3].legend(frameon=False, fontsize=8)
    report.figure("learning", figure)
