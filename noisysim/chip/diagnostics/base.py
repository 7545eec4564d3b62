"""What a diagnostic is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from noisysim.chip.diagnostics.probe import Probe
from noisysim.common.types import Doubles

ORACLE = frozenset({"oracle"})
GRADIENT = ORACLE | {"output_error"}
"""What a diagnostic needs that asks for the true gradient: a loss with a derivative."""


class Axis(NamedTuple):
    """How a figure shows a diagnostic.

    Attributes
    ----------
    label : str
        Quantity, formula and unit.
    low, high : float or None
        What the axis shows at least. Without `high` it is logarithmic where all values are above 0 and span decades.
    mark : float or None
        A value that is drawn as a line.
    step : float or None
        Distance of the ticks.
    """

    label: str
    low: float | None = None
    high: float | None = None
    mark: float | None = None
    step: float | None = None


@dataclass(frozen=True)
class Diagnostic:
    """Something measured at one update, (layers,) float64; NaN where it is not defined.

    Attributes
    ----------
    name : str
    needs : frozenset of str
        ``{"oracle"}`` if it reads exact weights; with ``"output_error"`` if it asks for the true gradient.
    axis : Axis
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    axis: ClassVar[Axis] = Axis("")

    def measure(self, probe: Probe) -> Doubles:
        """The measured values, one per layer."""
        raise TypeError(f"{type(self).__name__} does not say what it measures")
