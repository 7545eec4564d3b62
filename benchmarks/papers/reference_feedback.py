"""Fashion-MNIST reference: test accuracy of feedback rules and forward gradients against an independent implementation.

Network and settings of reference-fashion (784-256-256-256-10, leaky ReLU, cross-entropy, Adam, batch 1000, 5 epochs);
the published column is again a plain NumPy implementation, mean of 3 seeds. The feedback learning rate is that of the
weights, 1e-3, with Adam. Feedback learned by node perturbation starts uniform within 1 / sqrt(units), which agrees
with the reference; the reference's start is not known, and ours was chosen for that. From zero, noisysim's default, it
learns better (last rows).

Claims: FDFA ends within 1.5 points of BP, and DFA at least 2 points below FDFA.

Needs the Fashion-MNIST files. The quick form trains for 2 epochs with one seed and judges the claims only.
"""

from __future__ import annotations

from typing import Any

from . import reference_fashion
from .report import Report

SECONDS = (420, 25)
# name: (what differs, reference, tolerance)
ROWS: dict[str, tuple[dict[str, Any], float | None, float | None]] = {
    "BP": ({"learner": "bp"}, 87.6, 0.8),
    "FDFA": ({"learner": "fdfa"}, 87.2, 1.2),
    "FDFA, uniform weights": ({"learner": "fdfa", "init": "uniform"}, 86.0, 1.2),
    "DFA": ({"learner": "dfa"}, 74.5, 4.0),
    "DFA, uniform weights": ({"learner": "dfa", "init": "uniform"}, 81.6, 3.0),
    "DFA, zero weights": ({"learner": "dfa", "init": "zero"}, 83.1, 0.8),
    "learned feedback, FA form": ({"learner": "learned-fa:sigma=0.01,feedback_init=uniform"}, 83.3, 1.5),
    "learned feedback, DFA form": ({"learner": "learned-dfa:sigma=0.01,feedback_init=uniform"}, 83.1, 1.5),
    "FG-A": ({"learner": "fg-a:sigma=1e-3", "learning_rate": 3e-4}, 76.6, 1.2),
    "FG-W": ({"learner": "fg-w:sigma=1e-3", "learning_rate": 1e-2}, 31.0, 6.0),
    "FG-A, exact derivative": ({"learner": "fg-a:derivative=exact", "learning_rate": 3e-4}, 76.6, 1.2),
    "FDFA, exact derivative": ({"learner": "fdfa:derivative=exact"}, 87.2, 1.2),
    "FDFA, output error from scalar losses": ({"learner": "fdfa:error=scalar"}, None, None),
    "DKP": ({"learner": "dkp"}, None, None),
    "FA": ({"learner": "fa"}, None, None),
    "learned feedback from zero, FA form": ({"learner": "learned-fa:sigma=0.01"}, None, None),
    "learned feedback from zero, DFA form": ({"learner": "learned-dfa:sigma=0.01"}, None, None),
}
QUICK = ("BP", "FDFA", "DFA")


def reproduce(report: Report) -> None:
    """Measure the rows, and the two claims."""
    report.keep(**reference_fashion.SETTINGS, value="test accuracy, %, last epoch")
    epochs = 2 if report.quick else 5
    report.say(
        f"784-256-256-256-10 on Fashion-MNIST, ideal device, {epochs} epochs: test accuracy (%); published: an "
        "independent implementation" + (", after 5 epochs. Quick: the claims alone are judged" if report.quick else "")
    )
    for name, (differs, published, tolerance) in ROWS.items():
        if not report.quick or name in QUICK:
            settings = {"learning_rate": 1e-3, "epochs": epochs, **differs}
            reference_fashion.measure(report, name, settings, published, None if report.quick else tolerance)
    bp, fdfa, dfa = (report.find(name)["ours"] for name in QUICK)  # type: ignore[index]
    report.claim("BP less FDFA", bp - fdfa, "<= 1.5")
    report.claim("FDFA less DFA", fdfa - dfa, ">= 2")
