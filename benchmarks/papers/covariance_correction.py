"""Covariance-corrected ANP: its angle to the gradient on a chip with cell read noise, its cost, what it brings.

Dalm et al. (2025) say in appendices B and D that correlated activity differences bias ANP, and leave it there. CANP
applies the inverse of their covariance, estimated during the run, layer by layer. Here:

1. Angles of the mean of K = 400 updates at fixed weights to the true gradient, on a crossbar whose one fault is read
   noise of 2 % a cell: 100-128-128-128-10, leaky ReLU, Gaussian data, batch 1000, two noisy passes, three networks.
   Published: a reference experiment that brought layers 2 to 4 from 27/41/24 to 18/12/6 degrees; its network and noise
   are not known, so it is not judged. Judged: half of ANP's angle or less in the upper hidden layers (2 and 3), and
   never more than 3 degrees worse in any layer, as means over the networks. The bias is the angle of the expected
   update, from the updates of odd and even number, whose sampling noise is independent. The true gradient is the mean
   of the oracle's at 20 passes: at one noisy pass it is itself a draw.
2. The same where noise is another: line noise and an 8-bit ADC, the default crossbar.
3. Cost: time of an update of CANP over one of ANP, 784-1024-1024-10, batch 1000.
4. Learning: Fashion-MNIST, 784-256-256-256-10, the chip of part 1, 3 epochs, each rule at the best of its rates, Adam
   and SGD, one noise sample per update and (ANP and CANP, one seed) ten: final test accuracy (%).

Needs the Fashion-MNIST files. The quick form takes one network, and shortens part 4 to one epoch at one rate.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import noisysim
from noisysim.chip.chip import Chip
from noisysim.compute.observation import Batch

from .dalm2025_fig2 import BATCH, SIZES, angle_of_mean, angles
from .parts import Measured
from .report import Report, panels

SECONDS = (2000, 45)
CELLS = "crossbar:dac_bits=0,adc_bits=0,line_noise=0,read_noise=0.02,program_noise=0,levels=0"
CHIPS = {
    "2 % read noise": CELLS,
    "line noise, 8-bit ADC": "crossbar:dac_bits=0,read_noise=0,program_noise=0,levels=0",
    "default crossbar": "crossbar",
}
KS = (1, 4, 10, 40, 100, 400)
REFERENCE = {"anp": (27, 41, 24), "canp": (18, 12, 6)}
LEARNING: dict[str, Any] = {
    "task": "fashion-mnist:standardise=global",
    "layers": [256, 256, 256],
    "device": CELLS,
    "batch_size": 1000,
}
PAIRS = (("anp", "canp"), ("danp", "dcanp"))
# where single runs put the best rate, first, and neighbours of it
RATES = {
    ("adam", PAIRS[0]): (3e-4, 1e-4, 1e-3),
    ("adam", PAIRS[1]): (3e-3, 1e-3),
    ("sgd", PAIRS[0]): (3e-3, 1e-3, 1e-2),
    ("sgd", PAIRS[1]): (6e-2, 3e-2, 1e-1, 2e-1),
}


def network(seed: int, device: str) -> tuple[Chip, Batch]:
    """A chip that grants the oracle to this script, and its batch: random data, random labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BATCH, SIZES[0])).astype(np.float32)
    labels = rng.integers(0, SIZES[-1], BATCH)
    labels[: SIZES[-1]] = np.arange(SIZES[-1])  # every class is there
    task = noisysim.tasks.get((x, labels, x, labels), standardise="none")
    return noisysim.Chip(SIZES, device, seed=seed, oracle=True), task.batch("train", slice(None))


def averaged(device: str, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles to the true gradient: of the mean of K updates, (K, layers), and of the expected update, (layers,)."""
    chip, batch = network(seed, device)
    oracle, passes = chip.oracle(batch), [chip.forward(batch) for _ in range(20)]
    truth = [np.mean(layer, axis=0) for layer in zip(*map(oracle.gradient, passes), strict=True)]
    learner = noisysim.learners.get(name)
    state = learner.init(chip.sizes, seed=seed, offers=chip.offers - {"oracle"})
    by_count, observed = [], None
    total: list[Any] = [0.0] * len(truth)
    halves: list[list[Any]] = [[0.0] * len(truth), [0.0] * len(truth)]
    for step in range(1, max(KS) + 1):
        observed = chip.passes(batch, learner.drives(state, BATCH), out=observed)
        gradient, state = learner.update(state, observed)
        assert gradient is not None
        total = [t + g.astype(float) for t, g in zip(total, gradient, strict=True)]
        half = halves[step % 2]
        half[:] = [t + g.astype(float) for t, g in zip(half, gradient, strict=True)]
        if step in KS:
            by_count.append(angles(total, truth))
    return np.array(by_count), angle_of_mean(halves, truth)


def measure_angles(report: Report, label: str, device: str, judged: bool) -> dict[str, np.ndarray]:
    """Rows of one chip; the angles, (networks, K, layers)."""
    angles_of, seeds = {}, range(report.seeds)
    for name in ("anp", "canp"):
        both = [report.measure(averaged, device=device, name=name, seed=seed) for seed in seeds]
        angles_of[name] = np.array([angle for angle, _ in both])
        last = angles_of[name][:, -1].mean(0)
        report.row(f"{name.upper()}, {label}, layers 2 to 4", last[1:], REFERENCE[name] if judged else None)
        report.row(f"{name.upper()}, {label}, layer 1", last[0])
        bias = np.mean([b for _, b in both], axis=0)
        report.row(f"{name.upper()}, {label}, bias, layers 1 to 4", bias)
    anp, canp = (angles_of[name][:, -1].mean(0) for name in ("anp", "canp"))
    for layer in (1, 2):
        name, ratio = f"CANP / ANP, {label}, layer {layer + 1}", float(canp[layer] / anp[layer])
        if judged:
            report.claim(name, ratio, "<= 0.5")
        else:
            report.row(name, ratio)
    report.claim(f"most degrees worse, {label}", float((canp - anp).max()), "<= 3")
    return angles_of


def draw(report: Report, angles_of: dict[str, np.ndarray]) -> None:
    """Angles against K, a panel a layer."""
    figure, axes = panels([f"layer {k + 1}" for k in range(len(SIZES) - 1)], width=3.0, height=3.0, sharey=True)
    for layer, panel in enumerate(axes):
        for name, colour in (("anp", "#8a8f98"), ("canp", "#c2410c")):
            panel.plot(KS, angles_of[name][:, :, layer].mean(0), "o-", color=colour, ms=3, label=name.upper())
        panel.set(xscale="log", xlabel="updates averaged", ylim=(0, 90), yticks=(0, 30, 60, 90))
    axes[0].set_ylabel("angle to the gradient (degrees)")
    axes[0].legend(frameon=False)
    report.figure("angles", figure)


def cost(updates: int) -> float:
    """Time of an update, CANP over ANP, in turns; the mean of so many less the first, which compiles."""
    sizes, rng = (784, 1024, 1024, 10), np.random.default_rng(0)
    x, labels = rng.standard_normal((BATCH, 784)).astype(np.float32), np.arange(BATCH) % 10
    task = noisysim.tasks.get((x, labels, x, labels), standardise="none")
    chip, batch = noisysim.Chip(sizes, CELLS), task.batch("train", slice(None))
    rules = {name: noisysim.learners.get(name) for name in ("anp", "canp")}
    states = {name: rule.init(sizes, offers=chip.offers) for name, rule in rules.items()}
    took: dict[str, list[float]] = {name: [] for name in rules}
    for _ in range(updates):
        for name, rule in rules.items():
            started = time.perf_counter()
            rule.update(states[name], chip.passes(batch, rule.drives(states[name], BATCH)))
            took[name].append(time.perf_counter() - started)
    means = {name: float(np.mean(times[1:])) for name, times in took.items()}
    return means["canp"] / means["anp"]


def best(
    report: Report, name: str, optimizer: str, samples: int, rates: tuple[float, ...]
) -> tuple[float, float | None, float]:
    """The best final test accuracy (%) over the rates, its spread over seeds, and the rate."""
    scores = {}
    for rate in rates[:1] if report.quick else rates:
        results = report.runs(
            **LEARNING, learner=f"{name}:samples={samples}", optimizer=optimizer, learning_rate=rate,
            epochs=1 if report.quick else 3, seeds=1 if samples > 1 else None,
        )  # fmt: skip
        final = [100 * r.history["test_accuracy"][-1] if r.status == "finished" else 0.0 for r in results]
        scores[rate] = (float(np.mean(final)), float(np.std(final, ddof=1)) if len(final) > 1 else None)
    rate = max(scores, key=lambda r: scores[r][0])
    return *scores[rate], rate


def measure_learning(report: Report, samples: int) -> None:
    """Rows of final accuracies, and what the correction gains."""
    for (optimizer, pair), rates in RATES.items():
        if pair != PAIRS[0] and (report.quick or samples > 1):
            continue
        accuracies: Measured[str, float] = Measured(report)
        for name in pair:
            label = f"{name.upper()}, {optimizer}, K = {samples}"
            with report.part(label):
                accuracies[name], spread, rate = best(report, name, optimizer, samples, rates)
                report.row(label, accuracies[name], spread=spread, note=f"rate {rate:g}", rate=rate)
        with report.derived():
            gain = accuracies[pair[1]] - accuracies[pair[0]]
            report.row(f"gain of the correction, {pair[1].upper()}, {optimizer}, K = {samples}", gain)


def reproduce(report: Report) -> None:
    """Angles, cost, learning."""
    report.say(
        f"angles (degrees) of {max(KS)} updates' mean to the gradient, {'-'.join(map(str, SIZES))}, batch {BATCH}, "
        f"{report.seeds} network(s)"
    )
    for label, device in CHIPS.items():
        first = label == next(iter(CHIPS))
        if first or not report.quick:
            with report.part(f"angles, {label}"):
                angles_of = measure_angles(report, label, device, judged=first)
                if first:
                    draw(report, angles_of)
    name = "time of an update, CANP / ANP, 1024 units"
    with report.part(name):
        report.row(name, report.measure(cost, updates=3 if report.quick else 41))
    shortened = ", 1 epoch, one rate" if report.quick else ""
    report.say(f"Fashion-MNIST on the same chip: final test accuracy (%), best rate{shortened}")
    for samples in (1,) if report.quick else (1, 10):
        measure_learning(report, samples)
