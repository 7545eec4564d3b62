"""Grouped convolutions: their weights are blocks on the diagonal of an array, whose other cells stay as they are.

An array computes all products of its lines; a group of channels that sees a group of channels is a block of it. The
cells outside are never asked to change. They hold what writing a zero leaves, and read with the noise of such cells
(depthwise layers leave most cells of an array idle: Garofalo et al. 2022, "A heterogeneous in-memory computing
cluster for flexible end-to-end inference of real-world deep neural networks").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.common.types import Bools, Floats
from noisysim.compute import backends
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.networks.architecture import Architecture


def formed(net: Architecture, factors: Factors) -> Layered:
    """The gradient that factors stand for, without what cells outside the blocks of grouped layers would get.

    Parameters
    ----------
    net : Architecture
    factors : Factors

    Returns
    -------
    Layered
        (n_out, n_in) per layer; of several chips (chips n_out, n_in).
    """
    gradient = factors.gradient()
    mask(net, gradient)
    return gradient


def descended(net: Architecture, factors: Factors, rate: float, refused: Bools) -> Layered:
    """The change that plain SGD makes of `formed`, in the shape of it.

    Parameters
    ----------
    net : Architecture
    factors : Factors
    rate : float
        Learning rate.
    refused : numpy.ndarray
        (chips,) bool: chips of which nothing is changed. Those whose change is not finite are added to them.
    """
    change = formed(net, factors)
    change.flat *= np.float32(-rate)
    place, by_chip = backends.backend_of(change.flat), [layer.reshape(factors.chips, -1) for layer in change]
    finite = place.xp.stack([place.xp.isfinite(values).all(axis=1) for values in by_chip]).all(axis=0)
    refused |= ~place.take(finite)
    if refused.any():
        for values in by_chip:
            values[place.put(refused)] = 0
    return change


def mask(net: Architecture, arrays: Sequence[Floats]) -> None:
    """Set to zero what changes of weights would do outside the blocks of grouped layers, in place.

    Parameters
    ----------
    net : Architecture
    arrays : sequence of array
        (n_out, n_in) per layer; of several chips (chips n_out, n_in).
    """
    for layer, array in enumerate(arrays):
        mask_layer(net, layer, array)


def mask_layer(net: Architecture, layer: int, array: Floats) -> None:
    """`mask` of one layer's array."""
    blocks = net.blocks_of_weights[layer]
    if blocks is not None:
        weights = array.reshape(-1, *blocks.shape)
        weights *= backends.backend_of(array).put(blocks)
