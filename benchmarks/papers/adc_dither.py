"""Dither: intrinsic noise lets a learner see through a coarse ADC.

Fashion-MNIST after 3 epochs on a crossbar whose only faults are its converters (8-bit DAC, ADC of b bits, its range
calibrated on the chip) and, or not, noise on the lines of 1 % of the ADC's full scale; cells are written to targets
(``controller=copy``), also those of the rows of the default crossbar, whose default that was. DANP (Dalm et al. 2025,
section 3.4: the difference of two noisy passes) and DNP; 784-256-256-256-10, leaky ReLU, cross-entropy, Adam, batch
1000, rate 3e-3. Without noise a perturbation must be injected: sigma = 1e-3 as on exact hardware, or what noisysim
chooses (at least half a step of the ADC).

Two test accuracies (%), after the last epoch: of the chip as it reads, noise, ADC and all; and of the weights it has
learned, read exactly (from the checkpoint in the result: no chip could). The published column, an independent NumPy
implementation, must mean the second: its 82.1 at 4 bits is learned here too, but 4 bits do not read it. Its ADC's full
scale is the largest activity; ours leaves a quarter to spare. Without an ADC ("none") the 8-bit DAC between the layers
still hides small perturbations.

Outside in the full form: 4 bits without noise, sigma 1e-3 (69.5 %, published 73.6 +- 3 %: the reference's steps
are finer, as its range has nothing to spare); DNP with sigma 1e-3 in 1 % of noise (10.3 %, published 12 to 14 %:
chance, as expected); one loss for a batch of 100 (30 %, published 23 +- 6 %: it varies that much, and has collapsed
from 69 % in both cases).

Its figure is docs/images/adc_dither.png. Needs the Fashion-MNIST files. The quick form takes one epoch instead of 3,
8 and 4 bits, and judges the claims: noise gains at least 1 point on none (sigma 1e-3) at 8 bits and 4 at 4 bits, loses
at most 2 to exact hardware, and DNP that injects 1e-3 into it stays below 20 %.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import noisysim
from noisysim.devices.contract import DeviceSpec

from .report import Report, histories, panels

SECONDS = (1500, 40)
SETTINGS: dict[str, Any] = {
    "task": "fashion-mnist:standardise=global",
    "layers": [256, 256, 256],
    "optimizer": "adam:epsilon=1e-7",
    "batch_size": 1000,
    "epochs": 3,
    "learning_rate": 3e-3,
}
PLAIN = {"dac_bits": 8, "read_noise": 0, "program_noise": 0, "levels": 0}
BITS = (3, 4, 5, 6, 8, 0)
# curve: (learner, line noise, injected sigma; 0 is chosen by noisysim, which for DANP in noise is nothing)
CURVES = {
    "DANP, 1 % noise": ("danp", 0.01, 0),
    "DANP, no noise, sigma chosen": ("danp", 0, 0),
    "DANP, no noise, sigma 1e-3": ("danp", 0, 1e-3),
    "DNP, 1 % noise, sigma chosen": ("dnp", 0.01, 0),
    "DNP, no noise, sigma chosen": ("dnp", 0, 0),
    "DNP, no noise, sigma 1e-3": ("dnp", 0, 1e-3),
}
AT_TWO = ("DANP, no noise, sigma chosen", "DNP, no noise, sigma chosen")  # not in the figure: 8 and 4 bits only
# (curve, bits): (published, tolerance)
KNOWN = {
    ("DANP, 1 % noise", 8): (82.6, 1.0),
    ("DANP, 1 % noise", 4): (82.1, 1.5),
    ("DANP, no noise, sigma 1e-3", 8): (79.0, 2.0),
    ("DANP, no noise, sigma 1e-3", 4): (73.6, 3.0),
}


QUICK = (
    "DANP, ideal device", "DNP, 8 bits, 1 % noise, sigma 1e-3", "DANP, 8 bits, 1 % noise",
    "DANP, 8 bits, no noise, sigma 1e-3", "DANP, 4 bits, 1 % noise", "DANP, 4 bits, no noise, sigma 1e-3",
)  # fmt: skip
# claim: (row, less row, bound in the full form, in the quick form; "" is not judged)
CLAIMS = {
    "DANP, 8 bits, 1 % noise, loses to ideal": (
        "DANP, ideal device", "DANP, 8 bits, 1 % noise", "<= 1", "<= 2",
    ),
    "... and gains on no noise, sigma 1e-3": (
        "DANP, 8 bits, 1 % noise", "DANP, 8 bits, no noise, sigma 1e-3", "> 0", ">= 1",
    ),
    "... and gains on no noise, sigma chosen": (
        "DANP, 8 bits, 1 % noise", "DANP, 8 bits, no noise, sigma chosen", "", "",
    ),
    "DANP, 4 bits, 1 % noise, gains on none": (
        "DANP, 4 bits, 1 % noise", "DANP, 4 bits, no noise, sigma 1e-3", "", ">= 4",
    ),
    "DNP, 8 bits, sigma 1e-3 in 1 %, is deaf": (
        "DNP, 8 bits, 1 % noise, sigma 1e-3", "", "", "<= 20",
    ),
}  # fmt: skip
STYLES = {
    "DANP, 1 % noise": ("#0072B2", "-", "o", "DANP, 1 % noise on the lines, nothing injected"),
    "DANP, no noise, sigma 1e-3": ("#0072B2", "--", "o", "DANP, no noise, σ = 0.001 injected"),
    "DNP, 1 % noise, sigma chosen": ("#D55E00", "-", "s", "DNP, 1 % noise, σ chosen by noisysim"),
    "DNP, no noise, sigma 1e-3": ("#D55E00", "--", "s", "DNP, no noise, σ = 0.001 injected"),
}


def crossbar(bits: int, noise: float) -> dict[str, Any]:
    """The crossbar of this study."""
    return {"name": "crossbar", "controller": "copy", **PLAIN, "adc_bits": bits, "line_noise": noise}


def learner(name: str, sigma: float, **settings: Any) -> dict[str, Any]:
    """A rule; sigma 0 leaves the choice to noisysim."""
    return {"name": name, "sigma": sigma, **settings}


# Single runs: (device, learner, what else differs, published, tolerance)
SINGLES: dict[str, tuple[Any, ...]] = {
    "DANP, ideal device": ("ideal", learner("danp", 1e-3), {}, 82.5, 0.8),
    "DNP, ideal device": ("ideal", learner("dnp", 1e-3), {}, None, None),
    "DNP, 8 bits, no noise, sigma 0.1": (crossbar(8, 0), learner("dnp", 0.1), {}, 81.8, 1.5),
    "DNP, 8 bits, 1 % noise, sigma 1e-3": (crossbar(8, 0.01), learner("dnp", 1e-3), {}, 13, 1.0),  # 12 to 14
    "DANP, the default crossbar": ("crossbar:controller=copy", learner("danp", 0), {}, None, None),
    "DNP, the default crossbar": ("crossbar:controller=copy", learner("dnp", 0), {}, None, None),
    "ANP, ideal, batch 100, a loss a sample": (
        "ideal",
        learner("anp", 1e-3),
        {"batch_size": 100, "epochs": 1, "learning_rate": 3e-4},
        69.4,
        1.5,
    ),
    "ANP, ideal, batch 100, one loss a batch": (
        "ideal",
        learner("anp", 1e-3, loss="batch"),
        {"batch_size": 100, "epochs": 1, "learning_rate": 3e-4},
        23.3,
        6.0,
    ),
}


def learned(result: noisysim.Result) -> float:
    """Test accuracy (%) of what a chip has learned: its weights and decorrelation matrices, read exactly."""
    state = result.content["arrays"]["state/chip"]
    batch = noisysim.tasks.get(SETTINGS["task"]).batch("test", slice(None))
    sizes = [batch.inputs.shape[1], *SETTINGS["layers"], batch.targets.shape[1]]
    x, cells, turns = batch.inputs, 0, 0
    for layer, (n, m) in enumerate(itertools.pairwise(sizes)):
        if layer:
            x = np.where(x > 0, x, 0.01 * x)
        if state["rotations"].size:
            x = x @ state["rotations"][turns : turns + n * n].reshape(n, n).T
        x = x @ state["weights"][cells : cells + n * m].reshape(m, n).T
        cells, turns = cells + n * m, turns + n * n
    return 100 * float((x.argmax(1) == batch.targets.argmax(1)).mean())


def measure(
    report: Report,
    name: str,
    device: DeviceSpec,
    rule: dict[str, Any],
    differs: dict[str, Any],
    published: float | None = None,
    tolerance: float | None = None,
    **more: Any,
) -> None:
    """One row: means over the seeds, of what was learned."""
    if report.quick:
        differs, tolerance = {**differs, "epochs": 1}, None
    with report.part(name):
        results = report.runs(partial=True, **{**SETTINGS, **differs}, device=device, learner=rule)
        exact = np.array([learned(r) for r in results])
        curves = 100 * histories(results, "test_accuracy", lost=0)
        read = curves[:, -1]
        report.row(
            name,
            exact.mean(),
            published,
            tolerance,
            exact.std(ddof=1) if len(exact) > 1 else None,
            note=f"read by the chip {read.mean():.2f}",
            read=round(float(read.mean()), 3),
            seeds=exact.round(2),
            seeds_read=read.round(2),
            epochs_read=curves.mean(0).round(2),
            device=device,
            learner=rule,
            differs=differs,
            passed_share=round(float(results[0].history["passed_share"][-1]), 3),
            warnings=results[0].warnings,
            **more,
        )


def reproduce(report: Report) -> None:
    """Measure the rows and judge the claims."""
    report.keep(**SETTINGS, crossbar=PLAIN, value="test accuracy, %, of the weights read exactly; read: by the chip")
    report.say(
        "784-256-256-256-10 on Fashion-MNIST: test accuracy (%) of the weights learned, read exactly; published: an "
        "independent implementation" + (". Quick: one epoch instead of 3" if report.quick else "")
    )
    for name, single in SINGLES.items():
        if not report.quick or name in QUICK:
            measure(report, name, *single)
    for bits in BITS:
        for curve, (rule, noise, sigma) in CURVES.items():
            name = f"{curve.partition(',')[0]}, {f'{bits} bits' if bits else 'no ADC'},{curve.partition(',')[2]}"
            if name in QUICK if report.quick else (curve not in AT_TWO or bits in (8, 4)):
                value, tolerance = KNOWN.get((curve, bits), (None, None))
                injected = learner(rule, sigma)
                measure(report, name, crossbar(bits, noise), injected, {}, value, tolerance, curve=curve, bits=bits)
    for name, (first, second, full, quick) in CLAIMS.items():
        with report.derived():
            claim(report, name, first, second, quick if report.quick else full)
    with report.derived():
        if not report.quick:
            draw(report)


def claim(report: Report, name: str, first: str, second: str, bound: str) -> None:
    """One row's accuracy less another's, judged by a bound such as ">= 1"; without one it is not judged."""
    change = report.find(first)["ours"] - (report.find(second)["ours"] if second else 0)
    if bound:
        report.claim(name, change, bound)
    else:
        report.row(name, change)


def draw(report: Report) -> None:
    """Accuracy against ADC bits: as the chip reads, and what it has learned."""
    rows = [row for row in report.content["rows"] if "progress" not in row]
    ideal = report.find("DANP, ideal device")["ours"]
    figure, axes = panels(["Learned weights, read exactly", "... read by the chip itself"], 4.2, 4.8, sharey=True)
    for panel, key in zip(axes, ("ours", "read"), strict=True):
        panel.axhline(ideal, color="0.55", linewidth=1.5, linestyle=":", zorder=0)
        for curve, (colour, line, marker, label) in STYLES.items():
            shown = [r for r in rows if r.get("curve") == curve]
            panel.plot(
                [BITS.index(r["bits"]) for r in shown],
                [r[key] for r in shown],
                line,
                color=colour,
                marker=marker,
                label=label,
                markersize=7,
                linewidth=2.2,
                markerfacecolor=colour if line == "-" else "white",
                markeredgewidth=1.8,
            )
        panel.set_xticks(range(len(BITS)), [f"{b}" if b else "none" for b in BITS])
        panel.set(xlabel="ADC bits (DAC: 8 bits)", ylim=(0, 90))
    axes[0].set_ylabel("test accuracy (%)")
    axes[0].text(0, ideal + 1.2, "DANP on exact hardware", color="0.4", va="bottom")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    report.figure("adc-dither", figure)
