"""The learning rate of a run: what suits the rule, how it falls, and what weight decay makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noisysim.chip import weight_decay
from noisysim.common.arguments import argument
from noisysim.devices.contract import Device
from noisysim.learners import Learner
from noisysim.learners.optimizers import Optimizer


def suggested(learner: Learner, optimizer: Optimizer, numbers: Mapping[str, Any]) -> dict[str, float]:
    """The learning rate that suits the rule; refused where there is none, and none was given."""
    suggested = learner.rates.get(optimizer.name)
    if suggested is None and "learning_rate" not in numbers:
        rate = argument("run.learning_rate")
        raise ValueError(f"{rate}: learner {learner.name!r} suggests none for optimizer {optimizer.name!r}: give one")
    return {} if suggested is None else {"learning_rate": suggested}


def check_decay(decay: float, rate: float, device: Device) -> None:
    """Refuse a decay that the device cannot do, and one that takes off more than there is."""
    weight_decay.check("run.weight_decay", decay, device)
    if decay * rate > 1:
        raise ValueError(
            f"{argument(f'run.weight_decay={decay:g}')} times {argument(f'learning_rate={rate:g}')} is above 1, and "
            "would take more than all of each weight off: take less"
        )


def no_decay(numbers: Mapping[str, Any]) -> float:
    """Refuse two laws of the learning rate at once."""
    if numbers.get("learning_rate_decay", 1.0) != 1:
        raise ValueError(
            f"{argument('run.schedule')} and {argument('run.learning_rate_decay')} both say how the learning rate "
            "falls: give one of them, such as "
            + argument(f"schedule='exponential:decay={numbers['learning_rate_decay']:g}'")
        )
    return 1.0
