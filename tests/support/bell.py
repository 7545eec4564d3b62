"""An activation function of a user's own that falls as often as it rises: before it, maxima are not those behind it."""

import numpy as np


def bell(a):
    """exp(-a^2)."""
    return np.exp(-a * a)
