"""What learning costs on the chip: passes, products, conversions, writes; and digitally, at the chip's periphery."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace

import numpy as np

from noisysim.common.types import Ints
from noisysim.networks.tiling import Network


@dataclass
class Cost:
    """Counts since the chip was made.

    Attributes
    ----------
    passes : int
        Passes, each of a whole batch.
    samples : int
        Samples that went through the network, all passes together.
    mvms : int
        Matrix-vector products, one for each array (tile) and sample.
    dac_conversions, adc_conversions : int
        Values converted.
    updates : int
        Times the chip was asked to change its weights.
    cells_programmed : int
        Cells written since then (a weight on a differential pair has two).
    cells_written_at_start : int
        Cells written to load the initial weights.
    pulses : int
        Pulses, where cells are changed by pulses.
    cells_read : int
        Cells that write controllers read, one by one, to write them; reads of a closed loop of pulses are not counted.
    controller_bytes : int
        Digital memory that write controllers keep of the weights; no count, but what all chips need.
    analog_macs : int
        Multiplications that the arrays did, of a weight and what drives it.
    decorrelation_macs : int
        Multiplications, by the digital periphery, of a decorrelation matrix and what it turns: in each pass what drives
        the arrays; with ``decorrelate="updates"`` what is observed of inputs, and the changes that are written.
    adaptation_macs : int
        The same for steps of these matrices (`noisysim.chip.decorrelation.step_macs`).
    decorrelation_bytes : int
        Digital memory of these matrices, float32; no count, but what all chips need.
    perturbation_conversions : int
        Values that drives added at lines, or that second arrays were set to: each has passed through a DAC. What
        enters digitally has not, and what is added to lines of digital layers neither.
    layer_macs : int
        Multiplications that digital layers did, of a weight and what drives it.
    layer_bytes : int
        Digital memory of their weights, float32; no count, but what all chips need.
    """

    passes: int = 0
    samples: int = 0
    mvms: int = 0
    dac_conversions: int = 0
    adc_conversions: int = 0
    updates: int = 0
    cells_programmed: int = 0
    cells_written_at_start: int = 0
    pulses: int = 0
    cells_read: int = 0
    controller_bytes: int = 0
    analog_macs: int = 0
    decorrelation_macs: int = 0
    adaptation_macs: int = 0
    decorrelation_bytes: int = 0
    perturbation_conversions: int = 0
    layer_macs: int = 0
    layer_bytes: int = 0

    def count_passes(self, net: Network, rows: int, passes: int, digitised: bool) -> None:
        """Add passes whose batches have `rows` samples, all together."""
        mvms, dac, adc = net.conversions
        self.passes += passes
        self.samples += rows
        self.mvms += rows * mvms
        self.analog_macs += rows * (net.products - net.digital_products)
        self.layer_macs += rows * net.digital_products
        self.dac_conversions += rows * dac
        self.adc_conversions += rows * adc if digitised else 0

    def count_products(self, net: Network, layer: int, rows: int) -> None:
        """Add the products of one layer for `rows` samples, beside passes."""
        products = rows * net.positions[layer] * net.places[layer]
        if net.digital[layer]:
            self.layer_macs += products
        else:
            self.analog_macs += products

    def of_one_chip(self, chips: int, programmed: int, pulses: int, at_start: int, read: int) -> Cost:
        """The cost of one of several chips, which see equally many samples each, with the writes of this one."""
        of_one = {name: getattr(self, name) // chips for name in _OF_ALL}
        writes = {"cells_programmed": programmed, "pulses": pulses, "cells_written_at_start": at_start}
        return replace(self, **of_one, **writes, cells_read=read)

    def array(self) -> Ints:
        """The counts as int64, in the order of the attributes."""
        return np.array(astuple(self), np.int64)

    @classmethod
    def from_array(cls, counts: Ints) -> Cost:
        """The inverse of `array`."""
        return cls(*(int(c) for c in counts))

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


_OF_ALL = (
    "samples", "mvms", "dac_conversions", "adc_conversions", "controller_bytes", "analog_macs", "decorrelation_macs",
    "adaptation_macs", "decorrelation_bytes", "perturbation_conversions", "layer_macs", "layer_bytes",
)  # fmt: skip
"""Counts of which each of several chips has the same share."""


class Meter:
    """Counts what some chips do.

    Parameters
    ----------
    chips : int
    kept, rotations, digital : int
        Bytes of memory that the write controllers, decorrelation matrices and digital layers of all chips need.

    Attributes
    ----------
    cost : Cost
        Of all chips together, up to the last `read`.
    """

    def __init__(self, chips: int, kept: int = 0, rotations: int = 0, digital: int = 0):
        self.cost, self._kept, self._rotations, self._digital = Cost(), kept, rotations, digital
        self._written = np.zeros((chips, 3), np.int64)  # cells programmed, pulses given and cells read, of each chip
        self._at_start = np.zeros(chips, np.int64)

    def read(self, written: Ints) -> Cost:
        """The cost so far, with what was done since the last call: cells, pulses and reads, (chips, 3) int64."""
        self._written += written
        cells, pulses, read = written.sum(axis=0).tolist()
        self.cost.cells_programmed += cells
        self.cost.pulses += pulses
        self.cost.cells_read += read
        self.cost.controller_bytes, self.cost.decorrelation_bytes = self._kept, self._rotations
        self.cost.layer_bytes = self._digital
        return self.cost

    def start(self, written: Ints) -> None:
        """Begin to count: what was written up to here loaded the initial weights."""
        self.cost = Cost(cells_written_at_start=self.read(written).cells_programmed)
        self._at_start, self._written = self._written[:, 0], np.zeros_like(self._written)

    @property
    def counts(self) -> Ints:
        """Cells programmed, pulses given, cells written at the start and cells read by each chip, (chips, 4)."""
        return np.column_stack([self._written[:, :2], self._at_start, self._written[:, 2]])

    def set_counts(self, cost: Cost, counts: Ints) -> None:
        """Let what was done so far be that of another meter, of all its chips together and of each."""
        self.cost = replace(cost)
        self._at_start, read = np.array(counts[:, 2]), counts[:, 3:]
        self._written[:, :2] = counts[:, :2]
        self._written[:, 2:] = read if read.size else 0  # earlier versions counted no reads

    def by_chip(self, written: Ints) -> list[Cost]:
        """The cost of each chip since `start`."""
        together, chips = self.read(written), len(self._written)
        each = zip(self._written.tolist(), self._at_start.tolist(), strict=True)
        return [together.of_one_chip(chips, cells, pulses, start, read) for (cells, pulses, read), start in each]
