"""Loops over activation functions, of which `build.load` puts in the one it is asked for."""

import numpy as np

from noisysim.compute.jit.compiling import loop
from noisysim.networks.activations import linear as activation
from noisysim.networks.activations import linear_slope as activation_slope


@loop(fastmath={"contract"})
def scale_by_slope(signal, activities):
    """signal *= f'(activities), in place."""
    for i in range(signal.size):
        signal[i] *= np.float32(activation_slope(activities[i]))


@loop(fastmath={"contract"})
def activate_all(activities, out):
    """out = f(activities), flat."""
    for i in range(out.size):
        out[i] = np.float32(activation(activities[i]))
