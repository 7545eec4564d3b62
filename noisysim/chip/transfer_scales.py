"""By how much changes are scaled as they enter a second array of cells, and what is read of it as it moves the weights.

Without either, changes enter as they are asked for: where they are large for the cells they saturate them, where they
are small, as towards the end of a schedule, they are lost in the noise of reads; and layers whose columns are read more
often follow more slowly (`noisysim.chip.transfers`).
"""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import layered
from noisysim.networks.tiling import Network

TAIL = 5
"""Of a period's k-th read the mean takes the share TAIL / k, 1 at most: later reads have moved further from the last
period (``tail_weightening`` of AIHWKit's DynamicTransferCompound)."""
RECENT = np.float32(0.01)
"""What an update counts for in the mean of the largest changes (1 - ``auto_momentum``, ibid.)."""
LEAST = np.float32(1e-20)
"""Pulses of a layer's largest change, where nothing was asked for yet: it is divided by."""


def period_of(chop_rate: float) -> float:
    """Reads of a column between two regular turns of its sign."""
    return max(round(1 / chop_rate), 2) if chop_rate else float("inf")


@functools.cache  # every update asks for it, layer by layer
def telling_reads(controller: str, chop_rate: float) -> float:
    """In how many reads of its column a change is told of, on average, by cells that forget nothing.

    Signs that turn by chance after a share c of the reads are those that a change entered with in a mean of
    sum_k (1 - 2 c)^k = 1 / (2 c) reads more than they are not. Under agad a change before the k-th of n reads counts in
    those from there to the turn, (n + 1) / 2 on average; what of it the reference misses counts against it in the n
    reads of the next period: by sum_i w_i (n - i), where w_i is the share of the i-th read in the reference.
    """
    if controller == "chopped":
        return 1 / (2 * chop_rate)
    n = int(period_of(chop_rate))
    shares, rest = [], 1.0
    for k in range(n, 0, -1):
        shares.append(rest * min(TAIL / k, 1))
        rest *= 1 - min(TAIL / k, 1)
    return (n + 1) / 2 - sum(share * missed for missed, share in enumerate(shares))


class ChangeScales:
    """Scales by which the largest change of each layer is so many pulses, in the running mean (``auto_scale``, ibid.).

    Parameters
    ----------
    net : Network
    chips : int
    pulses : float
        Of the second array.
    most : float
        Pulses of the weights' array that the largest change gives, in the same mean, at most; 0: as many as asked for.
    pulsing : array
        Pulses of a weight of 1, (layers,).
    xp : module
        The array namespace.

    Attributes
    ----------
    largest : Layered
        The running mean of the largest change, (chips, 1) per layer.
    """

    def __init__(self, net: Network, chips: int, pulses: float, most: float, pulsing: Floats, xp: ModuleType):
        self.largest = layered.zeros([(chips, 1) for _ in net.shapes], xp)
        self._chips, self._pulses, self._most, self._pulsing, self._xp = chips, pulses, most, pulsing, xp

    def enter(self, changes: layered.Layered) -> layered.Layered:
        """A copy of the changes of an update, scaled; their largest go into the means."""
        xp, scaled = self._xp, layered.empty(changes.shapes, self._xp)
        for layer, (change, out) in enumerate(zip(changes, scaled, strict=True)):
            mean, now = self.largest[layer], abs(change).reshape(self._chips, -1).max(axis=1)[:, None]
            mean[...] = xp.where(mean > 0, xp.where(now > 0, mean + RECENT * (now - mean), mean), now)
            out[...] = change * self._of_lines(self._pulses / self._in_pulses(layer), change.shape[0])
        return scaled

    def leave(self, layer: int, lines: int) -> Floats:
        """What reads of a layer's lines are multiplied by, (lines, 1)."""
        asked = self._in_pulses(layer)
        back = asked / np.float32(self._pulses)
        if self._most:
            back = back * self._xp.minimum(np.float32(self._most) / asked, np.float32(1))
        return self._of_lines(back, lines)

    def _in_pulses(self, layer: int) -> Floats:
        """The mean of a layer's largest change in pulses, (chips, 1); before anything was asked for next to none."""
        pulses: Floats = self._xp.maximum(self.largest[layer] * self._pulsing[layer], LEAST)
        return pulses

    def _of_lines(self, of_chips: Floats, lines: int) -> Floats:
        """The number of each line's chip, (lines, 1)."""
        repeated: Floats = self._xp.repeat(of_chips.astype(np.float32), lines // self._chips, axis=0)
        return repeated
