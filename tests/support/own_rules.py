"""Rules, an optimizer, a diagnostic and a task as users write them, for tests of what a resumed run is made of."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import noisysim
from noisysim import learners
from noisysim.chip.diagnostics import Diagnostic
from noisysim.learners import Learner
from noisysim.tasks import Task

SCALE = 1.25
SIGNS = {"up": np.array([1.0, -1.0]), "names": ["a", ("b", 3)]}


def scaled(gradient, by):
    """What the subclasses below do with what they inherit."""
    return None if gradient is None else [(by * g * SIGNS["up"][0]).astype(np.float32) for g in gradient]


class Scaling:
    """Scales what the next class in line gives, by more from update to update."""

    def update(self, state, observations, *, oracle=None, out=None):
        gradient, state = super().update(state, observations, oracle=oracle)
        state.memory["own/scale"] = state.memory.get("own/scale", np.float64(1.0)) * 1.1
        return scaled(gradient, SCALE * state.memory["own/scale"]), state


def of_a_family(cls):
    """A subclass of a built-in that keeps its name."""
    return dataclass(frozen=True)(type(f"My{cls.__name__}", (Scaling, cls), {"__module__": __name__}))


FAMILIES = ("np", "danp", "inp", "fg-w", "fg-a", "lg-fg-a", "fa", "dfa", "learned-fa", "canp", "reinforce", "bp", "dbp")
RULES = {name: of_a_family(learners.LEARNERS[name]) for name in FAMILIES}


@dataclass(frozen=True)
class Twin(Learner):
    """The rule of docs/contract.md: two noisy passes, and all that a memory may hold."""

    name: ClassVar[str] = "twin"
    decay: float = 0.5

    def drives(self, state, batch_size):
        return [noisysim.Drive(), noisysim.Drive()]

    def remember(self, state):
        shapes = state.net.shapes
        state.memory["traces"] = [np.zeros(s, np.float32) for s in shapes]
        state.memory["step"] = {"sigma": (3, None)}

    def update(self, state, observations, *, oracle=None, out=None):
        first, second = observations
        change = [b - a for a, b in zip(first.activities, second.activities, strict=True)]
        norm = sum((c**2).sum(axis=1) for c in change)
        factor = sum(state.net.units) * (second.loss - first.loss) / np.maximum(norm, 1e-30)
        gradient = [(factor[:, None] * c).T @ x / len(c) for c, x in zip(change, first.inputs, strict=True)]
        for trace, g in zip(state.memory["traces"], gradient, strict=True):
            trace *= np.float32(self.decay)
            trace += g
        seen = state.memory.setdefault("seen/so far", {"count": 0, "mean": 0.1, "flags": np.zeros(3, bool), "x": "no"})
        seen["count"] += 1
        seen["mean"] += float(first.loss.mean()) / seen["count"]
        seen["flags"][seen["count"] % 3] ^= True
        state.memory["turned"] = np.asfortranarray(gradient[0].astype(np.float64))
        state.memory["scalar"] = (np.float32(seen["mean"]), np.array(seen["count"], np.int16), np.zeros((0, 4)))
        grow = 1 + float(state.memory["turned"].sum()) * 1e-3 + seen["mean"] * 1e-2
        return [(t * grow).astype(np.float32) for t in state.memory["traces"]], state


RULES["twin"] = Twin


@dataclass(frozen=True)
class Heavy:
    """An optimizer with a name of its own, and a state of lists."""

    name: ClassVar[str] = "heavy"
    mass: float = 0.8

    def init(self, shapes, xp=np):
        return {"velocity": [xp.zeros(s, np.float32) for s in shapes], "steps": 0}

    def update(self, gradients, state, rate):
        state["steps"] += 1
        state["velocity"] = [np.float32(self.mass) * v + g for v, g in zip(state["velocity"], gradients, strict=True)]
        by = np.float32(-rate / state["steps"] ** 0.1)
        return [by * v for v in state["velocity"]], state


@dataclass(frozen=True)
class LossNow(Diagnostic):
    """The mean loss of the baseline, once a layer."""

    name: ClassVar[str] = "loss_now"

    def measure(self, probe):
        return np.full(len(probe.baseline.activities), probe.baseline.loss.mean() * SCALE)


@dataclass(frozen=True, eq=False)
class Backwards(Task):
    """A task that shows its samples in an order of its own."""

    def order(self, epoch, seed):
        return np.ascontiguousarray(super().order(epoch, seed)[::-1])


def task():
    """A small task of the class above."""
    given = noisysim.tasks.get("student-teacher:n_in=6,n_train=44,n_test=9,n_out=3")
    fields = ("name", "train", "test", "loss", "n_out", "settings", "affine", "target_affine", "defaults")
    return Backwards(**{name: getattr(given, name) for name in fields})
