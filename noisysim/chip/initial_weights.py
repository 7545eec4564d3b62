"""Initial weights: drawn by a law for each chip, or given and the same for all; written like any others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noisysim.chip import weight_laws
from noisysim.chip.erasing import erase
from noisysim.chip.given_weights import Given
from noisysim.chip.state import State
from noisysim.compute import layered, seeding
from noisysim.compute.layered import Layered
from noisysim.networks.tiling import Network

ROUNDING = np.float32(1 + 1e-6)
"""Above the largest weight of cells by this factor, in float32, a weight is beyond it."""


def wanted(net: Network, init: str | Given, seed: seeding.Seeds) -> list[Layered]:
    """The initial weights, (n_out, n_in) per layer, that all chips share, or each one's.

    Of weights of which nothing but the record is known, zeros.
    """
    if isinstance(init, Given):
        return [layered.layered(init.weights) if init.weights else layered.zeros(net.shapes)]
    seeds = seed if isinstance(seed, Sequence) else [seed]
    return [weight_laws.draw(net, init, seeding.key(one, "chip/weights")) for one in seeds]


def load(state: State, init: str | Given, each: Sequence[Layered]) -> None:
    """Write the initial weights into new chips, as any others are written; what they cost is counted apart.

    Parameters
    ----------
    state : State
    init : str or Given
        Which may give running statistics of batch normalisation as well.
    each : sequence of Layered
        What `wanted` gives; overwritten.
    """
    state.clipped = _clipped(state, each)
    initial = _stacked(each, state)
    state.arrays.line_scales.fix(state.weights.of_arrays(initial))
    state.write(initial.flat, True)
    erase([initial.flat, *(one.flat for one in each)])
    state.start_counting()
    if isinstance(init, Given):
        for layer, moments in enumerate(init.statistics):
            if moments is not None:
                state.normalisation.adopt(layer, moments)


def _clipped(state: State, each: Sequence[Layered]) -> list[float]:
    """The share of each layer's weights that lie beyond what its cells can hold; none, where it is scaled to fit."""
    arrays, shares = state.arrays, [0.0] * state.net.depth
    if arrays.scaled or not arrays.has_cells:
        return shares
    for layer, scale in zip(state.weights.on_arrays, arrays.scales, strict=True):
        bound = ROUNDING / scale
        # no copies of the weights, which would be left in freed memory
        beyond = [(weights[layer] > bound) | (weights[layer] < -bound) for weights in each]
        shares[layer] = float(np.mean(beyond))
    return shares


def _stacked(each: Sequence[Layered], state: State) -> Layered:
    """Weights of all chips, from those that they share or each one's, where the chips are."""
    if state.chips == 1 and state.backend.HOST_MEMORY:
        return each[0]
    all_chips = list(each) * (state.chips // len(each))
    return layered.layered([state.backend.put(np.concatenate(layer)) for layer in zip(*all_chips, strict=True)])
