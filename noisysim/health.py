"""What a run notices about itself and says in its summary, instead of silently not learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from noisysim.history import History

LITTLE = 0.05
"""Below this share of activity differences a learner is close to deaf (4 bits with 1 % noise still give 7 %)."""
RISEN = 1.25
"""A training loss so many times its minimum, and rising, is told of."""
GROWN = 1.1
"""Growth of the activities from which weights are said to diffuse."""
EXPLODED = 1e8
"""A batch's mean loss beyond this, or none at all, is divergence: the run stops."""


def exploded(losses: np.ndarray) -> np.ndarray:
    """Which of the chips' mean losses of a batch, (..., chips), have left all bounds."""
    return ~(losses <= EXPLODED)


def divergence(history: History, learner: Any) -> str:
    """Why a run was stopped whose last loss has left all bounds."""
    epochs = len(history.epoch["learning_rate"])
    said = f"diverged in epoch {epochs + 1}: the loss left all bounds"
    return f"{said}; {_growth(history, learner)}" if epochs else f"{said}; lower learning_rate"


def _unstable(history: History) -> bool:
    """Whether the training loss has risen well above its minimum, and goes on rising or is above where it began."""
    losses = history.mean("train_loss")
    if len(losses) < 3:
        return False
    first = history.first_loss
    return losses[-1] > RISEN * min(*losses, first) and losses[-1] > min(losses[-2], first)


def _growth(history: History, learner: Any) -> str:
    """How the training loss rose after its minimum, how activities grew meanwhile, and what helps."""
    losses, activity = history.mean("train_loss"), history.mean("activity_rms")
    best = min(range(len(losses)), key=losses.__getitem__)
    first = history.first_loss
    low = f"{first:.3g} at the first batch" if first < losses[best] else f"{losses[best]:.3g} in epoch {best + 1}"
    said = f"the training loss rose from {low} to {losses[-1]:.3g}"
    advice = ["lower learning_rate"]
    if activity[-1] > GROWN * activity[0]:
        said += (
            f", and since the first epoch activities grew from {activity[0]:.3g} to {activity[-1]:.3g}: noisy updates "
            "let the weights diffuse faster than they learn (Hiratani et al. 2022)"
        )
        if not learner.normalise:
            advice.append("set normalise=True in the learner")
    if hasattr(learner, "samples"):
        advice.append("average more samples")
    return f"{said}; {', or '.join(advice)}"


def warnings(history: History, learner: Any, sigma: float, heard: float, classes: int) -> list[str]:
    """Sentences, most serious first.

    Parameters
    ----------
    history : History
    learner : noisysim.learners.Learner
    sigma : float
        What the learner injects (standard deviation).
    heard : float
        What it would take to be heard, from `noisysim.negotiation.floor`.
    classes : int
        Number of classes; 0 for regression.
    """
    said = []
    if _unstable(history):
        said.append(f"unstable: {_growth(history, learner)}")
    shares = [s for s in history.mean("passed_share") if not math.isnan(s)]
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
    if 0 < sigma < (2 / 3) * heard:
        said.append(
            f"the perturbation is too small to be heard: sigma = {sigma:.3g} against {heard:.3g}, three times the "
            "observed noise or half an ADC step; set sigma to that, or to 0 to have it chosen"
        )
    if getattr(learner, "loss", "sample") == "batch":
        said.append(
            "the learner sees one loss for the whole batch: every sample's update carries the noise of all, which "
            "grows as the square root of the batch size; use loss='sample' or a small batch"
        )
    accuracy = [a for a in history.mean("train_accuracy") if not math.isnan(a)]
    if classes and len(accuracy) >= 3 and max(accuracy) < 1.5 / classes:
        said.append(f"nothing was learned: training accuracy never left chance ({100 * max(accuracy):.1f} %)")
    return said
