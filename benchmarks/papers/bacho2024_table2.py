"""Bacho & Chu 2024, Table 2: a shallow convolutional network.

"Low-variance forward gradients using direct feedback alignment and momentum": 15C5-P2-40C5-P2-128-10, that is 15
kernels of 5 x 5 pixels, max pooling 2 x 2, 40 kernels of 5 x 5, max pooling 2 x 2, 128 units, on MNIST, Fashion-MNIST
and CIFAR-10. Test accuracy (%) at the end of 100 epochs, mean of 10 runs. Settings, and where the paper is silent or at
odds with its authors' code, are those of Table 1 (`noisysim.papers.bacho2024_table1`). Further:

- The paper adds batch normalisation to AlexNet only. In that code this network has it after each of its three layers,
  and one pooling, after the second convolution. The full form runs both networks, the second by the four rules that the
  code has for it; the quick form adds batch normalisation to the first.
- Feedback and perturbations enter at the outputs of a block, behind the pooling. In the code they enter before it.

Expected outside in the full form: DKP in the paper's network. After 10 epochs of Fashion-MNIST with the paper's
settings (two fifths of all steps, by length) BP had 87.6 %, FDFA 87.6, DFA 85.3, DKP 80.8; published at the end 92.10,
91.54, 89.69, 90.39. DKP's feedback starts at zero and adds up errors times outputs, which ReLU leaves positive, so that
what all units have in common decides; batch normalisation takes most of that away (in the quick form 61 to 81 %).

DFA hardly reaches the first convolution. In the quick form its angles to the exact gradient are on average 89 degrees
there, 79 in the second and 75 in the dense layer, with any of three seeds; feedback alignment's (FA) are the same, and
FDFA's are about 40, 30 and 9 in the same network. So it is the rule; and not the scale of its feedback, to which Adam
is blind. A gradient is summed over all positions, where a few directions decide that all patches share: decorrelated
inputs, which have none, give 84, 73 and 66 degrees and 6 points more. Feedback that is the same at all positions of a
channel is no better.

The full form is for a GPU or many nights. The quick form is 4000 images of Fashion-MNIST, 5 epochs at the rate 5e-4.
It judges the order, each gap by half of the published one, FDFA against BP by 5 points; that rule was set before
looking at all seven rules, the rate after a few runs. Not judged: DKP against DFA, published +0.7, here below it; and
LG-FG-A against FG-A, published -2.8, here above it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.lines import Line2D

import noisysim

from .bacho2024_table1 import AT_ITS_OWN, COLOURS, RULES, Known, gap, tolerance, train
from .parts import Measured
from .report import Report, panels

SECONDS = (500_000, 120)
# Table 2: RULES' mean accuracies and their standard deviations
PUBLISHED = {
    "mnist": ((99.32, 87.63, 96.63, 95.42, 98.80, 99.08, 99.16), (0.03, 1.20, 0.31, 0.72, 0.08, 0.03, 0.03)),
    "fashion-mnist": ((92.10, 74.93, 82.71, 79.96, 89.69, 90.39, 91.54), (0.16, 0.55, 0.89, 0.94, 0.22, 0.25, 0.11)),
    "cifar10": ((68.11, 33.10, 42.51, 37.74, 58.14, 60.30, 66.96), (0.57, 0.37, 0.32, 2.41, 0.94, 0.34, 0.70)),
}
GAPS = (("fdfa", "dfa"), ("fdfa", "dkp"), ("fdfa", "fg-a"), ("dfa", "fg-a"), ("fg-a", "fg-w"))


class Network(NamedTuple):
    """A network, and the rules that are to learn it.

    Attributes
    ----------
    differs : str
        How it differs from the paper's.
    layers : str or list of str
    rules : tuple of str
    """

    differs: str
    layers: str | list[str]
    rules: tuple[str, ...]


class Form(NamedTuple):
    """The full form, or a shortened one.

    Attributes
    ----------
    tasks : tuple of str
    images, tests : int
        Sizes of the parts of the training and test splits that are used; 0 is all.
    rate : float
    epochs : int
    networks : tuple of Network
        The paper's first.
    """

    tasks: tuple[str, ...]
    images: int
    tests: int
    rate: float
    epochs: int
    networks: tuple[Network, ...]


PAPER = Network("", "bacho-cnn", RULES)
CODE = Network(
    ", as in the code",
    ["conv(15, 5)", "batch_norm()", "conv(40, 5)", "batch_norm()", "pool(2)", "128", "batch_norm()"],
    ("bp", "dfa", "dkp", "fdfa"),
)
NORMALISED = Network(
    ", batch norm",
    ["conv(15, 5)", "batch_norm()", "pool(2)", "conv(40, 5)", "batch_norm()", "pool(2)", "128", "batch_norm()"],
    CODE.rules,
)
FULL = Form(("mnist", "fashion-mnist", "cifar10"), 0, 0, 1e-4, 100, (PAPER, CODE))
QUICK = Form(("fashion-mnist",), 4000, 2000, 5e-4, 5, (PAPER, NORMALISED))


def reproduce(report: Report) -> None:
    """Train every rule on every data set, and judge accuracies, or gaps."""
    form = QUICK if report.quick else FULL
    report.keep(**form._asdict(), batch_size=64, learning_rate_decay=0.95, value="test accuracy, %, last epoch")
    if report.quick:
        report.say(
            f"Shortened: {form.images:,} training and {form.tests:,} test images of {' and '.join(form.tasks)}, "
            f"{form.epochs} epochs at {form.rate:g} in place of 100 at 1e-4, {report.seeds} seed(s). Published "
            "accuracies (%) are of the full length: the gaps are judged, against half of the published ones."
        )
    else:
        report.say(f"{form.epochs} epochs at {form.rate:g}, batch 64, {report.seeds} seeds; test accuracies (%)")
    accuracies: Measured[tuple[str, str, str], float] = Measured(report)
    for name in form.tasks:
        data = report.data(images, name, form)
        for network in form.networks:
            settings = {"task": data, "layers": network.layers, "epochs": form.epochs}
            for rule in network.rules:
                label, known = f"{name}, {rule.upper()}{network.differs}", published(name, rule)
                with report.part(label):
                    accuracies[name, network.differs, rule] = train(report, label, rule, known, form.rate, **settings)
            if not report.quick and "fg-w" in network.rules:
                label = f"{name}, FG-W{AT_ITS_OWN}"
                with report.part(label):
                    train(report, label, "fg-w", published(name, "fg-w"), 1e-3, **settings)
            if report.quick:
                with report.derived():
                    ours = {rule: accuracies[name, network.differs, rule] for rule in network.rules}
                    judge(report, name, network.differs, ours)
    if accuracies.complete:
        draw(report, form, accuracies.complete)


def published(task: str, rule: str) -> Known:
    """Table 2's accuracy."""
    mean, spread = (values[RULES.index(rule)] for values in PUBLISHED[task])
    return Known(mean, spread, tolerance(task, rule))


def images(name: str, form: Form) -> Any:
    """A data set, or the first of its images."""
    if not form.images:
        return name
    task = noisysim.tasks.get(name)
    (x, y), (x_test, y_test) = task.train, task.test
    n, n_test = form.images, form.tests
    shape = (-1, *task.input_shape)
    return noisysim.tasks.get((x[:n].reshape(shape), y[:n], x_test[:n_test].reshape(shape), y_test[:n_test]))


def judge(report: Report, task: str, differs: str, accuracies: dict[str, float]) -> None:
    """Half of the published gaps, at least."""
    known, network = dict(zip(RULES, PUBLISHED[task][0], strict=True)), differs.removeprefix(", ")
    for better, worse in GAPS:
        if better in accuracies and worse in accuracies:
            gap(report, accuracies, known, better, worse, network and f"{network}, ")
    lost, lost_there = accuracies["bp"] - accuracies["fdfa"], known["bp"] - known["fdfa"]
    report.claim(f"{network and f'{network}, '}BP above FDFA", lost, "<= 5", round(lost_there, 2))


def draw(report: Report, form: Form, accuracies: dict[tuple[str, str, str], float]) -> None:
    """A panel a data set, a line a rule: ours filled, published hollow."""
    titles = [f"{task}{', shortened' if report.quick else ''}" for task in form.tasks]
    figure, axes = panels(titles, 6.4 if report.quick else 4.2, 3.6, sharey=True)
    marks = dict(zip((network.differs for network in form.networks), "os", strict=True))
    for panel, task in zip(axes, form.tasks, strict=True):
        for place, rule in enumerate(reversed(RULES)):
            known, colour = PUBLISHED[task][0][RULES.index(rule)], COLOURS[rule]
            panel.plot(known, place, "o", color=colour, mfc="white")
            for differs, mark in marks.items():
                if (task, differs, rule) in accuracies:
                    panel.plot(accuracies[task, differs, rule], place, mark, color=colour)
        panel.set(xlabel="test accuracy (%)", yticks=range(len(RULES)))
        panel.set_yticklabels([rule.upper() for rule in reversed(RULES)])
    kinds = [Line2D([], [], color="#555555", ls="", marker="o", mfc="white", label="published")]
    for differs, mark in marks.items():
        kinds.append(Line2D([], [], color="#555555", ls="", marker=mark, label=f"measured{differs}"))
    figure.legend(handles=kinds, loc="outside right upper", frameon=False, fontsize=9)
    report.figure("accuracy", figure)
