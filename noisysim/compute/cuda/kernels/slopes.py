"""Loops over activation functions, of which `build.load` puts in the one it is asked for."""

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.target import kernel
from noisysim.networks.activations import linear as activation
from noisysim.networks.activations import linear_slope as activation_slope


@kernel
def scale_by_slope(signal, activities):
    """signal *= f'(activities), in place, flat."""
    for k in range(cuda.grid(1), signal.size, cuda.gridsize(1)):
        signal[k] *= np.float32(activation_slope(activities[k]))


@kernel
def activate_all(activities, out):
    """out = f(activities), flat."""
    for k in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[k] = np.float32(activation(activities[k]))
