"""Updates in the array: a device of equal steps, factors of layers, and what they make of weights."""

from functools import partial

import numpy as np

from noisysim import devices, optimizers
from noisysim.compute import backends
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term

STEP = 2e-3
"""A pulse of `exact`, in weights."""


def exact(**settings):
    """Cells of equal, noiseless steps."""
    settings = {"weight_bound": 1.0, "pulse_step": STEP / 2, "update": "pulse_trains", **settings}
    return devices.get("pulsed", line_noise=0.0, **settings)


def lines(rows, *shape, seed=0):
    """Values of every size and sign, a quarter of them 0."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, *shape)).astype(np.float32)
    return np.where(rng.random(values.shape) < 0.25, np.float32(0), values)


def descend(chip, x, s, rate, chips=1):
    """One update, for inputs and signals (samples of all chips, lines) of each layer, of NumPy's arrays."""
    place = backends.backend_of(chip._hidden.arrays.weights)
    x, s = ([place.put(values) for values in arrays] for arrays in (x, s))
    factors = Factors([Term(place.put(np.ones(len(x[0]))), s)], x, (), chips)
    return chip.descend(factors, partial(optimizers.SGD().step, {}, rate))


def weights(chip):
    """Of each layer, (chips n_out, n_in) float64."""
    arrays = chip._hidden.arrays
    return [backends.backend_of(w).take(w).astype(float) for w in arrays.weight_arrays()]
