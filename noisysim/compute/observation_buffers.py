"""The arrays of observations: what passes write to, and what goes out."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.layered import Layered
from noisysim.compute.layout import MASK_AT
from noisysim.compute.observation import Observation
from noisysim.networks.tiling import Network

NOTHING = np.zeros(0, np.float32)


class Observed(list[Observation]):
    """The observations of one call, in buffers of their own.

    They share what the first layer was driven with, and what dropout multiplied by. What the periphery keeps for later
    layers is beside them, and goes nowhere else.

    Parameters
    ----------
    net : Network
    rows, count : int
        Samples, and passes.
    drops : bool
        Whether there are masks.
    whole : bool
        Whether every pass has its inputs, or the first alone.
    xp : module
        The array namespace of the buffers.

    Attributes
    ----------
    inputs : array
        Flat: what drove the layers in the first pass, then what drove all but the first layer in each other one.
    step : int
        How far what drove a layer in one pass is from what drove it in the one before.
    activities : array
        (passes, values): lines of all layers, one after the other.
    every_output : array
        The network's, (passes, rows, n_out).
    """

    def __init__(
        self, net: Network, rows: int, count: int, drops: bool = False, whole: bool = True, xp: ModuleType = np
    ):
        self.made_for, self.whole = (rows, count, drops, whole, net.extents, xp), whole
        driven = [net.driven_shape(layer, rows) for layer in range(net.depth)]
        lines = [net.line_shape(layer, rows) for layer in range(net.depth)]
        sizes = [math.prod(shape) for shape in driven]
        first, later = sizes[0], sum(sizes[1:])
        self.step = later
        self.inputs = xp.empty(first + (count if whole else 1) * later, np.float32)
        self.activities = xp.empty((count, rows * sum(net.lines)), np.float32)
        self.kept = xp.empty(count * rows * net.plan.keeps, np.float32)
        self.outputs = xp.empty((count, rows, net.n_out if net.has_tail else 0), np.float32)
        self.masks: Floats = NOTHING
        self.layer_masks: list[Floats | None] = []
        if drops:
            self.masks, self.layer_masks = _masks(net, rows, xp)
        for k in range(count):
            if k == 0:
                inputs: list[Floats] = Layered(self.inputs, driven)
            elif not whole:
                inputs = []
            else:
                at = first + k * later
                inputs = [self[0].inputs[0], *Layered(self.inputs[at : at + later], driven[1:])]
            activities = Layered(self.activities[k], lines)
            output = self.outputs[k] if net.has_tail else activities[-1]
            self.append(Observation(inputs, activities, output, masks=self.layer_masks))
        last = self.outputs if net.has_tail else self.activities[:, rows * sum(net.lines[:-1]) :]
        self.every_output = last.reshape(count, *self[0].output.shape)


def _masks(net: Network, rows: int, xp: ModuleType) -> tuple[Floats, list[Floats | None]]:
    """Space for what dropout multiplies by: one buffer, and each layer's part of it."""
    flat = xp.empty(rows * sum(n for n, drop in zip(net.outputs, net.drops, strict=True) if drop), np.float32)
    parts: list[Floats | None] = []
    for layer, row in enumerate(net.geometry()):
        at, shape = rows * row[MASK_AT], net.output_shape(layer, rows)
        parts.append(flat[at : at + math.prod(shape)].reshape(shape) if row[MASK_AT] >= 0 else None)
    return flat, parts
