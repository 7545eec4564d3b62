"""Student and teacher: targets drawn from a linear network."""

from __future__ import annotations

import os
from typing import Annotated, Any, NamedTuple

import numpy as np

from noisysim.common.fields import Field
from noisysim.common.types import Floats
from noisysim.tasks.base import Split, Standardise, StandardiseTargets, Task, ValueLoss, make

DEFAULTS: dict[str, Any] = {"layers": [], "batch_size": 1, "epochs": 1}

_WEIGHTS, _TRAIN, _TEST = 0x74656163, 0x7472616E, 0x74657374  # streams that share nothing


class TeacherSettings(NamedTuple):
    """Settings of the student-teacher task."""

    n_in: Annotated[int, Field(low=1, whole=True, doc="inputs, L_x")] = 100
    n_out: Annotated[int, Field(low=1, whole=True, doc="outputs, L_y")] = 10
    noise: Annotated[float, Field(low=0, doc="std of the noise on the training targets, sigma_t")] = 0.0
    n_train: Annotated[int, Field(low=1, whole=True, doc="training samples")] = 10_000
    n_test: Annotated[int, Field(low=1, whole=True, doc="test samples")] = 1_000
    standardise: Standardise = "none"
    standardise_targets: StandardiseTargets = False
    loss: ValueLoss = "mse"


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, stream])))


def teacher_weights(n_in: int, n_out: int, seed: int = 0) -> np.ndarray:
    """The teacher A that a seed draws, float32, (n_out, n_in).

    Independent normal weights of variance ``2 / (n_in + n_out)``, as the authors of the paper draw them.
    """
    weights: Floats = _generator(seed, _WEIGHTS).standard_normal((n_out, n_in), np.float32)
    weights *= np.float32(np.sqrt(2 / (n_in + n_out)))
    return weights


def _draw(weights: np.ndarray, n: int, noise: float, generator: np.random.Generator) -> Split:
    inputs = generator.standard_normal((n, weights.shape[1]), np.float32)
    targets = np.einsum("bj,ij->bi", inputs, weights)  # not BLAS: the same bits on any number of threads
    if noise:
        targets += np.float32(noise) * generator.standard_normal(targets.shape, np.float32)
    return Split(inputs, targets)


def load_student_teacher(settings: TeacherSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """A linear teacher, ``y* = A x + sigma_t zeta`` (Hiratani et al., NeurIPS 2022, Eq. 11).

    x and zeta are standard normal, A is `teacher_weights`. Training targets carry the noise; test targets do not,
    so the test loss of a linear student W estimates ``||W - A||^2 / 2``: n_in n_out / 2 times the paper's epsilon.
    The paper draws a new sample each step; here ``n_train`` is the number of steps an epoch of batch size 1 takes.
    """
    weights = teacher_weights(settings.n_in, settings.n_out, seed)
    train = _draw(weights, settings.n_train, settings.noise, _generator(seed, _TRAIN))
    test = _draw(weights, settings.n_test, 0.0, _generator(seed, _TEST))
    return make("student-teacher", [train, test], settings, DEFAULTS, notes=[f"drawn with seed {seed}"])
