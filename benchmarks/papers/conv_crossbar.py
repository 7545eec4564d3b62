"""A convolutional network learns on a noisy 8-bit crossbar from what its ADCs read: DANP with two noisy passes.

On exact hardware a rule injects a perturbation of 1e-3; in a chip's noise that would drown. DANP need not inject any
(Dalm et al. 2025, section 3.4): the difference of two passes, noise and ADC and all, is its perturbation. That was
shown in fully connected networks. In a convolution one array serves hundreds of positions, and each read of it has
noise of its own.

The ConvNet of Dalm et al. (Table 1) on CIFAR-10, Adam at 1e-3, batch 1000, 100 epochs. DANP on the `ideal` device has a
clean baseline and injects sigma = 1e-3; on `crossbar` (8-bit DAC, ADC of 8, 6 or 4 bits, 1 % of line and of read noise,
256 levels missed by 0.2 %, written to targets) it injects nothing. BP stands beside as a reference: its passes are the
chip's, its gradient is the exact one, which no chip gives. Values are test accuracies (%) of the last epoch as the chip
reads them, and beside them those of the learned weights read exactly (from the state in the result). The full form is
meant for a GPU, or half a day of two cores. At Table 2's rate for DANP, 1e-4, it would have taken far longer: after 6
epochs on the ideal device DANP had 20 % of the training images, at 1e-3 43 %.

The quick form has Fashion-MNIST, two convolutions (3 x 3, 8 and 16 channels, strides of 2) and 64 units, batch 250, 2
epochs, rate 1e-3, and 8 bits alone.

Judged, bounds set before the first run: on 8 bits DANP and BP lose at most 3 points to the ideal device; DANP learns
(65 % of Fashion-MNIST in the quick form, 45 % of CIFAR-10 in the full one); BP does better than DANP on the ideal
device; on 6 bits DANP loses at most 6. 4 bits are shown. A sample's pass costs what the layers' geometry says, and DANP
takes two of them per update.

The full form has not been run. Its first 6 epochs, one seed: DANP 41.1 on the ideal device; on the crossbar 40.1 (41.1
read exactly) with 8 bits, 39.6 (41.6) with 6, 24.1 (34.9) with 4; BP 56.4, and 56.6 (57.3) with 8 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import noisysim
from noisysim.networks.layers import conv, hidden
from noisysim.tasks import Task

from .parts import Measured
from .report import Report, histories, panels

SECONDS = (50_000, 50)


class Form(NamedTuple):
    """How long and how large.

    Attributes
    ----------
    task : str
    layers : str or list
        Hidden layers.
    batch_size, epochs : int
    rate : float
        Learning rate of both rules.
    bits : tuple of int
        ADCs on which DANP is tried.
    cost : (int, int)
        Products and ADC conversions of one sample's pass, reckoned from the geometry by hand.
    learned : float
        Test accuracy (%) from which DANP is said to have learned.
    """

    task: str
    layers: Any
    batch_size: int
    epochs: int
    rate: float
    bits: tuple[int, ...]
    cost: tuple[int, int]
    learned: float


FULL = Form(
    "cifar10", "dalm-convnet", 1000, 100, 1e-3, (8, 6, 4),
    (15 * 15 + 7 * 7 + 5 * 5 + 2, 15 * 15 * 16 + 7 * 7 * 32 + 5 * 5 * 64 + 1024 + 10), 45,
)  # fmt: skip
QUICK = Form(
    "fashion-mnist:standardise=global", [conv(8, 3, stride=2), conv(16, 3, stride=2), 64], 250, 2,
    1e-3, (8,), (13 * 13 + 6 * 6 + 2, 13 * 13 * 8 + 6 * 6 * 16 + 64 + 10), 65,
)  # fmt: skip
LOST = {8: "<= 3", 6: "<= 6"}  # points, by ADC bits
COLOURS = {"BP": "#555555", "DANP": "#0072B2"}
DASHES = {0: "-", 8: "--", 6: "-.", 4: ":"}


def label(rule: str, bits: int) -> str:
    """Name of a row; no bits are the ideal device."""
    return f"{rule.upper()}, {f'crossbar, {bits} bits' if bits else 'ideal device'}"


def reproduce(report: Report) -> None:
    """Train the network on both devices, and judge what the crossbar costs."""
    form = QUICK if report.quick else FULL
    task = noisysim.tasks.get(form.task)
    report.keep(**{name: str(value) for name, value in form._asdict().items()})
    report.say(f"{task.name}, {form.layers}, {form.epochs} epochs: test accuracy (%) of the last, as the chip reads")
    results_of: Measured[str, list[noisysim.Result]] = Measured(report)
    for rule, bits in [("bp", 0), ("bp", 8), ("danp", 0), *(("danp", bits) for bits in form.bits)]:
        with report.part(label(rule, bits)):
            results_of[label(rule, bits)] = measure(report, form, task, rule, bits)

    def lost(rule: str, bits: int) -> float:
        ideal, noisy = (report.find(label(rule, b))["ours"] for b in (0, bits))
        return float(ideal - noisy)

    for rule, bits in [("bp", 8), *(("danp", bits) for bits in form.bits)]:
        name = f"{label(rule, bits)}, loses to ideal"
        with report.derived():
            if bits in LOST:
                report.claim(name, lost(rule, bits), LOST[bits])
            else:
                report.row(name, lost(rule, bits))
    with report.derived():
        learned_there = report.find(label("danp", 8))["ours"]
        report.claim("DANP learns on the crossbar, 8 bits", learned_there, f">= {form.learned:g}")
    with report.derived():
        bp, danp = (report.find(label(rule, 0))["ours"] for rule in ("bp", "danp"))
        report.claim("BP over DANP, ideal device", bp - danp, "> 0")
    if results_of.so_far:
        draw(report, results_of)


def measure(report: Report, form: Form, task: Task, rule: str, bits: int) -> list[noisysim.Result]:
    """Train with one rule on one device, and add the rows of what it reads so far and of what it costs."""
    learner: dict[str, Any] = {"name": rule}
    if rule == "danp":
        learner["sigma"] = 0 if bits else 1e-3
    results = report.runs(
        partial=True,
        task=task,
        layers=form.layers,
        device={"name": "crossbar", "controller": "copy", "adc_bits": bits} if bits else "ideal",
        learner=learner,
        optimizer="adam:epsilon=1e-7",
        learning_rate=form.rate,
        batch_size=form.batch_size,
        epochs=form.epochs,
    )
    curves = 100 * histories(results, "test_accuracy", lost=0)
    exact = np.mean([learned(result, task) for result in results])
    cost, state = results[0].cost, results[0].content["arrays"]["state/learner"]
    report.row(
        label(rule, bits),
        curves[:, -1].mean(),
        spread=curves[:, -1].std(ddof=1) if len(curves) > 1 else None,
        note=f"read exactly {exact:.2f}; {cost['mvms'] / 1e6:,.0f} M products"
        + (f", {cost['adc_conversions'] / 1e6:,.0f} M ADC conversions" if bits else ""),
        exact=round(exact, 3),
        seeds=curves[:, -1].round(2),
        epochs=curves.mean(axis=0).round(2),
        injected=state["sigma"],
        passed_share=results[0].history["passed_share"].round(3),
        cost=cost,
        warnings=results[0].warnings,
    )
    if bits and results[0].status == "finished":  # the last epoch's: two passes per update of DANP, one of BP, a test
        samples = (2 if rule == "danp" else 1) * task.n_train + task.n_test
        each = [np.diff(results[0].history[name])[-1] / samples for name in ("mvms", "adc_conversions")]
        report.row(f"{label(rule, bits)}: products/conversions", each, form.cost, 0)
    return results


def learned(result: noisysim.Result, task: Task) -> float:
    """Test accuracy (%) of what a chip has learned: its weights and decorrelation matrices, read exactly."""
    layers = [task.input_shape, *hidden(result.config["layers"]), task.n_out]
    chip, state = noisysim.Chip(layers, device="ideal"), result.content["arrays"]["state/chip"]
    changes, cells, turns = [], 0, 0
    for cell_weights in chip.oracle(task.batch("test", slice(1))).weights:
        n_out, n_in = cell_weights.shape
        weights = state["weights"][cells : cells + n_out * n_in].reshape(n_out, n_in)
        if state["rotations"].size:
            weights = weights @ state["rotations"][turns : turns + n_in**2].reshape(n_in, n_in)
        changes.append(weights - cell_weights)
        cells, turns = cells + n_out * n_in, turns + n_in**2
    chip.program(changes)
    hits = 0.0
    for first in range(0, task.n_test, 1000):
        batch = task.batch("test", slice(first, first + 1000))
        hits += float((chip.forward(batch).output.argmax(axis=1) == batch.targets.argmax(axis=1)).sum())
    return 100 * hits / int(task.n_test)


def draw(report: Report, results_of: Measured[str, list[noisysim.Result]]) -> None:
    """Test accuracy against epochs so far, and against the products that arrays have computed: mean and range."""
    figure, axes = panels(["Test accuracy", "... against the arrays' products"], 4.4, 4.2, sharey=True)
    for name, results in results_of.so_far.items():
        rule, bits = name.partition(",")[0], int("".join(c for c in name if c.isdigit()) or 0)
        values = 100 * histories(results, "test_accuracy", lost=0)
        products = histories(results, "mvms", lost=np.nan)[0] / 1e6
        for panel, x in zip(axes, (np.arange(1, values.shape[1] + 1), products), strict=True):
            panel.plot(x, values.mean(axis=0), DASHES[bits], color=COLOURS[rule], label=name + results_of.label(name))
            panel.fill_between(x, values.min(axis=0), values.max(axis=0), color=COLOURS[rule], alpha=0.15, lw=0)
    axes[0].set(xlabel="epoch", ylabel="as the chip reads (%)")
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    axes[1].set(xlabel="products of an array and a vector (millions)", xlim=(0, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    report.figure("accuracy", figure)
