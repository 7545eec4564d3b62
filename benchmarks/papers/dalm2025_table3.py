"""Dalm et al. (2025), Table 3: peak accuracies on CIFAR-10, 0 to 9 hidden layers and the ConvNet (Figures 3 and 9).

All columns. The settings, and what the paper leaves open, are told in `noisysim.papers.cifar`. The full form is meant
for a GPU, or a week of two cores.

The quick form takes the columns of 6 and 9 hidden layers (Figure 3's takes the first two, Figure 9's the ConvNet): the
first 8 epochs at the paper's batch and rates, of layers of 64 and images averaged to 8 x 8. It judges that every rule
learns: at least 20 % of the test images; and that with 9 hidden layers DINP and DANP do better than DNP. A first
shortened form (layers of 128, 500 batches of 100) left DNP at 17 and 13 % and DANP, with 9 hidden layers, at 17 %: it
had seen an eighth of the samples, through twice the units. The bounds are the same.
"""

from __future__ import annotations

from . import cifar
from .report import Report

SECONDS = (600_000, 40)
DEEP = ("dalm-6", "dalm-9")
SHORT = cifar.Form(8, 50_000, 64, 1000, 8)


def reproduce(report: Report) -> None:
    """Train all of them, and judge peaks and order."""
    networks = DEEP if report.quick else tuple(cifar.PEAKS)
    form, task = cifar.begin(report, networks, SHORT)
    columns = [(network, rule) for network in networks for rule in cifar.PEAKS[network]]
    curves = cifar.learn_all(report, form, task, columns)
    for network, rule in columns:
        if network in DEEP:
            with report.derived():
                learned = curves[network, rule].peak("test")
                report.claim(f"{cifar.label(network, rule)} learns, test", learned, ">= 20")
    for better in ("dinp", "danp"):
        cifar.gain(report, curves, "dalm-9", better, "dnp", "test", "> 0")
    cifar.draw(report, cifar.lines(curves, networks), 1 if report.quick else len(networks))
