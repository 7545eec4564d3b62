"""What tells learning rules apart, measured beside a run: never inside a rule, and without a trace in it.

A diagnostic looks at one update and gives a number per layer. Those that read exact weights need the oracle, which the
run then grants to them and not to the learner.

The truth that an estimate is compared with is the oracle's gradient at the activities of the same update's baseline
pass: what backpropagation on this chip, with its noise and its converters, would have descended in the learner's place.
Over additive noise its mean is the gradient of the expected loss.
"""

from __future__ import annotations

from typing import Any

from noisysim.chip.diagnostics.activities import (
    CorrelationAfter,
    CorrelationBefore,
    DifferenceWhiteness,
    Dimensionality,
    PassedShare,
)
from noisysim.chip.diagnostics.base import ORACLE, Axis, Diagnostic
from noisysim.chip.diagnostics.gradients import Angle, Bias, Cosine, MeanAngle, Variance, WeightNorm
from noisysim.chip.diagnostics.probe import Moments, Probe, Sampled
from noisysim.common.class_parts import Dataclasses, Method
from noisysim.common.registry import Registry

DIAGNOSTICS: dict[str, type[Diagnostic]] = {
    cls.name: cls
    for cls in (
        Angle, Bias, CorrelationAfter, CorrelationBefore, Cosine, DifferenceWhiteness, Dimensionality, MeanAngle,
        PassedShare, Variance, WeightNorm,
    )
}  # fmt: skip

_FORM: Dataclasses[Diagnostic] = Dataclasses(
    "diagnostic",
    Diagnostic,
    {"measure": Method("measure(self, probe)", 2)},
    noun="noisysim.diagnostics.Diagnostic",
    nouns="diagnostics",
    example="class MyMeasure(Diagnostic)",
)
REGISTRY: Registry[type[Diagnostic], Diagnostic] = Registry("diagnostic", _FORM, DIAGNOSTICS, __name__)


def names() -> list[str]:
    """Names of the diagnostics there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def get(spec: Any, **settings: Any) -> Diagnostic:
    """A checked diagnostic: a name, the path of a file, either with settings, a mapping, or an instance.

    See `noisysim.common.registry.Registry.get`.

    Examples
    --------
    >>> get("bias:samples=50")
    Bias(samples=50)
    """
    return REGISTRY.get(spec, **settings)


def describe(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic as plain values that `get` takes again; where a file names it, also what it calls itself."""
    described = REGISTRY.describe(diagnostic)
    return described if described["name"] == diagnostic.name else {**described, "title": diagnostic.name}


__all__ = [
    "DIAGNOSTICS",
    "ORACLE",
    "REGISTRY",
    "Angle",
    "Axis",
    "Bias",
    "CorrelationAfter",
    "CorrelationBefore",
    "Cosine",
    "Diagnostic",
    "DifferenceWhiteness",
    "Dimensionality",
    "MeanAngle",
    "Moments",
    "PassedShare",
    "Probe",
    "Sampled",
    "Variance",
    "WeightNorm",
    "describe",
    "get",
    "names",
]
