"""What a run notices about itself and says in its summary, instead of silently not learning."""

from __future__ import annotations

import math
from typing import Any

from noisysim.history import History

LITTLE = 0.05
"""Below this share of activity differences a learner is close to deaf (4 bits with 1 % noise still give 7 %)."""


def warnings(history: History, learner: Any, sigma: float, floor: float, classes: int) -> list[str]:
    """Sentences, most serious first.

    Parameters
    ----------
    history : History
    learner : noisysim.learners.Learner
    sigma : float
        What the learner injects (standard deviation).
    floor : float
        What it would take to be heard (`noisysim.negotiation.floor`).
    classes : int
        Number of classes; 0 for regression.
    """
    said = []
    shares = [s for s in history.epoch["passed_share"] if not math.isnan(s)]
    if shares:
        share = sum(shares) / len(shares)
        if share == 0:
            said.append(
                "dead ADC: 0 % of the activity differences got through to the learner, so nothing can be learned; "
                "raise adc_bits, narrow adc_range, or perturb more (sigma)"
            )
        elif share < LITTLE:
            said.append(
                f"only {100 * share:.2g} % of the activity differences got through the ADC; raise adc_bits, perturb "
                "more (sigma), or let the device's own noise be at least half an ADC step"
            )
    if 0 < sigma < (2 / 3) * floor:
        said.append(
            f"the perturbation is too small to be heard: sigma = {sigma:.3g} against {floor:.3g}, three times the "
            "observed noise or half an ADC step; set sigma to that, or to 0 to have it chosen"
        )
    if getattr(learner, "loss", "sample") == "batch":
        said.append(
            "the learner sees one loss for the whole batch: every sample's update carries the noise of all, which "
            "grows as the square root of the batch size; use loss='sample' or a small batch"
        )
    accuracy = [a for a in history.epoch["train_accuracy"] if not math.isnan(a)]
    if classes and len(accuracy) >= 3 and max(accuracy) < 1.5 / classes:
        said.append(f"nothing was learned: training accuracy never left chance ({100 * max(accuracy):.1f} %)")
    return said
