"""The straight line: task -> chip -> observation -> learner -> optimizer -> chip; and all that hangs on its side."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from noisysim import algebra, chip, health, negotiation, seeding
from noisysim.architecture import whole
from noisysim.config import Config
from noisysim.diagnostics import Probe
from noisysim.execution import BLOCK_ROWS
from noisysim.history import COUNTS, History
from noisysim.learners import State
from noisysim.progress import Progress


class Training:
    """A run under way: everything from which it goes on.

    Parameters
    ----------
    config : Config
    """

    def __init__(self, config: Config):
        self.config = config
        self.task = config.task
        self.history = History([d.name for d in config.diagnostics])
        self.status = "running"
        self.notes: list[str] = []  # what a reader of the result should know besides
        self.epoch = 0
        self.step = 0  # of this epoch
        # of this epoch: loss, hits, samples; passed share, looks at it; squared activity, looks at it
        self.sums = np.zeros(7)
        layers = whole(self.task.input_shape, config.layers, self.task.n_out)
        self.watched = any("oracle" in d.needs for d in config.diagnostics)
        self.chip = chip.Chip(
            layers, config.device, config.activation, config.learner.decorrelation > 0, config.seed, config.backend,
            bias=config.bias, inject=config.inject, oracle=config.oracle or self.watched, init=config.init,
        )  # fmt: skip
        self.optimizer_state = config.optimizer.init(self.chip.network.shapes)
        self.learner_state: State = config.learner.init(
            self.chip.architecture, seed=config.seed, offers=self.offers, loss=self.task.loss
        )
        self.floor = 0.0
        self._batches: dict[int, Any] = {}
        self._observed: dict[int, Any] = {}
        self._gradient: Any = None

    @property
    def offers(self) -> frozenset[str]:
        """What the learner may ask for: of oracle access only what this run grants it by name."""
        return self.chip.offers if self.config.oracle else self.chip.offers - {"oracle"}

    @property
    def steps(self) -> int:
        """Updates in an epoch."""
        return math.ceil(self.task.n_train / self.config.batch_size)

    @property
    def done(self) -> int:
        """Updates so far."""
        return self.epoch * self.steps + self.step

    def begin(self) -> None:
        """Calibrate the converters and settle how strongly to perturb, on the first samples."""
        first = self._batch(self.task.order(0, self.config.seed)[: self.config.batch_size])
        self.chip.calibrate(first.inputs)
        if getattr(self.config.learner, "sigma", None) is not None:
            self.floor = negotiation.floor(self.chip, first.inputs)
        self.learner_state.sigma = self.config.learner.injects(self.offers, self.floor, self.chip.architecture)

    def run(self, show: bool | None, checkpoint: Any = None, seconds: float = 30.0) -> None:
        """Go on until finished, diverged or interrupted.

        Parameters
        ----------
        show : bool or None
            Of the progress bar.
        checkpoint : callable, optional
            Called at the end of every epoch and when `seconds` have passed since.
        """
        progress = Progress(self.steps * self.config.epochs, self.done, show)
        saved = time.monotonic()
        try:
            with _interruptible() as interrupted:
                while self.epoch < self.config.epochs and self.status == "running":
                    order = self.task.order(self.epoch, self.config.seed)
                    while self.step < self.steps and self.status == "running":
                        size = self.config.batch_size
                        self._update(order[self.step * size : (self.step + 1) * size])
                        if progress.due:
                            self._show(progress)
                        if interrupted.is_set():
                            self.status = "interrupted"
                        elif checkpoint and time.monotonic() - saved > seconds:
                            checkpoint()
                            saved = time.monotonic()
                    if self.status == "running" and self.step == self.steps:
                        self._end_epoch()
                        self._show(progress)
                        if checkpoint:
                            checkpoint()
                            saved = time.monotonic()
            if self.status == "running":
                self.status = "finished"
        finally:
            progress.stop()

    def _update(self, rows: np.ndarray) -> None:
        """One turn of the line."""
        config, learner = self.config, self.config.learner
        batch = self._batch(rows)
        drives = learner.drives(self.learner_state, len(rows))
        observed = self._observed[len(rows)] = self.chip.passes(
            batch, drives, out=self._observed.get(len(rows)), training=True, inputs_of="first"
        )
        self._record(batch, drives, observed)
        if self.status != "running":
            return
        oracle = self.chip.oracle(batch) if config.oracle else None  # the learner's
        before = self.learner_state.aside(self._probe_key(0)) if self._looks else None
        gradient, self.learner_state = learner.update(self.learner_state, observed, oracle=oracle, out=self._gradient)
        if before is not None:
            self._look(batch, observed, gradient, before, oracle)
        if learner.decorrelation:
            self.chip.decorrelate(observed[0].inputs, learner.decorrelation)
        self.chip.track(observed[0].activities)
        if gradient is not None:
            rate = config.learning_rate * config.learning_rate_decay**self.epoch
            self._gradient, self.optimizer_state = config.optimizer.update(gradient, self.optimizer_state, rate)
            self.chip.program(self._gradient)
            if learner.normalise:
                self.chip.normalise()
        self.step += 1

    @property
    def _looks(self) -> bool:
        """Whether the diagnostics look at the update under way."""
        return bool(self.config.diagnostics) and self.done % self.config.every == 0

    def _look(self, batch: Any, observed: Any, gradient: Any, before: State, told: Any) -> None:
        """Record what the diagnostics find at this update, which the learner began as `before`, told this oracle."""
        config = self.config
        oracle = told or (self.chip.oracle(batch) if self.watched else None)

        def estimate(count: int) -> Iterator[Any]:
            with self.chip.aside():
                for k in range(count):
                    state = before.aside(self._probe_key(k))
                    passes = self.chip.passes(batch, config.learner.drives(state, len(batch.inputs)), training=True)
                    found, _ = config.learner.update(state, passes, oracle=told)
                    if found is not None:
                        yield passes[0], found

        probe = Probe(batch, observed, gradient, self.chip.architecture, oracle, estimate)
        self.history.looks["update"].append(self.done)
        for diagnostic in config.diagnostics:
            self.history.looks[diagnostic.name].append(diagnostic.measure(probe))

    def _probe_key(self, number: int) -> Any:
        """Of the draws that a diagnostic's n-th extra estimate at this update makes."""
        return seeding.key(self.config.seed, f"diagnostics/{self.done}/{number}")

    def _record(self, batch: Any, drives: Any, observed: Any) -> None:
        baseline = observed[0]
        loss = float(baseline.loss.mean())
        self.history.step["train_loss"].append(loss)
        self.sums[0] += float(baseline.loss.sum())
        self.sums[1] += _hits(baseline.output, batch.targets) if self.task.classification else math.nan
        self.sums[2] += len(batch.inputs)
        if self.step % max(self.steps // 4, 1) == 0:
            first = baseline.activities[0].reshape(-1, baseline.activities[0].shape[-1])
            self.sums[5] += float(np.einsum("ij,ij->", first, first, dtype=np.float64)) / first.size
            self.sums[6] += 1
            if len(observed) > 1:
                moved = drives[1].lowest  # layers below it see the same in an exact chip: no converter's fault
                self.sums[3] += algebra.passed_share(observed[1].activities[moved:], baseline.activities[moved:])
                self.sums[4] += 1
        if health.exploded(loss):
            self.status = "diverged"

    def _end_epoch(self) -> None:
        loss, hits, samples, passed, looks, squares, seen = self.sums
        test_loss, test_accuracy = self.test()
        cost = self.chip.cost
        values = {
            "train_loss": loss / samples,
            "train_accuracy": hits / samples,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "learning_rate": self.config.learning_rate * self.config.learning_rate_decay**self.epoch,
            "passed_share": passed / looks if looks else math.nan,
            "activity_rms": math.sqrt(squares / seen),
            **{name: getattr(cost, name) for name in COUNTS},
        }
        for name, value in values.items():
            self.history.epoch[name].append(float(value))
        self.sums[:] = 0
        self.epoch, self.step = self.epoch + 1, 0

    def test(self) -> tuple[float, float]:
        """Mean loss and accuracy of one pass over the test split, in chunks no larger than a training batch needs."""
        self._observed.clear()  # the passes of the test need the room
        chunk = BLOCK_ROWS * max(1, self.config.batch_size // BLOCK_ROWS)
        if self.chip.network.stages(False)[0].rows < BLOCK_ROWS:  # convolutions
            chunk = min(chunk, 1 << (self.config.batch_size.bit_length() - 1))
        loss = hits = 0.0
        for first in range(0, self.task.n_test, chunk):
            rows = np.arange(first, min(first + chunk, self.task.n_test))
            batch = self._batch(rows, "test")
            observation = self.chip.passes(batch, [chip.Drive()], first_sample=first)[0]
            assert observation.loss is not None
            loss += float(observation.loss.sum())
            hits += _hits(observation.output, batch.targets) if self.task.classification else math.nan
        return loss / self.task.n_test, hits / self.task.n_test

    def warnings(self) -> list[str]:
        """What this run noticed about itself."""
        classes = self.task.n_out if self.task.classification else 0
        learner = self.config.learner
        heard = learner.heard(self.floor, self.chip.architecture)
        said = health.warnings(self.history, learner, self.learner_state.sigma, heard, classes)
        if self.status == "diverged":
            said.insert(0, health.divergence(self.history, learner))
        return said + self.notes

    def state(self) -> dict[str, dict[str, np.ndarray]]:
        """Arrays from which `resume` goes on, bit for bit."""
        learner = self.learner_state
        return {
            "state/chip": chip.snapshot(self.chip),
            "state/learner": {"step": np.int64(learner.step), "sigma": np.float64(learner.sigma), **learner.memory},
            "state/optimizer": self.optimizer_state,
            "state/progress": {
                "position": np.array([self.epoch, self.step]),
                "sums": self.sums,
                "floor": np.float64(self.floor),
            },
        }

    def resume(self, arrays: dict[str, dict[str, np.ndarray]]) -> None:
        """Take up what `state` and the history held."""
        chip.restore(self.chip, arrays["state/chip"])
        learner = dict(arrays["state/learner"])
        self.learner_state.step = int(learner.pop("step"))
        self.learner_state.sigma = float(learner.pop("sigma"))
        self.learner_state.memory.update(learner)
        self.optimizer_state = {name: np.array(a) for name, a in arrays["state/optimizer"].items()}
        progress = arrays["state/progress"]
        self.epoch, self.step = (int(v) for v in progress["position"])
        self.sums[:] = progress["sums"]
        self.floor = float(progress["floor"])
        self.history = History.of(arrays)

    def _batch(self, rows: np.ndarray, split: str = "train") -> Any:
        batch = self._batches[len(rows)] = self.task.batch(
            split, rows, out=self._batches.get(len(rows)), epoch=self.epoch
        )
        return batch

    def _show(self, progress: Progress) -> None:
        loss, hits, samples = self.sums[:3]
        if samples:
            seen = loss / samples, hits / samples
        else:  # between two epochs
            seen = self.history.epoch["train_loss"][-1], self.history.epoch["train_accuracy"][-1]
        epoch = min(self.epoch + 1, self.config.epochs)
        progress.show(self.done, epoch, self.config.epochs, *seen, self.chip.cost.passes)


def _hits(output: np.ndarray, targets: np.ndarray) -> int:
    return int((output.argmax(axis=1) == targets.argmax(axis=1)).sum())


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one interrupts at once."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
