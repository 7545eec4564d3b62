"""Learning rules: each sees observations, and no more of the chip than those."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from noisysim.common.fields import configure
from noisysim.learners.backprop import BP, DBP
from noisysim.learners.base import Learner, State
from noisysim.learners.covariance import CANP, DCANP
from noisysim.learners.feedback import DFA, DKP, FA, FDFA, LearnedDFA, LearnedFA
from noisysim.learners.forward import FGA, FGW, LGFGA
from noisysim.learners.node import ANP, DANP, DINP, DNP, INP, NP
from noisysim.learners.reinforce import Reinforce

LEARNERS: dict[str, type[Learner]] = {
    cls.name: cls
    for cls in (
        BP, DBP, NP, DNP, ANP, DANP, INP, DINP, CANP, DCANP, FGW, FGA, LGFGA, FA, DFA, DKP, FDFA, LearnedFA, LearnedDFA,
        Reinforce,
    )
}  # fmt: skip


def names() -> list[str]:
    """Names of the learners there are."""
    return sorted(LEARNERS)


def get(spec: Any, **settings: Any) -> Learner:
    """A checked learner: a name (``"danp"``, ``"danp:samples=4"``), a mapping, or an instance.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or field, or a value outside its range.

    Examples
    --------
    >>> get("danp:samples=4")
    DANP(decorrelation=0.001, normalise=False, samples=4, ...)
    >>> get("danp", sample=4)
    Traceback (most recent call last):
    ValueError: learner 'danp' has no field 'sample'; did you mean 'samples'? ...
    """
    return configure("learner", spec, settings, LEARNERS)


def describe(learner: Learner) -> dict[str, Any]:
    """The learner as plain values."""
    return {"name": learner.name, **asdict(learner)}


__all__ = [
    "ANP", "BP", "CANP", "DANP", "DBP", "DCANP", "DFA", "DINP", "DKP", "DNP", "FA", "FDFA", "FGA", "FGW", "INP",
    "LGFGA", "Learner", "LearnedDFA", "LearnedFA", "NP", "Reinforce", "State", "describe", "get", "names",
]  # fmt: skip
