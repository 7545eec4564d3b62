"""Diagnostics that compare the learner's estimates with the true gradient, or read exact weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from noisysim.chip.diagnostics.arithmetic import angle, compare, cosine, host, ratio, squares
from noisysim.chip.diagnostics.base import GRADIENT, ORACLE, Axis, Diagnostic
from noisysim.chip.diagnostics.probe import Probe
from noisysim.common.fields import Field
from noisysim.common.types import Doubles


@dataclass(frozen=True)
class Angle(Diagnostic):
    """Angle between the update's gradient and the true one, degrees.

    arccos(g . g* / (|g| |g*|)), with g the learner's gradient of a layer before the optimizer, g* the true one. 90 is
    no information: two directions drawn at random in many dimensions.
    """

    name: ClassVar[str] = "angle"
    needs: ClassVar[frozenset[str]] = GRADIENT
    axis: ClassVar[Axis] = Axis("angle to the true gradient (degrees)", 0, 90, 90, 15)

    def measure(self, probe: Probe) -> Doubles:
        return compare(angle, probe.estimated, probe.truth)


@dataclass(frozen=True)
class Cosine(Diagnostic):
    """Cosine similarity of the update's gradient and the true one.

    g . g* / (|g| |g*|), g and g* as for ``angle``.
    """

    name: ClassVar[str] = "cosine"
    needs: ClassVar[frozenset[str]] = GRADIENT
    axis: ClassVar[Axis] = Axis("cosine similarity to the true gradient", 0, 1, 0)

    def measure(self, probe: Probe) -> Doubles:
        return compare(cosine, probe.estimated, probe.truth)


@dataclass(frozen=True)
class MeanAngle(Diagnostic):
    """Angle between the mean of several estimates and the mean of the true gradients, degrees.

    The estimates are drawn at fixed weights and on the same batch, each beside the true gradient of its own baseline
    pass. What is left at many samples is bias (Dalm et al. 2025, Fig. 2).
    """

    name: ClassVar[str] = "mean_angle"
    needs: ClassVar[frozenset[str]] = GRADIENT
    axis: ClassVar[Axis] = Axis("angle of the mean estimate (degrees)", 0, 90, 90, 15)

    samples: Annotated[int, Field("estimates", 1, 100_000, "extra estimates averaged at each look", whole=True)] = 20

    def measure(self, probe: Probe) -> Doubles:
        sampled = probe.sampled(self.samples)
        return compare(angle, sampled.estimate.mean, sampled.truth.mean or probe.truth)


@dataclass(frozen=True)
class Bias(Diagnostic):
    """Distance of the expected estimate from the true gradient, over the norm of that.

    sqrt(max(|m|^2 - s^2 / n, 0)) / |<g*>|, with m and s^2 the mean and the variance of the error g - g* of n estimates
    at fixed weights. s^2 / n is what |m|^2 would be on average without a bias. 0 says that none can be told from the
    sampling noise, which is about s / sqrt(n).
    """

    name: ClassVar[str] = "bias"
    needs: ClassVar[frozenset[str]] = GRADIENT
    axis: ClassVar[Axis] = Axis(r"bias, $|\langle g - g^* \rangle| \, / \, |\langle g^* \rangle|$", 0)

    samples: Annotated[int, Field("estimates", 2, 100_000, "extra estimates drawn at each look", whole=True)] = 20

    def measure(self, probe: Probe) -> Doubles:
        _, truth, error = probe.sampled(self.samples)
        if error.count < 2:
            return probe.undefined
        square = np.maximum(squares(error.mean) - error.variance / error.count, 0)
        relative: Doubles = np.sqrt(ratio(square, squares(truth.mean)))
        return relative


@dataclass(frozen=True)
class Variance(Diagnostic):
    """Variance of an estimate, summed over the layer's weights, over the squared norm of the true gradient.

    s^2 / |<g*>|^2 with s^2 = sum_k |g_k - <g>|^2 / (n - 1), over n estimates g_k at fixed weights and their mean.
    """

    name: ClassVar[str] = "variance"
    needs: ClassVar[frozenset[str]] = GRADIENT
    axis: ClassVar[Axis] = Axis(
        r"variance, $\langle |g - \langle g \rangle|^2 \rangle \, / \, |\langle g^* \rangle|^2$", 0
    )

    samples: Annotated[int, Field("estimates", 2, 100_000, "extra estimates drawn at each look", whole=True)] = 20

    def measure(self, probe: Probe) -> Doubles:
        estimate, truth, _ = probe.sampled(self.samples)
        return probe.undefined if estimate.count < 2 else ratio(estimate.variance, squares(truth.mean))


@dataclass(frozen=True)
class WeightNorm(Diagnostic):
    """Frobenius norm of each layer's exact weights, biases included."""

    name: ClassVar[str] = "weight_norm"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis("weight norm, $|W|$")

    def measure(self, probe: Probe) -> Doubles:
        norms: Doubles = np.sqrt(squares(host(probe.exact.weights)))
        return norms
