"""Grouped convolutions: their weights are blocks on the diagonal of an array, whose other cells stay as they are.

An array computes all products of its lines; a group of channels that sees a group of channels is a block of it. The
cells outside are never asked to change. They hold what writing a zero leaves, and read with the noise of such cells
(depthwise layers leave most cells of an array idle: Garofalo et al. 2022, "A heterogeneous in-memory computing
cluster for flexible end-to-end inference of real-world deep neural networks").
"""

from __future__ import annotations

from collections.abc import Sequence

from noisysim.common.types import Floats
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
