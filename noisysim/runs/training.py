"""The loop of updates: task -> chip -> observation -> learner -> optimizer -> chip."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from noisysim.chip import array_updates, chip
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.common.types import Doubles
from noisysim.compute import backends, grouping, layered
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.compute.observation_buffers import Observed
from noisysim.learners import LEARNERS, Learner, State
from noisysim.learners.apart import Apart
from noisysim.learners.backprop import BP
from noisysim.learners.optimizers import OPTIMIZERS, Optimizer
from noisysim.networks.building import with_ends
from noisysim.runs import chunks, frozen, health, loop, memory_errors, noise_check
from noisysim.runs.clipping import clipped
from noisysim.runs.config import Config
from noisysim.runs.divergence import Divergence
from noisysim.runs.evaluation import Evaluation
from noisysim.runs.history import COUNTS, VALIDATED, History
from noisysim.runs.looking import Looking, needs_oracle
from noisysim.runs.progress import Progress
from noisysim.runs.recorder import Recorder
from noisysim.runs.rows import Rows
from noisysim.runs.series import Series, States
from noisysim.runs.signals import Stop
from noisysim.runs.steering import Position, Steering
from noisysim.runs.watched import watched
from noisysim.tasks.feed import Feed, Several


class Training:
    """A run in progress: its parts, and the state from which it continues.

    Parameters
    ----------
    config : Config
    seeds : sequence of int
        Of runs that differ in nothing else and go side by side, one on each of the chips: each learns, and records,
        what it would alone. Without any the chips are those of one run, whose seed is the configuration's.
    """

    def __init__(self, config: Config, seeds: Sequence[int] = ()):
        self.config = config
        self.seeds = tuple(seeds)
        self.task = config.task
        self.chips = config.chips
        names, validated = [d.name for d in config.diagnostics], config.validation is not None
        self.history = History(names, self.chips, counted_apart=bool(seeds), validated=validated)
        self.steering = Steering(config, self.history)
        self.status = "running"
        self.notes: list[str] = []  # what a reader of the result should also know
        self.epoch = 0
        self.step = 0  # of this epoch
        layers = with_ends(self.task.input_shape, config.layers, self.task.n_out)
        seed = self.seeds or config.seed
        self.chip = chip.Chip(
            layers, config.device, config.activation, config.learner.decorrelation > 0 and config.decorrelate, seed,
            config.backend, bias=config.bias, inject=config.inject, oracle=config.oracle or needs_oracle(config),
            init=config.init, chips=self.chips, weight_scaling=config.weight_scaling,
        )  # fmt: skip
        self._backend = backends.get(config.backend)
        self.recorder = Recorder(self.history, config.backend, self.chips, self.task.classification)
        self._feed = Feed(self.task, config.backend, self.chips)
        self._evaluation = Evaluation(self.chip, self._feed, config.batch_size)
        self.rows = Rows(config, self.seeds)
        shapes = [(self.chips * n_out, n_in) for n_out, n_in in self.chip.network.shapes]
        # each chip's own run injects another strength, which a user's learner need not know of
        at_once = config.learner.stacks and (not seeds or type(config.learner) in LEARNERS.values())
        made: Any = config.learner if self.chips == 1 or at_once else Apart(config.learner)
        self.learner: Learner = watched("learner", config.learner, made)
        self.optimizer: Optimizer = watched("optimizer", config.optimizer)
        self._looking = Looking(config, self.chip, self.history)
        self.optimizer_state = self.optimizer.init(shapes, self._backend.xp)
        self.learner_state: State = self.learner.init(
            self.chip.architecture, seed=seed, offers=self.offers, floor=0.0, loss=self.task.loss_function,
            chips=self.chips, backend=config.backend,
        )  # fmt: skip
        self.floors = [0.0] * (len(self.seeds) or 1)  # of all chips, or of each run
        self.divergence = Divergence(
            self.chip, self.recorder, config.backend, config.learner.decorrelation, counted_apart=bool(seeds),
            done=lambda: self.done,
        )  # fmt: skip
        self._observed: dict[int, Observed | None] = {}
        self._at_once: dict[int, int] = {}  # samples of a chunk, by those of an update
        self._gradient: Layered | None = None
        self._series = Series(
            config, self.chip, self.recorder, self._looking, self.steering, self._factored and self._backend.HOST_MEMORY
        )

    @property
    def offers(self) -> frozenset[str]:
        """What the learner may ask for, of oracle access only what this run grants it by name."""
        withheld = set() if self.config.oracle else {"oracle"}
        withheld |= {"output_error"} if self.task.loss_function.error is None else set()
        return self.chip.offers - withheld

    @cached_property
    def scales(self) -> health.Scales:
        """How large inputs and targets are."""
        return health.scales(self.task)

    @cached_property
    def steps(self) -> int:
        """Updates in an epoch."""
        return -(-self.rows.samples // self.config.batch_size)

    @property
    def done(self) -> int:
        """Updates so far."""
        return self.epoch * self.steps + self.step

    def begin(self) -> None:
        """Calibrate the chips and settle how strongly to perturb, on the first samples."""
        rows = max(self.config.batch_size, loop.FIRST)
        first = self._feed.batch("train", self.rows.order(0)[..., :rows])
        with self._explaining():
            self.floors = loop.begin(
                self.config.learner, self.chip, self.learner_state, first.inputs, apart=bool(self.seeds)
            )
            noise_check.check(self.chip, first.inputs)

    def run(
        self, show: bool | None, stop: Stop, checkpoint: Callable[[], None] | None = None, seconds: float = 30.0
    ) -> None:
        """Learn until finished, diverged, interrupted or stopped.

        Parameters
        ----------
        show : bool or None
            Progress (`noisysim.runs.progress.Progress`).
        stop : Stop
            Looked at after each update.
        checkpoint : callable, optional
            Called at the end of every epoch and when `seconds` have passed since.
        """
        progress = Progress(self.steps * self.config.epochs, show)
        saved = time.monotonic()
        try:
            with np.errstate(over="ignore", invalid="ignore"), self._explaining():
                while self.epoch < self.config.epochs and self.status == "running":
                    order, size = self.rows.order(self.epoch), self.config.batch_size
                    for _ in self._updates(self._feed.batches("train", order, size, self.step, self.epoch)):
                        if progress.due:
                            self._show(progress)
                        if self.status == "running" and self.steering.watches(self.done):
                            self._call(self.steering.updated)
                        if self.status == "running" and (reason := stop.reason):
                            self.status = reason
                        elif checkpoint and time.monotonic() - saved > seconds:
                            checkpoint()
                            saved = time.monotonic()
                        if self.status != "running":
                            break
                    if self.status == "running" and self.step == self.steps:
                        self._end_epoch()
                        self._show(progress)
                        if self.status == "running":
                            self._call(self.steering.epoch_ended)
                        if checkpoint:
                            checkpoint()
                            saved = time.monotonic()
            if self.status == "running":
                self.status = "finished"
        finally:
            progress.stop()

    def _call(self, callbacks: Callable[[Position], None]) -> None:
        """Call callbacks, one of which may end the run."""
        self.recorder.fetch()
        callbacks(Position(self.epoch, self.done, self.steps))
        if self.steering.reason:
            self.status = "stopped"

    def _explaining(self) -> AbstractContextManager[None]:
        return memory_errors.explaining(self.config, self._backend.HOST_MEMORY, bool(self.seeds))

    def _updates(self, batches: Iterable[Several]) -> Iterator[None]:
        """Make update after update, small ones many at a time; yields behind each, or behind some."""
        for several in batches:
            first = 0
            while first < len(several.parts):
                made = self._in_series(several, first)
                if not made:
                    self._update(several.parts[first])
                first += made or 1
                yield

    def _in_series(self, several: Several, first: int) -> int:
        """Make updates of small batches from one on in one call, and return how many; 0 where it cannot be done."""
        observed = self._observed.get(len(several.parts[first].inputs))
        at, states = Position(self.epoch, self.done, self.steps), States(self.learner_state, self.optimizer_state)
        made = self._series.updates(several, first, observed, at, states)
        if made.updates and observed:
            observed[0].loss = made.losses[made.updates - 1]
            self.divergence.observe(several.parts[first + made.updates - 1], observed[0], first=False)
            self.step += made.updates - int(made.refused.any())
            if made.refused.any():
                self.divergence.refuse(made.refused)
                self._end_update(observed[0], programmed=True)
        return made.updates

    def _update(self, batch: Batch) -> None:
        """One update."""
        rows = len(batch.inputs)
        if rows not in self._at_once:
            self._at_once[rows] = chunks.samples_at_once(self.config.learner, self.learner_state, rows)
        most = self._at_once[rows]
        gradient: Layered | Factors | None
        if most < rows and not self.config.diagnostics and not self.in_array:
            gradient, first = self._learn_in_chunks(batch, most)
        else:
            gradient, first = self._learn(batch)
        if self._ended():
            return
        if gradient is not None:
            self._program(gradient)
        self._end_update(first, programmed=gradient is not None)

    def _end_update(self, first: Observation | None, programmed: bool) -> None:
        """What is left of an update once its change was programmed, or none was asked for."""
        if first is not None and not self._ended():
            self._adapt(first, programmed)
        if not self._ended():
            self.step += 1

    def _program(self, gradient: Layered | Factors) -> None:
        """Ask the chips for the change that the optimizer makes of a gradient, none of it in frozen layers."""
        rate, gradient = self.steering.rate(self.epoch), frozen.still(gradient, self.config.frozen, self._backend.xp)
        if isinstance(gradient, Factors):
            optimizer: Any = self.optimizer
            refused = self.chip.descend(gradient, lambda: optimizer.step(self.optimizer_state, rate))
            if refused.any():
                self.divergence.refuse(refused)
            return
        gradient = clipped(gradient, self.config.clip, self.chips)
        changes, self.optimizer_state = self.optimizer.update(gradient, self.optimizer_state, rate)
        self._gradient = asked = frozen.silenced(layered.layered(changes), self.config.frozen)
        decay = min(1.0, rate * self.config.weight_decay)
        self.divergence.ask(lambda: self.chip.program(asked, decay=decay), lambda: asked)

    def _adapt(self, first: Observation, programmed: bool) -> None:
        """Let the periphery of all chips follow an update, except where what a chip observed is non-finite."""

        def adapt() -> None:
            # several chips: called again if one cannot, so nothing may be changed before that is known
            if self.chips > 1:
                kept = [getattr(arrays, "flat", None) for arrays in (first.inputs, first.activities)]
                if not all(self._backend.ops.all_finite(a) for a in kept if type(a) is np.ndarray):
                    raise NonFiniteError("what one of several chips observed is non-finite")
            loop.adapt(self.config.learner, self.chip, first, programmed=programmed)

        self.divergence.ask(adapt, lambda: [*first.inputs, *first.activities])

    @cached_property
    def in_array(self) -> bool:
        """Whether the array itself does the optimizer's step (`noisysim.runs.in_array`)."""
        return array_updates.acts_in_array(self.config.device)

    @cached_property
    def _factored(self) -> bool:
        """Whether gradients are applied as factors: where the rule and the optimizer are the package's own."""
        config = self.config
        if self.in_array:
            return True
        own = type(config.learner) in LEARNERS.values() and type(config.optimizer) in OPTIMIZERS.values()
        own = own and not isinstance(config.learner, BP)  # the bits of its runs are those of gradients as arrays
        own = own and self.learner is config.learner and config.learner.has_factors
        return own and self.chip.takes_factors and not config.clip and not config.weight_decay

    def _learn(self, batch: Batch) -> tuple[Layered | Factors | None, Observation | None]:
        """The gradient of an update, and what its first pass observed."""
        drives, observed = self._observe(batch, 0)
        if observed is None:
            return None, None
        self.recorder.note(batch, drives, observed, looks=self._looks)
        ended = self._ended()
        self.divergence.silence_observations(observed)
        if ended:
            return None, observed[0]
        oracle = self.chip.oracle(batch) if self.config.oracle else None  # the learner's
        looks = self._looking.due(self.done)
        state = self.learner_state
        before = state.aside(self._looking.key(self.done, 0)) if looks else None
        gradient: Layered | Factors | None
        if self._factored:
            gradient, self.learner_state = self.learner.factors(state, observed, oracle=oracle)
        else:
            gradient, self.learner_state = self.learner.update(state, observed, oracle=oracle, out=self._gradient)
        if before is not None:
            seen = grouping.formed(self.chip.network, gradient) if isinstance(gradient, Factors) else gradient
            self._looking.look(self.done, batch, observed, seen, before, oracle)
        return gradient, observed[0]

    def _learn_in_chunks(self, batch: Batch, most: int) -> tuple[Layered | None, Observation | None]:
        """The same of an update with too many passes to be held at once."""
        learner, state = self.learner, self.learner_state
        step, total = state.step, chunks.Sum(state, len(batch.inputs), learner.decorrelation > 0)
        left, baseline = len(batch.inputs), None
        for first, part in chunks.parts(batch, self.chips, most):
            state.step, state.first_sample, left = step, first, left - len(part.inputs)
            drives, observed = self._observe(part, first)
            if observed is None:
                return None, None
            self.recorder.note(part, drives, observed, looks=not first and self._looks, more=left > 0)
            oracle = self.chip.oracle(part) if self.config.oracle else None
            gradient, state = learner.update(state, observed, oracle=oracle, out=self._gradient)
            baseline = observed[0]
            assert gradient is not None  # rules whose updates may be cut return one
            total.add(first, gradient, baseline.inputs)
            self._gradient = gradient
        state.first_sample, self.learner_state = 0, state
        assert baseline is not None
        return total.gradient, replace(baseline, inputs=total.inputs)

    def _observe(self, batch: Batch, first_sample: int) -> tuple[Sequence[Drive], list[Observation] | None]:
        """The drives that the learner wants, and what these passes give; ``None`` if no chip can be driven so."""
        rows, room = len(batch.inputs), self._observed.pop(len(batch.inputs), None)
        drives = self.learner.drives(self.learner_state, rows)

        def pieces() -> list[Any]:
            return [p for drive in drives for p in (*drive.perturbations, *drive.outputs, *drive.weights)]

        if self.recorder.any_exploded:
            self.divergence.silence(pieces())
        observed = self._observed[rows] = self.divergence.ask(
            lambda: self.chip.passes(
                batch, drives, out=room, first_sample=first_sample, training=True, inputs_of="first"
            ),
            pieces,
        )
        baseline = None if observed is None else observed[0]
        self.divergence.observe(batch, baseline, first=not (first_sample or self.done))
        return drives, observed

    def _ended(self) -> bool:
        """Whether the run ends here, as all of its chips have diverged."""
        if self.recorder.any_exploded and self.divergence.of_all:
            self.status = "diverged"
        return self.status == "diverged"

    @property
    def _looks(self) -> bool:
        """Whether the recorder looks at this update's passes."""
        return self.recorder.looks(self.step, self.steps)

    def _end_epoch(self) -> None:
        """Record the epoch's means and a test."""
        means = self.recorder.means()
        if self._ended():
            return
        test_loss, test_accuracy = self.test()
        costs = self.chip.cost_by_chip() if self.seeds else [self.chip.cost]
        values: dict[str, Any] = {
            **means,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            **self.validate(),
            "learning_rate": [self.steering.rate(self.epoch)],
            **{name: [getattr(cost, name) for cost in costs] for name in COUNTS},
        }
        for name, value in values.items():
            self.history.epoch[name].extend(map(float, value))
        self.epoch, self.step = self.epoch + 1, 0

    def test(self) -> tuple[Doubles, Doubles]:
        """Mean loss and accuracy of one pass over the test split, (chips,) each, of chips calibrated if need be."""
        while len(self._observed) > 1:  # the passes of the test need the room; `divergence` holds the last
            del self._observed[next(iter(self._observed))]
        self._evaluation.calibrate(self.rows.order(0)[..., : self.config.calibration])  # the same samples each time
        return self._evaluation.means("test", np.arange(self.task.n_test))

    def validate(self) -> dict[str, Doubles]:
        """The same of the validation data, if there are any; what the chips do aside changes nothing of the run."""
        if self.config.validation is None:
            return {}
        with self.chip.aside():
            return dict(zip(VALIDATED, self._evaluation.means("validation", self.rows.held), strict=True))

    def _show(self, progress: Progress) -> None:
        self.recorder.fetch()
        loss, correct, samples = self.recorder.sums[:3].sum(axis=1)
        if samples:
            seen = loss / samples, correct / samples
        else:  # between two epochs
            seen = self.history.mean("train_loss")[-1], self.history.mean("train_accuracy")[-1]
        epochs = self.config.epochs
        progress.show(self.done, min(self.epoch + 1, epochs), epochs, *seen, self.chip.cost.passes)
