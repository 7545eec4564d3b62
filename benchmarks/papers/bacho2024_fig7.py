"""Bacho & Chu 2024, Figure 7: alignment of DFA's, DKP's and FDFA's updates with backpropagation's, layer by layer.

"Low-variance forward gradients using direct feedback alignment and momentum", section 4.4: a network of 5 layers on
MNIST, 100 epochs; otherwise the settings of Table 1 (`noisysim.papers.bacho2024_table1`). The angle is between a
batch's gradient as the rule estimates it and as the exact weights give it. The output layer's is 0. The paper prints no
numbers of this figure; its text says that FDFA aligns faster, that its alignment is "globally enhanced by 30 degrees in
comparison to DFA and DKP", and, in the discussion, that it is closest in the last layers, where B becomes W.

The quick form has hidden layers of 128 in place of 800, and 3 epochs at 5e-4 in place of 100 at 1e-4; it judges the 30
degrees by half of them. In so short a run DKP's last hidden layer is the worst: its B takes the steps of the output
weights, so that without decay it is what these have changed since they were drawn, and that is little yet.
"""

from __future__ import annotations

import numpy as np

from .bacho2024_table1 import learner
from .parts import Measured
from .report import Report, panels

SECONDS = (25_000, 20)
RULES = ("dfa", "dkp", "fdfa")
HIDDEN = 4
PUBLISHED = 30.0
LOOKS = 100  # of a run
WINDOW = 5  # looks that a line of the figure averages


def reproduce(report: Report) -> None:
    """Train by each rule, and compare the angles."""
    width, rate, epochs = (128, 5e-4, 3) if report.quick else (800, 1e-4, 100)
    updates = epochs * 938
    report.keep(width=width, hidden_layers=HIDDEN, learning_rate=rate, epochs=epochs, unit="degrees")
    report.say(
        f"784-{f'{width}-' * HIDDEN}10 on MNIST, ReLU, batch 64, {epochs} epochs at {rate:g}, {report.seeds} seed(s): "
        "angles of the hidden layers' gradients to the exact ones, in degrees"
    )
    angles_of: Measured[str, np.ndarray] = Measured(report)
    for rule in RULES:
        with report.part(rule.upper()):
            results = report.runs(
                partial=True, task="mnist", layers=[width] * HIDDEN, device="ideal", activation="relu", bias=True,
                init="uniform", learner=learner(rule, rate), optimizer="adam:epsilon=1e-8", learning_rate=rate,
                learning_rate_decay=0.95, batch_size=64, epochs=epochs, diagnostics=["angle"], every=updates // LOOKS,
            )  # fmt: skip
            angles = np.nanmean([r.diagnostics["angle"][:, :HIDDEN] for r in results], axis=0)
            angles_of[rule] = angles
            accuracy = 100 * np.mean([r.history["test_accuracy"][-1] for r in results])
            late = angles[-LOOKS // 4 :].mean(axis=0)
            report.row(f"{rule.upper()}: angles, last quarter", late, test_accuracy=round(accuracy, 2))
    with report.derived():
        judge(report, {rule: angles_of[rule] for rule in RULES})
    if angles_of.so_far:
        draw(report, np.arange(0, updates, updates // LOOKS), angles_of)


def judge(report: Report, angles_of: dict[str, np.ndarray]) -> None:
    """The paper's statements on FDFA."""
    early, late = slice(0, LOOKS // 10), slice(-LOOKS // 4, None)
    for rule in ("dfa", "dkp"):
        gain = (angles_of[rule] - angles_of["fdfa"])[late].mean()
        report.claim(f"FDFA closer than {rule.upper()}, last quarter", gain, f">= {PUBLISHED / 2:g}", PUBLISHED)
        gain = (angles_of[rule] - angles_of["fdfa"])[early].mean()
        report.claim(f"FDFA closer than {rule.upper()}, first tenth", gain, "> 0")
    angles = angles_of["fdfa"][late].mean(axis=0)
    report.claim("FDFA: last hidden layer", angles[-1], "<= 10")
    report.claim("FDFA: first hidden layer's above the last's", angles[0] - angles[-1], "> 0")


def draw(report: Report, steps: np.ndarray, angles_of: Measured[str, np.ndarray]) -> None:
    """A panel a rule, so far, a line a hidden layer, darker the deeper."""
    titles = [f"{'abc'[RULES.index(rule)]}: {rule.upper()}{angles_of.label(rule)}" for rule in angles_of.so_far]
    figure, axes = panels(titles, 4.2, 3.8, sharey=True)
    epochs = np.convolve(steps, np.full(WINDOW, 1 / WINDOW), "valid") / 938
    for panel, angles in zip(axes, angles_of.so_far.values(), strict=True):
        for layer in range(HIDDEN):
            smooth = np.convolve(angles[:, layer], np.full(WINDOW, 1 / WINDOW), "valid")
            panel.plot(
                epochs[: len(smooth)],
                smooth[: len(epochs)],
                color="#0072B2",
                alpha=0.25 + 0.25 * layer,
                label=f"hidden layer {layer + 1}",
            )
        panel.set(xlabel="epoch", ylim=(0, 105), yticks=range(0, 91, 15))
        panel.axhline(90, color="#999999", lw=0.8)
    axes[0].set_ylabel("angle to the exact gradient (degrees)")
    axes[-1].legend(frameon=False, loc="upper right", fontsize=9)
    report.figure("alignment", figure)
