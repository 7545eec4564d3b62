"""Diagnostics of what a chip lets out: inputs, activities and their differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from noisysim.chip.diagnostics.arithmetic import correlation, host, ratio, scatter, whiteness
from noisysim.chip.diagnostics.base import Axis, Diagnostic
from noisysim.chip.diagnostics.probe import Probe
from noisysim.common.types import Doubles
from noisysim.compute import algebra, periphery


@dataclass(frozen=True)
class Dimensionality(Diagnostic):
    """Participation ratio of what each hidden layer gives to the next, f(a), over the batch.

    (sum_i v_i)^2 / sum_i v_i^2 = (tr C)^2 / |C|^2, with v the eigenvalues of the outputs' covariance C (Hiratani et
    al. 2022, appendix C.1). Between 1 and the smaller of the number of units and batch size - 1. The last layer has
    none.
    """

    name: ClassVar[str] = "dimensionality"
    axis: ClassVar[Axis] = Axis(r"dimensionality of $f(a)$, $(\mathrm{tr}\,C)^2 / \, |C|^2$", 0)

    def measure(self, probe: Probe) -> Doubles:
        values = probe.undefined
        for layer, outputs in enumerate(probe.outputs[1:]):
            trace, square = scatter(outputs)
            values[layer] = ratio(trace**2, square)
        return values


@dataclass(frozen=True)
class CorrelationBefore(Diagnostic):
    """Mean absolute correlation of two inputs of a layer, before decorrelation.

    Of the task's inputs, or the outputs of the layer below, over the batch; of a convolution those of a patch, over
    batch and positions. Constant inputs are ignored. Independent inputs have sqrt(2 / (pi batch)): 0.025 in a
    batch of 1000.
    """

    name: ClassVar[str] = "correlation_before"
    axis: ClassVar[Axis] = Axis("mean |correlation| of inputs, before decorrelation", 0)

    def measure(self, probe: Probe) -> Doubles:
        seen = [periphery.unfold(probe.net, layer, x) for layer, x in enumerate(probe.outputs)]
        return np.array([correlation(algebra.rows(x)) for x in seen])


@dataclass(frozen=True)
class CorrelationAfter(Diagnostic):
    """Mean absolute correlation of two inputs of a layer, after decorrelation.

    Of what the array is driven with, after the periphery's matrix R and the DAC; otherwise as ``correlation_before``.
    """

    name: ClassVar[str] = "correlation_after"
    axis: ClassVar[Axis] = Axis("mean |correlation| of inputs, after decorrelation", 0)

    def measure(self, probe: Probe) -> Doubles:
        return np.array([correlation(algebra.rows(x)) for x in host(probe.baseline.inputs)])


@dataclass(frozen=True)
class DifferenceWhiteness(Diagnostic):
    """How white the activity differences of the first perturbed pass are: 1 is white noise.

    (tr C)^2 / (N |C|^2), with C the covariance of a layer's N differences to the baseline pass. With as few samples as
    units the batch's own covariance is far from white even for white noise; both squares are therefore estimated
    without bias, exactly so for Gaussian differences: with S the scatter matrix of n + 1 samples,
    |C|^2 = (|S|^2 - (tr S)^2 / n) / ((n - 1)(n + 2)) and (tr C)^2 = (tr S)^2 / n^2 - 2 |C|^2 / n.
    """

    name: ClassVar[str] = "difference_whiteness"
    axis: ClassVar[Axis] = Axis(r"whiteness of $\Delta a$, $(\mathrm{tr}\,C)^2 / \, (N |C|^2)$", 0, 1, 1)

    def measure(self, probe: Probe) -> Doubles:
        differences = probe.differences
        if differences is None:
            return probe.undefined
        return np.array([whiteness(d) for d in differences])


@dataclass(frozen=True)
class PassedShare(Diagnostic):
    """Share of activity differences of the first perturbed pass that are not zero: what the ADC lets through."""

    name: ClassVar[str] = "passed_share"
    axis: ClassVar[Axis] = Axis(r"share of differences $\Delta a$ that are not 0", 0, 1)

    def measure(self, probe: Probe) -> Doubles:
        differences = probe.differences
        if differences is None:
            return probe.undefined
        return np.array([np.count_nonzero(d) / d.size for d in differences])
