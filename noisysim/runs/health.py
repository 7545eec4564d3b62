"""Warnings of a run about itself: a run that does not learn says so, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.types import Bools, Doubles, Ints
from noisysim.compute import backends, nodes, periphery
from noisysim.compute.observation import Batch, Observation
from noisysim.learners import Learner
from noisysim.networks.architecture import INPUT, Architecture
from noisysim.runs.history import History
from noisysim.tasks import Task

LITTLE = 0.05
"""Below this share of activity differences that reach it, a learner learns hardly anything (4 bits with 1 % noise still
give 7 %)."""
RISEN = 1.25
"""Factor over its minimum from which a rising training loss is reported."""
GROWN = 1.1
"""Growth of the activities from which weights are said to diffuse."""
UNSTABLE, NOTHING = "unstable", "nothing was learned"
"""How the warnings begin that a study counts."""
EXPLODED = 1e8
"""A batch's mean loss above this factor times the first batch's (or 1, if that is more), or a non-finite one, is
divergence: the run stops."""
AMPLIFIED = 100
"""Mean square of what decorrelation makes of a layer's inputs, in theirs, beyond which it has diverged."""
FAR = 10
"""Inputs are large, and targets far from 1, beyond an RMS of this; targets also below its inverse."""


class Scales(NamedTuple):
    """How large a task's data are: RMS of its first inputs, and of its target values (1 for labels)."""

    inputs: float = 1.0
    targets: float = 1.0
    advice_inputs: str = "scale the inputs"
    advice_targets: str = "scale the targets"

    @property
    def targets_far(self) -> bool:
        """Whether the targets are far from what an untrained network gives."""
        return not 1 / FAR <= self.targets <= FAR

    @property
    def inputs_advice(self) -> list[str]:
        """What would make large inputs smaller."""
        return [f"{self.advice_inputs}, whose RMS is {self.inputs:.3g}"] if self.inputs > FAR else []

    @property
    def advice(self) -> list[str]:
        """What would make large inputs and large targets smaller."""
        targets = [f"{self.advice_targets}, whose RMS is {self.targets:.3g}"] if self.targets > FAR else []
        return [*self.inputs_advice, *targets]


USUAL = Scales()


def scales(task: Task) -> Scales:
    """Of the first 256 training samples, as a run sees them."""
    batch = task.batch("train", slice(0, min(task.n_train, 256)))
    inputs, targets = (float(np.sqrt(np.mean(np.square(a, dtype=np.float64)))) for a in batch[:2])
    advice = {}
    if task.settings.get("standardise") == "none":
        advice["advice_inputs"] = "let the task standardise the inputs (standardise='global')"
    if task.settings.get("standardise_targets") is False:
        advice["advice_targets"] = "let the task standardise the targets (standardise_targets=True)"
    return Scales(inputs, 1.0 if task.classification else targets, **advice)


def exploded(losses: Doubles, first: float | Doubles = 1.0) -> Bools:
    """Which of the chips' mean losses of a batch, (..., chips), are divergence, `first` those of the first batch."""
    return beyond(losses, bound(first))


def bound(first: float | Doubles) -> Any:
    """The largest mean losses that are no divergence, `first` those of the first batch."""
    return EXPLODED * np.maximum(1.0, first)


def beyond(losses: Doubles, bounds: float | Doubles) -> Bools:
    """Which losses are non-finite or above their bounds."""
    diverged: Bools = ~(np.isfinite(losses) & (losses <= bounds))
    return diverged


def powers(inputs: Sequence[Any], chips: int) -> Doubles:
    """Mean squared length of the vectors that drive each layer, (layers, chips)."""
    means = []
    for x in inputs:
        place, vectors = backends.backend_of(x), x.size // x.shape[-1] // chips
        squares = place.xp.square(x, dtype=np.float64).reshape(chips, -1).sum(axis=1)
        means.append(place.take(squares) / vectors)
    return np.array(means)


def culprit(
    net: Architecture, batch: Batch, observation: Observation, rate: float, before: Doubles, chips: int
) -> Ints:
    """Which layer's decorrelation has diverged on chips that have: its number, from 1; 0 where none has.

    That is where it amplifies its inputs, and was unstable at their scale from the start: R <- R - rate (...) R can
    grow only if rate times the mean squared length of the inputs is above 2. Else what grew first are the weights.

    Parameters
    ----------
    net : Architecture
    batch : Batch
    observation : Observation
        Of the batch, whose loss is divergence.
    rate : float
        Of the decorrelation.
    before : numpy.ndarray
        `powers` of the first update.
    chips : int
    """
    layers = np.zeros(chips, np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        between = nodes.Nodes(net, observation, chips)
        for layer, driven in enumerate(observation.inputs):
            source = net.source(layer)
            below = batch.inputs if source == INPUT else between.value(source)
            (plain,), (turned,) = powers([periphery.unfold(net, layer, below)], chips), powers([driven], chips)
            grown = np.isfinite(plain) & ~(turned <= AMPLIFIED * plain)
            scale = np.maximum(before[layer], plain) if layer == 0 else before[layer]
            layers[(layers == 0) & grown & (rate * scale > 1)] = layer + 1
    return layers


def divergence(history: History, fault: str) -> str:
    """That a run was stopped, and why: `decorrelation_fault` or `learner_fault`."""
    return f"diverged in epoch {len(history.epoch['learning_rate']) + 1}: {fault}"


def decorrelation_fault(layer: int, powers: Doubles, scales: Scales) -> str:
    """That the decorrelation of a layer's inputs diverged, and what helps, from `powers` of the first update."""
    advice = [*scales.inputs_advice, f"set decorrelation={0.5 / powers.max():.1g} in the learner"]
    return (
        f"the decorrelation of layer {layer}'s inputs grew without bound, not the learner: its step is too large for "
        f"inputs of this size; {', or '.join(advice)}"
    )


def learner_fault(history: History, learner: Learner, scales: Scales) -> str:
    """That the learner diverged, or the data are too large for any, and what helps."""
    if not math.isfinite(history.first_loss):
        advice = ", or ".join(scales.advice) or "scale inputs and targets"
        return f"the loss of the first batch is non-finite, before anything was learned; {advice}"
    fault = "the loss grew without bound"
    if len(history.epoch["learning_rate"]):
        return f"{fault}; {_growth(history, learner, scales)}"
    return f"{fault}; {', or '.join(['lower learning_rate', *scales.advice])}"


def _unstable(history: History) -> bool:
    """Whether the training loss has risen well above its minimum, and is still rising, or above where it began."""
    losses = history.mean("train_loss")
    if len(losses) < 3:
        return False
    first = history.first_loss
    return losses[-1] > RISEN * min(*losses, first) and losses[-1] > min(losses[-2], first)


def _growth(history: History, learner: Learner, scales: Scales) -> str:
    """How the training loss rose after its minimum, how activities grew meanwhile, and what helps."""
    losses, activity = history.mean("train_loss"), history.mean("activity_rms")
    best = min(range(len(losses)), key=losses.__getitem__)
    first = history.first_loss
    low = f"{first:.3g} at the first batch" if first < losses[best] else f"{losses[best]:.3g} in epoch {best + 1}"
    growth = f"the training loss rose from {low} to {losses[-1]:.3g}"
    advice = ["lower learning_rate"]
    if activity[-1] > GROWN * activity[0]:
        growth += (
            f", and since the first epoch activities grew from {activity[0]:.3g} to {activity[-1]:.3g}: noisy updates "
            "let the weights diffuse faster than they learn (Hiratani et al. 2022)"
        )
        if not learner.normalise:
            advice.append(
                "set normalise=True in the learner (a write controller that keeps targets, as 'copy', allows it)"
            )
    if hasattr(learner, "samples"):
        advice.append("average more samples")
    return f"{growth}; {', or '.join(advice + scales.advice)}"


def warnings(
    history: History, learner: Learner, sigma: float, least: float, classes: int, scales: Scales = USUAL
) -> list[str]:
    """Sentences, most serious first.

    Parameters
    ----------
    history : History
    learner : noisysim.learners.Learner
    sigma : float
        What the learner injects (standard deviation).
    least : float
        The smallest that can be measured, from `noisysim.runs.perturbation_strength.floor`.
    classes : int
        Number of classes; 0 for regression.
    scales : Scales
        How large the task's data are.
    """
    sentences = []
    if _unstable(history):
        sentences.append(f"{UNSTABLE}: {_growth(history, learner, scales)}")
    shares = [s for s in history.mean("passed_share") if not math.isnan(s)]
    if shares:
        share = sum(shares) / len(shares)
        if share == 0:
            sentences.append(
                "dead ADC: 0 % of the activity differences got through to the learner, so nothing can be learned; "
                "raise adc_bits, narrow adc_range, or perturb more (sigma)"
            )
        elif share < LITTLE:
            sentences.append(
                f"only {percent(share)} of the activity differences got through the ADC; raise adc_bits, perturb "
                "more (sigma), or let the device's own noise be at least half an ADC step"
            )
    if 0 < sigma < (2 / 3) * least:
        sentences.append(
            f"the perturbation is lost in the noise: sigma = {sigma:.3g} is below {least:.3g}, three times the "
            "observed noise or half an ADC step; set sigma to that, or to 0 to have it chosen"
        )
    if getattr(learner, "loss", "sample") == "batch":
        sentences.append(
            "the learner sees one loss for the whole batch: every sample's update carries the noise of all, which "
            "grows as the square root of the batch size; use loss='sample' or a small batch"
        )
    accuracy = [a for a in history.mean("train_accuracy") if not math.isnan(a)]
    if classes and len(accuracy) >= 3 and max(accuracy) < 1.5 / classes:
        sentences.append(f"{NOTHING}: training accuracy never left chance ({100 * max(accuracy):.1f} %)")
    if scales.targets_far:
        sentences.append(
            f"the targets' RMS is {scales.targets:.3g}, far from 1, which is about what a network starts with and what "
            f"learning rates suit; {scales.advice_targets}"
        )
    return sentences


def percent(share: float) -> str:
    """A share, 0 to 1, for a sentence."""
    return f"{100 * share:.3g} %" if share >= 1e-4 or not share else "less than 0.01 %"
