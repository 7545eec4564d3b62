"""The state of a training as arrays, from which it is resumed bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from noisysim.chip import chip
from noisysim.common.types import Array
from noisysim.compute import backends
from noisysim.learners import memory
from noisysim.runs.history import History
from noisysim.runs.training import Training
from noisysim.tasks import remembered


def state(training: Training, ended: bool) -> dict[str, dict[str, Array]]:
    """The state, as groups of arrays of the result file: to be written at once, or of a training that has ended."""
    learner = training.learner_state
    training.recorder.fetch()
    return {
        "state/chip": chip.hand_over(training.chip) if ended else chip.snapshot(training.chip, copied=False),
        "state/learner": {
            "step": np.int64(learner.step), "sigma": np.float64(learner.sigmas[0]),
            **_encoded(training, "learner", learner.memory),
        },
        "state/optimizer": _encoded(training, "optimizer", training.optimizer_state),
        "state/progress": {
            "position": np.array([training.epoch, training.step]),
            "sums": training.recorder.sums,
            **training.divergence.state(),
            "floor": np.float64(training.floors[0]),
        },
        "state/task": remembered.arrays(training.task),
        **({"state/callbacks": steered} if (steered := training.steering.state()) else {}),
    }  # fmt: skip


def restore(training: Training, arrays: dict[str, dict[str, Array]]) -> None:
    """Bring a new training to what `state` and the history's arrays hold."""
    put = backends.get(training.config.backend).put
    chip.restore(training.chip, arrays["state/chip"])
    learner: dict[str, Any] = dict(arrays["state/learner"])
    training.learner_state.step = int(learner.pop("step"))
    training.learner_state.sigma = float(learner.pop("sigma"))
    training.learner_state.memory = memory.decoded(learner, put, training.learner_state.memory)
    optimizer = arrays.get("state/optimizer", {})
    training.optimizer_state = memory.decoded(optimizer, put, training.optimizer_state)
    progress = arrays["state/progress"]
    training.epoch, training.step = (int(v) for v in progress["position"])
    if not (0 <= training.epoch <= training.config.epochs and 0 <= training.step <= training.steps):
        raise ValueError(f"epoch {training.epoch}, update {training.step} is no position in this run")
    training.recorder.sums[:] = progress["sums"]
    training.divergence.restore(progress)
    training.floors = [float(progress["floor"])]
    training.history.resume(History.from_arrays(arrays))
    training.steering.restore(arrays.get("state/callbacks", {}))


def _encoded(training: Training, kind: str, remembered: Mapping[str, Any]) -> dict[str, Array]:
    """What a learner or an optimizer remembers, as arrays."""
    part = getattr(training.config, kind)
    memory.check(f"{'state.memory' if kind == 'learner' else 'the state'} of {kind} {part.name!r}", remembered)
    reserved = ("step", "sigma") if kind == "learner" else ()
    return memory.encoded(remembered, lambda array: backends.backend_of(array).take(array), reserved)
