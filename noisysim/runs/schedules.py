"""Schedules of the learning rate: a factor on it for each epoch, from the epoch's number and what was recorded."""

from __future__ import annotations

import math
import numbers
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from noisysim.common import identity
from noisysim.common.class_parts import Dataclasses, Method
from noisysim.common.fields import Field, shown
from noisysim.common.registry import Registry
from noisysim.common.texts import one_line
from noisysim.common.user_files import UserError
from noisysim.runs.history import EPOCH, MONITORS, VALIDATED

Columns = Mapping[str, Sequence[float]]
"""What was recorded of the epochs so far, by name; of several chips their mean."""
Monitor = Annotated[str, Field(choices=MONITORS, doc="what is watched: of an accuracy the highest value is the best")]
Patience = Annotated[int, Field("epochs", 1, 10**9, "how long to wait for a better value", whole=True)]
MinDelta = Annotated[float, Field("", 0, 1e9, "least change that counts as better")]
_WarmUp = Annotated[int, Field("epochs", 0, 10**9, "first epochs, in which the factor rises to 1", whole=True)]


@dataclass(frozen=True)
class Schedule:
    """What a schedule is: a dataclass whose fields are its settings, with a name and one method.

    Attributes
    ----------
    name : str
    monitor : str
        The column of the history that decides; "" where the number of the epoch alone does.
    """

    name: ClassVar[str] = ""
    monitor = ""

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """The factor on the learning rate in an epoch.

        Parameters
        ----------
        epoch : int
            Epochs that are done: 0 in the first.
        epochs : int
            Of the whole run.
        history : mapping
            The columns of the epochs that are done, `epoch` values each.
        """
        raise TypeError(f"{type(self).__name__} does not say which factor it gives")


def _rise(epoch: int, warm_up: int) -> float:
    """Linear warm-up: 1 / n, 2 / n, ... 1 in the first n epochs (Goyal et al. 2017, section 2.2)."""
    return (epoch + 1) / warm_up if epoch < warm_up else 1.0


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate in all epochs."""

    name: ClassVar[str] = "constant"

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A rate that rises linearly in the first epochs (Goyal et al. 2017), and then stays."""

    name: ClassVar[str] = "warm-up"
    epochs: Annotated[int, Field("epochs", 1, 10**9, "in which the factor rises to 1", whole=True)] = 5

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """1 / n, 2 / n, ... 1."""
        return _rise(epoch, self.epochs)


@dataclass(frozen=True)
class Exponential(Schedule):
    """A rate that shrinks by the same factor after every epoch, as ``learning_rate_decay`` does."""

    name: ClassVar[str] = "exponential"
    decay: Annotated[float, Field("", 1e-9, 1, "factor from one epoch to the next")] = 0.95
    warm_up: _WarmUp = 0

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """decay^k, k epochs after the warm-up."""
        return float(_rise(epoch, self.warm_up) * self.decay ** max(0, epoch - self.warm_up))


@dataclass(frozen=True)
class Cosine(Schedule):
    """A rate that falls as half a cosine from 1 to `final` (Loshchilov & Hutter 2017, equation 5, without restarts)."""

    name: ClassVar[str] = "cosine"
    final: Annotated[float, Field("", 0, 1, "factor at the end, and in all epochs after it")] = 0.0
    epochs: Annotated[int, Field("epochs", 0, 10**9, "after which it ends; 0: after those of the run", whole=True)] = 0
    warm_up: _WarmUp = 0

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """final + (1 - final) (1 + cos(pi t)) / 2, where t goes from 0 after the warm-up to 1 at the end."""
        if epoch < self.warm_up:
            return _rise(epoch, self.warm_up)
        span = max(1, (self.epochs or epochs) - self.warm_up)
        t = min(1.0, (epoch - self.warm_up) / span)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * t)) / 2


@dataclass(frozen=True)
class Plateau(Schedule):
    """A rate that shrinks each time that a number of epochs have brought nothing better."""

    name: ClassVar[str] = "plateau"
    shrink: Annotated[float, Field("", 1e-9, 1, "factor, each time")] = 0.1
    patience: Patience = 5
    min_delta: MinDelta = 0.0
    monitor: Monitor = "validation_loss"
    lowest: Annotated[float, Field("", 0, 1, "factor that it does not go below")] = 0.0

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """shrink^k, k times after which patience was lost."""
        waits = waited(history[self.monitor][:epoch], self.monitor, self.min_delta)
        return max(self.lowest, float(self.shrink ** sum(1 for n in waits if n and n % self.patience == 0)))


def waited(values: Sequence[float], monitor: str, min_delta: float) -> Iterator[int]:
    """For each epoch how many epochs ago the best value was reached; NaN is never better.

    Parameters
    ----------
    values : sequence of float
        Of all epochs.
    monitor : str
        The column: of an accuracy higher is better.
    min_delta : float
        By how much a value must be better than the best.
    """
    best, ago = math.inf, 0
    for value in values:
        score = -value if monitor.endswith("accuracy") else value
        ago += 1
        if score < best - min_delta or (best == math.inf and score < best):
            best, ago = score, 0
        yield ago


@dataclass(frozen=True)
class OwnFunction(Schedule):
    """A user's function of the epoch, 0 in the first, which returns the factor on the learning rate."""

    function: Callable[[int], float]

    def factor(self, epoch: int, epochs: int, history: Columns) -> float:
        """What the function returns."""
        return self.function(epoch)


_FORM: Dataclasses[Schedule] = Dataclasses(
    "schedule",
    Schedule,
    {"factor": Method("factor(self, epoch, epochs, history)", 4)},
    noun="Schedule class",
    nouns="schedules",
    example="a dataclass that inherits from noisysim.schedules.Schedule, with factor(self, epoch, epochs, history)",
)
ScheduleLike = str | os.PathLike[str] | Schedule | Callable[[int], float] | Mapping[str, Any]
"""What `noisysim.run` takes for a schedule."""
SCHEDULES: dict[str, type[Schedule]] = {
    cls.name: cls for cls in (Constant, WarmUp, Exponential, Cosine, Plateau)
}  # fmt: skip
REGISTRY: Registry[type[Schedule], Schedule] = Registry("schedule", _FORM, SCHEDULES, __name__)


def names() -> list[str]:
    """Names of the schedules there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: ScheduleLike, **settings: Any) -> Schedule:
    """A checked schedule: a name, the path of a file, either with settings, a mapping, an instance, or a function.

    See `noisysim.common.registry.Registry.get`. A plain function takes the number of epochs that are done, 0 in the
    first, and returns the factor on the learning rate.

    Examples
    --------
    >>> get("cosine:final=0.01")
    Cosine(final=0.01, epochs=0, warm_up=0)
    >>> get(lambda epoch: 0.5**epoch).factor(2, 10, {})
    0.25
    """
    if isinstance(spec, OwnFunction):
        return spec
    if isinstance(spec, types.FunctionType):
        if settings:
            raise ValueError(f"a function has no settings: leave out {', '.join(settings)}")
        return OwnFunction(spec)
    return REGISTRY.get(spec, **settings)


def describe(schedule: Schedule) -> dict[str, Any]:
    """The schedule as plain values that `get` takes again; of a function its place and digests of its code."""
    if isinstance(schedule, OwnFunction):
        name = f"{schedule.function.__module__}.{schedule.function.__qualname__}"
        return {"name": name, **identity.of_functions(schedule.function)}  # type: ignore[arg-type]
    return REGISTRY.describe(schedule)


def is_of_epochs_alone(schedule: Schedule) -> bool:
    """Whether what a run has recorded has no say in its rates; of a user's class that is not known."""
    return not schedule.monitor and (isinstance(schedule, OwnFunction) or type(schedule) in SCHEDULES.values())


def check(schedule: Schedule, epochs: int) -> None:
    """Try what can be tried of a schedule before a run."""
    nothing_yet: dict[str, list[float]] = {name: [] for name in (*EPOCH, *VALIDATED)}
    for epoch in (0, epochs - 1) if is_of_epochs_alone(schedule) else (0,):
        factor(schedule, epoch, epochs, nothing_yet)


def factor(schedule: Schedule, epoch: int, epochs: int, history: Columns) -> float:
    """The factor of an epoch, checked: what a user's schedule raises, or returns beside numbers, is one clear error."""
    name = describe(schedule)["name"]
    try:
        value = schedule.factor(epoch, epochs, history)
    except Exception as error:
        raise UserError(f"schedule {name!r} raised {type(error).__name__}: {one_line(error)}") from error
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
        raise UserError(f"schedule {name!r} must give a finite number >= 0, but gives {shown(value)} in epoch {epoch}")
    return float(value)
