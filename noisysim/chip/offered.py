"""What a chip tells of itself to anybody: what a learner may ask for, what was done, sizes, time and converters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import noisysim.devices as devices
from noisysim.chip import saturation
from noisysim.chip.cost import Cost
from noisysim.chip.origin import Origin
from noisysim.chip.state import State
from noisysim.common import html_table
from noisysim.common.types import Floats
from noisysim.compute import layered
from noisysim.devices.contract import Device
from noisysim.networks.activations import Activation
from noisysim.networks.tiling import Network


class Offered:
    """The part of a `noisysim.Chip` that anybody may read."""

    chips: int
    device: Device
    network: Network
    noisy: bool
    _hidden: State
    _origin: Origin
    _oracle: bool

    @property
    def offers(self) -> frozenset[str]:
        """What a learner may ask for, perturbation, output error, and clean passes or oracle access where there are."""
        offers = {"perturbation", "output_error"}
        if self._hidden.arrays.knows_targets:
            offers.add("targets")
        if not self.noisy:
            offers.add("clean")
        if self._oracle:
            offers.add("oracle")
        return frozenset(offers)

    @property
    def cost(self) -> Cost:
        """What was done so far, on all chips together, as a reading that stays as it is."""
        return replace(self._hidden.cost())

    def cost_by_chip(self) -> list[Cost]:
        """The cost of each of several chips, each with a seed."""
        if not self._hidden.arrays.apart:
            raise ValueError("writes of chips that share a seed are counted together")
        return self._hidden.cost_by_chip()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Values per sample between layers, from the inputs over hidden outputs to the outputs."""
        return self.network.sizes

    @property
    def clock(self) -> float:
        """Seconds since fabrication, of reads and of waiting."""
        return self._hidden.clock

    @property
    def clipped(self) -> list[float]:
        """Share of each layer's initial weights that lay beyond the range of its cells, and were clipped to it."""
        return list(self._hidden.clipped)

    @property
    def layers(self) -> list[Any]:
        """The list of layers that the chip was made of, from the input to the outputs."""
        return list(self._origin.arguments["layers"])

    @property
    def activation(self) -> Activation:
        """The activation function of layers that name none."""
        return self._origin.activation

    def saturated(self, inputs: Sequence[Floats]) -> list[float]:
        """Share of the values that the converters of each layer clip, when its arrays are driven with these.

        One more read of every array, which counts as any other.

        Parameters
        ----------
        inputs : sequence of numpy.ndarray
            An observation's ``inputs``.
        """
        return [float(share) for share in saturation.saturated(self._hidden, layered.layered(inputs))]

    @property
    def worn(self) -> float:
        """Share of the cells that writes have worn out, of a device that states `max_cycles`; of all chips together."""
        each = self.worn_by_chip
        return sum(each) / len(each)

    @property
    def worn_by_chip(self) -> list[float]:
        """The same of each chip."""
        return self._hidden.arrays.worn()

    @property
    def converter_steps(self) -> list[float]:
        """Coarsest ADC step of each layer's tiles, pre-activation units; 0 where the device states no resolution."""
        return [max(steps) for steps in zip(*self.converter_steps_by_chip, strict=True)]

    @property
    def converter_steps_by_chip(self) -> list[list[float]]:
        """The same of each chip."""
        return self._hidden.converter_steps()

    @property
    def dac_codes(self) -> int:
        """Codes of a DAC on each side of zero; 0 where the device states no resolution."""
        bits = self._hidden.numbers.dac_bits
        return (1 << (bits - 1)) - 1 if bits > 1 else 0

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        return f"<Chip {sizes} on {devices.name_of(self.device)}, {self.cost.passes} passes>"

    def _repr_html_(self) -> str:
        """The same, and what it has cost so far, for a notebook."""
        cost = self.cost
        counts = {
            "passes": cost.passes, "MVMs": cost.mvms, "ADC conversions": cost.adc_conversions,
            "cells programmed": cost.cells_programmed, "pulses": cost.pulses,
        }  # fmt: skip
        rows = [
            ("network", f"{'-'.join(map(str, self.sizes))}, {self.activation.name}"),
            ("device", devices.REGISTRY.text(self.device)),
            *([("chips", self.chips)] if self.chips > 1 else []),
            ("clock", f"{self.clock:.3g} s"),
            *((name, f"{count:,}") for name, count in counts.items() if count),
        ]
        return html_table.table(rows, "Chip")
