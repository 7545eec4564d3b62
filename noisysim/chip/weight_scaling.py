"""Which weight the full span of conductances stands for, and what the periphery multiplies lines by in consequence.

A device states a weight w_max for the full span of its cells. With a scale s, of an array or of each output line, the
cells hold W / s, whose largest is w_max where s = max |W| / w_max, and the digital periphery multiplies what it read of
the line by s, after the ADC. So errors of cells, noise of lines and steps of the ADC, which are what they are in units
of the array, count s times in units of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.layout import FIRST_TILE, TILE_COLUMNS
from noisysim.networks.tiling import Network

WEIGHT_SCALINGS = ("fixed", "array", "column")
"""One scale for all, that of the device; one for each layer's arrays; one for each of their output lines."""
FAINTEST = 0.01
"""A line whose largest weight is below this share of its layer's gets the layer's scale: by its own one, a perturbation
or an update meant for ordinary weights would be far beyond what ADC and cells can take."""


class LineScales:
    """The scales of some chips' output lines, fixed by their initial weights.

    Parameters
    ----------
    net : Network
    chips : int
        Each of which has scales of its own.
    scaling : str
        One of `WEIGHT_SCALINGS`.
    spans : sequence of float
        w_max of each layer.
    xp : module
        The array namespace.

    Attributes
    ----------
    flat : array
        Of every tile's lines, as the lines' own values are laid out, (lines,) float32; empty if they are "fixed".
    """

    def __init__(self, net: Network, chips: int, scaling: str, spans: Sequence[float], xp: ModuleType):
        self._net, self._chips, self._scaling, self._spans, self._xp = net, chips, scaling, spans, xp
        table, tiles = net.layout()
        self._first = [tiles[row[FIRST_TILE], TILE_COLUMNS] for row in table]
        lines = sum(net.tiles(layer) * n_out for layer, n_out in enumerate(net.units))
        self.flat: Floats = xp.ones(0 if scaling == "fixed" else chips * lines, np.float32)

    def of(self, layer: int, tile: int = 0) -> Floats:
        """The part of one tile of a layer, (chips n_out,); those of a layer's tiles are alike."""
        n_out = self._net.units[layer]
        at = self._chips * (self._first[layer] + tile * n_out)
        return self.flat[at : at + self._chips * n_out]

    def fix(self, weights: Sequence[Floats]) -> None:
        """Choose them by the weights that are to be written first, (chips n_out, n_in) per layer; biases count.

        Where all weights of a layer are zero, they are 1.
        """
        xp, layers = self._xp, weights if self.flat.size else []
        for layer, (array, span) in enumerate(zip(layers, self._spans, strict=False)):
            lines = xp.abs(array).max(axis=1).reshape(self._chips, -1)
            of_layer = xp.broadcast_to(lines.max(axis=1, keepdims=True), lines.shape)
            of_layer = xp.where(of_layer > 0, of_layer, np.float32(span))
            by_line = self._scaling == "column"
            largest = xp.where(lines >= FAINTEST * of_layer, lines, of_layer) if by_line else of_layer
            for tile in range(self._net.tiles(layer)):
                self.of(layer, tile)[...] = (largest / np.float32(span)).reshape(-1)

    def divided(self, change: Floats) -> Floats:
        """A change of every weight, flat, layer by layer, as one of what the cells hold: a new array, to be erased."""
        on_cells: Floats = self._xp.empty_like(change)
        first = 0
        for layer, (n_out, n_in) in enumerate(self._net.shapes):
            here = slice(first, first + self._chips * n_out * n_in)
            scales = self.of(layer)[:, None]
            self._xp.divide(change[here].reshape(-1, n_in), scales, out=on_cells[here].reshape(-1, n_in))
            first = here.stop
        return on_cells
