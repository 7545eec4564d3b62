"""The arrays that passes write to: observations, which go out, and the work arrays of a thread, which do not."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from noisysim import execution
from noisysim.kernels.layout import MASK_AT
from noisysim.layered import Layered
from noisysim.network import Network, Room
from noisysim.observation import Observation

NOTHING = np.zeros(0, np.float32)


class Observed(list):
    """The observations of one call, in buffers of their own.

    They share what the first layer was driven with, and what dropout multiplied by.

    Parameters
    ----------
    net : Network
    rows, count : int
        Samples, and passes.
    drops : bool
        Whether there are masks.
    whole : bool
        Whether every pass has its inputs, or the first alone.
    """

    def __init__(self, net: Network, rows: int, count: int, drops: bool = False, whole: bool = True):
        self.made_for, self.whole = (rows, count, drops, whole, net.extents), whole
        driven = [net.driven_shape(layer, rows) for layer in range(net.depth)]
        lines = [net.line_shape(layer, rows) for layer in range(net.depth)]
        sizes = [math.prod(shape) for shape in driven]
        first, others = sizes[0], sum(sizes[1:])
        self.inputs = np.empty(first + (count if whole else 1) * others, np.float32)
        self.activities = np.empty((count, rows * sum(net.lines)), np.float32)
        self.masks: np.ndarray = NOTHING
        self.layer_masks: list[np.ndarray | None] = []
        if drops:
            self.masks, self.layer_masks = _masks(net, rows)
        for k in range(count):
            if k == 0:
                inputs: list[np.ndarray] = Layered(self.inputs, driven)
            elif not whole:
                inputs = []
            else:
                at = first + k * others
                inputs = [self[0].inputs[0], *Layered(self.inputs[at : at + others], driven[1:])]
            activities = Layered(self.activities[k], lines)
            self.append(Observation(inputs, activities, activities[-1], masks=self.layer_masks))


def _masks(net: Network, rows: int) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """Room for what dropout multiplies by: one buffer, and each layer's part of it."""
    flat = np.empty(rows * sum(n for n, drop in zip(net.outputs, net.drops, strict=True) if drop), np.float32)
    parts: list[np.ndarray | None] = []
    for layer, row in enumerate(net.geometry()):
        at, shape = rows * row[MASK_AT], net.output_shape(layer, rows)
        parts.append(flat[at : at + math.prod(shape)].reshape(shape) if row[MASK_AT] >= 0 else None)
    return flat, parts


def scratch(room: Room, rows: int, sides: int, spare: int) -> tuple:
    """Work arrays of this thread for one block of samples.

    Products of two sides where passes can share one; what `spare` passes are driven with that no observation keeps.
    """
    return execution.scratch_set((room, rows, sides, spare), partial(_cut, room, rows, sides, spare))


def _cut(room: Room, rows: int, sides: int, spare: int) -> tuple:
    take, padded = execution.scratch, 4 * -(-max(room.lines, room.columns) // 4)
    product = rows * max(room.driven, room.lines)  # a product's, or before it that of its decorrelated inputs
    return (
        take("work", rows * max(room.driven, room.outputs)),
        take("product", sides * product)[: sides * product].reshape(sides, -1),
        take("energy", sides * rows * room.lines)[: sides * rows * room.lines].reshape(sides, -1),
        (take("z", padded), take("u", padded), take("bits", padded, np.uint32)),
        take("line", 2 * room.lines),
        take("patches", rows * room.patches),
        take("driven", spare * rows * room.driven)[: spare * rows * room.driven],
    )
