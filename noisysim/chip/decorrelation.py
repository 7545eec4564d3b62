"""Decorrelation of a layer's inputs, in the digital periphery: x* = R x with R learned from x* alone.

R <- R - alpha (<x* x*^T> - diag<x*^2>) R (Dalm et al. 2025, section 2.2), stable for alpha below
2 / lambda_max of the inputs' covariance. Any learner can be combined with it. In a convolution R turns the patch at
each position, as in Dalm et al. 2024, "Efficient deep learning with decorrelated backpropagation" (arXiv 2405.02385),
and the mean is over samples and positions, so that every patch counts as one input vector: a sum over positions would
make the stable alpha smaller by their number.
"""

from __future__ import annotations

from noisysim.compute import backends
from noisysim.compute.layered import Layered


def decorrelate(rotations: Layered, inputs: Layered, rate: float, chips: int = 1) -> None:
    """One step for every layer, in place.

    Parameters
    ----------
    rotations : Layered
        R of each layer, (chips n, n).
    inputs : Layered
        x* of each layer, (batch, n) or (batch, positions, n), n + 1 with a bias, whose column is ignored; the chips
        share the samples.
    rate : float
        alpha.
    chips : int
        How many chips stand side by side.
    """
    backends.backend_of(rotations.flat).ops.decorrelate(rotations, inputs, rate, chips)
