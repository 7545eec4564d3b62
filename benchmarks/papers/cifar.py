"""CIFAR-10 as Dalm et al. (2025) learned it: settings, published peaks, and the runs of their Figures 3, 4, Table 3.

Tables 1 to 3 and appendix F: leaky ReLU, cross-entropy, Adam (0.9, 0.999, 1e-7), batch 1000, sigma^2 = 1e-6,
decorrelation rate 1e-3, hidden layers of 1024, three seeds. Not stated are the number of epochs, the slope of the leaky
ReLU, the initial weights and the preprocessing; here 300, 0.01, He normal, one mean and standard deviation of all pixel
values. Peaks are the best epoch's, averaged over the seeds; training accuracies are of the passes of training itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import noisysim

from .report import Report, histories, panels

TRAIN, TEST = 5.0, 3.0  # tolerances of peaks, in points; training accuracy hangs on the number of epochs too
DEPTHS = {0: "1 layer", 3: "3 hidden layers", 6: "6 hidden layers", 9: "9 hidden layers"}
_PLAIN, _DECORRELATED = ("bp", "np", "anp", "inp"), ("dbp", "dnp", "danp", "dinp")

# Table 2: hidden layers, rule, learning rate. DNP's are blank for 1 and 3 layers: as the other decorrelated rules'.
RATES = {
    0: dict.fromkeys(("bp", "dbp", "np", "dnp"), 1e-3),
    3: {**dict.fromkeys(_PLAIN, 1e-4), **dict.fromkeys(_DECORRELATED, 1e-3)},
    6: dict.fromkeys(("dnp", "danp", "dinp"), 5e-3),
    9: dict.fromkeys(("dnp", "danp", "dinp"), 5e-3),
}
# Table 3: hidden layers, rule, peak accuracies (%) in training and test
PEAKS = {
    0: {"bp": (41.3, 39.3), "dbp": (44.9, 40.9), "np": (38.5, 38.2), "dnp": (42.8, 40.2)},
    3: {
        "bp": (59.6, 51.5), "dbp": (99.6, 54.3), "np": (28.1, 28.1), "dnp": (44.9, 42.1),
        "anp": (30.4, 30.6), "danp": (48.5, 44.4), "inp": (32.0, 32.0), "dinp": (52.6, 46.3),
    },
    6: {"dnp": (46.7, 43.1), "danp": (47.3, 44.2), "dinp": (53.0, 46.6)},
    9: {"dnp": (40.5, 38.6), "danp": (44.8, 42.7), "dinp": (52.0, 45.3)},
}  # fmt: skip
COLOURS = {"bp": "#555555", "np": "#D55E00", "anp": "#0072B2", "inp": "#009E73"}


class Form(NamedTuple):
    """How long and how large; `FULL`, or a shortened form.

    Attributes
    ----------
    side : int
        Pixels to a side of the images, 32 or averages.
    images : int
        The first so many of the training split.
    width, batch_size, epochs : int
    """

    side: int
    images: int
    width: int
    batch_size: int
    epochs: int


FULL = Form(32, 50_000, 1024, 1000, 300)
SHORT = Form(16, 25_000, 256, 100, 2)


class Curves(NamedTuple):
    """Accuracies (%), (seeds, epochs)."""

    train: np.ndarray
    test: np.ndarray

    def peak(self, part: str) -> float:
        """The best epoch's, averaged over the seeds."""
        return float(getattr(self, part).max(axis=1).mean())


def begin(report: Report, short: Form = SHORT) -> tuple[Form, Any]:
    """The form this report is to run, and its data; says what is run."""
    form = short if report.quick else FULL
    if report.quick:
        updates = form.epochs * form.images // form.batch_size
        report.say(
            f"Shortened: {form.images:,} training and 5,000 test images averaged to {form.side} x {form.side}, hidden "
            f"layers of {form.width}, batch {form.batch_size}, Table 2's rates, {form.epochs} epochs, {updates} steps. "
            "The published peaks (%) are of full images, layers of 1024, batches of 1000 and longer training; they "
            "are not judged, the claims are."
        )
    else:
        report.say(
            f"CIFAR-10, hidden layers of 1024, batch 1000, Table 2's rates, {form.epochs} epochs. The paper does not "
            "state the epochs, the slope of the leaky ReLU (here 0.01), the initial weights (He normal) and the "
            "preprocessing (one mean and standard deviation of all pixel values). Peak accuracies (%)."
        )
    return form, images(form)


def images(form: Form) -> Any:
    """CIFAR-10, or the first of its images, their pixels averaged over squares."""
    task = noisysim.tasks.get("cifar10")
    if form.side == 32:
        return task
    side = form.side

    def averaged(pixels: np.ndarray) -> np.ndarray:
        squares = pixels.reshape(-1, 3, side, 32 // side, side, 32 // side)
        return squares.mean(axis=(3, 5), dtype=np.float32).reshape(len(pixels), -1)

    (x, y), (x_test, y_test) = task.train, task.test
    n, n_test = form.images, 5000
    return noisysim.tasks.get((averaged(x[:n]), y[:n], averaged(x_test[:n_test]), y_test[:n_test]))


def learn(report: Report, form: Form, task: Any, hidden: int, rule: str, baseline: str = "auto") -> Curves:
    """Train one network once a seed, and add the rows of its peaks."""
    started = time.perf_counter()
    settings = {} if rule in ("bp", "dbp") else {"sigma": 1e-3, "baseline": baseline}
    if rule in _DECORRELATED:
        settings["decorrelation"] = 1e-3
    rate = RATES[hidden][rule]
    results = report.runs(
        task=task,
        layers=[form.width] * hidden,
        device="ideal",
        learner={"name": rule, **settings},
        optimizer="adam:epsilon=1e-7",
        learning_rate=rate,
        batch_size=form.batch_size,
        epochs=form.epochs,
    )
    curves = Curves(*(100 * histories(results, f"{part}_accuracy", lost=0) for part in Curves._fields))
    took = time.perf_counter() - started
    name = f"{DEPTHS[hidden]}, {rule.upper()}{', noisy baseline' if baseline == 'noisy' else ''}"
    published = (None, None) if baseline == "noisy" else PEAKS[hidden][rule]
    for part, value, tolerance, seconds in zip(Curves._fields, published, (TRAIN, TEST), (took, 0), strict=True):
        peaks = getattr(curves, part).max(axis=1)
        report.row(
            f"{name}, {'training' if part == 'train' else part}",
            peaks.mean(),
            value,
            None if report.quick or value is None else tolerance,
            peaks.std(ddof=1) if len(peaks) > 1 else None,
            seconds=seconds,
            learning_rate=rate,
            seeds=peaks.round(2),
            epochs=getattr(curves, part).mean(axis=0).round(2),
        )
    return curves


def gain(report: Report, found: Mapping, hidden: int, better: str, worse: str, part: str, bound: str) -> None:
    """A claim: by how many points one rule's peak lies above another's."""
    place = Curves._fields.index(part)
    published = PEAKS[hidden][better][place] - PEAKS[hidden][worse][place]
    change = found[hidden, better].peak(part) - found[hidden, worse].peak(part)
    name = f"{DEPTHS[hidden]}, {better.upper()} over {worse.upper()}, {'training' if part == 'train' else part}"
    report.claim(name, change, bound, round(published, 1))


def draw(report: Report, title: Sequence[str], lines: Sequence[Mapping[str, Curves]]) -> None:
    """Accuracy against epochs, training and test, for several sets of rules: mean and range over the seeds."""
    titles = [f"{one}: {part}" for one in title for part in ("training", "test")]
    figure, axes = panels(titles, 4.0, 4.0, sharey=True)
    for at, panel in enumerate(axes):
        for label, curves in lines[at // 2].items():
            values = curves[at % 2]
            rule = label.split()[0].lower()
            decorrelated = rule in _DECORRELATED
            style = {"color": COLOURS[rule[1:] if decorrelated else rule], "label": label}
            epochs = np.arange(1, values.shape[1] + 1)
            dashes = ":" if "noisy" in label else "-" if decorrelated else "--"
            panel.plot(epochs, values.mean(axis=0), dashes, **style)
            panel.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.15, lw=0)
        panel.set(xlabel="epoch")
        panel.set_xlim(left=0)
        panel.xaxis.get_major_locator().set_params(integer=True)
        if at % 2:
            panel.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes[0].set_ylabel("accuracy (%)")
    report.figure("accuracy", figure)
