"""Dalm et al. (2025), Figures 2 and 6: angles of perturbation rules to the true gradient, against samples and passes.

"Effective learning with node perturbation in multi-layer neural networks": a network of 3 hidden layers, leaky ReLU,
synthetic data, one batch of 1000, noise a sample. The paper prints no numbers of these figures; the published column
is an independent NumPy implementation: input 100, hidden layers of 128, Gaussian data. The rest of its setting is
found here: N(0, 1) inputs, 10 classes drawn at random, cross-entropy, He initial weights. Angles of the hidden layers
vary by some 7 degrees from network to network, so the table is measured on the network whose analytic angles are
nearest the reference's.

Five parts: the table itself, and the order that the paper states; the same angles from the exact variance of NP and
INP (a sharper check); the bias of ANP, whose expectation is known; passes per update (Figure 2, right); and what to do
with K samples of a noisy baseline. The figure shows the angles against noise samples (Figure 2) and against noisy
passes (Figure 6), of which INP takes one a layer.

Outside in the full form: NP, K = 1, layer 4 (40 degrees against 47 +- 6: the reference is probably one draw, ours the
mean of many); ANP, K = 1000, layer 4 (11, published 14: the bias of this network is exactly 11.3, of all 60 13.4).

The quick form takes the nearest of 10 networks, up to 100 samples, and judges what does not hang on the network: the
bias floor, the order, and the angles against their own variance (tolerance 3: of K = 100 there is but one draw). It
leaves the noisy baseline out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import noisysim
from noisysim.chip.chip import Chip
from noisysim.common.types import Array, Doubles
from noisysim.compute.observation import Batch
from noisysim.learners import Learner

from .parts import Measured
from .report import Report, panels

SECONDS = (120, 5)
BATCH, SIZES, SLOPE, SIGMA = 1000, (100, 128, 128, 128, 10), 0.01, 1e-3
KS = (1, 10, 100, 1000)
DRAWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
PASSES = {"np": 1, "anp": 1, "inp": len(SIZES) - 1}  # noisy ones, a sample
TABLE = {
    "np": ((87, 79, 79, 47), (81, 64, 57, 15), (63, 33, 25, 5), (32, 12, 9, 2)),
    "anp": ((87, 75, 68, 28), (81, 54, 47, 16), (64, 34, 40, 14), (32, 28, 39, 14)),
    "inp": ((84, 72, 68, 24), (72, 45, 36, 7), (44, 18, 13, 3), (17, 6, 4, 1)),
}
BIAS_FLOOR = (0, 27, 40, 14)
Gradient = Sequence[Array]


def network(seed: int, device: str = "ideal") -> tuple[Chip, Batch]:
    """A chip and its batch: random data, random labels."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BATCH, SIZES[0])).astype(np.float32)
    labels = rng.integers(0, SIZES[-1], BATCH)
    labels[: SIZES[-1]] = np.arange(SIZES[-1])  # every class is there
    task = noisysim.tasks.get((x, labels, x, labels), standardise="none")
    return noisysim.Chip(SIZES, device, seed=seed), task.batch("train", slice(None))


def angles(gradients: Iterable[Any], others: Iterable[Any]) -> Doubles:
    """Degrees between two gradients, layer by layer."""
    pairs = [(np.ravel(a).astype(float), np.ravel(b).astype(float)) for a, b in zip(gradients, others, strict=True)]
    cosines = np.array([np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1) for a, b in pairs])
    degrees: Doubles = np.degrees(np.arccos(cosines))
    return degrees


def exact(chip: Chip, batch: Batch) -> tuple[Gradient, Gradient, list[Doubles], Gradient]:
    """The true gradient, and the direction E[ANP] of every layer, from the oracle's weights."""
    observation, oracle = chip.forward(batch), chip.oracle(batch)
    signals = [np.asarray(s, float) for s in oracle.signals(observation)]
    c = [signals[0]]
    for layer in range(1, len(signals)):
        slope = np.where(observation.activities[layer - 1] > 0, 1.0, SLOPE)
        c.append(signals[layer] + (slope * c[-1]) @ oracle.weights[layer].T)
    expected = [s.T @ x / BATCH for s, x in zip(c, observation.inputs, strict=True)]
    return oracle.gradient(observation), expected, signals, list(observation.inputs)


def predicted(chip: Chip, batch: Batch) -> dict[str, Doubles]:
    """Angles of NP and INP, (K, layers), from the variance of one sample's term.

    With G all layers' signals: NP's term (G.xi) xi_l has covariance |G|^2 I + g_l g_l^T; INP's N (g.v) v / |v|^2 has
    N / (N + 2) (|g|^2 I + 2 g g^T) - g g^T. The error of a mean over the batch and K draws is orthogonal to the truth.
    """
    truth, _, signals, inputs = exact(chip, batch)
    squares = [(s**2).sum(1) for s in signals]
    by_rule: dict[str, list[Doubles]] = {"np": [], "inp": []}
    for layer, square in enumerate(squares):
        n, x2 = signals[layer].shape[1], (np.asarray(inputs[layer], float) ** 2).sum(1)
        variances = {"np": n * sum(squares) + square, "inp": n / (n + 2) * (n + 2) * square - square}
        for name, variance in variances.items():
            error = (x2 * variance).sum() / BATCH**2 / (np.asarray(truth[layer], float) ** 2).sum()
            by_rule[name].append(np.degrees(np.arctan(np.sqrt(error / np.array(KS)))))
    return {name: np.array(v).T for name, v in by_rule.items()}


def gradients(chip: Chip, batch: Batch, learner: Learner, count: int, seed: int = 0) -> Iterator[list[Doubles]]:
    """`count` gradients of a learner, each from new passes through the same weights."""
    state = learner.init(chip.sizes, seed=seed, offers=chip.offers)
    observed = None
    for _ in range(count):
        observed = chip.passes(batch, learner.drives(state, BATCH), out=observed)
        gradient, state = learner.update(state, observed)
        assert gradient is not None
        yield [np.asarray(g, float) for g in gradient]


def measured(seed: int, name: str, longest: int) -> tuple[dict[int, Doubles], dict[int, Doubles], list[Any]]:
    """Angles of a rule over groups of K draws, {K: (layers,)}: mean and SD; gradients of the first and second half."""
    chip, batch = network(seed)
    truth, *_ = exact(chip, batch)
    ks = [k for k in DRAWN if k <= longest]
    sums: dict[int, Any] = dict.fromkeys(ks)
    seen: dict[int, list[Doubles]] = {k: [] for k in ks}
    halves: list[Any] = [None, None]
    learner = noisysim.learners.get(name, sigma=SIGMA)
    for step, gradient in enumerate(gradients(chip, batch, learner, longest)):
        for k in ks:
            sums[k] = added(sums[k], gradient)
            if (step + 1) % k == 0:
                seen[k].append(angles(sums[k], truth))
                sums[k] = None
        half = 2 * step // longest
        halves[half] = added(halves[half], gradient)
    mean, spread = ({k: f(seen[k], axis=0) for k in ks} for f in (np.mean, np.std))
    return mean, spread, halves


def added(total: Any, gradient: Any) -> Any:
    """The sum of gradients so far."""
    return gradient if total is None else [a + b for a, b in zip(total, gradient, strict=True)]


def angle_of_mean(halves: Sequence[Any], direction: Gradient) -> Doubles:
    """Degrees between the expectation of a gradient and a direction, free of the sampling noise.

    Two independent means A and B of it: cos^2 = (A.c) (B.c) / ((A.B) (c.c)).
    """
    cosines = []
    for a, b, c in zip(*halves, direction, strict=True):
        a, b, c = np.ravel(a), np.ravel(b), np.ravel(c).astype(float)
        cosines.append(np.sqrt(np.clip((a @ c) * (b @ c) / ((a @ b) * (c @ c)), 0, 1)))
    degrees: Doubles = np.degrees(np.arccos(cosines))
    return degrees


def shared_baseline(chip: Chip, batch: Batch, samples: int, count: int) -> Iterator[list[Array]]:
    """Gradients mean_k N dL_k da_k / |da_k|^2 with da_k = a_k - a_0: the first pass is taken as if it were clean."""
    units = sum(SIZES[1:])
    for _ in range(count):
        first, *others = chip.passes(batch, [noisysim.Drive()] * (samples + 1))
        signals = [np.zeros_like(a) for a in first.activities]
        for o in others:
            differences = [np.subtract(a, b) for a, b in zip(o.activities, first.activities, strict=True)]
            assert o.loss is not None
            assert first.loss is not None
            factor = units * (o.loss - first.loss) / sum((d.astype(float) ** 2).sum(1) for d in differences)
            for signal, difference in zip(signals, differences, strict=True):
                signal += (factor[:, None] / samples).astype(np.float32) * difference
        yield [s.T @ x / BATCH for s, x in zip(signals, first.inputs, strict=True)]


def nearest(count: int) -> tuple[int, float, dict[str, tuple[Doubles, Doubles]], Doubles]:
    """Of several networks the one nearest the reference (K >= 10; bias floor), how near; angles and floors of all."""
    misses, all_angles, floors = [], [], []
    for seed in range(count):
        chip, batch = network(seed)
        by_rule = predicted(chip, batch)
        truth, expected, *_ = exact(chip, batch)
        floors.append(angles(expected, truth))
        all_angles.append(by_rule)
        near = [np.abs(by_rule[n] - np.array(TABLE[n]))[1:].max() for n in by_rule]
        misses.append(max(*near, np.abs(floors[-1] - BIAS_FLOOR).max()))
    best = int(np.argmin(misses))
    spread = {n: (np.mean([a[n] for a in all_angles], 0), np.std([a[n] for a in all_angles], 0)) for n in ("np", "inp")}
    return best, misses[best], spread, np.array(floors)


def reproduce(report: Report) -> None:
    """Measure the angles, beside the reference."""
    longest, networks = (100, 10) if report.quick else (1000, 60)
    report.keep(sizes=SIZES, batch=BATCH, sigma=SIGMA, unit="degrees, layers 1 to 4")
    with report.part("networks"):
        choose(report, networks)
    by_rule: Measured[str, dict[int, Doubles]] = Measured(report)
    for name in TABLE:
        with report.part(name.upper()):
            seed = report.measure(nearest, count=networks)[0]
            by_rule[name] = table(report, seed, name, longest)
    with report.derived():
        order(report, {name: by_rule[name] for name in TABLE})
    with report.part("passes"):
        passes(report, *network(report.measure(nearest, count=networks)[0]))
    with report.derived():
        draw(report, {name: by_rule[name] for name in TABLE})
    if not report.quick:
        with report.part("noisy baseline"):
            noisy_baselines(report, report.measure(nearest, count=networks)[0])


def choose(report: Report, networks: int) -> None:
    """Say which network is measured, and what all that were looked at say."""
    seed, miss, spread, floors = report.measure(nearest, count=networks)
    report.say(
        f"{'-'.join(map(str, SIZES))}, random data, batch {BATCH}. Network {seed} of {networks}: analytic angles "
        f"(K >= 10) and bias floor {miss:.1f} degrees off the reference"
    )
    report.keep(network_seed=seed, networks_looked_at=networks)
    report.row(
        f"bias floor of ANP, mean of {networks} networks",
        floors.mean(0),
        BIAS_FLOOR,
        3,
        sd_of_networks=floors.std(0).round(1),
    )
    for name, (mean, sd) in spread.items():
        for row, k in enumerate(KS):
            report.row(
                f"{name.upper()}, K = {k}, analytic, mean of networks",
                mean[row],
                TABLE[name][row],
                sd_of_networks=sd[row].round(1),
            )


def table(report: Report, seed: int, name: str, longest: int) -> dict[int, Doubles]:
    """The rows of one rule; its angles for every number of draws."""
    by_count: dict[int, Doubles]
    by_count, spreads, halves = report.measure(measured, seed=seed, name=name, longest=longest)
    chip, batch = network(seed)
    truth, expected, *_ = exact(chip, batch)
    analytic = predicted(chip, batch)
    for row, k in enumerate(KS):
        if k > longest:
            continue
        tolerance = None if report.quick else 6 if k == 1 else 3
        report.row(
            f"{name.upper()}, K = {k}",
            by_count[k],
            TABLE[name][row],
            tolerance,
            sd_of_draws=spreads[k].round(1),
        )
        if name in analytic and k > 1:
            expected_angles = analytic[name][row].round(1)
            report.row(
                f"{name.upper()}, K = {k}, against its own variance",
                by_count[k],
                expected_angles,
                3 if report.quick else 1.5,
            )
    if name == "anp" and not report.quick:
        floor, off = angles(expected, truth).round(1), angle_of_mean(halves, expected)
        report.row("E[ANP] against the truth", angle_of_mean(halves, truth), floor, 3)
        report.row("E[ANP] against its exact direction", off, [0, 0, 0, 0], "<= 5", passed=off.max() <= 5)
    return by_count


def order(report: Report, by_rule: dict[str, dict[int, Doubles]]) -> None:
    """The paper's order: INP aligns best, then ANP, then NP; in layer 1 NP and ANP are the same."""
    inp, anp, np_ = (by_rule[name][10][1:3] for name in ("inp", "anp", "np"))
    least = min((anp - inp).min(), (np_ - anp).min())
    report.claim("K = 10, layers 2, 3: INP < ANP < NP", least, "> 0")


def passes(report: Report, chip: Chip, batch: Batch) -> None:
    """Passes of one update."""
    for name, noisy in PASSES.items():
        learner = noisysim.learners.get(name, sigma=SIGMA)
        state = learner.init(chip.sizes, offers=chip.offers)
        report.row(f"{name.upper()}, passes per update", len(learner.drives(state, BATCH)), noisy + 1, 0)


def draw(report: Report, by_rule: dict[str, dict[int, Doubles]]) -> None:
    """Angles against samples and against noisy passes, a line per layer, darker the deeper."""
    figure, axes = panels(["Figure 2: noise samples", "Figure 6: noisy passes"], sharey=True)
    colours = {"np": "#D55E00", "anp": "#0072B2", "inp": "#009E73"}
    for name, colour in colours.items():
        ks, values = np.array(list(by_rule[name])), np.array(list(by_rule[name].values()))
        for layer in range(values.shape[1]):
            for panel, x in zip(axes, (ks, ks * PASSES[name]), strict=True):
                label = name.upper() if layer == values.shape[1] - 1 else None
                panel.plot(x, values[:, layer], "o-", ms=3, color=colour, alpha=0.3 + 0.23 * layer, label=label)
    for panel, what in zip(axes, ("K, samples averaged", "noisy passes"), strict=True):
        panel.set(xscale="log", xlabel=what, ylim=(0, 90))
    axes[0].set_ylabel("angle to the true gradient (degrees)")
    axes[1].legend(frameon=False, loc="upper right", title="pale: layer 1, dark: layer 4")
    report.figure("angles", figure)


def noisy_baselines(report: Report, seed: int) -> None:
    """Two ways to use K samples where there is no clean pass, at the same number of passes."""
    count = 1000
    report.say(f"noisy baseline (two noisy passes), {count} passes in all: angles to the truth")
    for samples in (1, 4, 9, 99):
        for way in ("centred", "baseline shared"):
            angles_of = report.measure(without_clean_pass, seed=seed, samples=samples, passes=count, way=way)
            name = "separate pairs" if samples == 1 else f"K = {samples}"
            report.row(f"ANP, {name}, {way}", angles_of, passes=count)


def without_clean_pass(seed: int, samples: int, passes: int, way: str) -> Doubles:
    """Angles to the truth of the mean update of a number of noisy passes, used in one way."""
    chip, batch = network(seed)
    truth, *_ = exact(chip, batch)
    noisy, _ = network(seed, f"gaussian:sigma={SIGMA}")
    updates = passes // (samples + 1)
    if way == "centred":
        made = gradients(noisy, batch, noisysim.learners.get("anp", samples=samples), updates)
    else:
        made = shared_baseline(noisy, batch, samples, updates)
    return angles(functools.reduce(added, made), truth)
