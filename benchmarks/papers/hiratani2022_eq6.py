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

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import noisysim
from noisysim.chip.diagnostics import ORACLE, Axis, Diagnostic, Probe
from noisysim.common.types import Doubles

from .hiratani2022_fig2 import power
from .parts import Measured
from .report import Report, panels

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
    results = report.runs(
        task="digits", layers=[width] * HIDDEN, activation="tanh", device="ideal", init="glorot",
        learner="np:sigma=1e-3", optimizer="sgd", learning_rate=STILL, batch_size=1, epochs=1,
        diagnostics=["cosine", Share()], every=1,
    )  # fmt: skip
    of_seeds = [[result.diagnostics[name].mean(axis=0) for name in ("cosine", "share")] for result in results]
    cosine, share = np.mean(of_seeds, axis=0)
    return cosine, share


def plain(width: int, seed: int) -> Doubles:
    """The cosines of the hidden layers in plain NumPy, mean over the training samples: an independent check.

    Node perturbation's update of a layer is (g . xi) xi_k x^T, g being the gradient with respect to all
    pre-activations, and SGD's g_k x^T.
    """
    rng, batch = np.random.default_rng(seed), noisysim.tasks.get("digits").batch("train", slice(None))
    sizes = (batch.inputs.shape[1], *[width] * HIDDEN, batch.targets.shape[1])
    weights = [rng.standard_normal((m, n)) * np.sqrt(2 / (n + m)) for n, m in itertools.pairwise(sizes)]
    outputs = [batch.inputs.astype(float)]
    for w in weights[:-1]:
        outputs.append(np.tanh(outputs[-1] @ w.T))
    scores = outputs[-1] @ weights[-1].T
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    gradients = [shares / shares.sum(axis=1, keepdims=True) - batch.targets]
    for w, output in zip(weights[:0:-1], outputs[:0:-1], strict=True):
        gradients.insert(0, gradients[0] @ w * (1 - output**2))
    noise = [rng.standard_normal(g.shape) for g in gradients]
    products = np.array([(g * xi).sum(axis=1) for g, xi in zip(gradients, noise, strict=True)])
    lengths = [np.linalg.norm(g, axis=1) * np.linalg.norm(xi, axis=1) for g, xi in zip(gradients, noise, strict=True)]
    cosine: Doubles = (np.sign(products.sum(axis=0)) * products / lengths).mean(axis=1)[:HIDDEN]
    return cosine


def reproduce(report: Report) -> None:
    """Equation 6."""
    widths = np.array(WIDTHS[::2] if report.quick else WIDTHS)
    report.keep(task="digits", hidden_layers=HIDDEN, widths=widths, activation="tanh")
    report.say(
        f"digits, hidden layers of {widths[0]} to {widths[-1]} units, {report.seeds} seeds, every training sample"
    )
    of_widths: Measured[int, tuple[np.ndarray, np.ndarray]] = Measured(report)
    for width in widths.tolist():
        with report.part(f"{width} units"):
            of_widths[width] = cosines(report, width)
    with report.part("plain NumPy"):
        found = np.array(
            [np.mean([report.measure(plain, width=w, seed=s) for s in range(report.seeds)], 0) for w in widths.tolist()]
        )
        for layer in range(HIDDEN):
            exponent = power(widths, found[:, layer])
            report.row(f"layer {layer + 1}: power of the width, plain NumPy", exponent, cosines=found[:, layer])
    with report.derived():
        judge(report, widths, *map(np.array, zip(*(of_widths[width] for width in widths.tolist()), strict=True)))


def judge(report: Report, widths: np.ndarray, mean: np.ndarray, share: np.ndarray) -> None:
    """Powers and bounds of the cosine, from means of it and of the root of the share, (widths, layers), and figure."""
    for layer in range(HIDDEN):
        name, falls = f"layer {layer + 1}", mean[:, layer] / share[:, layer]
        report.row(f"{name}: power of the width", power(widths, mean[:, layer]), -0.5, 0.05)
        report.row(f"{name}: the same, over the root of its share", power(widths, falls), -0.5, 0.05)
        report.row(f"{name}: that times sqrt(L_k pi / 2)", falls * np.sqrt(widths * np.pi / 2), [1] * len(widths), 0.1)
        most = (mean[:, layer] * np.sqrt(widths)).max()
        report.row(f"{name}: cosine times sqrt(L_k), most", most, None, "<= 1", passed=most <= 1)
    most = mean[:, -1].max() * np.sqrt(10)
    report.row("output layer: cosine times sqrt(L_k), most", most, None, "<= 1", passed=most <= 1)
    figure, (axes,) = panels(["Cosine of NP's and SGD's updates"])
    for layer in range(HIDDEN):
        axes.plot(widths, mean[:, layer], "o", label=f"layer {layer + 1}")
    axes.plot(widths, widths**-0.5, "k:", label=r"$1/\sqrt{L_k}$")
    axes.set(xscale="log", yscale="log", xlabel="hidden units of a layer", ylabel="cosine")
    axes.minorticks_off()
    axes.set_xticks(widths, [f"{width:g}" for width in widths])
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.legend(frameon=False)
    report.figure("cosine", figure)
