"""What the reproductions of Lansdell et al. (2020) share: data, learning, and how feedback compares with the weights.

"Learning to solve the credit assignment problem", Figures 2, 3 and 4. MNIST with pixels from 0 to 1, squared error,
hidden layers with biases (in Figures 2 and 4 of sigmoid units), He normal weights, batch 32. The paper does not state
preprocessing, initial weights and biases: these are those of the code that its authors published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np

import noisysim
from noisysim.chip.chip import Chip
from noisysim.common.types import Doubles
from noisysim.compute.observation import Batch, Observation
from noisysim.learners import Learner, State
from noisysim.tasks import Task

SIZES, BATCH = (784, 50, 20, 10), 32
NOISE = {1e-3: "#56B4E9", 1e-2: "#0072B2", 1e-1: "#E69F00", 1.0: "#D55E00"}
"""The paper's noise levels c, and the colours of their lines."""


class Match(NamedTuple):
    """How the feedback matrices compare with the weights they stand for, (feedback matrices,) each, the lowest first.

    Attributes
    ----------
    error : numpy.ndarray
        |W - B| / |W|, Frobenius norms, %.
    angle : numpy.ndarray
        Between the true gradient by a hidden layer's outputs and the synthetic one, degrees, mean over the samples.
    signs : numpy.ndarray
        Share of the signs that agree, %.
    """

    error: np.ndarray
    angle: np.ndarray
    signs: np.ndarray


def mnist() -> Any:
    """MNIST with pixels from 0 to 1 and squared error."""
    (x, y), (x_test, y_test) = (getattr(noisysim.tasks.get("mnist"), part) for part in ("train", "test"))
    scaled = (x / np.float32(255), y, x_test / np.float32(255), y_test)
    return noisysim.tasks.get(scaled, standardise="none", loss="mse")


def network(
    task: Task,
    learner: Learner,
    seed: int,
    layers: Sequence[Any] = SIZES,
    backend: str = "cpu",
    activation: str = "sigmoid",
) -> tuple[Chip, State]:  # fmt: skip
    """A chip and the state of the learner that is to train it."""
    chip = noisysim.Chip(layers, "ideal", activation, bias=True, seed=seed, backend=backend)
    return chip, learner.init(chip.architecture, seed=seed, offers=chip.offers, loss=task.loss)


def batches(task: Task, updates: int, seed: int, size: int = BATCH) -> Iterator[Batch]:
    """A number of batches, epoch after epoch."""
    return islice((b for epoch in count() for b in task.batches(size, seed, epoch)), updates)


def learn(
    chip: Chip, learner: Learner, state: State, stream: Iterable[Batch], rate: float, optimizer: str = "sgd"
) -> Iterator[tuple[State, Observation]]:
    """Train on these batches; before each update, the learner's state and what was observed."""
    stepper = noisysim.optimizers.get(optimizer)
    memory, observed, gradient = stepper.init(chip.network.shapes), None, None
    for batch in stream:
        observed = chip.passes(batch, learner.drives(state, len(batch.inputs)), out=observed)
        yield state, observed[0]
        oracle = chip.oracle(batch) if "oracle" in learner.requires() else None
        gradient, state = learner.update(state, observed, oracle=oracle, out=gradient)
        if gradient is not None:
            gradient, memory = stepper.update(gradient, memory, rate)
            chip.program(gradient)


def match(chip: Chip, learner: Any, state: State, batch: Batch) -> Match:
    """Compare a learner's feedback matrices with the weights, and the gradients that both bring back."""
    shapes = learner.feedback_shapes(state)
    ends = np.cumsum([a * b for a, b in shapes])[:-1]
    parts = np.split(state.memory["feedback"].astype(float), ends)
    with chip.aside():
        observation = chip.forward(batch)
    oracle = chip.oracle(batch)
    true = [np.asarray(s, float) for s in oracle.signals(observation)]
    parts_by_layer, signal = [], true[-1]
    for layer in reversed(range(len(shapes))):
        units = shapes[layer][1]
        weights, feedback = oracle.weights[layer + 1][:, :units].astype(float), parts[layer].reshape(shapes[layer])
        synthetic = signal @ feedback
        error = np.linalg.norm(weights - feedback) / np.linalg.norm(weights)
        angle = _angles(true[layer + 1] @ weights, synthetic).mean()
        parts_by_layer.append((100 * error, angle, 100 * np.mean(np.sign(weights) == np.sign(feedback))))
        outputs = observation.inputs[layer + 1][:, :units]
        signal = synthetic * outputs * (1 - outputs)
    return Match(*np.array(parts_by_layer[::-1]).T)


def mean(matches: Sequence[Any]) -> list[Match]:
    """The mean over several seeds of what was seen at each look, (seeds, looks, parts of a `Match`, matrices)."""
    return [Match(*at_look) for at_look in np.mean(matches, axis=0)]


def _angles(a: Doubles, b: Doubles) -> Doubles:
    """Degrees between the rows of two matrices."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = np.divide((a * b).sum(1), lengths, out=np.zeros(len(a)), where=lengths > 0)
    degrees: Doubles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return degrees
