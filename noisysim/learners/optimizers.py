"""Optimizers: from a learner's gradient to the weight change asked of the chip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, ClassVar, Protocol

import numpy as np

from noisysim.common.class_parts import Dataclasses, Method
from noisysim.common.fields import Field
from noisysim.common.registry import Registry
from noisysim.compute import backends, layered
from noisysim.compute.layered import Layered
from noisysim.compute.optimizer_step import LEAST_MOMENT, NO_MOMENTS, Step

State = dict[str, Any]


class Optimizer(Protocol):
    """What an optimizer is: a dataclass whose fields are its settings, with a name and two methods."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]

    def init(self, shapes: Sequence[tuple[int, ...]], xp: ModuleType = np) -> State:
        """State for gradients of these shapes, arrays of the namespace `xp`."""

    def update(self, gradients: Layered, state: State, rate: float) -> tuple[Layered, State]:
        """The change to add to the weights, which may overwrite `gradients`, and the new state."""


class Stepping(ABC):
    """What the package's own optimizers share: their steps are made in loops over the cells."""

    @abstractmethod
    def ahead(self, state: State, rate: float, updates: int) -> Step:
        """The steps of some updates to come, as sweeps over the cells take them: numbers are (updates, n)."""

    @abstractmethod
    def count(self, state: State, updates: int) -> None:
        """Let updates, whose steps `ahead` gave, be made."""

    def step(self, state: State, rate: float) -> Step:
        """The step of the next update, which is counted as made."""
        step = self.ahead(state, rate, 1)
        self.count(state, 1)
        return step._replace(numbers=step.numbers[0])


@dataclass(frozen=True)
class SGD(Stepping):
    """Stochastic gradient descent with optional momentum: v <- m v + g, change = -rate v."""

    name: ClassVar[str] = "sgd"
    momentum: Annotated[float, Field("", 0, 0.9999, "share of the last step that is kept")] = 0.0

    def init(self, shapes: Sequence[tuple[int, ...]], xp: ModuleType = np) -> State:
        """State for gradients of these shapes, arrays of the namespace `xp`."""
        return {"velocity": layered.zeros(shapes if self.momentum else [], xp).flat}

    def update(self, gradients: Layered, state: State, rate: float) -> tuple[Layered, State]:
        """The change to add to the weights; overwrites `gradients` with it."""
        gradient = layered.layered(gradients)
        if self.momentum:
            state["velocity"] *= np.float32(self.momentum)
            state["velocity"] += gradient.flat
            state["velocity"][abs(state["velocity"]) < np.float32(LEAST_MOMENT)] = 0  # as loops do
            backends.backend_of(gradient.flat).xp.multiply(state["velocity"], np.float32(-rate), out=gradient.flat)
        else:
            gradient.flat *= np.float32(-rate)
        return gradient, state

    def ahead(self, state: State, rate: float, updates: int) -> Step:
        if self.momentum:
            numbers = np.array([[rate, self.momentum]] * updates, np.float32)
            return Step("momentum", numbers, state["velocity"], NO_MOMENTS)
        return Step("sgd", np.full((updates, 1), rate, np.float32), NO_MOMENTS, NO_MOMENTS)

    def count(self, state: State, updates: int) -> None:
        """Nothing: no step depends on how many there were."""


@dataclass(frozen=True)
class Adam(Stepping):
    """Adam (Kingma & Ba 2015, Algorithm 1); epsilon as in Dalm et al. 2025, appendix F."""

    name: ClassVar[str] = "adam"
    beta1: Annotated[float, Field("", 0, 0.9999999, "decay of the mean")] = 0.9
    beta2: Annotated[float, Field("", 0, 0.9999999, "decay of the mean square")] = 0.999
    epsilon: Annotated[float, Field("gradient units", 0, doc="added to the root mean square")] = 1e-7

    def init(self, shapes: Sequence[tuple[int, ...]], xp: ModuleType = np) -> State:
        """State for gradients of these shapes, arrays of the namespace `xp`."""
        return {
            "first": layered.zeros(shapes, xp).flat,
            "second": layered.zeros(shapes, xp).flat,
            "steps": np.zeros(1, np.int64),
        }

    def update(self, gradients: Layered, state: State, rate: float) -> tuple[Layered, State]:
        """The change to add to the weights; overwrites `gradients` with it."""
        gradient = layered.layered(gradients)
        step = self.step(state, rate)
        backends.backend_of(gradient.flat).ops.adam(gradient.flat, step.first, step.second, step.numbers)
        return gradient, state

    def ahead(self, state: State, rate: float, updates: int) -> Step:
        done, settings = int(state["steps"][0]), (rate, self.beta1, self.beta2, self.epsilon)
        corrections = [
            [1.0 / (1.0 - beta**number) for beta in (self.beta1, self.beta2)]
            for number in range(done + 1, done + 1 + updates)
        ]
        numbers = np.array([(*settings, *each) for each in corrections], np.float32)
        return Step("adam", numbers, state["first"], state["second"])

    def count(self, state: State, updates: int) -> None:
        state["steps"] += updates


_FORM: Dataclasses[Optimizer] = Dataclasses(
    "optimizer",
    None,
    {"init": Method("init(self, shapes, xp)", 3), "update": Method("update(self, gradients, state, rate)", 4)},
    noun="optimizer class",
    nouns="optimizers",
    example="a dataclass with init(self, shapes, xp) and update(self, gradients, state, rate)",
)
OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}
REGISTRY: Registry[type[Optimizer], Optimizer] = Registry("optimizer", _FORM, OPTIMIZERS, __name__)


def names() -> list[str]:
    """Names of the optimizers there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: Any, **settings: Any) -> Optimizer:
    """A checked optimizer: a name, the path of a file, either with settings, a mapping, or an instance.

    See `noisysim.common.registry.Registry.get`.

    Examples
    --------
    >>> get("sgd:momentum=0.9")
    SGD(momentum=0.9)
    """
    return REGISTRY.get(spec, **settings)


def describe(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer as plain values that `get` takes again."""
    return REGISTRY.describe(optimizer)
