"""Additive intrinsic noise on every line: the noisy system of the node-perturbation papers."""

from typing import Annotated, Any, NamedTuple

from noisysim.common.fields import Field
from noisysim.devices.physics.scalars import Scalar


class Gaussian(NamedTuple):
    """Every line carries normal noise, new at each pass (Dalm et al. 2025, section 3.4: variance 1e-6)."""

    sigma: Annotated[float, Field("pre-activation units", 0, doc="std of the noise on a line", noise="read")] = 1e-3


def readout(i: Scalar, energy: Scalar, z: Scalar, u: Scalar, d: Any) -> Scalar:
    """Add the line's noise."""
    return i + d.sigma * z
