"""Laws of initial weights, drawn for each layer from the chip's key."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from noisysim.chip.erasing import erase
from noisysim.compute import grouping, layered
from noisysim.compute.cpu.loops import draws
from noisysim.compute.layered import Layered
from noisysim.compute.layout import OWN_STREAM
from noisysim.compute.noise import stream_word
from noisysim.networks.tiling import Network

USUAL = "he"
"""The law where nothing else is asked for."""
INITS: dict[str, tuple[str, Callable[[int, int], float]]] = {
    "he": ("normal", lambda n_in, n_out: math.sqrt(2 / n_in)),
    "he-uniform": ("uniform", lambda n_in, n_out: math.sqrt(6 / n_in)),
    "uniform": ("uniform", lambda n_in, n_out: math.sqrt(1 / n_in)),
    "glorot": ("normal", lambda n_in, n_out: math.sqrt(2 / (n_in + n_out))),
    "zero": ("uniform", lambda n_in, n_out: 0.0),
}
"""Laws of initial weights: shape, and standard deviation or half width."""


def draw(net: Network, law: str, key: tuple[np.uint32, np.uint32]) -> Layered:
    """Weights by a law, (n_out, n_in) per layer; biases are 0, gains 1."""
    shape, width = INITS[law]
    fill = draws.normals if shape == "normal" else draws.uniforms
    initial = layered.empty(net.shapes)
    for layer, weights in enumerate(initial):
        n_out, n_in, block = weights.shape[0], net.fan_in[layer], net.blocks[layer]
        if block.is_gain:
            weights[...] = 0
            np.fill_diagonal(weights, 1)
            continue
        fan_out = n_out * (n_in // block.source[2]) if block.is_conv else n_out
        drawn = np.empty((n_out, n_in), np.float32)
        fill(
            drawn,
            np.float32(width(n_in // block.groups, fan_out // block.groups)),
            0,
            0,
            stream_word(OWN_STREAM, layer, 0),
            *key,
        )
        weights[:, :n_in] = drawn
        weights[:, n_in:] = 0
        erase([drawn])
    grouping.mask(net, initial)
    return initial
