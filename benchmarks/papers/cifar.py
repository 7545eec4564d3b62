"""CIFAR-10 as Dalm et al. (2025) learned it: settings, published peaks, and the runs of their Figures 3, 4, 9, Table 3.

Tables 1 to 3 and appendix F: leaky ReLU, cross-entropy, Adam (0.9, 0.999, 1e-7), batch 1000, sigma^2 = 1e-6,
decorrelation rate 1e-3, hidden layers of 1024 or the ConvNet, three seeds. Not stated are the number of epochs, the
slope of the leaky ReLU, the convolutions' padding, the initial weights and the preprocessing; here 300, 0.01, none, He
normal, one mean and standard deviation of all pixel values. Peaks are the best epoch's, averaged over the seeds;
training accuracies are of the passes of training itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import noisysim
from noisysim.common.types import Floats
from noisysim.networks.layers import Dense, hidden
from noisysim.tasks import Task

from .parts import Measured
from .report import Report, histories, panels

TRAIN, TEST = 5.0, 3.0  # tolerances of peaks, in points; training accuracy hangs on the number of epochs too
# Table 1: networks by the names of `noisysim.layers`
NETWORKS = {
    "dalm-1": "1 layer",
    "dalm-3": "3 hidden layers",
    "dalm-6": "6 hidden layers",
    "dalm-9": "9 hidden layers",
    "dalm-convnet": "ConvNet",
}
_PLAIN, _DECORRELATED = ("bp", "np", "anp", "inp"), ("dbp", "dnp", "danp", "dinp")
_DEEP = ("dnp", "danp", "dinp")

# Table 2: network, rule, learning rate
RATES = {
    "dalm-1": dict.fromkeys(("bp", "dbp", "np", "dnp"), 1e-3),
    "dalm-3": {**dict.fromkeys(_PLAIN, 1e-4), **dict.fromkeys(_DECORRELATED, 1e-3)},
    "dalm-6": dict.fromkeys(_DEEP, 5e-3),
    "dalm-9": dict.fromkeys(_DEEP, 5e-3),
    "dalm-convnet": {
        **dict.fromkeys(("np", "anp", "inp", *_DEEP), 1e-4),
        **dict.fromkeys(("bp", "dbp"), 1e-3),
    },
}
# Cells that Table 2 leaves empty: the rate above is that of the network's other rules of the same kind
UNSTATED = {"dalm-1": ("dnp",), "dalm-3": ("dnp",), "dalm-convnet": ("np", "dnp")}
# Table 3: network, rule, peak accuracies (%) in training and test
PEAKS = {
    "dalm-1": {"bp": (41.3, 39.3), "dbp": (44.9, 40.9), "np": (38.5, 38.2), "dnp": (42.8, 40.2)},
    "dalm-3": {
        "bp": (59.6, 51.5), "dbp": (99.6, 54.3), "np": (28.1, 28.1), "dnp": (44.9, 42.1),
        "anp": (30.4, 30.6), "danp": (48.5, 44.4), "inp": (32.0, 32.0), "dinp": (52.6, 46.3),
    },
    "dalm-6": {"dnp": (46.7, 43.1), "danp": (47.3, 44.2), "dinp": (53.0, 46.6)},
    "dalm-9": {"dnp": (40.5, 38.6), "danp": (44.8, 42.7), "dinp": (52.0, 45.3)},
    "dalm-convnet": {
        "bp": (100.0, 62.1), "dbp": (100.0, 60.5), "np": (45.2, 44.5), "dnp": (50.2, 47.9),
        "anp": (52.7, 49.9), "danp": (58.2, 52.6), "inp": (52.3, 49.9), "dinp": (57.9, 52.2),
    },
}  # fmt: skip
COLOURS = {"bp": "#555555", "np": "#D55E00", "anp": "#0072B2", "inp": "#009E73"}


class Form(NamedTuple):
    """How long and how large; `FULL`, or a shortened form.

    Attributes
    ----------
    side : int
        Pixels to a side of the images, 32 or averages.
    images : int
        Size of the part of the training split that is used; its first samples.
    width, batch_size, epochs : int
        Units of dense layers, samples per update, passes through the images.
    faster : int
        The rates of perturbation rules are multiplied by it.
    """

    side: int
    images: int
    width: int
    batch_size: int
    epochs: int
    faster: int = 1

    def rate(self, network: str, rule: str) -> float:
        """Table 2's learning rate, in this form."""
        return RATES[network][rule] * (1 if rule in ("bp", "dbp") else self.faster)

    def layers(self, network: str) -> str | list[Any]:
        """Hidden layers of a network of `NETWORKS` in this form: its name, or the narrower ones."""
        if self.width == FULL.width:
            return network
        return [replace(one, units=self.width) if isinstance(one, Dense) else one for one in hidden(network)]


FULL = Form(32, 50_000, 1024, 1000, 300)
SHORT = Form(16, 25_000, 256, 100, 2)
TEST_IMAGES = 5000  # of shortened forms


class Curves(NamedTuple):
    """Accuracies (%), (seeds, epochs)."""

    train: np.ndarray
    test: np.ndarray

    def peak(self, part: str) -> float:
        """The best epoch's, averaged over the seeds."""
        return float(getattr(self, part).max(axis=1).mean())


Learned = Measured[tuple[str, str], Curves]
"""Curves by network and rule."""


def begin(report: Report, networks: Sequence[str], short: Form = SHORT) -> tuple[Form, Any]:
    """The form in which this report is to run these networks, and its data; says what is run."""
    form = short if report.quick else FULL
    named = ", ".join(NETWORKS[one] for one in networks)
    if report.quick:
        updates = form.epochs * form.images // form.batch_size
        report.say(
            f"Shortened ({named}): {form.images:,} training and {TEST_IMAGES:,} test images averaged to {form.side} x "
            f"{form.side}, hidden layers of {form.width}, batch {form.batch_size}, Table 2's rates"
            + (f" (perturbation rules: {form.faster} times)" if form.faster > 1 else "")
            + f", {form.epochs} epochs, {updates} steps. The published peaks (%) are of full images, layers of 1024, "
            "batches of 1000 and longer training; they are not judged, the claims are."
        )
    else:
        report.say(
            f"CIFAR-10, {named}, batch 1000, Table 2's rates, {form.epochs} epochs. The paper does not state the "
            "epochs, the slope of the leaky ReLU (here 0.01), the convolutions' padding (none), the initial weights "
            "(He normal) and the preprocessing (one mean and standard deviation of all pixel values). Peak accuracies "
            "(%)."
        )
    for network in networks:
        if rules := UNSTATED.get(network):
            rates = ", ".join(f"{rule.upper()} {form.rate(network, rule):g}" for rule in rules)
            report.say(f"Rates that Table 2 leaves open for {NETWORKS[network]}, here as of its kin: {rates}.")
    return form, report.data(images, form)


def images(form: Form) -> Any:
    """CIFAR-10, or the first of its images, their pixels averaged over squares."""
    task = noisysim.tasks.get("cifar10")
    if (form.side, form.images) == (FULL.side, FULL.images):
        return task
    side = form.side

    def averaged(pixels: Floats) -> Floats:
        squares = pixels.reshape(-1, 3, side, 32 // side, side, 32 // side)
        means: Floats = squares.mean(axis=(3, 5), dtype=np.float32)
        return means

    (x, y), (x_test, y_test) = task.train, task.test
    n, n_test = form.images, TEST_IMAGES
    return noisysim.tasks.get((averaged(x[:n]), y[:n], averaged(x_test[:n_test]), y_test[:n_test]))


def learn_all(report: Report, form: Form, task: Task, columns: Iterable[tuple[str, str]]) -> Learned:
    """Train networks by rules, (network, rule) each: a part each, by the name of both."""
    curves: Learned = Measured(report)
    for network, rule in columns:
        with report.part(label(network, rule)):
            curves[network, rule] = learn(report, form, task, network, rule)
    return curves


def label(network: str, rule: str, baseline: str = "auto") -> str:
    """What rows call a network and its rule."""
    return f"{NETWORKS[network]}, {rule.upper()}{', noisy baseline' if baseline == 'noisy' else ''}"


def learn(report: Report, form: Form, task: Task, network: str, rule: str, baseline: str = "auto") -> Curves:
    """Train one network once a seed, and add the rows of its peaks so far."""
    settings = {} if rule in ("bp", "dbp") else {"sigma": 1e-3, "baseline": baseline}
    if rule in _DECORRELATED:
        settings["decorrelation"] = 1e-3
    rate = form.rate(network, rule)
    results = report.runs(
        partial=True,
        task=task,
        layers=form.layers(network),
        device="ideal",
        learner={"name": rule, **settings},
        optimizer="adam:epsilon=1e-7",
        learning_rate=rate,
        batch_size=form.batch_size,
        epochs=form.epochs,
    )
    curves = Curves(*(100 * histories(results, f"{part}_accuracy", lost=0) for part in Curves._fields))
    name = label(network, rule, baseline)
    published = (None, None) if baseline == "noisy" else PEAKS[network][rule]
    for part, value, tolerance in zip(Curves._fields, published, (TRAIN, TEST), strict=True):
        peaks = getattr(curves, part).max(axis=1)
        report.row(
            f"{name}, {'training' if part == 'train' else part}",
            peaks.mean(),
            value,
            None if report.quick or value is None else tolerance,
            peaks.std(ddof=1) if len(peaks) > 1 else None,
            learning_rate=rate,
            seeds=peaks.round(2),
            epochs=getattr(curves, part).mean(axis=0).round(2),
        )
    return curves


def gain(report: Report, curves: Learned, network: str, better: str, worse: str, part: str, bound: str) -> None:
    """A claim, where both are measured: by how many points one rule's peak lies above another's."""
    place = Curves._fields.index(part)
    published = PEAKS[network][better][place] - PEAKS[network][worse][place]
    name = f"{NETWORKS[network]}, {better.upper()} over {worse.upper()}, {'training' if part == 'train' else part}"
    with report.derived():
        change = curves[network, better].peak(part) - curves[network, worse].peak(part)
        report.claim(name, change, bound, round(published, 1))


class Line(NamedTuple):
    """One rule's line in a figure: its curves so far, and what is published of it.

    Attributes
    ----------
    curves : Curves
    style : str
        By which `_style` chooses colour and dashes: "DANP noisy", "DNP, 9 hidden layers".
    peaks : (float or None, float or None)
        Published peaks, %, in training and test.
    """

    curves: Curves
    style: str
    peaks: tuple[float | None, float | None]


def lines(curves: Learned, networks: Sequence[str]) -> dict[str, dict[str, Line]]:
    """What `draw` takes: for each network its rules' curves so far, in the order of Table 3."""
    found: dict[str, dict[str, Line]] = {}
    for network in networks:
        found[NETWORKS[network]] = {
            f"{rule.upper()}{curves.label((network, rule))}": Line(
                curves.so_far[network, rule], rule.upper(), PEAKS[network][rule]
            )
            for rule in PEAKS[network]
            if (network, rule) in curves.so_far
        }
    return found


def draw(report: Report, curves: Mapping[str, Mapping[str, Line]], rows: int = 1) -> None:
    """Accuracy against epochs, training and test, for several sets of rules: mean and range over the seeds.

    In a full form thin lines across are the published peaks.

    Parameters
    ----------
    report : Report
    curves : mapping
        Titles, and for each the lines by their labels.
    rows : int
        Rows of panels.
    """
    if not any(curves.values()):
        return
    titles = [f"{one}: {part}" for one in curves for part in ("training", "test")]
    figure, axes = panels(titles, 4.0, 4.0, rows, sharey="row")
    for at, panel in enumerate(axes):
        for label, line in list(curves.values())[at // 2].items():
            values, style, peak = line.curves[at % 2], _style(line.style), line.peaks[at % 2]
            epochs = np.arange(1, values.shape[1] + 1)
            panel.plot(epochs, values.mean(axis=0), label=label, **style)
            panel.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.15, lw=0)
            if peak is not None and not report.quick:
                panel.axhline(peak, lw=0.7, alpha=0.6, **style)
        panel.set(xlabel="epoch")
        panel.set_xlim(left=0)
        panel.xaxis.get_major_locator().set_params(integer=True)
        if at % 2:
            title = None if report.quick else "thin: published peak"
            panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), title=title)
        if at % (len(axes) // rows) == 0:
            panel.set_ylabel("accuracy (%)")
    report.figure("accuracy", figure)


def _style(label: str) -> dict[str, str]:
    """Colour of a line's rule; dashes of its baseline, its depth, or of rules without decorrelation."""
    rule, _, way = label.replace(",", "").lower().partition(" ")
    dashes = {"noisy": ":", NETWORKS["dalm-6"]: "--", NETWORKS["dalm-9"]: ":"}
    plain = "-" if rule in _DECORRELATED else "--"
    return {"color": COLOURS[rule.removeprefix("d")], "linestyle": dashes.get(way, plain)}
