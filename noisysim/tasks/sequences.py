"""Sequences that ask for memory: the adding problem, and copying. A sample is an image whose rows are steps."""

from __future__ import annotations

import os
from typing import Annotated, Any, NamedTuple

import numpy as np

from noisysim.common.fields import Field
from noisysim.tasks.base import Split, Standardise, StandardiseTargets, Task, ValueLoss, make

ADDING: dict[str, Any] = {"layers": ["recurrent(32, cell='gru')"], "batch_size": 50, "epochs": 10}
COPYING: dict[str, Any] = {"batch_size": 50, "epochs": 10}
_ADDING, _COPYING = 0x61646469, 0x636F7079  # streams that share nothing
_TRAIN, _TEST = range(2)


class AddingSettings(NamedTuple):
    """Settings of the adding problem."""

    steps: Annotated[int, Field(low=2, high=10_000, whole=True, doc="steps of a sequence")] = 50
    n_train: Annotated[int, Field(low=1, whole=True, doc="training samples")] = 10_000
    n_test: Annotated[int, Field(low=1, whole=True, doc="test samples")] = 1_000
    standardise: Standardise = "none"
    standardise_targets: StandardiseTargets = False
    loss: ValueLoss = "mse"


class CopySettings(NamedTuple):
    """Settings of the copy-memory problem."""

    symbols: Annotated[int, Field(low=2, high=256, whole=True, doc="different symbols")] = 8
    length: Annotated[int, Field(low=1, high=1000, whole=True, doc="symbols to be copied")] = 5
    delay: Annotated[int, Field(low=0, high=10_000, whole=True, doc="blank steps before the copy is asked for")] = 20
    n_train: Annotated[int, Field(low=1, whole=True, doc="training samples")] = 10_000
    n_test: Annotated[int, Field(low=1, whole=True, doc="test samples")] = 1_000
    standardise: Standardise = "none"
    standardise_targets: StandardiseTargets = False
    loss: ValueLoss = "mse"


def load_adding(settings: AddingSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """The adding problem: the sum of two marked numbers of a sequence (Hochreiter & Schmidhuber, 1997).

    A step is a number uniform in (0, 1) and a mark; one mark is in the first half of the steps, one in the second.
    Whoever answers 1, the mean, has a mean squared error of 1/6, a loss of 1/12.
    """
    splits = [
        _sums(count, settings.steps, _generator(seed, _ADDING, stream))
        for count, stream in ((settings.n_train, _TRAIN), (settings.n_test, _TEST))
    ]
    notes = [f"drawn with seed {seed}"]
    return make("adding", splits, settings, ADDING, input_shape=(1, settings.steps, 2), notes=notes)


def load_copy_memory(settings: CopySettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """The copy-memory problem: symbols are to be given again after a delay (as in Arjovsky et al., ICML 2016).

    The first `length` steps are symbols, then come `delay` blanks, a step that asks for the copy, and `length` - 1
    blanks. The target of every step is a one-hot row of blank and symbols: blanks, and in the last `length` steps the
    symbols. Whoever answers with blanks and the mean of the symbols remembers nothing: the loss of that is in the
    task's record, `notes`.
    """
    splits = [
        _copies(count, settings, _generator(seed, _COPYING, stream))
        for count, stream in ((settings.n_train, _TRAIN), (settings.n_test, _TEST))
    ]
    steps, kinds = settings.delay + 2 * settings.length, settings.symbols + 1
    without = settings.length * (1 - 1 / settings.symbols) / 2
    defaults = {
        **COPYING, "layers": [
            "recurrent(64, cell='gru', returns='all')", f"conv({kinds}, 1, activation='linear')", "output()",
        ],
    }  # fmt: skip
    notes = [f"drawn with seed {seed}", f"without memory the loss is {without:.4g}"]
    return make("copy-memory", splits, settings, defaults, input_shape=(1, steps, kinds + 1), notes=notes)


def _generator(seed: int, task: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, task, stream])))


def _sums(count: int, steps: int, generator: np.random.Generator) -> Split:
    """Sequences with two marked numbers, and the sums of these."""
    x = np.zeros((count, steps, 2), np.float32)
    x[..., 0] = generator.random((count, steps), np.float32)
    rows, half = np.arange(count), steps // 2
    marks = generator.integers(0, half, count), generator.integers(half, steps, count)
    for mark in marks:
        x[rows, mark, 1] = 1
    targets = x[rows, marks[0], 0] + x[rows, marks[1], 0]
    return Split(x.reshape(count, -1), targets[:, None])


def _copies(count: int, settings: CopySettings, generator: np.random.Generator) -> Split:
    """Sequences of symbols, blanks and the sign to copy, one-hot, and what is to be said at each step."""
    length, delay, kinds = settings.length, settings.delay, settings.symbols + 1
    steps, ask = delay + 2 * length, kinds
    symbols = generator.integers(1, kinds, (count, length))
    said, wanted = np.zeros((count, steps), np.int64), np.zeros((count, steps), np.int64)
    said[:, :length], said[:, length + delay] = symbols, ask
    wanted[:, -length:] = symbols
    x, targets = np.eye(kinds + 1, dtype=np.float32)[said], np.eye(kinds, dtype=np.float32)[wanted]
    return Split(x.reshape(count, -1), targets.reshape(count, -1))
