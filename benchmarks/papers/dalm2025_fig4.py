"""Dalm et al. (2025), Figure 4: DNP and DANP with a clean baseline, and with two noisy passes.

Three hidden layers on CIFAR-10. With a noisy baseline the first pass is perturbed too, and no rule is told how: DANP
takes the difference of the two passes for the perturbation, DNP knows that of the second pass only. The paper prints no
numbers of this figure (published peaks are Table 3's, of the clean baseline); it says that DANP loses next to nothing,
while DNP learns more slowly, ends lower and falls late in training. The settings are told in `noisysim.papers.cifar`.
The full form is meant for a GPU, or a day of two cores.

Judged: DANP's loss from the noisy baseline is at most 2 points of test accuracy in either form. DNP loses: in the quick
form something of its training accuracy in the last epoch, in the full form at least 1 point of test accuracy, and its
training accuracy ends at least 1 point below its peak.
"""

from __future__ import annotations

from . import cifar
from .parts import Measured
from .report import Report

SECONDS = (100_000, 20)
WAYS = {"": "auto", " noisy": "noisy"}
"""Baselines by what curves are called after their rule."""


def reproduce(report: Report) -> None:
    """Train both rules both ways, and judge what the noisy baseline costs."""
    form, task = cifar.begin(report, ["dalm-3"])
    curves: Measured[str, cifar.Curves] = Measured(report)
    for rule in ("dnp", "danp"):
        for way, baseline in WAYS.items():
            with report.part(cifar.label("dalm-3", rule, baseline)):
                curves[f"{rule.upper()}{way}"] = cifar.learn(report, form, task, "dalm-3", rule, baseline)
    with report.derived():
        report.claim("DANP loses, test", curves["DANP"].peak("test") - curves["DANP noisy"].peak("test"), "<= 2")
    with report.derived():
        clean, noisy = curves["DNP"], curves["DNP noisy"]
        if report.quick:
            report.claim("DNP loses, training, last epoch", last(clean) - last(noisy), "> 0")
        else:
            report.claim("DNP loses, test", clean.peak("test") - noisy.peak("test"), ">= 1")
    if not report.quick:
        with report.derived():
            fallen = curves["DNP noisy"].peak("train") - last(curves["DNP noisy"])
            report.claim("DNP, noisy baseline, falls late, training", fallen, ">= 1")
    drawn = {
        f"{name}{curves.label(name)}": cifar.Line(curve, name, peaks(name)) for name, curve in curves.so_far.items()
    }
    cifar.draw(report, {"3 hidden layers": drawn})


def last(curves: cifar.Curves) -> float:
    """Training accuracy (%) of the last epoch, mean over the seeds."""
    return float(curves.train[:, -1].mean())


def peaks(name: str) -> tuple[float | None, float | None]:
    """Table 3's peaks of a curve; of a noisy baseline the paper prints none."""
    return (None, None) if "noisy" in name else cifar.PEAKS["dalm-3"][name.lower()]
