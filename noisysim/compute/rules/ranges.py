"""Auto-ranging: how the full scale of a converter follows the largest value that it read."""

import numpy as np

from noisysim.compute.layout import LEAST_SCALE

LEAST = np.float32(LEAST_SCALE)
"""A full scale below it counts as zero."""
SPARE = np.float32(1.25)
"""Full scale after a calibration, of the largest value read; and by how much a converter that saturated is widened."""
SATURATED = np.float32(0.999)
"""Share of the full scale from which on a converter counts as saturated."""
IDLE = np.float32(0.5)
"""Share of the full scale below which a converter counts as half idle."""
NARROWING = np.float32(0.99)
"""By how much the range of a converter that is half idle shrinks."""


def followed(full_scale, peak):
    """The full scale after an update in which the largest value read was `peak`."""
    if peak >= full_scale * SATURATED:
        return full_scale * SPARE
    if LEAST <= peak < full_scale * IDLE:
        return full_scale * NARROWING
    return full_scale
