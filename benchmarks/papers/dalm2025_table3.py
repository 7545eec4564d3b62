"""Dalm et al. (2025), Table 3: peak accuracies on CIFAR-10 with 0, 3, 6 and 9 hidden layers (Figures 3 and 9, top).

The fully connected columns. The settings, and what the paper leaves open, are told in `noisysim.papers.cifar`. The full
form is meant for a GPU, or five days of two cores.

The quick form takes the columns that Figure 3 does not, 6 and 9 hidden layers: the first 8 epochs at the paper's batch
and rates, of layers of 64 and images averaged to 8 x 8. It judges that every rule learns: at least 20 % of the test
images; and that with 9 hidden layers DINP and DANP do better than DNP. A first shortened form (layers of 128, 500
batches of 100) left DNP at 17 and 13 % and DANP, with 9 hidden layers, at 17 %: it had seen an eighth of the samples,
through twice the units. The bounds are the same.
"""

from __future__ import annotations

from . import cifar
from .report import Report

SECONDS = (450_000, 40)
SHORT = cifar.Form(8, 50_000, 64, 1000, 8)


def reproduce(report: Report) -> None:
    """Train all of them, and judge peaks and order."""
    form, task = cifar.begin(report, SHORT)
    depths = (6, 9) if report.quick else tuple(cifar.PEAKS)
    columns = [(hidden, rule) for hidden in depths for rule in cifar.PEAKS[hidden]]
    found = {column: cifar.learn(report, form, task, *column) for column in columns}
    for hidden, rule in columns:
        if hidden > 3:
            learned = found[hidden, rule].peak("test")
            report.claim(f"{cifar.DEPTHS[hidden]}, {rule.upper()} learns, test", learned, ">= 20")
    for better in ("dinp", "danp"):
        cifar.gain(report, found, 9, better, "dnp", "test", "> 0")
    lines = [{rule.upper(): found[hidden, rule] for rule in cifar.PEAKS[hidden]} for hidden in depths]
    cifar.draw(report, [cifar.DEPTHS[hidden] for hidden in depths], lines)
