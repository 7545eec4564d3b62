"""The weights of all layers of some chips: those on arrays of cells, and those of digital layers in digital memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

import noisysim.devices as devices
from noisysim.chip.arrays import Arrays
from noisysim.chip.erasing import erase
from noisysim.chip.transfers import arrays_of
from noisysim.common.types import Array, Bools, Floats
from noisysim.compute import backends, grouping, seeding
from noisysim.compute.factors import Factors
from noisysim.compute.optimizer_step import Step
from noisysim.devices.contract import Device
from noisysim.networks.tiling import Network

Of = TypeVar("Of")
EXACT = "ideal"
"""The device whose weights are numbers, as those of digital layers are on a chip of any device."""


class Weights:
    """The weights of some chips, layer by layer.

    Parameters
    ----------
    net : Network
    device : device
        Of the arrays.
    seed : int or sequence of int
    chips : int
    backend : str
    scaling : str
        See `noisysim.chip.arrays.Arrays`.

    Attributes
    ----------
    arrays : Arrays
        Of the layers on arrays, which are all of most networks.
    memory : Arrays or None
        Of the digital layers: exact weights.
    on_arrays : list of int
        The layers on arrays.
    units : numpy.ndarray
        Weights per µS, (layers, slices) float32; 0 of digital layers.
    """

    def __init__(self, net: Network, device: Device, seed: seeding.Seeds, chips: int, backend: str, scaling: str):
        self._net, self._chips, self._xp = net, chips, backends.get(backend).xp
        self.on_arrays = [layer for layer, digital in enumerate(net.digital) if not digital]
        if not self.on_arrays:
            raise ValueError(
                f"all layers are digital, and none is on an array: use device {EXACT!r} without digital=True"
            )
        mixed = len(self.on_arrays) < net.depth
        self.arrays = arrays_of(net.part(False) if mixed else net, device, seed, chips, backend, scaling)
        self.units = np.zeros((net.depth, net.slices), np.float32)
        self.units[self.on_arrays] = self.arrays.units
        self.memory: Arrays | None = None
        if mixed:
            self.memory = Arrays(net.part(True), devices.get(EXACT), seed, chips, backend, part="chip/memory")

    @property
    def held(self) -> dict[str, Array]:
        """The arrays that change in use."""
        return {**self.arrays.held, **self._of_memory}

    def hand_over(self) -> dict[str, Array]:
        """`held`, whose memory belongs to who asks; nothing is asked of these weights any more."""
        of_memory = {"digital_weights": self.memory.hand_over()["weights"]} if self.memory else {}
        return {**self.arrays.hand_over(), **of_memory}

    @property
    def _of_memory(self) -> dict[str, Array]:
        return {"digital_weights": self.memory.weights} if self.memory else {}

    @property
    def digital_bytes(self) -> int:
        """Digital memory that the weights of digital layers of all chips need, float32."""
        layers = zip(self._net.digital, self._net.places, strict=True)
        return 4 * self._chips * sum(places for digital, places in layers if digital)

    def now(self) -> list[Floats]:
        """Copies of what the weights amount to, (chips n_out, n_in) per layer."""
        return self._each(Arrays.weight_arrays)

    def wanted(self) -> list[Floats]:
        """The weights as the write controller knows them, and those in memory, the same."""
        return self._each(Arrays.wanted_weights)

    def _each(self, of: Callable[[Arrays], list[Of]]) -> list[Of]:
        """What each layer has, from what those on arrays and those in memory have."""
        on_arrays, in_memory = iter(of(self.arrays)), iter(of(self.memory) if self.memory else [])
        return [next(in_memory if digital else on_arrays) for digital in self._net.digital]

    def of_arrays(self, layers: Sequence[Of]) -> list[Of]:
        """Those of the layers that are on arrays."""
        return [layers[layer] for layer in self.on_arrays]

    def span(self, layers: tuple[int, int]) -> tuple[int, int]:
        """The layers on arrays, as these count, among the layers from one to the one behind the last."""
        first, last = (sum(not digital for digital in self._net.digital[:layer]) for layer in layers)
        return first, last

    # -- changes -------------------------------------------------------------------------------------------------

    def write(self, change: Floats, every: bool, clock: float) -> None:
        """Ask for a change of every weight, float32, flat, layer by layer and in each chip by chip."""
        if self.memory is None:
            self.arrays.write(change, every, clock)
            return
        ends = np.cumsum([0, *(self._chips * n_out * n_in for n_out, n_in in self._net.shapes)]).tolist()
        for part, digital in ((self.arrays, False), (self.memory, True)):
            spans = [span for span, one in zip(pairwise(ends), self._net.digital, strict=True) if one == digital]
            of_part = self._xp.concatenate([change[first:last] for first, last in spans])
            part.write(of_part, every, clock)
            erase([of_part])

    def descend(self, factors: Factors, take: Callable[[], Step], clock: float) -> Bools:
        """Ask for what an optimizer's step makes of a gradient given as factors; whose is not finite, (chips,).

        Digital layers take the step of plain SGD, as pulse trains do.
        """
        if self.memory is None:
            return self.arrays.descend(factors, take, clock)
        step = take()
        refused = self.arrays.descend(factors.of_layers(self.on_arrays), lambda: step, clock)
        digital = [layer for layer, one in enumerate(self._net.digital) if one]
        change = grouping.descended(self.memory.net, factors.of_layers(digital), float(step.numbers[0]), refused)
        self.memory.write(change.flat, False, clock)
        return refused
