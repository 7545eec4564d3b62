"""Learning rules: each sees observations, and no more of the chip than those."""

from __future__ import annotations

from typing import Any

from noisysim.common.class_parts import Dataclasses, Method
from noisysim.common.registry import Registry, scan
from noisysim.common.user_files import UserError
from noisysim.learners.backprop import BP, DBP
from noisysim.learners.base import Learner, State
from noisysim.learners.covariance import CANP, DCANP
from noisysim.learners.feedback import DFA, DKP, FA, FDFA, LearnedDFA, LearnedFA
from noisysim.learners.forward import FGA, FGW, LGFGA
from noisysim.learners.node import ANP, DANP, DINP, DNP, INP, NP
from noisysim.learners.reinforce import Reinforce
from noisysim.learners.shadow import Shadow


class LearnerError(UserError):
    """What is wrong with a learner that a user wrote, in one line, with file and line number."""


_FORM: Dataclasses[Learner] = Dataclasses(
    "learner",
    Learner,
    {
        "drives": Method("drives(self, state, batch_size)", 3),
        "update": Method("update(self, state, observations, *, oracle, out)", 3, ("oracle", "out")),
    },
    noun="noisysim.learners.Learner",
    nouns="learners",
    example="class MyRule(Learner)",
    error=LearnerError,
)
LEARNERS: dict[str, type[Learner]] = scan(__name__, _FORM)
"""The package's own learners by name: every class of these modules that has one."""
REGISTRY: Registry[type[Learner], Learner] = Registry("learner", _FORM, LEARNERS, __name__)


def names() -> list[str]:
    """Names of the learners there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: Any, **settings: Any) -> Learner:
    """A checked learner: a name, the path of a file, either with settings, a mapping, or an instance.

    See `noisysim.common.registry.Registry.get`.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For an unknown name or field, a value outside its range, a learner that is none (`LearnerError`), or a file
        that is missing or not the one recorded.

    Examples
    --------
    >>> get("danp:samples=4")
    DANP(decorrelation=0.001, normalise=False, samples=4, ...)
    >>> get("danp", sample=4)
    Traceback (most recent call last):
    ValueError: learner 'danp' has no field 'sample'; did you mean 'samples'? ...
    """
    return REGISTRY.get(spec, **settings)


def describe(learner: Learner) -> dict[str, Any]:
    """The learner as plain values that `get` takes again."""
    return REGISTRY.describe(learner)


__all__ = [
    "ANP", "BP", "CANP", "DANP", "DBP", "DCANP", "DFA", "DINP", "DKP", "DNP", "FA", "FDFA", "FGA", "FGW", "INP",
    "LGFGA", "LEARNERS", "Learner", "LearnedDFA", "LearnedFA", "LearnerError", "NP", "REGISTRY", "Reinforce", "Shadow",
    "State", "describe", "get", "names",
]  # fmt: skip
