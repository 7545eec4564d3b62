"""Neuron-wise weight normalisation by the write controller (Hiratani et al. 2022, appendix C.1)."""

from __future__ import annotations

import math

import numpy as np

from noisysim.chip.erasing import erase
from noisysim.chip.state import State
from noisysim.compute import layered
from noisysim.networks.tiling import Network


def rescale(state: State) -> None:
    """Write each neuron's weights, biases and gains excepted, such that their RMS is sqrt(2 / (n_in + n_out))."""
    xp, net, wanted = state.backend.xp, state.net, state.weights.wanted()
    changes = layered.empty([weights.shape for weights in wanted], xp)
    for block, change, targets, n_in, rms_aimed in zip(
        net.blocks, changes, wanted, net.fan_in, _aims(net), strict=True
    ):
        if block.is_gain:
            change[...] = 0
            continue
        weights = targets[:, :n_in]
        rms = xp.sqrt(xp.einsum("ij,ij->i", weights, weights) / n_in)
        factor = xp.where(rms > 0, rms_aimed / xp.where(rms > 0, rms, np.float32(1.0)), np.float32(1.0))
        xp.multiply((factor - 1)[:, None], targets, out=change)  # whole rows: of parts NumPy makes a copy
        change[:, n_in:] = 0
    state.write(changes.flat, False)
    erase([changes.flat, *wanted])


def _aims(net: Network) -> list[np.float32]:
    """The RMS that a layer's neurons get."""
    return [np.float32(math.sqrt(2.0 / (n_in + n_out))) for n_in, n_out in zip(net.fan_in, net.units, strict=True)]
