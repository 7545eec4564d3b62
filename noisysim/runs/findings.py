"""What a training says of itself: its warnings, and of runs side by side what each has recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.chip.weight_sources import NOTES
from noisysim.common.types import Ints
from noisysim.runs import digital, health
from noisysim.runs.history import History
from noisysim.runs.training import Training


def warnings(training: Training) -> list[str]:
    """What a run noticed about itself."""
    diverged = training.divergence.diverged
    sentences = _warnings(training, training.history, training.status, np.arange(training.chips))
    if training.status != "diverged" and len(diverged):
        history = training.history.of_chip(int(diverged[0]), 0, 1)  # of whole epochs means are of all chips
        fault = _fault(training, history, diverged)
        numbers = ", ".join(map(str, diverged))
        sentences.insert(0, f"of {training.chips} chips these diverged: {numbers}; {fault}")
    return sentences + _of_cells(training, training.chip.worn) + training.notes


def recorded_by(training: Training, m: int) -> dict[str, Any]:
    """What the m-th of several runs side by side has recorded, as its result has it: what it would have alone."""
    training.recorder.fetch()
    divergence = training.divergence
    divergence.note()
    losses = np.array(training.history.step["train_loss"])[m :: training.chips]
    diverged = health.exploded(losses, losses[:1])
    if m in divergence.refused:
        diverged[divergence.refused[m] :] = True
    status, epochs, updates = training.status, len(training.history.epoch["learning_rate"]), len(diverged)
    if diverged.any():
        status, last = "diverged", int(diverged.argmax())
        epochs, updates = last // training.steps, last + 1
    history = training.history.of_chip(m, epochs, updates)
    cost = divergence.costs[m] if m in divergence.costs else training.chip.cost_by_chip()[m]
    account = digital.account(training, cost, of_each=True)
    sentences = (
        _warnings(training, history, status, np.array([m]))
        + _of_cells(training, training.chip.worn_by_chip[m])
        + training.notes
    )
    return {"status": status, "warnings": sentences, "cost": account, "arrays": history.arrays()}


def _warnings(training: Training, history: History, status: str, chips: Ints) -> list[str]:
    """What is to be said of a history, which is that of these chips: all of one run, or the one of a run."""
    learner, task, m = training.config.learner, training.task, int(chips[0]) if training.seeds else 0
    least = learner.sigma_at_floor(training.floors[m], training.chip.architecture)
    classes = task.n_out if task.classification else 0
    weakest = min(getattr(learner, "strengths", lambda _: ())(training.learner_state), default=1.0)
    observed = history, learner, weakest * training.learner_state.sigmas[m], least, classes
    if status != "diverged":
        return health.warnings(*observed, training.scales)
    sentences = [health.divergence(history, _fault(training, history, chips)), *health.warnings(*observed)]
    if m in training.divergence.refused:
        update = training.divergence.refused[m] + 1
        sentences.insert(0, f"update {update} asked for NaN or infinite values, and was not made")
    return sentences


def _of_cells(training: Training, worn: float) -> list[str]:
    """What cells could not hold from the start, and how many writes have worn out."""
    sentences = _of_start(training)
    if worn:
        cycles = training.config.device._asdict()["max_cycles"]
        sentences.append(
            f"{health.percent(worn)} of the cells are worn out, written as often as they endure (max_cycles = "
            f"{cycles:g}); larger batches, or a controller with coarser steps, write them less often"
        )
    return sentences


def _of_start(training: Training) -> list[str]:
    """What of given weights the cells could not hold, and what the network that they are from differs in."""
    init = training.config.init
    if isinstance(init, str):
        return []
    notes = list(init.record.get(NOTES, []))
    shares = training.chip.clipped
    parts = [f"{health.percent(share)} of layer {layer + 1}" for layer, share in enumerate(shares) if share]
    if not parts:
        return notes
    return [
        *notes,
        f"initial weights beyond the range of the device's cells were clipped: {', '.join(parts)}; "
        "weight_scaling='array' or 'column' lets the span stand for the largest",
    ]


def _fault(training: Training, history: History, chips: Ints) -> str:
    """What diverged on chips that have, whose history this is, and what helps."""
    divergence, scales = training.divergence, training.scales
    culprits = divergence.culprits[chips]
    if culprits.any():
        layer = int(culprits[culprits > 0].min())
        return health.decorrelation_fault(layer, divergence.powers[:, chips], scales)
    return health.learner_fault(history, training.config.learner, scales)
