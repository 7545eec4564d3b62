"""How networks learn in Figures 4 and 5 of Hiratani et al. (2022): exact chips, ReLU, SGD, one update at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import noisysim
from noisysim import Batch, Chip, Observation
from noisysim.chip.diagnostics import Dimensionality, Probe
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.compute.losses import Loss
from noisysim.learners import Learner
from noisysim.networks.architecture import Architecture
from noisysim.tasks import Task

from .hiratani2022_fig2 import power
from .report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BATCH, STEP = 100, 10**0.25
LOST = 10.0  # a run whose test error exceeds its first one by this factor has diverged
NP, NORMALISED = "np:sigma=1e-3", "np:sigma=1e-3,normalise=True"
RULES = {
    "SGD": "bp",
    "REINFORCE": "reinforce:sigma=1e-3",
    "noisy REINFORCE": "reinforce:sigma=1e-3,hidden_noise=True",
    "NP": NP,
}
STYLES: dict[str, dict[str, Any]] = {
    "SGD": {"color": "#0072B2", "marker": "o"},
    "REINFORCE": {"color": "#009E73", "marker": "s"},
    "noisy REINFORCE": {"color": "#009E73", "marker": "s", "ls": "--", "mfc": "white"},
    "NP": {"color": "#D55E00", "marker": "o"},
}


class Course(NamedTuple):
    """One run: test error, |W1|^2 and the hidden layer's dimensionality before some updates; whether it diverged."""

    updates: np.ndarray
    error: np.ndarray
    input_norm: np.ndarray
    dimensionality: np.ndarray
    lost: bool

    @property
    def lowest(self) -> int:
        """Which look found the lowest error."""
        return int(np.nanargmin(self.error))

    @property
    def last(self) -> float:
        """The error of the last tenth of the run; infinite after a divergence."""
        return np.inf if self.lost else geometric(np.array_split(self.error, 10)[-1])

    @property
    def rise(self) -> float:
        """The same over the error of the lowest tenth."""
        return np.inf if self.lost else self.last / min(map(geometric, np.array_split(self.error, 10)))


def geometric(values: Iterable[float]) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(list(values)))))


def stream(task: Task, seed: int, loss: Loss | None = None) -> Iterator[Any]:
    """Batches without end, each epoch in another order; judged by `loss`, if given, in place of the task's own."""
    for batch in itertools.chain.from_iterable(task.batches(BATCH, seed, epoch) for epoch in itertools.count()):
        yield batch._replace(loss=loss) if loss else batch


def network(task: Task, hidden: Iterable[int], seed: int, backend: str) -> Any:
    """An exact chip with ReLU, biases and Glorot weights."""
    sizes = (task.n_in, *hidden, task.n_out)
    return noisysim.Chip(sizes, "ideal", "relu", seed=seed, backend=backend, bias=True, init="glorot")


def begin(rule: Learner, chip: Chip, task: Task, seed: int) -> Any:
    """A rule's state before its first update."""
    return rule.init(chip.sizes, seed=seed, offers=chip.offers, activation="relu", loss=task.loss, bias=True)


def error_of(task: Task, observation: Observation, batch: Batch) -> float:
    """Share of wrong answers in an observation of a batch, or mean square of a target value."""
    if task.classification:
        return float(np.mean(observation.output.argmax(axis=1) != batch.targets.argmax(axis=1)))
    assert observation.loss is not None
    return float(2 / task.n_out * observation.loss.mean())


def dimensionality(net: Architecture, observation: Observation, batch: Batch) -> float:
    """Participation ratio of the first hidden layer's outputs in an observation of a batch."""
    probe = Probe(batch, [observation], None, net, None, lambda count: iter(()))
    return float(Dimensionality().measure(probe)[0])


def input_norm(chip: noisysim.Chip, batch: noisysim.Batch) -> float:
    """|W1|^2, without biases."""
    weights = chip.oracle(batch).weights[0][:, : chip.sizes[0]]
    return float(np.square(weights, dtype=float).sum())


def learn(
    report: Report, task: Task, hidden: Iterable[int], learner: str, rate: float, *, seed: int, most: int,
    until: float = 0.0, tested: int = 10_000, dimensions: bool = False, loss: Loss | None = None,
) -> Course:  # fmt: skip
    """Learn for `most` updates, or until the test error is down to `until` or has diverged (`LOST`)."""
    course = report.measure(
        follow, task=task, hidden=list(hidden), learner=learner, rate=rate, seed=seed, most=most, until=until,
        tested=tested, dimensions=dimensions, loss=loss, backend=report.backend,
    )  # fmt: skip
    return Course(*course)


@np.errstate(over="ignore", invalid="ignore")  # what diverges may overflow before it is looked at
def follow(
    task: Task, hidden: Sequence[int], learner: str, rate: float, seed: int, most: int, until: float, tested: int,
    dimensions: bool, loss: Loss | None, backend: str, every: int = 20,
) -> Course:  # fmt: skip
    """What `learn` measures, with a look at the test error after every so many updates."""
    chip, test = network(task, hidden, seed, backend), task.batch("test", slice(tested))
    rule, descent = noisysim.learners.get(learner), noisysim.optimizers.get("sgd")
    state, memory = begin(rule, chip, task, seed), descent.init(chip.network.shapes)
    looks: list[tuple[float, ...]] = []
    observed = gradient = None
    for step, batch in enumerate(stream(task, seed, loss)):
        if step % every == 0:
            observation = chip.forward(test)
            error = error_of(task, observation, test)
            room = dimensionality(chip.architecture, observation, test) if dimensions else np.nan
            looks.append((step, error, input_norm(chip, test), room))
            if step >= most or not until < error <= LOST * looks[0][1]:
                break
        observed = chip.passes(batch, rule.drives(state, len(batch.inputs)), out=observed)
        oracle = chip.oracle(batch) if "oracle" in rule.needs else None
        gradient, state = rule.update(state, observed, oracle=oracle, out=gradient)
        assert gradient is not None
        gradient, memory = descent.update(gradient, memory, rate)
        try:
            chip.program(gradient)
        except NonFiniteError:  # diverged between two looks
            looks.append((step + 1, np.inf, input_norm(chip, test), np.nan))
            break
        if rule.normalise:
            chip.normalise()
    updates, errors, norms, rooms = np.array(looks).T
    return Course(updates, errors, norms, rooms, lost=not looks[-1][1] <= LOST * looks[0][1])


def fastest(start: float, time_at: Callable[[float, float], float], longest: float) -> tuple[float, float]:
    """Fewest updates to a target, and their rate: from `start` up while that gains, else down.

    `time_at(rate, most)` is infinite where `most` updates do not do.
    """
    best, rate = time_at(start, longest), start
    if best < np.inf:
        while (updates := time_at(rate * STEP, best)) < best:
            best, rate = updates, rate * STEP
        if rate > start:
            return best, rate
    for _ in range(6):
        updates = time_at(rate / STEP, min(best, longest))
        if updates >= best < np.inf:
            break
        best, rate = updates, rate / STEP
    return best, rate


def updates_to(
    report: Report, task: Task, hidden: Iterable[int], learner: str, target: float, start: float, longest: int,
    **more: Any,
) -> tuple[float, float]:  # fmt: skip
    """Fewest updates to a target, median over seeds, at the rate that suits the first seed best."""

    def time_at(rate: float, most: float, seed: int = 0) -> float:
        course = learn(report, task, hidden, learner, rate, seed=seed, most=int(most), until=target, **more)
        return float(course.updates[-1]) if course.error[-1] <= target else np.inf

    best, rate = fastest(start, time_at, longest)
    of_other_seeds = [time_at(rate, 3 * best, seed) for seed in range(1, report.seeds)] if best < np.inf else []
    return float(np.median([best, *of_other_seeds])), rate


def ratio(times: dict[str, dict[Any, float]], above: str, below: str) -> float:
    """log10 of one rule's updates over another's, mean over the networks."""
    return float(np.mean([np.log10(times[above][n] / times[below][n]) for n in times[above]]))


def growth(by_size: dict[Any, float]) -> float:
    """Power with which values grow with what they belong to; NaN for fewer than two, or where one is not finite."""
    return (
        power(list(by_size), list(by_size.values()))
        if len(by_size) > 1 and np.isfinite(list(by_size.values())).all()
        else np.nan
    )


def sizes_axis(panel: Axes, sizes: Iterable[int], label: str) -> None:
    """A logarithmic axis that names the sizes there are."""
    panel.set(xscale="log", xlabel=label)
    panel.set_xticks(list(sizes), [f"{n:.1e}" if n < 1 else str(n) for n in sizes])
    panel.minorticks_off()
