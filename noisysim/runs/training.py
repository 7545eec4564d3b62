"""The straight line: task -> chip -> observation -> learner -> optimizer -> chip; and all that hangs on its side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from noisysim.chip import chip
from noisysim.chip.cost import Cost
from noisysim.chip.diagnostics import Probe
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.compute import backends, layered, seeding
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.learners import LEARNERS, State, memory
from noisysim.learners.apart import Apart
from noisysim.networks.architecture import with_ends
from noisysim.runs import chunks, health, loop, noise_check
from noisysim.runs.config import Config
from noisysim.runs.history import COUNTS, History
from noisysim.runs.progress import Progress
from noisysim.runs.recorder import Recorder, hits
from noisysim.runs.signals import Stop
from noisysim.runs.watched import watched
from noisysim.tasks.feed import Feed


class Training:
    """A run under way: everything from which it goes on.

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
        self.history = History([d.name for d in config.diagnostics], self.chips, counted_apart=bool(seeds))
        self.status = "running"
        self.notes: list[str] = []  # what a reader of the result should know besides
        self.epoch = 0
        self.step = 0  # of this epoch
        layers = with_ends(self.task.input_shape, config.layers, self.task.n_out)
        seed = self.seeds or config.seed
        self.watched = any("oracle" in d.needs for d in config.diagnostics)
        self.chip = chip.Chip(
            layers, config.device, config.activation, config.learner.decorrelation > 0, seed, config.backend,
            bias=config.bias, inject=config.inject, oracle=config.oracle or self.watched, init=config.init,
            chips=self.chips,
        )  # fmt: skip
        self._backend = backends.get(config.backend)
        self.recorder = Recorder(self.history, config.backend, self.chips, self.task.classification)
        self._feed = Feed(self.task, config.backend, self.chips)
        shapes = [(self.chips * n_out, n_in) for n_out, n_in in self.chip.network.shapes]
        # what each chip's own run injects differs, and of that a learner of somebody else's may not know
        at_once = config.learner.stacks and (not seeds or type(config.learner) in LEARNERS.values())
        made: Any = config.learner if self.chips == 1 or at_once else Apart(config.learner)
        self.learner = watched("learner", config.learner, made)
        self.optimizer = watched("optimizer", config.optimizer)
        self.diagnostics = [watched("diagnostic", one) for one in config.diagnostics]
        self.optimizer_state = self.optimizer.init(shapes, self._backend.xp)
        self.learner_state: State = self.learner.init(
            self.chip.architecture, seed=seed, offers=self.offers, floor=0.0, loss=self.task.loss, chips=self.chips,
            backend=config.backend,
        )  # fmt: skip
        self.floors = [0.0] * (len(self.seeds) or 1)  # of all chips, or of each run
        self._refused: dict[int, int] = {}  # at which update what a chip was to take became non-finite
        self._ended: dict[int, Cost] = {}  # of runs side by side that have diverged: what they cost
        self._lost = np.zeros(self.chips, bool)  # chips whose divergence has been looked into
        self._culprits = np.zeros(self.chips, np.int64)  # what diverged there: see `health.culprit`
        self._powers = np.zeros((len(shapes), self.chips))  # of what drove each layer at first: `health.powers`
        self._seen: tuple[Any, Any] = (None, None)  # the batch of the last passes, and what the first of them observed
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
        """Calibrate the chips and settle how strongly to perturb, on the first samples."""
        rows = max(self.config.batch_size, loop.FIRST)
        first = self._feed.batch("train", self._order(0)[..., :rows])
        with self._room():
            self.floors = loop.begin(
                self.config.learner, self.chip, self.learner_state, first.inputs, apart=bool(self.seeds)
            )
            noise_check.check(self.chip, first.inputs)

    def _order(self, epoch: int) -> np.ndarray:
        """The order of the training rows in an epoch, (n_train,); of runs side by side (chips, n_train)."""
        if not self.seeds:
            return self.task.order(epoch, self.config.seed)
        return np.stack([self.task.order(epoch, seed) for seed in self.seeds])

    def run(self, show: bool | None, stop: Stop, checkpoint: Any = None, seconds: float = 30.0) -> None:
        """Go on until finished, diverged, interrupted or stopped.

        Parameters
        ----------
        show : bool or None
            Of the progress bar.
        stop : Stop
            Looked at after each update.
        checkpoint : callable, optional
            Called at the end of every epoch and when `seconds` have passed since.
        """
        progress = Progress(self.steps * self.config.epochs, self.done, show)
        saved = time.monotonic()
        try:
            with np.errstate(over="ignore", invalid="ignore"), self._room():
                while self.epoch < self.config.epochs and self.status == "running":
                    order = self._order(self.epoch)
                    while self.step < self.steps and self.status == "running":
                        size = self.config.batch_size
                        self._update(order[..., self.step * size : (self.step + 1) * size])
                        if progress.due:
                            self._show(progress)
                        if self.status == "running" and (reason := stop.reason):
                            self.status = reason
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

    @contextmanager
    def _room(self) -> Iterator[None]:
        """In this block a lack of memory says what to shrink."""
        try:
            yield
        except MemoryError as error:
            config, where = self.config, "" if self._backend.HOST_MEMORY else " on the GPU"
            stack = f"{'runs side by side' if self.seeds else 'chips'}={config.chips}"
            of_many = [f"batch_size={config.batch_size}", stack if config.chips > 1 else ""]
            if getattr(config.learner, "samples", 1) > 1:
                of_many.append(f"the learner's samples={config.learner.samples}")
            said = ", ".join(filter(None, of_many))
            raise MemoryError(f"out of memory{where}: make {said} or layers smaller ({error})") from error

    def _update(self, rows: np.ndarray) -> None:
        """One turn of the line."""
        config, learner = self.config, self.config.learner
        batch = self._feed.batch("train", rows, epoch=self.epoch)
        most = chunks.samples_at_once(learner, self.learner_state, len(batch.inputs))
        if most < len(batch.inputs) and not config.diagnostics:
            gradient, first = self._learn_in_chunks(batch, most)
        else:
            gradient, first = self._learn(batch)
        if self._all_lost():
            return
        if gradient is not None:
            rate = config.learning_rate * config.learning_rate_decay**self.epoch
            changes, self.optimizer_state = self.optimizer.update(gradient, self.optimizer_state, rate)
            self._gradient = layered.layered(changes)
            self._ask(lambda: self.chip.program(self._gradient), self._gradient)
        if not self._all_lost():
            self._adapt(first, gradient is not None)
        if self._all_lost():
            return
        self.step += 1

    def _ask(self, call: Callable[[], Any], arrays: Sequence[Any]) -> Any:
        """Ask all chips for what `call` does with arrays of theirs; ``None`` if all have diverged.

        Those whose part is non-finite have: from then on theirs are zeros.
        """
        try:
            return call()
        except NonFiniteError:
            xp, take = self._backend.xp, self._backend.take
            some = [a for a in arrays if a is not None]
            finite = [take(xp.isfinite(a).reshape(self.chips, -1).all(axis=1)) for a in some]
            self.recorder.fetch()  # of losses that diverged before
            for m in np.flatnonzero(~np.all(finite, axis=0)).tolist():
                self._refused.setdefault(m, self.done)
                self.recorder.exploded[m] = True
            if self.recorder.exploded.all():
                return None
            self._silence(some)
            return call()

    def _adapt(self, first: Any, programmed: bool) -> None:
        """Let the periphery of all chips follow an update; of those whose part is non-finite, nothing of it."""
        kept = [getattr(arrays, "flat", None) for arrays in (first.inputs, first.activities)]

        def adapt() -> None:
            # several chips: asked again if one cannot, so nothing may be done before it is known
            if self.chips > 1 and not all(self._backend.ops.all_finite(a) for a in kept if type(a) is np.ndarray):
                raise NonFiniteError("what one of several chips observed is non-finite")
            loop.adapt(self.config.learner, self.chip, first, programmed=programmed)

        self._ask(adapt, [*first.inputs, *first.activities])

    def _learn(self, batch: Any) -> tuple[Any, Any]:
        """The gradient of an update, and what its first pass observed."""
        drives, observed = self._observe(batch, 0)
        if observed is None:
            return None, None
        self.recorder.note(batch, drives, observed, looks=self._first_of_a_quarter)
        ended = self._all_lost()
        self._leave_out(observed)
        if ended:
            return None, observed[0]
        oracle = self.chip.oracle(batch) if self.config.oracle else None  # the learner's
        before = self.learner_state.aside(self._probe_key(0)) if self._looks else None
        gradient, self.learner_state = self.learner.update(
            self.learner_state, observed, oracle=oracle, out=self._gradient
        )
        if before is not None:
            self._look(batch, observed, gradient, before, oracle)
        return gradient, observed[0]

    def _learn_in_chunks(self, batch: Any, most: int) -> tuple[Any, Any]:
        """The same of an update with too many passes to be held at once."""
        learner, state = self.learner, self.learner_state
        step, whole = state.step, chunks.Whole(state, len(batch.inputs), learner.decorrelation > 0)
        left = len(batch.inputs)
        for first, part in chunks.parts(batch, self.chips, most):
            state.step, state.first_sample, left = step, first, left - len(part.inputs)
            drives, observed = self._observe(part, first)
            if observed is None:
                return None, None
            self.recorder.note(part, drives, observed, looks=not first and self._first_of_a_quarter, more=left > 0)
            oracle = self.chip.oracle(part) if self.config.oracle else None
            gradient, state = learner.update(state, observed, oracle=oracle, out=self._gradient)
            whole.add(first, gradient, observed[0].inputs)
            self._gradient = gradient
        state.first_sample, self.learner_state = 0, state
        return whole.gradient, replace(observed[0], inputs=whole.inputs)

    def _observe(self, batch: Any, first_sample: int) -> tuple[Any, Any]:
        """The drives that the learner wants, and what these passes give; ``None`` if no chip can be driven so."""
        rows = len(batch.inputs)
        drives = self.learner.drives(self.learner_state, rows)
        pieces = [p for drive in drives for p in (*drive.perturbations, *drive.outputs, *drive.weights)]
        self._silence(pieces)
        observed = self._observed[rows] = self._ask(
            lambda: self.chip.passes(
                batch, drives, out=self._observed.get(rows), first_sample=first_sample, training=True, inputs_of="first"
            ),
            pieces,
        )
        if observed is not None and not (self.done or first_sample):
            self._powers = health.powers(observed[0].inputs, self.chips)
        self._seen = batch, observed[0] if observed is not None else self._seen[1]
        return drives, observed

    def _leave_out(self, observed: Any) -> None:
        """Let chips that have diverged learn from zeros: these harm nobody's inverse."""
        for o in observed:
            self._silence([*o.inputs, *o.activities, o.loss, o.output_error])

    def _silence(self, arrays: Sequence[Any]) -> None:
        """Set to zero what belongs to those of several chips that have diverged."""
        if self.chips > 1 and self.recorder.exploded.any():
            lost = np.flatnonzero(self.recorder.exploded).tolist()
            for array in arrays:
                if array is not None:
                    array.reshape(self.chips, -1)[lost] = 0

    def _note_lost(self) -> None:
        """Of chips that have diverged since this was asked last: note what did, and what a run of its own has cost."""
        for m in np.flatnonzero(self.recorder.exploded & ~self._lost).tolist():
            self._lost[m] = True
            rate, (batch, observation) = self.config.learner.decorrelation, self._seen
            if rate and observation is not None:
                found = health.culprit(self.chip.architecture, batch, observation, rate, self._powers, self.chips)
                self._culprits[m] = found[m]
            if self.seeds:
                self._ended[m] = self.chip.cost_by_chip()[m]

    def _all_lost(self) -> bool:
        """Whether the run ends here, as all of its chips have diverged; asked several times an update."""
        count = np.count_nonzero(self.recorder.exploded)
        if count:
            self._note_lost()
            if count == self.chips:
                self.status = "diverged"
        return self.status == "diverged"

    @property
    def _first_of_a_quarter(self) -> bool:
        """Whether this update begins a quarter of the epoch."""
        return self.step % max(self.steps // 4, 1) == 0

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
        for diagnostic in self.diagnostics:
            self.history.looks[diagnostic.name].append(diagnostic.measure(probe))

    def _probe_key(self, number: int) -> Any:
        """Of the draws that a diagnostic's n-th extra estimate at this update makes."""
        return self._backend.put(seeding.keys(self.config.seed, f"diagnostics/{self.done}/{number}", self.chips))

    def _end_epoch(self) -> None:
        """Record the epoch's means and a test."""
        means = self.recorder.means()
        if self._all_lost():
            return
        test_loss, test_accuracy = self.test()
        costs = self.chip.cost_by_chip() if self.seeds else [self.chip.cost]
        values: dict[str, Any] = {
            **means,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "learning_rate": [self.config.learning_rate * self.config.learning_rate_decay**self.epoch],
            **{name: [getattr(cost, name) for cost in costs] for name in COUNTS},
        }
        for name, value in values.items():
            self.history.epoch[name].extend(map(float, value))
        self.epoch, self.step = self.epoch + 1, 0

    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean loss and accuracy of one pass over the test split, (chips,) each.

        It goes in chunks no larger than a training batch needs.
        """
        self._observed.clear()  # the passes of the test need the room
        chunk = BLOCK_ROWS * max(1, self.config.batch_size // BLOCK_ROWS)
        if self.chip.network.stages(False)[0].rows < BLOCK_ROWS:  # convolutions
            chunk = min(chunk, 1 << (self.config.batch_size.bit_length() - 1))
        found = self._backend.xp.zeros((2, self.chips))
        for first in range(0, self.task.n_test, chunk):
            rows = np.arange(first, min(first + chunk, self.task.n_test))
            batch = self._feed.batch("test", rows)
            observation = self.chip.passes(batch, [chip.Drive()], first_sample=first)[0]
            assert observation.loss is not None
            found[0] += observation.loss.reshape(self.chips, -1).sum(axis=1)
            found[1] += hits(observation.output, batch.targets, self.chips) if self.task.classification else math.nan
        loss, accuracy = self._backend.take(found) / self.task.n_test
        return loss, accuracy

    def warnings(self) -> list[str]:
        """What this run noticed about itself."""
        self._note_lost()
        said = self._noticed(self.history, self.status, np.arange(self.chips))
        if self.status != "diverged" and self._lost.any():
            lost = np.flatnonzero(self._lost)
            fault = self._fault(self.history.of_one(int(lost[0]), 0, 1), lost)  # of whole epochs means are of all chips
            said.insert(0, f"of {self.chips} chips these diverged: {', '.join(map(str, lost))}; {fault}")
        return said + self.notes

    def of_one(self, m: int) -> dict[str, Any]:
        """What the m-th of several runs side by side has recorded, as its result has it: what it would have alone."""
        self.recorder.fetch()
        self._note_lost()
        losses = np.array(self.history.step["train_loss"])[m :: self.chips]
        lost = health.exploded(losses, losses[:1])
        if m in self._refused:
            lost[self._refused[m] :] = True
        status, epochs, updates = self.status, len(self.history.epoch["learning_rate"]), len(lost)
        if lost.any():
            status, last = "diverged", int(lost.argmax())
            epochs, updates = last // self.steps, last + 1
        history = self.history.of_one(m, epochs, updates)
        cost = self._ended[m] if m in self._ended else self.chip.cost_by_chip()[m]
        warnings = self._noticed(history, status, np.array([m])) + self.notes
        return {"status": status, "warnings": warnings, "cost": cost.as_dict(), "arrays": history.arrays()}

    def _noticed(self, history: History, status: str, chips: np.ndarray) -> list[str]:
        """What is to be said of a history, which is that of these chips: all of one run, or the one of a run."""
        learner, task, m = self.config.learner, self.task, int(chips[0]) if self.seeds else 0
        heard = learner.heard(self.floors[m], self.chip.architecture)
        told = history, learner, self.learner_state.sigmas[m], heard, task.n_out if task.classification else 0
        if status != "diverged":
            return health.warnings(*told, self._scales)
        said = [health.divergence(history, self._fault(history, chips)), *health.warnings(*told)]
        if m in self._refused:
            said.insert(0, f"update {self._refused[m] + 1} asked for NaN or infinite values, and was not made")
        return said

    def _fault(self, history: History, chips: np.ndarray) -> str:
        """What diverged on chips that have, whose history this is, and what helps."""
        culprits = self._culprits[chips]
        if culprits.any():
            layer = int(culprits[culprits > 0].min())
            return health.decorrelation_fault(layer, self._powers[:, chips], self._scales)
        return health.learner_fault(history, self.config.learner, self._scales)

    @cached_property
    def _scales(self) -> health.Scales:
        """How large inputs and targets are."""
        return health.scales(self.task)

    def state(self) -> dict[str, dict[str, np.ndarray]]:
        """Arrays from which `resume` goes on, bit for bit."""
        learner = self.learner_state
        self.recorder.fetch()
        return {
            "state/chip": chip.snapshot(self.chip),
            "state/learner": {
                "step": np.int64(learner.step), "sigma": np.float64(learner.sigmas[0]),
                **self._encoded("learner", learner.memory),
            },
            "state/optimizer": self._encoded("optimizer", self.optimizer_state),
            "state/progress": {
                "position": np.array([self.epoch, self.step]),
                "sums": self.recorder.sums,
                "exploded": self.recorder.exploded,
                "culprits": self._culprits,
                "powers": self._powers,
                "floor": np.float64(self.floors[0]),
            },
        }  # fmt: skip

    def resume(self, arrays: dict[str, dict[str, np.ndarray]]) -> None:
        """Take up what `state` and the history held."""
        chip.restore(self.chip, arrays["state/chip"])
        learner = dict(arrays["state/learner"])
        self.learner_state.step = int(learner.pop("step"))
        self.learner_state.sigma = float(learner.pop("sigma"))
        self.learner_state.memory = memory.decoded(learner, self._backend.put, self.learner_state.memory)
        kept = arrays.get("state/optimizer", {})
        self.optimizer_state = memory.decoded(kept, self._backend.put, self.optimizer_state)
        progress = arrays["state/progress"]
        self.epoch, self.step = (int(v) for v in progress["position"])
        if not (0 <= self.epoch <= self.config.epochs and 0 <= self.step <= self.steps):
            raise ValueError(f"epoch {self.epoch}, update {self.step} is no place in this run")
        self.recorder.sums[:] = progress["sums"]
        self.recorder.exploded[:] = self._lost[:] = progress["exploded"]
        self._culprits[:], self._powers[:] = progress.get("culprits", 0), progress.get("powers", 0)
        self.floors = [float(progress["floor"])]
        self.history.take_up(History.of(arrays))

    def _encoded(self, kind: str, remembered: Any) -> dict[str, np.ndarray]:
        """What a learner or an optimizer remembers, as arrays."""
        part = getattr(self.config, kind)
        memory.check(f"{'state.memory' if kind == 'learner' else 'the state'} of {kind} {part.name!r}", remembered)
        reserved = ("step", "sigma") if kind == "learner" else ()
        return memory.encoded(remembered, lambda array: backends.of(array).take(array), reserved)

    def _show(self, progress: Progress) -> None:
        self.recorder.fetch()
        loss, found, samples = self.recorder.sums[:3].sum(axis=1)
        if samples:
            seen = loss / samples, found / samples
        else:  # between two epochs
            seen = self.history.mean("train_loss")[-1], self.history.mean("train_accuracy")[-1]
        epoch = min(self.epoch + 1, self.config.epochs)
        progress.show(self.done, epoch, self.config.epochs, *seen, self.chip.cost.passes)
