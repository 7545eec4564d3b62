"""What learning costs on the chip: passes, products, conversions, writes."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields, replace

import numpy as np

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
        Pulses given, where cells are changed by pulses.
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

    def count_passes(self, net: Network, rows: int, passes: int, digitised: bool) -> None:
        """Add passes whose batches have `rows` samples, all together."""
        mvms, dac, adc = net.conversions
        self.passes += passes
        self.samples += rows
        self.mvms += rows * mvms
        self.dac_conversions += rows * dac
        self.adc_conversions += rows * adc if digitised else 0

    def of_one(self, chips: int, programmed: int, pulses: int, at_start: int) -> Cost:
        """What one of several chips has done, which see as many samples each, with so many writes of its own."""
        shared = ("samples", "mvms", "dac_conversions", "adc_conversions")
        own = {name: getattr(self, name) // chips for name in shared}
        return replace(self, **own, cells_programmed=programmed, pulses=pulses, cells_written_at_start=at_start)

    def array(self) -> np.ndarray:
        """The counts as int64, in the order of the attributes."""
        return np.array(astuple(self), np.int64)

    @classmethod
    def of(cls, counts: np.ndarray) -> Cost:
        """The inverse of `array`."""
        return cls(*(int(c) for c in counts))

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
