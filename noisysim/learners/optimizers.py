"""Optimizers: from a learner's gradient to the weight change asked of the chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common import identity
from noisysim.common.fields import Field, configure
from noisysim.compute import backends, layered
from noisysim.compute.layered import Layered

State = dict[str, Any]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with momentum if asked for: v <- m v + g, change = -rate v."""

    name: ClassVar[str] = "sgd"
    momentum: Annotated[float, Field("", 0, 0.9999, "share of the last step that is kept")] = 0.0

    def init(self, shapes: Sequence[tuple[int, ...]], xp: Any = np) -> State:
        """State for gradients of these shapes, arrays of the namespace `xp`."""
        return {"velocity": layered.zeros(shapes if self.momentum else [], xp).flat}

    def update(self, gradients: Layered, state: State, rate: float) -> tuple[Layered, State]:
        """The change to add to the weights; overwrites `gradients` with it."""
        gradient = layered.layered(gradients)
        if self.momentum:
            state["velocity"] *= np.float32(self.momentum)
            state["velocity"] += gradient.flat
            backends.of(gradient.flat).xp.multiply(state["velocity"], np.float32(-rate), out=gradient.flat)
        else:
            gradient.flat *= np.float32(-rate)
        return gradient, state


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1); epsilon as in Dalm et al. 2025, appendix F."""

    name: ClassVar[str] = "adam"
    beta1: Annotated[float, Field("", 0, 0.9999999, "decay of the mean")] = 0.9
    beta2: Annotated[float, Field("", 0, 0.9999999, "decay of the mean square")] = 0.999
    epsilon: Annotated[float, Field("gradient units", 0, doc="added to the root mean square")] = 1e-7

    def init(self, shapes: Sequence[tuple[int, ...]], xp: Any = np) -> State:
        """State for gradients of these shapes, arrays of the namespace `xp`."""
        return {
            "first": layered.zeros(shapes, xp).flat,
            "second": layered.zeros(shapes, xp).flat,
            "steps": np.zeros(1, np.int64),
        }

    def update(self, gradients: Layered, state: State, rate: float) -> tuple[Layered, State]:
        """The change to add to the weights; overwrites `gradients` with it."""
        gradient = layered.layered(gradients)
        state["steps"] += 1
        steps = int(state["steps"][0])
        f = np.float32
        backends.of(gradient.flat).ops.adam(
            gradient.flat, state["first"], state["second"], f(rate), f(self.beta1), f(self.beta2), f(self.epsilon),
            f(1.0 / (1.0 - self.beta1**steps)), f(1.0 / (1.0 - self.beta2**steps)),
        )  # fmt: skip
        return gradient, state


OPTIMIZERS: dict[str, type] = {"sgd": SGD, "adam": Adam}


def names() -> list[str]:
    """Names of the optimizers there are."""
    return sorted(OPTIMIZERS)


def get(spec: Any, **settings: Any) -> Any:
    """A checked optimizer: a name (``"adam"``, ``"sgd:momentum=0.9"``), a mapping, or an instance.

    Examples
    --------
    >>> get("sgd:momentum=0.9")
    SGD(momentum=0.9)
    """
    return configure("optimizer", spec, settings, OPTIMIZERS)


def describe(optimizer: Any) -> dict[str, Any]:
    """The optimizer as plain values; of one that is not the package's own its `noisysim.common.identity` too."""
    return {"name": optimizer.name, **asdict(optimizer), **identity.of(optimizer)}
