"""What tells learning rules apart, measured beside a run: never inside a rule, and without a trace in it.

A diagnostic looks at one update and gives a number a layer. Those that read exact weights need the oracle, which the
run then grants to them and not to the learner.

The truth that an estimate is compared with is the oracle's gradient at the activities of the same update's baseline
pass: what backpropagation on this chip, with its noise and its converters, would have descended in the learner's place.
Over additive noise its mean is the gradient of the expected loss.
"""

from __future__ import annotations

from dataclasses import asdict
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
from noisysim.common import identity
from noisysim.common.fields import configure

DIAGNOSTICS: dict[str, type[Diagnostic]] = {
    cls.name: cls
    for cls in (
        Angle, Bias, CorrelationAfter, CorrelationBefore, Cosine, DifferenceWhiteness, Dimensionality, MeanAngle,
        PassedShare, Variance, WeightNorm,
    )
}  # fmt: skip


def names() -> list[str]:
    """Names of the diagnostics there are."""
    return sorted(DIAGNOSTICS)


def get(spec: Any, **settings: Any) -> Diagnostic:
    """A checked diagnostic: a name (``"angle"``, ``"bias:samples=50"``), a mapping, or an instance.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or field, or a value outside its range.

    Examples
    --------
    >>> get("bias:samples=50")
    Bias(samples=50)
    """
    return configure("diagnostic", spec, settings, DIAGNOSTICS)


def describe(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic as plain values; of one that is not the package's own its `noisysim.common.identity` too."""
    return {"name": diagnostic.name, **asdict(diagnostic), **identity.of(diagnostic)}


__all__ = [
    "DIAGNOSTICS",
    "ORACLE",
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
