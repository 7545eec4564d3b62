"""Hiratani et al. (2022), Equation 6: the cosine between NP's and SGD's updates falls as the root of a layer's width.

"On the stability and scalability of node perturbation learning", Eq. 6: the mean over samples and noise of the cosine
of layer k's updates is at most about 1 / sqrt(L_k), L_k being the layer's units (shown for SARCOS in Figure 4A). Here:
the bundled digits, two hidden layers of the same width, tanh, Glorot weights, one sample per update, at the initial
weights (the learning rate is too small to change any). Judged are the power of the width, and the bound.

Of one sample the mean cosine is sqrt(2 / pi) sqrt(s_k / L_k), s_k being the layer's share of the squared gradient with
respect to all pre-activations. Outside, in both forms: the power in layer 1, -0.36, since that share changes with the
width. Glorot's weights shrink as a layer widens, the units of the first leave tanh's flat ends, and more of the
gradient reaches it. Divided by the root of the share, the power and the constant hold in both layers.

The quick form has fewer widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure

import noisysim
from noisysim.chip.diagnostics import ORACLE, Axis, Diagnostic, Probe
from noisysim.common.types import Doubles

from .hiratani2022_fig2 import power
from .report import Report

SECONDS = (80, 8)
WIDTHS = (32, 64, 128, 256, 512, 1024)
HIDDEN = 2
STILL = 1e-20  # a learning rate below the resolution of the weights


@dataclass(frozen=True)
class Share(Diagnostic):
    """Root of each layer's share of the squared gradient with respect to all pre-activations; for one sample."""

    name: ClassVar[str] = "share"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis(r"$\sqrt{s_k}$", 0, 1)

    def measure(self, probe: Probe) -> Doubles:
        squares = np.array([np.sum(s.astype(float) ** 2) for s in probe.exact.signals(probe.baseline)])
        shares: Doubles = np.sqrt(squares / squares.sum())
        return shares


def cosines(report: Report, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over the training samples and seeds of the cosine and of the root of the share, (layers,)."""
    of_seeds = []
    for seed in range(report.seeds):
        result = noisysim.run(
            "digits", layers=[width] * HIDDEN, activation="tanh", device="ideal", init="glorot", backend=report.backend,
            learner="np:sigma=1e-3", optimizer="sgd", learning_rate=STILL, batch_size=1, epochs=1, seed=seed,
            diagnostics=["cosine", Share()], every=1, progress=False,
        )  # fmt: skip
        if result.status == "interrupted":
            raise KeyboardInterrupt
        of_seeds.append([result.diagnostics[name].mean(axis=0) for name in ("cosine", "share")])
    cosine, share = np.mean(of_seeds, axis=0)
    return cosine, share


def reproduce(report: Report) -> None:
    """Equation 6."""
    widths = np.array(WIDTHS[::2] if report.quick else WIDTHS)
    report.keep(task="digits", hidden_layers=HIDDEN, widths=widths, activation="tanh")
    report.say(
        f"digits, hidden layers of {widths[0]} to {widths[-1]} units, {report.seeds} seeds, every training sample"
    )
    mean, share = (np.array(parts) for parts in zip(*(cosines(report, w) for w in widths.tolist()), strict=True))
    for layer in range(HIDDEN):
        name, falls = f"layer {layer + 1}", mean[:, layer] / share[:, layer]
        report.row(f"{name}: power of the width", power(widths, mean[:, layer]), -0.5, 0.05)
        report.row(f"{name}: the same, over the root of its share", power(widths, falls), -0.5, 0.05)
        report.row(f"{name}: that times sqrt(L_k pi / 2)", falls * np.sqrt(widths * np.pi / 2), [1] * len(widths), 0.1)
        most = (mean[:, layer] * np.sqrt(widths)).max()
        report.row(f"{name}: cosine times sqrt(L_k), most", most, None, "<= 1", passed=most <= 1)
    most = mean[:, -1].max() * np.sqrt(10)
    report.row("output layer: cosine times sqrt(L_k), most", most, None, "<= 1", passed=most <= 1)
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for layer in range(HIDDEN):
        axes.plot(widths, mean[:, layer], "o", label=f"layer {layer + 1}")
    axes.plot(widths, widths**-0.5, "k:", label=r"$1/\sqrt{L_k}$")
    axes.set(xscale="log", yscale="log", xlabel="hidden units of a layer", ylabel="cosine of NP's and SGD's updates")
    axes.legend()
    report.figure("cosine", figure)
